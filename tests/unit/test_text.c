/* SPDX-License-Identifier: Apache-2.0
 * Numbers are read back as they were written, and by the same rules as GLib's reader; sizes and spans are for people.
 */
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

static void bytes_for_people(void **state)
{
    (void)state;
    static const struct {
        guint64 bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1, "1 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1075, "1.0 KiB"},
        {1076, "1.1 KiB"},
        {3565158, "3.4 MiB"},
        {1024 * 1024 - 1, "1.0 MiB"}, /* not 1024.0 KiB */
        {G_GUINT64_CONSTANT(1) << 30, "1.0 GiB"},
        {G_GUINT64_CONSTANT(1) << 40, "1.0 TiB"},
        {G_MAXUINT64, "16777216.0 TiB"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = text_bytes(cases[i].bytes);
        assert_string_equal(text, cases[i].text);
    }
}

static void spans_for_people(void **state)
{
    (void)state;
    static const struct {
        gint64 seconds;
        const char *text;
    } cases[] = {
        {G_MININT64, "0 s"},
        {-1, "0 s"},
        {0, "0 s"},
        {59, "59 s"},
        {60, "1 min"},
        {61, "1 min 1 s"},
        {3599, "59 min 59 s"},
        {3600, "1 h"},
        {3659, "1 h"}, /* the two largest units */
        {30000, "8 h 20 min"},
        {86400, "1 d"},
        {86400 * 3 + 3599, "3 d"},
        {86400 * 3 + 7200, "3 d 2 h"},
        {G_MAXINT64, "106751991167300 d 15 h"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = text_span(cases[i].seconds);
        assert_string_equal(text, cases[i].text);
    }
}

static void counts_for_people(void **state)
{
    (void)state;
    static const struct {
        guint64 number;
        const char *text;
    } cases[] = {{0, "0 boxes"}, {1, "1 box"}, {2, "2 boxes"}, {G_MAXUINT64, "18446744073709551615 boxes"}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = text_count(cases[i].number, "box", "boxes");
        assert_string_equal(text, cases[i].text);
    }
}

static void users_are_hidden(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"qemu:///system", "qemu:///system"},
        {"qemu+ssh://kvm1/system", "qemu+ssh://kvm1/system"},
        {"qemu+ssh://me@kvm1:22/system", "qemu+ssh://***@kvm1:22/system"},
        {"x://me:pass@h/", "x://***@h/"},
        {"x://me:p@ss@h/", "x://***@h/"},
        {"x://me:p/w?#@h/", "x://***@h/"},
        {"a://u@h1/s b://h2/s,c://v:w@h3/s", "a://***@h1/s b://h2/s,c://***@h3/s"},
        {"libvirt at x://u:p@h/s: no x://u:p@h/s", "libvirt at x://***@h/s: no x://***@h/s"},
        {"a@b, not x:// c@d", "a@b, not x:// c@d"},
        {"x://", "x://"},
        {"x://@h", "x://***@h"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = text_without_users(cases[i].text);
        assert_string_equal(text, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_for_people),
        cmocka_unit_test(spans_for_people),
        cmocka_unit_test(test_numbers_that_are_and_are_not),
        cmocka_unit_test(test_any_text_as_glib_reads_it),
        cmocka_unit_test(test_reads_what_was_written),
        cmocka_unit_test(counts_for_people),
        cmocka_unit_test(users_are_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
