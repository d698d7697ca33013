/* SPDX-License-Identifier: Apache-2.0 */
#include "test_sink.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* --- what becomes of an exchange --- */

typedef struct {
    const char *label;
    Canned answer;
    Transport transport;
    long status;         /* where DONE */
    const char *body;    /* where DONE */
    const char *problem; /* what its text begins with; HOST is the server's place */
} Exchange;

static const Exchange exchanges[] = {
    {"204", {OK_204, 0, THEN_KEEP, false}, TRANSPORT_DONE, 204, "", NULL},
    {"204, no length, closed", {OK_204, 0, THEN_CLOSE, false}, TRANSPORT_DONE, 204, "", NULL},
    {"HTTP/1.0, up to the end",
     {"HTTP/1.0 400 Bad\r\n\r\nabc", 0, THEN_CLOSE, false},
     TRANSPORT_DONE,
     400,
     "abc",
     NULL},
    {"with length", {BODY_OF("400 Bad", "3") "abc", 0, THEN_KEEP, false}, TRANSPORT_DONE, 400, "abc", NULL},
    {"chunked",
     {"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 0, THEN_KEEP, false},
     TRANSPORT_DONE,
     400,
     "abc",
     NULL},
    {"100 first",
     {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" OK_204, 0, THEN_KEEP, false},
     TRANSPORT_DONE,
     204,
     "",
     NULL},
    {"a redirect is an answer",
     {"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 0, THEN_KEEP, false},
     TRANSPORT_DONE,
     307,
     "",
     NULL},
    {"401",
     {"HTTP/1.1 401 X\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", 0, THEN_KEEP, false},
     TRANSPORT_DONE,
     401,
     "",
     NULL},
    {"204 that announces a body",
     {BODY_OF("204 X", "3"), 0, THEN_CLOSE, false},
     TRANSPORT_CUT,
     0,
     NULL,
     "no whole answer from HOST: status 204 with a Content-Length"},
    {"more than announced", {BODY_OF("200 OK", "3") "abcdef", 0, THEN_KEEP, false}, TRANSPORT_DONE, 200, "abc", NULL},
    {"less than announced",
     {BODY_OF("200 OK", "9") "abc", 0, THEN_CLOSE, false},
     TRANSPORT_CUT,
     0,
     NULL,
     "no whole answer from HOST: "},
    {"less than announced, reset",
     {BODY_OF("200 OK", "9") "abc", 0, THEN_RESET, false},
     TRANSPORT_CUT,
     0,
     NULL,
     "no whole answer from HOST: "},
    {"cut in a chunk",
     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 0, THEN_CLOSE, false},
     TRANSPORT_CUT,
     0,
     NULL,
     "no whole answer from HOST: "},
    {"cut between chunks",
     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", 0, THEN_CLOSE, false},
     TRANSPORT_CUT,
     0,
     NULL,
     "no whole answer from HOST: "},
    {"cut in the headers",
     {"HTTP/1.1 204 No Content\r\nDate: ", 0, THEN_CLOSE, false},
     TRANSPORT_CUT,
     0,
     NULL,
     "no whole answer from HOST: "},
    {"cut before the headers' end",
     {"HTTP/1.1 204 No Content\r\nDate: x\r\n", 0, THEN_CLOSE, false},
     TRANSPORT_CUT,
     0,
     NULL,
     "no whole answer from HOST: "},
    {"cut in the status line", {"HTTP/1.1 20", 0, THEN_CLOSE, false}, TRANSPORT_CUT, 0, NULL, "no "},
    {"only a 100",
     {"HTTP/1.1 100 Continue\r\n\r\n", 0, THEN_CLOSE, false},
     TRANSPORT_CUT,
     0,
     NULL,
     "no whole answer from HOST: "},
    {"nothing", {NULL, 0, THEN_CLOSE, false}, TRANSPORT_CUT, 0, NULL, "no whole answer from HOST: "},
    {"reset", {NULL, 0, THEN_RESET, false}, TRANSPORT_CUT, 0, NULL, "no whole answer from HOST: "},
    {"closed before the request is read",
     {NULL, 0, THEN_RESET, true},
     TRANSPORT_CUT,
     0,
     NULL,
     "no whole answer from HOST: "},
    {"too large, and it hangs up",
     {BODY_OF("413 X", "9") "abc", 0, THEN_RESET, false},
     TRANSPORT_DONE,
     413,
     "abc",
     NULL},
    {"SSH",
     {"SSH-2.0-OpenSSH_9.2\r\nmore\r\n\r\n", 0, THEN_CLOSE, false},
     TRANSPORT_CUT,
     0,
     NULL,
     "no HTTP from HOST: "},
    {"noise", {"\0\xff\x16\x03\r\n\r\n\0\0", 10, THEN_CLOSE, false}, TRANSPORT_CUT, 0, NULL, "no "},
    {"a status that is no number", {"HTTP/1.1 abc\r\n\r\n", 0, THEN_CLOSE, false}, TRANSPORT_CUT, 0, NULL, "no "},
    {"a length that is no number",
     {BODY_OF("200 OK", "abc") "abc", 0, THEN_CLOSE, false},
     TRANSPORT_CUT,
     0,
     NULL,
     "no "},
};

static void check_exchange(const Exchange *exchange)
{
    g_autoptr(CannedServer) server = canned_server_new(&exchange->answer, 1);
    const SinkSettings settings = plain_settings(SINK_INFLUXDB1, canned_server_url(server));
    g_autoptr(SinkReply) reply = ask_once(&settings);
    CHECK(reply->transport == exchange->transport, "%s: %d %s", exchange->label, (int)reply->transport, reply->problem);
    if (reply->transport == TRANSPORT_DONE) {
        CHECK(reply->status == exchange->status, "%s: %ld", exchange->label, reply->status);
        CHECK_TEXT(reply->body->str, exchange->body, exchange->label);
        return;
    }
    g_auto(GStrv) parts = g_strsplit(exchange->problem, "HOST", -1);
    g_autofree char *problem = g_strjoinv(settings.url + strlen("http://"), parts);
    CHECK(g_str_has_prefix(reply->problem, problem), "%s: %s", exchange->label, reply->problem);
    CHECK(!strpbrk(reply->problem, "\r\n"), "%s: %s", exchange->label, reply->problem);
}

static void test_exchanges(void **state)
{
    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(exchanges); i++)
        check_exchange(&exchanges[i]);
}

static void test_headers_of_a_reply(void **state)
{
    (void)state;
    SERVER(server, {"HTTP/1.1 503 X\r\nRetry-After: 17\r\nX-Influxdb-Error: no\r\nContent-Length: 2\r\n\r\nno", 0,
                    THEN_KEEP, false});
    const SinkSettings settings = plain_settings(SINK_INFLUXDB1, canned_server_url(server));
    g_autoptr(SinkReply) reply = ask_once(&settings);
    CHECK_TEXT(reply->retry_after, "17", "Retry-After");
    CHECK_TEXT(reply->influx_error, "no", "X-Influxdb-Error");
}

static void test_huge_answer(void **state)
{
    (void)state;
    const gsize size = 5 * 1024 * 1024;
    g_autoptr(GString) text = g_string_new(NULL); /* freed after the server, which may be sending it still */
    g_string_append_printf(text, "HTTP/1.1 400 X\r\nContent-Length: %zu\r\n\r\n", size);
    gsize head = text->len;
    g_string_set_size(text, head + size);
    memset(text->str + head, 'x', size);
    const Canned answers[] = {{text->str, text->len, THEN_KEEP, false}};
    g_autoptr(CannedServer) server = canned_server_new(answers, 1);
    const SinkSettings settings = plain_settings(SINK_INFLUXDB1, canned_server_url(server));
    g_autoptr(SinkReply) reply = ask_once(&settings);
    assert_int_equal(reply->transport, TRANSPORT_DONE);
    assert_int_equal(reply->status, 400);
    assert_int_equal(reply->body->len, SINK_ANSWER_MAX);
}

/* --- no answer at all --- */

static void test_refused(void **state)
{
    (void)state;
    g_autofree char *url = NULL;
    int fd = take_port(&url);
    const SinkSettings settings = plain_settings(SINK_INFLUXDB1, url);
    g_autoptr(SinkReply) reply = ask_once(&settings);
    g_autofree char *want = g_strdup_printf("cannot connect to %s: Connection refused", url + strlen("http://"));
    assert_int_equal(reply->transport, TRANSPORT_UNREACHABLE);
    CHECK_TEXT(reply->problem, want, "problem");
    close(fd);
}

/* In a pool the name is looked up beside the other transfers. */
static void test_unknown_host(void **state)
{
    (void)state;
    const SinkSettings settings = plain_settings(SINK_INFLUXDB1, "http://no-such-host.invalid:8086");
    g_autoptr(SinkReply) reply = ask_once(&settings);
    assert_int_equal(reply->transport, TRANSPORT_UNREACHABLE);
    CHECK(g_str_has_prefix(reply->problem, "cannot find the host of no-such-host.invalid:8086: "), "%s",
          reply->problem);
}

static void check_timeout(const char *label, Canned answer)
{
    g_autoptr(CannedServer) server = canned_server_new(&answer, 1);
    SinkSettings settings = plain_settings(SINK_INFLUXDB1, canned_server_url(server));
    settings.timeout_ms = 200;
    g_autoptr(SinkReply) reply = ask_once(&settings);
    CHECK(reply->transport == TRANSPORT_TIMEOUT, "%s: %d %s", label, (int)reply->transport, reply->problem);
    CHECK(g_str_has_prefix(reply->problem, "no answer in time from 127.0.0.1:"), "%s: %s", label, reply->problem);
}

static void test_timeouts(void **state)
{
    (void)state;
    check_timeout("no answer", (Canned){NULL, 0, THEN_HANG, false});
    check_timeout("not even read", (Canned){NULL, 0, THEN_HANG, true});
    check_timeout("within the headers", (Canned){"HTTP/1.1 204 No Con", 0, THEN_HANG, false});
    check_timeout("within the body", (Canned){BODY_OF("200 OK", "9") "abc", 0, THEN_HANG, false});
    check_timeout("within a chunk",
                  (Canned){"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab", 0, THEN_HANG, false});
    check_timeout("only a 100", (Canned){"HTTP/1.1 100 Continue\r\n\r\n", 0, THEN_HANG, false});
}

/* Other protocols are not even tried, whatever libcurl can do. */
static void test_other_protocols(void **state)
{
    (void)state;
    static const char *const schemes[] = {"ftp", "gopher", "telnet", "smtp", "ldap", "nonsense"};
    SERVER(server, {OK_204, 0, THEN_KEEP, false});
    for (gsize i = 0; i < G_N_ELEMENTS(schemes); i++) {
        g_autofree char *url = g_strconcat(schemes[i], canned_server_url(server) + strlen("http"), NULL);
        const SinkSettings settings = plain_settings(SINK_INFLUXDB1, url);
        g_autoptr(SinkReply) reply = ask_once(&settings);
        CHECK(reply->transport != TRANSPORT_DONE, "%s", url);
    }
    assert_int_equal(canned_server_connections(server), 0);
}

/* --- connections --- */

static void test_connection_is_kept(void **state)
{
    (void)state;
    SERVER(server, {OK_204, 0, THEN_KEEP, false}, {BODY_OF("400 Bad", "3") "abc", 0, THEN_KEEP, false},
           {OK_204, 0, THEN_KEEP, false});
    const SinkSettings settings = plain_settings(SINK_INFLUXDB1, canned_server_url(server));
    g_autoptr(SinkPool) pool = sink_pool_new();
    g_autoptr(Sink) sink = new_sink(pool, &settings);
    static const long want[] = {204, 400, 204, 204, 204};
    for (gsize i = 0; i < G_N_ELEMENTS(want); i++) {
        g_autoptr(SinkReply) reply = ask(pool, sink, "m f=1i 1\n");
        assert_int_equal(reply->status, want[i]);
        assert_int_equal(reply->body->len, want[i] == 400 ? 3 : 0);
    }
    assert_int_equal(canned_server_connections(server), 1);
}

/* After any trouble the next request goes well, on a connection of its own, and none gets another's answer. */
static void test_after_trouble(void **state)
{
    (void)state;
    static const Canned troubles[] = {
        {OK_204, 0, THEN_CLOSE, false},
        {NULL, 0, THEN_RESET, false},
        {BODY_OF("200 OK", "9") "abc", 0, THEN_CLOSE, false},
        {BODY_OF("200 OK", "9") "abc", 0, THEN_HANG, false},
        {BODY_OF("200 OK", "3") "abcHTTP/1.1 500 Not this\r\nContent-Length: 0\r\n\r\n", 0, THEN_KEEP, false},
        {OK_204 "HTTP/1.1 500 Not this\r\nContent-Length: 0\r\n\r\n", 0, THEN_KEEP, false},
        {BODY_OF("204 X", "3") "abc", 0, THEN_KEEP, false},
        {"SSH-2.0-x\r\n", 0, THEN_CLOSE, false},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(troubles); i++) {
        const Canned answers[] = {troubles[i], {BODY_OF("201 Yes", "2") "me", 0, THEN_KEEP, false}};
        g_autoptr(CannedServer) server = canned_server_new(answers, 2);
        SinkSettings settings = plain_settings(SINK_INFLUXDB1, canned_server_url(server));
        settings.timeout_ms = troubles[i].then == THEN_HANG ? 200 : 10000;
        g_autoptr(SinkPool) pool = sink_pool_new();
        g_autoptr(Sink) sink = new_sink(pool, &settings);
        g_autoptr(SinkReply) first = ask(pool, sink, "m f=1i 1\n");
        g_autoptr(SinkReply) second = ask(pool, sink, "m f=2i 2\n");
        CHECK(second->status == 201, "trouble %zu: %ld %s", i, second->status, second->problem);
        CHECK_TEXT(second->body->str, "me", "body");
        check_body(canned_server_request(server, 1), "m f=2i 2\n", 9);
    }
}

/* One hangs, the other's replies come meanwhile. */
static void test_one_hangs(void **state)
{
    (void)state;
    SERVER(stuck, {NULL, 0, THEN_HANG, false});
    SERVER(well, {OK_204, 0, THEN_KEEP, false});
    const SinkSettings stuck_settings = plain_settings(SINK_INFLUXDB1, canned_server_url(stuck)),
                       well_settings = plain_settings(SINK_INFLUXDB3, canned_server_url(well));
    g_autoptr(SinkPool) pool = sink_pool_new();
    g_autoptr(Sink) stuck_sink = new_sink(pool, &stuck_settings);
    g_autoptr(Sink) well_sink = new_sink(pool, &well_settings);
    sink_send(stuck_sink, "m f=1i 1\n", 9, false);
    for (guint i = 0; i < 20; i++) {
        g_autoptr(SinkReply) reply = ask(pool, well_sink, "m f=1i 1\n");
        assert_int_equal(reply->status, 204);
        assert_true(sink_is_busy(stuck_sink));
        assert_null(sink_take_reply(stuck_sink));
    }
}

/* --- waiting --- */

static gint64 run_for(SinkPool *pool, int fd, gint64 span_us)
{
    const gint64 begin = g_get_monotonic_time();
    sink_pool_run(pool, fd, begin + span_us);
    return g_get_monotonic_time() - begin;
}

static void test_waits(void **state)
{
    (void)state;
    SERVER(stuck, {NULL, 0, THEN_HANG, false});
    SinkSettings settings = plain_settings(SINK_INFLUXDB1, canned_server_url(stuck));
    settings.timeout_ms = 4 * PATIENCE_US / 1000; /* no reply ends a wait */
    g_autoptr(SinkPool) pool = sink_pool_new();
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_true(run_for(pool, -1, 50000) >= 50000); /* nothing to do, and yet it waits */
    assert_true(run_for(pool, pipes[0], 50000) >= 50000);

    g_autoptr(Sink) sink = new_sink(pool, &settings);
    sink_send(sink, "m f=1i 1\n", 9, false);
    assert_true(run_for(pool, pipes[0], 50000) >= 50000);
    assert_true(run_for(pool, pipes[0], -1) < PATIENCE_US);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    assert_true(run_for(pool, pipes[0], 2 * PATIENCE_US) < PATIENCE_US); /* readable */
    char byte;
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    close(pipes[1]);
    assert_true(run_for(pool, pipes[0], 2 * PATIENCE_US) < PATIENCE_US); /* its other end is closed */
    close(pipes[0]);
    assert_true(sink_is_busy(sink));
}

static gint64 cpu_time_of_waiting_ms(SinkPool *pool)
{
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    run_for(pool, -1, G_USEC_PER_SEC);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    return (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
}

/* It does not turn in circles while it waits, with a request under way or without. */
static void test_waiting_costs_nothing(void **state)
{
    (void)state;
    SERVER(stuck, {NULL, 0, THEN_HANG, false});
    const SinkSettings settings = plain_settings(SINK_INFLUXDB1, canned_server_url(stuck));
    g_autoptr(SinkPool) pool = sink_pool_new();
    g_autoptr(Sink) sink = new_sink(pool, &settings);
    assert_true(cpu_time_of_waiting_ms(pool) < 300);
    sink_send(sink, "m f=1i 1\n", 9, false);
    assert_true(cpu_time_of_waiting_ms(pool) < 300);
}

static void on_broken_pipe(int number)
{
    (void)number;
}

/* TLS over a connection that is gone must not end the process; a handler of the program's own stays. */
static void test_broken_pipes(void **state)
{
    (void)state;
    static void (*const before[])(int) = {SIG_DFL, SIG_IGN, on_broken_pipe};
    static void (*const after[])(int) = {SIG_IGN, SIG_IGN, on_broken_pipe};
    for (gsize i = 0; i < G_N_ELEMENTS(before); i++) {
        struct sigaction action;
        signal(SIGPIPE, before[i]);
        g_autoptr(SinkPool) pool = sink_pool_new();
        assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
        assert_true(action.sa_handler == after[i]);
    }
    signal(SIGPIPE, SIG_IGN);
}

/* Freed while a request is under way, and with a reply that nobody took. */
static void test_freed_in_the_middle(void **state)
{
    (void)state;
    SERVER(stuck, {NULL, 0, THEN_HANG, false});
    SERVER(well, {OK_204, 0, THEN_KEEP, false});
    const SinkSettings stuck_settings = plain_settings(SINK_INFLUXDB1, canned_server_url(stuck)),
                       well_settings = plain_settings(SINK_INFLUXDB1, canned_server_url(well));
    g_autoptr(SinkPool) pool = sink_pool_new();
    Sink *under_way = new_sink(pool, &stuck_settings), *not_taken = new_sink(pool, &well_settings);
    sink_send(under_way, "m f=1i 1\n", 9, false);
    sink_send(not_taken, "m f=1i 1\n", 9, false);
    run_for(pool, -1, PATIENCE_US);
    sink_free(under_way);
    sink_free(not_taken);
    assert_true(run_for(pool, -1, 20000) >= 20000); /* no reply is waited for any more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchanges),       cmocka_unit_test(test_headers_of_a_reply),
        cmocka_unit_test(test_huge_answer),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unknown_host),    cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_other_protocols), cmocka_unit_test(test_connection_is_kept),
        cmocka_unit_test(test_after_trouble),   cmocka_unit_test(test_one_hangs),
        cmocka_unit_test(test_waits),           cmocka_unit_test(test_waiting_costs_nothing),
        cmocka_unit_test(test_broken_pipes),    cmocka_unit_test(test_freed_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
