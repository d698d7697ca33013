/* SPDX-License-Identifier: Apache-2.0
 * Samples in, points out. */
#include "test_history.h"

#include <string.h>

/* --- metrics --- */

static void test_metric_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        Metric metric;
    } cases[] = {
        {"cpu_usage_percent", METRIC_VM_CPU_USAGE_PERCENT},
        {"network_rx_per_sec", METRIC_VM_NET_RX_BYTES_RATE},
        {"net_rxbytes_per_sec", METRIC_VM_NET_RX_BYTES_RATE},
        {"network_rx_bytes", METRIC_VM_NET_RX_BYTES_RATE},
        {"net_rxbytes", METRIC_VM_NET_RX_BYTES_RATE},
        {"memrss", METRIC_VM_MEMORY_RSS},
        {"disk_wr_latency_ms", METRIC_VM_DISK_WR_LATENCY},
        {"disk_wr_ns", N_METRICS}, /* its latency is no rate of it */
        {"cputime", N_METRICS},
        {"vm_name", N_METRICS},
        {"cpus", N_METRICS},
        {"", N_METRICS},
        {"cpu_usage_percent ", N_METRICS},
        {"rxbytes", N_METRICS}, /* a NIC's */
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        CHECK(history_metric_by_name(cases[i].name) == cases[i].metric, "%s", cases[i].name);
    assert_false(history_has_metric(METRIC_VM_CPU_TIME));
    assert_false(history_has_metric(METRIC_VM_VCPUS));
    assert_false(history_has_metric(METRIC_HOST_DOMAINS));
    assert_false(history_has_metric(N_METRICS));
}

/* --- the way of a sample: the same points while it is pending, when it is settled, after a restart --- */

typedef enum { PENDING, SETTLED, HALF, REOPENED, N_STAGES } Stage;
static const char *const stage_names[N_STAGES] = {"pending", "settled", "half settled", "opened again"};

/* 8 samples each 10 s from 10 s before a quarter on, values 0 to 7. */
static History *history_at(const Place *place, Stage stage, gint64 quarter)
{
    History *history = open_history(place);
    add_many(history, 7, quarter - 10 * S, 10 * S, 4);
    history_flush(history, stage == HALF);
    add_many(history, 8, quarter, 10 * S, 3); /* another VM changes nothing */
    for (guint i = 4; i < 8; i++)
        add(history, 7, quarter - 10 * S + i * 10 * S, i);
    history_flush(history, stage == SETTLED);
    if (stage == REOPENED) {
        history_close(history);
        history = open_history(place);
    }
    return history;
}

static void check_raw(History *history, gint64 quarter)
{
    g_autoptr(HistoryAnswer) answer = ask(history, 7, quarter - HOUR, quarter + HOUR, 0);
    assert_int_equal(answer->tier, TIER_RAW);
    assert_int_equal(answer->step_ns, 0);
    assert_int_equal(answer->series[0]->len, 8);
    for (guint i = 0; i < 8; i++)
        check_point(answer, i, (HistoryPoint){quarter - 10 * S + i * 10 * S, i, i, i, 1});
    const HistoryPoint *memory = &g_array_index(answer->series[1], HistoryPoint, 3);
    assert_true(memory->mean == 4194304);
}

static void check_steps(History *history, gint64 quarter)
{
    static const struct {
        gint64 step, time[3]; /* from the quarter on */
        HistoryTier tier;
        struct {
            double min, mean, max;
            guint count;
        } want[3];
    } cases[] = {
        {MINUTE, {-MINUTE, 0, MINUTE}, TIER_MINUTE, {{0, 0, 0, 1}, {1, 3.5, 6, 6}, {7, 7, 7, 1}}},
        {QUARTER, {-QUARTER, 0}, TIER_QUARTER, {{0, 0, 0, 1}, {1, 4, 7, 7}}},
        {20 * S, {-20 * S, 0, 20 * S}, TIER_RAW, {{0, 0, 0, 1}, {1, 1.5, 2, 2}, {3, 3.5, 4, 2}}},
        {3 * MINUTE, {-3 * MINUTE, 0}, TIER_MINUTE, {{0, 0, 0, 1}, {1, 4, 7, 7}}},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(HistoryAnswer) answer = ask(history, 7, quarter - HOUR, quarter + HOUR, cases[i].step);
        CHECK(answer->tier == cases[i].tier, "case %u: tier %d", i, answer->tier);
        CHECK(answer->step_ns == cases[i].step, "case %u", i);
        for (guint p = 0; p < 3 && cases[i].want[p].count; p++)
            check_point(answer, p,
                        (HistoryPoint){quarter + cases[i].time[p], cases[i].want[p].min, cases[i].want[p].mean,
                                       cases[i].want[p].max, cases[i].want[p].count});
    }
}

static void test_stages(void **state)
{
    (void)state;
    const gint64 quarter = some_hours_ago(5);
    for (Stage stage = 0; stage < N_STAGES; stage++) {
        PLACE(place);
        g_autoptr(History) history = history_at(&place, stage, quarter);
        print_message("%s\n", stage_names[stage]);
        check_raw(history, quarter);
        check_steps(history, quarter);
        g_autoptr(HistoryAnswer) none = ask(history, 9, quarter - HOUR, quarter + HOUR, 0);
        assert_int_equal(none->series[0]->len, 0);
        assert_true(history_has_vm(history, 8));
        assert_false(history_has_vm(history, 9));
    }
}

/* `from` is in, `to` is not; of a tier of buckets `from` is in its bucket. */
static void test_edges(void **state)
{
    (void)state;
    PLACE(place);
    const gint64 quarter = some_hours_ago(5);
    g_autoptr(History) history = open_history(&place);
    add_many(history, 7, quarter, 30 * S, 10);
    for (guint round = 0; round < 2; round++) {
        history_flush(history, round == 1);
        g_autoptr(HistoryAnswer) raw = ask(history, 7, quarter + 30 * S, quarter + 90 * S, 0);
        assert_int_equal(raw->series[0]->len, 2);
        check_point(raw, 0, (HistoryPoint){quarter + 30 * S, 1, 1, 1, 1});
        g_autoptr(HistoryAnswer) minutes = ask(history, 7, quarter + 90 * S, quarter + 3 * MINUTE, MINUTE);
        assert_int_equal(minutes->series[0]->len, 2);
        check_point(minutes, 0, (HistoryPoint){quarter + MINUTE, 2, 2.5, 3, 2});
        check_point(minutes, 1, (HistoryPoint){quarter + 2 * MINUTE, 4, 4.5, 5, 2});
    }
}

/* --- late, double, absent --- */

static void test_late_and_double(void **state)
{
    (void)state;
    PLACE(place);
    const gint64 quarter = some_hours_ago(5);
    g_autoptr(History) history = open_history(&place);
    add(history, 7, quarter, 10);
    add(history, 7, quarter + 20 * S, 30);
    history_flush(history, true);
    add(history, 7, quarter, 10); /* sent again, after it was settled */
    add(history, 7, quarter + 10 * S, 80);
    add(history, 7, quarter + 10 * S, 20); /* again, while pending: the later word stands */
    for (guint round = 0; round < 3; round++) {
        history_flush(history, round > 0);
        g_autoptr(HistoryAnswer) raw = ask(history, 7, quarter, quarter + HOUR, 0);
        assert_int_equal(raw->series[0]->len, 3);
        for (guint i = 0; i < 3; i++)
            check_point(raw, i, (HistoryPoint){quarter + i * 10 * S, 10 + i * 10, 10 + i * 10, 10 + i * 10, 1});
    }
    g_autoptr(HistoryAnswer) minute = ask(history, 7, quarter, quarter + HOUR, MINUTE);
    assert_int_equal(minute->series[0]->len, 1);
    check_point(minute, 0, (HistoryPoint){quarter, 10, 20, 30, 3});
}

/* The rates of a sample come with its second piece: both count, once. */
static void test_pieces(void **state)
{
    (void)state;
    PLACE(place);
    const gint64 quarter = some_hours_ago(5);
    g_autoptr(History) history = open_history(&place);
    g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify)vm_record_unref);
    VmRecord *piece = vm_record_new(7, vm_sample_new("one-7"));
    piece->time_ns = quarter;
    row_set_u64(piece->sample->row, METRIC_VM_MEMORY_RSS, 4194304);
    g_ptr_array_add(records, piece);
    history_add(history, records);
    history_flush(history, true);
    add(history, 7, quarter, 42);
    for (guint round = 0; round < 2; round++) {
        history_flush(history, round == 1);
        g_autoptr(HistoryAnswer) raw = ask(history, 7, quarter, quarter + HOUR, 0);
        assert_int_equal(raw->series[0]->len, 1);
        assert_int_equal(raw->series[1]->len, 1);
        check_point(raw, 0, (HistoryPoint){quarter, 42, 42, 42, 1});
        assert_int_equal(g_array_index(raw->series[1], HistoryPoint, 0).count, 1);
    }
    g_autoptr(HistoryAnswer) minute = ask(history, 7, quarter, quarter + HOUR, MINUTE);
    check_point(minute, 0, (HistoryPoint){quarter, 42, 42, 42, 1});
    assert_int_equal(g_array_index(minute->series[1], HistoryPoint, 0).count, 1);
}

static void test_refused(void **state)
{
    (void)state;
    PLACE(place);
    g_autoptr(History) history = open_history(&place);
    add(history, 7, 0, 1);
    add(history, 7, -5, 1);
    add(history, 7, history_now_ns() + AHEAD_MAX_NS + HOUR, 1);
    add(history, 7, history_now_ns(), 1);
    history_flush(history, false);
    HistoryStatus status;
    history_status(history, &status);
    assert_int_equal(status.written, 1);
    assert_int_equal(status.dropped, 3);
    assert_int_equal(status.queued, 0);
    assert_null(status.error);
    assert_true(status.bytes > 4096);
    history_status_clear(&status);
}

/* Above HISTORY_QUEUE_MAX the oldest go. */
static void test_queue_is_bounded(void **state)
{
    (void)state;
    PLACE(place);
    g_autoptr(History) history = open_history(&place);
    g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify)vm_record_unref);
    const gint64 now = history_now_ns();
    for (guint i = 0; i < HISTORY_QUEUE_MAX + 10; i++)
        g_ptr_array_add(records, record_at(1000 + i, now, 1));
    history_add(history, records);
    history_flush(history, false);
    HistoryStatus status;
    history_status(history, &status);
    assert_int_equal(status.dropped, 10);
    assert_int_equal(status.written, HISTORY_QUEUE_MAX);
    history_status_clear(&status);
    assert_false(history_has_vm(history, 1009));
    assert_true(history_has_vm(history, 1010));
}

/* What is written is somewhere: pending first, then in rows, whose oldest is known as soon as they are there. */
static void test_status(void **state)
{
    (void)state;
    PLACE(place);
    g_autoptr(History) history = open_history(&place);
    const gint64 begin = some_hours_ago(3);
    for (guint vm = 1; vm <= 3; vm++)
        add_many(history, vm, begin + (3 - vm) * QUARTER, 10 * S, 60);
    HistoryStatus status;
    history_flush(history, false);
    history_status(history, &status);
    assert_int_equal(status.written, 180);
    assert_int_equal(status.pending, 180);
    assert_int_equal(status.rows[TIER_RAW], 0);
    assert_int_equal(status.oldest_ns[TIER_RAW], 0);
    history_status_clear(&status);
    for (guint flush = 0; flush < 6; flush++) { /* whichever VM is swept */
        history_flush(history, true);
        history_status(history, &status);
        assert_int_equal(status.pending, 0);
        assert_int_equal(status.rows[TIER_RAW], 180);
        assert_int_equal(status.rows[TIER_MINUTE], 30);
        for (HistoryTier tier = 0; tier < N_TIERS; tier++)
            CHECK(status.oldest_ns[tier] == begin, "flush %u, tier %d: off by %" G_GINT64_FORMAT, flush, tier,
                  status.oldest_ns[tier] - begin);
        history_status_clear(&status);
    }
}

/* --- tiers and steps --- */

static void test_choice_of_tier(void **state)
{
    (void)state;
    PLACE(place);
    const gint64 begin = some_hours_ago(48), end = begin + 48 * HOUR;
    g_autoptr(History) history = open_history(&place);
    add_many(history, 7, begin, 30 * S, 48 * 120);
    history_flush(history, true);
    static const struct {
        const char *label;
        gint64 from, to, step; /* from the begin on */
        HistoryTier tier;
        gint64 want_step;
    } cases[] = {
        {"an hour", 0, HOUR, 0, TIER_RAW, 0},
        {"all of it", 0, 48 * HOUR, 0, TIER_QUARTER, QUARTER},
        {"from before there was anything", -HOUR, 47 * HOUR, 0, TIER_QUARTER, QUARTER},
        {"ten hours", HOUR, 11 * HOUR, 0, TIER_MINUTE, MINUTE},
        {"a step that only samples have", 0, HOUR, 7 * S, TIER_RAW, 7 * S},
        {"one that minutes have", 0, HOUR, 5 * MINUTE, TIER_MINUTE, 5 * MINUTE},
        {"one that quarters have", 0, HOUR, HOUR, TIER_QUARTER, HOUR},
        {"too many points", 0, 48 * HOUR, S, TIER_RAW, 7 * S},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(HistoryAnswer) answer =
            ask(history, 7, begin + cases[i].from, MIN(begin + cases[i].to, end), cases[i].step);
        CHECK(answer->tier == cases[i].tier, "%s: %s", cases[i].label, history_tier_name(answer->tier));
        CHECK(answer->step_ns == cases[i].want_step, "%s: step %" G_GINT64_FORMAT, cases[i].label, answer->step_ns);
        guint points = answer->series[0]->len + answer->series[1]->len;
        CHECK(points > 0 && points <= HISTORY_POINTS_MAX, "%s: %u points", cases[i].label, points);
        CHECK(cases[i].step || answer->series[0]->len <= HISTORY_POINTS_WANTED, "%s", cases[i].label);
        for (guint p = 1; p < answer->series[0]->len; p++)
            CHECK(point(answer, p - 1)->time_ns < point(answer, p)->time_ns, "%s: point %u", cases[i].label, p);
    }
}

static void test_wrong_queries(void **state)
{
    (void)state;
    PLACE(place);
    g_autoptr(History) history = open_history(&place);
    static const Metric right[] = {METRIC_VM_MEMORY_RSS}, wrong[] = {METRIC_VM_CPU_TIME};
    const HistoryQuery queries[] = {
        {7, right, 0, 0, 1, 0},
        {7, right, 1, 1, 1, 0},
        {7, right, 1, 0, 1, -1},
        {7, wrong, 1, 0, 1, 0},
    };
    for (guint i = 0; i < G_N_ELEMENTS(queries); i++) {
        g_autoptr(GError) error = NULL;
        CHECK(!history_query(history, &queries[i], &error), "%u", i);
        CHECK(g_error_matches(error, HISTORY_ERROR, HISTORY_ERROR_QUERY), "%u", i);
    }
}

/* --- events and VMs --- */

static void test_events(void **state)
{
    (void)state;
    PLACE(place);
    History *history = open_history(&place);
    g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func((GDestroyNotify)vm_event_free);
    const gint64 begin = some_hours_ago(1);
    for (guint i = 0; i < 6; i++) {
        VmEvent *event = vm_event_new(i % 2 ? EVENT_SEEN : EVENT_OPENNEBULA, 7 + i % 3, begin + i * S);
        event->state = g_strdup_printf("state %u", i);
        event->host = g_strdup("kvm-ä");
        event->reason = i == 0 ? NULL : g_strdup("it's \"so\"; DROP TABLE events");
        g_ptr_array_add(events, event);
    }
    history_add_events(history, events);
    history_flush(history, false);
    history_close(history);
    history = open_history(&place);

    g_autoptr(GPtrArray) of_one = history_events(history, 7, 0, G_MAXINT64, 100, NULL);
    assert_int_equal(of_one->len, 2);
    const VmEvent *last = g_ptr_array_index(of_one, 0), *first = g_ptr_array_index(of_one, 1);
    assert_true(last->time_ns == begin + 3 * S && last->source == EVENT_SEEN);
    assert_string_equal(last->state, "state 3");
    assert_string_equal(last->host, "kvm-ä");
    assert_string_equal(last->reason, "it's \"so\"; DROP TABLE events");
    assert_null(last->lcm_state);
    assert_null(first->reason);
    assert_true(first->source == EVENT_OPENNEBULA);

    g_autoptr(GPtrArray) some = history_events(history, EVENTS_OF_ALL, begin + S, begin + 5 * S, 3, NULL);
    assert_int_equal(some->len, 3);
    assert_string_equal(((VmEvent *)g_ptr_array_index(some, 0))->state, "state 4");
    g_autoptr(GPtrArray) loaded = history_load_events(history, 4, NULL);
    assert_int_equal(loaded->len, 4);
    assert_string_equal(((VmEvent *)g_ptr_array_index(loaded, 0))->state, "state 2");
    assert_string_equal(((VmEvent *)g_ptr_array_index(loaded, 3))->state, "state 5");
    history_close(history);
}

static void test_vms(void **state)
{
    (void)state;
    PLACE(place);
    History *history = open_history(&place);
    const gint64 now = history_now_ns();
    g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify)vm_record_unref);
    for (guint i = 0; i < 3; i++) {
        VmRecord *record = record_at(10 - i, now - HOUR, 1);
        record->uuid = i == 1 ? NULL : g_strdup("6f5c");
        record->host = g_strdup("kvm1");
        record->source = i == 1 ? SOURCE_COLLECTOR : SOURCE_PROBES;
        record->first_seen_ns = now - 2 * HOUR;
        record->last_seen_ns = now - HOUR;
        record->ended_ns = i == 2 ? now - 50 * MINUTE : 0;
        record->one_state = g_strdup("ACTIVE");
        row_set_text(record->sample->row, METRIC_VM_VM_NAME, "<script>");
        row_set_text(record->sample->row, METRIC_VM_UNAME, "");
        g_ptr_array_add(records, record);
    }
    history_note_vms(history, records);
    add(history, 10, now - MINUTE, 1);
    history_flush(history, true);
    history_close(history);
    history = open_history(&place);

    g_autoptr(GPtrArray) vms = history_load_vms(history, NULL);
    assert_int_equal(vms->len, 3);
    const VmRecord *ended = g_ptr_array_index(vms, 0), *ours = g_ptr_array_index(vms, 1),
                   *vm = g_ptr_array_index(vms, 2);
    assert_int_equal(vm->vm_id, 10);
    assert_int_equal(vm->sample->vm_id, 10);
    assert_string_equal(vm->name, "one-10");
    assert_string_equal(vm->uuid, "6f5c");
    assert_string_equal(vm->host, "kvm1");
    assert_string_equal(vm->one_state, "ACTIVE");
    assert_null(vm->one_lcm_state);
    assert_true(vm->first_seen_ns == now - 2 * HOUR);
    assert_true(vm->last_seen_ns == now - MINUTE); /* the sample says so */
    assert_true(vm->time_ns == 0 && !row_has(vm->sample->row, METRIC_VM_MEMORY_RSS));
    assert_string_equal(row_text(vm->sample->row, METRIC_VM_VM_NAME), "<script>");
    assert_string_equal(row_text(vm->sample->row, METRIC_VM_UNAME), "");
    assert_null(row_text(vm->sample->row, METRIC_VM_GNAME));
    assert_true(ours->source == SOURCE_COLLECTOR && !ours->uuid && ours->ended_ns == 0);
    assert_true(ended->ended_ns == now - 50 * MINUTE);
    history_close(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metric_names),     cmocka_unit_test(test_stages), cmocka_unit_test(test_edges),
        cmocka_unit_test(test_late_and_double),  cmocka_unit_test(test_pieces), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_queue_is_bounded), cmocka_unit_test(test_status), cmocka_unit_test(test_choice_of_tier),
        cmocka_unit_test(test_wrong_queries),    cmocka_unit_test(test_events), cmocka_unit_test(test_vms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
