/* SPDX-License-Identifier: Apache-2.0
 * Last-Event-ID, as any client may send it: a place in the ring, or that there is none. */
#include "serve/stream.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Stream *stream;
    static char *life;
    StreamPlace place = {0};
    if (!stream) {
        stream = stream_new();
        for (int i = 0; i < 5; i++)
            stream_add(stream, "sample", g_string_new("{}"));
        life = stream_skip(stream, &place);
        *strchr(life, '-') = '\0';
    }
    g_autofree char *text = g_strndup((const char *)data, size);
    /* Often with the right life, which no fuzzer would find. */
    g_autofree char *id = size > 0 && data[0] == '@' ? g_strconcat(life, "-", text + 1, NULL) : g_strdup(text);
    place = stream_place(stream, id);
    g_assert(place.next <= 6);
    GBytes *event = NULL;
    if (stream_next(stream, &place, &event) == STREAM_EVENT)
        g_bytes_unref(event);
    return 0;
}
