/* SPDX-License-Identifier: Apache-2.0
 * The server over sockets of the loopback, with routes that a fake answers. */
#include "fake_routes.h"
#include "gather_helpers.h"
#include "http_client.h"
#include "serve/snapshot.h"

#include <string.h>
#include <unistd.h>

#define TELEMETRY "/api/telemetry/vm-telemetry"

/* --- one request each --- */

typedef struct {
    const char *method, *target, *headers, *body;
    guint status;
    const char *error; /* NULL: not looked at */
} Case;

static const Case cases[] = {
    {"GET", TELEMETRY, READER, NULL, 200, NULL},
    {"GET", TELEMETRY, WRITER, NULL, 200, NULL},
    {"GET", TELEMETRY, "Authorization: Token reader\r\n", NULL, 200, NULL},
    {"GET", TELEMETRY, "Authorization: Basic YW55OnJlYWRlcg==\r\n", NULL, 200, NULL},
    {"GET", TELEMETRY, "", NULL, 401, "unauthorized"},
    {"GET", TELEMETRY, "Authorization: Bearer nobody\r\n", NULL, 401, "unauthorized"},
    {"GET", TELEMETRY, READER READER, NULL, 400, "bad_request"},
    {"GET", TELEMETRY "?x=1", READER, NULL, 400, "bad_request"},
    {"GET", TELEMETRY "?", READER, NULL, 200, NULL},
    {"GET", "/api/telemetry/vm%2Dtelemetry", READER, NULL, 200, NULL},
    {"GET", "/api/telemetry/../telemetry/vm-telemetry", READER, NULL, 400, "bad_request"},
    {"GET", "/api/telemetry%2fvm-telemetry", READER, NULL, 400, "bad_request"},
    {"GET", "//api/telemetry/vm-telemetry", READER, NULL, 400, "bad_request"},
    {"GET", "http://127.0.0.1/healthz", READER, NULL, 400, "bad_request"},
    {"GET", "/", "", NULL, 200, NULL},
    {"HEAD", "/", "", NULL, 200, NULL},
    {"GET", "/?x=1", "", NULL, 400, "bad_request"},
    {"POST", "/", WRITER, "", 405, "method_not_allowed"},
    {"GET", "/dashboard/x.js", "", NULL, 200, NULL},
    {"GET", "/dashboard/..%2fmetrics", "", NULL, 400, "bad_request"},
    {"GET", "/dashboard/x/y", "", NULL, 404, "not_found"},
    {"GET", "/index.html", READER, NULL, 404, "not_found"},
    {"GET", "/nothing", "", NULL, 404, "not_found"},
    {"POST", TELEMETRY, WRITER, "x", 405, "method_not_allowed"},
    {"DELETE", TELEMETRY, WRITER, NULL, 405, "method_not_allowed"},
    {"BREW", TELEMETRY, WRITER, NULL, 405, "method_not_allowed"},
    {"GET", "/write", WRITER, NULL, 405, "method_not_allowed"},
    {"HEAD", "/write", WRITER, NULL, 405, NULL},
    {"HEAD", TELEMETRY, READER, NULL, 200, NULL},
    {"HEAD", TELEMETRY, "", NULL, 401, NULL},
    {"OPTIONS", TELEMETRY, "", NULL, 204, NULL},
    {"OPTIONS", "/nothing", "", NULL, 404, "not_found"},
    {"GET", "/healthz", "", NULL, 200, NULL},
    {"GET", "/healthz", "", "body", 400, "bad_request"},
    {"GET", "/healthz", "Content-Length: 0\r\n", NULL, 200, NULL},
    {"GET", "/api/telemetry/vm-stats/83", READER, NULL, 200, NULL},
    {"GET", "/api/telemetry/history/83?metric=a+b", READER, NULL, 200, NULL},
    {"GET", "/api/telemetry/history/83?metrics=a", READER, NULL, 400, "bad_request"},
    {"POST", "/write", WRITER, "m x=1", 204, NULL},
    {"POST", "/write", "Authorization: Basic dTp3cml0ZXI=\r\n", "m x=1", 204, NULL},
    {"POST", "/write?u=any&p=writer", "", "m x=1", 204, NULL},
    {"POST", "/write?u=any&p=reader", "", "m x=1", 403, "forbidden"},
    {"POST", "/write", READER, "m x=1", 403, "forbidden"},
    {"POST", "/write", "", "m x=1", 401, "unauthorized"},
    {"POST", "/write", WRITER, NULL, 204, NULL},
    {"POST", "/api/telemetry/start", WRITER "Origin: https://evil.example\r\n", "", 403, "forbidden"},
    {"POST", "/api/telemetry/start", WRITER "Sec-Fetch-Site: cross-site\r\n", "", 403, "forbidden"},
    {"POST", "/api/telemetry/start", WRITER "Sec-Fetch-Site: same-origin\r\n", "", 204, NULL},
    {"GET", "/healthz", "Odd Name: x\r\n", NULL, 400, NULL},
};

static void check_case(guint port, const Case *c)
{
    g_autoptr(HttpAnswer) answer = http_ask(port, c->method, c->target, c->headers, c->body);
    CHECK(answer->status == c->status, "%s %s: %u, not %u: %s", c->method, c->target, answer->status, c->status,
          answer->body->str);
    g_autofree char *sniff = http_header(answer, "X-Content-Type-Options");
    g_autofree char *allow = http_header(answer, "Allow");
    g_autofree char *challenge = http_header(answer, "WWW-Authenticate");
    g_autofree char *wanted = c->error ? g_strdup_printf("{\"error\":\"%s\",\"detail\":\"", c->error) : g_strdup("");
    if (answer->body->len > 0 || c->status < 300)
        CHECK_TEXT(sniff, "nosniff", c->target);
    CHECK(g_str_has_prefix(answer->body->str, wanted), "%s %s: %s", c->method, c->target, answer->body->str);
    CHECK((allow != NULL) == (c->status == 405 || strcmp(c->method, "OPTIONS") == 0) || c->status == 404, "%s %s: %s",
          c->method, c->target, answer->head);
    CHECK((challenge != NULL) == (c->status == 401), "%s %s: %s", c->method, c->target, answer->head);
}

static void test_requests(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        check_case(fake->port, &cases[i]);
    ServerStatus status;
    server_status(fake->server, &status);
    assert_int_equal(status.requests, G_N_ELEMENTS(cases));
    assert_int_equal(status.unauthorized, 4);
    assert_int_equal(status.by_class[2] + status.by_class[4], G_N_ELEMENTS(cases));
}

/* --- what handlers are given --- */

static void test_handlers(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    g_autoptr(HttpAnswer) read =
        http_ask(fake->port, "GET", "/api/telemetry/history/one-83?metric=a%20b+c", READER, NULL);
    assert_string_equal(read->body->str, "GET one-83 a b c");
    g_autoptr(HttpAnswer) write = http_ask(fake->port, "POST", "/write", WRITER, "m x=1\nm x=2");
    assert_int_equal(write->status, 204);
    assert_string_equal(fake->last_body, "m x=1\nm x=2");
    assert_int_equal(fake->last_length, 11);
    int fd = http_connect(fake->port);
    http_send_text(fd, "POST /write HTTP/1.1\r\nHost: x\r\n" WRITER
                       "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    g_autoptr(HttpAnswer) chunked = http_read(fd, true);
    assert_int_equal(chunked->status, 204);
    assert_string_equal(fake->last_body, "abcdefg");
    close(fd);
}

/* --- snapshots --- */

static void test_snapshot(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    g_autoptr(HttpAnswer) first = http_ask(fake->port, "GET", TELEMETRY, READER, NULL);
    g_autofree char *etag = http_header(first, "ETag"), *cache = http_header(first, "Cache-Control");
    assert_true(g_str_has_prefix(first->body->str, "{\"version\":1,"));
    assert_true(g_str_has_prefix(etag, "W/\"") && g_str_has_suffix(etag, "-1\""));
    assert_string_equal(cache, "no-cache");

    g_autofree char *same = g_strdup_printf(READER "If-None-Match: \"x\", %s\r\n", etag);
    g_autoptr(HttpAnswer) unchanged = http_ask(fake->port, "GET", TELEMETRY, same, NULL);
    g_autofree char *again = http_header(unchanged, "ETag");
    assert_int_equal(unchanged->status, 304);
    assert_string_equal(again, etag);

    fake_change(fake);
    g_autoptr(HttpAnswer) changed = http_ask(fake->port, "GET", TELEMETRY, same, NULL);
    assert_int_equal(changed->status, 200);
    assert_true(g_str_has_prefix(changed->body->str, "{\"version\":2,"));

    g_autoptr(HttpAnswer) head = http_ask(fake->port, "HEAD", TELEMETRY, READER, NULL);
    g_autofree char *length = http_header(head, "Content-Length"), *full = http_header(changed, "Content-Length");
    assert_string_equal(length, full);
}

static void test_gzip(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    static const char *const targets[] = {TELEMETRY, "/api/openapi.json"};
    for (guint i = 0; i < G_N_ELEMENTS(targets); i++) {
        g_autoptr(HttpAnswer) packed =
            http_ask(fake->port, "GET", targets[i], READER "Accept-Encoding: deflate, gzip\r\n", NULL);
        g_autofree char *encoding = http_header(packed, "Content-Encoding"), *vary = http_header(packed, "Vary");
        CHECK_TEXT(encoding, "gzip", targets[i]);
        CHECK_TEXT(vary, "Accept-Encoding", targets[i]);
        CHECK(packed->body->len < 500 && (guchar)packed->body->str[0] == 0x1F, "%s", targets[i]);
        g_autoptr(HttpAnswer) plain =
            http_ask(fake->port, "GET", targets[i], READER "Accept-Encoding: gzip;q=0\r\n", NULL);
        g_autofree char *none = http_header(plain, "Content-Encoding");
        CHECK(none == NULL && plain->body->len >= 2000, "%s", targets[i]);
    }
    g_autoptr(HttpAnswer) described = http_ask(fake->port, "GET", "/api/openapi.json", "", NULL);
    g_autofree char *etag = http_header(described, "ETag");
    g_autofree char *same = g_strdup_printf("If-None-Match: %s\r\n", etag);
    g_autoptr(HttpAnswer) unchanged = http_ask(fake->port, "GET", "/api/openapi.json", same, NULL);
    assert_int_equal(unchanged->status, 304);
}

/* A page has its own policy, and is sent as it was packed beforehand. */
static void test_page(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    static const struct {
        const char *target, *policy, *referrer, *body;
    } answers[] = {
        {"/", FAKE_POLICY, "no-referrer", FAKE_PACKED},
        {"/healthz", "default-src 'none'; frame-ancestors 'none'", NULL, "GET - -"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(answers); i++) {
        const char *target = answers[i].target;
        g_autoptr(HttpAnswer) answer = http_ask(fake->port, "GET", target, "Accept-Encoding: gzip\r\n", NULL);
        g_autofree char *policy = http_header(answer, "Content-Security-Policy");
        g_autofree char *referrer = http_header(answer, "Referrer-Policy");
        CHECK_TEXT(policy, answers[i].policy, target);
        CHECK_TEXT(referrer, answers[i].referrer, target);
        CHECK_TEXT(answer->body->str, answers[i].body, target);
    }
    g_autoptr(HttpAnswer) plain = http_ask(fake->port, "GET", "/", "", NULL);
    assert_int_equal(plain->body->len, 4000);
}

static void check_filler(const char *text, gsize size)
{
    const char *filler = strchr(text, 'x');
    assert_non_null(filler);
    assert_int_equal(strspn(filler, "x"), size - (gsize)(filler - text));
}

/* From its file: all of it, to many, while it changes; and to streams, which hold on to theirs no longer than
 * they are open. */
static void test_large(void **state)
{
    (void)state;
    const gsize before = snapshot_bytes(), size = 3000000;
    g_autoptr(Fake) fake = fake_new();
    fake->size = size;
    fake->cost_us = 2 * SNAPSHOT_CHEAP_US;
    fake_start(fake);
    for (guint i = 1; i <= 5; i++) {
        g_autofree char *wanted = g_strdup_printf("{\"version\":%u,", i);
        int fd = http_connect(fake->port);
        http_send_text(fd, "GET /api/telemetry/stream HTTP/1.1\r\nHost: x\r\n" READER "\r\n");
        g_autofree char *streamed = http_read_until(fd, "\"filler\"");
        CHECK(strstr(streamed, wanted) != NULL, "%s", wanted);
        g_autoptr(HttpAnswer) plain = http_ask(fake->port, "GET", TELEMETRY, READER, NULL);
        CHECK(g_str_has_prefix(plain->body->str, wanted), "%s, not %.20s", wanted, plain->body->str);
        check_filler(plain->body->str, size);
        assert_true(g_str_has_suffix(plain->body->str, "x\"}"));
        g_autoptr(HttpAnswer) any = http_ask(fake->port, "GET", TELEMETRY, READER "Accept-Encoding: gzip\r\n", NULL);
        assert_int_equal(any->status, 200);
        fake_change(fake);
        close(fd);
    }
    CHECK(snapshot_bytes() - before < 4 * size, "%zu bytes are held", snapshot_bytes() - before);
}

/* --- pages of other sites --- */

#define LISTED "Origin: https://sunstone.example\r\n"

static void test_origins(void **state)
{
    (void)state;
    static const char *const origins[] = {"https://sunstone.example", NULL};
    g_autoptr(Fake) fake = fake_new();
    fake->options.origins = origins;
    fake_start(fake);
    static const struct {
        const char *method, *target, *headers;
        guint status;
        const char *allowed; /* Access-Control-Allow-Origin */
        bool preflight;
    } pages[] = {
        {"GET", TELEMETRY, READER LISTED, 200, "https://sunstone.example", false},
        {"GET", TELEMETRY, READER "Origin: https://evil.example\r\n", 200, NULL, false},
        {"GET", TELEMETRY, READER "Origin: null\r\n", 200, NULL, false},
        {"GET", TELEMETRY, READER, 200, NULL, false},
        {"GET", "/healthz", LISTED, 200, "https://sunstone.example", false},
        {"GET", TELEMETRY, LISTED, 401, "https://sunstone.example", false},
        {"OPTIONS", TELEMETRY, LISTED "Access-Control-Request-Method: GET\r\n", 204, "https://sunstone.example", true},
        {"OPTIONS", TELEMETRY, "Origin: https://evil.example\r\n", 204, NULL, false},
        {"POST", "/api/telemetry/start", WRITER LISTED, 204, "https://sunstone.example", false},
        {"POST", "/api/telemetry/start", WRITER "Origin: null\r\n", 403, NULL, false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(pages); i++) {
        g_autoptr(HttpAnswer) answer = http_ask(fake->port, pages[i].method, pages[i].target, pages[i].headers, NULL);
        g_autofree char *allowed = http_header(answer, "Access-Control-Allow-Origin");
        g_autofree char *methods = http_header(answer, "Access-Control-Allow-Methods");
        CHECK(answer->status == pages[i].status, "%u: %u", i, answer->status);
        CHECK_TEXT(allowed, pages[i].allowed, answer->head);
        CHECK(strstr(answer->head, "Vary: Origin") != NULL, "%u: %s", i, answer->head);
        CHECK((methods != NULL) == pages[i].preflight, "%u: %s", i, answer->head);
    }
}

static void test_rebinding(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->options.read_token = fake->options.write_token = NULL;
    fake_start(fake);
    static const struct {
        const char *host;
        guint status;
    } hosts[] = {{"127.0.0.1", 200}, {"localhost:4126", 200}, {"[::1]:1", 200}, {"evil.example", 421}, {"", 421}};
    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++) {
        int fd = http_connect(fake->port);
        http_send_text(fd, "GET " TELEMETRY " HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[i].host);
        g_autoptr(HttpAnswer) answer = http_read(fd, true);
        CHECK(answer && answer->status == hosts[i].status, "%s: %u", hosts[i].host, answer ? answer->status : 0);
        close(fd);
    }
}

/* --- connections --- */

static void test_keep_alive_and_pipelining(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    int fd = http_connect(fake->port);
    for (guint i = 0; i < 3; i++)
        http_send_text(fd,
                       "GET " TELEMETRY " HTTP/1.1\r\nHost: x\r\n" READER "\r\n"
                       "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
                       "POST /write HTTP/1.1\r\nHost: x\r\n" WRITER "Content-Length: 5\r\n\r\nm x=1"
                       "GET /api/telemetry/history/%u HTTP/1.1\r\nHost: x\r\n" READER "\r\n",
                       i);
    static const guint statuses[] = {200, 404, 204, 200};
    for (guint i = 0; i < 12; i++) {
        g_autoptr(HttpAnswer) answer = http_read(fd, true);
        CHECK(answer && answer->status == statuses[i % 4] && !answer->closes, "%u", i);
    }
    close(fd);
    assert_int_equal(g_atomic_int_get(&fake->writes), 3);
}

static void wait_for_requests(Fake *fake, guint n)
{
    ServerStatus status;
    do {
        g_usleep(1000);
        server_status(fake->server, &status);
    } while (status.requests < n);
}

static void test_workers_are_bounded(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->options.connections = 400;
    fake_start(fake);
    fake_hold(fake, true);
    int fds[300];
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = http_connect(fake->port);
        http_send_text(fds[i], "GET /api/telemetry/events HTTP/1.1\r\nHost: x\r\n" READER "\r\n");
    }
    fake_wait_held(fake, 2);
    /* Meanwhile others are answered, and lines come in to a pool of their own. */
    g_autoptr(HttpAnswer) other = http_ask(fake->port, "GET", TELEMETRY, READER, NULL);
    assert_int_equal(other->status, 200);
    int writer = http_connect(fake->port);
    http_send_text(writer, "POST /write HTTP/1.1\r\nHost: x\r\n" WRITER "Content-Length: 5\r\n\r\nm x=1");
    fake_wait_held(fake, 3);
    wait_for_requests(fake, G_N_ELEMENTS(fds) + 2);
    fake_hold(fake, false);
    guint answered = 0, busy = 0;
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        g_autoptr(HttpAnswer) answer = http_read(fds[i], true);
        CHECK(answer && (answer->status == 200 || answer->status == 503), "%u", i);
        g_autofree char *retry = http_header(answer, "Retry-After");
        CHECK((retry != NULL) == (answer->status == 503), "%s", answer->head);
        answered += answer->status == 200;
        busy += answer->status == 503;
        close(fds[i]);
    }
    g_autoptr(HttpAnswer) written = http_read(writer, true);
    assert_int_equal(written->status, 204);
    close(writer);
    CHECK(answered >= 256 && busy > 0, "%u answered, %u busy", answered, busy);
}

/* --- the stream --- */

static int open_stream(Fake *fake, const char *headers, char **ret_head)
{
    int fd = http_connect(fake->port);
    http_send_text(fd, "GET /api/telemetry/stream HTTP/1.1\r\nHost: x\r\n" READER "%s\r\n", headers);
    *ret_head = http_read_until(fd, "\r\n\r\n");
    return fd;
}

static void test_stream(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    g_autofree char *head = NULL, *head_again = NULL;
    int fd = open_stream(fake, "", &head);
    assert_non_null(strstr(head, "200 OK"));
    assert_non_null(strstr(head, "text/event-stream"));
    g_autofree char *snapshot = http_read_until(fd, "\n\n");
    assert_non_null(strstr(snapshot, "event: snapshot\ndata: {\"version\":1,"));
    stream_add(fake->service.stream, "sample", g_string_new("{\"a\":1}"));
    g_autofree char *event = http_read_until(fd, "\n\n");
    char *id = strstr(event, "id: ");
    assert_non_null(id);
    assert_non_null(strstr(event, "event: sample\ndata: {\"a\":1}\n\n"));
    g_autofree char *last = g_strdup_printf("Last-Event-ID: %.*s\r\n", (int)strcspn(id + 4, "\n"), id + 4);
    stream_add(fake->service.stream, "sample", g_string_new("{\"a\":2}"));
    int again = open_stream(fake, last, &head_again);
    g_autofree char *resumed = http_read_until(again, "\n\n");
    assert_non_null(strstr(resumed, "event: sample\ndata: {\"a\":2}\n\n"));
    assert_true(stream_is_wanted(fake->service.stream));
    close(fd);
    close(again);
}

/* A snapshot that can't be made is told as an error, and the stream begins with an empty one that says why. */
static void test_blind(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    g_autoptr(HttpAnswer) well = http_ask(fake->port, "GET", "/api/telemetry/vm-telemetry", READER, NULL);
    assert_int_equal(well->status, 200);
    g_atomic_int_set(&fake->is_blind, 1);
    fake_change(fake);
    g_autofree char *etag = http_header(well, "ETag");
    g_autofree char *headers = g_strdup_printf(READER "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n", etag);
    for (int i = 0; i < 2; i++) {
        g_autoptr(HttpAnswer) blind = http_ask(fake->port, "GET", "/api/telemetry/vm-telemetry", headers, NULL);
        assert_int_equal(blind->status, 503);
        g_autofree char *after = http_header(blind, "Retry-After"), *control = http_header(blind, "Cache-Control");
        g_autofree char *tag = http_header(blind, "ETag");
        CHECK_TEXT(after, "7", "Retry-After");
        CHECK_TEXT(control, "no-store", "Cache-Control");
        assert_null(tag);
        CHECK_TEXT(blind->body->str, "{\"error\":\"unavailable\",\"detail\":\"nothing is known\"}\n", "body");
    }
    g_autofree char *head = NULL;
    int fd = open_stream(fake, "", &head);
    g_autofree char *snapshot = http_read_until(fd, "\n\n");
    assert_non_null(strstr(snapshot, "event: snapshot\ndata: {\"count\":0,\"timestamp\":\"20"));
    assert_non_null(strstr(snapshot, "Z\",\"vms\":[],\"error\":\"unavailable\",\"detail\":\"nothing is known\"}\n\n"));
    stream_add(fake->service.stream, "sample", g_string_new("{\"a\":1}"));
    g_autofree char *event = http_read_until(fd, "\n\n");
    assert_non_null(strstr(event, "event: sample\ndata: {\"a\":1}\n\n"));
    close(fd);
}

/* One that is costly is rendered by a worker, and the stream begins with what is true by then. */
static void test_costly_stream(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->cost_us = 2 * SNAPSHOT_CHEAP_US;
    fake_start(fake);
    for (guint version = 1; version <= 3; version++) {
        g_autofree char *head = NULL, *wanted = g_strdup_printf("data: {\"version\":%u,", version);
        int fd = open_stream(fake, "", &head);
        g_autofree char *snapshot = http_read_until(fd, "\n\n");
        CHECK(strstr(snapshot, wanted) != NULL, "%s in %s", wanted, snapshot);
        close(fd);
        fake_change(fake);
    }
}

static void test_streams_are_bounded(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake->options.streams = 2;
    fake_start(fake);
    int fds[2];
    for (guint i = 0; i < 2; i++) {
        g_autofree char *head = NULL;
        fds[i] = open_stream(fake, "", &head);
        g_free(http_read_until(fds[i], "\n\n"));
    }
    g_autoptr(HttpAnswer) refused = http_ask(fake->port, "GET", "/api/telemetry/stream", READER, NULL);
    assert_int_equal(refused->status, 503);
    ServerStatus status;
    server_status(fake->server, &status);
    assert_int_equal(status.streams, 2);
    for (guint i = 0; i < 2; i++)
        close(fds[i]);
}

static gpointer stop_server(gpointer data)
{
    Fake *fake = data;
    server_stop(fake->server, 10000);
    fake->server = NULL;
    return NULL;
}

/* Requests under way get their answer, streams their end. */
static void test_stop(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    g_autofree char *head = NULL;
    fake_start(fake);
    int stream = open_stream(fake, "", &head), idle = http_connect(fake->port), working = http_connect(fake->port);
    g_free(http_read_until(stream, "\n\n"));
    fake_hold(fake, true);
    http_send_text(working, "GET /api/telemetry/events HTTP/1.1\r\nHost: x\r\n" READER "\r\n");
    fake_wait_held(fake, 1);
    GThread *stopping = g_thread_new("stop", stop_server, fake);
    g_free(http_read_until(stream, "0\r\n\r\n"));
    assert_true(http_is_ended(stream));
    fake_hold(fake, false);
    g_autoptr(HttpAnswer) answer = http_read(working, true);
    assert_true(answer && answer->status == 200);
    assert_true(http_is_ended(idle));
    g_thread_join(stopping);
    close(stream);
    close(idle);
    close(working);
}

static void test_start_errors(void **state)
{
    (void)state;
    g_autoptr(Fake) fake = fake_new();
    fake_start(fake);
    g_autofree char *in_use = g_strdup_printf("cannot listen on 127.0.0.1:%u: address in use", fake->port);
    const struct {
        const char *address, *cert;
        guint port;
        const char *message;
    } wrong[] = {{"127.0.0.1", NULL, fake->port, in_use},
                 {"localhost", NULL, 0, "cannot listen on localhost: no IPv4 or IPv6 address"},
                 {"192.0.2.1", NULL, 0, "cannot listen on 192.0.2.1:0: "},
                 {"127.0.0.1", "no certificate", 0, "cannot serve on 127.0.0.1:"}};
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        ServerOptions options = fake->options;
        g_autoptr(GError) error = NULL;
        options.address = wrong[i].address;
        options.port = wrong[i].port;
        options.cert = options.key = wrong[i].cert;
        const ServerParts parts = {0};
        assert_null(server_start_with(&fake->service, &options, &parts, &error));
        CHECK(g_str_has_prefix(error->message, wrong[i].message), "%s", error->message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_handlers),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_rebinding),
        cmocka_unit_test(test_keep_alive_and_pipelining),
        cmocka_unit_test(test_workers_are_bounded),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_costly_stream),
        cmocka_unit_test(test_blind),
        cmocka_unit_test(test_streams_are_bounded),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_start_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
