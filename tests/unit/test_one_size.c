/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent_size.h"
#include "encode/one_size.h"

#include <zlib.h>

static void append_words(GString *text, GRand *rand)
{
    for (gint32 i = g_rand_int_range(rand, 0, 400); i >= 0; i--)
        g_string_append_printf(text, "VM = [ ID=\"%d\", MONITOR=\"%x\" ]\n", g_rand_int_range(rand, 0, 1000),
                               g_rand_int(rand));
}

/* In whatever parts it comes, also from a copy of its beginning: the fitting relies on it. */
static void test_parts_make_the_whole(void **state)
{
    (void)state;
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    g_autoptr(OneSize) grown = one_size_new(Z_BEST_COMPRESSION), copy = one_size_new(Z_BEST_COMPRESSION);
    for (guint i = 0; i < 30; i++) {
        g_autoptr(GString) text = g_string_new(NULL);
        one_size_begin(grown, G_MAXSIZE);
        for (gint32 part = g_rand_int_range(rand, 1, 12); part > 0; part--) {
            const gsize before = text->len;
            append_words(text, rand);
            one_size_add(grown, text->str + before, text->len - before);
            one_size_begin_with(copy, grown);
            assert_int_equal(one_size_end(copy), agent_size(text));
        }
        assert_int_equal(one_size_end(grown), agent_size(text));
        assert_int_equal(one_message_size(text->str, text->len), agent_size(text));
    }
}

static void test_nothing_takes_nothing(void **state)
{
    (void)state;
    g_autoptr(OneSize) size = one_size_new(Z_BEST_SPEED);
    assert_int_equal(one_size_end(size), 0);
    assert_int_equal(one_message_size("", 0), 0);
}

static void test_cap(void **state)
{
    (void)state;
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < 20; i++)
        append_words(text, rand);
    const gsize all = agent_size(text);
    g_autoptr(OneSize) size = one_size_new(Z_BEST_COMPRESSION), copy = one_size_new(Z_BEST_COMPRESSION);
    const gsize caps[] = {0, 100, all / 2, all - 1, all, G_MAXSIZE};
    for (guint i = 0; i < G_N_ELEMENTS(caps); i++) {
        one_size_begin(size, caps[i]);
        one_size_add(size, text->str, text->len);
        one_size_begin_with(copy, size);
        assert_int_equal(one_size_end(size), caps[i] < all ? G_MAXSIZE : all);
        assert_int_equal(one_size_end(copy), caps[i] < all ? G_MAXSIZE : all);
    }
    one_size_begin(size, G_MAXSIZE); /* what was above a cap is forgotten */
    one_size_add(size, "a", 1);
    assert_in_range(one_size_end(size), 1, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_make_the_whole),
        cmocka_unit_test(test_nothing_takes_nothing),
        cmocka_unit_test(test_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
