/* SPDX-License-Identifier: Apache-2.0
 * The server with TLS, asked by the curl command's library. */
#include "fake_routes.h"
#include "gather_helpers.h"
#include "http_client.h"

#include <curl/curl.h>
#include <string.h>
#include <unistd.h>

static void run_openssl(const char *dir, const char *arguments)
{
    g_autofree char *command = g_strdup_printf("openssl %s", arguments);
    g_auto(GStrv) words = NULL;
    g_autoptr(GError) error = NULL;
    int status = 0;
    assert_true(g_shell_parse_argv(command, NULL, &words, NULL));
    if (!g_spawn_sync(dir, words, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL, NULL,
                      &status, &error))
        fail_msg("%s", error->message);
    CHECK(status == 0, "%s", command);
}

static char *read_file(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

typedef struct {
    Fake *fake;
    char *dir, *cert, *key;
} Setting;

static int set_up(void **state)
{
    Setting *setting = g_new0(Setting, 1);
    setting->dir = make_temporary_dir();
    run_openssl(setting->dir, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout k.key -out "
                              "k.pem -subj /CN=localhost -days 2 -addext subjectAltName=IP:127.0.0.1");
    setting->cert = read_file(setting->dir, "k.pem");
    setting->key = read_file(setting->dir, "k.key");
    setting->fake = fake_new();
    setting->fake->options.cert = setting->cert;
    setting->fake->options.key = setting->key;
    *state = setting;
    return 0;
}

static int tear_down(void **state)
{
    Setting *setting = *state;
    fake_free(setting->fake);
    remove_tree(setting->dir);
    g_free(setting->dir);
    g_free(setting->cert);
    g_free(setting->key);
    g_free(setting);
    return 0;
}

static size_t take(char *data, size_t size, size_t n, void *to)
{
    g_string_append_len(to, data, (gssize)(size * n));
    return size * n;
}

/* The status; 0: no connection, or it broke. */
static long ask(const Setting *setting, const char *path, const char *body, GString *answer, long version)
{
    CURL *curl = curl_easy_init();
    g_autofree char *url = g_strdup_printf("https://127.0.0.1:%u%s", setting->fake->port, path);
    g_autofree char *authority = g_build_filename(setting->dir, "k.pem", NULL);
    struct curl_slist *headers = curl_slist_append(NULL, "Authorization: Bearer writer");
    long status = 0;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CAINFO, authority);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)HTTP_PATIENCE_S);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, version);
    if (body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return status;
}

static void test_requests(void **state)
{
    Setting *setting = *state;
    setting->fake->size = 700000;
    fake_start(setting->fake);
    g_autoptr(GString) answer = g_string_new(NULL), none = g_string_new(NULL);
    assert_int_equal(ask(setting, "/api/telemetry/vm-telemetry", NULL, answer, CURL_SSLVERSION_TLSv1_2), 200);
    assert_true(answer->len > 700000);
    assert_int_equal(ask(setting, "/api/telemetry/events", NULL, none, CURL_SSLVERSION_TLSv1_3), 200);
    assert_int_equal(ask(setting, "/write", "m x=1", none, CURL_SSLVERSION_DEFAULT), 204);
    assert_string_equal(setting->fake->last_body, "m x=1");
    assert_int_equal(ask(setting, "/healthz", NULL, none, CURL_SSLVERSION_TLSv1_0 | CURL_SSLVERSION_MAX_TLSv1_1), 0);
}

/* Whoever is still writing when the connection ends never reads why it did. */
static void test_refusals_of_bodies(void **state)
{
    Setting *setting = *state;
    fake_start(setting->fake);
    g_autoptr(GString) none = g_string_new(NULL);
    g_autofree char *large = g_strnfill(100000, 'x'); /* more than max_body, less than twice as much */
    for (guint i = 0; i < 50; i++) {
        assert_int_equal(ask(setting, "/write", large, none, CURL_SSLVERSION_DEFAULT), 413);
        assert_int_equal(ask(setting, "/api/nothing", large, none, CURL_SSLVERSION_DEFAULT), 404);
    }
    assert_int_equal(g_atomic_int_get(&setting->fake->writes), 0);
    assert_int_equal(ask(setting, "/write", "m x=1", none, CURL_SSLVERSION_DEFAULT), 204);
}

/* Plain HTTP, garbage, and nobody's handshake. */
static void test_no_tls(void **state)
{
    Setting *setting = *state;
    setting->fake->options.request_ms = 100;
    fake_start(setting->fake);
    static const char *const words[] = {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01", ""};
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        int fd = http_connect(setting->fake->port);
        http_send_text(fd, "%s", words[i]);
        g_autofree char *rest = http_read_until(fd, "never comes");
        CHECK(!g_str_has_prefix(rest, "HTTP/"), "%s", rest);
        close(fd);
    }
}

/* Before a server is started with them. */
static void test_what_is_no_certificate(void **state)
{
    Setting *setting = *state;
    run_openssl(setting->dir, "ecparam -name prime256v1 -genkey -noout -out other.key");
    g_autofree char *other = read_file(setting->dir, "other.key");
    const struct {
        const char *cert, *key;
        bool good;
    } rows[] = {
        {setting->cert, setting->key, true}, {setting->cert, other, false},        {"garbage", setting->key, false},
        {setting->cert, "garbage", false},   {setting->key, setting->cert, false}, {"", "", false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        CHECK(server_check_tls(rows[i].cert, rows[i].key, &error) == rows[i].good, "row %u", i);
        CHECK((error == NULL) == rows[i].good, "row %u", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals_of_bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_tls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_certificate, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
