/* SPDX-License-Identifier: Apache-2.0
 * libmicrohttpd's own time-out is one of inactivity: a client that sends, or takes, a byte now and then would keep its
 * connection for good. Here each phase has its time. */
#include "serve/server_internal.h"

#include "serve/stream.h"

#define LOOKS_PER_LIMIT 4 /* a limit is overdrawn by a quarter of the shortest */
#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 500
#define US_PER_MS 1000

void server_shut(Client *client)
{
    if (client->is_shut)
        return;
    client->is_shut = true;
    client->server->n_shut++;
    shutdown(client->fd, SHUT_RDWR); /* libmicrohttpd sees it as the client's own going */
}

/* Milliseconds; 0: none. */
static gint64 limit_of(Server *server, Phase phase)
{
    switch (phase) {
    case PHASE_READING:
        return server->options.request_ms;
    case PHASE_SENDING:
        return server->options.send_ms;
    case PHASE_STREAMING: /* at least the heartbeat is there to be taken */
        return server->options.send_ms + STREAM_HEARTBEAT_S * 1000;
    case PHASE_WAITING:
        return server_is_stopping(server) ? 1 : server->options.idle_ms;
    default:
        return 0;
    }
}

static void look_at(Server *server, Client *client, gint64 now_ms)
{
    Phase phase = (Phase)g_atomic_int_get(&client->phase);
    gint64 limit = limit_of(server, phase);
    gint64 for_ms = now_ms - __atomic_load_n(&client->since_ms, __ATOMIC_RELAXED);
    if (client->is_shut || limit == 0 || for_ms < limit)
        return;
    if (phase != PHASE_WAITING)
        COUNT(server, timeouts);
    server_shut(client);
}

/* Answers that were replaced long ago are held by those that take them slowly. */
static void let_slowest_go(Server *server)
{
    Client *slowest = NULL;
    gint64 since_ms = G_MAXINT64;
    for (GList *at = server->clients.head; at; at = at->next) {
        Client *client = at->data;
        gint phase = g_atomic_int_get(&client->phase);
        gint64 its_ms = __atomic_load_n(&client->since_ms, __ATOMIC_RELAXED);
        if (!client->is_shut && (phase == PHASE_SENDING || phase == PHASE_STREAMING) && its_ms < since_ms) {
            slowest = client;
            since_ms = its_ms;
        }
    }
    if (slowest) {
        COUNT(server, timeouts);
        server_shut(slowest);
    }
}

static void look(Server *server)
{
    gint64 now_ms = server_now_ms();
    g_mutex_lock(&server->clients_lock);
    for (GList *at = server->clients.head; at; at = at->next)
        look_at(server, at->data, now_ms);
    if (snapshot_bytes() > HELD_BYTES_MAX)
        let_slowest_go(server);
    g_mutex_unlock(&server->clients_lock);
    server_streams_wake(server, now_ms);
}

static gint64 pause_ms(const ServerOptions *options)
{
    gint64 shortest = MIN(options->request_ms, MIN(options->idle_ms, options->send_ms));
    return CLAMP(shortest / LOOKS_PER_LIMIT, PAUSE_MIN_MS, PAUSE_MAX_MS);
}

static gpointer watch(gpointer data)
{
    Server *server = data;
    g_mutex_lock(&server->watch_lock);
    while (server->watching) {
        gint64 pause = server_is_stopping(server) ? PAUSE_MIN_MS : pause_ms(&server->options);
        g_cond_wait_until(&server->watch_change, &server->watch_lock, g_get_monotonic_time() + pause * US_PER_MS);
        g_mutex_unlock(&server->watch_lock);
        look(server);
        g_mutex_lock(&server->watch_lock);
    }
    g_mutex_unlock(&server->watch_lock);
    return NULL;
}

void server_watch_start(Server *server)
{
    server->watching = true;
    server->watch = g_thread_new("watch", watch, server);
}

void server_watch_stop(Server *server)
{
    g_mutex_lock(&server->watch_lock);
    server->watching = false;
    g_cond_signal(&server->watch_change);
    g_mutex_unlock(&server->watch_lock);
    g_thread_join(server->watch);
}
