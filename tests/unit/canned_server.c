/* SPDX-License-Identifier: Apache-2.0 */
#include "canned_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct CannedServer {
    const Canned *answers;
    guint n_answers;
    char *url;
    int listener, stop; /* stop: an eventfd */
    GThread *acceptor;
    GMutex mutex; /* of the rest */
    GPtrArray *workers, *requests;
    guint connections, answered;
};

typedef struct {
    CannedServer *server;
    int fd;
} Connection;

/* false: the server is to end, or the time is over. */
static bool wait_readable(const CannedServer *server, int fd)
{
    struct pollfd fds[] = {{.fd = server->stop, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    return poll(fds, fd < 0 ? 1 : 2, 60000) > 0 && !fds[0].revents;
}

/* Of the request's end, once its headers are there; else 0. */
static gsize whole_length(const GString *request)
{
    const char *end = g_strstr_len(request->str, (gssize)request->len, "\r\n\r\n");
    const char *announced = end ? g_strstr_len(request->str, end - request->str, "Content-Length: ") : NULL;
    if (!end)
        return 0;
    gsize body = announced ? g_ascii_strtoull(announced + strlen("Content-Length: "), NULL, 10) : 0;
    return (gsize)(end - request->str) + 4 + body;
}

/* NULL: the connection ended. Owned by the caller. */
static GString *read_request(const CannedServer *server, int fd)
{
    static const gsize piece = 65536;
    GString *request = g_string_new(NULL);
    for (;;) {
        gsize whole = whole_length(request), before = request->len;
        if (whole > 0 && request->len >= whole)
            return request;
        g_string_set_size(request, before + piece);
        gssize got = wait_readable(server, fd) ? read(fd, request->str + before, piece) : 0;
        g_string_set_size(request, before + (gsize)MAX(got, 0));
        if (got <= 0)
            break;
    }
    g_string_free(request, TRUE);
    return NULL;
}

static void write_all(int fd, const char *bytes, gsize length)
{
    while (length > 0) {
        gssize written = send(fd, bytes, length, MSG_NOSIGNAL);
        if (written <= 0)
            return;
        bytes += written;
        length -= (gsize)written;
    }
}

static Canned next_answer(CannedServer *server)
{
    g_mutex_lock(&server->mutex);
    Canned answer = server->answers[MIN(server->answered, server->n_answers - 1)];
    server->answered++;
    g_mutex_unlock(&server->mutex);
    return answer;
}

static bool is_unread(CannedServer *server)
{
    g_mutex_lock(&server->mutex);
    bool unread = server->answers[MIN(server->answered, server->n_answers - 1)].unread;
    g_mutex_unlock(&server->mutex);
    return unread;
}

/* false: no more on this connection. */
static bool serve_one(CannedServer *server, int fd)
{
    if (!is_unread(server)) {
        GString *request = read_request(server, fd);
        if (!request)
            return false;
        g_mutex_lock(&server->mutex);
        g_ptr_array_add(server->requests, request);
        g_mutex_unlock(&server->mutex);
    }
    Canned answer = next_answer(server);
    if (answer.bytes)
        write_all(fd, answer.bytes, answer.length ? answer.length : strlen(answer.bytes));
    if (answer.then == THEN_HANG)
        wait_readable(server, -1);
    if (answer.then == THEN_RESET) {
        const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    return answer.then == THEN_KEEP;
}

static void *serve_connection(void *data)
{
    Connection *connection = data;
    while (serve_one(connection->server, connection->fd))
        ;
    close(connection->fd);
    g_free(connection);
    return NULL;
}

static void *accept_all(void *data)
{
    CannedServer *server = data;
    while (wait_readable(server, server->listener)) {
        Connection *connection = g_new0(Connection, 1);
        connection->server = server;
        connection->fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (connection->fd < 0) {
            g_free(connection);
            continue;
        }
        g_mutex_lock(&server->mutex);
        server->connections++;
        g_ptr_array_add(server->workers, g_thread_new("connection", serve_connection, connection));
        g_mutex_unlock(&server->mutex);
    }
    return NULL;
}

static void free_request(void *request)
{
    g_string_free(request, TRUE);
}

CannedServer *canned_server_new(const Canned *answers, guint n)
{
    CannedServer *server = g_new0(CannedServer, 1);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    g_mutex_init(&server->mutex);
    server->answers = answers;
    server->n_answers = n;
    server->workers = g_ptr_array_new();
    server->requests = g_ptr_array_new_with_free_func(free_request);
    server->stop = eventfd(0, EFD_CLOEXEC);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (struct sockaddr *)&address, size) < 0 || listen(server->listener, 16) < 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &size) < 0)
        g_error("no server: %s", g_strerror(errno));
    server->url = g_strdup_printf("http://127.0.0.1:%d", ntohs(address.sin_port));
    server->acceptor = g_thread_new("acceptor", accept_all, server);
    return server;
}

void canned_server_free(CannedServer *server)
{
    const guint64 one = 1;
    if (!server)
        return;
    if (write(server->stop, &one, sizeof one) != sizeof one)
        g_error("the server can't be ended");
    g_thread_join(server->acceptor);
    for (guint i = 0; i < server->workers->len; i++)
        g_thread_join(g_ptr_array_index(server->workers, i));
    close(server->listener);
    close(server->stop);
    g_ptr_array_free(server->workers, TRUE);
    g_ptr_array_free(server->requests, TRUE);
    g_mutex_clear(&server->mutex);
    g_free(server->url);
    g_free(server);
}

const char *canned_server_url(const CannedServer *server)
{
    return server->url;
}

guint canned_server_connections(CannedServer *server)
{
    g_mutex_lock(&server->mutex);
    guint connections = server->connections;
    g_mutex_unlock(&server->mutex);
    return connections;
}

guint canned_server_requests(CannedServer *server)
{
    g_mutex_lock(&server->mutex);
    guint requests = server->requests->len;
    g_mutex_unlock(&server->mutex);
    return requests;
}

const GString *canned_server_request(CannedServer *server, guint i)
{
    g_mutex_lock(&server->mutex);
    const GString *request = i < server->requests->len ? g_ptr_array_index(server->requests, i) : NULL;
    g_mutex_unlock(&server->mutex);
    return request;
}
