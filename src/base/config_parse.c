/* SPDX-License-Identifier: Apache-2.0
 * Reading a configuration file, and saying what is wrong with it. */
#include "base/config_internal.h"
#include "base/file.h"
#include "base/log.h"

#include <string.h>

#define SUGGEST_MAX 32 /* bytes of a word for which a known one is looked for */

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
    const char *directory; /* it is in */
    guint line;            /* from 1 */
    const char *section;   /* in effect … */
    Config *target;        /* … and whose options those are; NULL before the first section and in a wrong one */
    GError *error;         /* the first */
} Parser;

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

/* As a section's header names it: "sink influx", of one without a name yet "sink NAME". Owned by the caller. */
static char *section_title(const char *section, const char *name)
{
    return name || named_section_find(section) ? g_strconcat(section, " ", name ? name : "NAME", NULL)
                                               : g_strdup(section);
}

/* The one in effect. Owned by the caller. */
static char *current_title(const Parser *parser)
{
    return section_title(parser->section, parser->target->name);
}

static const char *known_section(const char *word)
{
    for (int option = 0; option < N_OPTIONS; option++)
        if (strcmp(option_info[option].section, word) == 0)
            return option_info[option].section;
    return NULL;
}

static void report_unknown_section(Parser *parser, const char *header, const char *word)
{
    g_autofree char *quoted = log_quote(header, strlen(header), CONFIG_QUOTE_MAX);
    ConfigOption near = nearest(NULL, word);
    if (near == N_OPTIONS) {
        report(parser, CONFIG_ERROR_UNKNOWN, "[%s]: unknown section", quoted);
        return;
    }
    g_autofree char *title = section_title(option_info[near].section, NULL);
    report(parser, CONFIG_ERROR_UNKNOWN, "[%s]: unknown section, did you mean [%s]?", quoted, title);
}

static bool is_name(const NamedSectionInfo *kind, const char *name)
{
    gsize length = strlen(name);
    return length >= 1 && length <= SECTION_NAME_MAX &&
           strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-") == length &&
           config_word_number(kind->reserved, name) < 0;
}

/* NULL: an error was reported. */
static Config *named_section(Parser *parser, const NamedSectionInfo *kind, const char *name)
{
    const char *section = kind->section;
    if (!name || !*name) {
        report(parser, CONFIG_ERROR_SYNTAX, "[%s]: expected a name too, as in [%s %s]", section, section,
               kind->example);
        return NULL;
    }
    g_autofree char *quoted = config_quote(name);
    if (!is_name(kind, name)) {
        g_autofree char *reserved = config_list_words(kind->reserved);
        report(parser, CONFIG_ERROR_VALUE,
               "[%s %s]: expected a name of 1 to %d of a-z A-Z 0-9 _ -, other than %s, as in [%s %s]", section, quoted,
               SECTION_NAME_MAX, reserved, section, kind->example);
        return NULL;
    }
    Config *target = config_make_named(parser->config, kind, name);
    if (!target)
        report(parser, CONFIG_ERROR_VALUE, "[%s %s]: expected at most %u sections [%s …]", section, quoted, kind->most,
               section);
    return target;
}

/* `header` is what stands between the brackets. */
static Config *find_target(Parser *parser, const char *header, const char **ret_section)
{
    gsize length = strcspn(header, CONFIG_BLANKS);
    const char *name = header[length] ? header + length + strspn(header + length, CONFIG_BLANKS) : NULL;
    g_autofree char *word = g_strndup(header, length);
    const char *section = known_section(word);
    if (!section) {
        g_autofree char *first = g_strdup(header);
        g_strstrip(first)[strcspn(first, CONFIG_BLANKS)] = '\0';
        report_unknown_section(parser, header, first);
        return NULL;
    }
    *ret_section = section;
    const NamedSectionInfo *kind = named_section_find(section);
    if (kind)
        return named_section(parser, kind, name);
    if (!name)
        return parser->config;
    g_autofree char *quoted = config_quote(header);
    report(parser, CONFIG_ERROR_SYNTAX, "[%s]: expected [%s], which takes no name", quoted, section);
    return NULL;
}

static void parse_section(Parser *parser, char *line)
{
    gsize length = strlen(line);
    parser->target = NULL;
    if (line[length - 1] != ']') {
        g_autofree char *quoted = config_quote(line);
        report(parser, CONFIG_ERROR_SYNTAX, "%s: expected [section] and nothing else on the line", quoted);
        return;
    }
    line[length - 1] = '\0';
    parser->target = find_target(parser, line + 1, &parser->section);
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
    g_autofree char *title = current_title(parser);
    g_autofree char *quoted_key = config_quote(key), *quoted_value = config_quote(value);
    ConfigOption near = nearest(parser->section, key);
    if (near == N_OPTIONS) {
        report(parser, CONFIG_ERROR_UNKNOWN, "[%s] %s = %s: unknown key", title, quoted_key, quoted_value);
        return;
    }
    const OptionInfo *info = &option_info[near];
    bool is_here = strcmp(info->section, parser->section) == 0;
    g_autofree char *near_title = section_title(info->section, is_here ? parser->target->name : NULL);
    report(parser, CONFIG_ERROR_UNKNOWN, "[%s] %s = %s: unknown key, did you mean [%s] %s?", title, quoted_key,
           quoted_value, near_title, info->key);
}

/* A # after a blank, or in front. An operator who writes that means a comment; a text that needs one has \s# there. */
static bool has_comment(const char *written)
{
    for (const char *sign = strchr(written, '#'); sign; sign = strchr(sign + 1, '#'))
        if (sign == written || strchr(CONFIG_BLANKS, sign[-1]))
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
    g_autofree char *quoted = config_quote(written);
    g_autofree char *problem = NULL;
    g_autofree char *text = resolve_escapes(written);
    g_autofree char *origin = g_strdup_printf("%s:%u", parser->name, parser->line);

    if (has_comment(written)) {
        problem = g_strdup("a comment needs a line of its own");
    } else if (!text) {
        problem = g_strdup("expected a backslash only in \\s, \\t, \\n, \\r and \\\\");
    } else if (!config_store(parser->target, option, text, parser->directory, origin)) {
        g_autofree char *expected = option_expectation(info);
        problem = g_strdup_printf("expected %s", expected);
    }
    if (!problem)
        return;
    g_autofree char *title = current_title(parser);
    report(parser, CONFIG_ERROR_VALUE, "[%s] %s = %s: %s", title, info->key, quoted, problem);
}

static void parse_pair(Parser *parser, char *line)
{
    g_autofree char *quoted = config_quote(line);
    char *sign = strchr(line, '=');
    if (!sign || sign == line) {
        report(parser, CONFIG_ERROR_SYNTAX, "%s: neither # comment, [section] nor key = value", quoted);
        return;
    }
    if (!parser->target) {
        /* In a wrong section this is not the first error, and so not told. */
        report(parser, CONFIG_ERROR_SYNTAX, "%s: stands before the first [section]", quoted);
        return;
    }
    char *written = sign + 1 + strspn(sign + 1, CONFIG_BLANKS);
    do
        *sign-- = '\0';
    while (sign > line && strchr(CONFIG_BLANKS, *sign));

    ConfigOption option = find_option(parser->section, line);
    if (option == N_OPTIONS) {
        report_unknown_key(parser, line, written);
    } else if (parser->target->lines[option]) {
        g_autofree char *title = current_title(parser), *value = config_quote(written);
        report(parser, CONFIG_ERROR_SYNTAX, "[%s] %s = %s: is set on line %u already", title, line, value,
               parser->target->lines[option]);
    } else {
        parser->target->lines[option] = parser->line;
        parse_value(parser, option, written);
    }
}

static void parse_line(Parser *parser, const char *text, gsize length)
{
    while (length > 0 && strchr(CONFIG_BLANKS "\r", text[length - 1]) && text[length - 1])
        length--;
    while (length > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        length--;
    }
    g_autofree char *line = g_strndup(text, length);
    if (strlen(line) != length || !g_utf8_validate(line, -1, NULL)) {
        g_autofree char *quoted = log_quote(text, length, CONFIG_QUOTE_MAX);
        const char *problem = strlen(line) != length ? "a NUL byte is no text" : "not valid UTF-8";
        report(parser, CONFIG_ERROR_SYNTAX, "%s: %s", quoted, problem);
    } else if (*line == '[') {
        parse_section(parser, line);
    } else if (*line && *line != '#') {
        parse_pair(parser, line);
    }
}

/* Owned by the caller. */
static char *directory_of(const char *name)
{
    g_autofree char *directory = g_path_get_dirname(name);
    if (g_path_is_absolute(directory))
        return g_steal_pointer(&directory);
    g_autofree char *current = g_get_current_dir();
    return strcmp(directory, ".") == 0 ? g_steal_pointer(&current) : g_build_filename(current, directory, NULL);
}

static void forget_lines(Config *config)
{
    memset(config->lines, 0, sizeof config->lines);
    for (guint i = 0; i < N_NAMED_SECTIONS && !config->whole; i++)
        for (guint k = 0; k < config->named[i]->len; k++)
            forget_lines(g_ptr_array_index(config->named[i], k));
}

bool config_parse(Config *config, const char *text, gsize length, const char *name, GError **error)
{
    g_autofree char *safe_name = log_quote(name, strlen(name), CONFIG_FILE_NAME_MAX);
    g_autofree char *directory = directory_of(name);
    Parser parser = {.config = config, .name = safe_name, .directory = directory};
    forget_lines(config);

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

char *config_find(const char *named, const char *const *standard)
{
    const char *set = g_getenv("ONE_TELEMETRY_CONF");
    if (named || (set && *set))
        return g_strdup(named ? named : set);
    for (; *standard; standard++)
        if (g_file_test(*standard, G_FILE_TEST_EXISTS))
            return g_strdup(*standard);
    return NULL;
}

bool config_load(Config *config, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) cause = NULL;
    gsize length;
    if (file_read(path, CONFIG_FILE_MAX, &text, &length, &cause))
        return config_parse(config, text, length, path, error);
    g_autofree char *message = log_quote(cause->message, strlen(cause->message), CONFIG_FILE_NAME_MAX);
    g_set_error_literal(error, CONFIG_ERROR, CONFIG_ERROR_OPEN, message);
    return false;
}
