/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/own_address.h"
#include "serve/server_internal.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SPARE_CONNECTIONS 64 /* that libmicrohttpd takes beyond ours: who is refused has to be accepted first */
#define HEAD_ROOM 4096       /* beside a request's head: for what libmicrohttpd makes of it, and the answer's head */
#define DRAIN_STEP_US 5000
#define COMPLAINT_MAX 512

/* --- options --- */

static char **copy_texts(const char *const *texts)
{
    return g_strdupv((char **)(guintptr)texts);
}

static void copy_options(Server *server, const ServerOptions *options)
{
    server->options = *options;
    server->options.address = g_strdup(options->address);
    server->options.read_token = g_strdup(options->read_token);
    server->options.write_token = g_strdup(options->write_token);
    server->options.cert = g_strdup(options->cert);
    server->options.key = g_strdup(options->key);
    server->options.origins = (const char *const *)copy_texts(options->origins);
}

static void free_options(ServerOptions *options)
{
    g_free((char *)(guintptr)options->address);
    g_free((char *)(guintptr)options->read_token);
    g_free((char *)(guintptr)options->write_token);
    g_free((char *)(guintptr)options->cert);
    g_free((char *)(guintptr)options->key);
    g_strfreev((char **)(guintptr)options->origins);
}

static Access *make_access(const ServerOptions *options)
{
    bool open = !options->read_token || !options->write_token;
    return access_new(&(AccessOptions){.read_token = options->read_token,
                                       .write_token = options->write_token,
                                       .origins = options->origins,
                                       .guard_hosts = open && own_address_is_loopback(options->address),
                                       .machine = g_get_host_name()});
}

/* --- snapshots --- */

typedef struct {
    Server *server;
    RouteId route;
} SnapshotOf;

static guint64 version_of(gpointer data)
{
    Server *server = ((SnapshotOf *)data)->server;
    return server->parts.version(server->service);
}

static Reply *render(gpointer data)
{
    const SnapshotOf *of = data;
    char path[] = "/";
    const Target target = {.path = path};
    const Request request = {.method = "GET", .target = &target, .body = ""};
    return of->server->parts.handlers[of->route](of->server->service, &request);
}

static void make_snapshots(Server *server)
{
    g_autofree char *life = g_strdup_printf("%08x%08x", g_random_int(), g_random_int());
    server->snapshots_of = g_new0(SnapshotOf, N_ROUTES);
    for (guint i = 0; i < N_ROUTES; i++) {
        if (routes[i].where != WHERE_SNAPSHOT)
            continue;
        SnapshotOf *of = (SnapshotOf *)server->snapshots_of + i;
        *of = (SnapshotOf){server, (RouteId)i};
        server->snapshots[i] = snapshot_new(&(SnapshotSource){.render = render,
                                                              .version = version_of,
                                                              .data = of,
                                                              .life = life,
                                                              .n_attached = server_n_attached(server),
                                                              .detach = server_detach});
    }
}

/* --- what libmicrohttpd calls --- */

static void on_log(void *data, const char *format, va_list arguments)
{
    Server *server = data;
    char text[COMPLAINT_MAX];
    vsnprintf(text, sizeof text, format, arguments);
    log_debug("libmicrohttpd: %s", g_strchomp(text));
    g_mutex_lock(&server->log_lock);
    g_free(server->complaint);
    server->complaint = g_strdup(text);
    g_mutex_unlock(&server->log_lock);
}

static MhdResult on_accept(void *data, const struct sockaddr *address, socklen_t length)
{
    (void)length;
    return server_admits(data, address) ? MHD_YES : MHD_NO;
}

static void on_connection(void *data, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*context)
            server_client_free(*context);
        *context = NULL;
        return;
    }
    int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    const struct sockaddr *address =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    *context = server_client_new(data, connection, fd, address);
}

/* --- start --- */

static struct MHD_Daemon *start_daemon(Server *server)
{
    const ServerOptions *options = &server->options;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG |
                     MHD_USE_NO_LISTEN_SOCKET;
    struct MHD_OptionItem more[5] = {{MHD_OPTION_END, 0, NULL}};
    guint n = 0;
    if (options->threads > 1)
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_THREAD_POOL_SIZE, options->threads, NULL};
    if (options->cert) {
        flags |= MHD_USE_TLS;
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (char *)(guintptr)options->cert};
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (char *)(guintptr)options->key};
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, (char *)(guintptr)PRIORITIES};
    }
    more[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return MHD_start_daemon(
        flags, 0, on_accept, server, server_on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, server,
        MHD_OPTION_URI_LOG_CALLBACK, server_on_target, server, MHD_OPTION_NOTIFY_COMPLETED, server_on_completed, server,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_CONNECTION_LIMIT,
        options->connections + SPARE_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        options->max_header + HEAD_ROOM, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, more, MHD_OPTION_END);
}

static Server *new_server(Service *service, const ServerOptions *options, const ServerParts *parts)
{
    Server *server = g_new0(Server, 1);
    server->service = service;
    server->parts = *parts;
    copy_options(server, options);
    server->access = make_access(options);
    server->n_origins = g_strv_length(server->access->origins);
    server->addresses = server_addresses_new();
    g_mutex_init(&server->log_lock);
    g_mutex_init(&server->clients_lock);
    g_mutex_init(&server->watch_lock);
    g_cond_init(&server->watch_change);
    g_mutex_init(&server->work_lock);
    g_mutex_init(&server->readers_lock);
    make_snapshots(server);
    return server;
}

static void free_server(Server *server)
{
    for (guint i = 0; i < N_ROUTES; i++)
        snapshot_free(server->snapshots[i]);
    g_free(server->snapshots_of);
    access_free(server->access);
    g_hash_table_unref(server->addresses);
    g_mutex_clear(&server->log_lock);
    g_mutex_clear(&server->clients_lock);
    g_mutex_clear(&server->watch_lock);
    g_cond_clear(&server->watch_change);
    g_mutex_clear(&server->work_lock);
    g_mutex_clear(&server->readers_lock);
    free_options(&server->options);
    g_free(server->complaint);
    g_free(server);
}

Server *server_start_with(Service *service, const ServerOptions *options, const ServerParts *parts, GError **error)
{
    int fd = server_listen(options->address, options->port, error);
    if (fd < 0)
        return NULL;
    server_raise_descriptors(options->connections);
    Server *server = new_server(service, options, parts);
    server->port = server_bound_port(fd);
    server_work_start(server);
    server->listen_fd = fd;
    server->daemon = start_daemon(server);
    if (!server->daemon)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "cannot serve on %s:%u: %s", options->address,
                    server->port, server->complaint ? server->complaint : "libmicrohttpd does not say why");
    if (!server->daemon || !server_accept_start(server, error)) {
        if (server->daemon)
            MHD_stop_daemon(server->daemon);
        close(fd);
        server_work_stop(server);
        free_server(server);
        return NULL;
    }
    server_watch_start(server);
    server_streams_start(server);
    return server;
}

guint server_port(const Server *server)
{
    return server->port;
}

/* --- stop --- */

/* Requests under way end, connections that wait for one are closed, by the watch. */
static void drain(Server *server, gint64 drain_ms)
{
    gint64 until_us = g_get_monotonic_time() + drain_ms * 1000;
    while (g_atomic_int_get(&server->active) > 0 && g_get_monotonic_time() < until_us)
        g_usleep(DRAIN_STEP_US);
}

void server_stop(Server *server, gint64 drain_ms)
{
    if (!server)
        return;
    server_accept_stop(server);
    g_atomic_int_set(&server->stopping, 1);
    server_streams_stop(server);
    server_streams_wake(server, server_now_ms());
    drain(server, drain_ms);
    server_work_stop(server); /* from here on nothing is suspended, as libmicrohttpd wants it */
    server_streams_wake(server, server_now_ms());
    server_watch_stop(server);
    MHD_stop_daemon(server->daemon);
    free_server(server);
}

/* --- figures --- */

void server_status(Server *server, ServerStatus *ret_status)
{
    *ret_status = (ServerStatus){.connections = server_n_clients(server), .streams = server_n_streams(server)};
#define TAKE(what) ret_status->what = __atomic_load_n(&server->counts.what, __ATOMIC_RELAXED)
    TAKE(requests);
    TAKE(refused_connections);
    TAKE(timeouts);
    TAKE(unauthorized);
    for (guint i = 0; i < G_N_ELEMENTS(ret_status->by_class); i++)
        TAKE(by_class[i]);
#undef TAKE
    for (guint i = 0; i < N_ROUTES; i++)
        if (server->snapshots[i])
            ret_status->renderings += snapshot_renderings(server->snapshots[i]);
}
