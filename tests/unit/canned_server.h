/* SPDX-License-Identifier: Apache-2.0
 * An HTTP server on the loopback, in threads of this process, which answers requests with the bytes it is given and
 * keeps what it was sent. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum {
    THEN_KEEP, /* wait for the next request on the same connection */
    THEN_CLOSE,
    THEN_HANG,  /* say nothing more, read nothing more, until the server is freed */
    THEN_RESET, /* close, so that the other side gets ECONNRESET */
} Then;

typedef struct {
    const char *bytes; /* NULL: none */
    gsize length;      /* 0: of a text */
    Then then;
    bool unread; /* do not wait for a request */
} Canned;

typedef struct CannedServer CannedServer;

/* Answers requests in the order in which they come, whatever their connections; when all are given the last again. */
CannedServer *canned_server_new(const Canned *answers, guint n);
void canned_server_free(CannedServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CannedServer, canned_server_free)

const char *canned_server_url(const CannedServer *server); /* "http://127.0.0.1:PORT" */
guint canned_server_connections(CannedServer *server);

/* Requests so far; the `i`th of them as it came, headers and body, NULL where there is none. It stays the server's. */
guint canned_server_requests(CannedServer *server);
const GString *canned_server_request(CannedServer *server, guint i);
