/* SPDX-License-Identifier: Apache-2.0
 * The store's rules, one after the other, with clocks made by hand. */
#include "gather_helpers.h"
#include "store/store.h"

#include <string.h>

#define S G_GINT64_CONSTANT(1000000000)
#define BEGIN (1700000000 * S)

static const StoreOptions standard = {
    .stale_after_ms = 90000, .gone_after_ms = 3600000, .forget_after_ms = 7200000, .max_vms = 100};

typedef struct {
    Store *store;
    gint64 seconds; /* since BEGIN */
} Case;

static StoreClock at(const Case *c)
{
    return (StoreClock){.real_ns = BEGIN + c->seconds * S, .mono_ns = (1000 + c->seconds) * S};
}

static int set_up(void **state)
{
    Case *c = g_new0(Case, 1);
    c->store = store_new(&standard);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    Case *c = *state;
    store_free(c->store);
    g_free(c);
    return 0;
}

/* --- samples --- */

static Sample *sample_of(const Case *c, const char *host, gint64 seconds)
{
    (void)c;
    Sample *sample = sample_new();
    sample->host = g_strdup(host);
    sample->realtime_ns = BEGIN + seconds * S;
    return sample;
}

/* A running VM with that CPU time in seconds. */
static VmSample *put_vm(Sample *sample, guint64 id, const char *uuid, gint64 cpu_s)
{
    g_autofree char *name = g_strdup_printf("one-%" G_GUINT64_FORMAT, id);
    VmSample *vm = add_vm(sample, name, uuid, -1);
    row_set_u64(vm->row, METRIC_VM_STATE, 1);
    row_set_u64(vm->row, METRIC_VM_VCPUS, 2);
    if (cpu_s >= 0)
        row_set_u64(vm->row, METRIC_VM_CPU_TIME, (guint64)(cpu_s * S));
    row_set_u64(vm->row, METRIC_VM_BALLOON_CURRENT, 512);
    row_set_u64(vm->row, METRIC_VM_MEMORY_MAX, 1024);
    return vm;
}

static StoreChange *take(const Case *c, Sample *sample, bool whole)
{
    return store_take(c->store, sample, SOURCE_PROBES, NULL, whole, at(c));
}

static StoreChange *collect(const Case *c, Sample *sample)
{
    return store_take(c->store, sample, SOURCE_COLLECTOR, "qemu:///system", true, at(c));
}

/* One VM by probes, now. */
static void probe(const Case *c, const char *host, guint64 id, gint64 cpu_s)
{
    Sample *sample = sample_of(c, host, c->seconds);
    put_vm(sample, id, "u", cpu_s);
    store_change_free(take(c, sample, true));
}

static void collect_one(const Case *c, guint64 id, gint64 cpu_s)
{
    Sample *sample = sample_of(c, "kvm1", c->seconds);
    put_vm(sample, id, "u", cpu_s);
    store_change_free(collect(c, sample));
}

/* A whole collection without a VM. */
static void probe_nothing(const Case *c, const char *host)
{
    Sample *sample = sample_of(c, host, c->seconds);
    row_set_u64(sample->row, METRIC_HOST_DOMAINS, 0);
    store_change_free(take(c, sample, true));
}

/* --- what is listed --- */

static guint count(const Case *c, StoreWhich which)
{
    g_autoptr(GArray) views = store_list(c->store, which, at(c));
    return views->len;
}

/* The only VM with that id; fails where it is not known. Its record lives as long as the store keeps it. */
static VmView look(const Case *c, guint64 id)
{
    VmView view = {0};
    if (!store_find(c->store, id, at(c), &view))
        fail_msg("VM %u is not known", (guint)id);
    vm_record_unref(view.record);
    return view;
}

static void check_telemetry(const Case *c, guint64 id, Telemetry want, const char *label)
{
    CHECK_TEXT(telemetry_name(look(c, id).telemetry), telemetry_name(want), label);
}

static void fresh_warming_stale_missing(void **state)
{
    Case *c = *state;
    probe(c, "kvm1", 83, 10);
    check_telemetry(c, 83, TELEMETRY_WARMING_UP, "the first sample");
    c->seconds = 30;
    probe(c, "kvm1", 83, 25);
    check_telemetry(c, 83, TELEMETRY_OK, "the second");
    c->seconds = 30 + 90;
    check_telemetry(c, 83, TELEMETRY_OK, "at the limit");
    c->seconds = 30 + 91;
    check_telemetry(c, 83, TELEMETRY_STALE, "behind it");
    assert_true(look(c, 83).age_ms == 91000);
    assert_true(row_u64(look(c, 83).record->sample->row, METRIC_VM_CPU_TIME) == (guint64)(25 * S));
    assert_int_equal(count(c, STORE_LIVE), 1);
    probe(c, "kvm1", 83, 26);
    check_telemetry(c, 83, TELEMETRY_OK, "fresh again");
}

static void a_delayed_sample_is_as_old_as_it_is(void **state)
{
    Case *c = *state;
    Sample *sample = sample_of(c, "kvm1", -600);
    put_vm(sample, 83, "u", 5);
    store_change_free(take(c, sample, true));
    assert_true(look(c, 83).age_ms == 600000);
    check_telemetry(c, 83, TELEMETRY_STALE, "ten minutes on the way");
}

static void ages_are_by_the_steady_clock(void **state)
{
    Case *c = *state;
    probe(c, "kvm1", 83, 5);
    VmView view;
    StoreClock jumped = at(c);
    jumped.real_ns += 86400 * S;
    jumped.mono_ns += 3 * S;
    assert_true(store_find(c->store, 83, jumped, &view));
    assert_true(view.age_ms == 3000);
    vm_record_unref(view.record);
}

static void what_two_samples_give_is_derived(void **state)
{
    Case *c = *state;
    probe(c, "kvm1", 83, 10);
    c->seconds = 30;
    probe(c, "kvm1", 83, 25); /* 15 s of 30 s, of two vCPUs */
    const MetricRow *row = look(c, 83).record->sample->row;
    assert_true(row_real(row, METRIC_VM_CPU_USAGE_PERCENT) == 25.0);
    assert_true(row_real(row, METRIC_VM_CPU_CORE_PERCENT) == 50.0);
    assert_true(row_real(row, METRIC_VM_MEMORY_USAGE_PERCENT) == 50.0);
    assert_false(look(c, 83).record->has_cpu_change);
    c->seconds = 40;
    probe(c, "kvm1", 83, 40); /* 75 % */
    const VmRecord *record = look(c, 83).record;
    assert_true(record->has_cpu_change && record->cpu_change == 5.0);
    assert_true(record->has_memory_change && record->memory_change == 0.0);
}

static void after_more_than_an_hour_it_warms_up_again(void **state)
{
    Case *c = *state;
    probe(c, "kvm1", 83, 10);
    c->seconds = 3601;
    probe(c, "kvm1", 83, 25);
    check_telemetry(c, 83, TELEMETRY_WARMING_UP, "no rate over so long");
    c->seconds = 3631;
    probe(c, "kvm1", 83, 40);
    check_telemetry(c, 83, TELEMETRY_OK, "the next");
}

static void what_the_sender_derived_stays(void **state)
{
    Case *c = *state;
    for (c->seconds = 0; c->seconds <= 30; c->seconds += 30) {
        Sample *sample = sample_of(c, "kvm1", c->seconds);
        VmSample *vm = put_vm(sample, 83, "u", c->seconds);
        row_set_real(vm->row, METRIC_VM_CPU_USAGE_PERCENT, 7);
        row_set_real(vm->row, METRIC_VM_MEMORY_USAGE_PERCENT, 8);
        store_change_free(take(c, sample, true));
    }
    assert_true(row_real(look(c, 83).record->sample->row, METRIC_VM_CPU_USAGE_PERCENT) == 7);
    assert_false(row_has(look(c, 83).record->sample->row, METRIC_VM_CPU_CORE_PERCENT));
}

static void sums_without_devices_have_rates(void **state)
{
    Case *c = *state;
    for (c->seconds = 0; c->seconds <= 10; c->seconds += 10) {
        Sample *sample = sample_of(c, "kvm1", c->seconds);
        VmSample *vm = put_vm(sample, 83, "u", c->seconds);
        row_set_u64(vm->row, METRIC_VM_NET_RX_BYTES, (guint64)(1000 + 50 * c->seconds));
        store_change_free(take(c, sample, true));
    }
    assert_true(row_real(look(c, 83).record->sample->row, METRIC_VM_NET_RX_BYTES_RATE) == 50.0);
}

/* --- pieces, late ones, texts --- */

static void pieces_of_one_collection_are_put_together(void **state)
{
    Case *c = *state;
    Sample *first = sample_of(c, "kvm1", 0), *second = sample_of(c, "kvm1", 0), *again = sample_of(c, "kvm1", 0);
    put_vm(first, 83, "u", 5);
    VmSample *vm = add_vm(second, "one-83", "u", -1);
    MetricRow *nic = vm_sample_row(vm, SCOPE_NIC, 0);
    row_set_text(nic, METRIC_NIC_NAME, "tap0");
    row_set_u64(nic, METRIC_NIC_RX_BYTES, 9);
    row_set_u64(vm->row, METRIC_VM_MEMORY_UNUSED, 77);
    put_vm(again, 83, "u", 5);
    g_autoptr(StoreChange) one = take(c, first, false);
    g_autoptr(StoreChange) two = take(c, second, false);
    g_autoptr(StoreChange) three = take(c, again, false);
    assert_true(one->taken->len == 1 && two->taken->len == 0 && two->named->len == 1);
    assert_int_equal(two->pieces->len, 1); /* it has figures for the history */
    assert_true(three->taken->len == 0 && three->named->len == 0 && three->pieces->len == 0); /* sent twice */
    assert_int_equal(look(c, 83).record->sample->nics->len, 1);
    assert_true(row_has(look(c, 83).record->sample->row, METRIC_VM_CPU_TIME));
}

static void older_ones_are_for_the_history(void **state)
{
    Case *c = *state;
    c->seconds = 60;
    probe(c, "kvm1", 83, 50);
    Sample *sample = sample_of(c, "kvm1", 30);
    put_vm(sample, 83, "u", 20);
    g_autoptr(StoreChange) change = take(c, sample, true);
    assert_true(change->taken->len == 0 && change->late->len == 1);
    assert_true(((VmRecord *)g_ptr_array_index(change->late, 0))->time_ns == BEGIN + 30 * S);
    assert_true(look(c, 83).record->time_ns == BEGIN + 60 * S);
}

static void texts_stay_over_samples(void **state)
{
    Case *c = *state;
    probe(c, "kvm1", 83, 5);
    Sample *info = sample_of(c, "kvm1", -30); /* whatever its time */
    row_set_text(add_vm(info, "one-83", "u", -1)->row, METRIC_VM_VM_NAME, "web");
    g_autoptr(StoreChange) change = take(c, info, false);
    assert_true(change->named->len == 1 && change->late->len == 0);
    c->seconds = 30;
    probe(c, "kvm1", 83, 6);
    CHECK_TEXT(row_text(look(c, 83).record->sample->row, METRIC_VM_VM_NAME), "web", "vm_name");
    Sample *same = sample_of(c, "kvm1", 30);
    row_set_text(add_vm(same, "one-83", "u", -1)->row, METRIC_VM_VM_NAME, "web");
    const guint64 before = store_version(c->store);
    g_autoptr(StoreChange) nothing = take(c, same, false);
    assert_int_equal(nothing->named->len, 0);
    (void)before;
    c->seconds = 60; /* another machine behind the same number */
    Sample *other = sample_of(c, "kvm1", 60);
    put_vm(other, 83, "v", 1);
    store_change_free(take(c, other, true));
    assert_null(row_text(look(c, 83).record->sample->row, METRIC_VM_VM_NAME));
}

static void a_vm_of_texts_alone_is_missing(void **state)
{
    Case *c = *state;
    Sample *info = sample_of(c, "kvm1", 0);
    row_set_text(add_vm(info, "one-83", "u", -1)->row, METRIC_VM_VM_NAME, "web");
    store_change_free(take(c, info, false));
    check_telemetry(c, 83, TELEMETRY_MISSING, "no figures");
    assert_int_equal(count(c, STORE_LIVE), 1);
    c->seconds = 5;
    probe(c, "kvm1", 83, 5);
    check_telemetry(c, 83, TELEMETRY_WARMING_UP, "figures");
    CHECK_TEXT(row_text(look(c, 83).record->sample->row, METRIC_VM_VM_NAME), "web", "vm_name");
}

static void a_clock_that_was_ahead_holds_nothing_up(void **state)
{
    Case *c = *state;
    Sample *ahead = sample_of(c, "kvm1", 365 * 86400);
    put_vm(ahead, 83, "u", 5);
    store_change_free(take(c, ahead, true));
    c->seconds = 30;
    probe(c, "kvm1", 83, 6);
    assert_true(look(c, 83).record->time_ns == BEGIN + 30 * S);
}

/* --- locked --- */

static void last_figures_of_a_locked_vm_are_kept(void **state)
{
    Case *c = *state;
    Sample *sample = sample_of(c, "kvm1", 0);
    VmSample *vm = put_vm(sample, 83, "u", 5);
    row_set_u64(vm->row, METRIC_VM_DISK_RD_BYTES, 77);
    row_set_real(vm->row, METRIC_VM_DISK_RD_BYTES_RATE, 9);
    store_change_free(take(c, sample, true));
    for (c->seconds = 30; c->seconds <= 60; c->seconds += 30) {
        sample = sample_of(c, "kvm1", c->seconds);
        row_set_u64(put_vm(sample, 83, "u", 6)->row, METRIC_VM_LOCKED, 1);
        store_change_free(take(c, sample, true));
        const VmRecord *record = look(c, 83).record;
        assert_non_null(record->known);
        assert_true(row_u64(record->known, METRIC_VM_DISK_RD_BYTES) == 77);
        assert_false(row_has(record->known, METRIC_VM_DISK_RD_BYTES_RATE)); /* a rate is of then */
        assert_false(row_has(record->known, METRIC_VM_CPU_TIME));           /* known now */
        assert_false(row_has(record->sample->row, METRIC_VM_DISK_RD_BYTES));
    }
    sample = sample_of(c, "kvm1", c->seconds);
    row_set_u64(put_vm(sample, 83, "u", 7)->row, METRIC_VM_DISK_RD_BYTES, 78);
    store_change_free(take(c, sample, true));
    assert_null(look(c, 83).record->known);
}

/* A sender at one second reads the disks now and then, and says nothing of them meanwhile. */
static void figures_that_were_not_read_anew_are_kept(void **state)
{
    Case *c = *state;
    for (guint round = 0; round < 2; round++) {
        Sample *sample = sample_of(c, "kvm1", c->seconds);
        VmSample *vm = put_vm(sample, 83, "u", 5);
        row_set_u64(vm->row, METRIC_VM_DISK_RD_BYTES, 77 + round);
        row_set_real(vm->row, METRIC_VM_DISK_RD_BYTES_RATE, 9);
        row_set_u64(vm->row, METRIC_VM_MEMORY_USABLE, 512);
        row_set_u64(vm->row, METRIC_VM_NET_RX_BYTES, 4);
        store_change_free(take(c, sample, true));
        assert_null(look(c, 83).record->known);
        for (guint i = 0; i < 3; i++) {
            c->seconds++;
            probe(c, "kvm1", 83, 6 + i);
            const VmRecord *record = look(c, 83).record;
            assert_non_null(record->known);
            assert_true(row_u64(record->known, METRIC_VM_DISK_RD_BYTES) == 77 + round);
            assert_true(row_real(record->known, METRIC_VM_DISK_RD_BYTES_RATE) == 9); /* of the same reading */
            assert_true(row_u64(record->known, METRIC_VM_MEMORY_USABLE) == 512);
            assert_false(row_has(record->known, METRIC_VM_NET_RX_BYTES)); /* what is read each time is unknown then */
            assert_false(row_has(record->known, METRIC_VM_CPU_TIME));
            assert_false(row_has(record->sample->row, METRIC_VM_DISK_RD_BYTES));
        }
        c->seconds++;
    }
    Sample *sample = sample_of(c, "kvm1", c->seconds); /* the guest alone: its group is whole */
    row_set_u64(put_vm(sample, 83, "u", 9)->row, METRIC_VM_BALLOON_LAST_UPDATE, 5);
    store_change_free(take(c, sample, true));
    assert_false(row_has(look(c, 83).record->known, METRIC_VM_MEMORY_USABLE));
    assert_true(row_has(look(c, 83).record->known, METRIC_VM_DISK_RD_BYTES));
    c->seconds++;
    probe(c, "kvm1", 83, 1); /* started anew */
    assert_null(look(c, 83).record->known);
}

/* --- ended --- */

static void the_collector_ends_at_once(void **state)
{
    Case *c = *state;
    collect_one(c, 83, 5);
    c->seconds = 1;
    Sample *sample = sample_of(c, "kvm1", 1);
    g_autoptr(StoreChange) change = collect(c, sample);
    assert_int_equal(change->ended->len, 1);
    assert_int_equal(count(c, STORE_LIVE), 0);
    assert_int_equal(count(c, STORE_ALL), 1);
    c->seconds = 2;
    collect_one(c, 83, 1);
    assert_int_equal(count(c, STORE_LIVE), 1);
}

static void probes_end_after_two_collections(void **state)
{
    Case *c = *state;
    probe(c, "kvm1", 83, 5);
    probe_nothing(c, "kvm1"); /* the same collection */
    c->seconds = 30;
    probe_nothing(c, "kvm1");
    assert_int_equal(count(c, STORE_LIVE), 1);
    c->seconds = 45;
    probe_nothing(c, "kvm2"); /* another host's has no say */
    assert_int_equal(count(c, STORE_LIVE), 1);
    c->seconds = 60;
    probe_nothing(c, "kvm1");
    assert_int_equal(count(c, STORE_LIVE), 0);
}

static void probes_end_what_a_silent_collector_had(void **state)
{
    Case *c = *state;
    collect_one(c, 83, 5);
    for (c->seconds = 30; c->seconds <= 60; c->seconds += 30) {
        probe_nothing(c, "kvm1");
        assert_int_equal(count(c, STORE_LIVE), 1); /* the collector had the word a moment ago */
    }
    for (c->seconds = 120; c->seconds <= 180; c->seconds += 30)
        probe_nothing(c, "kvm1");
    assert_int_equal(count(c, STORE_LIVE), 0);
}

static void a_host_that_misses_figures_ends_nobody(void **state)
{
    Case *c = *state;
    collect_one(c, 83, 5);
    for (c->seconds = 1; c->seconds < 5; c->seconds++) {
        Sample *sample = sample_of(c, "kvm1", c->seconds);
        row_set_u64(sample->row, METRIC_HOST_MISSING, 1);
        store_change_free(collect(c, sample));
        assert_int_equal(count(c, STORE_LIVE), 1);
    }
}

static void a_piece_ends_nobody(void **state)
{
    Case *c = *state;
    probe(c, "kvm1", 83, 5);
    for (c->seconds = 30; c->seconds < 200; c->seconds += 30) {
        Sample *sample = sample_of(c, "kvm1", c->seconds);
        put_vm(sample, 84, "v", c->seconds);
        store_change_free(take(c, sample, false));
    }
    assert_int_equal(count(c, STORE_LIVE), 2);
}

static void who_is_not_heard_of_goes(void **state)
{
    Case *c = *state;
    StoreChange *change;
    probe(c, "kvm1", 83, 5);
    c->seconds = 3600;
    store_tick(c->store, at(c), &change);
    store_change_free(change);
    assert_int_equal(count(c, STORE_LIVE), 1);
    c->seconds = 3601;
    assert_true(store_tick(c->store, at(c), &change));
    assert_int_equal(change->ended->len, 1);
    store_change_free(change);
    assert_int_equal(count(c, STORE_LIVE), 0);
    c->seconds = 3601 + 7201;
    store_tick(c->store, at(c), &change);
    store_change_free(change);
    assert_int_equal(count(c, STORE_ALL), 0);
}

static void a_tick_moves_the_version_when_something_gets_stale(void **state)
{
    Case *c = *state;
    StoreChange *change;
    probe(c, "kvm1", 83, 5);
    c->seconds = 89;
    const guint64 before = store_version(c->store);
    assert_false(store_tick(c->store, at(c), &change));
    store_change_free(change);
    assert_true(store_version(c->store) == before);
    c->seconds = 91;
    assert_true(store_tick(c->store, at(c), &change));
    assert_true(change->aged && change->ended->len == 0);
    store_change_free(change);
    assert_true(store_version(c->store) > before);
    probe(c, "kvm1", 84, 5);
    c->seconds = 3650; /* one goes while another gets stale */
    assert_true(store_tick(c->store, at(c), &change));
    assert_true(change->aged && change->ended->len == 1);
    store_change_free(change);
}

/* --- a collector that fails --- */

static void a_failing_collector_makes_stale_at_once(void **state)
{
    Case *c = *state;
    collect_one(c, 83, 5);
    c->seconds = 1;
    collect_one(c, 83, 6);
    check_telemetry(c, 83, TELEMETRY_OK, "well");
    store_origin_failed(c->store, "qemu:///other", at(c));
    check_telemetry(c, 83, TELEMETRY_OK, "another one fails");
    store_origin_failed(c->store, "qemu:///system", at(c));
    check_telemetry(c, 83, TELEMETRY_STALE, "failing");
    assert_int_equal(count(c, STORE_LIVE), 1);
    g_autoptr(GPtrArray) hosts = store_hosts(c->store, at(c));
    assert_true(((HostView *)g_ptr_array_index(hosts, 0))->failing);
    c->seconds = 2;
    collect_one(c, 83, 7);
    check_telemetry(c, 83, TELEMETRY_OK, "healed");
}

/* What a tick ends. */
static guint ends(const Case *c)
{
    StoreChange *change;
    store_tick(c->store, at(c), &change);
    const guint ended = change->ended->len;
    store_change_free(change);
    return ended;
}

static void none_goes_while_its_collector_fails(void **state)
{
    Case *c = *state;
    collect_one(c, 83, 5);
    probe(c, "kvm9", 84, 5);
    for (; c->seconds <= 7000; c->seconds += 1000) {
        const guint64 before = store_version(c->store);
        assert_true(store_origin_failed(c->store, "qemu:///system", at(c)) == (c->seconds == 0));
        assert_true((store_version(c->store) > before) == (c->seconds == 0));
        CHECK(ends(c) == (c->seconds == 4000), "after %d s",
              (int)c->seconds); /* the probes' one, whom nobody excuses */
    }
    check_telemetry(c, 83, TELEMETRY_STALE, "for hours");
    assert_int_equal(count(c, STORE_LIVE), 1);
    Sample *blurred = sample_of(c, "kvm1", c->seconds); /* it answers, but can't say whether the VM is there */
    row_set_u64(blurred->row, METRIC_HOST_MISSING, 1);
    store_change_free(collect(c, blurred));
    c->seconds += 2000;
    assert_int_equal(ends(c), 0); /* it has its whole time again */
    c->seconds += 1500;
    assert_int_equal(ends(c), 1);
}

static void a_failing_collector_that_heals_ends_by_its_word(void **state)
{
    Case *c = *state;
    collect_one(c, 83, 5);
    c->seconds = 5000;
    store_origin_failed(c->store, "qemu:///system", at(c));
    assert_int_equal(ends(c), 0);
    c->seconds = 5001;
    g_autoptr(StoreChange) change = collect(c, sample_of(c, "kvm1", c->seconds));
    assert_int_equal(change->ended->len, 1);
    assert_int_equal(count(c, STORE_LIVE), 0);
}

static void who_is_known_from_before_does_not_go_while_collectors_fail(void **state)
{
    Case *c = *state;
    VmRecord *record = vm_record_new(83, vm_sample_new("one-83"));
    record->source = SOURCE_COLLECTOR;
    store_restore(c->store, record, at(c));
    c->seconds = 3000;
    assert_false(store_origin_failed(c->store, "qemu:///system", at(c)));
    c->seconds = 6000;
    assert_int_equal(ends(c), 0);
    c->seconds = 6601; /* the collector was stopped: nobody fails any more */
    assert_int_equal(ends(c), 1);
}

static void a_collection_that_hangs_has_its_time_to_fail(void **state)
{
    Case *c = *state;
    StoreOptions options = standard;
    options.failure_ms = 20000;
    store_set_options(c->store, &options);
    collect_one(c, 83, 5);
    probe(c, "kvm9", 84, 5);
    c->seconds = 3601;
    assert_int_equal(ends(c), 1);
    c->seconds = 3620;
    assert_int_equal(ends(c), 0);
    c->seconds = 3621;
    assert_int_equal(ends(c), 1);
}

/* Who is asked for VMs and knows of none tells a reason then, so readers have to hear of it. */
static void failing_without_vms_is_a_change(void **state)
{
    Case *c = *state;
    guint64 before = store_version(c->store);
    assert_false(store_origin_failed(c->store, "qemu:///system", at(c)));
    assert_true(store_version(c->store) > before);
    before = store_version(c->store);
    store_origin_failed(c->store, "qemu:///system", at(c));
    assert_true(store_version(c->store) == before);
    store_origins_anew(c->store);
    assert_true(store_version(c->store) > before);
    before = store_version(c->store);
    store_origin_failed(c->store, "qemu:///system", at(c));
    assert_true(store_version(c->store) > before);
}

/* --- two speakers --- */

static void the_collector_goes_before_probes(void **state)
{
    Case *c = *state;
    collect_one(c, 83, 5);
    c->seconds = 1;
    Sample *sample = sample_of(c, "other-name", 1);
    VmSample *vm = put_vm(sample, 83, "u", 50);
    row_set_text(vm->row, METRIC_VM_VM_NAME, "web");
    g_autoptr(StoreChange) change = take(c, sample, true);
    assert_true(change->doubled == 1 && change->taken->len == 0 && change->named->len == 1);
    CHECK_TEXT(look(c, 83).record->host, "kvm1", "host");
    CHECK_TEXT(row_text(look(c, 83).record->sample->row, METRIC_VM_VM_NAME), "web", "its texts are taken");
    c->seconds = 95; /* the collector has been silent for too long */
    probe(c, "other-name", 83, 60);
    CHECK_TEXT(look(c, 83).record->host, "other-name", "host");
    assert_int_equal(count(c, STORE_ALL), 1);
}

static void a_vm_that_moves_is_one(void **state)
{
    Case *c = *state;
    probe(c, "kvm1", 83, 5);
    c->seconds = 10; /* it arrives: paused there, and runs here */
    Sample *arriving = sample_of(c, "kvm2", 10);
    row_set_u64(put_vm(arriving, 83, "u", 0)->row, METRIC_VM_STATE, 3);
    g_autoptr(StoreChange) ignored = take(c, arriving, true);
    assert_true(ignored->taken->len == 0 && ignored->doubled == 1);
    CHECK_TEXT(look(c, 83).record->host, "kvm1", "while it arrives");
    c->seconds = 20;
    Sample *left = sample_of(c, "kvm1", 20);
    row_set_u64(put_vm(left, 83, "u", 8)->row, METRIC_VM_STATE, 3);
    store_change_free(take(c, left, true));
    c->seconds = 21;
    Sample *runs = sample_of(c, "kvm2", 19); /* it runs there now, and that clock is a little behind */
    put_vm(runs, 83, "u", 1);
    g_autoptr(StoreChange) late = take(c, runs, true);
    (void)late;
    c->seconds = 40;
    probe(c, "kvm2", 83, 2);
    CHECK_TEXT(look(c, 83).record->host, "kvm2", "after it");
    c->seconds = 41;
    Sample *remains = sample_of(c, "kvm1", 41);
    row_set_u64(put_vm(remains, 83, "u", 8)->row, METRIC_VM_STATE, 3);
    store_change_free(take(c, remains, true));
    CHECK_TEXT(look(c, 83).record->host, "kvm2", "its source has no say");
    c->seconds = 80;
    probe_nothing(c, "kvm1");
    c->seconds = 81;
    probe_nothing(c, "kvm1");
    assert_int_equal(count(c, STORE_LIVE), 1);
    assert_int_equal(count(c, STORE_ALL), 1);
}

static StoreChange *collect_from(const Case *c, const char *uri, const char *host, bool there, guint64 state)
{
    Sample *sample = sample_of(c, host, c->seconds);
    if (there)
        row_set_u64(put_vm(sample, 83, "u", c->seconds)->row, METRIC_VM_STATE, state);
    return store_take(c->store, sample, SOURCE_COLLECTOR, uri, true, at(c));
}

/* From one of our collector's hosts to another: it is gone here before it was seen to run there. */
static void a_vm_that_moves_between_collectors_does_not_end(void **state)
{
    Case *c = *state;
    store_change_free(collect_from(c, "qemu+tls://kvm1/system", "kvm1", true, 1));
    c->seconds = 2;
    store_change_free(collect_from(c, "qemu+tls://kvm2/system", "kvm2", true, 3));
    CHECK_TEXT(look(c, 83).record->host, "kvm1", "while it arrives");
    c->seconds = 3;
    g_autoptr(StoreChange) gone = collect_from(c, "qemu+tls://kvm1/system", "kvm1", false, 0);
    assert_int_equal(gone->ended->len, 0);
    c->seconds = 5;
    g_autoptr(StoreChange) there = collect_from(c, "qemu+tls://kvm2/system", "kvm2", true, 1);
    assert_true(there->ended->len == 0);
    CHECK_TEXT(look(c, 83).record->host, "kvm2", "after it");
    c->seconds = 6;
    g_autoptr(StoreChange) end = collect_from(c, "qemu+tls://kvm2/system", "kvm2", false, 0);
    assert_int_equal(end->ended->len, 1);
}

/* --- OpenNebula's word --- */

static VmEvent *event_of(guint64 id, const char *one_state, const char *lcm_state, gint64 seconds)
{
    VmEvent *event = vm_event_new(EVENT_OPENNEBULA, id, BEGIN + seconds * S);
    event->state = g_strdup(one_state);
    event->lcm_state = g_strdup(lcm_state);
    event->vm_name = g_strdup("web");
    event->owner = g_strdup("alice");
    event->host = g_strdup("kvm1");
    return event;
}

static void tell(const Case *c, guint64 id, const char *one_state, const char *lcm_state, gint64 seconds, guint events)
{
    g_autoptr(VmEvent) event = event_of(id, one_state, lcm_state, seconds);
    g_autoptr(StoreChange) change = store_take_event(c->store, event, at(c));
    guint told = 0;
    for (guint i = 0; i < change->events->len; i++)
        told += ((VmEvent *)g_ptr_array_index(change->events, i))->source == EVENT_OPENNEBULA;
    CHECK(told == events, "%s/%s: %u events", one_state, lcm_state, told);
}

static void events_list_and_end(void **state)
{
    Case *c = *state;
    tell(c, 83, "3", "1", 0, 1); /* PROLOG: nothing runs yet */
    assert_int_equal(count(c, STORE_LIVE), 0);
    c->seconds = 5;
    tell(c, 83, "3", "3", 5, 1);
    tell(c, 83, "3", "3", 5, 0); /* the same once more */
    check_telemetry(c, 83, TELEMETRY_MISSING, "it runs, says OpenNebula");
    CHECK_TEXT(row_text(look(c, 83).record->sample->row, METRIC_VM_VM_NAME), "web", "name");
    CHECK_TEXT(look(c, 83).record->one_lcm_state, "RUNNING", "state");
    c->seconds = 30;
    probe(c, "kvm1", 83, 5);
    CHECK_TEXT(row_text(look(c, 83).record->sample->row, METRIC_VM_UNAME), "alice", "owner");
    c->seconds = 40;
    tell(c, 83, "8", "0", 40, 1);
    assert_int_equal(count(c, STORE_LIVE), 0);
    c->seconds = 41;
    Sample *sample = sample_of(c, "kvm1", 35); /* was on its way */
    put_vm(sample, 83, "u", 6);
    g_autoptr(StoreChange) change = take(c, sample, true);
    assert_true(change->late->len == 1);
    assert_int_equal(count(c, STORE_LIVE), 0);
    c->seconds = 100;
    probe(c, "kvm1", 83, 1);
    assert_int_equal(count(c, STORE_LIVE), 1);
}

static void an_old_event_ends_nobody(void **state)
{
    Case *c = *state;
    c->seconds = 60;
    probe(c, "kvm1", 83, 5);
    tell(c, 83, "8", "0", 30, 1);
    assert_int_equal(count(c, STORE_LIVE), 1);
    CHECK_TEXT(row_text(look(c, 83).record->sample->row, METRIC_VM_VM_NAME), "web", "its names are taken");
}

/* "appeared, ended …" of one VM, oldest first. Owned by the caller. */
static char *story(const Case *c, guint64 id)
{
    g_autoptr(GPtrArray) events = store_events(c->store, id, 100);
    GString *text = g_string_new(NULL);
    for (guint i = events->len; i-- > 0;) {
        const VmEvent *event = g_ptr_array_index(events, i);
        if (event->source == EVENT_SEEN)
            g_string_append_printf(text, "%s%s", text->len ? " " : "", event->state);
    }
    return g_string_free(text, FALSE);
}

static void what_is_seen_is_told(void **state)
{
    Case *c = *state;
    collect_one(c, 83, 5);
    c->seconds = 1;
    Sample *sample = sample_of(c, "kvm1", 1);
    row_set_u64(put_vm(sample, 83, "u", 6)->row, METRIC_VM_STATE, 3);
    store_change_free(collect(c, sample));
    c->seconds = 2;
    collect_one(c, 83, 7);
    c->seconds = 3;
    collect_one(c, 83, 0); /* its CPU time fell */
    c->seconds = 4;
    store_change_free(collect(c, sample_of(c, "kvm1", 4)));
    c->seconds = 5;
    collect_one(c, 83, 1);
    g_autofree char *told = story(c, 83);
    CHECK_TEXT(told, "appeared paused running restarted ended appeared", "story");
}

/* --- limits, restarts --- */

static void there_is_a_most(void **state)
{
    Case *c = *state;
    Sample *sample = sample_of(c, "kvm1", 0);
    for (guint i = 0; i < 120; i++)
        put_vm(sample, i + 1, NULL, 1);
    g_autoptr(StoreChange) change = take(c, sample, true);
    assert_true(change->refused == 20 && change->taken->len == 100);
    assert_int_equal(count(c, STORE_ALL), 100);
}

static void restored_ones_are_missing_until_they_speak(void **state)
{
    Case *c = *state;
    VmRecord *record = vm_record_new(83, vm_sample_new("one-83"));
    record->host = g_strdup("kvm1");
    record->source = SOURCE_COLLECTOR;
    store_restore(c->store, record, at(c));
    check_telemetry(c, 83, TELEMETRY_MISSING, "restored");
    assert_int_equal(count(c, STORE_LIVE), 1);
    c->seconds = 1;
    store_change_free(collect(c, sample_of(c, "kvm1", 1))); /* it has gone meanwhile */
    assert_int_equal(count(c, STORE_LIVE), 0);
}

static void lists_are_sorted(void **state)
{
    Case *c = *state;
    static const guint64 ids[] = {9, 3, 7, 1};
    for (guint i = 0; i < G_N_ELEMENTS(ids); i++)
        probe(c, "kvm1", ids[i], 1);
    g_autoptr(GArray) views = store_list(c->store, STORE_LIVE, at(c));
    assert_int_equal(views->len, 4);
    for (guint i = 1; i < views->len; i++)
        assert_true(g_array_index(views, VmView, i - 1).record->vm_id < g_array_index(views, VmView, i).record->vm_id);
}

static void hosts_tell_of_skew_and_interval(void **state)
{
    Case *c = *state;
    for (c->seconds = 0; c->seconds <= 60; c->seconds += 30) {
        Sample *sample = sample_of(c, "kvm1", c->seconds - 7);
        put_vm(sample, 83, "u", c->seconds);
        store_change_free(take(c, sample, true));
    }
    c->seconds = 65;
    g_autoptr(GPtrArray) hosts = store_hosts(c->store, at(c));
    assert_int_equal(hosts->len, 1);
    const HostView *host = g_ptr_array_index(hosts, 0);
    assert_true(host->interval_ms == 30000 && host->skew_ms == 7000 && host->vms == 1 && !host->failing);
    assert_true(host->age_ms == 12000 || host->age_ms == 42000 - 30000);
}

/* --- any order --- */

static void random_life(void **state)
{
    Case *c = *state;
    g_autoptr(GRand) random = seeded_random();
    guint64 version = store_version(c->store);
    for (guint step = 0; step < 5000; step++) {
        static const char *const hosts[] = {"kvm1", "kvm2", "kvm3"};
        c->seconds += g_rand_int_range(random, 0, 20);
        Sample *sample =
            sample_of(c, hosts[g_rand_int_range(random, 0, 3)], c->seconds - g_rand_int_range(random, 0, 60));
        for (guint i = (guint)g_rand_int_range(random, 0, 4); i-- > 0;) {
            VmSample *vm = put_vm(sample, (guint64)g_rand_int_range(random, 1, 9), g_rand_boolean(random) ? "u" : "v",
                                  g_rand_int_range(random, -1, 100));
            row_set_u64(vm->row, METRIC_VM_STATE, (guint64)g_rand_int_range(random, 1, 6));
            row_set_u64(vm->row, METRIC_VM_LOCKED, (guint64)g_rand_boolean(random));
        }
        const bool by_collector = g_rand_int_range(random, 0, 4) == 0, whole = g_rand_boolean(random);
        store_change_free(by_collector ? collect(c, sample) : take(c, sample, whole));
        if (g_rand_int_range(random, 0, 10) == 0)
            store_origin_failed(c->store, "qemu:///system", at(c));
        StoreChange *change;
        store_tick(c->store, at(c), &change);
        store_change_free(change);
        assert_true(store_version(c->store) > version);
        version = store_version(c->store);
        g_autoptr(GArray) views = store_list(c->store, STORE_ALL, at(c));
        for (guint i = 1; i < views->len; i++)
            assert_true(g_array_index(views, VmView, i - 1).record->vm_id <
                        g_array_index(views, VmView, i).record->vm_id);
    }
}

/* --- many at once --- */

typedef struct {
    Store *store;
    gint stop;
} Readers;

static gpointer read_on(gpointer data)
{
    Readers *readers = data;
    while (!g_atomic_int_get(&readers->stop)) {
        StoreClock now = {BEGIN, 1000 * S};
        g_autoptr(GArray) views = store_list(readers->store, STORE_ALL, now);
        for (guint i = 0; i < views->len; i++)
            row_u64(g_array_index(views, VmView, i).record->sample->row, METRIC_VM_CPU_TIME);
        g_autoptr(GPtrArray) hosts = store_hosts(readers->store, now);
        store_version(readers->store);
    }
    return NULL;
}

static void readers_beside_a_writer(void **state)
{
    Case *c = *state;
    Readers readers = {.store = c->store};
    GThread *threads[2] = {g_thread_new("reader", read_on, &readers), g_thread_new("reader", read_on, &readers)};
    for (c->seconds = 0; c->seconds < 300; c->seconds++) {
        Sample *sample = sample_of(c, "kvm1", c->seconds);
        for (guint i = 1; i <= 50; i++)
            put_vm(sample, i + (guint)c->seconds % 3, NULL, c->seconds);
        store_change_free(collect(c, sample));
    }
    g_atomic_int_set(&readers.stop, 1);
    for (guint i = 0; i < 2; i++)
        g_thread_join(threads[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(fresh_warming_stale_missing),
        TEST(a_delayed_sample_is_as_old_as_it_is),
        TEST(ages_are_by_the_steady_clock),
        TEST(what_two_samples_give_is_derived),
        TEST(after_more_than_an_hour_it_warms_up_again),
        TEST(what_the_sender_derived_stays),
        TEST(sums_without_devices_have_rates),
        TEST(pieces_of_one_collection_are_put_together),
        TEST(older_ones_are_for_the_history),
        TEST(texts_stay_over_samples),
        TEST(a_vm_of_texts_alone_is_missing),
        TEST(a_clock_that_was_ahead_holds_nothing_up),
        TEST(last_figures_of_a_locked_vm_are_kept),
        TEST(figures_that_were_not_read_anew_are_kept),
        TEST(the_collector_ends_at_once),
        TEST(probes_end_after_two_collections),
        TEST(a_host_that_misses_figures_ends_nobody),
        TEST(a_piece_ends_nobody),
        TEST(who_is_not_heard_of_goes),
        TEST(probes_end_what_a_silent_collector_had),
        TEST(a_vm_that_moves_between_collectors_does_not_end),
        TEST(a_tick_moves_the_version_when_something_gets_stale),
        TEST(a_failing_collector_makes_stale_at_once),
        TEST(none_goes_while_its_collector_fails),
        TEST(a_failing_collector_that_heals_ends_by_its_word),
        TEST(who_is_known_from_before_does_not_go_while_collectors_fail),
        TEST(a_collection_that_hangs_has_its_time_to_fail),
        TEST(failing_without_vms_is_a_change),
        TEST(the_collector_goes_before_probes),
        TEST(a_vm_that_moves_is_one),
        TEST(events_list_and_end),
        TEST(an_old_event_ends_nobody),
        TEST(what_is_seen_is_told),
        TEST(there_is_a_most),
        TEST(restored_ones_are_missing_until_they_speak),
        TEST(lists_are_sorted),
        TEST(hosts_tell_of_skew_and_interval),
        TEST(random_life),
        TEST(readers_beside_a_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
