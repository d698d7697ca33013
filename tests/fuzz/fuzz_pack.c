/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as packed figures, as a damaged file may hold them. What is taken for figures is in order, and written and
 * read again it is the same. */
#include "store/rollup.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const PackRow *row)
{
    g_assert_cmpuint(row->n, <=, PACK_NUMBERS_MAX);
    for (guint i = 0; i < row->n; i++) {
        const PackFigure *figure = &row->figure[i];
        if (figure->count == 0)
            continue;
        g_assert_true(isfinite(figure->min) && isfinite(figure->max));
        g_assert_true(figure->min <= figure->mean && figure->mean <= figure->max);
    }
}

static void check_again(const PackRow *row)
{
    guint8 bytes[PACK_BYTES_MAX];
    PackRow again;
    gsize length = pack_write_bucket(bytes, row);
    g_assert_cmpuint(length, <=, sizeof bytes);
    g_assert_true(pack_read(bytes, length, &again));
    for (guint i = 0; i < row->n; i++) {
        const PackFigure *a = &row->figure[i], *b = &again.figure[i];
        g_assert_cmpuint(a->count, ==, i < again.n ? b->count : 0);
        g_assert_true(a->count == 0 || (a->min == b->min && a->mean == b->mean && a->max == b->max));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PackRow row, sum;
    if (!pack_read(data, size, &row))
        return 0;
    check(&row);
    check_again(&row);
    sum = row;
    rollup_merge_row(&sum, &row);
    check(&sum);
    g_assert_true(!rollup_subtract(&row, &sum));
    return 0;
}
