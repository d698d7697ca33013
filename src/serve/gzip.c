/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/gzip.h"

#include <stdbool.h>
#include <zlib.h>

#define LEVEL 1
#define WINDOW_BITS (15 + 16) /* zlib's way of asking for gzip's frame */
#define MEMORY 8
#define PART_BYTES 16384

static bool deflate_all(z_stream *stream, BodyWriter *out)
{
    guchar part[PART_BYTES];
    int result;
    do {
        stream->next_out = part;
        stream->avail_out = sizeof part;
        result = deflate(stream, Z_FINISH);
        g_string_append_len(out->text, (const char *)part, (gssize)(sizeof part - stream->avail_out));
        body_relieve(out);
    } while (result == Z_OK);
    return result == Z_STREAM_END;
}

Body gzip_pack(GBytes *plain)
{
    const Body none = {NULL, -1};
    gsize length;
    const guchar *data = g_bytes_get_data(plain, &length);
    z_stream stream = {.next_in = (z_const Bytef *)(guintptr)data, .avail_in = (uInt)length};
    if (length < GZIP_WORTH || length > G_MAXINT ||
        deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return none;
    BodyWriter out;
    body_begin(&out);
    bool done = deflate_all(&stream, &out);
    deflateEnd(&stream);
    Body packed = body_end(&out);
    if (done && g_bytes_get_size(packed.bytes) < length)
        return packed;
    g_bytes_unref(packed.bytes);
    return none;
}
