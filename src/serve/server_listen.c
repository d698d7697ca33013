/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/server_internal.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BACKLOG 1024
/* Bytes of an answer that the kernel holds of a connection: else it is up to 4 MiB of each that takes it slowly, and a
 * large answer is out of the processor's cache when it is read. */
#define SEND_BUFFER (256 * 1024)
#define OTHER_DESCRIPTORS 256 /* libvirt, databases, spool, epoll … */

typedef union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
} SocketAddress;

/* Its length; 0: it is no address. */
static socklen_t read_address(const char *text, guint port, SocketAddress *ret_address)
{
    memset(ret_address, 0, sizeof *ret_address);
    if (inet_pton(AF_INET, text, &ret_address->four.sin_addr) == 1) {
        ret_address->four.sin_family = AF_INET;
        ret_address->four.sin_port = htons((guint16)port);
        return sizeof ret_address->four;
    }
    if (inet_pton(AF_INET6, text, &ret_address->six.sin6_addr) == 1) {
        ret_address->six.sin6_family = AF_INET6;
        ret_address->six.sin6_port = htons((guint16)port);
        return sizeof ret_address->six;
    }
    return 0;
}

static int open_socket(const SocketAddress *address, socklen_t length)
{
    int on = 1, send_buffer = SEND_BUFFER, family = address->any.sa_family;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* "::" takes IPv4 too, whatever the system's default. */
    int six_only = !(family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->six.sin6_addr));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer) == 0 &&
        (family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, sizeof six_only) == 0) &&
        bind(fd, &address->any, length) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

int server_listen(const char *address, guint port, GError **error)
{
    SocketAddress parsed;
    socklen_t length = read_address(address, port, &parsed);
    char name[128];
    g_snprintf(name, sizeof name, strchr(address, ':') ? "[%s]:%u" : "%s:%u", address, port);
    if (length == 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "cannot listen on %s: no IPv4 or IPv6 address", address);
        return -1;
    }
    int fd = open_socket(&parsed, length);
    if (fd < 0)
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "cannot listen on %s: %s", name,
                    errno == EADDRINUSE ? "address in use; another telemetryd?" : g_strerror(errno));
    return fd;
}

guint server_bound_port(int fd)
{
    SocketAddress address = {0};
    socklen_t length = sizeof address;
    if (getsockname(fd, &address.any, &length) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
}

void server_raise_descriptors(guint connections)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)connections + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return;
    limit.rlim_cur = MIN(needed, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < needed)
        log_warning("%u connections need %" G_GUINT64_FORMAT " descriptors, and the limit is %" G_GUINT64_FORMAT
                    ": raise it (LimitNOFILE= of the systemd unit, ulimit -n), or lower connections in [server]",
                    connections, (guint64)needed, (guint64)limit.rlim_max);
}
