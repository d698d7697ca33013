/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/time_range.h"

#include "encode/line_samples.h"

#include <string.h>

#define NS_PER_S G_GINT64_CONSTANT(1000000000)
#define SPAN_MAX_S (G_GINT64_CONSTANT(3660) * 86400)
#define TEXT_MAX 40 /* bytes of any of these */

static bool fits(gint64 ns)
{
    return ns >= 0 && ns <= LINE_TIME_MAX_NS;
}

/* Digits alone, at most nine. */
static bool read_number(const char *text, gsize length, gint64 *ret_number)
{
    gint64 number = 0;
    if (length == 0 || length > 9)
        return false;
    for (gsize i = 0; i < length; i++) {
        if (!g_ascii_isdigit(text[i]))
            return false;
        number = number * 10 + (text[i] - '0');
    }
    *ret_number = number;
    return true;
}

bool time_range_span(const char *text, gint64 *ret_ns)
{
    static const struct {
        char letter;
        gint64 seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    gsize length = strlen(text);
    gint64 number, factor = 0;
    if (length == 0 || length > TEXT_MAX)
        return false;
    if (g_ascii_isdigit(text[length - 1]))
        factor = 1;
    for (guint i = 0; i < G_N_ELEMENTS(units); i++)
        if (units[i].letter == text[length - 1])
            factor = units[i].seconds;
    if (factor == 0 || !read_number(text, length - !g_ascii_isdigit(text[length - 1]), &number) || number == 0 ||
        number > SPAN_MAX_S / factor)
        return false;
    *ret_ns = number * factor * NS_PER_S;
    return true;
}

/* Seconds since 1970, with up to nine decimals. */
static bool read_seconds(const char *text, gint64 *ret_ns)
{
    gint64 seconds = 0, fraction = 0, unit = NS_PER_S;
    const char *c = text;
    for (; g_ascii_isdigit(*c); c++)
        if ((seconds = seconds * 10 + (*c - '0')) > LINE_TIME_MAX_NS / NS_PER_S)
            return false;
    if (c == text)
        return false;
    if (*c == '.') {
        const char *begin = ++c;
        for (; g_ascii_isdigit(*c) && unit > 1; c++) {
            unit /= 10;
            fraction += (*c - '0') * unit;
        }
        if (c == begin)
            return false;
    }
    const gint64 ns = seconds * NS_PER_S + fraction;
    if (*c != '\0' || !fits(ns))
        return false;
    *ret_ns = ns;
    return true;
}

/* GLib's reader is lenient about what has no zone, and takes it for local time. */
static bool has_zone(const char *text)
{
    const char *time = strchr(text, 'T');
    return time && (strchr(time, 'Z') || strchr(time, '+') || strchr(time, '-'));
}

/* The + of an offset, which nobody thinks of escaping in a query, comes as a blank. */
static bool read_iso(const char *raw, gint64 *ret_ns)
{
    g_autofree char *text = g_strdelimit(g_strdup(raw), " ", '+');
    if (!has_zone(text))
        return false;
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, NULL);
    if (!time)
        return false;
    const gint64 seconds = g_date_time_to_unix(time);
    if (seconds < 0 || seconds > LINE_TIME_MAX_NS / NS_PER_S - 1)
        return false;
    *ret_ns = seconds * NS_PER_S + (gint64)g_date_time_get_microsecond(time) * 1000;
    return true;
}

bool time_range_moment(const char *text, gint64 now_ns, gint64 *ret_ns)
{
    gint64 span_ns;
    if (strlen(text) > TEXT_MAX)
        return false;
    if (strcmp(text, "now") == 0) {
        *ret_ns = now_ns;
        return true;
    }
    if (text[0] == '-') {
        if (!time_range_span(text + 1, &span_ns) || !fits(now_ns - span_ns))
            return false;
        *ret_ns = now_ns - span_ns;
        return true;
    }
    return read_seconds(text, ret_ns) || read_iso(text, ret_ns);
}
