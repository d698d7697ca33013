/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a stored batch: what they expand to keeps within the limit, which the first two bytes say, and comes
 * back when it is compressed; else the error is one of the two that there are. And any bytes as a text. */
#include "deliver/spool.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_refused(const char *data, gsize length, gsize limit, int code)
{
    gsize got;
    g_autoptr(GError) error = NULL;
    g_assert_null(spool_expand(data, length, limit, &got, &error));
    g_assert_error(error, SPOOL_ERROR, code);
}

/* Alone, and behind itself. */
static void check_text(const char *text, gsize length)
{
    gsize packed_length, got;
    g_autofree char *packed = spool_compress(text, length, &packed_length);
    g_autofree char *back = spool_expand(packed, packed_length, length, &got, NULL);
    g_assert_cmpmem(back, got, text, length);
    assert_refused(packed, packed_length - 1, length, SPOOL_ERROR_DAMAGED);
    if (length > 0)
        assert_refused(packed, packed_length, length - 1, SPOOL_ERROR_TOO_LARGE);

    g_autoptr(GByteArray) twice = g_byte_array_new();
    for (guint i = 0; i < 2; i++)
        g_byte_array_append(twice, (const guint8 *)packed, (guint)packed_length);
    g_autofree char *both = spool_expand((const char *)twice->data, twice->len, 2 * length, &got, NULL);
    g_assert_cmpuint(got, ==, 2 * length);
    g_assert_cmpmem(both, length, text, length);
    g_assert_cmpmem(both + length, length, text, length);
}

static void check_stored(const char *data, gsize length, gsize limit)
{
    gsize got = 0;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = spool_expand(data, length, limit, &got, &error);
    if (!text) {
        g_assert_true(g_error_matches(error, SPOOL_ERROR, SPOOL_ERROR_DAMAGED) ||
                      g_error_matches(error, SPOOL_ERROR, SPOOL_ERROR_TOO_LARGE));
        return;
    }
    g_assert_no_error(error);
    g_assert_cmpuint(got, <=, limit);
    g_assert_true(text[got] == '\0');
    check_text(text, got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    check_text(bytes, size);
    if (size >= 2)
        check_stored(bytes + 2, size - 2, (gsize)(data[0] << 8 | data[1]));
    return 0;
}
