/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/http.h"

#include "encode/json_writer.h"

const char *request_header(const Request *request, const char *name)
{
    return request->header ? request->header(request->connection, name) : NULL;
}

Reply *reply_new(guint status, const char *type, GBytes *body)
{
    Reply *reply = g_new(Reply, 1);
    *reply = (Reply){.status = status, .type = type, .body = body, .body_fd = -1};
    return reply;
}

Reply *reply_of_body(guint status, const char *type, BodyWriter *body)
{
    const Body ended = body_end(body);
    Reply *reply = reply_new(status, type, ended.bytes);
    reply->body_fd = ended.fd;
    return reply;
}

void reply_keep_in_file(Reply *reply)
{
    if (reply->body_fd >= 0)
        return;
    Body body = body_of_bytes(reply->body);
    reply->body = body.bytes;
    reply->body_fd = body.fd;
}

Reply *reply_json(guint status, GString *text)
{
    return reply_new(status, TYPE_JSON, g_string_free_to_bytes(text));
}

void reply_free(Reply *reply)
{
    if (!reply)
        return;
    if (reply->body)
        g_bytes_unref(reply->body);
    if (reply->packed)
        g_bytes_unref(reply->packed);
    g_free(reply->etag);
    g_free(reply->error_header);
    g_free(reply);
}

/* The statuses we answer with, in the words of "error". */
static const struct {
    guint status;
    const char *word;
} words[] = {
    {400, "bad_request"},         {401, "unauthorized"},       {403, "forbidden"},
    {404, "not_found"},           {405, "method_not_allowed"}, {408, "request_timeout"},
    {411, "length_required"},     {413, "payload_too_large"},  {415, "unsupported_media_type"},
    {421, "misdirected_request"}, {429, "too_many_requests"},  {431, "header_too_large"},
    {500, "internal_error"},      {501, "not_implemented"},    {502, "bad_gateway"},
    {503, "unavailable"},         {504, "gateway_timeout"},    {505, "http_version_not_supported"},
};

static const char *word_of(guint status)
{
    for (guint i = 0; i < G_N_ELEMENTS(words); i++)
        if (words[i].status == status)
            return words[i].word;
    return "error";
}

Reply *reply_error(guint status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *detail = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_text_member(&json, "error", word_of(status));
    json_text_member(&json, "detail", detail);
    json_end(&json, '}');
    g_string_append_c(json.out, '\n');
    Reply *reply = reply_json(status, json.out);
    reply->authenticate = status == 401;
    return reply;
}
