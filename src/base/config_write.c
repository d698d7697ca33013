/* SPDX-License-Identifier: Apache-2.0
 * Writing configuration files: what is in effect, and the sample. */
#include "base/config_internal.h"

#include <string.h>

#define HELP_COLUMNS 110

/* Such that parse_value gives the text again: blanks at both ends and in front of # are escaped. */
static char *escape_value(const char *text)
{
    GString *written = g_string_new(NULL);
    for (const char *c = text; *c; c++) {
        const char *escape = *c == '\\' ? "\\\\" : *c == '\t' ? "\\t" : *c == '\n' ? "\\n" : *c == '\r' ? "\\r" : NULL;
        if (*c == ' ' && (c == text || c[1] == '\0' || c[1] == '#'))
            escape = "\\s";
        if (escape)
            g_string_append(written, escape);
        else
            g_string_append_c(written, *c);
    }
    return g_string_free(written, FALSE);
}

static void append_header(GString *file, const char *section, const char *name)
{
    g_string_append_printf(file, "%s[%s%s%s]\n", file->len ? "\n" : "", section, name ? " " : "", name ? name : "");
}

static void append_option(GString *file, const char *mark, const OptionInfo *option, const char *value)
{
    g_autofree char *written = escape_value(value);
    g_string_append_printf(file, "%s%s =%s%s\n", mark, option->key, *written ? " " : "", written);
}

/* --- what is in effect --- */

/* The rows of a section stand together. */
static bool is_first_of_section(int option)
{
    return option == 0 || strcmp(option_info[option - 1].section, option_info[option].section) != 0;
}

/* The section whose first row is `first`, of the whole configuration or of a named one. */
static void dump_section(GString *file, const Config *config, int first)
{
    append_header(file, option_info[first].section, config->name);
    for (int option = first; option == first || (option < N_OPTIONS && !is_first_of_section(option)); option++) {
        const OptionValue *value = &config->values[option];
        g_string_append_printf(file, "# %s\n", value->origin);
        append_option(file, "", &option_info[option], value->text);
    }
}

char *config_dump(const Config *config)
{
    GString *file = g_string_new(NULL);
    for (int option = 0; option < N_OPTIONS; option++) {
        const char *section = option_info[option].section;
        if (!is_first_of_section(option))
            continue;
        if (!named_section_find(section)) {
            dump_section(file, config, option);
            continue;
        }
        for (const char *const *name = config_names(config, section); *name; name++)
            dump_section(file, config_named(config, section, *name), option);
    }
    return g_string_free(file, FALSE);
}

/* --- the sample --- */

/* The text as comment lines, broken between words. */
static void append_comment(GString *file, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    glong column = 0;
    for (guint i = 0; words[i]; i++) {
        glong width = 1 + g_utf8_strlen(words[i], -1);
        if (i == 0 || column + width > HELP_COLUMNS) {
            g_string_append(file, i == 0 ? "#" : "\n#");
            column = 1;
        }
        g_string_append_printf(file, " %s", words[i]);
        column += width;
    }
    g_string_append_c(file, '\n');
}

static void append_sentence(GString *file, const char *text)
{
    g_autofree char *sentence = g_strconcat(text, ".", NULL);
    append_comment(file, sentence);
}

/* The header of a named section is commented out too, so that the sample defines none. */
static void sample_section(GString *file, const char *section)
{
    const NamedSectionInfo *kind = named_section_find(section);
    if (!kind) {
        append_header(file, section, NULL);
        return;
    }
    g_string_append_c(file, '\n');
    append_sentence(file, kind->help);
    g_autofree char *rule = named_section_rule(kind);
    append_sentence(file, rule);
    g_string_append_printf(file, "#[%s %s]\n", section, kind->example);
}

static void sample_option(GString *file, const OptionInfo *info)
{
    g_autofree char *expected = option_expectation(info);
    g_autofree char *range =
        g_strdup_printf("Takes %s. Default: %s.", expected, *info->standard ? info->standard : "empty");
    g_string_append_c(file, '\n');
    append_sentence(file, info->help);
    append_comment(file, range);
    append_option(file, "#", info, info->standard);
}

char *config_sample(void)
{
    GString *file = g_string_new(NULL);
    append_comment(file,
                   "Configuration of one-telemetry. Every option stands here with its default: to change one, take "
                   "away the # in front of it, and in front of its [section]. A comment needs a line of its own. In a "
                   "text \\s, \\t, \\n, \\r and \\\\ stand for space, tab, newline, carriage return and backslash.");
    for (int option = 0; option < N_OPTIONS; option++) {
        if (is_first_of_section(option))
            sample_section(file, option_info[option].section);
        sample_option(file, &option_info[option]);
    }
    return g_string_free(file, FALSE);
}
