/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as an answer, handed on by lines until the headers have ended, then as a body: texts stay within their
 * limits, and a secret that stands in them is gone after it was masked. */
#include "deliver/sink_reply.h"
#include "deliver/sink_secret.h"

#include <stdint.h>
#include <string.h>

#define SECRET "sesame"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(char *text)
{
    if (!text)
        return;
    g_assert_cmpuint(strlen(text), <=, SINK_HEADER_MAX);
    sink_secret_mask(text, strlen(text), SECRET);
    g_assert_null(strstr(text, SECRET));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SinkIncoming incoming = {0};
    const char *bytes = (const char *)data;
    sink_incoming_begin(&incoming);
    while (size > 0 && !incoming.seen_end) {
        const char *end = memchr(bytes, '\n', size);
        gsize length = end ? (gsize)(end - bytes) + 1 : size;
        sink_incoming_header(&incoming, bytes, length);
        bytes += length;
        size -= length;
    }
    sink_incoming_body(&incoming, bytes, size);
    check_text(incoming.reply->retry_after);
    check_text(incoming.reply->influx_error);
    GString *body = incoming.reply->body;
    g_assert_cmpuint(body->len, <=, SINK_ANSWER_MAX);
    sink_secret_mask(body->str, body->len, SECRET);
    g_assert_null(memmem(body->str, body->len, SECRET, strlen(SECRET)));
    sink_incoming_clear(&incoming);
    return 0;
}
