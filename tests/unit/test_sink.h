/* SPDX-License-Identifier: Apache-2.0
 * What the tests of sinks share: settings, servers, and one request with its reply. Header only: other tests have no
 * use for it. */
#pragma once

#include "canned_server.h"
#include "gather_helpers.h"

#include "deliver/sink.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

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

#define OK_204 "HTTP/1.1 204 No Content\r\n\r\n"
#define BODY_OF(status, length) "HTTP/1.1 " status "\r\nContent-Length: " length "\r\n\r\n"

#define SERVER(name, ...)                                                                                              \
    static const Canned name##_answers[] = {__VA_ARGS__};                                                              \
    g_autoptr(CannedServer) name = canned_server_new(name##_answers, G_N_ELEMENTS(name##_answers))

/* A port that nobody listens at: bound, so that nobody will. */
static inline int take_port(char **ret_url)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_url = g_strdup_printf("http://127.0.0.1:%d", ntohs(address.sin_port));
    return fd;
}

static inline void check_body(const GString *request, const char *body, gsize length)
{
    const char *end = strstr(request->str, "\r\n\r\n");
    assert_non_null(end);
    end += 4;
    assert_int_equal(request->len - (gsize)(end - request->str), length);
    assert_memory_equal(end, body, length);
}
