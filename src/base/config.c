/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"
#include "base/file.h"
#include "base/log.h"

#include <string.h>

#define QUOTE_MAX 80       /* bytes of a value, key or line that a message repeats */
#define FILE_NAME_MAX 4096 /* bytes of a file's name in a message: PATH_MAX */
#define SUGGEST_MAX 32     /* bytes of a word for which a known one is looked for */
#define HELP_COLUMNS 110
#define BLANKS " \t"

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

typedef struct {
    char *text; /* as one writes it in the file, escapes resolved; owned */
    gint64 integer;
    double seconds;
    char *origin; /* owned */
} OptionValue;

struct Config {
    OptionValue values[N_OPTIONS];
};

G_DEFINE_QUARK(one_telemetry_config_error, config_error)

/* --- one value --- */

/* Number of `text` among words separated by |, or -1. */
static int word_number(const char *words, const char *text)
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
    int word = word_number(option->words, text);
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

/* Fills integer or seconds of `value` from the text. */
static bool read_value(const OptionInfo *option, const char *text, OptionValue *value)
{
    if (!g_utf8_validate(text, -1, NULL))
        return false;
    switch (option->type) {
    case OPTION_TEXT:
        return text[0] != '#'; /* for which the file has no way of writing */
    case OPTION_PATH:
        return text[0] == '\0' || text[0] == '/';
    case OPTION_INTEGER:
        return read_integer(option, text, &value->integer);
    case OPTION_SECONDS:
        return read_seconds(option, text, &value->seconds);
    case OPTION_CHOICE:
        value->integer = word_number(option->words, text);
        return value->integer >= 0;
    case OPTION_BOOL:
        value->integer = word_number("yes|true|on|1", text) >= 0;
        return value->integer || word_number("no|false|off|0", text) >= 0;
    }
    return false;
}

/* "error, warning, info or debug". Owned by the caller. */
static char *list_words(const char *words)
{
    g_auto(GStrv) list = g_strsplit(words, "|", -1);
    guint n = g_strv_length(list);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < n; i++)
        g_string_append_printf(text, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " or ", list[i]);
    return g_string_free(text, FALSE);
}

/* What read_value takes, as it stands behind "expected". Owned by the caller. */
static char *expectation(const OptionInfo *option)
{
    char low[G_ASCII_DTOSTR_BUF_SIZE], high[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd(low, sizeof low, "%.15g", option->low);
    g_ascii_formatd(high, sizeof high, "%.15g", option->high);
    g_autofree char *words = option->words ? list_words(option->words) : g_strdup("");

    switch (option->type) {
    case OPTION_TEXT:
        return g_strdup("text that does not begin with #");
    case OPTION_PATH:
        return g_strdup("an absolute path, or nothing");
    case OPTION_INTEGER:
        return g_strdup_printf("%s%sa whole number from %s to %s", words, *words ? " or " : "", low, high);
    case OPTION_SECONDS:
        return g_strdup_printf("seconds from %s to %s", low, high);
    case OPTION_CHOICE:
        return g_steal_pointer(&words);
    case OPTION_BOOL:
        return g_strdup("yes or no");
    }
    g_assert_not_reached();
}

/* false: the option is as it was. */
static bool store(Config *config, ConfigOption option, const char *text, const char *origin)
{
    OptionValue value = {0};
    if (!read_value(&option_info[option], text, &value))
        return false;
    value.text = g_strdup(text);
    value.origin = g_strdup(origin);
    g_free(config->values[option].text);
    g_free(config->values[option].origin);
    config->values[option] = value;
    return true;
}

/* --- the configuration --- */

Config *config_new(void)
{
    Config *config = g_new0(Config, 1);
    for (int option = 0; option < N_OPTIONS; option++)
        if (!store(config, option, option_info[option].standard, "default"))
            g_error("options.def: default of %s is out of its range", option_info[option].key);
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
    g_free(config);
}

const char *config_text(const Config *config, ConfigOption option)
{
    g_assert(option_info[option].type == OPTION_TEXT || option_info[option].type == OPTION_PATH);
    return config->values[option].text;
}

gint64 config_integer(const Config *config, ConfigOption option)
{
    OptionType type = option_info[option].type;
    g_assert(type == OPTION_INTEGER || type == OPTION_CHOICE || type == OPTION_BOOL);
    return config->values[option].integer;
}

double config_seconds(const Config *config, ConfigOption option)
{
    g_assert(option_info[option].type == OPTION_SECONDS);
    return config->values[option].seconds;
}

/* --- "did you mean" --- */

/* Insertions, deletions and changes of one byte that make `a` into `b`. */
static guint edit_distance(const char *a, const char *b)
{
    guint row[SUGGEST_MAX + 1];
    gsize width = strlen(b);
    g_assert(width <= SUGGEST_MAX);
    for (guint i = 0; i <= width; i++)
        row[i] = i;
    for (; *a; a++) {
        guint diagonal = row[0]++;
        for (guint i = 1; i <= width; i++) {
            guint change = diagonal + (g_ascii_tolower(*a) != g_ascii_tolower(b[i - 1]));
            diagonal = row[i];
            row[i] = MIN(change, MIN(row[i], row[i - 1]) + 1);
        }
    }
    return row[width];
}

/* The known key (`section` given; that section's first) or section (NULL) nearest to `word`, or N_OPTIONS. */
static ConfigOption nearest(const char *section, const char *word)
{
    ConfigOption found = N_OPTIONS;
    gsize length = strlen(word);
    guint best = (guint)(length + 1) / 3 + 1; /* a third of it may be wrong */
    if (length > SUGGEST_MAX)
        return N_OPTIONS;
    for (int option = 0; option < N_OPTIONS; option++) {
        const OptionInfo *info = &option_info[option];
        guint distance = edit_distance(word, section ? info->key : info->section);
        bool same_section = section && strcmp(section, info->section) == 0;
        if (distance < best || (distance == best && found != N_OPTIONS && same_section)) {
            best = distance;
            found = option;
        }
    }
    return found;
}

/* --- reading --- */

typedef struct {
    Config *config;
    const char *name;      /* of the file, safe to print */
    guint line;            /* from 1 */
    const char *section;   /* in effect; NULL before the first and in an unknown one */
    guint seen[N_OPTIONS]; /* the line each option was set in */
    GError *error;         /* the first */
} Parser;

static char *quote(const char *text)
{
    return *text ? log_quote(text, strlen(text), QUOTE_MAX) : g_strdup("(empty)");
}

G_GNUC_PRINTF(3, 4) static void report(Parser *parser, ConfigErrorCode code, const char *format, ...)
{
    if (parser->error)
        return;
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    parser->error = g_error_new(CONFIG_ERROR, code, "%s:%u: %s", parser->name, parser->line, message);
}

static void parse_section(Parser *parser, char *line)
{
    gsize length = strlen(line);
    parser->section = NULL;
    if (line[length - 1] != ']') {
        g_autofree char *quoted = quote(line);
        report(parser, CONFIG_ERROR_SYNTAX, "%s: expected [section] and nothing else on the line", quoted);
        return;
    }
    line[length - 1] = '\0';
    const char *name = line + 1;
    for (int option = 0; option < N_OPTIONS && !parser->section; option++)
        if (strcmp(option_info[option].section, name) == 0)
            parser->section = option_info[option].section;
    if (parser->section)
        return;

    g_autofree char *quoted = log_quote(name, strlen(name), QUOTE_MAX);
    ConfigOption near = nearest(NULL, name);
    if (near == N_OPTIONS)
        report(parser, CONFIG_ERROR_UNKNOWN, "[%s]: unknown section", quoted);
    else
        report(parser, CONFIG_ERROR_UNKNOWN, "[%s]: unknown section, did you mean [%s]?", quoted,
               option_info[near].section);
}

static ConfigOption find_option(const char *section, const char *key)
{
    int option = 0;
    while (option < N_OPTIONS &&
           (strcmp(option_info[option].section, section) != 0 || strcmp(option_info[option].key, key) != 0))
        option++;
    return option;
}

static void report_unknown_key(Parser *parser, const char *key, const char *value)
{
    g_autofree char *quoted_key = quote(key), *quoted_value = quote(value);
    ConfigOption near = nearest(parser->section, key);
    if (near == N_OPTIONS)
        report(parser, CONFIG_ERROR_UNKNOWN, "[%s] %s = %s: unknown key", parser->section, quoted_key, quoted_value);
    else
        report(parser, CONFIG_ERROR_UNKNOWN, "[%s] %s = %s: unknown key, did you mean [%s] %s?", parser->section,
               quoted_key, quoted_value, option_info[near].section, option_info[near].key);
}

/* A # after a blank, or in front. An operator who writes that means a comment; a text that needs one has \s# there. */
static bool has_comment(const char *written)
{
    for (const char *sign = strchr(written, '#'); sign; sign = strchr(sign + 1, '#'))
        if (sign == written || strchr(BLANKS, sign[-1]))
            return true;
    return false;
}

/* The escapes of GLib's key files. GKeyFile itself can't be asked: given a value with two wrong ones it warns on
 * standard error and leaks. NULL where there is a wrong one. */
static char *resolve_escapes(const char *written)
{
    static const char letters[] = "stnr\\", meanings[] = " \t\n\r\\";
    g_autoptr(GString) text = g_string_new(NULL);
    for (const char *c = written; *c; c++) {
        if (*c != '\\') {
            g_string_append_c(text, *c);
            continue;
        }
        const char *letter = *++c ? strchr(letters, *c) : NULL;
        if (!letter)
            return NULL;
        g_string_append_c(text, meanings[letter - letters]);
    }
    return g_strdup(text->str);
}

static void parse_value(Parser *parser, ConfigOption option, const char *written)
{
    const OptionInfo *info = &option_info[option];
    g_autofree char *quoted = quote(written);
    g_autofree char *problem = NULL;
    g_autofree char *text = resolve_escapes(written);
    g_autofree char *origin = g_strdup_printf("%s:%u", parser->name, parser->line);

    if (has_comment(written)) {
        problem = g_strdup("a comment needs a line of its own");
    } else if (!text) {
        problem = g_strdup("expected a backslash only in \\s, \\t, \\n, \\r and \\\\");
    } else if (!store(parser->config, option, text, origin)) {
        g_autofree char *expected = expectation(info);
        problem = g_strdup_printf("expected %s", expected);
    }
    if (problem)
        report(parser, CONFIG_ERROR_VALUE, "[%s] %s = %s: %s", info->section, info->key, quoted, problem);
}

static void parse_pair(Parser *parser, char *line)
{
    g_autofree char *quoted = quote(line);
    char *sign = strchr(line, '=');
    if (!sign || sign == line) {
        report(parser, CONFIG_ERROR_SYNTAX, "%s: neither # comment, [section] nor key = value", quoted);
        return;
    }
    if (!parser->section) {
        /* In an unknown section this is not the first error, and so not told. */
        report(parser, CONFIG_ERROR_SYNTAX, "%s: stands before the first [section]", quoted);
        return;
    }
    char *written = sign + 1 + strspn(sign + 1, BLANKS);
    do
        *sign-- = '\0';
    while (sign > line && strchr(BLANKS, *sign));

    ConfigOption option = find_option(parser->section, line);
    if (option == N_OPTIONS) {
        report_unknown_key(parser, line, written);
    } else if (parser->seen[option]) {
        g_autofree char *value = quote(written);
        report(parser, CONFIG_ERROR_SYNTAX, "[%s] %s = %s: is set on line %u already", parser->section, line, value,
               parser->seen[option]);
    } else {
        parser->seen[option] = parser->line;
        parse_value(parser, option, written);
    }
}

static void parse_line(Parser *parser, const char *text, gsize length)
{
    while (length > 0 && strchr(BLANKS "\r", text[length - 1]) && text[length - 1])
        length--;
    while (length > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        length--;
    }
    g_autofree char *line = g_strndup(text, length);
    if (strlen(line) != length || !g_utf8_validate(line, -1, NULL)) {
        g_autofree char *quoted = log_quote(text, length, QUOTE_MAX);
        const char *problem = strlen(line) != length ? "a NUL byte is no text" : "not valid UTF-8";
        report(parser, CONFIG_ERROR_SYNTAX, "%s: %s", quoted, problem);
    } else if (*line == '[') {
        parse_section(parser, line);
    } else if (*line && *line != '#') {
        parse_pair(parser, line);
    }
}

bool config_parse(Config *config, const char *text, gsize length, const char *name, GError **error)
{
    g_autofree char *safe_name = log_quote(name, strlen(name), FILE_NAME_MAX);
    Parser parser = {.config = config, .name = safe_name};

    const char *end = text + length;
    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (gsize)(end - line));
        const char *line_end = newline ? newline : end;
        parser.line++;
        parse_line(&parser, line, (gsize)(line_end - line));
        line = newline ? newline + 1 : end;
    }
    if (!parser.error)
        return true;
    g_propagate_error(error, parser.error);
    return false;
}

bool config_load(Config *config, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) cause = NULL;
    gsize length;
    if (file_read(path, CONFIG_FILE_MAX, &text, &length, &cause))
        return config_parse(config, text, length, path, error);
    g_autofree char *message = log_quote(cause->message, strlen(cause->message), FILE_NAME_MAX);
    g_set_error_literal(error, CONFIG_ERROR, CONFIG_ERROR_OPEN, message);
    return false;
}

bool config_set(Config *config, ConfigOption option, const char *value, const char *flag, GError **error)
{
    if (store(config, option, value, "command line"))
        return true;
    g_autofree char *quoted = quote(value), *expected = expectation(&option_info[option]);
    g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "%s %s: expected %s", flag, quoted, expected);
    return false;
}

/* --- writing --- */

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

static void append_section(GString *file, int option)
{
    const char *section = option_info[option].section;
    if (option == 0 || strcmp(option_info[option - 1].section, section) != 0)
        g_string_append_printf(file, "%s[%s]\n", file->len ? "\n" : "", section);
}

static void append_option(GString *file, const char *mark, const OptionInfo *option, const char *value)
{
    g_autofree char *written = escape_value(value);
    g_string_append_printf(file, "%s%s =%s%s\n", mark, option->key, *written ? " " : "", written);
}

char *config_dump(const Config *config)
{
    GString *file = g_string_new(NULL);
    for (int option = 0; option < N_OPTIONS; option++) {
        append_section(file, option);
        g_string_append_printf(file, "# %s\n", config->values[option].origin);
        append_option(file, "", &option_info[option], config->values[option].text);
    }
    return g_string_free(file, FALSE);
}

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

char *config_sample(void)
{
    GString *file = g_string_new(NULL);
    append_comment(file,
                   "Configuration of one-telemetry. Every option stands here with its default: to change one, take "
                   "away the # in front of it. A comment needs a line of its own. In a text \\s, \\t, \\n, \\r and "
                   "\\\\ stand for space, tab, newline, carriage return and backslash.");
    for (int option = 0; option < N_OPTIONS; option++) {
        const OptionInfo *info = &option_info[option];
        g_autofree char *help = g_strconcat(info->help, g_str_has_suffix(info->help, ".") ? "" : ".", NULL);
        g_autofree char *expected = expectation(info);
        g_autofree char *range =
            g_strdup_printf("Takes %s. Default: %s.", expected, *info->standard ? info->standard : "empty");
        append_section(file, option);
        g_string_append_c(file, '\n');
        append_comment(file, help);
        append_comment(file, range);
        append_option(file, "#", info, info->standard);
    }
    return g_string_free(file, FALSE);
}
