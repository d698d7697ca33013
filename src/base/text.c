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

/* --- reals --- */

/* Powers of ten that a double holds exactly. */
static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,
                               1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19};
#define EXACT_MAX 9007199254740992.0 /* 2^53: up to here a double holds every whole number */

/* number / 10^decimals (at least one), without zeros at its end but for one behind the point. */
static void append_decimal(GString *out, guint64 number, guint decimals)
{
    char fraction[G_N_ELEMENTS(power)] = "";
    guint n = decimals;
    for (guint i = decimals; i-- > 0; number /= 10)
        fraction[i] = (char)('0' + number % 10);
    while (n > 1 && fraction[n - 1] == '0')
        n--;
    text_append_u64(out, number);
    g_string_append_c(out, '.');
    g_string_append_len(out, fraction, n);
}

/* Digits before the point; as many fewer than none as there are zeros behind it. Of 1e-3 to 1e14. */
static int digits_before_point(double magnitude)
{
    static const double below_one[] = {1, 0.1, 0.01};
    int digits = 1;
    while (magnitude >= power[digits])
        digits++;
    for (guint i = 0; i < G_N_ELEMENTS(below_one) && magnitude < below_one[i]; i++)
        digits--;
    return digits;
}

/* The whole number that is `magnitude` when divided by 10^decimals; 0: there is none. The product is off by half at
 * most, as the quotient of two numbers that a double holds exactly never is, so the neighbours are tried too. */
static guint64 find_decimal(double magnitude, guint decimals)
{
    double nearest = rint(magnitude * power[decimals]);
    for (int i = 0; i < 3; i++) {
        double number = nearest + (double)(i == 2 ? -1 : i);
        if (number / power[decimals] == magnitude)
            return (guint64)number;
    }
    return 0;
}

enum { TRY_ALL = 15, TRY_LAST = 17, WRITTEN = 99 };

/* The text of 15 or 16 digits that reads back as the same, without the C library, which takes ten times as long.
 * Returns how many digits are still to be tried by it, at the least. */
static guint append_short(GString *out, double value)
{
    const double magnitude = fabs(value);
    if (magnitude < 1e-3 || magnitude >= 1e14) /* texts with exponents, numbers without decimals */
        return TRY_ALL;
    int whole = digits_before_point(magnitude);
    for (int digits = 15; digits <= 16; digits++) {
        guint decimals = (guint)(digits - whole);
        if (magnitude * power[decimals] > EXACT_MAX - 2)
            return TRY_ALL;
        guint64 number = find_decimal(magnitude, decimals);
        if (number == 0)
            continue;
        if (value < 0)
            g_string_append_c(out, '-');
        append_decimal(out, number, decimals);
        return WRITTEN;
    }
    return TRY_LAST;
}

void text_append_real(GString *out, double value)
{
    if (value == 0 && !signbit(value)) {
        g_string_append(out, "0.0");
        return;
    }
    char text[G_ASCII_DTOSTR_BUF_SIZE], format[] = "%.15g";
    guint digits = append_short(out, value);
    if (digits == WRITTEN)
        return;
    for (; digits <= TRY_LAST; digits++) {
        format[3] = (char)('0' + digits % 10);
        g_ascii_formatd(text, sizeof text, format, value);
        if (digits == TRY_LAST || g_ascii_strtod(text, NULL) == value)
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
