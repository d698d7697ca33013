/* SPDX-License-Identifier: Apache-2.0
 * Clients that mean no good, on raw sockets. */
#include "fake_routes.h"
#include "gather_helpers.h"
#include "http_client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TELEMETRY "/api/telemetry/vm-telemetry"
#define WRITE_HEAD "POST /write HTTP/1.1\r\nHost: x\r\n" WRITER
#define SECOND "POST /api/v2/write HTTP/1.1\r\nHost: x\r\n" WRITER "Content-Length: 0\r\n\r\n"

/* --- requests whose end two readers could see in different places --- */

static const struct {
    const char *bytes;
    guint status; /* of the first answer */
} smuggled[] = {
    {WRITE_HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\nm x=1" SECOND, 400},
    {WRITE_HEAD "Content-Length: 5\r\nContent-Length: 0\r\n\r\n" SECOND, 400},
    {WRITE_HEAD "Content-Length: 0\r\nContent-Length: 5\r\n\r\n" SECOND, 400},
    {WRITE_HEAD "Content-Length: 5, 5\r\n\r\nm x=1" SECOND, 400},
    {WRITE_HEAD "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND, 400},
    {WRITE_HEAD "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" SECOND, 400},
    {WRITE_HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" SECOND, 400},
    {WRITE_HEAD "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" SECOND, 501},
    {WRITE_HEAD "Transfer-Encoding: identity\r\n\r\n" SECOND, 501},
    {WRITE_HEAD "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SECOND, 501},
    {WRITE_HEAD "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" SECOND, 400},
    {WRITE_HEAD "Content-Length : 5\r\n\r\nm x=1" SECOND, 400},
    {WRITE_HEAD "Content-Length: +5\r\n\r\nm x=1" SECOND, 400},
    {WRITE_HEAD "Content-Length: 0x5\r\n\r\nm x=1" SECOND, 400},
    {WRITE_HEAD "Content-Length: -5\r\n\r\nm x=1" SECOND, 400},
    {WRITE_HEAD "Content-Length: 5 0\r\n\r\nm x=1" SECOND, 400},
    {WRITE_HEAD "Content-Length: \r\n\r\nm x=1" SECOND, 400},
    {WRITE_HEAD "Content-Length: 99999999999999999999\r\n\r\nm x=1" SECOND, 0 /* 400 or 413 */},
    {"POST /write HTTP/1.0\r\n" WRITER "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND, 400},
    {"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n" SECOND, 400},
    {"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND, 400},
    {"HEAD /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n" SECOND, 400},
    {"OPTIONS /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n" SECOND, 204},
    {"GET " TELEMETRY " HTTP/1.1\r\nHost: x\r\n" READER "Content-Length: 60\r\n\r\n" SECOND, 400},
    {"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n" SECOND, 404},
    {"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n" SECOND, 401},
    {"DELETE /write HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n" SECOND, 405},
    {"BREW /write HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND, 405},
    {WRITE_HEAD "Host: y\r\n\r\n" SECOND, 400},
    {"GET /healthz HTTP/1.1\r\n\r\n" SECOND, 400},
    {"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n" SECOND, 505},
    {"GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n" SECOND, 505},
};

/* Whatever the first is answered: the second is not seen, and the connection ends. */
static void test_smuggling(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    for (guint i = 0; i < G_N_ELEMENTS(smuggled); i++) {
        int fd = http_connect(fake->port);
        http_send(fd, smuggled[i].bytes, strlen(smuggled[i].bytes));
        g_autoptr(HttpAnswer) first = http_read(fd, !g_str_has_prefix(smuggled[i].bytes, "HEAD"));
        CHECK(first != NULL, "%u: no answer", i);
        CHECK(first->status == smuggled[i].status ||
                  (smuggled[i].status == 0 && (first->status == 400 || first->status == 413)),
              "%u: %u, not %u", i, first->status, smuggled[i].status);
        g_autoptr(HttpAnswer) second = http_read(fd, true);
        CHECK(second == NULL, "%u: a second answer: %s", i, second->head);
        CHECK(g_atomic_int_get(&fake->writes) == 0, "%u: something was written", i);
        close(fd);
    }
}

/* --- garbage --- */

static const struct {
    const char *bytes;
    gsize length;
} garbage[] = {
#define BYTES(text)                                                                                                    \
    {                                                                                                                  \
        text, sizeof(text) - 1                                                                                         \
    }
    BYTES("\r\n\r\n\r\n\r\n"),
    BYTES("\0\0\0\0\0\0\0\0\r\n\r\n"),
    BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    BYTES("GET\r\n\r\n"),
    BYTES("GET /healthz\r\n\r\n"),
    BYTES("GET  HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("GET /heal\0thz HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("GET /healthz%00 HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("GET /healthz%zz HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("GET /healthz%ff HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("GET /healthz\x01 HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("GET /..%2f..%2fetc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("GET \\healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("CONNECT evil.example:80 HTTP/1.1\r\nHost: x\r\n\r\n"),
    BYTES("GET /healthz HTTP/1.1\r\nHost: x\r\nBroken\r\n\r\n"),
    BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
#undef BYTES
};

static void test_garbage(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->options.idle_ms = fake->options.request_ms = 50; /* what is answered and not closed stays open */
    fake_start(fake);
    for (guint i = 0; i < G_N_ELEMENTS(garbage); i++) {
        int fd = http_connect(fake->port);
        http_send(fd, garbage[i].bytes, garbage[i].length);
        shutdown(fd, SHUT_WR);
        g_autoptr(HttpAnswer) answer = http_read(fd, true);
        CHECK(!answer || answer->status >= 400, "%u: %u", i, answer->status);
        close(fd);
    }
    g_autoptr(HttpAnswer) fine = http_ask(fake->port, "GET", "/healthz", "", NULL);
    assert_int_equal(fine->status, 200);
}

static void test_random_bytes(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    g_autoptr(GRand) random = seeded_random();
    static const char start[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n";
    fake->options.idle_ms = fake->options.request_ms = 50; /* one that came through stays open */
    fake_start(fake);
    for (guint i = 0; i < 200; i++) {
        char bytes[sizeof start];
        memcpy(bytes, start, sizeof start);
        for (guint n = (guint)g_rand_int_range(random, 1, 8); n > 0; n--)
            bytes[g_rand_int_range(random, 0, sizeof start - 1)] = (char)g_rand_int_range(random, 0, 256);
        int fd = http_connect(fake->port);
        http_send(fd, bytes, sizeof start - 1);
        shutdown(fd, SHUT_WR);
        g_autofree char *rest = http_read_until(fd, "never comes");
        close(fd);
    }
    g_autoptr(HttpAnswer) fine = http_ask(fake->port, "GET", "/healthz", "", NULL);
    assert_int_equal(fine->status, 200);
}

/* --- sizes --- */

static void test_long_heads(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->options.max_header = 8192;
    fake_start(fake);
    g_autofree char *filler = g_strnfill(40000, 'a');
    g_autofree char *header = g_strdup_printf("X-Long: %s\r\n", filler);
    g_autofree char *target = g_strdup_printf("/%s", filler);
    g_autoptr(HttpAnswer) long_header = http_ask(fake->port, "GET", "/healthz", header, NULL);
    assert_int_equal(long_header->status, 431);
    g_autoptr(HttpAnswer) long_target = http_ask(fake->port, "GET", target, "", NULL);
    CHECK(long_target->status == 414 || long_target->status == 431, "%u", long_target->status);
    GString *many = g_string_new(NULL);
    for (guint i = 0; i < 4000; i++)
        g_string_append_printf(many, "X-%u: y\r\n", i);
    g_autofree char *headers = g_string_free(many, FALSE);
    g_autoptr(HttpAnswer) many_headers = http_ask(fake->port, "GET", "/healthz", headers, NULL);
    assert_int_equal(many_headers->status, 431);
    filler[5000] = '\0';
    g_autofree char *fits = g_strdup_printf("X-Long: %s\r\n", filler);
    g_autoptr(HttpAnswer) fine = http_ask(fake->port, "GET", "/healthz", fits, NULL);
    assert_int_equal(fine->status, 200);
}

static void check_refused(int fd, guint status)
{
    g_autoptr(HttpAnswer) answer = http_read(fd, true);
    CHECK(answer && answer->status == status, "%u", answer ? answer->status : 0);
    assert_true(answer->closes);
    assert_non_null(strstr(answer->body->str, "\"detail\""));
    assert_true(http_is_ended(fd));
    close(fd);
}

static void test_large_bodies(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    g_autofree char *filler = g_strnfill(65536, 'a');
    /* Announced: refused before anything of it comes. */
    int fd = http_connect(fake->port);
    http_send_text(fd, WRITE_HEAD "Content-Length: 1073741824\r\n\r\n");
    check_refused(fd, 413);
    fd = http_connect(fake->port);
    http_send_text(fd, WRITE_HEAD "Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n");
    check_refused(fd, 413);
    /* In chunks: as soon as it is too much. */
    fd = http_connect(fake->port);
    http_send_text(fd, WRITE_HEAD "Transfer-Encoding: chunked\r\n\r\n10000\r\n%s\r\n1\r\n", filler);
    http_send_text(fd, "b\r\n");
    check_refused(fd, 413);
    assert_int_equal(g_atomic_int_get(&fake->writes), 0);
    /* As large as may be. */
    g_autoptr(HttpAnswer) fits = http_ask(fake->port, "POST", "/write", WRITER, filler);
    assert_int_equal(fits->status, 204);
    assert_int_equal(fake->last_length, 65536);
}

/* --- slowness --- */

static void test_slow_clients(void **state)
{
    (void)state;
    static const char *const begun[] = {
        "",                                                        /* says nothing */
        "GET /healthz HT",                                         /* no whole line */
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX-",                  /* no whole head */
        WRITE_HEAD "Content-Length: 10\r\n\r\nm x",                /* no whole body */
        WRITE_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nm x=1", /* nor in chunks */
    };
    g_autoptr(Fake) fake = fake_new();
    fake->options.request_ms = 100;
    fake_start(fake);
    for (guint i = 0; i < G_N_ELEMENTS(begun); i++) {
        int fd = http_connect(fake->port);
        http_send_text(fd, "%s", begun[i]);
        CHECK(http_is_ended(fd), "%u", i);
        close(fd);
    }
    ServerStatus status;
    server_status(fake->server, &status);
    assert_int_equal(status.timeouts, G_N_ELEMENTS(begun));
    assert_int_equal(g_atomic_int_get(&fake->writes), 0);
}

/* A byte now and then keeps a connection from being idle, but not from being slow. */
static void test_dripping_client(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->options.request_ms = 200;
    fake_start(fake);
    int fd = http_connect(fake->port);
    const struct timeval soon = {.tv_usec = 10000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    http_send_text(fd, "GET /healthz HTTP/1.1\r\n");
    char byte;
    guint drips = 0;
    ssize_t n;
    do {
        http_send(fd, "X", 1);
        drips++;
        n = recv(fd, &byte, 1, 0);
    } while (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) && drips < 3000);
    CHECK(n == 0 || (n < 0 && errno == ECONNRESET), "still open after %u bytes", drips);
    close(fd);
}

static void test_idle_connections_end(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->options.idle_ms = 100;
    fake_start(fake);
    int fd = http_connect(fake->port);
    http_send_text(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    g_autoptr(HttpAnswer) answer = http_read(fd, true);
    assert_int_equal(answer->status, 200);
    assert_true(http_is_ended(fd));
    close(fd);
    ServerStatus status;
    server_status(fake->server, &status);
    assert_int_equal(status.timeouts, 0);
}

/* Who does not take his answer. */
static void test_unread_answers(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->size = 64 * 1024 * 1024;
    fake->options.send_ms = 200;
    fake_start(fake);
    int fd = http_connect(fake->port);
    http_send_text(fd, "GET " TELEMETRY " HTTP/1.1\r\nHost: x\r\n" READER "\r\n");
    ServerStatus status;
    do {
        g_usleep(10000);
        server_status(fake->server, &status);
    } while (status.timeouts == 0);
    g_autofree char *head = http_read_until(fd, "\r\n\r\n");
    assert_non_null(strstr(head, "200 OK"));
    gsize taken = 0;
    char buffer[65536];
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
        taken += (gsize)n;
    assert_true(taken < fake->size);
    close(fd);
}

/* --- numbers --- */

static void use(int fd)
{
    http_send_text(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    g_autoptr(HttpAnswer) answer = http_read(fd, true);
    assert_true(answer && answer->status == 200);
}

/* Who has waited longest makes room for who comes. */
static void test_too_many_connections(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->options.connections = 8;
    fake_start(fake);
    int fds[8];
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = http_connect(fake->port);
        use(fds[i]);
        g_usleep(10000); /* the clock that tells who came first is coarse */
    }
    int late = http_connect(fake->port);
    use(late);
    assert_true(http_is_ended(fds[0]));
    use(fds[7]);
    close(late);
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
}

/* Where nobody waits, who comes is refused. */
static void test_busy_connections_stay(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->options.connections = 8;
    fake_start(fake);
    int fds[8];
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = http_connect(fake->port);
        http_send_text(fds[i], "GET /healthz HTTP/1.1\r\n"); /* not all of it */
    }
    int late = http_connect(fake->port);
    assert_true(http_is_ended(late));
    close(late);
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        http_send_text(fds[i], "Host: x\r\n\r\n");
        g_autoptr(HttpAnswer) answer = http_read(fds[i], true);
        CHECK(answer && answer->status == 200, "%u: %u", i, answer ? answer->status : 0);
        close(fds[i]);
    }
    ServerStatus status;
    server_status(fake->server, &status);
    assert_int_equal(status.refused_connections, 1);
}

static void test_connections_of_one_address(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->options.connections_per_address = 2;
    fake_start(fake);
    int first = http_connect(fake->port), second = http_connect(fake->port);
    use(first);
    use(second);
    int third = http_connect(fake->port);
    assert_true(http_is_ended(third));
    close(third);
    close(first);
    ServerStatus status;
    do {
        g_usleep(1000);
        server_status(fake->server, &status);
    } while (status.connections > 1);
    third = http_connect(fake->port);
    use(third);
    close(third);
    close(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smuggling),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_long_heads),
        cmocka_unit_test(test_large_bodies),
        cmocka_unit_test(test_slow_clients),
        cmocka_unit_test(test_dripping_client),
        cmocka_unit_test(test_idle_connections_end),
        cmocka_unit_test(test_unread_answers),
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_busy_connections_stay),
        cmocka_unit_test(test_connections_of_one_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
