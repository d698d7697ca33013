/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/one_size.h"

#include <stdbool.h>
#include <zlib.h>

struct OneSize {
    z_stream stream;
    gsize cap;
    bool stopped; /* above the cap, or out of memory */
};

OneSize *one_size_new(int level)
{
    OneSize *size = g_new0(OneSize, 1);
    size->cap = G_MAXSIZE;
    size->stopped = deflateInit(&size->stream, level) != Z_OK;
    return size;
}

void one_size_free(OneSize *size)
{
    if (!size)
        return;
    deflateEnd(&size->stream);
    g_free(size);
}

void one_size_begin(OneSize *size, gsize cap)
{
    size->cap = cap;
    size->stopped = deflateReset(&size->stream) != Z_OK;
}

void one_size_begin_with(OneSize *size, const OneSize *from)
{
    deflateEnd(&size->stream);
    size->stream = (z_stream){.next_in = NULL};
    size->cap = from->cap;
    size->stopped = from->stopped || deflateCopy(&size->stream, (z_stream *)(guintptr)&from->stream) != Z_OK;
}

static gsize bytes_out(const OneSize *size)
{
    return (size->stream.total_out + 2) / 3 * 4;
}

/* All that is there to be put out, for its length. */
static void compress_on(OneSize *size, int flush)
{
    guchar scratch[16 * 1024];
    int result;
    do {
        size->stream.next_out = scratch;
        size->stream.avail_out = sizeof scratch;
        result = deflate(&size->stream, flush);
        size->stopped = (result != Z_OK && result != Z_STREAM_END) || bytes_out(size) > size->cap;
    } while (!size->stopped && size->stream.avail_out == 0);
}

void one_size_add(OneSize *size, const char *text, gsize length)
{
    for (gsize part; length > 0 && !size->stopped; text += part, length -= part) {
        part = MIN(length, G_MAXINT); /* zlib counts what it is given in an unsigned int */
        size->stream.next_in = (z_const Bytef *)(guintptr)text;
        size->stream.avail_in = (uInt)part;
        compress_on(size, Z_NO_FLUSH);
    }
}

gsize one_size_end(OneSize *size)
{
    if (!size->stopped && size->stream.total_in == 0)
        return 0; /* then nothing is sent */
    if (!size->stopped)
        compress_on(size, Z_FINISH);
    return size->stopped ? G_MAXSIZE : bytes_out(size);
}

gsize one_message_size(const char *text, gsize length)
{
    g_autoptr(OneSize) size = one_size_new(Z_BEST_COMPRESSION);
    one_size_add(size, text, length);
    return one_size_end(size);
}
