/* SPDX-License-Identifier: Apache-2.0
 * Connections are taken by a thread of our own and dealt out in turn. Left to libmicrohttpd, each of its threads takes
 * what it can get: now and then one of them serves nearly all clients, and these wait while another one idles. */
#include "serve/server_internal.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PAUSE_US 20000 /* when there is no descriptor to be had */
/* Connections on the way to their threads: so far the limits of an address may be exceeded, which is counted by those
 * that have arrived. */
#define ARRIVING_MAX 16
#define ARRIVAL_US 100

/* false: there is none at the moment. */
static bool take_one(Server *server)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    while (server_n_arriving(server) >= ARRIVING_MAX)
        g_usleep(ARRIVAL_US);
    int fd = accept4(server->listen_fd, (struct sockaddr *)&address, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        MHD_add_connection(server->daemon, fd, (const struct sockaddr *)&address,
                           length); /* which closes it on failure */
    else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        g_usleep(PAUSE_US);
    return fd >= 0 || errno == ECONNABORTED || errno == EINTR;
}

static gpointer accept_on(gpointer data)
{
    Server *server = data;
    struct pollfd ready[] = {{.fd = server->listen_fd, .events = POLLIN},
                             {.fd = server->accept_wake, .events = POLLIN}};
    for (;;) {
        poll(ready, G_N_ELEMENTS(ready), -1);
        if (ready[1].revents)
            return NULL;
        while (take_one(server))
            ;
    }
}

bool server_accept_start(Server *server, GError **error)
{
    server->accept_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->accept_wake < 0) {
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "eventfd: %s", g_strerror(errno));
        return false;
    }
    server->acceptor = g_thread_new("accept", accept_on, server);
    return true;
}

void server_accept_stop(Server *server)
{
    eventfd_write(server->accept_wake, 1);
    g_thread_join(server->acceptor);
    close(server->accept_wake);
    close(server->listen_fd);
}
