/* SPDX-License-Identifier: Apache-2.0
 * Pools of their own for what reads, what writes, and what may wait for a database: none of them waits for another. */
#include "serve/server_internal.h"

enum { POOL_READING, POOL_WRITING, POOL_REMOTE };

static guint pool_of(const Route *route)
{
    if (route->where == WHERE_REMOTE)
        return POOL_REMOTE;
    return route->access == ACCESS_WRITE ? POOL_WRITING : POOL_READING;
}

/* While requests under way still have their time, their work is done. */
static bool is_too_late(Server *server)
{
    g_mutex_lock(&server->work_lock);
    const bool late = server->no_more_work;
    g_mutex_unlock(&server->work_lock);
    return late;
}

static void run(gpointer data, gpointer user_data)
{
    Exchange *exchange = data;
    Server *server = user_data;
    struct MHD_Connection *connection = exchange->client->connection;
    if (is_too_late(server))
        exchange->reply = reply_error(503, "the server is being stopped");
    else
        exchange->job(exchange);
    MHD_resume_connection(connection); /* from here on the exchange is libmicrohttpd's thread's */
}

void server_work_start(Server *server)
{
    for (guint i = 0; i < G_N_ELEMENTS(server->pools); i++)
        server->pools[i] = g_thread_pool_new(run, server, (gint)server->options.workers, FALSE, NULL);
}

void server_work_stop(Server *server)
{
    g_mutex_lock(&server->work_lock);
    server->no_more_work = true;
    g_mutex_unlock(&server->work_lock);
    for (guint i = 0; i < G_N_ELEMENTS(server->pools); i++)
        g_thread_pool_free(server->pools[i], FALSE, TRUE);
}

bool server_work(Exchange *exchange, void (*job)(Exchange *exchange))
{
    Server *server = exchange->client->server;
    bool taken = false;
    exchange->job = job;
    g_mutex_lock(&server->work_lock);
    GThreadPool *pool = server->pools[pool_of(exchange->route)];
    if (!server->no_more_work && g_thread_pool_unprocessed(pool) < QUEUE_MAX) {
        client_set_phase(exchange->client, PHASE_WORKING);
        MHD_suspend_connection(exchange->client->connection);
        g_thread_pool_push(pool, exchange, NULL);
        taken = true;
    }
    g_mutex_unlock(&server->work_lock);
    return taken;
}
