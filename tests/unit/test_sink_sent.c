/* SPDX-License-Identifier: Apache-2.0
 * What a server gets from a sink, and who it says it is. */
#include "test_sink.h"

#include <glib/gstdio.h>
#include <unistd.h>

/* --- what the server gets --- */

static bool has_line(const GString *request, const char *line)
{
    const char *end = strstr(request->str, "\r\n\r\n");
    g_autofree char *head = g_strndup(request->str, (gsize)(end - request->str));
    g_auto(GStrv) lines = g_strsplit(head, "\r\n", -1);
    return g_strv_contains((const char *const *)lines, line);
}

static bool has_header(const GString *request, const char *name)
{
    const char *end = strstr(request->str, "\r\n\r\n");
    g_autofree char *head = g_strndup(request->str, (gsize)(end - request->str));
    g_autofree char *start = g_strdup_printf("\r\n%s:", name);
    return strstr(head, start) != NULL;
}

static void test_request(void **state)
{
    (void)state;
    SERVER(server, {OK_204, 0, THEN_KEEP, false});
    SinkSettings settings = plain_settings(SINK_INFLUXDB1, canned_server_url(server));
    g_autofree char *database = g_strdup("o n e");
    settings.database = database;
    g_autoptr(SinkPool) pool = sink_pool_new();
    g_autoptr(Sink) sink = new_sink(pool, &settings);
    g_autoptr(SinkReply) reply = ask(pool, sink, "m f=1i 1\n");
    const GString *request = canned_server_request(server, 0);
    assert_non_null(request);
    assert_true(has_line(request, "POST /write?db=o%20n%20e&precision=ns HTTP/1.1"));
    assert_true(has_line(request, "User-Agent: one-telemetry/" ONE_TELEMETRY_VERSION));
    assert_true(has_line(request, "Content-Type: text/plain; charset=utf-8"));
    assert_true(has_line(request, "Content-Length: 9"));
    assert_false(has_header(request, "Content-Encoding"));
    assert_false(has_header(request, "Transfer-Encoding"));
    assert_false(has_header(request, "Expect"));
    assert_false(has_header(request, "Authorization"));
    check_body(request, "m f=1i 1\n", 9);
}

/* What the lines have come through is said of each request anew, beside what else its headers say. */
static void test_via(void **state)
{
    (void)state;
    SERVER(server, {OK_204, 0, THEN_KEEP, false});
    const SinkSettings settings = plain_settings(SINK_TELEMETRYD, canned_server_url(server));
    g_autoptr(SinkPool) pool = sink_pool_new();
    g_autoptr(Sink) sink = new_sink(pool, &settings);
    static const char *const lists[] = {NULL, "0000000a.0000000b", "0000000c", "0000000c", NULL};
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++) {
        sink_set_via(sink, lists[i]);
        g_autoptr(SinkReply) reply = ask(pool, sink, "m f=1i 1\n");
        const GString *request = canned_server_request(server, i);
        g_autofree char *line = g_strdup_printf("X-One-Telemetry-Via: %s", lists[i] ? lists[i] : "");
        assert_int_equal(has_header(request, "X-One-Telemetry-Via"), lists[i] != NULL);
        assert_int_equal(has_line(request, line), lists[i] != NULL);
        assert_true(has_line(request, "Content-Type: text/plain; charset=utf-8"));
    }
    assert_int_equal(canned_server_connections(server), 1);
}

/* What is sent is what was given: noise, NULs, sizes around those of buffers; and the header says which it is. */
static void test_bodies(void **state)
{
    (void)state;
    static const gsize sizes[] = {0, 1, 1023, 1024, 1025, 16384, 65536, 65537, 1048577, 5000000};
    SERVER(server, {OK_204, 0, THEN_KEEP, false});
    const SinkSettings settings = plain_settings(SINK_INFLUXDB2, canned_server_url(server));
    g_autoptr(SinkPool) pool = sink_pool_new();
    g_autoptr(Sink) sink = new_sink(pool, &settings);
    GRand *random = g_rand_new_with_seed(3);
    for (guint i = 0; i < 2 * G_N_ELEMENTS(sizes); i++) {
        gsize size = sizes[i / 2];
        g_autofree char *body = g_malloc(size + 1);
        for (gsize j = 0; j < size; j++)
            body[j] = (char)g_rand_int(random);
        sink_send(sink, body, size, i % 2);
        g_autoptr(SinkReply) reply = await(pool, sink);
        assert_int_equal(reply->transport, TRANSPORT_DONE);
        assert_int_equal(reply->status, 204);
        const GString *request = canned_server_request(server, i);
        check_body(request, body, size);
        assert_int_equal(has_line(request, "Content-Encoding: gzip"), i % 2);
        assert_false(has_header(request, "Expect"));
    }
    g_rand_free(random);
    assert_int_equal(canned_server_connections(server), 1);
}

/* --- who we are --- */

typedef struct {
    char *dir, *token_file, *password_file;
} Secrets;

#define TOKEN "tok3n-of=gold"
#define PASSWORD "pass:word \xc3\xa4"

static Secrets make_secrets(void)
{
    Secrets secrets = {.dir = make_temporary_dir()};
    secrets.token_file = g_build_filename(secrets.dir, "token", NULL);
    secrets.password_file = g_build_filename(secrets.dir, "password", NULL);
    assert_true(g_file_set_contents(secrets.token_file, TOKEN "\n", -1, NULL));
    assert_true(g_file_set_contents(secrets.password_file, PASSWORD, -1, NULL));
    assert_int_equal(g_chmod(secrets.token_file, 0600), 0);
    assert_int_equal(g_chmod(secrets.password_file, 0600), 0);
    return secrets;
}

static void remove_secrets(Secrets *secrets)
{
    remove_tree(secrets->dir);
    g_free(secrets->dir);
    g_free(secrets->token_file);
    g_free(secrets->password_file);
}

static char *basic_line(const char *pair)
{
    g_autofree char *encoded = g_base64_encode((const guchar *)pair, strlen(pair));
    return g_strconcat("Authorization: Basic ", encoded, NULL);
}

static void test_authorization(void **state)
{
    (void)state;
    g_autofree char *with_password = basic_line("ann:" PASSWORD), *without = basic_line("ann:"),
                    *user = g_strdup("ann");
    const struct {
        const char *label;
        SinkType type;
        bool user, password, token;
        const char *want;
    } rows[] = {
        {"v1", SINK_INFLUXDB1, true, true, false, with_password},
        {"v1, no password", SINK_INFLUXDB1, true, false, false, without},
        {"v1, token", SINK_INFLUXDB1, false, false, true, "Authorization: Bearer " TOKEN},
        {"v2", SINK_INFLUXDB2, false, false, true, "Authorization: Token " TOKEN},
        {"v3", SINK_INFLUXDB3, false, false, true, "Authorization: Bearer " TOKEN},
        {"VictoriaMetrics", SINK_VICTORIAMETRICS, true, true, false, with_password},
        {"VictoriaMetrics, token", SINK_VICTORIAMETRICS, false, false, true, "Authorization: Bearer " TOKEN},
        {"telemetryd", SINK_TELEMETRYD, false, false, true, "Authorization: Bearer " TOKEN},
        {"a token before a user", SINK_TELEMETRYD, true, true, true, "Authorization: Bearer " TOKEN},
        {"nobody", SINK_INFLUXDB3, false, false, false, NULL},
    };
    Secrets secrets = make_secrets();
    SERVER(server, {OK_204, 0, THEN_KEEP, false});
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        SinkSettings settings = plain_settings(rows[i].type, canned_server_url(server));
        settings.user = rows[i].user ? user : settings.user;
        settings.password_file = rows[i].password ? secrets.password_file : settings.password_file;
        settings.token_file = rows[i].token ? secrets.token_file : settings.token_file;
        g_autoptr(SinkReply) reply = ask_once(&settings);
        const GString *request = canned_server_request(server, i);
        CHECK(request && (rows[i].want ? has_line(request, rows[i].want) : !has_header(request, "Authorization")),
              "%s: %s", rows[i].label, request ? request->str : "no request");
    }
    remove_secrets(&secrets);
}

/* A server that shows us what we sent, as proxies do on their error pages. */
static void check_mask(SinkSettings settings, const char *secret)
{
    g_autofree char *bytes = g_strdup_printf("HTTP/1.1 401 X\r\nX-Influxdb-Error: <%s>\r\nRetry-After: %s\r\n"
                                             "Content-Length: %zu\r\n\r\nno %s, sir %s",
                                             secret, secret, 2 * strlen(secret) + 9, secret, secret);
    const Canned answers[] = {{bytes, 0, THEN_KEEP, false}};
    g_autoptr(CannedServer) server = canned_server_new(answers, 1);
    g_autofree char *url = g_strdup(canned_server_url(server));
    settings.url = url;
    g_autoptr(SinkReply) reply = ask_once(&settings);
    assert_int_equal(reply->transport, TRANSPORT_DONE);
    assert_non_null(strstr(reply->body->str, "no ***"));
    const char *const texts[] = {reply->body->str, reply->influx_error, reply->retry_after};
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        CHECK(!strstr(texts[i], secret), "%s", texts[i]);
}

static void test_secrets_are_masked(void **state)
{
    (void)state;
    Secrets secrets = make_secrets();
    g_autofree char *user = g_strdup("ann"), *basic = basic_line("ann:" PASSWORD);
    SinkSettings token = plain_settings(SINK_INFLUXDB2, ""), password = plain_settings(SINK_INFLUXDB1, "");
    token.token_file = secrets.token_file;
    password.user = user;
    password.password_file = secrets.password_file;
    check_mask(token, TOKEN);
    check_mask(password, PASSWORD);
    check_mask(password, basic + strlen("Authorization: Basic "));
    remove_secrets(&secrets);
}

static void test_refused_secrets(void **state)
{
    (void)state;
    Secrets secrets = make_secrets();
    assert_int_equal(g_chmod(secrets.token_file, 0644), 0);
    g_autofree char *want = g_strdup_printf("[sink db] %s: others may read or change it (mode 0644): chmod 600 %s",
                                            secrets.token_file, secrets.token_file);
    for (guint as_key = 0; as_key < 2; as_key++) {
        g_autoptr(SinkPool) pool = sink_pool_new();
        g_autoptr(GError) error = NULL;
        SinkSettings settings = plain_settings(SINK_INFLUXDB2, "https://127.0.0.1:1");
        *(as_key ? &settings.key_file : &settings.token_file) = secrets.token_file;
        assert_null(sink_new(pool, &settings, &error));
        assert_true(g_error_matches(error, SINK_ERROR, SINK_ERROR_SECRET));
        assert_string_equal(error->message, want);
    }
    remove_secrets(&secrets);
}

/* --- proxies --- */

static void test_proxy_of_the_settings(void **state)
{
    (void)state;
    SERVER(proxy, {OK_204, 0, THEN_KEEP, false});
    SinkSettings settings = plain_settings(SINK_INFLUXDB1, "http://127.0.0.1:1");
    g_autofree char *url = g_strdup(canned_server_url(proxy));
    settings.proxy = url;
    g_setenv("no_proxy", "*", TRUE);
    g_autoptr(SinkReply) reply = ask_once(&settings);
    g_unsetenv("no_proxy");
    assert_int_equal(reply->transport, TRANSPORT_DONE);
    assert_true(has_line(canned_server_request(proxy, 0), "POST http://127.0.0.1:1/write?precision=ns HTTP/1.1"));
}

static void test_environment_does_not_count(void **state)
{
    (void)state;
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"};
    SERVER(proxy, {OK_204, 0, THEN_KEEP, false});
    SERVER(server, {OK_204, 0, THEN_KEEP, false});
    const SinkSettings settings = plain_settings(SINK_INFLUXDB1, canned_server_url(server));
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        g_setenv(names[i], canned_server_url(proxy), TRUE);
    g_autoptr(SinkReply) reply = ask_once(&settings);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        g_unsetenv(names[i]);
    assert_int_equal(reply->transport, TRANSPORT_DONE);
    assert_int_equal(canned_server_connections(proxy), 0);
    assert_int_equal(canned_server_requests(server), 1);
}

/* Its password stays between us; what it says to CONNECT is no answer. */
static void test_proxy_that_fails(void **state)
{
    (void)state;
    g_autofree char *gone = NULL;
    int fd = take_port(&gone);
    g_autofree char *proxy = g_strdup_printf("http://ann:sesame@%s", gone + strlen("http://"));
    SinkSettings settings = plain_settings(SINK_INFLUXDB1, "http://h.invalid:8086");
    settings.proxy = proxy;
    g_autoptr(SinkReply) reply = ask_once(&settings);
    assert_int_equal(reply->transport, TRANSPORT_UNREACHABLE);
    CHECK_TEXT(reply->problem, "cannot connect to h.invalid:8086 by way of the proxy: Connection refused", "problem");
    close(fd);

    SERVER(server, {"HTTP/1.1 200 Connected\r\n\r\n", 0, THEN_CLOSE, false});
    g_autofree char *tunnel = g_strdup(canned_server_url(server));
    settings.proxy = tunnel;
    settings.url = g_strdup("https://h.invalid:8086");
    g_autoptr(SinkReply) after_connect = ask_once(&settings);
    assert_int_not_equal(after_connect->transport, TRANSPORT_DONE);
    g_free(settings.url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_via),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_authorization),
        cmocka_unit_test(test_secrets_are_masked),
        cmocka_unit_test(test_refused_secrets),
        cmocka_unit_test(test_proxy_of_the_settings),
        cmocka_unit_test(test_environment_does_not_count),
        cmocka_unit_test(test_proxy_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
