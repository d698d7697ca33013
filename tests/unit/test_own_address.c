/* SPDX-License-Identifier: Apache-2.0 */
#include "test_sink.h"

#include "serve/own_address.h"

#include <string.h>

static void test_is(void **state)
{
    (void)state;
    static const struct {
        const char *host, *listen;
        bool want;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1", true},   {"localhost", "127.0.0.1", true},
        {"LocalHost", "::1", true},         {"0.0.0.0", "127.0.0.1", true},
        {"127.0.0.2", "127.0.0.1", false},  {"127.0.0.2", "0.0.0.0", true},
        {"127.0.0.1", "::", true},          {"::1", "::", true},
        {"0:0:0:0:0:0:0:1", "::1", true},   {"::1", "127.0.0.1", false},
        {"::ffff:127.0.0.1", "::", true},   {"192.0.2.1", "0.0.0.0", false},
        {"2001:db8::1", "::", false},       {"192.0.2.1", "192.0.2.1", true},
        {"localhost", "192.0.2.1", false},  {"db.example", "0.0.0.0", false},
        {"localhost.example", "::", false}, {"", "0.0.0.0", false},
        {"127.0.0.1", "192.0.2.1", false},  {"192.0.2.1", "no address at all", false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        CHECK(own_address_is(rows[i].host, rows[i].listen) == rows[i].want, "%s, listening on %s", rows[i].host,
              rows[i].listen);
    assert_true(own_address_is(g_get_host_name(), "0.0.0.0"));
    assert_false(own_address_is(g_get_host_name(), "127.0.0.1"));
}

static void test_sink(void **state)
{
    (void)state;
    static const struct {
        const char *url, *proxy;
        bool want;
    } rows[] = {
        {"http://localhost:4126", "", true},  {"https://[::1]:4126/some/path", "", true},
        {"http://localhost:4127", "", false}, {"http://localhost", "", false},
        {"http://192.0.2.1:4126", "", false}, {"http://localhost:4126", "http://proxy:3128", false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        SinkSettings other = plain_settings(SINK_INFLUXDB1, "http://192.0.2.1:4126");
        SinkSettings sink = plain_settings(SINK_TELEMETRYD, rows[i].url);
        sink.name = (char *)(guintptr) "here";
        sink.proxy = (char *)(guintptr)rows[i].proxy;
        g_autoptr(GPtrArray) sinks = g_ptr_array_new();
        g_ptr_array_add(sinks, &other);
        g_ptr_array_add(sinks, &sink);
        CHECK_TEXT(own_address_sink(sinks, "::", 4126), rows[i].want ? "here" : NULL, rows[i].url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_is), cmocka_unit_test(test_sink)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
