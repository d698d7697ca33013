/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <math.h>
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

void text_append_u64(GString *out, guint64 value)
{
    char digits[20]; /* of 2^64 - 1 */
    guint n = 0;
    do
        digits[sizeof digits - ++n] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    g_string_append_len(out, digits + sizeof digits - n, n);
}

bool text_read_u64(const char *text, guint64 *ret_value)
{
    guint64 value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        guint64 digit = (guint64)(*text - '0');
        if (!g_ascii_isdigit(*text) || value > (G_MAXUINT64 - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

void text_append_real(GString *out, double value)
{
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
