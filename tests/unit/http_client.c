/* SPDX-License-Identifier: Apache-2.0 */
#include "http_client.h"

#include "gather_helpers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int http_connect(guint port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((guint16)port)};
    const struct timeval patience = {.tv_sec = HTTP_PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

void http_send(int fd, const char *bytes, gsize length)
{
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return;
        CHECK(n > 0, "send: %s", g_strerror(errno));
        bytes += n;
        length -= (gsize)n;
    }
}

void http_send_text(int fd, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    http_send(fd, text, strlen(text));
}

/* false: the end. */
static bool read_byte(int fd, char *ret_byte)
{
    ssize_t n = recv(fd, ret_byte, 1, 0);
    CHECK(n >= 0 || errno == ECONNRESET, "recv: %s", g_strerror(errno));
    return n == 1;
}

static bool append_bytes(int fd, GString *to, gsize length)
{
    gsize have = to->len;
    g_string_set_size(to, have + length);
    while (have < to->len) {
        ssize_t n = recv(fd, to->str + have, to->len - have, 0);
        CHECK(n >= 0 || errno == ECONNRESET, "recv: %s", g_strerror(errno));
        if (n <= 0) {
            g_string_truncate(to, have);
            return false;
        }
        have += (gsize)n;
    }
    return true;
}

char *http_read_until(int fd, const char *end)
{
    GString *text = g_string_new(NULL);
    char byte;
    while (!g_str_has_suffix(text->str, end) && read_byte(fd, &byte))
        g_string_append_c(text, byte);
    return g_string_free(text, FALSE);
}

bool http_is_ended(int fd)
{
    char byte;
    return !read_byte(fd, &byte);
}

char *http_header(const HttpAnswer *answer, const char *name)
{
    g_auto(GStrv) lines = g_strsplit(answer->head, "\r\n", -1);
    gsize length = strlen(name);
    for (char **line = lines; *line; line++)
        if (g_ascii_strncasecmp(*line, name, length) == 0 && (*line)[length] == ':')
            return g_strdup(g_strstrip(*line + length + 1));
    return NULL;
}

static void read_chunks(int fd, GString *body)
{
    gsize length;
    do {
        g_autofree char *line = http_read_until(fd, "\r\n");
        length = g_ascii_strtoull(line, NULL, 16);
        if (length > 0)
            append_bytes(fd, body, length);
        g_free(http_read_until(fd, "\r\n"));
    } while (length > 0);
}

static void read_body(int fd, HttpAnswer *answer)
{
    g_autofree char *length = http_header(answer, "Content-Length");
    g_autofree char *encoding = http_header(answer, "Transfer-Encoding");
    if (encoding)
        read_chunks(fd, answer->body);
    else if (length)
        append_bytes(fd, answer->body, g_ascii_strtoull(length, NULL, 10));
}

HttpAnswer *http_read(int fd, bool has_body)
{
    HttpAnswer *answer = g_new0(HttpAnswer, 1);
    answer->body = g_string_new(NULL);
    do { /* past 100 Continue */
        g_free(answer->head);
        answer->head = http_read_until(fd, "\r\n\r\n");
        if (!g_str_has_prefix(answer->head, "HTTP/1.")) {
            http_answer_free(answer);
            return NULL;
        }
        answer->status = (guint)g_ascii_strtoull(answer->head + strlen("HTTP/1.1 "), NULL, 10);
    } while (answer->status == 100);
    if (has_body && answer->status != 204 && answer->status != 304)
        read_body(fd, answer);
    g_autofree char *connection = http_header(answer, "Connection");
    answer->closes = connection && g_ascii_strcasecmp(connection, "close") == 0;
    return answer;
}

void http_answer_free(HttpAnswer *answer)
{
    if (!answer)
        return;
    g_free(answer->head);
    g_string_free(answer->body, TRUE);
    g_free(answer);
}

HttpAnswer *http_ask(guint port, const char *method, const char *target, const char *headers, const char *body)
{
    int fd = http_connect(port);
    http_send_text(fd, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s", method, target, port, headers);
    if (body)
        http_send_text(fd, "Content-Length: %" G_GSIZE_FORMAT "\r\n\r\n%s", strlen(body), body);
    else
        http_send_text(fd, "\r\n");
    HttpAnswer *answer = http_read(fd, strcmp(method, "HEAD") != 0);
    close(fd);
    CHECK(answer != NULL, "%s %s: no answer", method, target);
    return answer;
}
