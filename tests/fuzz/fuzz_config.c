/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a configuration file. Whatever was taken of them, --dump-config writes a file that reads back as the
 * same values; whatever was wrong is told in one line, of sinks too. */
#include "base/config.h"
#include "deliver/sinks.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_same_options(const Config *a, const Config *b)
{
    for (int option = 0; option < N_OPTIONS; option++) {
        OptionType type = option_info[option].type;
        if (type == OPTION_TEXT || type == OPTION_PATH || type == OPTION_FILE)
            g_assert_cmpstr(config_text(a, option), ==, config_text(b, option));
        else if (type == OPTION_SECONDS || type == OPTION_NUMBER)
            g_assert_true(config_seconds(a, option) == config_seconds(b, option));
        else
            g_assert_cmpint(config_integer(a, option), ==, config_integer(b, option));
    }
}

static void assert_same_values(const Config *a, const Config *b)
{
    const char *const *sinks = config_names(a, "sink"), *const *others = config_names(b, "sink");
    assert_same_options(a, b);
    for (; *sinks && *others; sinks++, others++) {
        g_assert_cmpstr(*sinks, ==, *others);
        assert_same_options(config_named(a, "sink", *sinks), config_named(b, "sink", *others));
    }
    g_assert_true(!*sinks && !*others);
}

static void assert_options_in_range(const Config *config)
{
    for (int option = 0; option < N_OPTIONS; option++) {
        const OptionInfo *info = &option_info[option];
        bool is_number =
            (info->type == OPTION_INTEGER && !info->words) || info->type == OPTION_SIZE || info->type == OPTION_SPAN;
        if (info->type == OPTION_SECONDS || info->type == OPTION_NUMBER)
            g_assert_true(config_seconds(config, option) >= info->low && config_seconds(config, option) <= info->high);
        if (is_number)
            g_assert_true((double)config_integer(config, option) >= info->low &&
                          (double)config_integer(config, option) <= info->high);
        if (info->type == OPTION_FILE)
            g_assert_true(!*config_text(config, option) || g_path_is_absolute(config_text(config, option)));
    }
}

static void assert_in_range(const Config *config)
{
    guint n = 0;
    assert_options_in_range(config);
    for (const char *const *name = config_names(config, "sink"); *name; name++, n++) {
        g_assert_true(spool_is_sink_name(*name));
        assert_options_in_range(config_named(config, "sink", *name));
    }
    g_assert_cmpuint(n, <=, named_section_find("sink")->most);
}

static void assert_one_line(const char *message, const char *prefix)
{
    g_assert_true(g_str_has_prefix(message, prefix));
    g_assert_true(g_utf8_validate(message, -1, NULL));
    g_assert_cmpuint(strlen(message), <, 400);
    for (const char *c = message; *c; c++)
        g_assert_false(g_ascii_iscntrl(*c));
}

/* Whatever the options are, either they make sinks or one line says why not. */
static void check_sinks(const Config *config)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) sinks = sinks_from_config(config, &error);
    g_assert_true(!sinks == (error != NULL));
    if (error)
        assert_one_line(error->message, "[sink ");
    for (guint i = 0; sinks && i < sinks->len; i++) {
        const SinkSettings *sink = g_ptr_array_index(sinks, i);
        g_assert_nonnull(config_named(config, "sink", sink->name));
        g_assert_false(g_str_has_suffix(sink->url, "/"));
        g_assert_false(*sink->token_file && *sink->user);
        g_assert_true(!*sink->cert_file == !*sink->key_file);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(Config) config = config_new();
    g_autoptr(Config) again = config_new();
    g_autoptr(GError) error = NULL;
    bool is_right = config_parse(config, (const char *)data, size, "fuzz", &error);
    g_assert_true(is_right == !error);
    if (error)
        assert_one_line(error->message, "fuzz:");
    assert_in_range(config);
    check_sinks(config);

    g_autofree char *dump = config_dump(config);
    g_assert_true(config_parse(again, dump, strlen(dump), "dump", NULL));
    assert_same_values(config, again);
    return 0;
}
