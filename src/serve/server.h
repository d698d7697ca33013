/* SPDX-License-Identifier: Apache-2.0
 * The HTTP server: libmicrohttpd, tokens, limits, origins, snapshots, streams. */
#pragma once

#include "serve/routes.h"

typedef struct {
    const char *address; /* "127.0.0.1", "::1", "0.0.0.0" */
    guint port;          /* 0: any, see server_port */
    guint threads;
    guint connections, connections_per_address; /* most; the latter 0: no limit of its own */
    guint streams;                              /* most clients of /stream */
    gsize max_header, max_body;                 /* bytes */
    gint64 request_ms; /* a request has to have come in whole by then, counted from its first byte or the connection */
    gint64 idle_ms;    /* a connection may wait for its next request */
    gint64 send_ms;    /* an answer has to be taken by then */
    guint workers;     /* threads for routes that may take a while */
    const char *read_token, *write_token; /* NULL: none is needed */
    const char *cert, *key;               /* PEM texts; NULL: no TLS */
    const char *const *origins;           /* NULL-terminated; "*": any */
} ServerOptions;

typedef struct Server Server;

/* What answers; in tests something else does. */
typedef struct {
    const RouteHandler *handlers;         /* by RouteId */
    guint64 (*version)(Service *service); /* of what the snapshots show; quick, from any thread */
} ServerParts;

/* Whether a server can be started with that certificate and its key, PEM texts. Errors: G_FILE_ERROR, one line. */
bool server_check_tls(const char *cert, const char *key, GError **error);

/* Copies the options. Errors: G_FILE_ERROR (address in use …), one line. */
Server *server_start(Service *service, const ServerOptions *options, GError **error);
Server *server_start_with(Service *service, const ServerOptions *options, const ServerParts *parts, GError **error);
guint server_port(const Server *server);
/* Takes no more connections, lets requests under way end for that long, ends streams, closes. */
void server_stop(Server *server, gint64 drain_ms);

typedef struct {
    guint connections, streams;
    guint64 requests, refused_connections, timeouts, unauthorized, renderings;
    guint64 by_class[6]; /* answers 1xx … 5xx */
} ServerStatus;
void server_status(Server *server, ServerStatus *ret_status);
