/* SPDX-License-Identifier: Apache-2.0
 * A request from its first line to its answer. Refusals are decided when the head is there, so that nobody sends a
 * body for nothing; but where there is none the answer waits for the end of the request, as the connection then stays.
 */
#include "serve/server_internal.h"

#include "serve/accept.h"
#include "serve/gzip.h"

#include <string.h>

#define ROOM_FIRST 16384 /* bytes of the first piece of memory for a body */

/* --- beginning and end of an exchange --- */

/* The snapshot's route with this path, letter for letter; NULL: none. */
static const Route *snapshot_route(Server *server, const char *target)
{
    for (guint i = 0; i < N_ROUTES; i++)
        if (server->snapshots[i] && strcmp(routes[i].path, target) == 0)
            return &routes[i];
    return NULL;
}

void *server_on_target(void *data, const char *target, struct MHD_Connection *connection)
{
    Server *server = data;
    Client *client = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    Exchange *exchange = &client->exchange;
    exchange->under_way = true;
    g_atomic_int_inc(&server->active);
    COUNT(server, requests);
    client_set_phase(exchange->client, PHASE_READING);
    exchange->route = snapshot_route(server, target);
    if (!exchange->route)
        exchange->target = target_parse(target, &exchange->bad_target);
    return exchange;
}

static void give_room_back(Exchange *exchange)
{
    g_atomic_pointer_add(&exchange->client->server->body_bytes, -(gssize)exchange->room);
    g_free(exchange->body);
    exchange->body = NULL;
    exchange->length = exchange->room = 0;
}

void exchange_clear(Exchange *exchange)
{
    Client *client = exchange->client;
    if (!exchange->under_way)
        return;
    if (exchange->reader)
        server_stream_end(exchange);
    if (exchange->rendering)
        rendering_unref(exchange->rendering);
    if (exchange->packed)
        g_bytes_unref(exchange->packed);
    if (exchange->sent)
        g_bytes_unref(exchange->sent);
    if (exchange->room)
        give_room_back(exchange);
    target_free(exchange->target);
    g_clear_error(&exchange->bad_target);
    g_free(exchange->id);
    reply_free(exchange->reply);
    memset(exchange, 0, sizeof *exchange);
    exchange->client = client;
    g_atomic_int_add(&client->server->active, -1);
}

/* --- the head --- */

static MhdResult take_header(void *data, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    head_take(data, name, value);
    return MHD_YES;
}

static bool has_method_of_route(const Exchange *exchange)
{
    return strcmp(exchange->method, "GET") == 0 || strcmp(exchange->method, "HEAD") == 0;
}

static Reply *find_route(Exchange *exchange)
{
    const char *allow = NULL;
    if (exchange->route && has_method_of_route(exchange))
        return NULL;
    if (exchange->bad_target)
        return reply_error(exchange->bad_target->code == TARGET_ERROR_LIMIT ? 414 : 400, "%s",
                           exchange->bad_target->message);
    const char *path = exchange->route ? exchange->route->path : exchange->target->path;
    switch (route_find(exchange->method, path, &exchange->route, &exchange->id, &allow)) {
    case ROUTE_FOUND:
        return NULL;
    case ROUTE_NO_PATH:
        return reply_error(404, "there is nothing at this path; /api/openapi.json says what there is");
    default:
        break;
    }
    Reply *reply = strcmp(exchange->method, "OPTIONS") == 0 ? reply_new(204, NULL, NULL)
                                                            : reply_error(405, "allowed here: %s", allow);
    reply->allow = allow;
    return reply;
}

/* Whether this client may. */
static Reply *check_access(Exchange *exchange)
{
    const Access *access = exchange->client->server->access;
    const Head *head = &exchange->head;
    const Route *route = exchange->route;
    Reply *refusal = NULL;
    const char *parameter = exchange->target ? target_parameter(exchange->target, "p") : NULL;
    if ((route->access != ACCESS_WRITE ||
         access_check_page(access, head->origin, head->host, head->fetch_site, &refusal)) &&
        access_check_token(access, route->access, head->authorization, parameter, &refusal) && exchange->target)
        route_check_parameters(route, exchange->target, &refusal);
    return refusal;
}

static Reply *check_body(Exchange *exchange)
{
    gsize most = exchange->client->server->options.max_body;
    if (strcmp(exchange->route->method, "GET") == 0)
        return reply_error(400, "a body, where none is expected");
    return head_body_length(&exchange->head) > most
               ? reply_error(413, "the body has more than %" G_GSIZE_FORMAT " bytes (max_body)", most)
               : NULL;
}

/* NULL: nothing is against it. */
static Reply *check(Exchange *exchange)
{
    Reply *refusal = NULL;
    if (!access_check_host(exchange->client->server->access, exchange->head.host, &refusal))
        return refusal;
    refusal = find_route(exchange);
    if (!refusal)
        refusal = check_access(exchange);
    if (!refusal && head_has_body(&exchange->head))
        refusal = check_body(exchange);
    return refusal;
}

/* Of a request that is refused by its head: whether its end is to be waited for before it is told so. */
static bool body_is_under_way(const Exchange *exchange)
{
    return !exchange->head.expect && server_throws_away(exchange, head_body_length(&exchange->head));
}

/* First call: the head is there. */
static MhdResult begin(Exchange *exchange, const char *method, const char *version)
{
    exchange->begun = true;
    exchange->method = method;
    MHD_get_connection_values(exchange->client->connection, MHD_HEADER_KIND, take_header, &exchange->head);
    bool well = head_check(&exchange->head, version, &exchange->reply);
    if (well)
        exchange->reply = check(exchange);
    exchange->closes = !well || (exchange->reply && head_has_body(&exchange->head));
    return !exchange->closes || (well && body_is_under_way(exchange)) ? MHD_YES : server_send_reply(exchange);
}

/* --- the body --- */

/* false: the refusal is exchange->reply. */
static bool make_room(Exchange *exchange, gsize more)
{
    Server *server = exchange->client->server;
    gsize needed = exchange->length + more, room = MAX(exchange->room, ROOM_FIRST);
    if (needed > server->options.max_body) {
        exchange->reply =
            reply_error(413, "the body has more than %" G_GSIZE_FORMAT " bytes (max_body)", server->options.max_body);
        return false;
    }
    while (room < needed)
        room *= 2;
    room = MIN(room, MAX(server->options.max_body, ROOM_FIRST));
    gsize added = room - exchange->room;
    if (added == 0)
        return true;
    if ((gsize)g_atomic_pointer_add(&server->body_bytes, (gssize)added) + added > BODY_BYTES_MAX) {
        g_atomic_pointer_add(&server->body_bytes, -(gssize)added);
        exchange->reply = reply_error(503, "too many bodies are coming in at the moment");
        exchange->reply->retry_after_s = BUSY_RETRY_S;
        return false;
    }
    exchange->body = g_realloc(exchange->body, room + 1);
    exchange->room = room;
    return true;
}

static MhdResult take_body(Exchange *exchange, const char *data, gsize *length)
{
    gsize n = *length;
    *length = 0;
    if (!exchange->closes && !make_room(exchange, n)) {
        exchange->closes = true;
        give_room_back(exchange);
    }
    if (exchange->closes) {
        exchange->thrown_away += n;
        return server_refuse_midway(exchange);
    }
    memcpy(exchange->body + exchange->length, data, n);
    exchange->length += n;
    exchange->body[exchange->length] = '\0';
    return MHD_YES;
}

/* --- the answer --- */

static const char *header_of(gconstpointer connection, const char *name)
{
    return MHD_lookup_connection_value((struct MHD_Connection *)(guintptr)connection, MHD_HEADER_KIND, name);
}

static void call_handler(Exchange *exchange)
{
    Server *server = exchange->client->server;
    Request request = {.method = exchange->method,
                       .target = exchange->target,
                       .id = exchange->id,
                       .header = header_of,
                       .connection = exchange->client->connection,
                       .body = exchange->body ? exchange->body : "",
                       .length = exchange->length};
    exchange->reply = server->parts.handlers[exchange->route - routes](server->service, &request);
}

/* In a worker. */
static void work(Exchange *exchange)
{
    call_handler(exchange);
    if (exchange->reply->body && accept_gzip(exchange->head.accept_encoding))
        exchange->packed = gzip_pack(exchange->reply->body).bytes;
}

static void wait_for_rendering(Exchange *exchange)
{
    exchange->rendering = snapshot_wait(exchange->client->server->snapshots[exchange->route - routes]);
}

static MhdResult hand_over(Exchange *exchange, void (*job)(Exchange *exchange))
{
    if (server_work(exchange, job))
        return MHD_YES;
    exchange->reply = reply_error(503, "too much is to be done at the moment");
    exchange->reply->retry_after_s = BUSY_RETRY_S;
    return server_send_reply(exchange);
}

/* The request has come in whole, or a worker has done its part. */
static MhdResult finish(Exchange *exchange)
{
    if (exchange->reply)
        return server_send_reply(exchange);
    if (exchange->rendering)
        return server_send_rendering(exchange);
    switch (exchange->route->where) {
    case WHERE_SNAPSHOT:
        exchange->rendering = snapshot_get(exchange->client->server->snapshots[exchange->route - routes]);
        return exchange->rendering ? server_send_rendering(exchange) : hand_over(exchange, wait_for_rendering);
    case WHERE_INLINE:
        call_handler(exchange);
        return server_send_reply(exchange);
    case WHERE_WORKER:
    case WHERE_REMOTE:
        return hand_over(exchange, work);
    default:
        return server_send_stream(exchange);
    }
}

/* NOLINTNEXTLINE(readability-function-size): these parameters are libmicrohttpd's */
MhdResult server_on_request(void *data, struct MHD_Connection *connection, const char *url, const char *method,
                            const char *version, const char *body, size_t *length, void **state)
{
    (void)data;
    (void)connection;
    (void)url; /* decoded once too often: server_on_target has the raw one */
    Exchange *exchange = *state;
    if (!exchange)
        return MHD_NO;
    if (!exchange->begun)
        return begin(exchange, method, version);
    if (*length > 0)
        return take_body(exchange, body, length);
    return finish(exchange);
}

void server_on_completed(void *data, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode how)
{
    (void)data;
    (void)connection;
    (void)how;
    Exchange *exchange = *state;
    if (!exchange)
        return;
    exchange_clear(exchange);
    client_set_phase(exchange->client, PHASE_WAITING);
    *state = NULL;
}
