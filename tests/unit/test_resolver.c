/* SPDX-License-Identifier: Apache-2.0
 * Names looked up beside the requests. The look-ups are those of a test: one hangs until it is let go, one fails, the
 * others know addresses. */
#include "test_sink.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#define NAME "http://db.example"
#define SHORT_MS 100

/* --- look-ups --- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* which, unlike GLib's, ThreadSanitizer understands */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static guint calls, running;
static bool let_go;
static const char *known; /* the addresses that are found; NULL: none */

static char *say(char **ret_problem)
{
    if (!known)
        *ret_problem = g_strdup("nobody knows it");
    return g_strdup(known);
}

static char *look_up(const char *host, char **ret_problem)
{
    pthread_mutex_lock(&mutex);
    calls++;
    char *addresses = strcmp(host, "db.example") == 0 ? say(ret_problem) : NULL;
    pthread_mutex_unlock(&mutex);
    return addresses;
}

static char *hang(const char *host, char **ret_problem)
{
    (void)host;
    pthread_mutex_lock(&mutex);
    calls++;
    running++;
    pthread_cond_broadcast(&changed);
    while (!let_go)
        pthread_cond_wait(&changed, &mutex);
    char *addresses = say(ret_problem);
    running--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return addresses;
}

/* Those of another host hang as well, but not of this one. */
static char *hang_or_look_up(const char *host, char **ret_problem)
{
    return strcmp(host, "db.example") == 0 ? look_up(host, ret_problem) : hang(host, ret_problem);
}

static void set_known(const char *addresses)
{
    pthread_mutex_lock(&mutex);
    known = addresses;
    pthread_mutex_unlock(&mutex);
}

static guint count_calls(void)
{
    pthread_mutex_lock(&mutex);
    guint n = calls;
    pthread_mutex_unlock(&mutex);
    return n;
}

static int begin_test(void **state)
{
    (void)state;
    calls = 0;
    let_go = false;
    known = "127.0.0.1";
    return 0;
}

static void wait_for_running(guint n)
{
    pthread_mutex_lock(&mutex);
    while (running != n)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void release_all(void)
{
    pthread_mutex_lock(&mutex);
    let_go = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static int end_test(void **state)
{
    (void)state;
    release_all();
    wait_for_running(0);
    return 0;
}

/* --- the resolver --- */

static ResolverState settle(Resolver *resolver, gint64 now_us)
{
    struct pollfd ended = {.fd = resolver_fd(resolver), .events = POLLIN};
    assert_true(ended.fd < 0 || poll(&ended, 1, PATIENCE_US / 1000) == 1);
    return resolver_check(resolver, now_us);
}

static void check_entries(const Resolver *resolver, const char *want)
{
    g_auto(GStrv) entries = resolver_entries(resolver);
    g_autofree char *text = g_strjoinv(" ", entries);
    assert_string_equal(text, want);
}

static void test_found(void **state)
{
    (void)state;
    known = "192.0.2.1,[2001:db8::1]";
    g_autoptr(Resolver) resolver = resolver_new("db.example", 8086, look_up);
    assert_int_equal(resolver_begin(resolver, 0), RESOLVER_WAITS);
    assert_int_equal(settle(resolver, 0), RESOLVER_READY);
    check_entries(resolver, "-db.example:8086 db.example:8086:192.0.2.1,[2001:db8::1]");
    assert_int_equal(resolver_fd(resolver), -1);
}

static void test_dot_at_the_end(void **state)
{
    (void)state;
    release_all();
    g_autoptr(Resolver) resolver = resolver_new("db.", 1, hang);
    resolver_begin(resolver, 0);
    assert_int_equal(settle(resolver, 0), RESOLVER_READY);
    check_entries(resolver, "-db.:1 db.:1:127.0.0.1 -db:1 db:1:127.0.0.1");
}

/* For a minute nothing is looked up; then it is, and until there are others the old ones do. */
static void test_kept_for_a_while(void **state)
{
    (void)state;
    g_autoptr(Resolver) resolver = resolver_new("db.example", 1, look_up);
    resolver_begin(resolver, 0);
    assert_int_equal(settle(resolver, 0), RESOLVER_READY);
    assert_int_equal(resolver_begin(resolver, RESOLVER_FRESH_US - 1), RESOLVER_READY);
    assert_int_equal(resolver_fd(resolver), -1);
    assert_int_equal(count_calls(), 1);

    set_known("127.0.0.2");
    assert_int_equal(resolver_begin(resolver, RESOLVER_FRESH_US), RESOLVER_READY);
    check_entries(resolver, "-db.example:1 db.example:1:127.0.0.1");
    assert_int_equal(settle(resolver, RESOLVER_FRESH_US), RESOLVER_READY);
    check_entries(resolver, "-db.example:1 db.example:1:127.0.0.2");
    assert_int_equal(count_calls(), 2);

    set_known(NULL);
    assert_int_equal(resolver_begin(resolver, 2 * RESOLVER_FRESH_US), RESOLVER_READY);
    assert_int_equal(settle(resolver, 2 * RESOLVER_FRESH_US), RESOLVER_READY);
    assert_int_equal(resolver_begin(resolver, 3 * RESOLVER_FRESH_US - 1), RESOLVER_READY);
    assert_int_equal(count_calls(), 3);
}

static void test_forgotten(void **state)
{
    (void)state;
    g_autoptr(Resolver) resolver = resolver_new("db.example", 1, look_up);
    resolver_begin(resolver, 0);
    settle(resolver, 0);
    resolver_forget(resolver);
    assert_int_equal(resolver_begin(resolver, 1), RESOLVER_WAITS);
    assert_int_equal(settle(resolver, 1), RESOLVER_READY);
    assert_int_equal(count_calls(), 2);
}

/* An old failure is nobody's answer: it is tried again. */
static void test_not_found(void **state)
{
    (void)state;
    known = NULL;
    g_autoptr(Resolver) resolver = resolver_new("db.example", 1, look_up);
    for (guint i = 1; i <= 3; i++) {
        assert_int_equal(resolver_begin(resolver, i), RESOLVER_WAITS);
        assert_int_equal(settle(resolver, i), RESOLVER_FAILED);
        assert_string_equal(resolver_problem(resolver), "nobody knows it");
        assert_int_equal(count_calls(), i);
    }
}

/* One that hangs is the only one of its resolver; freed, nobody waits for it. */
static void test_hangs(void **state)
{
    (void)state;
    Resolver *resolver = resolver_new("db.example", 1, hang);
    for (guint i = 0; i < 20; i++) {
        assert_int_equal(resolver_begin(resolver, i * RESOLVER_FRESH_US), RESOLVER_WAITS);
        assert_int_equal(resolver_check(resolver, i), RESOLVER_WAITS);
    }
    wait_for_running(1);
    assert_int_equal(count_calls(), 1);
    resolver_free(resolver);
    wait_for_running(1);
}

/* However many sinks come and go while nobody answers. */
static void test_threads_are_bounded(void **state)
{
    (void)state;
    for (guint i = 0; i < RESOLVER_THREADS_MAX; i++) {
        Resolver *resolver = resolver_new("db.example", 1, hang);
        assert_int_equal(resolver_begin(resolver, 0), RESOLVER_WAITS);
        resolver_free(resolver);
    }
    g_autoptr(Resolver) more = resolver_new("db.example", 1, look_up);
    assert_int_equal(resolver_begin(more, 0), RESOLVER_FAILED);
    assert_string_equal(resolver_problem(more), "too many look-ups hang already");
    release_all();
    const gint64 until = g_get_monotonic_time() + PATIENCE_US;
    while (resolver_begin(more, 0) == RESOLVER_FAILED && g_get_monotonic_time() < until)
        g_usleep(1000);
    assert_int_equal(settle(more, 0), RESOLVER_READY);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1", "::1", "2001:db8::1", "127.1", "10.0.0.255"};
    static const char *const names[] = {"localhost", "a", "db.example", "1.example", "no-such-host.invalid", ""};
    for (gsize i = 0; i < G_N_ELEMENTS(addresses); i++)
        assert_true(resolver_is_address(addresses[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        assert_false(resolver_is_address(names[i]));
}

static void test_system(void **state)
{
    (void)state;
    g_autofree char *problem = NULL, *no_problem = NULL;
    g_autofree char *found = resolver_system("localhost", &no_problem);
    g_autofree char *not_found = resolver_system("no-such-host.invalid", &problem);
    assert_non_null(found);
    assert_null(no_problem);
    assert_true(strstr(found, "127.0.0.1") || strstr(found, "[::1]"));
    assert_null(not_found);
    assert_non_null(problem);
}

/* --- sinks --- */

static SinkPool *new_pool(ResolverLookup lookup)
{
    SinkPool *pool = sink_pool_new();
    sink_pool_set_lookup(pool, lookup);
    return pool;
}

/* Its URL by name. */
static char *named_url(const CannedServer *server)
{
    return g_strconcat(NAME, strrchr(canned_server_url(server), ':'), NULL);
}

/* The first of the addresses leads nowhere. */
static void test_several_addresses(void **state)
{
    (void)state;
    static const char *const lists[] = {"127.0.0.1", "127.0.0.9,127.0.0.1", "[::1],127.0.0.1", "127.0.0.1,[::1]"};
    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
        SERVER(server, {OK_204, 0, THEN_KEEP, false});
        g_autofree char *url = named_url(server);
        const SinkSettings settings = plain_settings(SINK_INFLUXDB1, url);
        set_known(lists[i]);
        g_autoptr(SinkPool) pool = new_pool(look_up);
        g_autoptr(Sink) sink = new_sink(pool, &settings);
        g_autoptr(SinkReply) reply = ask(pool, sink, "m f=1i 1\n");
        CHECK(reply->status == 204, "%s: %s", lists[i], reply->problem);
        g_autofree char *host = g_strdup_printf("\r\nHost: %s\r\n", url + strlen("http://"));
        assert_non_null(strstr(canned_server_request(server, 0)->str, host));
    }
}

/* A server that has moved is found at its new place; what is right is not asked again. */
static void test_server_moves(void **state)
{
    (void)state;
    SERVER(server, {OK_204, 0, THEN_KEEP, false});
    g_autofree char *url = named_url(server);
    const SinkSettings settings = plain_settings(SINK_INFLUXDB1, url);
    known = "127.0.0.9";
    g_autoptr(SinkPool) pool = new_pool(look_up);
    g_autoptr(Sink) sink = new_sink(pool, &settings);
    g_autoptr(SinkReply) nobody = ask(pool, sink, "m f=1i 1\n");
    g_autofree char *want = g_strdup_printf("cannot connect to %s: Connection refused", url + strlen("http://"));
    CHECK_TEXT(nobody->problem, want, "problem");
    set_known("127.0.0.1");
    for (guint i = 0; i < 5; i++) {
        g_autoptr(SinkReply) reply = ask(pool, sink, "m f=1i 1\n");
        CHECK(reply->status == 204, "%s", reply->problem);
    }
    assert_int_equal(count_calls(), 2);
}

static void check_failure(Sink *sink, SinkPool *pool, const char *problem)
{
    g_autoptr(SinkReply) reply = ask(pool, sink, "m f=1i 1\n");
    assert_int_equal(reply->transport, TRANSPORT_UNREACHABLE);
    CHECK_TEXT(reply->problem, problem, "problem");
}

static void test_unknown_names(void **state)
{
    (void)state;
    known = NULL;
    SinkSettings settings = plain_settings(SINK_INFLUXDB1, NAME ":8086/x");
    g_autoptr(SinkPool) pool = new_pool(look_up);
    g_autoptr(Sink) sink = new_sink(pool, &settings);
    check_failure(sink, pool, "cannot find the host of db.example:8086: nobody knows it");
    check_failure(sink, pool, "cannot find the host of db.example:8086: nobody knows it");

    SinkSettings by_proxy = plain_settings(SINK_INFLUXDB1, "http://192.0.2.1:8086");
    by_proxy.proxy = (char *)(guintptr)NAME;
    g_autoptr(Sink) proxied = new_sink(pool, &by_proxy);
    check_failure(proxied, pool, "cannot find the host of proxy db.example: nobody knows it");
}

/* It is the proxy's name that is looked up. */
static void test_proxy(void **state)
{
    (void)state;
    SERVER(proxy, {OK_204, 0, THEN_KEEP, false});
    g_autofree char *url = named_url(proxy);
    SinkSettings settings = plain_settings(SINK_INFLUXDB1, "http://elsewhere.invalid:8086");
    settings.proxy = url;
    g_autoptr(SinkPool) pool = new_pool(look_up);
    g_autoptr(Sink) sink = new_sink(pool, &settings);
    g_autoptr(SinkReply) reply = ask(pool, sink, "m f=1i 1\n");
    CHECK(reply->status == 204, "%s", reply->problem);
    assert_true(g_str_has_prefix(canned_server_request(proxy, 0)->str, "POST http://elsewhere.invalid:8086/write?"));
    assert_int_equal(count_calls(), 1);
}

/* The other's replies come meanwhile, and nothing turns in circles. */
static void test_one_name_hangs(void **state)
{
    (void)state;
    SERVER(well, {OK_204, 0, THEN_KEEP, false});
    g_autofree char *url = named_url(well);
    const SinkSettings lost_settings = plain_settings(SINK_INFLUXDB1, "http://lost.example:8086"),
                       well_settings = plain_settings(SINK_INFLUXDB1, url);
    g_autoptr(SinkPool) pool = new_pool(hang_or_look_up);
    Sink *lost = new_sink(pool, &lost_settings);
    g_autoptr(Sink) well_sink = new_sink(pool, &well_settings);
    sink_send(lost, "m f=1i 1\n", 9, false);
    for (guint i = 0; i < 20; i++) {
        g_autoptr(SinkReply) reply = ask(pool, well_sink, "m f=1i 1\n");
        assert_int_equal(reply->status, 204);
        assert_true(sink_is_busy(lost));
    }
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    sink_pool_run(pool, -1, g_get_monotonic_time() + G_USEC_PER_SEC);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 < 300);

    sink_free(lost); /* in the middle of it */
    g_autoptr(SinkReply) reply = ask(pool, well_sink, "m f=1i 1\n");
    assert_int_equal(reply->status, 204);
}

/* Waited for as long as for a connection, time and again, by one thread; found at last, the request goes out. */
static void test_times_out(void **state)
{
    (void)state;
    SERVER(server, {OK_204, 0, THEN_KEEP, false});
    g_autofree char *url = named_url(server);
    g_autofree char *want =
        g_strdup_printf("cannot find the host of %s: no name server has answered in time", url + strlen("http://"));
    SinkSettings settings = plain_settings(SINK_INFLUXDB1, url);
    settings.connect_timeout_ms = SHORT_MS;
    g_autoptr(SinkPool) pool = new_pool(hang);
    g_autoptr(Sink) sink = new_sink(pool, &settings);
    for (guint i = 0; i < 3; i++) {
        const gint64 begin = g_get_monotonic_time();
        check_failure(sink, pool, want);
        assert_true(g_get_monotonic_time() - begin >= SHORT_MS * 1000);
    }
    assert_int_equal(count_calls(), 1);

    settings.connect_timeout_ms = 10000;
    sink_send(sink, "m f=1i 1\n", 9, false);
    release_all();
    g_autoptr(SinkReply) reply = await(pool, sink);
    CHECK(reply->status == 204, "%s", reply->problem);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_found),
        TEST(test_dot_at_the_end),
        TEST(test_kept_for_a_while),
        TEST(test_forgotten),
        TEST(test_not_found),
        TEST(test_hangs),
        TEST(test_threads_are_bounded),
        TEST(test_addresses),
        TEST(test_system),
        TEST(test_several_addresses),
        TEST(test_server_moves),
        TEST(test_unknown_names),
        TEST(test_proxy),
        TEST(test_one_name_hangs),
        TEST(test_times_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
