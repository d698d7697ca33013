/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/kvmrc.h"
#include "base/file.h"
#include "base/remotes.h"

#include <stdbool.h>
#include <string.h>

#define BLANKS " \t"

/* --- one line --- */

static const char *skip_export(const char *line)
{
    const char *word = "export";
    if (!g_str_has_prefix(line, word))
        return line;
    const char *after = line + strlen(word);
    gsize blanks = strspn(after, BLANKS);
    return blanks > 0 ? after + blanks : line;
}

/* What stands behind "NAME=", or NULL where the line assigns nothing to NAME. With "NAME+=" it is not a value that can
 * be read without the one before: *ret_appends. */
static const char *assigned(const char *line, const char *name, bool *ret_appends)
{
    const char *start = skip_export(line + strspn(line, BLANKS));
    if (!g_str_has_prefix(start, name))
        return NULL;
    const char *sign = start + strlen(name);
    bool appends = *sign == '+';
    if (sign[appends] != '=')
        return NULL;
    *ret_appends = appends;
    return sign + appends + 1;
}

/* Length of the word at `text` as a shell cuts it, or -1: an open quote, or something that only a shell can work out.
 */
static gssize word_length(const char *text)
{
    char quote = '\0';
    const char *c;
    if (*text == '~')
        return -1;
    for (c = text; *c && (quote || !strchr(BLANKS, *c)); c++) {
        if (quote == '\'') {
            quote = (char)(*c == '\'' ? '\0' : quote);
        } else if (*c == '\\') {
            if (*++c == '\0') /* goes on in the next line */
                return -1;
        } else if (strchr("$`", *c) || (!quote && strchr(";&|<>()", *c))) {
            return -1;
        } else if (quote) {
            quote = (char)(*c == quote ? '\0' : quote);
        } else if (*c == '\'' || *c == '"') {
            quote = *c;
        }
    }
    return c - text;
}

/* NULL where it is not one word, then perhaps a comment. */
static char *read_value(const char *text)
{
    gssize length = word_length(text);
    if (length < 0)
        return NULL;
    const char *after = text + length;
    const char *rest = after + strspn(after, BLANKS);
    if (*rest && *rest != '#')
        return NULL;
    g_autofree char *word = g_strndup(text, (gsize)length);
    return g_shell_unquote(word, NULL); /* NULL for an open quote */
}

/* --- the file --- */

/* *ret_assigned: something is, though it may be nothing that can be read. */
static char *last_value(const char *text, gsize length, const char *name, bool *ret_assigned)
{
    g_autofree char *value = NULL;
    const char *end = text + length;
    *ret_assigned = false;
    for (const char *line = text; line < end;) {
        const char *newline = memchr(line, '\n', (gsize)(end - line));
        const char *line_end = newline ? newline : end;
        gsize line_length = (gsize)(line_end - line);
        if (line_length > 0 && line[line_length - 1] == '\r')
            line_length--;

        g_autofree char *copy = g_strndup(line, line_length);
        bool appends, is_text = strlen(copy) == line_length;
        const char *written = assigned(copy, name, &appends);
        if (written) {
            /* The last one counts even when it can't be read: an earlier value is not the one in effect. */
            *ret_assigned = true;
            g_free(value);
            value = is_text && !appends ? read_value(written) : NULL;
        }
        line = newline ? newline + 1 : end;
    }
    return g_steal_pointer(&value);
}

char *kvmrc_value(const char *text, gsize length, const char *name)
{
    bool assigned;
    return last_value(text, length, name, &assigned);
}

char *kvmrc_libvirt_uri(const char *program, GError **error)
{
    g_autofree char *root = remotes_root(program), *content = NULL;
    g_autofree char *path = root ? g_build_filename(root, "etc", "vmm", "kvm", "kvmrc", NULL) : NULL;
    g_autoptr(GError) reason = NULL;
    gsize length;
    bool assigned;
    if (!path)
        return NULL;
    if (!file_read(path, KVMRC_FILE_MAX, &content, &length, &reason)) {
        if (!g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING))
            g_propagate_error(error, g_steal_pointer(&reason));
        return NULL;
    }
    g_autofree char *uri = last_value(content, length, "LIBVIRT_URI", &assigned);
    if (assigned && !uri)
        g_set_error(
            error, FILE_ERROR, FILE_ERROR_IO,
            "%s: LIBVIRT_URI is not written as a plain value; write LIBVIRT_URI=URI alone on its line, or set uri "
            "in section [probe] of telemetry.conf",
            path);
    return uri && *uri ? g_steal_pointer(&uri) : NULL;
}
