/* SPDX-License-Identifier: Apache-2.0 */
#include "test_config.h"

#include <locale.h>

static const OptionInfo integer_option = {.type = OPTION_INTEGER, .low = -10, .high = 1e14, .words = "auto|never"};
static const OptionInfo seconds_option = {.type = OPTION_SECONDS, .low = 0.25, .high = 1e6};
static const OptionInfo bool_option = {.type = OPTION_BOOL};
static const OptionInfo size_option = {.type = OPTION_SIZE, .low = 1000, .high = 1LL << 40};
static const OptionInfo span_option = {.type = OPTION_SPAN, .low = 0, .high = 90000};

static const struct {
    const OptionInfo *option;
    const char *text;
    bool is_right;
    gint64 integer;
    double seconds;
} values[] = {
    {&integer_option, "0", true, 0, 0},
    {&integer_option, "-10", true, -10, 0},
    {&integer_option, "007", true, 7, 0},
    {&integer_option, "99999999999999", true, G_GINT64_CONSTANT(99999999999999), 0},
    {&integer_option, "auto", true, -1, 0},
    {&integer_option, "never", true, -2, 0},
    {&integer_option, "-11", false, 0, 0},
    {&integer_option, "", false, 0, 0},
    {&integer_option, "-", false, 0, 0},
    {&integer_option, "+1", false, 0, 0},
    {&integer_option, " 1", false, 0, 0},
    {&integer_option, "--1", false, 0, 0},
    {&integer_option, "0x10", false, 0, 0},
    {&integer_option, "1e3", false, 0, 0},
    {&integer_option, "99999999999999999999", false, 0, 0},
    {&integer_option, "-99999999999999999999", false, 0, 0},
    {&integer_option, "aut", false, 0, 0},
    {&integer_option, "auto|never", false, 0, 0},
    {&seconds_option, "0", false, 0, 0},
    {&seconds_option, "0.2499", false, 0, 0},
    {&seconds_option, "0.25", true, 0, 0.25},
    {&seconds_option, ".5", true, 0, 0.5},
    {&seconds_option, "3.", true, 0, 3},
    {&seconds_option, "1000000", true, 0, 1e6},
    {&seconds_option, "1000000.5", false, 0, 0},
    {&seconds_option, "", false, 0, 0},
    {&seconds_option, ".", false, 0, 0},
    {&seconds_option, "1.2.3", false, 0, 0},
    {&seconds_option, "-1", false, 0, 0},
    {&seconds_option, "-0", false, 0, 0},
    {&seconds_option, "+1", false, 0, 0},
    {&seconds_option, "nan", false, 0, 0},
    {&seconds_option, "inf", false, 0, 0},
    {&seconds_option, "1e1", false, 0, 0},
    {&seconds_option, "0x1", false, 0, 0},
    {&seconds_option, " 1", false, 0, 0},
    {&bool_option, "yes", true, 1, 0},
    {&bool_option, "true", true, 1, 0},
    {&bool_option, "on", true, 1, 0},
    {&bool_option, "1", true, 1, 0},
    {&bool_option, "no", true, 0, 0},
    {&bool_option, "false", true, 0, 0},
    {&bool_option, "off", true, 0, 0},
    {&bool_option, "0", true, 0, 0},
    {&bool_option, "Yes", false, 0, 0},
    {&bool_option, "", false, 0, 0},
    {&bool_option, "2", false, 0, 0},
    {&size_option, "1000", true, 1000, 0},
    {&size_option, "1K", true, 1024, 0},
    {&size_option, "64K", true, 65536, 0},
    {&size_option, "512M", true, 512 << 20, 0},
    {&size_option, "1G", true, 1 << 30, 0},
    {&size_option, "1024G", true, G_GINT64_CONSTANT(1) << 40, 0},
    {&size_option, "1099511627776", true, G_GINT64_CONSTANT(1) << 40, 0},
    {&size_option, "0512M", true, 512 << 20, 0},
    {&size_option, "999", false, 0, 0},
    {&size_option, "0", false, 0, 0},
    {&size_option, "0K", false, 0, 0},
    {&size_option, "1025G", false, 0, 0},
    {&size_option, "1099511627777", false, 0, 0},
    {&size_option, "99999999999999999999", false, 0, 0},
    {&size_option, "9223372036854775807G", false, 0, 0},
    {&size_option, "-1K", false, 0, 0},
    {&size_option, "+1K", false, 0, 0},
    {&size_option, "", false, 0, 0},
    {&size_option, "K", false, 0, 0},
    {&size_option, "1k", false, 0, 0},
    {&size_option, "1KB", false, 0, 0},
    {&size_option, "1KiB", false, 0, 0},
    {&size_option, "1T", false, 0, 0},
    {&size_option, "1.5G", false, 0, 0},
    {&size_option, "1 G", false, 0, 0},
    {&size_option, " 1G", false, 0, 0},
    {&size_option, "1K1", false, 0, 0},
    {&size_option, "1d", false, 0, 0},
    {&size_option, "0x400", false, 0, 0},
    {&size_option, "1e3", false, 0, 0},
    {&span_option, "0", true, 0, 0},
    {&span_option, "59", true, 59, 0},
    {&span_option, "59s", true, 59, 0},
    {&span_option, "2m", true, 120, 0},
    {&span_option, "3h", true, 10800, 0},
    {&span_option, "1d", true, 86400, 0},
    {&span_option, "25h", true, 90000, 0},
    {&span_option, "90000s", true, 90000, 0},
    {&span_option, "26h", false, 0, 0},
    {&span_option, "2d", false, 0, 0},
    {&span_option, "90001", false, 0, 0},
    {&span_option, "-1", false, 0, 0},
    {&span_option, "1D", false, 0, 0},
    {&span_option, "1M", false, 0, 0},
    {&span_option, "1H", false, 0, 0},
    {&span_option, "1S", false, 0, 0},
    {&span_option, "1ms", false, 0, 0},
    {&span_option, "1h30m", false, 0, 0},
    {&span_option, "1w", false, 0, 0},
    {&span_option, "m", false, 0, 0},
    {&span_option, "", false, 0, 0},
    {&span_option, "1.5h", false, 0, 0},
};

static void check_values(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        OptionValue value = {0};
        bool is_right = option_read(values[i].option, values[i].text, &value);
        if (is_right != values[i].is_right)
            fail_msg("\"%s\" is %s", values[i].text, is_right ? "taken" : "refused");
        if (is_right) {
            assert_int_equal(value.integer, values[i].integer);
            assert_true(value.seconds == values[i].seconds);
        }
    }
}

static void test_values(void **state)
{
    (void)state;
    check_values();
}

/* The locale is made here, as few machines have one of this kind. false: it can't be made. */
static bool check_in_a_locale_with_decimal_comma(void)
{
    g_autofree char *dir = g_dir_make_tmp("one-telemetry-test-XXXXXX", NULL);
    g_autofree char *locale = g_build_filename(dir, "xx_XX", NULL);
    const char *make[] = {"localedef", "-i", "de_DE", "-f", "UTF-8", locale, NULL};
    const char *remove[] = {"rm", "-rf", dir, NULL};
    GSpawnFlags quiet = G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL;
    g_setenv("LOCPATH", dir, TRUE);
    bool is_set = g_spawn_sync(NULL, (char **)(guintptr)make, NULL, quiet, NULL, NULL, NULL, NULL, NULL, NULL) &&
                  setlocale(LC_NUMERIC, "xx_XX");
    if (is_set) {
        assert_string_equal(localeconv()->decimal_point, ",");
        check_values();
        g_autofree char *expected = option_expectation(&option_info[CONFIG_probe_deadline]);
        assert_string_equal(expected, "seconds from 0.5 to 60");
        setlocale(LC_NUMERIC, "C");
    }
    g_unsetenv("LOCPATH");
    g_spawn_sync(NULL, (char **)(guintptr)remove, NULL, quiet, NULL, NULL, NULL, NULL, NULL, NULL);
    return is_set;
}

static void test_values_in_a_locale_with_decimal_comma(void **state)
{
    (void)state;
    if (!check_in_a_locale_with_decimal_comma())
        skip();
}

static void test_expectations(void **state)
{
    (void)state;
    g_autofree char *integer = option_expectation(&integer_option), *seconds = option_expectation(&seconds_option);
    g_autofree char *yes_no = option_expectation(&bool_option);
    assert_string_equal(integer, "auto or never or a whole number from -10 to 100000000000000");
    assert_string_equal(seconds, "seconds from 0.25 to 1000000");
    assert_string_equal(yes_no, "yes or no");
    g_autofree char *size = option_expectation(&size_option), *span = option_expectation(&span_option);
    assert_string_equal(size, "a size from 1000 to 1024G (bytes, or K, M or G behind the number)");
    assert_string_equal(span, "a time from 0 to 25h (seconds, or s, m, h or d behind the number)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_values_in_a_locale_with_decimal_comma),
        cmocka_unit_test(test_expectations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
