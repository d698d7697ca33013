/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a sink's answer: first its type, then lines with the status, Retry-After, X-Influxdb-Error, then the
 * body. Whatever it says, what we make of it is in bounds: a printable message, numbers in order, nothing claimed of an
 * answer that stored all. */
#include "deliver/answer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text up to the next newline; `*at` moves behind it. Owned by the caller. */
static char *take_line(const char **at, const char *end)
{
    const char *newline = memchr(*at, '\n', (gsize)(end - *at));
    const char *stop = newline ? newline : end;
    char *line = g_strndup(*at, (gsize)(stop - *at));
    *at = newline ? newline + 1 : end;
    return line;
}

static void check(const Answer *answer)
{
    g_assert_cmpint(answer->wait_ms, >=, -1);
    g_assert_cmpuint(strlen(answer->message), <=, 400);
    g_assert_true(g_utf8_validate(answer->message, -1, NULL));
    for (const char *c = answer->message; *c; c++)
        g_assert_true((guchar)*c >= 0x20 && *c != 0x7F);
    for (guint i = 0; i < answer->lines->len; i++) {
        g_assert_cmpuint(g_array_index(answer->lines, guint, i), >=, 1);
        g_assert_true(i == 0 || g_array_index(answer->lines, guint, i - 1) < g_array_index(answer->lines, guint, i));
    }
    g_assert_true((answer->kind == ANSWER_STORED) == (*answer->message == '\0'));
    if (answer->kind == ANSWER_PARTIAL)
        g_assert_true(answer->of_lines);
    else
        g_assert_cmpuint(answer->dropped, ==, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const guint8 which = (guint8)(*data - '0'); /* so that the corpus can be read */
    const char *at = (const char *)data + 1, *end = (const char *)data + size;
    g_autoptr(SinkReply) reply = g_new0(SinkReply, 1);
    g_autofree char *status = take_line(&at, end);
    reply->status = strtol(status, NULL, 10);
    reply->retry_after = take_line(&at, end);
    reply->influx_error = take_line(&at, end);
    reply->body = g_string_new_len(at, end - at);
    reply->transport = (Transport)(which / 5 % 5);
    g_autoptr(Answer) answer = answer_read((SinkType)(which % 5), reply, 784111777000);
    check(answer);
    return 0;
}
