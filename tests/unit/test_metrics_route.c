/* SPDX-License-Identifier: Apache-2.0
 * /metrics: whose figures are in it and whose are not, and what the endpoint says of itself. The format of figures is
 * test_prometheus's, and promtool's in the integration tests. */
#include "encode/prometheus.h"
#include "gather_helpers.h"
#include "serve/routes.h"

#include <string.h>

#define NS_PER_S G_GINT64_CONSTANT(1000000000)
#define STALE_S 90

typedef struct {
    Service service;
    char *dir; /* of the history */
} Case;

static int set_up(void **state)
{
    static const StoreOptions options = {STALE_S * 1000, 3600000, 7200000, 100, 0};
    static const char *const no_uris[] = {NULL};
    static const CollectorOptions collecting = {.uris = no_uris, .host = "", .interval_ms = 1000, .workers = 1};
    Case *c = g_new0(Case, 1);
    g_rw_lock_init(&c->service.lock);
    c->service.store = store_new(&options);
    c->service.stream = stream_new();
    c->service.feed = feed_new(c->service.store, NULL, c->service.stream);
    c->service.collector = collector_new(&collecting);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    Case *c = *state;
    feed_free(c->service.feed);
    collector_free(c->service.collector);
    history_close(c->service.history);
    stream_free(c->service.stream);
    store_free(c->service.store);
    g_rw_lock_clear(&c->service.lock);
    if (c->dir)
        remove_tree(c->dir);
    g_free(c->dir);
    g_free(c);
    return 0;
}

/* The clock of so long ago. */
static StoreClock ago(gint64 seconds)
{
    StoreClock now = service_clock();
    now.real_ns -= seconds * NS_PER_S;
    now.mono_ns -= seconds * NS_PER_S;
    return now;
}

/* What came in so long ago, from lines without a time. */
static void take(Case *c, const char *text, gint64 seconds_ago)
{
    const StoreClock then = ago(seconds_ago);
    g_autoptr(LineSamples) read = line_samples_read(text, strlen(text), 1, then.real_ns);
    assert_int_equal(read->refused + read->foreign, 0);
    for (guint i = 0; i < read->samples->len; i++) {
        Sample *sample = g_steal_pointer(&read->samples->pdata[i]);
        const bool whole = line_samples_is_whole(sample);
        store_change_free(store_take(c->service.store, sample, SOURCE_PROBES, NULL, whole, then));
    }
    g_ptr_array_set_size(read->samples, 0);
    for (guint i = 0; i < read->events->len; i++)
        store_change_free(store_take_event(c->service.store, g_ptr_array_index(read->events, i), then));
}

/* Owned by the caller. */
static char *answer(Case *c)
{
    static const Request request = {.method = "GET", .body = ""};
    g_autoptr(Reply) reply = route_metrics(&c->service, &request);
    assert_int_equal(reply->status, 200);
    CHECK_TEXT(reply->type, PROMETHEUS_CONTENT_TYPE, "type");
    assert_true(reply->cacheable);
    gsize length;
    const char *data = g_bytes_get_data(reply->body, &length);
    return g_strndup(data, length);
}

/* Whether a line begins so. */
static bool has_line(const char *text, const char *begin)
{
    g_autofree char *inside = g_strconcat("\n", begin, NULL);
    return g_str_has_prefix(text, begin) || strstr(text, inside);
}

static void check_lines(const char *text, const char *const *begins, bool wanted)
{
    for (; *begins; begins++)
        CHECK(has_line(text, *begins) == wanted, "%s%s", wanted ? "" : "not ", *begins);
}

static void figures_of_now_alone_are_in_it(void **state)
{
    static const char *const there[] = {
        "one_vm_cpu_seconds_total{vm_id=\"1\",host=\"h\"} ",
        "one_vm_cpu_seconds_total{vm_id=\"2\",host=\"h\"} ",
        "one_nic_receive_bytes_total{vm_id=\"1\",host=\"h\",device=\"t\"} 7",
        "one_vm_telemetry{vm_id=\"1\",host=\"h\",telemetry=\"ok\"} 1",
        "one_vm_telemetry{vm_id=\"2\",host=\"h\",telemetry=\"warming_up\"} 1",
        "one_vm_telemetry{vm_id=\"3\",host=\"h\",telemetry=\"stale\"} 1",
        "one_vm_telemetry{vm_id=\"4\",host=\"h\",telemetry=\"missing\"} 1",
        "one_vm_sample_age_seconds{vm_id=\"1\",host=\"h\"} ",
        "one_vm_sample_age_seconds{vm_id=\"3\",host=\"h\"} 10",
        NULL,
    };
    static const char *const absent[] = {
        "one_vm_cpu_seconds_total{vm_id=\"3\"",
        "one_nic_receive_bytes_total{vm_id=\"3\"",
        "one_vm_info{vm_id=\"3\"",
        "one_vm_cpu_seconds_total{vm_id=\"4\"",
        "one_vm_sample_age_seconds{vm_id=\"4\"",
        "one_vm_telemetry{vm_id=\"5\"",
        "one_vm_cpu_seconds_total{vm_id=\"5\"",
        NULL,
    };
    Case *c = *state;
    take(c, "vm_totals,VMID=1,host=h cputime=1000000000i,state=1i,cpus=1i", 10);
    take(c,
         "vm_totals,VMID=1,host=h cputime=2000000000i,state=1i,cpus=1i\n"
         "vm_devices,VMID=1,host=h,devtype=nic,device=t rxbytes=7i\n"
         "vm_totals,VMID=2,host=h cputime=1000000000i,state=1i\n"
         "vm_totals,VMID=5,host=h cputime=1000000000i,state=1i",
         0);
    take(c,
         "vm_totals,VMID=3,host=h cputime=1000000000i,state=1i\n"
         "vm_devices,VMID=3,host=h,devtype=nic,device=t rxbytes=7i",
         STALE_S + 10);
    take(c,
         "vm_events,VMID=4,host=h,state=ACTIVE,lcm_state=RUNNING name=\"x\"\n"
         "vm_events,VMID=5,host=h,state=DONE,lcm_state=LCM_INIT name=\"y\"",
         0);
    g_autofree char *text = answer(c);
    check_lines(text, there, true);
    check_lines(text, absent, false);
}

static void hosts_sinks_and_odd_names_are_in_it(void **state)
{
    static const char *const there[] = {
        "one_host_domains{host=\"a\\\"b\"} 3",
        "one_host_sample_timestamp_seconds{host=\"a\\\"b\"} ",
        "one_sink_queued_batches{host=\"a\\\"b\",sink=\"main\"} 2",
        "one_vm_telemetry{vm_id=\"1\",host=\"a\\\"b\",telemetry=\"warming_up\"} 1",
        "one_vm_telemetry{vm_id=\"2\",telemetry=\"warming_up\"} 1",
        "one_vm_cpu_seconds_total{vm_id=\"2\"} ",
        NULL,
    };
    Case *c = *state;
    take(c,
         "vm_totals,VMID=1,host=a\"b cputime=1i\nvm_totals,VMID=2 cputime=1i\n"
         "host_totals,host=a\"b domains=3i\nhost_totals,host=a\"b,sink=main queued_batches=2i",
         0);
    g_autofree char *text = answer(c);
    check_lines(text, there, true);
}

/* Each family has its HELP and TYPE once, right before its series; what ends in _total is a counter, and all counters
 * do. */
static void check_families(const char *text)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 0);
    const char *family = "";
    for (guint i = 0; lines[i] && *lines[i]; i++) {
        if (g_str_has_prefix(lines[i], "# HELP ")) {
            g_auto(GStrv) help = g_strsplit(lines[i] + 7, " ", 2), type = NULL;
            g_autofree char *begin = g_strdup_printf("# TYPE %s ", help[0]);
            CHECK(help[1] && *help[1] && g_hash_table_add(seen, g_strdup(help[0])), "%s", lines[i]);
            CHECK(lines[++i] && g_str_has_prefix(lines[i], begin), "behind %s", help[0]);
            const bool counts = g_str_has_suffix(help[0], "_total");
            CHECK_TEXT(lines[i] + strlen(begin), counts ? "counter" : "gauge", help[0]);
            family = lines[++i]; /* its first series */
            CHECK(family && g_str_has_prefix(family, help[0]), "%s has no series", help[0]);
        }
        CHECK(strcspn(lines[i], "{ ") == strcspn(family, "{ ") && strncmp(lines[i], family, strcspn(family, "{ ")) == 0,
              "out of its family: %s", lines[i]);
    }
    assert_true(g_hash_table_size(seen) > 10);
}

static void with_a_history(Case *c)
{
    static const HistoryOptions keep = {.keep_s = {3600, 3600, 3600}};
    g_autoptr(GError) error = NULL;
    c->dir = make_temporary_dir();
    g_autofree char *path = g_build_filename(c->dir, "history.sqlite", NULL);
    c->service.history = history_open(path, &keep, &error);
    CHECK(c->service.history != NULL, "%s", error ? error->message : "");
}

static void it_tells_of_itself(void **state)
{
    static const char *const there[] = {
        "one_telemetryd_info{version=\"" ONE_TELEMETRY_VERSION "\"} 1",
        "one_telemetryd_lines_total 2",
        "one_telemetryd_refused_lines_total 1",
        "one_telemetryd_foreign_lines_total 1",
        "one_telemetryd_vm_samples_total 1",
        "one_telemetryd_collector_running 0",
        "one_telemetryd_collections_total 0",
        NULL,
    };
    static const char *const of_history[] = {"one_telemetryd_history_bytes ", "one_telemetryd_history_failing 0", NULL};
    static const char text[] = "vm_totals,VMID=1 cputime=1i\ncpu usage=1\nbad\n";
    Case *c = *state;
    g_autofree char *before = answer(c);
    check_families(before);
    assert_false(has_line(before, "one_vm_"));
    g_autoptr(LineSamples) read = line_samples_read(text, strlen(text), 1, service_clock().real_ns);
    assert_true(feed_lines(c->service.feed, read, text, strlen(text), 1, NULL, NULL));
    g_autofree char *after = answer(c);
    check_families(after);
    check_lines(after, there, true);
    check_lines(after, of_history, false);
    with_a_history(c);
    g_autofree char *kept = answer(c);
    check_families(kept);
    check_lines(kept, of_history, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(figures_of_now_alone_are_in_it),
        TEST(hosts_sinks_and_odd_names_are_in_it),
        TEST(it_tells_of_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
