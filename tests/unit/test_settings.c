/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/own_address.h"
#include "serve/settings.h"

#include <glib/gstdio.h>
#include <string.h>

static void put_file(const char *dir, const char *name, const char *text, int mode)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(g_chmod(path, mode), 0);
}

static Settings *read_settings(const char *dir, const char *text, Config **ret_config, GError **error)
{
    g_autofree char *name = g_build_filename(dir, "t.conf", NULL);
    Config *config = config_new();
    GError *reason = NULL;
    if (!config_parse(config, text, strlen(text), name, &reason))
        fail_msg("%s", reason->message);
    *ret_config = config;
    return settings_new(config, error);
}

static const struct {
    const char *text, *error; /* part of it; NULL: it is right */
} rows[] = {
    {"", NULL},
    {"[server]\nlisten = 127.0.0.2\n", NULL},
    {"[server]\nlisten = ::1\n", NULL},
    {"[server]\nlisten = localhost\n", "expected an IPv4 or IPv6 address"},
    {"[server]\nlisten = 0.0.0.0\n", "read_token_file and write_token_file are needed"},
    {"[server]\nlisten = ::\n", "read_token_file and write_token_file are needed"},
    {"[server]\nlisten = 10.0.0.1\nread_token_file = read\n", "read_token_file and write_token_file are needed"},
    {"[server]\nlisten = 0.0.0.0\nallow_without_token = yes\n", NULL},
    {"[server]\nlisten = 0.0.0.0\nread_token_file = read\nwrite_token_file = write\n", NULL},
    {"[server]\nread_token_file = read\nwrite_token_file = same\n", "hold the same token"},
    {"[server]\nread_token_file = open\n", "[server] read_token_file"},
    {"[server]\nread_token_file = none\n", "[server] read_token_file"},
    {"[server]\nwrite_token_file = short\n", "[server] write_token_file: expected one line of at least 8"},
    {"[server]\nwrite_token_file = lines\n", "[server] write_token_file: expected one line"},
    {"[server]\ncert_file = read\n", "go together"},
    {"[server]\nkey_file = read\n", "go together"},
    {"[server]\ncert_file = read\nkey_file = open\n", "[server] key_file"},
    {"[server]\ncert_file = read\nkey_file = write\n", "expected a certificate in PEM format"},
    {"[collector]\nuris =\n", "[collector] uris"},
    {"[telemetry]\nstale_after = 1h\ngone_after = 1h\n", "gone_after has to be longer"},
    {"[telemetry]\nstale_after = 14s\n[collector]\nenabled = yes\ninterval = 5\n",
     "[telemetry] stale_after = 14s: expected at least three times the [collector] interval (5 s)"},
    {"[telemetry]\nstale_after = 15s\n[collector]\nenabled = yes\ninterval = 5\n", NULL},
    {"[telemetry]\nstale_after = 14s\n", "15s or more"}, /* it may be started at any time, every 5 s by default */
    {"[telemetry]\nstale_after = 15s\n", NULL},
    {"[collector]\ninterval = 30\n", NULL},
    {"[collector]\ninterval = 30.5\n",
     "(30.5 s), so that one collection that is late makes nothing stale: 92s or more"},
    {"[telemetry]\nstale_after = 3s\n[collector]\ninterval = 1\n", NULL},
    {"[history]\ninflux = db\n", "there is no [sink db]"},
    {"[sink db]\ntype = influxdb2\n[history]\ninflux = db\n",
     "[sink db] has type = influxdb2; expected the name of one"},
    {"[sink db]\ntype = victoriametrics\n[history]\ninflux = db\n", "[sink db] has type = victoriametrics"},
    {"[sink db]\ntype = telemetryd\n[history]\ninflux = db\n", "[sink db] has type = telemetryd"},
    {"[sink db]\nenabled = no\n[history]\ninflux = db\n", "[sink db] is not enabled"},
    {"[sink db]\ntype = influxdb3\n[history]\ninflux = db\n", NULL},
    {"[sink db]\ntype = influxdb1\nurl = http://127.0.0.1:8086\ndatabase = one\n[history]\ninflux = db\n", NULL},
};

static void what_is_refused(void **state)
{
    const char *dir = *state;
    put_file(dir, "read", "reading-token\n", 0600);
    put_file(dir, "write", "  writing-token\n", 0600);
    put_file(dir, "same", "reading-token", 0600);
    put_file(dir, "open", "reading-token\n", 0644);
    put_file(dir, "short", "seven77\n", 0600);
    put_file(dir, "lines", "reading-token\nanother-line\n", 0600);
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        Config *config;
        g_autoptr(GError) error = NULL;
        g_autoptr(Settings) settings = read_settings(dir, rows[i].text, &config, &error);
        CHECK((settings != NULL) == (rows[i].error == NULL), "%s: %s", rows[i].text, error ? error->message : "taken");
        CHECK(!rows[i].error || strstr(error->message, rows[i].error), "%s: %s", rows[i].text,
              error ? error->message : "");
        config_free(config);
    }
}

static void values(void **state)
{
    const char *dir = *state;
    Config *config;
    g_autoptr(GError) error = NULL;
    put_file(dir, "write", "  writing-token\n", 0600);
    g_autoptr(Settings) settings =
        read_settings(dir,
                      "[server]\nwrite_token_file = write\norigins = https://a  https://b\n"
                      "port = 4200\nrequest_timeout = 2.5\n"
                      "[collector]\nuris = qemu:///system  qemu+tls://h/system\ninterval = 1.5\n"
                      "[telemetry]\ndegrees_percent = 2.5\ndegrees_bytes = 2M\n"
                      "[history]\nkeep_raw = 1h\nmax_size = 1G\n",
                      &config, &error);
    assert_non_null(settings);
    CHECK_TEXT(settings->write_token, "writing-token", "token");
    assert_null(settings->read_token);
    assert_true(settings->server.port == 4200 && settings->server.request_ms == 2500);
    CHECK_TEXT(settings->origins[1], "https://b", "origin");
    CHECK_TEXT(settings->uris[1], "qemu+tls://h/system", "uri");
    assert_true(settings->collector.interval_ms == 1500);
    assert_true(settings->answers.degrees_percent == 2.5 && settings->answers.degrees_bytes == 2097152);
    assert_true(settings->history.keep_s[TIER_RAW] == 3600 && settings->history.max_bytes == 1 << 30);
    assert_true(g_str_has_suffix(settings->history_file, "/history.sqlite"));
    config_free(config);
}

static void when_the_server_starts_anew(void **state)
{
    const char *dir = *state;
    static const struct {
        const char *text;
        bool same;
    } others[] = {
        {"[server]\nport = 1\n[collector]\ninterval = 3\n[history]\nkeep_raw = 5h\n", true},
        {"[server]\nport = 2\n", false},
        {"[server]\nport = 1\norigins = https://x\n", false},
        {"[server]\nport = 1\nwrite_token_file = write\n", false},
        {"[server]\nport = 1\nidle_timeout = 3\n", false},
    };
    put_file(dir, "write", "writing-token\n", 0600);
    Config *config;
    g_autoptr(Settings) first = read_settings(dir, "[server]\nport = 1\n", &config, NULL);
    config_free(config);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autoptr(Settings) other = read_settings(dir, others[i].text, &config, NULL);
        CHECK(settings_same_server(first, other) == others[i].same, "%s", others[i].text);
        config_free(config);
    }
}

static void loopback(void **state)
{
    (void)state;
    assert_true(own_address_is_loopback("127.0.0.1") && own_address_is_loopback("127.255.0.1") &&
                own_address_is_loopback("::1") && own_address_is_loopback("::ffff:127.0.0.1"));
    assert_false(own_address_is_loopback("128.0.0.1") || own_address_is_loopback("0.0.0.0") ||
                 own_address_is_loopback("::") || own_address_is_loopback("localhost") || own_address_is_loopback(""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_directory, tear_down_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_refused),
        TEST(values),
        TEST(when_the_server_starts_anew),
        TEST(loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
