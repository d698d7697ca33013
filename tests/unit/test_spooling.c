/* SPDX-License-Identifier: Apache-2.0 */
#include "test_spool.h"

#include "deliver/ledger.h"
#include "encode/line_protocol.h"
#include "probe/spooling.h"
#include "sample_builder.h"

static const char two_sinks[] = "[sink one]\nurl = http://127.0.0.1:9\ndatabase = d\n"
                                "[sink two]\ntype = victoriametrics\nurl = http://127.0.0.1:9\n";

/* `text`: behind a section that names the spool. */
static Config *configure(const Place *place, const char *text)
{
    g_autofree char *all = g_strdup_printf("[spool]\ndir = %s\n%s", place->path, text);
    g_autoptr(GError) error = NULL;
    Config *config = config_new();
    if (!config_parse(config, all, strlen(all), "test", &error))
        fail_msg("%s", error->message);
    return config;
}

static Spooling *spooling_of(const Place *place, const char *text, const char *program)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = configure(place, text);
    Spooling *spooling = spooling_new(config, "/etc/some.conf", program, &error);
    if (!spooling)
        fail_msg("%s", error ? error->message : "no sink");
    return spooling;
}

/* --- settings --- */

static void settings(void **state)
{
    const Place *place = *state;
    static const char probe[] = "/r/im/kvm-probes.d/vm/monitor/telemetry";
    static const struct {
        const char *forward, *program, *forwarder;
    } cases[] = {
        {"", probe, "/r/hooks/telemetry/forward"},
        {"", "/checkout/build/vm_monitor", NULL},
        {"", NULL, NULL},
        {"[forward]\nprogram = /x/y\n", probe, "/x/y"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strconcat(cases[i].forward, two_sinks, NULL);
        g_autoptr(Spooling) spooling = spooling_of(place, text, cases[i].program);
        assert_int_equal(spooling->sinks->len, 2);
        assert_string_equal(spooling->path, place->path);
        assert_string_equal(spooling->config_file, "/etc/some.conf");
        assert_int_equal(g_strcmp0(spooling->forwarder, cases[i].forwarder), 0);
    }
    g_autoptr(Config) standard = config_new();
    g_autoptr(GError) error = NULL;
    assert_null(spooling_new(standard, NULL, NULL, &error));
    assert_null(error);
    g_autoptr(Config) wrong = configure(place, "[sink one]\ndatabase = d\n");
    assert_null(spooling_new(wrong, NULL, NULL, &error));
    assert_true(error->domain == CONFIG_ERROR);
    assert_true(g_str_has_prefix(error->message, "nothing is queued for the sinks: "));
}

/* --- figures --- */

static const MetricRow *sink_row(const Sample *sample, guint i)
{
    return ((const SinkSample *)g_ptr_array_index(sample->sinks, i))->row;
}

static void figures(void **state)
{
    const Place *place = *state;
    gint64 now = seconds_ago(0);
    g_autoptr(Spooling) spooling = spooling_of(place, two_sinks, NULL);
    g_autoptr(Sample) sample = sample_new();
    const Ledger ledger = {.last_success_ns = now - 90 * NS_PER_SECOND,
                           .sent_lines = 1,
                           .retried = 2,
                           .rejected_lines = 3,
                           .dropped_batches = 4,
                           .dropped_bytes = 5,
                           .bad_batches = 8,
                           .failures = 9,
                           .queued_batches = 6,
                           .queued_bytes = 7,
                           .oldest_ns = now - 60 * NS_PER_SECOND,
                           .counted_ns = now - NS_PER_SECOND};
    assert_true(ledger_save(place->spool, "one", &ledger, NULL));
    for (guint again = 0; again < 2; again++) /* the figures take the place of those before */
        spooling_add_figures(spooling, sample, now);
    assert_int_equal(sample->sinks->len, 2);
    const MetricRow *one = sink_row(sample, 0), *two = sink_row(sample, 1);
    assert_int_equal(row_u64(one, METRIC_SINK_SENT_LINES), 1);
    assert_int_equal(row_u64(one, METRIC_SINK_RETRIED), 2);
    assert_int_equal(row_u64(one, METRIC_SINK_REJECTED_LINES), 3);
    assert_int_equal(row_u64(one, METRIC_SINK_DROPPED_BATCHES), 4);
    assert_int_equal(row_u64(one, METRIC_SINK_DROPPED_BYTES), 5);
    assert_int_equal(row_u64(one, METRIC_SINK_BAD_BATCHES), 8);
    assert_int_equal(row_u64(one, METRIC_SINK_FAILURES), 9);
    assert_int_equal(row_u64(one, METRIC_SINK_QUEUED_BATCHES), 6);
    assert_int_equal(row_u64(one, METRIC_SINK_QUEUED_BYTES), 7);
    assert_int_equal(row_u64(one, METRIC_SINK_OLDEST_AGE), 60);
    assert_int_equal(row_u64(one, METRIC_SINK_LAST_SUCCESS_AGE), 90);
    assert_true(row_has(two, METRIC_SINK_SENT_LINES)); /* nothing so far: that is known */
    assert_false(row_has(two, METRIC_SINK_QUEUED_BATCHES));
    assert_false(row_has(two, METRIC_SINK_LAST_SUCCESS_AGE));
    assert_int_equal(row_u64(sample->row, METRIC_HOST_SPOOL_BATCHES), 6);
    assert_int_equal(row_u64(sample->row, METRIC_HOST_SPOOL_BYTES), 7);

    spooling_add_figures(spooling, sample, now - 1000 * NS_PER_SECOND); /* the clock was set back */
    assert_int_equal(row_u64(sink_row(sample, 0), METRIC_SINK_OLDEST_AGE), 0);
    const Ledger drained = {.counted_ns = now};
    assert_true(ledger_save(place->spool, "two", &drained, NULL));
    spooling_add_figures(spooling, sample, now);
    assert_true(row_has(sink_row(sample, 1), METRIC_SINK_OLDEST_AGE));
    assert_int_equal(row_u64(sink_row(sample, 1), METRIC_SINK_OLDEST_AGE), 0);
    g_autofree char *path = path_of(place, "one/state");
    assert_true(g_file_set_contents(path, "garbage", -1, NULL));
    assert_int_equal(chmod(path, 0600), 0);
    spooling_add_figures(spooling, sample, now);
    assert_false(row_has(sink_row(sample, 0), METRIC_SINK_SENT_LINES));
}

static void figures_make_nothing(void **state)
{
    const Place *place = *state;
    g_autoptr(Spooling) spooling = spooling_of(place, two_sinks, NULL);
    g_autoptr(Sample) sample = sample_new();
    g_free(spooling->path);
    spooling->path = g_build_filename(place->dir, "other", NULL);
    spooling_add_figures(spooling, sample, 1);
    assert_int_equal(sample->sinks->len, 2);
    assert_false(g_file_test(spooling->path, G_FILE_TEST_EXISTS));
    assert_int_equal(count_entries(place->path), 0);
}

/* --- queueing and starting --- */

static void queue_and_start(void **state)
{
    const Place *place = *state;
    g_autofree char *program = g_build_filename(place->dir, "forward", NULL);
    g_autofree char *sign = g_build_filename(place->dir, "sign", NULL);
    g_autofree char *script = g_strdup_printf("#!/bin/sh\necho \"$@\" > %s.new\nmv %s.new %s\n", sign, sign, sign);
    g_autofree char *text = g_strdup_printf("[forward]\nprogram = %s\n%s", program, two_sinks);
    g_autoptr(Spooling) spooling = spooling_of(place, text, NULL);
    g_autoptr(Sample) sample = build_random_sample(3, 1);
    g_autoptr(GError) error = NULL;

    assert_false(spooling_queue(spooling, sample, NULL, &error)); /* queued, but there is nobody to send it */
    assert_true(g_error_matches(error, SPOOLING_ERROR, SPOOLING_ERROR_NO_FORWARDER));
    assert_true(g_file_set_contents(program, script, -1, NULL));
    assert_int_equal(chmod(program, 0700), 0);
    assert_true(spooling_queue(spooling, sample, sample, NULL));
    g_autoptr(GPtrArray) batches = list(place, "one"), of_two = list(place, "two");
    assert_int_equal(batches->len, 2);
    assert_int_equal(of_two->len, 2);
    gsize length;
    g_autofree char *data = spool_read(place->spool, "two", nth(of_two, 1)->name, &length, NULL);
    g_autofree char *lines = spool_expand(data, length, 1 << 24, &length, NULL);
    g_autoptr(GString) wanted = line_protocol_write_next(sample, sample);
    assert_string_equal(lines, wanted->str);
    assert_non_null(strstr(lines, ",sink=two "));

    int lock = spool_lock(place->spool, NULL);
    assert_true(spooling_start_forwarder(spooling, NULL)); /* one is at work */
    g_usleep(300000);
    assert_false(g_file_test(sign, G_FILE_TEST_EXISTS));
    close(lock);
    assert_true(spooling_start_forwarder(spooling, NULL));
    for (guint i = 0; i < 2000 && !g_file_test(sign, G_FILE_TEST_EXISTS); i++)
        g_usleep(10000);
    g_autofree char *words = NULL;
    assert_true(g_file_get_contents(sign, &words, NULL, NULL));
    assert_string_equal(words, "--config /etc/some.conf\n");
    while (waitpid(-1, NULL, 0) > 0)
        ;
}

/* What an endpoint collects says in its name where it comes from, in the place of the host. */
static void queue_of_an_endpoint(void **state)
{
    const Place *place = *state;
    g_autoptr(Spooling) spooling = spooling_of(place, two_sinks, NULL);
    g_autoptr(Sample) sample = build_random_sample(1, 1);
    spooling->host = g_strdup("_via.0a1b2c3d");
    spooling_queue(spooling, sample, NULL, NULL);
    g_autoptr(GPtrArray) batches = list(place, "one");
    assert_int_equal(batches->len, 1);
    assert_non_null(strstr(nth(batches, 0)->name, "-_via.0a1b2c3d-"));
}

static void queue_fails(void **state)
{
    const Place *place = *state;
    g_autoptr(Spooling) spooling = spooling_of(place, two_sinks, NULL);
    g_autoptr(Sample) sample = build_random_sample(1, 1);
    g_autoptr(GError) of_queue = NULL, of_start = NULL;
    g_free(spooling->forwarder);
    spooling->forwarder = g_strdup("/bin/true");
    assert_int_equal(chmod(place->path, 0755), 0);
    assert_false(spooling_queue(spooling, sample, NULL, &of_queue));
    assert_true(g_error_matches(of_queue, SPOOL_ERROR, SPOOL_ERROR_UNSAFE));
    assert_true(g_str_has_prefix(of_queue->message, "nothing is queued for the sinks: "));
    assert_false(spooling_start_forwarder(spooling, &of_start));
    assert_true(g_str_has_prefix(of_start->message, "what is queued for the sinks is not sent: "));
}

/* --- what the log is told --- */

/* How often the log would be told in these cycles: counted by what is written to standard error. */
static guint count_reports(const char *const *messages, guint n, guint64 first_cycle)
{
    g_autofree char *path = g_strdup("/tmp/one-telemetry-test-XXXXXX"), *text = NULL;
    int file = g_mkstemp(path), kept = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
    Sample *previous = NULL;
    for (guint i = 0; i < n; i++) {
        Sample *sample = sample_new();
        g_autoptr(GError) error =
            messages[i] ? g_error_new_literal(CONFIG_ERROR, CONFIG_ERROR_VALUE, messages[i]) : NULL;
        sample->cycle = first_cycle + i;
        spooling_report(sample, previous, error);
        g_clear_pointer(&previous, sample_free);
        previous = sample;
    }
    g_clear_pointer(&previous, sample_free);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(file);
    g_file_get_contents(path, &text, NULL, NULL);
    unlink(path);
    guint lines = 0;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    return lines;
}

static void reported_when_it_begins_changes_and_ends(void **state)
{
    (void)state;
    static const struct {
        const char *messages[6];
        guint reports;
    } cases[] = {
        {{NULL, NULL, NULL, NULL, NULL, NULL}, 0}, {{"a", "a", "a", "a", "a", "a"}, 1},
        {{NULL, "a", "a", NULL, NULL, NULL}, 2},   {{"a", "b", "b", "a", "a", "a"}, 3},
        {{"a", NULL, "a", NULL, "a", NULL}, 6},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_int_equal(count_reports(cases[i].messages, 6, 7), cases[i].reports);
    const char *messages[250];
    for (guint i = 0; i < G_N_ELEMENTS(messages); i++)
        messages[i] = "a";
    assert_int_equal(count_reports(messages, 250, 1), 3); /* at first, and in cycles 120 and 240 */
}

/* Of a spool's trouble the kind counts: the name of a temporary file is another each time. */
static void same_trouble(void **state)
{
    (void)state;
    g_autoptr(Sample) first = sample_new(), second = sample_new(), third = sample_new();
    g_autoptr(GError) a = g_error_new_literal(SPOOL_ERROR, SPOOL_ERROR_FULL, "tmp/1: no space");
    g_autoptr(GError) b = g_error_new_literal(SPOOL_ERROR, SPOOL_ERROR_FULL, "tmp/2: no space");
    g_autoptr(GError) c = g_error_new_literal(SPOOL_ERROR, SPOOL_ERROR_IO, "tmp/2: no space");
    spooling_report(first, NULL, a);
    spooling_report(second, first, b);
    spooling_report(third, second, c);
    assert_int_not_equal(first->spool_trouble, 0);
    assert_int_equal(first->spool_trouble, second->spool_trouble);
    assert_int_not_equal(third->spool_trouble, second->spool_trouble);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(settings),
        IN_PLACE(figures),
        IN_PLACE(figures_make_nothing),
        IN_PLACE(queue_and_start),
        IN_PLACE(queue_of_an_endpoint),
        IN_PLACE(queue_fails),
        cmocka_unit_test(reported_when_it_begins_changes_and_ends),
        cmocka_unit_test(same_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
