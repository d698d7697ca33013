/* SPDX-License-Identifier: Apache-2.0
 * Connections to sinks, side by side over one libcurl multi handle: the one file that talks to libcurl. */
#pragma once

#include "deliver/answer.h"
#include "deliver/resolver.h"

#define SINK_ERROR sink_error_quark()
GQuark sink_error_quark(void);
typedef enum {
    SINK_ERROR_SECRET,   /* a token or password file is missing, empty, or others may read it */
    SINK_ERROR_SETTINGS, /* libcurl refuses them */
} SinkErrorCode;

typedef struct SinkPool SinkPool;
typedef struct Sink Sink;

/* Single-threaded, all of this. From here on SIGPIPE is ignored, unless the program handles it. */
SinkPool *sink_pool_new(void);
void sink_pool_free(SinkPool *pool); /* after its sinks */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SinkPool, sink_pool_free)
/* How names are looked up by sinks made from here on; else resolver_system. */
void sink_pool_set_lookup(SinkPool *pool, ResolverLookup lookup);

/* Reads the secrets. `settings` must outlive it. */
Sink *sink_new(SinkPool *pool, const SinkSettings *settings, GError **error);
void sink_free(Sink *sink);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sink, sink_free)

/* What the lines that are sent from now on have come through (via.h), which the sink is told; NULL: nothing. Between
 * two requests. */
void sink_set_via(Sink *sink, const char *via);
/* Begins a POST of the body, which must stay until its reply is taken. `gzipped` says what the bytes are. */
void sink_send(Sink *sink, const char *data, gsize length, bool gzipped);
/* Begins a request for what the sink has stored, with its credentials: GET of `path` (with its query; it goes behind
 * the settings' url), or POST where there is a body, of JSON. Its reply may have SINK_QUERY_MAX bytes. A sink that is
 * asked is not sent to any more. */
#define SINK_QUERY_MAX (16 * 1024 * 1024)
void sink_ask(Sink *sink, const char *path, const char *body);
bool sink_is_busy(const Sink *sink); /* sent, and the reply was not taken yet */

/* The reply when it has come, else NULL. */
SinkReply *sink_take_reply(Sink *sink);

/* Moves all transfers on until a reply has come, `fd` (-1: none) is readable, or `until_us` (monotonic) has passed.
 * While a host's name is looked up, which takes at most its sink's connect_timeout, the others go on. */
void sink_pool_run(SinkPool *pool, int fd, gint64 until_us);

/* The URL that a write goes to, with its parameters (precision nanoseconds). Owned by the caller. Pure. */
char *sink_write_url(const SinkSettings *settings);
