/* SPDX-License-Identifier: Apache-2.0
 * The JSON of VMs, to the letter: tests/golden/answers holds what is wanted. ONE_UPDATE=1 writes it anew. */
#include "gather_helpers.h"
#include "serve/answers.h"

#include <math.h>
#include <string.h>

#define S G_GINT64_CONSTANT(1000000000)
#define NOW (1700000000 * S)

static const AnswerOptions options = {1, 1048576};

static void check_golden(const char *name, GString *got)
{
    g_autofree char *path = g_strdup_printf("golden/answers/%s.json", name);
    if (g_getenv("ONE_UPDATE")) {
        g_autofree char *file = g_build_filename("tests", path, NULL);
        assert_true(g_file_set_contents(file, got->str, (gssize)got->len, NULL));
    }
    gsize length;
    g_autofree char *want = read_test_data(path, &length);
    CHECK_TEXT(got->str, want, name);
    g_string_free(got, TRUE);
}

static VmRecord *add_view(GArray *views, guint64 id, Telemetry telemetry, gint64 age_ms)
{
    g_autofree char *name = g_strdup_printf("one-%" G_GUINT64_FORMAT, id);
    VmRecord *record = vm_record_new(id, vm_sample_new(name));
    record->host = g_strdup("kvm1");
    record->first_seen_ns = NOW - 60 * S;
    record->last_seen_ns = NOW - S;
    const VmView view = {.record = record, .telemetry = telemetry, .age_ms = age_ms};
    g_array_append_val(views, view);
    return record;
}

static void clear_view(gpointer data)
{
    vm_record_unref(((VmView *)data)->record);
}

static GArray *new_views(void)
{
    GArray *views = g_array_new(FALSE, FALSE, sizeof(VmView));
    g_array_set_clear_func(views, clear_view);
    return views;
}

/* A whole one, one that has just begun, one of which nothing is known, one that is locked. */
static GArray *four(void)
{
    GArray *views = new_views();
    VmRecord *whole = add_view(views, 83, TELEMETRY_OK, 1500);
    whole->uuid = g_strdup("43326344-7a58-4259-8109-7d101d582f20");
    whole->source = SOURCE_COLLECTOR;
    whole->time_ns = NOW - S;
    whole->sample->domain_id = 3;
    whole->has_cpu_change = whole->has_memory_change = true;
    whole->cpu_change = 1;
    whole->memory_change = -0.0585;
    put_figures(whole->sample, "state.state=1 vcpu.current=4 balloon.current=4190208 balloon.maximum=4190208 "
                               "cpu.time=225390000000 net.count=1 net.0.name=one-83-0 net.0.rx.bytes=1000 "
                               "block.count=1 block.0.name=vda block.0.rd.bytes=18446744073709551615 vcpu.0.state=1");
    MetricRow *row = whole->sample->row;
    row_set_u64(row, METRIC_VM_MEMORY_USED, 4190208);
    row_set_real(row, METRIC_VM_CPU_USAGE_PERCENT, 45.2);
    row_set_real(row, METRIC_VM_MEMORY_USAGE_PERCENT, 23.5);
    row_set_text(row, METRIC_VM_MEMORY_SOURCE, "guest");
    row_set_u64(row, METRIC_VM_DISK_RD_BYTES, G_MAXUINT64);
    row_set_u64(row, METRIC_VM_DISK_WR_BYTES, 2);
    row_set_u64(row, METRIC_VM_NET_RX_BYTES, 3);
    row_set_u64(row, METRIC_VM_NET_TX_BYTES, 4);
    row_set_real(row, METRIC_VM_DISK_RD_BYTES_RATE, 1048576);
    row_set_real(row, METRIC_VM_DISK_WR_BYTES_RATE, 0);
    row_set_real(row, METRIC_VM_NET_RX_BYTES_RATE, 605397.5);
    row_set_real(row, METRIC_VM_NET_TX_BYTES_RATE, 1e12);
    row_set_text(row, METRIC_VM_VM_NAME, "<script>alert(\"\xe2\x80\xae\x01\")</script>");
    row_set_text(row, METRIC_VM_UNAME, "alice");
    row_set_text(row, METRIC_VM_GNAME, "users");
    VmRecord *begun = add_view(views, 84, TELEMETRY_WARMING_UP, 0);
    begun->time_ns = NOW;
    put_figures(begun->sample, "state.state=3 vcpu.current=1 cpu.time=5");
    add_view(views, 85, TELEMETRY_MISSING, 0)->one_state = g_strdup("ACTIVE");
    VmRecord *locked = add_view(views, 86, TELEMETRY_STALE, 95000);
    locked->time_ns = NOW - 95 * S;
    put_figures(locked->sample, "state.state=1 cpu.time=9 domain.locked=1");
    locked->known = metric_row_new(SCOPE_VM, 0);
    row_set_u64(locked->known, METRIC_VM_DISK_RD_BYTES, 77);
    return views;
}

static void vm_telemetry(void **state)
{
    (void)state;
    BodyWriter out;
    g_autoptr(GArray) views = four();
    body_begin_in_heap(&out);
    answer_vm_telemetry(&out, views, &options, NOW);
    check_golden("vm-telemetry", out.text);
    g_autoptr(GArray) none = new_views();
    body_begin_in_heap(&out);
    answer_vm_telemetry(&out, none, &options, NOW);
    check_golden("vm-telemetry-none", out.text);
}

/* Long lists go into a file part by part: not all of one is ever in the heap, and it is the same text. */
static void long_lists(void **state)
{
    (void)state;
    g_autoptr(GArray) views = new_views();
    BodyWriter heap[2], parts[2];
    for (guint i = 0; i < 2000; i++)
        add_view(views, i, TELEMETRY_OK, i);
    for (guint i = 0; i < 2; i++) {
        body_begin_in_heap(&heap[i]);
        body_begin(&parts[i]);
    }
    answer_vm_telemetry(&heap[0], views, &options, NOW);
    answer_vm_telemetry(&parts[0], views, &options, NOW);
    answer_live_vms(&heap[1], views);
    answer_live_vms(&parts[1], views);
    for (guint i = 0; i < 2; i++) {
        CHECK(parts[i].text->len < heap[i].text->len / 2, "%u: %zu of %zu bytes", i, parts[i].text->len,
              heap[i].text->len);
        Body body = body_end(&parts[i]);
        g_autoptr(GBytes) wanted = g_string_free_to_bytes(heap[i].text);
        assert_true(g_bytes_equal(body.bytes, wanted));
        g_bytes_unref(body.bytes);
    }
}

static void live_vms(void **state)
{
    (void)state;
    BodyWriter out;
    g_autoptr(GArray) views = four();
    body_begin_in_heap(&out);
    answer_live_vms(&out, views);
    check_golden("live-vms", out.text);
}

static void monitored_vms(void **state)
{
    (void)state;
    BodyWriter out;
    g_autoptr(GArray) views = four();
    VmRecord *ended = (VmRecord *)(guintptr)g_array_index(views, VmView, 1).record;
    ended->ended_ns = NOW;
    body_begin_in_heap(&out);
    answer_monitored_vms(&out, views);
    check_golden("monitored-vms", out.text);
    g_autoptr(GArray) none = new_views();
    body_begin_in_heap(&out);
    answer_monitored_vms(&out, none);
    check_golden("monitored-vms-none", out.text);
}

static void vm_stats(void **state)
{
    (void)state;
    static const char *const names[] = {"vm-stats", "vm-stats-begun", "vm-stats-unknown", "vm-stats-locked"};
    g_autoptr(GArray) views = four();
    for (guint i = 0; i < views->len; i++)
        check_golden(names[i], answer_vm_stats(&g_array_index(views, VmView, i)));
}

static void events(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify)vm_event_free);
    VmEvent *event = vm_event_new(EVENT_OPENNEBULA, 83, NOW);
    event->state = g_strdup("8");
    event->lcm_state = g_strdup("0");
    event->previous_state = g_strdup("3");
    event->previous_lcm_state = g_strdup("18");
    event->owner = g_strdup("alice");
    g_ptr_array_add(list, event);
    event = vm_event_new(EVENT_SEEN, 83, NOW - S);
    event->state = g_strdup("moved");
    event->reason = g_strdup("from kvm1 to kvm2");
    g_ptr_array_add(list, event);
    check_golden("events", answer_events(list));
}

static void degrees(void **state)
{
    (void)state;
    static const struct {
        double rate, r45, want;
    } cases[] = {
        {0, 1, 0},          {1, 1, 45},
        {-1, 1, -45},       {1048576, 1048576, 45},
        {10, 1, 84.289407}, {605397.5, 1048576, 30.000},
        {1e300, 1, 90},     {-1e300, 1, -90},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        CHECK(fabs(answer_degrees(cases[i].rate, cases[i].r45) - cases[i].want) < 1e-3, "row %u", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vm_telemetry),  cmocka_unit_test(long_lists), cmocka_unit_test(live_vms),
        cmocka_unit_test(monitored_vms), cmocka_unit_test(vm_stats),   cmocka_unit_test(events),
        cmocka_unit_test(degrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
