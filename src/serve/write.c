/* SPDX-License-Identifier: Apache-2.0
 * Line protocol that comes in, as InfluxDB 1, 2 and 3 take it and answer. What is good of a body is taken, unless it is
 * too large: then it has to come in pieces; or version 3 is told otherwise (accept_partial). */
#include "base/log.h"
#include "deliver/spool.h"
#include "deliver/via.h"
#include "encode/json_writer.h"
#include "serve/routes.h"

#include <string.h>

#define US 1000
#define MS 1000000
#define SECOND G_GINT64_CONSTANT(1000000000)
#define RETRY_AFTER_S 5

/* --- precision --- */

typedef struct {
    const char *word;
    gint64 unit_ns;
} Precision;

typedef enum { API_V1, API_V2, API_V3, N_APIS } WriteApi;

/* The first of each is what is meant where nothing is said. */
static const struct {
    Precision words[10];
    const char *list;
} precisions[N_APIS] = {
    [API_V1] = {{{"ns", 1},
                 {"n", 1},
                 {"u", US},
                 {"us", US},
                 {"ms", MS},
                 {"s", SECOND},
                 {"m", 60 * SECOND},
                 {"h", 3600 * SECOND}},
                "ns, u, ms, s, m or h"},
    [API_V2] = {{{"ns", 1}, {"us", US}, {"ms", MS}, {"s", SECOND}}, "ns, us, ms or s"},
    [API_V3] = {{{"auto", 0},
                 {"nanosecond", 1},
                 {"microsecond", US},
                 {"millisecond", MS},
                 {"second", SECOND},
                 {"ns", 1},
                 {"us", US},
                 {"ms", MS},
                 {"s", SECOND}},
                "auto, nanosecond, microsecond, millisecond or second"},
};

static bool read_precision(const Request *request, WriteApi api, gint64 *ret_unit_ns)
{
    const char *word = target_parameter(request->target, "precision");
    if (!word || !*word)
        word = precisions[api].words[0].word;
    for (const Precision *precision = precisions[api].words; precision->word; precision++)
        if (strcmp(precision->word, word) == 0) {
            *ret_unit_ns = precision->unit_ns;
            return true;
        }
    return false;
}

/* --- the body --- */

static gsize most_bytes(Service *service)
{
    g_rw_lock_reader_lock(&service->lock);
    const gsize most = service->max_body_plain;
    g_rw_lock_reader_unlock(&service->lock);
    return most;
}

/* NULL: *ret_reply says why. Owned by the caller. */
static GBytes *plain_body(Service *service, const Request *request, Reply **ret_reply)
{
    const gsize most = most_bytes(service);
    const char *coding = request_header(request, "Content-Encoding");
    if (!coding || !*coding || g_ascii_strcasecmp(coding, "identity") == 0)
        return g_bytes_new_static(request->body, request->length);
    if (g_ascii_strcasecmp(coding, "gzip") != 0) {
        *ret_reply = reply_error(415, "Content-Encoding %.40s: expected gzip or none", coding);
        return NULL;
    }
    g_autoptr(GError) error = NULL;
    gsize length;
    char *text = spool_expand(request->body, request->length, most, &length, &error);
    if (text)
        return g_bytes_new_take(text, length);
    *ret_reply = g_error_matches(error, SPOOL_ERROR, SPOOL_ERROR_TOO_LARGE)
                     ? reply_error(413,
                                   "unpacked, the body has more than %" G_GSIZE_FORMAT " bytes ([server] "
                                   "max_lines_size)",
                                   most)
                     : reply_error(400, "gzip: the body is damaged: %s", error->message);
    return NULL;
}

/* --- answers --- */

static void refusal(JsonWriter *json, const LineRefusal *refused)
{
    json_next_element(json);
    json_begin(json, '{');
    json_text_member(json, "original_line", refused->original);
    json_u64_member(json, "line_number", refused->line);
    json_text_member(json, "error_message", refused->message);
    json_end(json, '}');
}

/* Each version's own words, and ours: a sender of any kind finds what it knows. */
static Reply *answer_refused(const LineSamples *read, WriteApi api, bool is_partial)
{
    const LineRefusal *first = g_ptr_array_index(read->refusals, 0);
    g_autofree char *words = api != API_V3 ? g_strdup_printf("partial write: unable to parse '%s': %s dropped=%u",
                                                             first->original, first->message, read->refused)
                                           : g_strdup(is_partial ? "partial write of line protocol occurred"
                                                                 : "parsing failed for write_lp endpoint");
    g_autofree char *detail = g_strdup_printf(
        "%u of %u lines are no line protocol and %s; the first: %s", read->refused, read->refused + read->points,
        is_partial ? "were not taken" : "none was taken (accept_partial=false)", first->message);
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_text_member(&json, "error", words);
    json_text_member(&json, "detail", detail);
    if (api == API_V2) {
        json_text_member(&json, "code", "invalid");
        json_text_member(&json, "message", words);
        json_u64_member(&json, "line", first->line);
    }
    json_next_member(&json, "data");
    json_begin(&json, '[');
    for (guint i = 0; i < read->refusals->len; i++)
        refusal(&json, g_ptr_array_index(read->refusals, i));
    json_end(&json, ']');
    json_end(&json, '}');
    g_string_append_c(json.out, '\n');
    Reply *reply = reply_json(400, json.out);
    reply->error_header = log_quote(words, strlen(words), 500);
    return reply;
}

static bool read_partial(const Request *request, WriteApi api, bool *ret_is_partial)
{
    const char *word = api == API_V3 ? target_parameter(request->target, "accept_partial") : NULL;
    *ret_is_partial = !word || strcmp(word, "false") != 0;
    return !word || !*ret_is_partial || strcmp(word, "true") == 0;
}

static Reply *take(Service *service, const Request *request, WriteApi api)
{
    bool is_partial;
    gint64 unit_ns;
    Reply *reply = NULL;
    if (!read_precision(request, api, &unit_ns))
        return reply_error(400, "unknown precision: expected %s", precisions[api].list);
    if (!read_partial(request, api, &is_partial))
        return reply_error(400, "accept_partial: expected true or false");
    g_autoptr(GBytes) body = plain_body(service, request, &reply);
    if (!body)
        return reply;
    gsize length;
    const char *text = g_bytes_get_data(body, &length);
    g_autoptr(LineSamples) read = line_samples_read(text ? text : "", length, unit_ns, service_clock().real_ns);
    if (read->too_many)
        return reply_error(413, "the lines speak of more than %d samples, VMs, devices and events: send fewer at once",
                           LINE_THINGS_MAX);
    if (read->refused && !is_partial)
        return answer_refused(read, api, false);
    g_autoptr(GError) error = NULL;
    const char *via = request_header(request, VIA_HEADER);
    if (via && !via_is_list(via))
        via = NULL; /* not of our forwarder */
    if (!feed_lines(service->feed, read, text ? text : "", length, unit_ns, via, &error)) {
        reply = reply_error(503, "the lines can't be passed on to the configured sinks: %s", error->message);
        reply->retry_after_s = RETRY_AFTER_S;
        return reply;
    }
    return read->refused ? answer_refused(read, api, true) : reply_new(204, NULL, NULL);
}

Reply *route_write_v1(Service *service, const Request *request)
{
    return take(service, request, API_V1);
}

Reply *route_write_v2(Service *service, const Request *request)
{
    return take(service, request, API_V2);
}

Reply *route_write_v3(Service *service, const Request *request)
{
    return take(service, request, API_V3);
}

/* --- for writers that ask first --- */

Reply *route_ping(Service *service, const Request *request)
{
    (void)service;
    (void)request;
    return reply_new(204, NULL, NULL);
}

Reply *route_health(Service *service, const Request *request)
{
    (void)service;
    (void)request;
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_text_member(&json, "name", "telemetryd");
    json_text_member(&json, "message", "ready for line protocol");
    json_text_member(&json, "status", "pass");
    json_text_member(&json, "version", ONE_TELEMETRY_VERSION);
    json_end(&json, '}');
    g_string_append_c(json.out, '\n');
    return reply_json(200, json.out);
}
