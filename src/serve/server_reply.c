/* SPDX-License-Identifier: Apache-2.0
 * Bodies are not copied for each client: a response points into the rendering or the reply that the exchange holds
 * until it is sent, or into a file in memory. The responses of a rendering are made once and sent to all. */
#include "serve/server_internal.h"

#include "base/log.h"
#include "serve/accept.h"
#include "serve/gzip.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PREFLIGHT_S "600"
#define ALLOWED_HEADERS "Authorization, Content-Type, Content-Encoding, If-None-Match, Last-Event-ID"
#define READABLE_HEADERS "ETag, Retry-After, X-Influxdb-Error"

static void add(struct MHD_Response *response, const char *name, const char *value)
{
    if (value)
        MHD_add_response_header(response, name, value);
}

void server_add_headers(const Server *server, struct MHD_Response *response, const char *policy, int origin)
{
    add(response, MHD_HTTP_HEADER_X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(response, "Content-Security-Policy", policy ? policy : "default-src 'none'; frame-ancestors 'none'");
    add(response, "Referrer-Policy", policy ? "no-referrer" : NULL);
    if (origin != ACCESS_NO_ORIGIN) {
        add(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_ORIGIN,
            origin == ACCESS_ANY_ORIGIN ? "*" : server->access->origins[origin]);
        add(response, MHD_HTTP_HEADER_ACCESS_CONTROL_EXPOSE_HEADERS, READABLE_HEADERS);
    }
    if (server->n_origins > 0)
        add(response, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ORIGIN);
}

static void add_preflight(struct MHD_Response *response, const char *allow)
{
    add(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_METHODS, allow);
    add(response, MHD_HTTP_HEADER_ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    add(response, MHD_HTTP_HEADER_ACCESS_CONTROL_MAX_AGE, PREFLIGHT_S);
}

/* Of a file (body.h), whose pages the kernel sends as they are: half of what a large body costs is that it is copied,
 * once for each client. NULL: it has none, or no descriptor is left. */
static struct MHD_Response *response_of_file(gsize length, int fd)
{
    int own = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    struct MHD_Response *response = own >= 0 ? MHD_create_response_from_fd64(length, own) : NULL;
    if (own >= 0 && !response)
        close(own); /* else it goes with the response */
    return response;
}

/* TLS has to read what it sends, so there a file is of no use. */
static struct MHD_Response *response_of_body(const Server *server, Body body)
{
    gsize length = 0;
    gconstpointer data = body.bytes ? g_bytes_get_data(body.bytes, &length) : NULL;
    struct MHD_Response *response = server->options.cert ? NULL : response_of_file(length, body.fd);
    if (response)
        return response;
    return MHD_create_response_from_buffer(length, length ? (gpointer)(guintptr)data : (gpointer)(guintptr) "",
                                           MHD_RESPMEM_PERSISTENT);
}

/* Headers of the reply. `body`: what is sent of it, none: nothing. */
static struct MHD_Response *make_response(const Server *server, const Reply *reply, Body body, int origin)
{
    struct MHD_Response *response = response_of_body(server, body);
    server_add_headers(server, response, reply->policy, origin);
    if (body.bytes) {
        add(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->type);
        if (reply->body && body.bytes != reply->body)
            add(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    }
    if (reply->body)
        add(response, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
    add(response, MHD_HTTP_HEADER_ETAG, reply->etag);
    add(response, MHD_HTTP_HEADER_CACHE_CONTROL, reply->cacheable ? "no-cache" : "no-store");
    if (reply->retry_after_s > 0) {
        char seconds[12];
        g_snprintf(seconds, sizeof seconds, "%u", reply->retry_after_s);
        add(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    return response;
}

MhdResult server_send_response(Exchange *exchange, guint status, struct MHD_Response *response)
{
    Server *server = exchange->client->server;
    COUNT(server, by_class[MIN(status / 100, G_N_ELEMENTS(server->counts.by_class) - 1)]);
    client_set_phase(exchange->client, PHASE_SENDING);
    return MHD_queue_response(exchange->client->connection, status, response);
}

/* --- renderings --- */

typedef enum { VARIANT_PLAIN, VARIANT_PACKED, VARIANT_UNCHANGED, N_VARIANTS } Variant;

/* Places of a variant: for no origin, for any, for each that is listed. */
static guint places(const Server *server)
{
    return server->n_origins + 2;
}

guint server_n_attached(const Server *server)
{
    return N_VARIANTS * places(server);
}

void server_detach(gpointer response)
{
    MHD_destroy_response(response);
}

static struct MHD_Response *attach(const Server *server, Rendering *rendering, Variant variant, int origin, guint place)
{
    const Reply *reply = rendering->reply;
    Body body = {NULL, -1};
    if (variant == VARIANT_PLAIN)
        body = (Body){reply->body, reply->body_fd};
    else if (variant == VARIANT_PACKED)
        body = rendering->packed;
    g_mutex_lock(&rendering->lock);
    struct MHD_Response *response = rendering->attached[place];
    if (!response) {
        response = make_response(server, reply, body, origin);
        g_atomic_pointer_set(&rendering->attached[place], response);
    }
    g_mutex_unlock(&rendering->lock);
    return response;
}

MhdResult server_send_rendering(Exchange *exchange)
{
    Server *server = exchange->client->server;
    Rendering *rendering = exchange->rendering;
    const Head *head = &exchange->head;
    Snapshot *snapshot = server->snapshots[exchange->route - routes];
    int origin = access_origin(server->access, head->origin);
    guint status = rendering->reply->status;
    Variant variant = VARIANT_PLAIN;
    if (status == 200 && accept_has_tag(head->if_none_match, rendering->reply->etag)) {
        variant = VARIANT_UNCHANGED;
        status = 304;
    } else if (accept_gzip(head->accept_encoding) && snapshot_packed(snapshot, rendering)) {
        variant = VARIANT_PACKED;
    }
    guint place = variant * places(server) + (origin >= 0 ? (guint)origin + 2 : origin == ACCESS_ANY_ORIGIN ? 1 : 0);
    struct MHD_Response *response = g_atomic_pointer_get(&rendering->attached[place]);
    if (!response)
        response = attach(server, rendering, variant, origin, place);
    return server_send_response(exchange, status, response);
}

/* --- replies --- */

static bool is_read(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static void add_etag(Reply *reply)
{
    if (reply->etag || !reply->cacheable || reply->status != 200 || !reply->body)
        return;
    g_autofree char *sum = g_compute_checksum_for_bytes(G_CHECKSUM_SHA1, reply->body);
    reply->etag = g_strdup_printf("\"%s\"", sum);
}

/* What is sent of it; NULL nothing. The exchange holds it. */
static GBytes *choose_body(Exchange *exchange, const Reply *reply)
{
    if (!reply->body)
        return NULL;
    bool packs = accept_gzip(exchange->head.accept_encoding);
    if (packs && !exchange->packed && reply->packed)
        exchange->packed = g_bytes_ref(reply->packed);
    else if (packs && !exchange->packed && g_bytes_get_size(reply->body) <= SNAPSHOT_GZIP_NOW)
        exchange->packed = gzip_pack(reply->body).bytes;
    exchange->sent = g_bytes_ref(packs && exchange->packed ? exchange->packed : reply->body);
    return exchange->sent;
}

static void add_own_headers(const Exchange *exchange, const Reply *reply, struct MHD_Response *response, int origin)
{
    add(response, MHD_HTTP_HEADER_ALLOW, reply->allow);
    if (reply->authenticate)
        add(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"telemetryd\"");
    add(response, "X-Influxdb-Error", reply->error_header);
    if (origin != ACCESS_NO_ORIGIN && strcmp(exchange->method, "OPTIONS") == 0)
        add_preflight(response, reply->allow);
    if (exchange->closes)
        add(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

MhdResult server_send_reply(Exchange *exchange)
{
    Server *server = exchange->client->server;
    g_autoptr(Reply) reply = g_steal_pointer(&exchange->reply);
    int origin = access_origin(server->access, exchange->head.origin);
    GBytes *body = NULL;
    add_etag(reply);
    if (reply->status == 200 && is_read(exchange->method) && accept_has_tag(exchange->head.if_none_match, reply->etag))
        reply->status = 304;
    else
        body = choose_body(exchange, reply);
    if (reply->status == 401)
        COUNT(server, unauthorized);
    struct MHD_Response *response = make_response(server, reply, (Body){body, -1}, origin);
    add_own_headers(exchange, reply, response, origin);
    MhdResult result = server_send_response(exchange, reply->status, response);
    MHD_destroy_response(response);
    return result;
}

bool server_throws_away(const Exchange *exchange, guint64 length)
{
    const ServerOptions *options = &exchange->client->server->options;
    return options->cert && length <= 2 * options->max_body;
}

MhdResult server_refuse_midway(Exchange *exchange)
{
    Client *client = exchange->client;
    Server *server = client->server;
    if (server->options.cert)
        return server_throws_away(exchange, exchange->thrown_away) ? MHD_YES : MHD_NO;
    gsize length;
    const char *detail = g_bytes_get_data(exchange->reply->body, &length);
    g_autofree char *text = g_strdup_printf(
        "HTTP/1.1 %u %s\r\nContent-Type: " TYPE_JSON "\r\nContent-Length: %" G_GSIZE_FORMAT
        "\r\nConnection: close\r\n\r\n%.*s",
        exchange->reply->status, exchange->reply->status == 413 ? "Payload Too Large" : "Service Unavailable", length,
        (int)length, detail);
    COUNT(server, by_class[exchange->reply->status / 100]);
    if (send(client->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("%s", g_strerror(errno)); /* it has gone: nobody to be told */
    return MHD_NO;
}
