/* SPDX-License-Identifier: Apache-2.0
 * Blobs of the history's file, which may hold anything: what is read of one can be written, and reads back the same. */
#include "store/pack.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PackRow row, again;
    guint8 room[PACK_BYTES_MAX];
    if (!pack_read(data, size, &row))
        return 0;
    g_assert(row.n <= PACK_NUMBERS_MAX);
    const gsize length = pack_write_bucket(room, &row);
    g_assert(length <= PACK_BYTES_MAX && pack_read(room, length, &again));
    for (guint i = 0; i < row.n; i++)
        g_assert(i >= again.n ? row.figure[i].count == 0 : row.figure[i].count == again.figure[i].count);
    return 0;
}
