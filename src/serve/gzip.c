/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/gzip.h"

#include <stdbool.h>
#include <zlib.h>

#define LEVEL 1
#define WINDOW_BITS (15 + 16) /* zlib's way of asking for gzip's frame */
#define MEMORY 8

GBytes *gzip_pack(GBytes *plain)
{
    gsize length;
    const guchar *data = g_bytes_get_data(plain, &length);
    z_stream stream = {.next_in = (z_const Bytef *)(guintptr)data, .avail_in = (uInt)length};
    if (length < GZIP_WORTH || length > G_MAXINT ||
        deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    gsize room = deflateBound(&stream, (uLong)length);
    guchar *packed = g_malloc(room);
    stream.next_out = packed;
    stream.avail_out = (uInt)room;
    bool done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
    gsize packed_length = stream.total_out;
    deflateEnd(&stream);
    if (!done || packed_length >= length) {
        g_free(packed);
        return NULL;
    }
    return g_bytes_new_take(g_realloc(packed, packed_length), packed_length);
}
