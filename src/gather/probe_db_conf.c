/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/probe_db_conf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/remotes.h"
#include "base/text.h"

#include <string.h>

#define BLANKS " \t"
#define QUOTED_BYTES 80 /* of a line that a complaint shows */
#define TIMES_MAX 1000000
#define MINUTES_MAX 100000000

enum { TIMES_DEFAULT = 3, TIMES_SHIPPED = 5, OBSOLETE_MINUTES = 720 };

/* --- one value --- */

/* In single quotes '' is a quote; in double quotes a backslash makes the next character plain, where it is a quote or a
 * backslash. NULL: the quote is not closed, or it has another escape. *ret_rest: what stands behind it. */
static char *read_quoted(const char *text, const char **ret_rest)
{
    const char quote = *text++;
    g_autoptr(GString) value = g_string_new(NULL);
    for (; *text; text++) {
        if (*text == quote && !(quote == '\'' && text[1] == quote)) {
            *ret_rest = text + 1;
            return g_strdup(value->str);
        }
        bool escapes = *text == quote || (quote == '"' && *text == '\\');
        if (escapes && *++text != quote && *text != '\\')
            return NULL;
        g_string_append_c(value, *text);
    }
    return NULL;
}

/* Up to a comment, which begins behind a blank. */
static char *read_plain(const char *text)
{
    if (*text && strchr("&*!|>%@`[]{},#?\"'", *text))
        return NULL;
    const char *end = text;
    while (*end && !(strchr(BLANKS, *end) && end[strspn(end, BLANKS)] == '#'))
        end++;
    g_autofree char *value = g_strndup(text, (gsize)(end - text));
    g_strchomp(value);
    return strstr(value, ": ") || g_str_has_suffix(value, ":") ? NULL : g_steal_pointer(&value);
}

/* NULL: it is none that can be read. Owned by the caller. */
static char *read_value(const char *text)
{
    if (*text != '"' && *text != '\'')
        return read_plain(text);
    const char *rest = NULL;
    g_autofree char *value = read_quoted(text, &rest);
    if (!value || (*rest && !strchr(BLANKS, *rest)))
        return NULL;
    rest += strspn(rest, BLANKS);
    return *rest == '\0' || *rest == '#' ? g_steal_pointer(&value) : NULL;
}

/* --- one line --- */

typedef struct {
    ProbeDbConf *conf;
    GPtrArray *complaints;
    guint line;
} Reading;

static void complain(const Reading *reading, const char *text, const char *expected)
{
    g_autofree char *shown = log_quote(text, strlen(text), QUOTED_BYTES);
    g_ptr_array_add(reading->complaints,
                    g_strdup_printf("line %u: \"%s\": expected %s", reading->line, shown, expected));
}

static guint64 number_in(const char *value, guint64 low, guint64 high, guint64 otherwise, bool *ret_good)
{
    guint64 number = otherwise;
    const char *digits = value ? value + (*value == '+') : NULL;
    *ret_good = digits && strlen(digits) <= 12 && text_read_u64(digits, &number) && number >= low && number <= high &&
                (digits[0] != '0' || digits[1] == '\0'); /* YAML reads 010 as 8 */
    return *ret_good ? number : otherwise;
}

static void take_option(const Reading *reading, const char *line, const char *key, const char *written)
{
    g_autofree char *value = read_value(written);
    ProbeDbConf *conf = reading->conf;
    bool good = true;
    if (strcmp(key, "times_missing") == 0) {
        conf->times_missing = number_in(value, 0, TIMES_MAX, TIMES_SHIPPED, &good);
        if (!good)
            complain(reading, line, ":times_missing: and a whole number from 0 to 1000000; taken as 5");
    } else if (strcmp(key, "obsolete") == 0) {
        conf->obsolete_s = number_in(value, 1, MINUTES_MAX, OBSOLETE_MINUTES, &good) * 60;
        if (!good)
            complain(reading, line, ":obsolete: and a whole number of minutes from 1 to 100000000; taken as 720");
    } else if (strcmp(key, "base_path") == 0) {
        g_free(conf->base_path);
        conf->base_path = value && *value ? g_steal_pointer(&value) : NULL;
        if (!conf->base_path)
            complain(reading, line, ":base_path: and a directory; the usual one is taken");
    }
}

static void take_line(const Reading *reading, char *line)
{
    g_strchomp(line);
    if (*line == '#' || line[strspn(line, BLANKS)] == '\0' || line[strspn(line, BLANKS)] == '#' ||
        strcmp(line, "---") == 0 || strcmp(line, "...") == 0)
        return;
    const char *colon = *line == ':' ? strchr(line + 1, ':') : strchr(line, ':');
    gsize length = colon ? (gsize)(colon - line) : 0;
    if (length == 0 || strcspn(line, BLANKS) < length || (colon[1] && !strchr(BLANKS, colon[1]))) {
        complain(reading, line, "a line \":key: value\"; it is passed over");
        return;
    }
    if (*line != ':') /* another kind of key for Ruby, and so none of its options */
        return;
    g_autofree char *key = g_strndup(line + 1, length - 1);
    const char *value = colon + 1 + strspn(colon + 1, BLANKS);
    take_option(reading, line, key, value);
}

/* --- the file --- */

ProbeDbConf *probe_db_conf_read(const char *text, gsize length, GPtrArray *complaints)
{
    ProbeDbConf *conf = g_new0(ProbeDbConf, 1);
    Reading reading = {conf, complaints, 0};
    conf->times_missing = TIMES_DEFAULT;
    conf->obsolete_s = (guint64)OBSOLETE_MINUTES * 60;
    for (const char *at = text, *end = text + length; at < end;) {
        const char *newline = memchr(at, '\n', (gsize)(end - at));
        const char *line_end = newline ? newline : end;
        g_autofree char *line = g_strndup(at, (gsize)(line_end - at)); /* up to a NUL, should there be one */
        reading.line++;
        take_line(&reading, line);
        at = newline ? newline + 1 : end;
    }
    return conf;
}

void probe_db_conf_free(ProbeDbConf *conf)
{
    g_free(conf->base_path);
    g_free(conf);
}

ProbeDbConf *probe_db_conf_load(const char *program, GPtrArray *complaints)
{
    g_autofree char *root = program ? remotes_root(program) : NULL, *content = NULL;
    g_autofree char *path = root ? g_build_filename(root, "etc", "im", "kvm-probes.d", "probe_db.conf", NULL) : NULL;
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    gsize length = 0;
    ProbeDbConf *conf;
    if (path && file_read(path, PROBE_DB_CONF_FILE_MAX, &content, &length, &error)) {
        conf = probe_db_conf_read(content, length, found);
    } else {
        conf = probe_db_conf_read("", 0, found);
        if (error && !g_error_matches(error, FILE_ERROR, FILE_ERROR_MISSING)) {
            conf->times_missing = TIMES_SHIPPED;
            g_ptr_array_add(complaints, g_strdup_printf("%s; :times_missing: is taken as 5", error->message));
        }
    }
    for (guint i = 0; i < found->len; i++)
        g_ptr_array_add(complaints, g_strdup_printf("%s: %s", path, (const char *)g_ptr_array_index(found, i)));
    return conf;
}
