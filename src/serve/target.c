/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/target.h"

#include <string.h>

G_DEFINE_QUARK(one_telemetry_target, target_error)

static bool refuse(GError **error, TargetErrorCode code, const char *message)
{
    g_set_error_literal(error, TARGET_ERROR, (gint)code, message);
    return false;
}

/* --- percent encoding --- */

/* Decodes `text` in place up to `end`, which becomes NUL. */
static bool decode(char *text, const char *end, bool plus_is_space, GError **error)
{
    char *out = text;
    for (const char *in = text; in < end; in++) {
        int high, low;
        if (*in == '+' && plus_is_space) {
            *out++ = ' ';
        } else if (*in != '%') {
            *out++ = *in;
        } else if (end - in < 3 || (high = g_ascii_xdigit_value(in[1])) < 0 ||
                   (low = g_ascii_xdigit_value(in[2])) < 0) {
            return refuse(error, TARGET_ERROR_SYNTAX, "a % has to be followed by two hexadecimal digits");
        } else if (high == 0 && low == 0) {
            return refuse(error, TARGET_ERROR_SYNTAX, "%00 is no character");
        } else {
            *out++ = (char)(high * 16 + low);
            in += 2;
        }
    }
    *out = '\0';
    return true;
}

static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((guchar)*c < ' ' || *c == 0x7F)
            return false;
    return g_utf8_validate(text, -1, NULL);
}

/* --- path --- */

/* An encoded slash or backslash would be a segment to one reader and a separator to another. */
static bool has_hidden_separator(const char *path)
{
    for (const char *c = strchr(path, '%'); c; c = strchr(c + 1, '%'))
        if (g_ascii_strncasecmp(c, "%2f", 3) == 0 || g_ascii_strncasecmp(c, "%5c", 3) == 0)
            return true;
    return strchr(path, '\\') != NULL;
}

static bool has_odd_segment(const char *path)
{
    for (const char *c = path; *c; c++) {
        gsize length = strcspn(c + 1, "/");
        if (length == 0 && (c != path || c[1]))
            return true;
        if ((length == 1 && c[1] == '.') || (length == 2 && c[1] == '.' && c[2] == '.'))
            return true;
        c += length;
    }
    return false;
}

static bool read_path(char *path, GError **error)
{
    if (has_hidden_separator(path))
        return refuse(error, TARGET_ERROR_SYNTAX, "the path holds an encoded / or a \\");
    if (!decode(path, path + strlen(path), false, error))
        return false;
    if (!is_plain(path))
        return refuse(error, TARGET_ERROR_SYNTAX, "the path holds control characters or no UTF-8");
    return !has_odd_segment(path) ||
           refuse(error, TARGET_ERROR_SYNTAX, "the path holds an empty segment, or one of . or ..");
}

/* --- query --- */

static bool add_parameter(Target *target, const char *name, const char *value, GError **error)
{
    if (target->n_parameters == TARGET_PARAMETERS_MAX)
        return refuse(error, TARGET_ERROR_LIMIT, "too many parameters");
    if (!*name || !is_plain(name) || !is_plain(value))
        return refuse(error, TARGET_ERROR_SYNTAX, "a parameter has no name, or holds control characters or no UTF-8");
    if (target_parameter(target, name))
        return refuse(error, TARGET_ERROR_SYNTAX, "a parameter stands there twice");
    target->parameters[target->n_parameters++] = (TargetParameter){name, value};
    return true;
}

static bool read_query(Target *target, char *query, GError **error)
{
    target->parameters = g_new(TargetParameter, TARGET_PARAMETERS_MAX);
    char *next;
    for (char *at = query; at; at = next) {
        gsize length = strcspn(at, "&");
        next = at[length] ? at + length + 1 : NULL;
        char *end = at + length, *equals = memchr(at, '=', length);
        if (length == 0)
            continue;
        char *value = equals ? equals + 1 : end;
        if ((equals && !decode(value, end, true, error)) || !decode(at, equals ? equals : end, true, error) ||
            !add_parameter(target, at, equals ? value : "", error))
            return false;
    }
    return true;
}

/* --- the target --- */

Target *target_parse(const char *text, GError **error)
{
    if (strlen(text) > TARGET_MAX) {
        refuse(error, TARGET_ERROR_LIMIT, "the request's target is too long");
        return NULL;
    }
    if (*text != '/' || strchr(text, '#')) {
        refuse(error, TARGET_ERROR_SYNTAX, "the request's target has to be a path, which begins with /");
        return NULL;
    }
    g_autoptr(Target) target = g_new0(Target, 1);
    target->storage = g_strdup(text);
    target->path = target->storage;
    char *query = strchr(target->storage, '?');
    if (query)
        *query++ = '\0';
    if (!read_path(target->path, error) || (query && !read_query(target, query, error)))
        return NULL;
    return g_steal_pointer(&target);
}

void target_free(Target *target)
{
    if (!target)
        return;
    g_free(target->parameters);
    g_free(target->storage);
    g_free(target);
}

const char *target_parameter(const Target *target, const char *name)
{
    for (guint i = 0; i < target->n_parameters; i++)
        if (strcmp(target->parameters[i].name, name) == 0)
            return target->parameters[i].value;
    return NULL;
}
