/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a configuration file. Whatever was taken of them, --dump-config writes a file that reads back as the
 * same values; whatever was wrong is told in one line. */
#include "base/config.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_same_values(const Config *a, const Config *b)
{
    for (int option = 0; option < N_OPTIONS; option++) {
        OptionType type = option_info[option].type;
        if (type == OPTION_TEXT || type == OPTION_PATH)
            g_assert_cmpstr(config_text(a, option), ==, config_text(b, option));
        else if (type == OPTION_SECONDS)
            g_assert_true(config_seconds(a, option) == config_seconds(b, option));
        else
            g_assert_cmpint(config_integer(a, option), ==, config_integer(b, option));
    }
}

static void assert_in_range(const Config *config)
{
    for (int option = 0; option < N_OPTIONS; option++) {
        const OptionInfo *info = &option_info[option];
        if (info->type == OPTION_SECONDS)
            g_assert_true(config_seconds(config, option) >= info->low && config_seconds(config, option) <= info->high);
        if (info->type == OPTION_INTEGER && !info->words)
            g_assert_true((double)config_integer(config, option) >= info->low &&
                          (double)config_integer(config, option) <= info->high);
    }
}

static void assert_one_line(const char *message)
{
    g_assert_true(g_str_has_prefix(message, "fuzz:"));
    g_assert_true(g_utf8_validate(message, -1, NULL));
    g_assert_cmpuint(strlen(message), <, 400);
    for (const char *c = message; *c; c++)
        g_assert_false(g_ascii_iscntrl(*c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(Config) config = config_new();
    g_autoptr(Config) again = config_new();
    g_autoptr(GError) error = NULL;
    bool is_right = config_parse(config, (const char *)data, size, "fuzz", &error);
    g_assert_true(is_right == !error);
    if (error)
        assert_one_line(error->message);
    assert_in_range(config);

    g_autofree char *dump = config_dump(config);
    g_assert_true(config_parse(again, dump, strlen(dump), "dump", NULL));
    assert_same_values(config, again);
    return 0;
}
