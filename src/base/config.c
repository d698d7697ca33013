/* SPDX-License-Identifier: Apache-2.0
 * The configuration in memory: the whole, and named sections, which are configurations of their own. */
#include "base/config_internal.h"
#include "base/log.h"

#include <string.h>

G_DEFINE_QUARK(one_telemetry_config_error, config_error)

static bool is_of_section(ConfigOption option, const char *section)
{
    return strcmp(option_info[option].section, section) == 0;
}

/* --- values --- */

const OptionValue *config_value(const Config *config, ConfigOption option)
{
    bool is_own = !config->whole || is_of_section(option, config->kind->section);
    return &(is_own ? config : config->whole)->values[option];
}

bool config_store(Config *config, ConfigOption option, const char *text, const char *directory, const char *origin)
{
    const OptionInfo *info = &option_info[option];
    bool is_relative = info->type == OPTION_FILE && *text && !g_path_is_absolute(text);
    OptionValue value = {.text = is_relative ? g_build_filename(directory, text, NULL) : g_strdup(text)};
    if (!option_read(info, value.text, &value)) {
        g_free(value.text);
        return false;
    }
    value.origin = g_strdup(origin);
    g_free(config->values[option].text);
    g_free(config->values[option].origin);
    config->values[option] = value;
    return true;
}

const char *config_text(const Config *config, ConfigOption option)
{
    OptionType type = option_info[option].type;
    g_assert(type == OPTION_TEXT || type == OPTION_PATH || type == OPTION_FILE);
    return config_value(config, option)->text;
}

gint64 config_integer(const Config *config, ConfigOption option)
{
    OptionType type = option_info[option].type;
    g_assert(type == OPTION_INTEGER || type == OPTION_CHOICE || type == OPTION_BOOL || type == OPTION_SIZE ||
             type == OPTION_SPAN);
    return config_value(config, option)->integer;
}

double config_seconds(const Config *config, ConfigOption option)
{
    g_assert(option_info[option].type == OPTION_SECONDS || option_info[option].type == OPTION_NUMBER);
    return config_value(config, option)->seconds;
}

const char *config_written(const Config *config, ConfigOption option)
{
    return config_value(config, option)->text;
}

const char *config_origin(const Config *config, ConfigOption option)
{
    return config_value(config, option)->origin;
}

char *config_quote(const char *text)
{
    return *text ? log_quote(text, strlen(text), CONFIG_QUOTE_MAX) : g_strdup("(empty)");
}

bool config_set(Config *config, ConfigOption option, const char *value, const char *flag, GError **error)
{
    const OptionInfo *info = &option_info[option];
    g_assert(!named_section_find(info->section));
    g_autofree char *directory = g_get_current_dir();
    if (config_store(config, option, value, directory, "command line"))
        return true;
    g_autofree char *quoted = config_quote(value), *expected = option_expectation(info);
    g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "%s %s: expected %s", flag, quoted, expected);
    return false;
}

/* --- configurations --- */

/* Options of a named section have no value in the whole, and all others none in a named section: those are defaults
 * here, and never change. */
static Config *new_with_defaults(void)
{
    Config *config = g_new0(Config, 1);
    for (int option = 0; option < N_OPTIONS; option++)
        if (!config_store(config, option, option_info[option].standard, "", "default"))
            g_error("options.def: default of %s is out of its range", option_info[option].key);
    return config;
}

Config *config_new(void)
{
    Config *config = new_with_defaults();
    for (guint i = 0; i < N_NAMED_SECTIONS; i++) {
        config->names[i] = g_ptr_array_new();
        g_ptr_array_add(config->names[i], NULL);
        config->named[i] = g_ptr_array_new_with_free_func((GDestroyNotify)config_free);
    }
    return config;
}

void config_free(Config *config)
{
    if (!config)
        return;
    for (int option = 0; option < N_OPTIONS; option++) {
        g_free(config->values[option].text);
        g_free(config->values[option].origin);
    }
    for (guint i = 0; i < N_NAMED_SECTIONS && !config->whole; i++) {
        g_ptr_array_unref(config->names[i]);
        g_ptr_array_unref(config->named[i]);
    }
    g_free(config->name);
    g_free(config);
}

/* --- named sections --- */

static const Config *whole_of(const Config *config)
{
    return config->whole ? config->whole : config;
}

static gsize number_of(const NamedSectionInfo *kind)
{
    g_assert(kind);
    return (gsize)(kind - named_section_info);
}

static Config *find_named(const Config *config, const NamedSectionInfo *kind, const char *name)
{
    const GPtrArray *named = whole_of(config)->named[number_of(kind)];
    for (guint i = 0; i < named->len; i++) {
        Config *one = g_ptr_array_index(named, i);
        if (strcmp(one->name, name) == 0)
            return one;
    }
    return NULL;
}

Config *config_make_named(Config *config, const NamedSectionInfo *kind, const char *name)
{
    Config *found = find_named(config, kind, name);
    GPtrArray *names = config->names[number_of(kind)], *named = config->named[number_of(kind)];
    if (found || named->len >= kind->most)
        return found;
    Config *made = new_with_defaults();
    made->whole = config;
    made->kind = kind;
    made->name = g_strdup(name);
    g_ptr_array_add(named, made);
    g_ptr_array_index(names, names->len - 1) = made->name;
    g_ptr_array_add(names, NULL);
    return made;
}

const char *const *config_names(const Config *config, const char *section)
{
    return (const char *const *)whole_of(config)->names[number_of(named_section_find(section))]->pdata;
}

const Config *config_named(const Config *config, const char *section, const char *name)
{
    return find_named(config, named_section_find(section), name);
}
