/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/line_number.h"

#include <math.h>
#include <string.h>

typedef struct {
    bool negative;
    guint64 magnitude;
    bool fits; /* into 64 bits */
    gsize n_digits;
} Whole;

static bool is_at(const char *at, const char *end, char c)
{
    return at < end && *at == c;
}

/* A sign perhaps, and digits as far as they go, perhaps none. As in InfluxDB, no plus sign. */
static Whole take_whole(const char **at, const char *end)
{
    Whole whole = {.negative = is_at(*at, end, '-'), .fits = true};
    const char *start = *at + whole.negative, *digit = start;
    for (; digit < end && g_ascii_isdigit(*digit); digit++)
        whole.fits = whole.fits && g_uint64_checked_mul(&whole.magnitude, whole.magnitude, 10) &&
                     g_uint64_checked_add(&whole.magnitude, whole.magnitude, (guint64)(*digit - '0'));
    whole.n_digits = (gsize)(digit - start);
    *at = digit;
    return whole;
}

static bool whole_to_int64(Whole whole, gint64 *ret_value)
{
    if (whole.n_digits == 0 || !whole.fits || whole.magnitude > (guint64)G_MAXINT64 + whole.negative)
        return false;
    *ret_value = (gint64)(whole.negative ? 0 - whole.magnitude : whole.magnitude);
    return true;
}

static gsize skip_digits(const char **at, const char *end)
{
    const char *start = *at;
    while (*at < end && g_ascii_isdigit(**at))
        (*at)++;
    return (gsize)(*at - start);
}

/* The rest of a float: *at is behind the digits before its decimal point. g_ascii_strtod would take hexadecimal
 * numbers and infinity too, so it only sees what has passed here. */
static const char *skip_float(const char **at, const char *end, gsize n_digits)
{
    if (is_at(*at, end, '.')) {
        (*at)++;
        n_digits += skip_digits(at, end);
    }
    if (n_digits == 0)
        return "the digits of a number";
    if (!is_at(*at, end, 'e') && !is_at(*at, end, 'E'))
        return NULL;
    (*at)++;
    if (is_at(*at, end, '-') || is_at(*at, end, '+'))
        (*at)++;
    return skip_digits(at, end) > 0 ? NULL : "the digits of an exponent";
}

const char *line_number_read(const char **at, const char *end, char *copy, LineField *ret_field)
{
    const char *start = *at, *expected = NULL;
    Whole whole = take_whole(at, end);
    bool has_digits = whole.n_digits > 0;
    if (has_digits && is_at(*at, end, 'i')) {
        (*at)++;
        ret_field->type = FIELD_INTEGER;
        if (!whole_to_int64(whole, &ret_field->value.i))
            expected = "an integer from -2^63 to 2^63-1";
    } else if (has_digits && is_at(*at, end, 'u')) {
        (*at)++;
        ret_field->type = FIELD_UNSIGNED;
        ret_field->value.u = whole.magnitude;
        if (whole.negative || !whole.fits)
            expected = "an unsigned integer from 0 to 2^64-1";
    } else {
        expected = skip_float(at, end, whole.n_digits);
        if (expected)
            return expected;
        memcpy(copy, start, (gsize)(*at - start)); /* g_ascii_strtod needs a NUL behind it */
        copy[*at - start] = '\0';
        ret_field->type = FIELD_FLOAT;
        ret_field->value.f = g_ascii_strtod(copy, NULL);
        if (!isfinite(ret_field->value.f))
            expected = "a number within the range of a float";
    }
    if (expected)
        *at = start;
    return expected;
}

const char *line_time_read(const char **at, const char *end, gint64 *ret_time)
{
    const char *start = *at;
    if (whole_to_int64(take_whole(at, end), ret_time))
        return NULL;
    *at = start;
    return "a time stamp: an integer from -2^63 to 2^63-1";
}
