/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_for_people),
        cmocka_unit_test(spans_for_people),
        cmocka_unit_test(counts_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
