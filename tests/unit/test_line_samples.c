/* SPDX-License-Identifier: Apache-2.0
 * Line protocol back into samples: tables of lines, and that what line_protocol.c writes comes back. */
#include "encode/line_protocol.h"
#include "encode/line_samples.h"
#include "gather_helpers.h"
#include "sample_builder.h"

#include <string.h>

#define NOW G_GINT64_CONSTANT(1700000000000000000)

static LineSamples *read_text(const char *text)
{
    return line_samples_read(text, strlen(text), 1, NOW);
}

static Sample *sample_at(const LineSamples *read, guint i)
{
    assert_true(i < read->samples->len);
    return g_ptr_array_index(read->samples, i);
}

static VmSample *vm_at(const Sample *sample, guint i)
{
    assert_true(i < sample->vms->len);
    return g_ptr_array_index(sample->vms, i);
}

/* --- one line each --- */

static const struct {
    const char *line;
    guint points, foreign, refused;
    guint vms; /* in the first sample */
} rows[] = {
    {"vm_totals,VMID=83,host=h cputime=5i 1", 1, 0, 0, 1},
    {"vm_totals,name=one-83,host=h cputime=5i 1", 1, 0, 0, 1},
    {"vm_totals,host=h cputime=5i 1", 1, 1, 0, 0},
    {"vm_totals,VMID=x,host=h cputime=5i 1", 1, 1, 0, 0},
    {"vm_totals,VMID=-1 cputime=5i 1", 1, 1, 0, 0},
    {"vm_totals,VMID=99999999999 cputime=5i 1", 1, 1, 0, 0},
    {"vm_totals,VMID=83 no_field_of_ours=5i 1", 1, 0, 0, 1},
    {"vm_info,VMID=83 vm_name=\"web\" 1", 1, 0, 0, 1},
    {"vm_devices,VMID=83,devtype=nic,device=tap0 rxbytes=1i 1", 1, 0, 0, 1},
    {"vm_devices,VMID=83,devtype=disk,device=vda rd_req=1i 1", 1, 0, 0, 1},
    {"vm_devices,VMID=83,devtype=gpu,device=g0 x=1i 1", 1, 1, 0, 0},
    {"vm_devices,VMID=83,devtype=nic rxbytes=1i 1", 1, 1, 0, 0},
    {"vm_vcpus,VMID=83,vcpu=0 cputime=1i 1", 1, 0, 0, 1},
    {"vm_vcpus,VMID=83,vcpu=x cputime=1i 1", 1, 1, 0, 0},
    {"vm_vcpus,VMID=83,vcpu=123456 cputime=1i 1", 1, 1, 0, 0},
    {"vm_vcpus,VMID=83 cputime=1i 1", 1, 1, 0, 0},
    {"host_totals,host=h domains=1i 1", 1, 0, 0, 0},
    {"host_totals domains=1i 1", 1, 1, 0, 0},
    {"cpu,host=h usage=1 1", 1, 1, 0, 0},
    {"vm_totals,VMID=83", 0, 0, 1, 0},
    {"no line protocol", 0, 0, 1, 0},
    {"# a comment", 0, 0, 0, 0},
    {"", 0, 0, 0, 0},
};

static void single_lines(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(LineSamples) read = read_text(rows[i].line);
        guint vms = read->samples->len ? sample_at(read, 0)->vms->len : 0;
        CHECK(read->points == rows[i].points && read->foreign == rows[i].foreign && read->refused == rows[i].refused &&
                  vms == rows[i].vms,
              "%s: %u points, %u foreign, %u refused, %u VMs", rows[i].line, read->points, read->foreign, read->refused,
              vms);
    }
}

/* --- values --- */

static void values_are_taken_where_they_fit(void **state)
{
    (void)state;
    g_autoptr(LineSamples) read = read_text("vm_totals,VMID=1 cputime=5,cpus=2.5,locked=t,cpu_usage_percent=7i,"
                                            "memory_max=-1i,memory_source=3i,state=\"x\",memrss=9007199254740993.0,"
                                            "net_rxbytes=18446744073709551615u 1");
    const MetricRow *row = vm_at(sample_at(read, 0), 0)->row;
    assert_true(row_u64(row, METRIC_VM_CPU_TIME) == 5);
    assert_false(row_has(row, METRIC_VM_VCPUS)); /* no whole number */
    assert_true(row_u64(row, METRIC_VM_LOCKED) == 1);
    assert_true(row_real(row, METRIC_VM_CPU_USAGE_PERCENT) == 7.0);
    assert_false(row_has(row, METRIC_VM_MEMORY_MAX));    /* below zero */
    assert_false(row_has(row, METRIC_VM_MEMORY_SOURCE)); /* no text */
    assert_false(row_has(row, METRIC_VM_STATE));
    assert_true(row_has(row, METRIC_VM_MEMORY_RSS)); /* 2^53 + 1 is no double: it came as 2^53 */
    assert_true(row_u64(row, METRIC_VM_NET_RX_BYTES) == G_MAXUINT64);
}

static void the_name_goes_before_the_number(void **state)
{
    (void)state;
    g_autoptr(LineSamples) read = read_text("vm_totals,VMID=3,name=one-83 cputime=5i 1");
    assert_true(vm_at(sample_at(read, 0), 0)->vm_id == 83);
}

/* --- times --- */

static void times(void **state)
{
    (void)state;
    static const struct {
        gint64 time, unit_ns, want;
        bool fits;
    } cases[] = {
        {1700000000, 1000000000, NOW, true},
        {1700000000000, 1000000, NOW, true},
        {NOW, 1, NOW, true},
        {1700000000, 0, NOW, true},
        {1700000000000, 0, NOW, true},
        {1700000000000000, 0, NOW, true},
        {NOW, 0, NOW, true},
        {-5, 0, 0, false},
        {0, 1, 0, true},
        {LINE_TIME_MAX_NS, 1, LINE_TIME_MAX_NS, true},
        {LINE_TIME_MAX_NS + 1, 1, 0, false},
        {G_MININT64, 0, 0, false},
        {G_MAXINT64, 1000, 0, false},
        {G_MININT64, 1000, 0, false},
        {LINE_TIME_MAX_NS / 1000, 1000, LINE_TIME_MAX_NS, true},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        gint64 got = 0;
        bool fits = line_time_ns(cases[i].time, cases[i].unit_ns, &got);
        CHECK(fits == cases[i].fits && (!fits || got == cases[i].want), "row %u", i);
    }
    g_autoptr(LineSamples) read = read_text("vm_totals,VMID=1 cputime=5i");
    assert_true(sample_at(read, 0)->realtime_ns == NOW);
    g_autoptr(LineSamples) far = read_text("vm_totals,VMID=1 cputime=5i 9223372036854775807");
    assert_int_equal(far->refused, 1);
    assert_int_equal(far->samples->len, 0);
}

static void points_of_one_host_and_time_are_one_sample(void **state)
{
    (void)state;
    g_autoptr(LineSamples) read = read_text("vm_totals,VMID=1,host=a cputime=1i 10\n"
                                            "vm_totals,VMID=2,host=a cputime=2i 10\n"
                                            "vm_totals,VMID=1,host=b cputime=3i 10\n"
                                            "vm_devices,VMID=1,host=a,devtype=nic,device=t rxbytes=4i 10\n"
                                            "vm_devices,VMID=1,host=a,devtype=nic,device=u rxbytes=4i 10\n"
                                            "vm_devices,VMID=1,host=a,devtype=nic,device=t rxdrops=5i,x=1 10\n"
                                            "vm_totals,VMID=1,host=a cputime=6i 11\n"
                                            "host_totals,host=a domains=2i 10\n"
                                            "host_totals,host=a,sink=s failures=1i 10\n");
    assert_int_equal(read->samples->len, 3);
    Sample *first = sample_at(read, 0);
    assert_int_equal(first->vms->len, 2);
    assert_int_equal(vm_at(first, 0)->nics->len, 2);
    const MetricRow *nic = g_ptr_array_index(vm_at(first, 0)->nics, 0);
    CHECK_TEXT(row_device_name(nic), "t", "the NIC");
    assert_true(row_u64(nic, METRIC_NIC_RX_BYTES) == 4 && row_u64(nic, METRIC_NIC_RX_DROPS) == 5);
    assert_true(line_samples_is_whole(first));
    assert_false(line_samples_is_whole(sample_at(read, 1)));
    assert_int_equal(first->sinks->len, 1);
}

/* --- events --- */

static void events(void **state)
{
    (void)state;
    g_autoptr(LineSamples) read =
        read_text("vm_events,VMID=83,host=h,state=ACTIVE,lcm_state=RUNNING name=\"web\",owner=\"alice\",previous_state="
                  "\"PENDING\",previous_lcm_state=\"PROLOG\",reason=\"user\" 7\n"
                  "vm_events,host=h,state=DONE x=1 8\n");
    assert_int_equal(read->events->len, 1);
    assert_int_equal(read->foreign, 1);
    const VmEvent *event = g_ptr_array_index(read->events, 0);
    assert_true(event->vm_id == 83 && event->time_ns == 7 && event->source == EVENT_OPENNEBULA);
    CHECK_TEXT(event->host, "h", "host");
    CHECK_TEXT(event->state, "ACTIVE", "state");
    CHECK_TEXT(event->lcm_state, "RUNNING", "lcm_state");
    CHECK_TEXT(event->vm_name, "web", "name");
    CHECK_TEXT(event->owner, "alice", "owner");
    CHECK_TEXT(event->previous_state, "PENDING", "previous_state");
    CHECK_TEXT(event->previous_lcm_state, "PROLOG", "previous_lcm_state");
    CHECK_TEXT(event->reason, "user", "reason");
    assert_true(vm_event_meaning(event) == EVENT_RUNS);
}

/* --- refusals --- */

static void refused_lines_are_named(void **state)
{
    (void)state;
    g_autoptr(GString) text = g_string_new("vm_totals,VMID=1 cputime=1i 1\n");
    for (guint i = 0; i < 2 * LINE_REFUSALS_MAX; i++)
        g_string_append(text, "bad \xff line\n");
    g_autoptr(LineSamples) read = line_samples_read(text->str, text->len, 1, NOW);
    assert_int_equal(read->points, 1);
    assert_int_equal(read->refused, 2 * LINE_REFUSALS_MAX);
    assert_int_equal(read->refusals->len, LINE_REFUSALS_MAX);
    const LineRefusal *refusal = g_ptr_array_index(read->refusals, 1);
    assert_int_equal(refusal->line, 3);
    assert_true(g_utf8_validate(refusal->original, -1, NULL));
    assert_true(g_str_has_prefix(refusal->message, "line 3"));
}

static void sinks_are_bounded(void **state)
{
    (void)state;
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < LINE_SINKS_MAX + 5; i++)
        g_string_append_printf(text, "host_totals,host=h,sink=s%u failures=1i 1\n", i);
    g_autoptr(LineSamples) read = line_samples_read(text->str, text->len, 1, NOW);
    assert_int_equal(sample_at(read, 0)->sinks->len, LINE_SINKS_MAX);
    assert_int_equal(read->foreign, 5);
}

/* n lines of a series vm_…, numbered from 0. */
static void append_numbered(GString *text, const char *before, const char *after, guint n)
{
    for (guint i = 0; i < n; i++)
        g_string_append_printf(text, "vm_%s%u%s\n", before, i, after);
}

static void each_device_is_one_row_up_to_the_limit(void **state)
{
    (void)state;
    static const struct {
        const char *before;
        Scope scope;
        Metric m;
        const char *first, *second; /* fields of the two lines of each */
    } kinds[] = {
        {"devices,VMID=1,devtype=nic,device=d", SCOPE_NIC, METRIC_NIC_RX_BYTES, " rxbytes=1i 1", " rxbytes=2i 1"},
        {"devices,VMID=1,devtype=disk,device=d", SCOPE_DISK, METRIC_DISK_RD_BYTES, " rd_bytes=1i 1", " rd_bytes=2i 1"},
        {"vcpus,VMID=1,vcpu=", SCOPE_VCPU, METRIC_VCPU_TIME, " cputime=1i 1", " cputime=2i 1"},
    };
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint k = 0; k < G_N_ELEMENTS(kinds); k++) {
        append_numbered(text, kinds[k].before, kinds[k].first, SAMPLE_DEVICES_MAX + 5);
        append_numbered(text, kinds[k].before, kinds[k].second, SAMPLE_DEVICES_MAX);
    }
    g_autoptr(LineSamples) read = read_text(text->str);
    assert_int_equal(read->foreign, 5 * G_N_ELEMENTS(kinds));
    assert_false(read->too_many);
    for (guint k = 0; k < G_N_ELEMENTS(kinds); k++) {
        const GPtrArray *found = vm_sample_rows(vm_at(sample_at(read, 0), 0), kinds[k].scope);
        CHECK(found->len == SAMPLE_DEVICES_MAX, "kind %u: %u rows", k, found->len);
        for (guint i = 0; i < found->len; i++) {
            const MetricRow *row = g_ptr_array_index(found, i);
            CHECK(row->index == i && row_u64(row, kinds[k].m) == 2, "kind %u, row %u", k, i);
        }
    }
}

/* Names are a device's within its VM and kind alone. */
static void devices_of_the_same_name_are_kept_apart(void **state)
{
    (void)state;
    g_autoptr(LineSamples) read = read_text("vm_devices,VMID=1,devtype=nic,device=a rxbytes=1i 1\n"
                                            "vm_devices,VMID=1,devtype=disk,device=a rd_bytes=2i 1\n"
                                            "vm_devices,VMID=2,devtype=nic,device=a rxbytes=3i 1\n"
                                            "vm_devices,VMID=1,devtype=nic,device=a rxbytes=4i 2\n"
                                            "vm_vcpus,VMID=1,vcpu=0 cputime=5i 1\n"
                                            "vm_vcpus,VMID=2,vcpu=0 cputime=6i 1\n");
    assert_int_equal(read->samples->len, 2);
    const VmSample *one = vm_at(sample_at(read, 0), 0), *two = vm_at(sample_at(read, 0), 1);
    const VmSample *later = vm_at(sample_at(read, 1), 0);
    assert_true(one->nics->len == 1 && one->disks->len == 1 && two->nics->len == 1 && later->nics->len == 1);
    assert_true(row_u64(one->nics->pdata[0], METRIC_NIC_RX_BYTES) == 1);
    assert_true(row_u64(one->disks->pdata[0], METRIC_DISK_RD_BYTES) == 2);
    assert_true(row_u64(two->nics->pdata[0], METRIC_NIC_RX_BYTES) == 3);
    assert_true(row_u64(later->nics->pdata[0], METRIC_NIC_RX_BYTES) == 4);
    assert_true(row_u64(one->vcpus->pdata[0], METRIC_VCPU_TIME) == 5);
    assert_true(row_u64(two->vcpus->pdata[0], METRIC_VCPU_TIME) == 6);
}

/* Lines of each kind of thing: n of them make n things and `more`. */
static const struct {
    const char *label, *before, *after;
    guint more, each;
} things[] = {
    {"events", "events,VMID=", " a=1 1", 0, 1},
    {"VMs of one sample", "totals,VMID=", " a=1 1", 1, 1},
    {"samples with a VM", "totals,VMID=1,host=h", " a=1 1", 0, 2},
    {"devices of VMs of one sample", "devices,devtype=nic,device=a,VMID=", " a=1 1", 1, 2},
    {"vCPUs of VMs of one sample", "vcpus,vcpu=0,VMID=", " a=1 1", 1, 2},
};

static void all_things_are_bounded(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(things); i++) {
        const guint most = (LINE_THINGS_MAX - things[i].more) / things[i].each;
        g_autoptr(GString) text = g_string_new(NULL);
        append_numbered(text, things[i].before, things[i].after, most);
        g_autoptr(LineSamples) fits = read_text(text->str);
        CHECK(!fits->too_many && fits->points == most && fits->foreign == 0, "%s", things[i].label);
        g_string_truncate(text, 0);
        append_numbered(text, things[i].before, things[i].after, most + 1000);
        g_autoptr(LineSamples) read = read_text(text->str);
        CHECK(read->too_many && read->points == most + 1, "%s: %u points", things[i].label, read->points);
    }
}

/* --- there and back --- */

/* Whether a value can come back as it was: integers up to 2^63 - 1, texts that no writer had to change. */
static bool comes_back(const MetricRow *row, Metric m)
{
    const MetricInfo *info = &metric_info[m];
    if (!info->line || !row_has(row, m))
        return false;
    if (info->kind == KIND_TEXT)
        return false; /* test_line_roundtrip holds the escapes */
    return info->kind == KIND_REAL || row_u64(row, m) <= G_MAXINT64;
}

static void check_row(const MetricRow *got, const MetricRow *want, const char *what)
{
    for (guint i = 0; i < metric_count(want->scope); i++) {
        Metric m = metric_first(want->scope) + i;
        if (!comes_back(want, m))
            continue;
        CHECK(row_has(got, m), "%s: %s is missing", what, metric_info[m].name);
        CHECK(memcmp(&got->value[i], &want->value[i], sizeof got->value[0]) == 0, "%s: %s differs", what,
              metric_info[m].name);
    }
}

static void what_is_written_comes_back(void **state)
{
    (void)state;
    for (guint32 seed = 1; seed <= 20; seed++) {
        g_autoptr(Sample) sample = build_full_sample(5, seed);
        sample->host = g_strdup("kvm1");
        sample->realtime_ns = NOW + seed;
        for (guint i = 0; i < sample->vms->len; i++) {
            g_autofree char *nic = g_strdup_printf("tap%u", i);
            row_set_u64(build_nic(vm_at(sample, i), 3, nic), METRIC_NIC_RX_BYTES, seed + i);
            row_set_u64(build_disk(vm_at(sample, i), 2, "vda"), METRIC_DISK_RD_BYTES, seed * 2 + i);
            row_set_u64(vm_sample_row(vm_at(sample, i), SCOPE_VCPU, 7), METRIC_VCPU_TIME, seed * 3 + i);
        }
        row_set_u64(sample->row, METRIC_HOST_DOMAINS, 5);
        g_autoptr(GString) text = line_protocol_write(sample, SERIES_ALL);
        g_autoptr(LineSamples) read = line_samples_read(text->str, text->len, 1, 0);
        assert_int_equal(read->refused + read->foreign, 0);
        assert_int_equal(read->samples->len, 1);
        const Sample *got = sample_at(read, 0);
        CHECK_TEXT(got->host, "kvm1", "host");
        assert_true(got->realtime_ns == sample->realtime_ns && line_samples_is_whole(got));
        assert_int_equal(got->vms->len, 5);
        for (guint i = 0; i < 5; i++) {
            const VmSample *a = vm_at(got, i), *b = vm_at(sample, i);
            CHECK_TEXT(a->uuid, b->uuid, "uuid");
            check_row(a->row, b->row, "VM");
            check_row(g_ptr_array_index(a->nics, 0), g_ptr_array_index(b->nics, b->nics->len - 1), "NIC");
            check_row(g_ptr_array_index(a->disks, 0), g_ptr_array_index(b->disks, b->disks->len - 1), "disk");
            check_row(g_ptr_array_index(a->vcpus, 0), g_ptr_array_index(b->vcpus, b->vcpus->len - 1), "vCPU");
            assert_int_equal(((MetricRow *)g_ptr_array_index(a->vcpus, 0))->index, 7);
        }
    }
}

/* Texts of devices are tags: each device gets others, with what has to be escaped. Of random ones two names might
 * become one, or none be left, and a backslash before an escape is read twice (line_protocol.h). */
static void set_device_texts(const GPtrArray *devices)
{
    for (guint i = 0; i < devices->len; i++) {
        MetricRow *row = g_ptr_array_index(devices, i);
        g_autofree char *text = g_strdup_printf("a, b=%u\\c", i);
        for (guint k = 0; k < metric_count(row->scope); k++)
            if (metric_info[metric_first(row->scope) + k].kind == KIND_TEXT)
                row_set_text(row, metric_first(row->scope) + k, text);
    }
}

static const char *difference(const char *got, const char *want)
{
    while (*got && *got == *want)
        got++, want++;
    return got;
}

/* Of any sample: what is written of it comes back as what is written of what was read, to the letter. */
static void any_sample_is_written_again_as_it_was(void **state)
{
    (void)state;
    for (guint32 seed = 1; seed <= 100; seed++) {
        g_autoptr(Sample) sample = build_random_sample(6, seed);
        for (guint i = 0; i < sample->vms->len; i++) {
            set_device_texts(vm_at(sample, i)->nics);
            set_device_texts(vm_at(sample, i)->disks);
        }
        g_autoptr(GString) text = line_protocol_write(sample, SERIES_ALL);
        g_autoptr(LineSamples) read = line_samples_read(text->str, text->len, 1, 0);
        CHECK(read->refused == 0 && read->foreign == 0 && read->samples->len == 1,
              "seed %u: %u refused, %u foreign, %u samples", seed, read->refused, read->foreign, read->samples->len);
        g_autoptr(GString) again = line_protocol_write(sample_at(read, 0), SERIES_ALL);
        g_auto(GStrv) got = g_strsplit(again->str, "\n", 0);
        g_auto(GStrv) want = g_strsplit(text->str, "\n", 0);
        assert_int_equal(g_strv_length(got), g_strv_length(want));
        for (guint i = 0; want[i]; i++)
            CHECK(strcmp(got[i], want[i]) == 0, "seed %u, line %u, from %s", seed, i + 1, difference(got[i], want[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_lines),
        cmocka_unit_test(values_are_taken_where_they_fit),
        cmocka_unit_test(the_name_goes_before_the_number),
        cmocka_unit_test(times),
        cmocka_unit_test(points_of_one_host_and_time_are_one_sample),
        cmocka_unit_test(events),
        cmocka_unit_test(refused_lines_are_named),
        cmocka_unit_test(sinks_are_bounded),
        cmocka_unit_test(each_device_is_one_row_up_to_the_limit),
        cmocka_unit_test(devices_of_the_same_name_are_kept_apart),
        cmocka_unit_test(all_things_are_bounded),
        cmocka_unit_test(what_is_written_comes_back),
        cmocka_unit_test(any_sample_is_written_again_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
