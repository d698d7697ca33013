/* SPDX-License-Identifier: Apache-2.0
 * What the tests of sinks share: settings, and one request with its reply. Header only: other tests have no use for
 * it. */
#pragma once

#include "gather_helpers.h"

#include "deliver/sink.h"

#include <string.h>

#define PATIENCE_US (20 * G_USEC_PER_SEC) /* much more than anything takes */

/* All texts empty but these, nothing to free. */
static inline SinkSettings plain_settings(SinkType type, const char *url)
{
    char *none = (char *)(guintptr) "";
    return (SinkSettings){
        .name = (char *)(guintptr) "db",
        .type = type,
        .url = (char *)(guintptr)url,
        .database = none,
        .retention_policy = none,
        .org = none,
        .bucket = none,
        .user = none,
        .password_file = none,
        .token_file = none,
        .ca_file = none,
        .cert_file = none,
        .key_file = none,
        .verify = true,
        .proxy = none,
        .connect_timeout_ms = 10000,
        .timeout_ms = 10000,
    };
}

static inline Sink *new_sink(SinkPool *pool, const SinkSettings *settings)
{
    g_autoptr(GError) error = NULL;
    Sink *sink = sink_new(pool, settings, &error);
    if (!sink)
        fail_msg("%s", error->message);
    return sink;
}

/* The reply that comes; fails the test where none does. */
static inline SinkReply *await(SinkPool *pool, Sink *sink)
{
    const gint64 until = g_get_monotonic_time() + PATIENCE_US;
    SinkReply *reply = NULL;
    while (!(reply = sink_take_reply(sink)) && g_get_monotonic_time() < until)
        sink_pool_run(pool, -1, until);
    assert_non_null(reply);
    assert_false(sink_is_busy(sink));
    assert_int_equal(reply->transport == TRANSPORT_DONE, reply->problem == NULL);
    return reply;
}

static inline SinkReply *ask(SinkPool *pool, Sink *sink, const char *body)
{
    assert_false(sink_is_busy(sink));
    sink_send(sink, body, strlen(body), false);
    assert_true(sink_is_busy(sink));
    return await(pool, sink);
}

/* In a pool of its own. */
static inline SinkReply *ask_once(const SinkSettings *settings)
{
    g_autoptr(SinkPool) pool = sink_pool_new();
    g_autoptr(Sink) sink = new_sink(pool, settings);
    return ask(pool, sink, "m f=1i 1\n");
}
