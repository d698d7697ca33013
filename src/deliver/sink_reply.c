/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/sink_reply.h"
#include "deliver/sink_secret.h"

#include <string.h>

#define STATUS_CONTINUE_MAX 199 /* 1xx: the answer itself is still to come */
#define STATUS_NO_CONTENT 204

void sink_reply_free(SinkReply *reply)
{
    if (!reply)
        return;
    g_free(reply->problem);
    g_free(reply->retry_after);
    g_free(reply->influx_error);
    g_free(reply->date);
    if (reply->body)
        g_string_free(reply->body, TRUE);
    g_free(reply);
}

static SinkReply *reply_new(void)
{
    SinkReply *reply = g_new0(SinkReply, 1);
    reply->body = g_string_new(NULL);
    return reply;
}

void sink_incoming_clear(SinkIncoming *incoming)
{
    sink_reply_free(incoming->reply);
    *incoming = (SinkIncoming){0};
}

void sink_incoming_begin(SinkIncoming *incoming)
{
    const gsize limit = incoming->limit; /* stays over a 1xx */
    sink_incoming_clear(incoming);
    incoming->reply = reply_new();
    incoming->limit = limit ? limit : SINK_ANSWER_MAX;
}

/* "HTTP/1.1 204 No Content". A further one: that before was a 1xx, or a proxy's answer to CONNECT. */
static void begin_answer(SinkIncoming *incoming, const char *line)
{
    sink_incoming_begin(incoming);
    incoming->seen_status = true;
    const char *code = strchr(line, ' ');
    if (code)
        incoming->reply->status = (long)g_ascii_strtoull(code + 1, NULL, 10);
}

/* The value where the line is that header; NULL: another, or there is one already. Owned by the caller. */
static char *value_of(const char *line, const char *name, const char *present)
{
    gsize length = strlen(name);
    if (present || g_ascii_strncasecmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    return g_strstrip(g_strndup(line + length + 1, SINK_HEADER_MAX));
}

static void keep_header(char **header, const char *line, const char *name)
{
    char *value = value_of(line, name, *header);
    if (value)
        *header = value;
}

void sink_incoming_header(SinkIncoming *incoming, const char *line, gsize length)
{
    g_autofree char *text = g_strchomp(g_strndup(line, length));
    if (g_str_has_prefix(text, "HTTP/")) {
        begin_answer(incoming, text);
        return;
    }
    SinkReply *reply = incoming->reply;
    if (*text == '\0')
        incoming->seen_end = incoming->seen_status && reply->status > STATUS_CONTINUE_MAX;
    keep_header(&reply->retry_after, text, "Retry-After");
    keep_header(&reply->influx_error, text, "X-Influxdb-Error");
    keep_header(&reply->date, text, "Date");

    g_autofree char *content_length = value_of(text, "Content-Length", NULL);
    if (content_length && reply->status == STATUS_NO_CONTENT && strcmp(content_length, "0") != 0)
        incoming->odd_length = true;
}

void sink_incoming_body(SinkIncoming *incoming, const char *data, gsize length)
{
    GString *body = incoming->reply->body;
    g_string_append_len(body, data, (gssize)MIN(length, incoming->limit - body->len));
}

void sink_reply_mask(SinkReply *reply, const char *secret)
{
    char *const texts[] = {reply->problem, reply->retry_after, reply->influx_error, reply->date};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        sink_secret_mask(texts[i], texts[i] ? strlen(texts[i]) : 0, secret);
    sink_secret_mask(reply->body->str, reply->body->len, secret);
}
