/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT 0xFFFD

void text_append_char(GString *out, gunichar c)
{
    if (c < 0x80)
        g_string_append_c(out, (char)c);
    else
        g_string_append_unichar(out, c);
}

gunichar text_next(const char **at)
{
    guchar byte = (guchar) * *at;
    if (byte < 0x80) {
        *at += byte != '\0';
        return byte;
    }
    gunichar c = g_utf8_get_char_validated(*at, -1);
    if (c == (gunichar)-1 || c == (gunichar)-2) {
        (*at)++;
        return REPLACEMENT;
    }
    *at += g_utf8_skip[byte];
    return c == 0xFFFE || c == 0xFFFF ? REPLACEMENT : c;
}

gunichar text_next_printable(const char **at)
{
    gunichar c = text_next(at);
    return c != 0 && (c < 0x20 || (c >= 0x7F && c < 0xA0)) ? ' ' : c;
}

void text_append_escaped(GString *out, const char *text, gsize limit)
{
    const gsize start = out->len;
    gunichar c;
    while ((c = text_next_printable(&text)) != 0) {
        const gsize before = out->len;
        if (c == '"' || c == '\\')
            g_string_append_c(out, '\\');
        text_append_char(out, c);
        if (out->len - start > limit) {
            g_string_truncate(out, before);
            return;
        }
    }
}

const char *text_of_u64(guint64 value, char digits[TEXT_U64_MAX], guint *ret_length)
{
    guint n = 0;
    do
        digits[TEXT_U64_MAX - ++n] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    *ret_length = n;
    return digits + TEXT_U64_MAX - n;
}

void text_append_u64(GString *out, guint64 value)
{
    char digits[TEXT_U64_MAX];
    guint n;
    const char *text = text_of_u64(value, digits, &n);
    g_string_append_len(out, text, n);
}

bool text_read_u64(const char *text, guint64 *ret_value)
{
    guint64 value = 0;
    if (!*text)
        return false;
    for (const char *begin = text; *text; text++) {
        const guint64 digit = (guint64)(*text - '0');
        if (digit > 9 || (text - begin >= TEXT_U64_MAX - 1 && value > (G_MAXUINT64 - digit) / 10))
            return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

/* The usual figure has at most three decimals, and then needs no printf: a whole number divided by 1000 is the double
 * nearest to that decimal, which is what reading the decimal gives. */
static bool append_milli(GString *out, double value)
{
    if (!(fabs(value) < 1e12))
        return false;
    long long thousandths = llrint(value * 1000);
    if ((double)thousandths / 1000 != value)
        return false;
    if (signbit(value))
        g_string_append_c(out, '-');
    guint64 magnitude = (guint64)llabs(thousandths);
    text_append_u64(out, magnitude / 1000);
    const char decimals[] = {'.', (char)('0' + magnitude / 100 % 10), (char)('0' + magnitude / 10 % 10),
                             (char)('0' + magnitude % 10)};
    gssize length = sizeof decimals;
    while (length > 2 && decimals[length - 1] == '0')
        length--;
    g_string_append_len(out, decimals, length);
    return true;
}

void text_append_real(GString *out, double value)
{
    if (append_milli(out, value))
        return;
    static const char *const formats[] = {"%.15g", "%.16g", "%.17g"};
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_ascii_formatd(text, sizeof text, formats[i], value);
        if (g_ascii_strtod(text, NULL) == value)
            break;
    }
    gsize whole = strcspn(text, ".e");
    g_string_append_len(out, text, (gssize)whole);
    if (text[whole] != '.')
        g_string_append(out, ".0");
    g_string_append(out, text + whole);
}

void text_append_dec2(GString *out, double value)
{
    if (fabs(value) >= 1e13) { /* above, hundredths are no longer whole numbers in a double */
        char text[512];        /* 1.8e308 has 309 digits */
        g_string_append(out, g_ascii_formatd(text, sizeof text, "%.2f", value));
        return;
    }
    long long hundredths = llrint(value * 100);
    if (hundredths < 0)
        g_string_append_c(out, '-');
    guint64 magnitude = (guint64)llabs(hundredths);
    text_append_u64(out, magnitude / 100);
    const char decimals[] = {'.', (char)('0' + magnitude / 10 % 10), (char)('0' + magnitude % 10)};
    g_string_append_len(out, decimals, sizeof decimals);
}

char *text_bytes(guint64 bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024)
        return g_strdup_printf("%u B", (unsigned)bytes);
    double amount = (double)bytes / 1024;
    guint unit = 0;
    for (; amount >= 1023.95 && unit + 1 < G_N_ELEMENTS(units); unit++) /* which would be printed as 1024.0 */
        amount /= 1024;
    char digits[G_ASCII_DTOSTR_BUF_SIZE];
    return g_strdup_printf("%s %s", g_ascii_formatd(digits, sizeof digits, "%.1f", amount), units[unit]);
}

char *text_span(gint64 seconds)
{
    static const struct {
        gint64 seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    guint unit = 0;
    while (unit + 1 < G_N_ELEMENTS(units) && seconds < units[unit].seconds)
        unit++;
    seconds = MAX(seconds, 0);
    gint64 rest = seconds % units[unit].seconds;
    gint64 lesser = unit + 1 < G_N_ELEMENTS(units) ? rest / units[unit + 1].seconds : 0;
    if (lesser == 0)
        return g_strdup_printf("%" G_GINT64_FORMAT " %s", seconds / units[unit].seconds, units[unit].name);
    return g_strdup_printf("%" G_GINT64_FORMAT " %s %" G_GINT64_FORMAT " %s", seconds / units[unit].seconds,
                           units[unit].name, lesser, units[unit + 1].name);
}

char *text_count(guint64 number, const char *one, const char *many)
{
    return g_strdup_printf("%" G_GUINT64_FORMAT " %s", number, number == 1 ? one : many);
}

char *text_without_users(const char *text)
{
    GString *out = g_string_new(NULL);
    for (const char *scheme; (scheme = strstr(text, "://"));) {
        const char *place = scheme + 3, *at = memrchr(place, '@', strcspn(place, " \t\r\n,"));
        g_string_append_len(out, text, place - text);
        if (at)
            g_string_append(out, "***");
        text = at ? at : place;
    }
    g_string_append(out, text);
    return g_string_free(out, FALSE);
}
