/* SPDX-License-Identifier: Apache-2.0
 * A request and its answer, apart from any server: what handlers take and give, so that they can be tested without
 * sockets. */
#pragma once

#include "serve/body.h"
#include "serve/target.h"

typedef struct {
    const char *method;   /* "GET" (HEAD too), "POST" … */
    const Target *target; /* path and query, decoded */
    const char *id;       /* what {vm_id} or the like in the route's path stands for; NULL: the route has none */
    const char *(*header)(gconstpointer connection, const char *name); /* NULL where it is missing */
    gconstpointer connection;
    const char *body; /* as it was sent; "" where there is none */
    gsize length;
} Request;

const char *request_header(const Request *request, const char *name);

typedef struct {
    guint status;
    GBytes *body;       /* NULL: none */
    int body_fd;        /* of the file that it is in, and that it closes; -1: in the heap */
    GBytes *packed;     /* the body with gzip, where that was made beforehand; NULL: the server does it */
    const char *type;   /* static; NULL: none */
    char *etag;         /* with its quotes; NULL: none */
    bool cacheable;     /* false: Cache-Control: no-store; true: no-cache, so it is asked for again with the ETag */
    const char *policy; /* Content-Security-Policy of a page, which is sent without referrers; static; NULL: no page */
    const char *allow;  /* of a 405; static */
    guint retry_after_s;
    bool authenticate;  /* a 401 with WWW-Authenticate */
    char *error_header; /* X-Influxdb-Error; NULL: none */
} Reply;

Reply *reply_new(guint status, const char *type, GBytes *body);         /* takes the body over */
Reply *reply_of_body(guint status, const char *type, BodyWriter *body); /* ends it */
void reply_keep_in_file(Reply *reply);                                  /* its body, where that is large: see body.h */
Reply *reply_json(guint status, GString *text);                         /* takes the text over */
/* {"error": its word for the status, "detail": one sentence} */
Reply *reply_error(guint status, const char *format, ...) G_GNUC_PRINTF(2, 3);
void reply_free(Reply *reply);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Reply, reply_free)

#define TYPE_JSON "application/json; charset=utf-8"
#define TYPE_TEXT "text/plain; charset=utf-8"
