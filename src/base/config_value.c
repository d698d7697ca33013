/* SPDX-License-Identifier: Apache-2.0
 * One option: what it is, which values it takes, and how that is said. */
#include "base/config_internal.h"

#include <string.h>

const OptionInfo option_info[N_OPTIONS] = {
#define OPTION(s, k, t, d, l, h, w, text)                                                                              \
    [CONFIG_##s##_##k] = {.section = #s,                                                                               \
                          .key = #k,                                                                                   \
                          .type = OPTION_##t,                                                                          \
                          .standard = (d),                                                                             \
                          .low = (l),                                                                                  \
                          .high = (h),                                                                                 \
                          .words = (w),                                                                                \
                          .help = (text)},
#include "base/options.def"
#undef OPTION
};

const NamedSectionInfo named_section_info[N_NAMED_SECTIONS] = {
    {.section = "sink",
     .reserved = "tmp|bad|lock|state", /* a sink's name is a directory's in the spool, which has these of its own */
     .most = 32,
     .example = "influx",
     .help = "What the data is sent to: one such section for each database, or other endpoint that takes line protocol "
             "over HTTP, under a name of its own. Messages and its queue in the spool bear the name"},
};

const NamedSectionInfo *named_section_find(const char *section)
{
    for (guint i = 0; i < N_NAMED_SECTIONS; i++)
        if (strcmp(named_section_info[i].section, section) == 0)
            return &named_section_info[i];
    return NULL;
}

char *named_section_rule(const NamedSectionInfo *kind)
{
    g_autofree char *reserved = config_list_words(kind->reserved);
    return g_strdup_printf(
        "A name has 1 to %d of a-z A-Z 0-9 _ - and is not %s. There are at most %u of these sections", SECTION_NAME_MAX,
        reserved, kind->most);
}

int config_word_number(const char *words, const char *text)
{
    if (!words)
        return -1;
    g_auto(GStrv) list = g_strsplit(words, "|", -1);
    for (int i = 0; list[i]; i++)
        if (strcmp(list[i], text) == 0)
            return i;
    return -1;
}

static bool read_integer(const OptionInfo *option, const char *text, gint64 *ret_integer)
{
    int word = config_word_number(option->words, text);
    if (word >= 0) {
        *ret_integer = -1 - word;
        return true;
    }
    char *end;
    gint64 integer = g_ascii_strtoll(text, &end, 10);
    /* Too many digits give the largest of 64 bits, which no option takes. */
    if (!g_ascii_isdigit(text[text[0] == '-']) || *end || (double)integer < option->low ||
        (double)integer > option->high)
        return false;
    *ret_integer = integer;
    return true;
}

static bool read_seconds(const OptionInfo *option, const char *text, double *ret_seconds)
{
    char *end;
    double seconds = g_ascii_strtod(text, &end);
    /* strtod would take "inf", "0x1p3", "1e1" and leading blanks as well. */
    if (end == text || *end || text[strspn(text, "0123456789.")] || seconds < option->low || seconds > option->high)
        return false;
    *ret_seconds = seconds;
    return true;
}

typedef struct {
    char letter;
    gint64 factor;
} Unit;

/* The largest first, ended by one without a factor. */
static const Unit size_units[] = {{'G', 1 << 30}, {'M', 1 << 20}, {'K', 1 << 10}, {0}};
static const Unit span_units[] = {{'d', 24 * 60 * 60}, {'h', 60 * 60}, {'m', 60}, {'s', 1}, {0}};

static bool read_units(const OptionInfo *option, const Unit *units, const char *text, gint64 *ret_integer)
{
    char *end;
    gint64 number = g_ascii_strtoll(text, &end, 10), factor = 1;
    if (!g_ascii_isdigit(text[0]) || (*end && end[1]))
        return false;
    if (*end) {
        while (units->factor && units->letter != *end)
            units++;
        factor = units->factor;
    }
    if (!factor || (double)number * (double)factor < option->low || (double)number * (double)factor > option->high)
        return false;
    *ret_integer = number * factor;
    return true;
}

bool option_read(const OptionInfo *option, const char *text, OptionValue *value)
{
    if (!g_utf8_validate(text, -1, NULL))
        return false;
    switch (option->type) {
    case OPTION_TEXT:
        return text[0] != '#'; /* for which the file has no way of writing */
    case OPTION_PATH:
    case OPTION_FILE: /* relative ones are absolute by now */
        return text[0] == '\0' || text[0] == '/';
    case OPTION_INTEGER:
        return read_integer(option, text, &value->integer);
    case OPTION_SIZE:
        return read_units(option, size_units, text, &value->integer);
    case OPTION_SPAN:
        return read_units(option, span_units, text, &value->integer);
    case OPTION_SECONDS:
    case OPTION_NUMBER:
        return read_seconds(option, text, &value->seconds);
    case OPTION_CHOICE:
        value->integer = config_word_number(option->words, text);
        return value->integer >= 0;
    case OPTION_BOOL:
        value->integer = config_word_number("yes|true|on|1", text) >= 0;
        return value->integer || config_word_number("no|false|off|0", text) >= 0;
    }
    return false;
}

char *config_list_words(const char *words)
{
    g_auto(GStrv) list = g_strsplit(words, "|", -1);
    guint n = g_strv_length(list);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < n; i++)
        g_string_append_printf(text, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", list[i]);
    return g_string_free(text, FALSE);
}

/* "512M": in the largest unit in which it is a whole number. Owned by the caller. */
static char *write_units(const Unit *units, double value)
{
    gint64 number = (gint64)value;
    while (units->factor && (number == 0 || number % units->factor != 0))
        units++;
    return units->factor ? g_strdup_printf("%" G_GINT64_FORMAT "%c", number / units->factor, units->letter)
                         : g_strdup_printf("%" G_GINT64_FORMAT, number);
}

static char *expect_units(const OptionInfo *option, const Unit *units, const char *noun, const char *forms)
{
    g_autofree char *low = write_units(units, option->low), *high = write_units(units, option->high);
    return g_strdup_printf("%s from %s to %s (%s behind the number)", noun, low, high, forms);
}

char *option_expectation(const OptionInfo *option)
{
    char low[G_ASCII_DTOSTR_BUF_SIZE], high[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd(low, sizeof low, "%.15g", option->low);
    g_ascii_formatd(high, sizeof high, "%.15g", option->high);
    g_autofree char *words = option->words ? config_list_words(option->words) : g_strdup("");

    switch (option->type) {
    case OPTION_TEXT:
        return g_strdup("text that does not begin with #");
    case OPTION_PATH:
        return g_strdup("an absolute path, or nothing");
    case OPTION_INTEGER:
        return g_strdup_printf("%s%sa whole number from %s to %s", words, *words ? " or " : "", low, high);
    case OPTION_FILE:
        return g_strdup("an absolute path, one relative to the configuration file's directory, or nothing");
    case OPTION_SIZE:
        return expect_units(option, size_units, "a size", "bytes, or K, M or G");
    case OPTION_SPAN:
        return expect_units(option, span_units, "a time", "seconds, or s, m, h or d");
    case OPTION_SECONDS:
        return g_strdup_printf("seconds from %s to %s", low, high);
    case OPTION_NUMBER:
        return g_strdup_printf("a number from %s to %s", low, high);
    case OPTION_CHOICE:
        return g_steal_pointer(&words);
    case OPTION_BOOL:
        return g_strdup("yes or no");
    }
    g_assert_not_reached();
}
