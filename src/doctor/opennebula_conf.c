/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/opennebula_conf.h"
#include "base/text.h"

#include <string.h>

#define NUMBER_MAX 1000000000

/* The text without comments: a # that stands in no quotes, up to the end of its line. Owned by the caller. */
static char *without_comments(const char *text, gsize length)
{
    GString *out = g_string_sized_new(length);
    bool quoted = false;
    for (gsize i = 0; i < length; i++) {
        if (text[i] == '"')
            quoted = !quoted;
        if (text[i] == '#' && !quoted)
            while (i + 1 < length && text[i + 1] != '\n')
                i++;
        else if (text[i] != '\0')
            g_string_append_c(out, text[i]);
    }
    return g_string_free(out, FALSE);
}

/* What stands behind "NAME =" at `at`, where a word begins; NULL: it is no assignment to that name. */
static const char *assigned(const char *at, const char *name)
{
    gsize length = strlen(name);
    if (g_ascii_strncasecmp(at, name, length) != 0)
        return NULL;
    at += length;
    at += strspn(at, " \t\r\n");
    return *at == '=' ? at + 1 + strspn(at + 1, " \t\r\n") : NULL;
}

/* The last assignment to the name in the text. */
static const char *find_last(const char *text, const char *name)
{
    const char *found = NULL;
    for (const char *at = text; *at; at++) {
        bool begins = at == text || strchr(" \t\r\n,[", at[-1]);
        const char *value = begins ? assigned(at, name) : NULL;
        if (value)
            found = value;
    }
    return found;
}

/* The word, or what stands in quotes, at `value`. Owned by the caller. */
static char *read_value(const char *value)
{
    if (*value == '[')
        return NULL;
    if (*value == '"')
        return g_strndup(value + 1, strcspn(value + 1, "\""));
    return g_strndup(value, strcspn(value, " \t\r\n,]"));
}

char *opennebula_conf_text(const char *text, gsize length, const char *key)
{
    g_autofree char *plain = without_comments(text, length);
    const char *value = find_last(plain, key);
    return value ? read_value(value) : NULL;
}

bool opennebula_conf_number(const char *text, gsize length, const char *vector, const char *key, guint64 *ret_value)
{
    g_autofree char *plain = without_comments(text, length);
    const char *begin = find_last(plain, vector);
    if (!begin || *begin != '[')
        return false;
    g_autofree char *inside = g_strndup(begin + 1, strcspn(begin + 1, "]"));
    const char *value = find_last(inside, key);
    g_autofree char *digits = value ? read_value(value) : NULL;
    guint64 number;
    if (!digits || !text_read_u64(digits, &number) || number == 0 || number > NUMBER_MAX)
        return false;
    *ret_value = number;
    return true;
}
