/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/accept.h"

#include <glib.h>
#include <string.h>

#define BLANKS " \t"

static bool is_word(const char *text, gsize length, const char *word)
{
    return length == strlen(word) && g_ascii_strncasecmp(text, word, length) == 0;
}

/* Behind a coding, up to `end`: ";q=0.5". false: q is 0, in any of its spellings, or no weight at all. */
static bool has_weight(const char *at, const char *end)
{
    at += strspn(at, BLANKS);
    if (at >= end)
        return true;
    if (*at++ != ';')
        return false;
    at += strspn(at, BLANKS);
    if (end - at < 3 || g_ascii_tolower(at[0]) != 'q' || at[1] != '=')
        return false;
    for (at += 2; at < end && strchr("0.", *at); at++)
        ;
    return at < end && g_ascii_isdigit(*at);
}

bool accept_gzip(const char *header)
{
    bool any = false;
    if (!header)
        return false;
    for (const char *at = header; *at;) {
        at += strspn(at, BLANKS ",");
        gsize coding = strcspn(at, BLANKS ",;");
        const char *end = at + strcspn(at, ",");
        if (is_word(at, coding, "gzip") || is_word(at, coding, "x-gzip"))
            return has_weight(at + coding, end); /* it goes before * */
        if (is_word(at, coding, "*"))
            any = has_weight(at + coding, end);
        at = end;
    }
    return any;
}

static const char *skip_weak(const char *tag)
{
    return strncmp(tag, "W/", 2) == 0 ? tag + 2 : tag;
}

bool accept_has_tag(const char *header, const char *etag)
{
    if (!header || !etag)
        return false;
    const char *wanted = skip_weak(etag);
    gsize length = strlen(wanted);
    const char *at = header + strspn(header, BLANKS ",");
    if (*at == '*')
        return at[1 + strspn(at + 1, BLANKS)] == '\0';
    while (*at) {
        at = skip_weak(at);
        const char *end = *at == '"' ? strchr(at + 1, '"') : NULL;
        if (!end)
            return false;
        if ((gsize)(end + 1 - at) == length && memcmp(at, wanted, length) == 0)
            return true;
        at = end + 1;
        at += strspn(at, BLANKS ",");
    }
    return false;
}
