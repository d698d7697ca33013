/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_routes.h"

#include "gather_helpers.h"

#include <string.h>

#define DRAIN_MS 10000

/* {"version":…,"filler":"xxx…"} */
static Reply *answer_snapshot(Service *service, const Request *request)
{
    Fake *fake = (Fake *)service;
    (void)request;
    g_atomic_int_inc(&fake->renderings);
    GString *text = g_string_new(NULL);
    g_string_printf(text, "{\"version\":%" G_GUINT64_FORMAT ",\"filler\":\"",
                    __atomic_load_n(&fake->version, __ATOMIC_ACQUIRE));
    while (text->len < fake->size)
        g_string_append_c(text, 'x');
    g_string_append(text, "\"}");
    if (fake->cost_us)
        g_usleep(fake->cost_us);
    return reply_json(200, text);
}

/* "GET history id metric" */
static Reply *answer_read(Service *service, const Request *request)
{
    Fake *fake = (Fake *)service;
    const char *metric = request->target ? target_parameter(request->target, "metric") : NULL;
    g_atomic_int_inc(&fake->reads);
    GString *text = g_string_new(NULL);
    g_string_printf(text, "%s %s %s", request->method, request->id ? request->id : "-", metric ? metric : "-");
    return reply_new(200, "text/plain", g_string_free_to_bytes(text));
}

static Reply *answer_in_worker(Service *service, const Request *request)
{
    Fake *fake = (Fake *)service;
    g_mutex_lock(&fake->lock);
    fake->held++;
    g_cond_broadcast(&fake->change);
    while (fake->is_held)
        g_cond_wait(&fake->change, &fake->lock);
    fake->held--;
    g_mutex_unlock(&fake->lock);
    return answer_read(service, request);
}

static Reply *answer_write(Service *service, const Request *request)
{
    Fake *fake = (Fake *)service;
    Reply *held = answer_in_worker(service, request);
    reply_free(held);
    g_atomic_int_inc(&fake->writes);
    g_mutex_lock(&fake->lock);
    fake->last_length = request->length;
    g_free(fake->last_body);
    fake->last_body = g_strndup(request->body, MIN(request->length, 4096));
    g_mutex_unlock(&fake->lock);
    return reply_new(204, NULL, NULL);
}

static Reply *answer_big(Service *service, const Request *request)
{
    (void)service;
    (void)request;
    char *text = g_malloc(4000);
    memset(text, 'y', 4000);
    Reply *reply = reply_new(200, TYPE_JSON, g_bytes_new_take(text, 4000));
    reply->cacheable = true;
    return reply;
}

/* Its packed form is none, so that one sees whose it is. */
static Reply *answer_page(Service *service, const Request *request)
{
    (void)service;
    (void)request;
    char *text = g_malloc(4000);
    memset(text, 'z', 4000);
    Reply *reply = reply_new(200, "text/html", g_bytes_new_take(text, 4000));
    reply->packed = g_bytes_new_static(FAKE_PACKED, strlen(FAKE_PACKED));
    reply->policy = FAKE_POLICY;
    return reply;
}

static guint64 version_of(Service *service)
{
    return __atomic_load_n(&((Fake *)service)->version, __ATOMIC_ACQUIRE);
}

static RouteHandler handlers[N_ROUTES];

static void fill_handlers(void)
{
    for (guint i = 0; i < N_ROUTES; i++)
        handlers[i] = routes[i].where == WHERE_SNAPSHOT                                    ? answer_snapshot
                      : routes[i].access == ACCESS_WRITE                                   ? answer_write
                      : routes[i].where == WHERE_WORKER || routes[i].where == WHERE_REMOTE ? answer_in_worker
                                                                                           : answer_read;
    handlers[ROUTE_openapi] = answer_big;
    handlers[ROUTE_dashboard] = answer_page;
}

Fake *fake_new(void)
{
    Fake *fake = g_new0(Fake, 1);
    g_mutex_init(&fake->lock);
    g_cond_init(&fake->change);
    fill_handlers();
    fake->version = 1;
    fake->size = 2000;
    fake->service.stream = stream_new();
    fake->options = (ServerOptions){.address = "127.0.0.1",
                                    .threads = 2,
                                    .connections = 64,
                                    .streams = 4,
                                    .max_header = 16384,
                                    .max_body = 65536,
                                    .request_ms = 20000,
                                    .idle_ms = 60000,
                                    .send_ms = 60000,
                                    .workers = 2,
                                    .read_token = "reader",
                                    .write_token = "writer"};
    return fake;
}

void fake_start(Fake *fake)
{
    const ServerParts parts = {.handlers = handlers, .version = version_of};
    g_autoptr(GError) error = NULL;
    fake->server = server_start_with(&fake->service, &fake->options, &parts, &error);
    CHECK(fake->server != NULL, "%s", error ? error->message : "");
    fake->port = server_port(fake->server);
}

void fake_free(Fake *fake)
{
    if (!fake)
        return;
    fake_hold(fake, false);
    server_stop(fake->server, DRAIN_MS);
    stream_free(fake->service.stream);
    g_mutex_clear(&fake->lock);
    g_cond_clear(&fake->change);
    g_free(fake->last_body);
    g_free(fake);
}

void fake_change(Fake *fake)
{
    __atomic_add_fetch(&fake->version, 1, __ATOMIC_RELEASE);
}

void fake_hold(Fake *fake, bool held)
{
    g_mutex_lock(&fake->lock);
    fake->is_held = held;
    g_cond_broadcast(&fake->change);
    g_mutex_unlock(&fake->lock);
}

void fake_wait_held(Fake *fake, guint n)
{
    g_mutex_lock(&fake->lock);
    while (fake->held < n)
        g_cond_wait(&fake->change, &fake->lock);
    g_mutex_unlock(&fake->lock);
}
