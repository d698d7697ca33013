/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/answer_text.h"

#include <string.h>

#define QUOTE_BEGINS "unable to parse '"
#define QUOTE_ENDS "': "
#define DROPPED "dropped="

void answer_text_quoted(const char *text, GPtrArray *lines)
{
    const char *at = strstr(text, QUOTE_BEGINS);
    while (at) {
        const char *line = at + strlen(QUOTE_BEGINS);
        at = strstr(line, "\n" QUOTE_BEGINS);
        gssize length = at ? at - line : (gssize)strlen(line);
        /* The last one: a line may hold these characters, no reason does. */
        const char *end = g_strrstr_len(line, length, QUOTE_ENDS);
        if (end)
            g_ptr_array_add(lines, g_strndup(line, (gsize)(end - line)));
        if (at)
            at++;
    }
}

static bool read_digits(const char *text, gsize length, guint64 *ret_number)
{
    guint64 number = 0;
    for (gsize i = 0; i < length; i++) {
        guint64 digit = (guint64)(text[i] - '0');
        number = number > (G_MAXUINT64 - digit) / 10 ? G_MAXUINT64 : number * 10 + digit;
    }
    *ret_number = number;
    return length > 0;
}

bool answer_text_dropped(const char *text, guint64 *ret_dropped)
{
    const char *at = g_strrstr(text, DROPPED);
    if (!at)
        return false;
    at += strlen(DROPPED);
    return read_digits(at, strspn(at, "0123456789"), ret_dropped);
}

/* --- Retry-After --- */

/* `number` as digits of exactly this width. */
static bool take_digits(const char **at, gsize width, gint *ret_number)
{
    guint64 number;
    if (strspn(*at, "0123456789") < width)
        return false;
    read_digits(*at, width, &number);
    *at += width;
    *ret_number = (gint)number;
    return true;
}

static bool take_literal(const char **at, const char *literal)
{
    if (!g_str_has_prefix(*at, literal))
        return false;
    *at += strlen(literal);
    return true;
}

/* One of `n` names of three letters. */
static bool take_name(const char **at, const char *names, gint n, gint *ret_number)
{
    for (gint i = 0; i < n; i++) {
        if (strncmp(*at, names + (gsize)(3 * i), 3) == 0) {
            *at += 3;
            *ret_number = i + 1;
            return true;
        }
    }
    return false;
}

/* RFC 7231's IMF-fixdate; its weekday is not checked against the date. */
static bool read_date(const char *at, gint64 *ret_s)
{
    gint weekday, day, month, year, hour, minute, second;
    if (!take_name(&at, "MonTueWedThuFriSatSun", 7, &weekday) || !take_literal(&at, ", ") ||
        !take_digits(&at, 2, &day) || !take_literal(&at, " ") ||
        !take_name(&at, "JanFebMarAprMayJunJulAugSepOctNovDec", 12, &month) || !take_literal(&at, " ") ||
        !take_digits(&at, 4, &year) || !take_literal(&at, " ") || !take_digits(&at, 2, &hour) ||
        !take_literal(&at, ":") || !take_digits(&at, 2, &minute) || !take_literal(&at, ":") ||
        !take_digits(&at, 2, &second) || strcmp(at, " GMT") != 0)
        return false;
    /* A leap second is taken for the one before. NULL: no such day or time. */
    g_autoptr(GDateTime) date = g_date_time_new_utc(year, month, day, hour, minute, second == 60 ? 59.0 : second);
    if (!date)
        return false;
    *ret_s = g_date_time_to_unix(date);
    return true;
}

gint64 answer_text_wait_ms(const char *retry_after, gint64 now_ms)
{
    if (!retry_after)
        return -1;
    g_autofree char *text = g_strstrip(g_strdup(retry_after));
    gsize digits = strspn(text, "0123456789");
    guint64 seconds;
    gint64 date_s;
    if (digits > 0 && text[digits] == '\0') {
        read_digits(text, digits, &seconds);
        return seconds > G_MAXINT64 / 1000 ? G_MAXINT64 : (gint64)seconds * 1000;
    }
    return read_date(text, &date_s) ? MAX(date_s * 1000 - MAX(now_ms, 0), 0) : -1;
}
