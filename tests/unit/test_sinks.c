/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "deliver/sink_url.h"
#include "deliver/sinks.h"

#include <string.h>

/* The sinks of a file that must parse. */
static GPtrArray *read_sinks(const char *text, GError **error)
{
    g_autoptr(Config) config = config_new();
    g_autoptr(GError) reason = NULL;
    if (!config_parse(config, text, strlen(text), "/etc/one/t.conf", &reason))
        fail_msg("%s", reason->message);
    return sinks_from_config(config, error);
}

static void test_none(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) sinks = read_sinks("[probe]\nworkers = 3\n", NULL);
    assert_non_null(sinks);
    assert_int_equal(sinks->len, 0);
}

static void test_every_option_has_its_place(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) sinks =
        read_sinks("[sink old]\nurl = https://h\ndatabase = d\nretention_policy = r\nuser = u\n"
                   "password_file = secrets/p\nca_file = ca\ncert_file = cert\nkey_file = /k\n"
                   "verify = no\nproxy = http://proxy:3128/\nconnect_timeout = 0.25\n"
                   "timeout = 1.5\ngzip = no\nlines = 7\nmax_size = 64K\nmax_age = 1h\n"
                   "[sink new]\ntype = influxdb2\nurl = http://n/\norg = o\nbucket = b\n"
                   "token_file = t\n",
                   NULL);
    assert_int_equal(sinks->len, 2);
    const SinkSettings *old = g_ptr_array_index(sinks, 0), *new = g_ptr_array_index(sinks, 1);
    assert_string_equal(old->name, "old");
    assert_int_equal(old->type, SINK_INFLUXDB1);
    assert_string_equal(old->url, "https://h");
    assert_string_equal(old->database, "d");
    assert_string_equal(old->retention_policy, "r");
    assert_string_equal(old->user, "u");
    assert_string_equal(old->password_file, "/etc/one/secrets/p");
    assert_string_equal(old->ca_file, "/etc/one/ca");
    assert_string_equal(old->cert_file, "/etc/one/cert");
    assert_string_equal(old->key_file, "/k");
    assert_false(old->verify);
    assert_string_equal(old->proxy, "http://proxy:3128");
    assert_int_equal(old->connect_timeout_ms, 250);
    assert_int_equal(old->timeout_ms, 1500);
    assert_false(old->gzip);
    assert_int_equal(old->lines, 7);
    assert_int_equal(old->limits.max_bytes, 65536);
    assert_int_equal(old->limits.max_age_s, 3600);
    assert_string_equal(old->token_file, "");
    assert_string_equal(old->org, "");
    assert_string_equal(old->bucket, "");

    assert_string_equal(new->name, "new");
    assert_int_equal(new->type, SINK_INFLUXDB2);
    assert_string_equal(new->url, "http://n");
    assert_string_equal(new->org, "o");
    assert_string_equal(new->bucket, "b");
    assert_string_equal(new->token_file, "/etc/one/t");
    assert_string_equal(new->user, "");
    assert_string_equal(new->proxy, "");
    assert_true(new->verify);
    assert_true(new->gzip);
    assert_int_equal(new->connect_timeout_ms, 5000);
    assert_int_equal(new->timeout_ms, 30000);
    assert_int_equal(new->lines, 5000);
    assert_int_equal(new->limits.max_bytes, 512 << 20);
    assert_int_equal(new->limits.max_age_s, 7 * 24 * 60 * 60);
}

/* One that is switched off is not there, whatever it lacks; the others are in the file's order. */
static void test_disabled_sinks(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) sinks = read_sinks("[sink z]\nurl = http://z\ntype = telemetryd\n[sink off]\nenabled = no\n"
                                            "[sink a]\nurl = http://a\ntype = telemetryd\n",
                                            NULL);
    assert_int_equal(sinks->len, 2);
    assert_string_equal(((const SinkSettings *)g_ptr_array_index(sinks, 0))->name, "z");
    assert_string_equal(((const SinkSettings *)g_ptr_array_index(sinks, 1))->name, "a");
}

static void test_type_names(void **state)
{
    (void)state;
    g_auto(GStrv) words = g_strsplit(option_info[CONFIG_sink_type].words, "|", -1);
    assert_int_equal(g_strv_length(words), SINK_TELEMETRYD + 1);
    for (guint type = 0; words[type]; type++)
        assert_string_equal(sink_type_name((SinkType)type), words[type]);
}

/* --- what goes together --- */

#define V1 "type = influxdb1\nurl = http://h\ndatabase = d\n"
#define V2 "type = influxdb2\nurl = http://h\nbucket = b\norg = o\n"
#define V3 "type = influxdb3\nurl = http://h\ndatabase = d\n"
#define VM "type = victoriametrics\nurl = http://h\n"
#define TD "type = telemetryd\nurl = http://h\n"
#define TLS "type = telemetryd\nurl = https://h\n"

static void test_right_together(void **state)
{
    (void)state;
    static const char *const right[] = {
        V1,
        V1 "user = u\npassword_file = p\n",
        V1 "org = o\nbucket = b\n",
        V2 "token_file = t\n",
        V2 "token_file = t\ndatabase = d\n",
        V3,
        V3 "token_file = t\n",
        V3 "user = u\npassword_file = p\n",
        VM,
        VM "database = d\n",
        VM "token_file = t\n",
        VM "user = u\npassword_file = p\n",
        TD,
        TD "database = d\n",
        TD "token_file = t\n",
        TD "verify = no\n",
        TLS "ca_file = ca\n",
        TLS "ca_file = ca\nverify = no\n",
        TLS "cert_file = c\nkey_file = k\n",
        TLS "proxy = http://p:3128\n",
    };
    for (guint i = 0; i < G_N_ELEMENTS(right); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text = g_strconcat("[sink s]\n", right[i], NULL);
        g_autoptr(GPtrArray) sinks = read_sinks(text, &error);
        if (!sinks)
            fail_msg("%s in:\n%s", error->message, right[i]);
        assert_int_equal(sinks->len, 1);
    }
}

static const struct {
    const char *text, *message;
} wrong[] = {
    {"", "url: a sink needs one; set url = http://HOST:PORT"},
    {"url = h:8086\n", "url: expected http:// or https:// in front, as in http://HOST:PORT"},
    {"url = http://u:secret@h\n",
     "url: expected no user and no password in it; a sink's have options of their own, user and password_file"},
    {"url = http://h:8086/write\n", "url: expected it without the API's own path; take away what ends in /write"},
    {"url = http://h/api/v3/write_lp/\n", "url: expected it without the API's own path; take away what ends in /write"},
    {"url = http://h\n", "database: InfluxDB 1 needs one; set database = NAME"},
    {V3 "[sink x]\ntype = influxdb3\nurl = http://h\n", "database: InfluxDB 3 needs one; set database = NAME"},
    {"type = influxdb2\nurl = http://h\norg = o\ntoken_file = t\n", "bucket: InfluxDB 2 needs one; set bucket = NAME"},
    {"type = influxdb2\nurl = http://h\nbucket = b\ntoken_file = t\n", "org: InfluxDB 2 needs one; set org = NAME"},
    {V2, "token_file: InfluxDB 2 needs one; set token_file = FILE"},
    {V1 "token_file = t\n", "token_file: InfluxDB 1 takes none; set user and password_file instead, or another type"},
    {V2 "token_file = t\nuser = u\npassword_file = p\n",
     "token_file: does not go together with user and password_file; take away one or the other"},
    {V3 "token_file = t\nuser = u\n",
     "token_file: does not go together with user and password_file; take away one or the other"},
    {TD "token_file = t\npassword_file = p\n",
     "token_file: does not go together with user and password_file; take away one or the other"},
    {V1 "user = u\n", "password_file: user needs one; set password_file = FILE"},
    {V1 "password_file = p\n", "user: password_file needs one; set user = NAME"},
    {V1 "password_file = p\nuser = a:b\n", "user: expected a name without a colon, which ends it in a request"},
    {TD "ca_file = c\n", "ca_file: is of no use with http://; set url = https://… or take it away"},
    {TD "cert_file = c\nkey_file = k\n", "cert_file: is of no use with http://; set url = https://… or take it away"},
    {TD "key_file = k\n", "key_file: is of no use with http://; set url = https://… or take it away"},
    {TLS "cert_file = c\n", "key_file: cert_file needs one; set key_file = FILE"},
    {TLS "key_file = k\n", "cert_file: key_file needs one; set cert_file = FILE"},
    {TD "proxy = p:3128\n", "proxy: expected http:// or https:// in front, as in http://HOST:PORT"},
};

static void test_wrong_together(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        bool is_second = strstr(wrong[i].text, "[sink x]");
        g_autofree char *text = g_strconcat(is_second ? "[sink s]\n" : "[sink x]\n", wrong[i].text, NULL);
        g_autofree char *message = g_strconcat("[sink x] ", wrong[i].message, NULL);
        assert_null(read_sinks(text, &error));
        assert_non_null(error);
        assert_string_equal(error->message, message);
        assert_true(g_error_matches(error, CONFIG_ERROR, CONFIG_ERROR_VALUE));
        assert_null(read_sinks(text, NULL));
    }
}

/* --- URLs --- */

static const struct {
    const char *written, *trimmed; /* NULL: `problem` begins the message */
    const char *problem;
} urls[] = {
    {"http://h", "http://h", NULL},
    {"https://h", "https://h", NULL},
    {"http://h/", "http://h", NULL},
    {"http://h:8086///", "http://h:8086", NULL},
    {"http://influx-1.example_net.org:1", "http://influx-1.example_net.org:1", NULL},
    {"http://10.0.0.1:65535/a/b//", "http://10.0.0.1:65535/a/b", NULL},
    {"http://[::1]", "http://[::1]", NULL},
    {"http://[2001:db8::1]:8086/", "http://[2001:db8::1]:8086", NULL},
    {"http://h/a%20b/c@d:e~f", "http://h/a%20b/c@d:e~f", NULL},
    {"", NULL, "expected http://"},
    {"h", NULL, "expected http://"},
    {"http:/h", NULL, "expected http://"},
    {"ftp://h", NULL, "expected http://"},
    {" http://h", NULL, "expected http://"},
    {"http://", NULL, "expected a host"},
    {"http:///", NULL, "expected a host"},
    {"http://:80", NULL, "expected a host"},
    {"http://-h", NULL, "expected a host"},
    {"http://.h", NULL, "expected a host"},
    {"http://a b", NULL, "expected a host"},
    {"http://a\\b", NULL, "expected a host"},
    {"http://h\xc3\xa4", NULL, "expected a host"},
    {"http://::1", NULL, "expected a host"},
    {"http://[::1", NULL, "expected a host"},
    {"http://[]", NULL, "expected a host"},
    {"http://[::1]x", NULL, "expected a host"},
    {"http://[h]", NULL, "expected a host"},
    {"http://[1.2.3.4]", NULL, "expected a host"},
    {"http://[::1/]", NULL, "expected a host"},
    {"http://[1111111111111111111111111111111111111111111111111111111111]", NULL, "expected a host"},
    {"http://u@h", NULL, "expected no user"},
    {"http://u:p@h:80/", NULL, "expected no user"},
    {"http://@h", NULL, "expected no user"},
    {"http://h:", NULL, "expected a port"},
    {"http://h:/", NULL, "expected a port"},
    {"http://h:0", NULL, "expected a port"},
    {"http://h:65536", NULL, "expected a port"},
    {"http://h:+80", NULL, "expected a port"},
    {"http://h: 80", NULL, "expected a port"},
    {"http://h:\v80", NULL, "expected a port"},
    {"http://h:80a", NULL, "expected a port"},
    {"http://h:80:80", NULL, "expected a port"},
    {"http://h:99999999999999999999", NULL, "expected a port"},
    {"http://h?db=x", NULL, "expected no ?"},
    {"http://h/?u=u&p=p", NULL, "expected no ?"},
    {"http://h/#x", NULL, "expected no ?"},
    {"http://h/a b", NULL, "expected a path"},
    {"http://h/a\nb", NULL, "expected a path"},
    {"http://h/a\\b", NULL, "expected a path"},
    {"http://h/%", NULL, "expected a path"},
    {"http://h/%2", NULL, "expected a path"},
    {"http://h/%2g", NULL, "expected a path"},
    {"http://h/\xc3\xa4", NULL, "expected a path"},
};

static void test_urls(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(urls); i++) {
        g_autofree char *url = g_strdup(urls[i].written);
        const char *problem = sink_url_trim(url);
        if (urls[i].trimmed) {
            if (problem)
                fail_msg("%s: %s", url, problem);
            assert_string_equal(url, urls[i].trimmed);
        } else if (!problem || !g_str_has_prefix(problem, urls[i].problem)) {
            fail_msg("%s: %s", url, problem ? problem : "taken");
        }
    }
}

static void test_long_urls(void **state)
{
    (void)state;
    g_autofree char *host = g_strnfill(253, 'h'), *path = g_strnfill(SINK_URL_MAX - 9, 'p');
    g_autofree char *longest_host = g_strconcat("http://", host, NULL),
                    *long_host = g_strconcat("http://h", host, NULL);
    g_autofree char *longest = g_strconcat("http://h/", path, NULL), *too_long = g_strconcat("http://hh/", path, NULL);
    assert_null(sink_url_trim(longest_host));
    assert_non_null(sink_url_trim(long_host));
    assert_null(sink_url_trim(longest));
    assert_string_equal(sink_url_trim(too_long), "expected at most 2000 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),           cmocka_unit_test(test_every_option_has_its_place),
        cmocka_unit_test(test_disabled_sinks), cmocka_unit_test(test_type_names),
        cmocka_unit_test(test_right_together), cmocka_unit_test(test_wrong_together),
        cmocka_unit_test(test_urls),           cmocka_unit_test(test_long_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
