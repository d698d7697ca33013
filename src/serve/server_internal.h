/* SPDX-License-Identifier: Apache-2.0
 * Shared by the files of the server alone:
 *
 *   server.c           options, start and stop
 *   server_listen.c    the listening socket, and enough descriptors
 *   server_accept.c    connections as they come
 *   server_client.c    connections: who is connected, in which phase, and since when
 *   server_watch.c     closes those that take too long
 *   server_request.c   a request from its first line to its answer
 *   server_reply.c     answers as libmicrohttpd has them
 *   server_work.c      threads for what may take a while
 *   server_stream.c    server-sent events
 *
 * libmicrohttpd's threads call on_…; a connection belongs to one of them, and to a worker while it is suspended. */
#pragma once

#include "serve/access.h"
#include "serve/head.h"
#include "serve/server.h"
#include "serve/snapshot.h"

#include <microhttpd.h>
#include <sys/socket.h>

#if MHD_VERSION >= 0x00097002
typedef enum MHD_Result MhdResult;
#else
typedef int MhdResult;
#endif

#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.3" /* of TLS */
#define BODY_BYTES_MAX (256 * 1024 * 1024) /* of all requests together that are being read or worked at */
#define HELD_BYTES_MAX (256 * 1024 * 1024) /* of renderings, in heap and files; above that the slowest clients go */
#define QUEUE_MAX 256                      /* requests that wait for a worker */
#define BUSY_RETRY_S 1                     /* Retry-After of a 503 */

/* What a client is doing. Told by g_atomic_int. */
typedef enum {
    PHASE_READING,   /* its request comes in */
    PHASE_WORKING,   /* its request is worked at: its own time does not count */
    PHASE_SENDING,   /* it is to take its answer */
    PHASE_STREAMING, /* it is to take each event */
    PHASE_WAITING,   /* nothing: the connection is kept for its next request */
} Phase;

typedef struct Client Client;
typedef struct StreamReader StreamReader;

/* A request and its answer; all zero between two requests. */
typedef struct Exchange {
    Client *client;
    bool under_way;
    bool begun;         /* its head was looked at */
    bool closes;        /* what follows on the connection is not to be read */
    const char *method; /* libmicrohttpd's */
    const Route *route;
    Target *target;     /* NULL: the raw target is the path of a snapshot's route, letter for letter */
    GError *bad_target; /* NULL: it is well */
    char *id;
    Head head;
    char *body; /* with a NUL behind it; NULL: none */
    gsize length, room, thrown_away;

    void (*job)(struct Exchange *exchange); /* in a worker */
    Reply *reply;                           /* to be sent once the request has come in whole */
    Rendering *rendering;                   /* likewise; held while it is sent */
    GBytes *packed;                         /* the reply's body with gzip; NULL: not made */
    GBytes *sent;                           /* the body that is being sent */
    StreamReader *reader;
} Exchange;

struct Client {
    Server *server;
    struct MHD_Connection *connection;
    int fd;
    GList link; /* of the server's clients */
    struct sockaddr_storage address;
    gint phase;
    gint64 since_ms; /* monotonic; atomic */
    bool is_shut;    /* by us; under clients_lock */
    Exchange exchange;
};

struct Server {
    Service *service;
    ServerOptions options; /* texts are ours */
    ServerParts parts;
    Access *access;
    struct MHD_Daemon *daemon;
    int listen_fd, accept_wake; /* of the acceptor; the latter an eventfd that ends it */
    GThread *acceptor;
    guint port;
    GMutex log_lock;
    char *complaint; /* libmicrohttpd's last while it starts */

    Snapshot *snapshots[N_ROUTES]; /* NULL: the route is none */
    gpointer snapshots_of;         /* what they are of */
    guint n_origins;

    GMutex clients_lock;
    GQueue clients;        /* of Client; links are in them */
    GHashTable *addresses; /* of AddressCount, by itself */
    guint n_shut;
    guint arriving;     /* admitted, and not yet among the clients */
    gint64 admitted_ms; /* monotonic: when the last of them was */

    GThread *watch;
    bool watching;
    GMutex watch_lock;
    GCond watch_change;
    gint stopping; /* atomic */

    GMutex work_lock;
    bool no_more_work;
    GThreadPool *pools[3]; /* of Exchange: reading, writing, waiting for others */

    GMutex readers_lock;
    GQueue readers; /* of StreamReader */

    gsize body_bytes; /* atomic, of all exchanges */
    gint active;      /* exchanges under way; atomic */
    struct {
        guint64 requests, refused_connections, timeouts, unauthorized, by_class[6];
    } counts; /* atomic */
};

#define COUNT(server, what) ((void)__atomic_fetch_add(&(server)->counts.what, 1, __ATOMIC_RELAXED))

static inline bool server_is_stopping(Server *server)
{
    return g_atomic_int_get(&server->stopping) != 0;
}

/* --- server_listen.c --- */

/* A listening socket, or -1. */
int server_listen(const char *address, guint port, GError **error);
guint server_bound_port(int fd);
/* Raises the limit of descriptors; a warning where it can't be enough for so many connections. */
void server_raise_descriptors(guint connections);

/* --- server_accept.c --- */

bool server_accept_start(Server *server, GError **error);
void server_accept_stop(Server *server); /* no more are taken; the listening socket is closed */

/* --- server_client.c --- */

gint64 server_now_ms(void); /* monotonic, some milliseconds coarse */
void client_set_phase(Client *client, Phase phase);

/* Of AddressCount. */
GHashTable *server_addresses_new(void);

/* Whether one more may connect: false above a limit, and counted. Where there is no room, the client that has waited
 * the longest for its next request makes some. */
bool server_admits(Server *server, const struct sockaddr *address);
guint server_n_arriving(Server *server); /* admitted, and not yet among the clients */
Client *server_client_new(Server *server, struct MHD_Connection *connection, int fd, const struct sockaddr *address);
void server_client_free(Client *client);
guint server_n_clients(Server *server);

/* --- server_watch.c --- */

void server_watch_start(Server *server);
void server_watch_stop(Server *server);
/* Ends the connection from outside of libmicrohttpd's threads. Under clients_lock, which keeps the descriptor alive. */
void server_shut(Client *client);

/* --- server_request.c: what libmicrohttpd calls; `data` is the server --- */

void *server_on_target(void *data, const char *target, struct MHD_Connection *connection);
MhdResult server_on_request(void *data, struct MHD_Connection *connection, const char *url, const char *method,
                            const char *version, const char *body, size_t *length, void **state);
void server_on_completed(void *data, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode how);
void exchange_clear(Exchange *exchange);

/* --- server_reply.c --- */

/* What a handler of libmicrohttpd's returns. The reply is taken out of the exchange; the rendering stays in it. */
MhdResult server_send_reply(Exchange *exchange);
MhdResult server_send_rendering(Exchange *exchange);
MhdResult server_send_response(Exchange *exchange, guint status, struct MHD_Response *response);
/* While a body comes in libmicrohttpd takes no answer: this one goes past it, and the connection ends. Not with TLS:
 * there nothing can go past it, and a client that still writes when the connection ends never reads what was answered;
 * what comes in is thrown away, up to twice what is allowed (`length` bytes: whether that is still so). */
bool server_throws_away(const Exchange *exchange, guint64 length);
MhdResult server_refuse_midway(Exchange *exchange);
guint server_n_attached(const Server *server); /* responses that may be kept with a rendering */
void server_detach(gpointer response);
/* Headers that every answer has. `policy`: as in Reply; `origin`: as of access_origin. */
void server_add_headers(const Server *server, struct MHD_Response *response, const char *policy, int origin);

/* --- server_work.c --- */

void server_work_start(Server *server);
void server_work_stop(Server *server); /* waits for what is under way; what is queued is answered 503 */
/* Suspends the connection and has exchange->job called by a worker, which resumes it. false: too much waits already. */
bool server_work(Exchange *exchange, void (*job)(Exchange *exchange));

/* --- server_stream.c --- */

MhdResult server_send_stream(Exchange *exchange);
void server_stream_end(Exchange *exchange); /* the connection is over */
void server_streams_start(Server *server);
void server_streams_wake(Server *server, gint64 now_ms); /* who is due for a heartbeat; all once it stops */
void server_streams_stop(Server *server);
guint server_n_streams(Server *server);
