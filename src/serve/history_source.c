/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/history_source.h"

#include "base/log.h"
#include "deliver/sink.h"

#define WORDS_MAX 300 /* bytes of the database's own words */

G_DEFINE_QUARK(one_telemetry_history_source, history_source_error)

static HistoryAnswer *fail(GError **error, HistorySourceErrorCode code, const char *message)
{
    g_set_error_literal(error, HISTORY_SOURCE_ERROR, (gint)code, message);
    return NULL;
}

static HistoryAnswer *read_reply(SinkType type, const HistoryQuery *query, const SinkReply *reply, GError **error)
{
    if (reply->transport != TRANSPORT_DONE)
        return fail(error,
                    reply->transport == TRANSPORT_TIMEOUT ? HISTORY_SOURCE_ERROR_TIMEOUT : HISTORY_SOURCE_ERROR_FAILED,
                    reply->problem);
    if (reply->status / 100 == 2)
        return influx_read_answer(type, query, reply->body->str, reply->body->len, error);
    g_autofree char *words = log_quote(reply->body->str, reply->body->len, WORDS_MAX);
    g_autofree char *message = g_strdup_printf("status %ld: %s", reply->status, words);
    return fail(error, HISTORY_SOURCE_ERROR_FAILED, message);
}

static SinkReply *exchange(SinkPool *pool, Sink *sink, const InfluxQuestion *question)
{
    const gint64 until_us = g_get_monotonic_time() + HISTORY_SOURCE_MS * 1000;
    SinkReply *reply = NULL;
    sink_ask(sink, question->path, question->body);
    while (!(reply = sink_take_reply(sink)) && g_get_monotonic_time() < until_us)
        sink_pool_run(pool, -1, until_us);
    return reply;
}

HistoryAnswer *history_source_ask(const SinkSettings *settings, const HistoryQuery *query, GError **error)
{
    InfluxQuestion question = {0};
    if (!influx_question(settings, query, &question, error))
        return NULL;
    g_autoptr(SinkPool) pool = sink_pool_new();
    g_autoptr(Sink) sink = sink_new(pool, settings, error);
    SinkReply *reply = sink ? exchange(pool, sink, &question) : NULL;
    influx_question_clear(&question);
    if (!sink)
        return NULL;
    if (!reply)
        return fail(error, HISTORY_SOURCE_ERROR_TIMEOUT, "no answer in time");
    HistoryAnswer *answer = read_reply(settings->type, query, reply, error);
    sink_reply_free(reply);
    return answer;
}
