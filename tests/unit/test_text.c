/* SPDX-License-Identifier: Apache-2.0
 * Numbers are read back as they were written, and by the same rules as GLib's reader. */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static void expect_like_glib(const char *text)
{
    guint64 value = 4711, expected = 4711;
    bool good = text_read_u64(text, &value);
    bool expected_good = g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &expected, NULL);
    if (good != expected_good || value != (expected_good ? expected : 4711))
        fail_msg("\"%s\": %d %" G_GUINT64_FORMAT, text, good, value);
}

static void test_numbers_that_are_and_are_not(void **state)
{
    (void)state;
    const char *const texts[] = {
        "",
        "0",
        "7",
        "007",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551620",
        "-",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1844674407370955161",
        "99999999999999999999",
        "1.0",
        "0x1",
        "1a",
        "\xd9\xa1",
        "/",
        ":",
        "000000000000000000000000001",
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        expect_like_glib(texts[i]);
}

static void test_any_text_as_glib_reads_it(void **state)
{
    (void)state;
    g_autoptr(GRand) random = g_rand_new_with_seed(83);
    for (guint round = 0; round < 20000; round++) {
        char text[24] = "";
        guint length = (guint)g_rand_int_range(random, 0, 23);
        for (guint i = 0; i < length; i++)
            text[i] = g_rand_int_range(random, 0, 200) ? (char)g_rand_int_range(random, '0', '9' + 1)
                                                       : (char)g_rand_int_range(random, 1, 128);
        expect_like_glib(text);
    }
}

static void test_reads_what_was_written(void **state)
{
    (void)state;
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint bit = 0; bit < 64; bit++)
        for (guint off = 0; off < 3; off++) {
            guint64 value = ((guint64)1 << bit) + off - 1, back;
            g_string_truncate(text, 0);
            text_append_u64(text, value);
            assert_true(text_read_u64(text->str, &back));
            assert_true(back == value);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_that_are_and_are_not),
        cmocka_unit_test(test_any_text_as_glib_reads_it),
        cmocka_unit_test(test_reads_what_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
