/* SPDX-License-Identifier: Apache-2.0
 * What a batch of VMs is asked for, call by call, against a hypervisor that writes down each call and a /proc of files.
 * Each test goes from one sample to the next as collections do. */
#include "gather/ask.h"
#include "fake_proc.h"
#include "gather_helpers.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define GUESTS 3
#define NS_PER_S G_GINT64_CONSTANT(1000000000)
#define NICS "<interface type='bridge'><target dev='nic'/></interface>"
#define XML(more) "<domain><devices>" NICS more "</devices></domain>"
#define NET_DEV                                                                                                        \
    "Inter-|   Receive                                                |  Transmit\n"                                   \
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls "         \
    "carrier compressed\n"                                                                                             \
    "   nic: 501 502 503 504 0 0 0 0 511 512 513 514 0 0 0 0\n"

/* --- the fake --- */

typedef struct {
    char name[16], uuid[40], xml[256]; /* xml "": it can't be had */
    gint64 id;
    guint disks;
    bool job;           /* NOWAIT passes over it */
    bool disk_fails;    /* the call of one disk fails, or gives nothing */
    bool disk_is_empty; /* it succeeds, without a counter */
    bool job_ends;      /* it holds a job for one call more */
    guint ends_after;   /* it answers so many calls more, and has ended then; 0: it goes on */
    guint64 reads;      /* counter of its disks */
    bool restarted;     /* since it was listed */
    guint state;        /* since it was listed as running; 0: it still is */
} Guest;

static struct {
    Guest guests[GUESTS];
    GString *calls;
    bool stats_fail;
    char *root, *proc, *run;
} fake;

static Guest *guest_of(const char *uuid)
{
    for (guint i = 0; i < GUESTS; i++)
        if (strcmp(fake.guests[i].uuid, uuid) == 0)
            return &fake.guests[i];
    g_assert_not_reached(); /* the batch asks only for what it was given */
}

static void put_disks(const Guest *guest, VmSample *vm, bool counters)
{
    row_set_u64(vm->row, METRIC_VM_DISK_COUNT, guest->disks);
    for (guint i = 0; i < guest->disks; i++) {
        MetricRow *row = vm_sample_row(vm, SCOPE_DISK, i);
        g_autofree char *name = g_strdup_printf("vd%c", 'a' + i);
        row_set_text(row, METRIC_DISK_NAME, name);
        if (!counters)
            continue;
        row_set_u64(row, METRIC_DISK_RD_REQS, guest->reads + i);
        row_set_u64(row, METRIC_DISK_CAPACITY, 8192);
    }
}

/* As libvirt answers: in part where a job holds the domain. */
static VmSample *record_of(const Guest *guest, HypervisorGroups groups)
{
    VmSample *vm = vm_sample_new(guest->name);
    vm->uuid = g_strdup(guest->uuid);
    vm->domain_id = guest->state == 5 ? -1 : guest->id + guest->restarted; /* one that is shut off has none */
    vm->boottime_ns = 5000 * NS_PER_S;
    if (groups & HYPERVISOR_STATE)
        row_set_u64(vm->row, METRIC_VM_STATE, guest->state ? guest->state : 1);
    if (groups & HYPERVISOR_INTERFACE)
        put_figures(vm, "net.count=1 net.0.name=nic net.0.rx.bytes=7");
    if (groups & HYPERVISOR_CPU)
        put_figures(vm, "cpu.time=111");
    if (groups & HYPERVISOR_VCPU)
        put_figures(vm, "vcpu.current=1 vcpu.0.state=1 vcpu.0.time=112 vcpu.0.delay=113");
    if (groups & HYPERVISOR_BALLOON)
        put_figures(vm, guest->job ? "balloon.current=1024"
                                   : "balloon.current=1024 balloon.rss=114 balloon.last-update=1699999999");
    if (groups & HYPERVISOR_BLOCK)
        put_disks(guest, vm, !guest->job);
    return vm;
}

/* Calls are parted by a blank. */
static void G_GNUC_PRINTF(1, 2) note_call(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (fake.calls->len)
        g_string_append_c(fake.calls, ' ');
    g_string_append_vprintf(fake.calls, format, arguments);
    va_end(arguments);
}

static GPtrArray *fake_stats(Hypervisor *hypervisor, const char *const *uuids, guint count, HypervisorGroups groups,
                             GError **error)
{
    (void)hypervisor;
    note_call("%u", (guint)groups);
    if (fake.stats_fail) {
        g_set_error(error, g_quark_from_static_string("fake"), 1, "connection lost");
        return NULL;
    }
    GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_sample_free);
    for (guint i = 0; i < count; i++) {
        Guest *guest = guest_of(uuids[i]);
        g_string_append_printf(fake.calls, ":%s", guest->name + strlen("one-"));
        if (guest->ends_after == 0 || --guest->ends_after > 0)
            g_ptr_array_add(vms, record_of(guest, groups));
        if (groups & ~HYPERVISOR_FREE_GROUPS && guest->job_ends)
            guest->job = false;
    }
    return vms;
}

static bool fake_disk(Hypervisor *hypervisor, const char *uuid, const char *target, MetricRow *row, GError **error)
{
    (void)hypervisor;
    const Guest *guest = guest_of(uuid);
    note_call("%s:%s", target, guest->name + strlen("one-"));
    if (guest->disk_fails) {
        g_set_error(error, g_quark_from_static_string("fake"), 1, "no such disk");
        return false;
    }
    if (!guest->disk_is_empty)
        row_set_u64(row, METRIC_DISK_RD_REQS, guest->reads);
    return true;
}

static char *fake_xml(Hypervisor *hypervisor, const char *uuid)
{
    (void)hypervisor;
    const Guest *guest = guest_of(uuid);
    note_call("xml:%s", guest->name + strlen("one-"));
    return *guest->xml ? g_strdup(guest->xml) : NULL;
}

static const HypervisorApi fake_api = {.stats = fake_stats, .disk = fake_disk, .xml = fake_xml};

/* libvirt writes its file of the domain anew. */
static void touch_status(guint i)
{
    g_autofree char *name = g_strdup_printf("%s.xml", fake.guests[i].name);
    fake_file(fake.run, name, "<domstatus/>", -1);
}

static void have_process(guint i)
{
    const guint pid = 100 * (i + 1);
    fake_qemu(fake.proc,
              &(FakeQemu){.pid = pid, .uuid = fake.guests[i].uuid, .start = 50 + i, .user = 3, .system = 4, .rss = 10});
    fake_thread(fake.proc, pid, pid + 1, "CPU 0/KVM", 31, 32);
    fake_process_file(fake.proc, pid, "net/dev", NET_DEV);
}

static int set_up(void **state)
{
    (void)state;
    memset(fake.guests, 0, sizeof fake.guests);
    fake.stats_fail = false;
    fake.calls = g_string_new(NULL);
    fake.root = make_temporary_dir();
    fake.proc = g_build_filename(fake.root, "proc", NULL);
    fake.run = g_build_filename(fake.root, "run", NULL);
    for (guint i = 0; i < GUESTS; i++) {
        Guest *guest = &fake.guests[i];
        g_snprintf(guest->name, sizeof guest->name, "one-%u", i + 1);
        g_snprintf(guest->uuid, sizeof guest->uuid, "34190a2e-2b0a-44dd-b068-%012x", i + 1);
        g_strlcpy(guest->xml, XML(""), sizeof guest->xml);
        guest->id = 70 + (gint64)i;
        guest->disks = 1;
        guest->reads = 5;
        touch_status(i);
        have_process(i);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_tree(fake.root);
    g_free(fake.root);
    g_free(fake.proc);
    g_free(fake.run);
    g_string_free(fake.calls, TRUE);
    return 0;
}

/* --- cycles --- */

typedef struct {
    const char *what;
    bool fast, again, little, no_kernel, no_status;
    gint64 now_s; /* 0: 5000 */
} Cycle;

/* One collection of all of them, after `previous` (NULL: none), and what was asked: groups of the bulk calls as a
 * number with the VMs, disks, "xml:VM". NULL: it failed. Takes `previous` over. */
static Sample *cycle(const Cycle *how, Sample *previous, const char *want_calls)
{
    g_autofree char *cgroup = g_build_filename(fake.root, "cgroup", NULL);
    g_autoptr(Processes) processes = how->no_kernel ? NULL : processes_new(fake.proc, cgroup);
    g_autoptr(Netdevs) netdevs = how->no_kernel ? NULL : netdevs_new(fake.proc);
    const AskOptions options = {
        .api = &fake_api,
        .processes = processes,
        .netdevs = netdevs,
        .status_dir = how->no_status ? NULL : fake.run,
        .fast = how->fast,
        .slow_ns = 300 * NS_PER_S,
        .now_ns = (how->now_s ? how->now_s : 5000) * NS_PER_S,
    };
    VmKnown known[GUESTS];
    AskedVm asked[GUESTS];
    HypervisorDomain domains[GUESTS];
    for (guint i = 0; i < GUESTS; i++) {
        const VmSample key = {.name = fake.guests[i].name, .uuid = fake.guests[i].uuid, .domain_id = fake.guests[i].id};
        vm_known_set(&known[i], sample_find_run(previous, &key), G_GINT64_CONSTANT(1700000000) * NS_PER_S);
        domains[i] = (HypervisorDomain){.name = fake.guests[i].name,
                                        .uuid = fake.guests[i].uuid,
                                        .id = fake.guests[i].id,
                                        .state = 1,
                                        .reason = -1,
                                        .boottime_ns = 5000 * NS_PER_S};
        asked[i] = (AskedVm){.domain = &domains[i], .known = &known[i]};
    }
    g_string_truncate(fake.calls, 0);
    g_autoptr(GError) error = NULL;
    const bool good = how->little ? ask_vms_for_little(&options, NULL, asked, GUESTS, &error)
                                  : ask_vms(&options, NULL, asked, GUESTS, how->again, &error);
    CHECK(good == !error, "%s", how->what);
    CHECK_TEXT(fake.calls->str, want_calls, how->what);
    Sample *sample = good ? sample_new() : NULL;
    for (guint i = 0; i < GUESTS; i++) {
        CHECK(good || (!asked[i].vm && !asked[i].xml), "%s", how->what);
        if (asked[i].vm) {
            plan_carry(asked[i].vm, sample_find_run(previous, asked[i].vm), how->fast);
            g_ptr_array_add(sample->vms, asked[i].vm);
        }
        g_free(asked[i].xml);
        vm_known_clear(&known[i]);
    }
    sample_free(previous);
    return sample;
}

#define FIRST "xml:1 xml:2 xml:3 63:1:2:3"
#define DISKS "vda:1 vda:2 vda:3"

static Sample *first_cycle(void)
{
    return cycle(&(Cycle){.what = "first"}, NULL, FIRST);
}

static const VmSample *vm_at(const Sample *sample, guint i)
{
    return g_ptr_array_index(sample->vms, i);
}

static guint64 reads_of(const Sample *sample, guint i)
{
    const VmSample *vm = vm_at(sample, i);
    return vm->disks->len ? row_u64(g_ptr_array_index(vm->disks, 0), METRIC_DISK_RD_REQS) : 0;
}

static bool is_locked(const Sample *sample, guint i)
{
    return row_u64(vm_at(sample, i)->row, METRIC_VM_LOCKED) != 0;
}

/* All figures there, by /proc and libvirt. */
static void check_full(const Sample *sample, guint i, guint64 reads)
{
    const VmSample *vm = vm_at(sample, i);
    CHECK(!is_locked(sample, i), "%s", vm->name);
    CHECK(row_u64(vm->row, METRIC_VM_CPU_TIME) == 70000000, "%s", vm->name);
    CHECK(row_has(vm->row, METRIC_VM_MEMORY_RSS), "%s", vm->name);
    CHECK(row_u64(vm->row, METRIC_VM_BALLOON_CURRENT) == 1024, "%s", vm->name);
    CHECK(row_u64(g_ptr_array_index(vm->vcpus, 0), METRIC_VCPU_TIME) == 31, "%s", vm->name);
    CHECK(reads_of(sample, i) == reads, "%s: %" G_GUINT64_FORMAT, vm->name, reads_of(sample, i));
    CHECK(row_u64(g_ptr_array_index(vm->disks, 0), METRIC_DISK_CAPACITY) == 8192, "%s", vm->name);
    CHECK(row_u64(vm->row, METRIC_VM_DISK_COUNT) == fake.guests[i].disks, "%s", vm->name);
    CHECK(vm->shape && vm->process, "%s", vm->name);
    CHECK(row_u64(vm->row, METRIC_VM_NIC_COUNT) == 1 && vm->nics->len == 1, "%s", vm->name);
}

/* The one NIC's bytes received: 7 by libvirt, 511 by the kernel. */
static guint64 received(const Sample *sample, guint i)
{
    return row_u64(g_ptr_array_index(vm_at(sample, i)->nics, 0), METRIC_NIC_RX_BYTES);
}

/* --- where all is well --- */

static void the_second_cycle_is_cheap(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    for (guint i = 0; i < GUESTS; i++)
        check_full(sample, i, 5);
    fake.guests[1].reads = 6;
    sample = cycle(&(Cycle){.what = "second"}, sample, DISKS);
    check_full(sample, 0, 5);
    check_full(sample, 1, 6);
    assert_int_equal(vm_at(sample, 1)->served[GROUP_DISK], SERVED_DISK);
    assert_int_equal(vm_at(sample, 1)->served[GROUP_KERNEL], SERVED_PROC);
    assert_int_equal(vm_at(sample, 1)->served[GROUP_SLOW], SERVED_EARLIER);
    assert_int_equal(vm_at(sample, 1)->served[GROUP_SHAPE], SERVED_EARLIER);
    sample = cycle(&(Cycle){.what = "third"}, sample, DISKS);
    check_full(sample, 2, 5);
    sample_free(sample);
}

static void several_disks_are_asked_for_in_one_call(void **state)
{
    (void)state;
    fake.guests[0].disks = fake.guests[2].disks = 2;
    fake.guests[1].disks = 0;
    Sample *sample = first_cycle();
    sample = cycle(&(Cycle){.what = "second"}, sample, "16:1:3");
    check_full(sample, 0, 5);
    assert_int_equal(vm_at(sample, 1)->disks->len, 0);
    sample_free(sample);
}

static void a_guest_that_reports_is_asked_for_its_memory(void **state)
{
    (void)state;
    g_strlcpy(fake.guests[1].xml, XML("<stats period='10'/>"), sizeof fake.guests[1].xml);
    Sample *sample = first_cycle();
    sample = cycle(&(Cycle){.what = "second"}, sample, DISKS " 8:2");
    assert_int_equal(vm_at(sample, 1)->served[GROUP_GUEST], SERVED_BULK);
    assert_int_equal(vm_at(sample, 0)->served[GROUP_GUEST], SERVED_EARLIER);
    sample_free(sample);
}

/* Each VM has its moment; within a period of 300 s all have had it once. */
static void slow_figures_are_read_once_a_period(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    guint slow = 0;
    for (gint64 now = 5010; now <= 5300; now += 10) {
        GString *xml = g_string_new(NULL), *disks = g_string_new(NULL), *bulk = g_string_new(NULL);
        for (guint i = 0; i < GUESTS; i++) {
            const bool due =
                plan_slow_due(i + 1, vm_sample_group_ns(vm_at(sample, i), GROUP_SLOW), now * NS_PER_S, 300 * NS_PER_S);
            slow += due;
            g_string_append_printf(due ? xml : disks, due ? " xml:%u" : " vda:%u", i + 1);
            if (due)
                g_string_append_printf(bulk, "%s:%u", bulk->len ? "" : " 20", i + 1);
        }
        g_autofree char *want = g_strconcat(xml->str, disks->str, bulk->str, NULL);
        sample = cycle(&(Cycle){.what = "later", .now_s = now}, sample, want + 1);
        for (guint i = 0; i < GUESTS; i++) { /* the fake's clock stands still */
            VmSample *vm = g_ptr_array_index(sample->vms, i);
            if (vm->served[GROUP_SLOW] == SERVED_BULK)
                vm->group_ns[GROUP_SLOW] = now * NS_PER_S;
            check_full(sample, i, 5);
        }
        g_string_free(xml, TRUE);
        g_string_free(disks, TRUE);
        g_string_free(bulk, TRUE);
    }
    assert_int_equal(slow, GUESTS);
    sample_free(sample);
}

/* --- what changed --- */

static void a_changed_xml_is_a_reason_to_ask_for_everything(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    g_strlcpy(fake.guests[1].xml, XML("<disk/>"), sizeof fake.guests[1].xml);
    fake.guests[1].disks = 2;
    sample = cycle(&(Cycle){.what = "nothing tells of it"}, sample, DISKS);
    touch_status(1);
    sample = cycle(&(Cycle){.what = "libvirt's file does"}, sample, "xml:2 vda:1 vda:3 63:2");
    check_full(sample, 1, 5);
    assert_int_equal(vm_at(sample, 1)->served[GROUP_NET], SERVED_BULK);
    assert_int_equal(vm_at(sample, 1)->disks->len, 2);
    sample = cycle(&(Cycle){.what = "from then on"}, sample, "vda:1 vda:3 16:2");

    touch_status(1); /* written anew, with the same in it */
    sample = cycle(&(Cycle){.what = "no change"}, sample, "xml:2 vda:1 vda:3 16:2");

    fake.guests[1].disks = 1;
    g_strlcpy(fake.guests[1].xml, XML(""), sizeof fake.guests[1].xml);
    touch_status(1);
    sample = cycle(&(Cycle){.what = "unplugged"}, sample, "xml:2 vda:1 vda:3 63:2");
    assert_int_equal(vm_at(sample, 1)->disks->len, 1);
    sample_free(sample);
}

static void without_libvirts_file_the_xml_is_read_each_time(void **state)
{
    (void)state;
    const Cycle how = {.what = "no file", .no_status = true};
    Sample *sample = cycle(&how, NULL, FIRST);
    sample = cycle(&how, sample, "xml:1 xml:2 xml:3 vda:1 vda:2 vda:3");
    fake.guests[0].xml[0] = '\0';
    sample = cycle(&how, sample, "xml:1 xml:2 xml:3 vda:2 vda:3 63:1");
    assert_null(vm_at(sample, 0)->shape);
    sample_free(sample);
}

/* Its thread is not among the known ones, and the XML alone tells. */
static void a_vcpu_that_was_plugged_in_is_seen_at_once_and_later(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    fake_thread(fake.proc, 200, 207, "CPU 1/KVM", 71, 72);
    g_strlcpy(fake.guests[1].xml, XML("two"), sizeof fake.guests[1].xml);
    touch_status(1);
    sample = cycle(&(Cycle){.what = "plugged"}, sample, "xml:2 vda:1 vda:3 63:2");
    for (guint i = 0; i < 2; i++) {
        const VmSample *vm = vm_at(sample, 1);
        assert_int_equal(vm->vcpus->len, 2);
        assert_int_equal(row_u64(g_ptr_array_index(vm->vcpus, 1), METRIC_VCPU_TIME), 71);
        sample = cycle(&(Cycle){.what = "later"}, sample, DISKS);
    }
    sample_free(sample);
}

static void a_guest_that_was_started_anew_is_new(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    fake.guests[1].id = 99;
    sample = cycle(&(Cycle){.what = "restarted"}, sample, "xml:2 vda:1 vda:3 63:2");
    check_full(sample, 1, 5);
    sample_free(sample);
}

/* --- what fails --- */

static void where_the_disks_call_fails_the_bulk_call_helps(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    fake.guests[1].disk_fails = true;
    sample = cycle(&(Cycle){.what = "fails"}, sample, DISKS " 63:2");
    check_full(sample, 1, 5);
    assert_int_equal(vm_at(sample, 1)->served[GROUP_DISK], SERVED_BULK);
    fake.guests[1].disk_fails = false;
    fake.guests[1].disk_is_empty = true; /* else its counters would be 0 */
    sample = cycle(&(Cycle){.what = "says nothing"}, sample, DISKS " 63:2");
    check_full(sample, 1, 5);
    sample_free(sample);
}

static void where_a_call_fails_nothing_is_answered(void **state)
{
    (void)state;
    fake.stats_fail = true;
    assert_null(cycle(&(Cycle){.what = "fails"}, NULL, "xml:1 xml:2 xml:3 63"));
    assert_null(cycle(&(Cycle){.what = "little", .little = true}, NULL, "33"));
}

/* Between the list and the next call: it is not in the sample, rather than in it with what there is. */
static void a_guest_that_ends_meanwhile_is_not_answered(void **state)
{
    (void)state;
    fake.guests[1].ends_after = 1;
    Sample *sample = cycle(&(Cycle){.what = "new"}, NULL, FIRST);
    assert_int_equal(sample->vms->len, 2);
    assert_string_equal(vm_at(sample, 1)->name, "one-3");
    fake.guests[2].ends_after = 1;
    fake.guests[2].disk_fails = true;
    fake.guests[1].ends_after = 0;
    sample = cycle(&(Cycle){.what = "known"}, sample, "xml:2 vda:1 vda:3 63:2:3");
    assert_int_equal(sample->vms->len, 2);
    assert_string_equal(vm_at(sample, 1)->name, "one-2");
    sample_free(sample);
}

static void a_state_that_is_newer_than_the_list_is_taken(void **state)
{
    (void)state;
    fake.guests[0].state = 3;
    fake.guests[1].state = 5; /* shut off, and defined */
    Sample *sample = cycle(&(Cycle){.what = "new"}, NULL, FIRST);
    assert_int_equal(sample->vms->len, 2);
    assert_int_equal(row_u64(vm_at(sample, 0)->row, METRIC_VM_STATE), 3);
    assert_string_equal(vm_at(sample, 1)->name, "one-3");
    sample_free(sample);
}

/* Its uuid is that of the run before, its process is not. */
static void a_guest_that_was_started_anew_since_it_was_listed_is_not_answered(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    fake.guests[1].restarted = true;
    fake_remove(fake.proc, "200");
    fake_qemu(fake.proc, &(FakeQemu){.pid = 201, .uuid = fake.guests[1].uuid, .start = 90, .user = 3, .rss = 10});
    fake_thread(fake.proc, 201, 202, "CPU 0/KVM", 31, 32);
    fake_process_file(fake.proc, 201, "net/dev", NET_DEV);
    sample = cycle(&(Cycle){.what = "restarted"}, sample, "vda:1 vda:3 63:2");
    assert_int_equal(sample->vms->len, 2);
    assert_string_equal(vm_at(sample, 1)->name, "one-3");
    sample_free(sample);
}

static void one_that_is_shut_off_is_not_answered_by_libvirt_alone_neither(void **state)
{
    (void)state;
    fake.guests[1].state = 5;
    Sample *sample = cycle(&(Cycle){.what = "all by libvirt", .no_kernel = true}, NULL, "63:1:2:3");
    assert_int_equal(sample->vms->len, 2);
    assert_string_equal(vm_at(sample, 1)->name, "one-3");
    sample_free(sample);
}

/* --- guests without /proc --- */

static void a_guest_without_proc_falls_back_alone(void **state)
{
    (void)state;
    fake_remove(fake.proc, "200");
    Sample *sample = cycle(&(Cycle){.what = "first"}, NULL, "xml:1 xml:3 63:1:2:3");
    assert_int_equal(row_u64(vm_at(sample, 1)->row, METRIC_VM_CPU_TIME), 111);
    assert_int_equal(row_u64(vm_at(sample, 1)->row, METRIC_VM_MEMORY_RSS), 114);
    assert_int_equal(vm_at(sample, 1)->served[GROUP_KERNEL], SERVED_BULK);
    check_full(sample, 0, 5);
    assert_null(vm_at(sample, 1)->process); /* it may just be coming up */
    sample = cycle(&(Cycle){.what = "second"}, sample, "vda:1 vda:3 63:2");
    assert_string_equal(vm_at(sample, 1)->process, "none");
    have_process(1);
    sample = cycle(&(Cycle){.what = "remembered"}, sample, "vda:1 vda:3 63:2");
    sample = cycle(&(Cycle){.what = "fast", .fast = true}, sample, "38:2");
    assert_int_equal(row_u64(vm_at(sample, 1)->row, METRIC_VM_MEMORY_RSS), 114);
    assert_int_equal(reads_of(sample, 1), 5);
    sample = cycle(&(Cycle){.what = "looked for again", .now_s = 5300}, sample, "xml:1 xml:2 xml:3 20:1:3 63:2");
    check_full(sample, 1, 5);
    sample_free(sample);
}

static void without_processes_libvirt_serves_everything(void **state)
{
    (void)state;
    const Cycle how = {.what = "all by libvirt", .no_kernel = true}, fast = {"fast", .no_kernel = true, .fast = true};
    Sample *sample = cycle(&how, NULL, "63:1:2:3");
    sample = cycle(&how, sample, "63:1:2:3");
    sample = cycle(&fast, sample, "38:1:2:3");
    assert_int_equal(row_u64(vm_at(sample, 1)->row, METRIC_VM_CPU_TIME), 111);
    assert_int_equal(reads_of(sample, 1), 5);
    assert_true(vm_sample_holds(vm_at(sample, 1), METRIC_VM_MEMORY_RSS));
    fake.guests[1].reads = 6;
    sample = cycle(&how, sample, "63:1:2:3");
    assert_int_equal(reads_of(sample, 1), 6);
    sample_free(sample);
}

/* --- fast cycles --- */

static void a_fast_cycle_makes_no_call(void **state)
{
    (void)state;
    const Cycle fast = {.what = "fast", .fast = true};
    Sample *sample = first_cycle();
    fake.guests[0].reads = 9;
    touch_status(1);
    for (guint i = 0; i < 3; i++) {
        sample = cycle(&fast, sample, i == 0 ? "xml:2" : ""); /* which is as it was */
        check_full(sample, 0, 5);
        assert_true(vm_at(sample, 0)->held);
    }
    sample = cycle(&(Cycle){.what = "slow ones wait", .fast = true, .now_s = 5300}, sample, "");
    sample = cycle(&(Cycle){.what = "full"}, sample, DISKS);
    check_full(sample, 0, 9);
    assert_false(vm_at(sample, 0)->held);
    fake.guests[2].id = 99;
    sample = cycle(&(Cycle){.what = "a new one", .fast = true}, sample, "xml:3 63:3");
    check_full(sample, 2, 5);
    assert_false(vm_at(sample, 2)->held);
    sample_free(sample);
}

/* --- NICs --- */

static void nics_are_served_by_the_kernel_once_their_names_are_known(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    assert_int_equal(received(sample, 0), 7);
    assert_int_equal(vm_at(sample, 0)->served[GROUP_NET], SERVED_BULK);
    sample = cycle(&(Cycle){.what = "second"}, sample, DISKS);
    const VmSample *vm = vm_at(sample, 0);
    const MetricRow *nic = g_ptr_array_index(vm->nics, 0);
    assert_int_equal(vm->served[GROUP_NET], SERVED_PROC);
    assert_true(vm->group_ns[GROUP_NET] != 0 && vm->group_ns[GROUP_NET] != vm->boottime_ns);
    assert_string_equal(row_text(nic, METRIC_NIC_NAME), "nic");
    assert_int_equal(row_u64(nic, METRIC_NIC_RX_BYTES), 511);
    assert_int_equal(row_u64(nic, METRIC_NIC_TX_DROPS), 504);
    sample = cycle(&(Cycle){.what = "fast", .fast = true}, sample, "");
    assert_int_equal(received(sample, 2), 511);
    assert_int_equal(vm_at(sample, 2)->served[GROUP_NET], SERVED_PROC);
    sample_free(sample);
}

/* A NIC that was plugged in is not among the known ones: libvirt's file tells, in a fast cycle too, and the XML which
 * of the same name it is. */
static void where_the_xml_may_be_another_libvirt_serves_the_nics(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    touch_status(1);
    g_strlcpy(fake.guests[1].xml, XML("two"), sizeof fake.guests[1].xml);
    for (guint i = 0; i < 3; i++)
        sample = cycle(&(Cycle){.what = "fast", .fast = true}, sample, i == 0 ? "xml:2 32:2" : "32:2");
    assert_int_equal(received(sample, 1), 7);
    assert_int_equal(vm_at(sample, 1)->served[GROUP_NET], SERVED_BULK);
    assert_int_equal(received(sample, 0), 511);
    sample = cycle(&(Cycle){.what = "what it has is asked for"}, sample, "xml:2 vda:1 vda:3 63:2");
    touch_status(1);
    sample = cycle(&(Cycle){.what = "it is as it was"}, sample, "xml:2 vda:1 vda:2 vda:3");
    assert_int_equal(received(sample, 1), 511);
    sample = cycle(&(Cycle){.what = "no file", .fast = true, .no_status = true}, sample, "32:1:2:3");
    assert_int_equal(received(sample, 1), 7);
    sample_free(sample);
}

static void a_device_that_the_kernel_does_not_have_is_asked_of_libvirt(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    fake_process_file(fake.proc, 200, "net/dev", " other: 501 502 503 504 0 0 0 0 511 512 513 514 0 0 0 0\n");
    fake_remove(fake.proc, "300/net/dev");
    sample = cycle(&(Cycle){.what = "second"}, sample, DISKS " 32:2:3");
    assert_int_equal(received(sample, 0), 511);
    assert_int_equal(received(sample, 1), 7);
    assert_int_equal(received(sample, 2), 7);
    sample_free(sample);
}

static void a_macvtap_is_asked_of_libvirt(void **state)
{
    (void)state;
    g_strlcpy(fake.guests[1].xml,
              "<domain><devices><interface type='direct'><target dev='nic'/></interface></devices></domain>",
              sizeof fake.guests[1].xml);
    Sample *sample = first_cycle();
    sample = cycle(&(Cycle){.what = "second"}, sample, DISKS " 32:2");
    assert_int_equal(received(sample, 1), 7);
    check_full(sample, 1, 5);
    sample_free(sample);
}

/* --- guests that hold a job --- */

static void check_in_part(const Sample *sample, guint i)
{
    const VmSample *vm = vm_at(sample, i);
    assert_true(is_locked(sample, i));
    assert_int_equal(row_u64(vm->row, METRIC_VM_CPU_TIME), 70000000); /* the kernel does not ask QEMU */
    assert_int_equal(reads_of(sample, i), 0);
    assert_int_equal(vm->served[GROUP_DISK], SERVED_NOT);
    assert_false(vm->held);
}

static void a_locked_guest_is_asked_by_nowait_alone(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    fake.guests[1].disks = 2; /* so that the call that meets the job is the bulk call */
    touch_status(1);
    g_strlcpy(fake.guests[1].xml, XML("two"), sizeof fake.guests[1].xml);
    sample = cycle(&(Cycle){.what = "two disks"}, sample, "xml:2 vda:1 vda:3 63:2");
    fake.guests[1].job = true;
    sample = cycle(&(Cycle){.what = "meets the job"}, sample, "vda:1 vda:3 16:2 63:2");
    check_in_part(sample, 1);
    check_full(sample, 0, 5);
    sample = cycle(&(Cycle){.what = "the next"}, sample, "vda:1 vda:3 63:2");
    check_in_part(sample, 1);
    assert_int_equal(vm_at(sample, 1)->served[GROUP_NET], SERVED_BULK);
    sample = cycle(&(Cycle){.what = "fast", .fast = true}, sample, "32:2");
    check_in_part(sample, 1); /* still, as far as is known */
    fake.guests[1].job = false;
    sample = cycle(&(Cycle){.what = "the job is over"}, sample, "vda:1 vda:3 63:2");
    assert_false(is_locked(sample, 1));
    sample = cycle(&(Cycle){.what = "its XML is read"}, sample, "xml:2 vda:1 vda:3 63:2");
    check_full(sample, 1, 5);
    sample = cycle(&(Cycle){.what = "as ever"}, sample, "vda:1 vda:3 16:2");
    check_full(sample, 1, 5);
    sample_free(sample);
}

static void a_job_that_ends_between_two_calls_locks_nobody(void **state)
{
    (void)state;
    fake.guests[1].disks = 2;
    Sample *sample = first_cycle();
    fake.guests[1].job = fake.guests[1].job_ends = true;
    sample = cycle(&(Cycle){.what = "ends"}, sample, "vda:1 vda:3 16:2 63:2");
    check_full(sample, 1, 5);
    sample_free(sample);
}

/* --- asked again, and for little --- */

static void asked_again_all_are_asked_for_by_the_bulk_call(void **state)
{
    (void)state;
    Sample *sample = first_cycle();
    fake.guests[1].job = true;
    sample = cycle(&(Cycle){.what = "again", .again = true}, sample, "33:1:2:3 63:1:2:3");
    check_in_part(sample, 1);
    assert_int_equal(reads_of(sample, 0), 5);
    assert_int_equal(row_u64(vm_at(sample, 0)->row, METRIC_VM_CPU_TIME), 70000000);
    sample = cycle(&(Cycle){.what = "again, fast", .again = true, .fast = true}, sample, "33:1:2:3 63:1:2:3");
    assert_false(vm_sample_holds(vm_at(sample, 0), METRIC_DISK_RD_REQS)); /* it is of now */
    sample = cycle(&(Cycle){.what = "again, no /proc", .again = true, .no_kernel = true}, sample, "63:1:2:3");
    assert_true(is_locked(sample, 1) && !is_locked(sample, 0));
    sample_free(sample);
}

static void asked_for_little_all_are_marked(void **state)
{
    (void)state;
    Sample *sample = cycle(&(Cycle){.what = "little", .little = true}, NULL, "33:1:2:3");
    for (guint i = 0; i < GUESTS; i++)
        check_in_part(sample, i);
    assert_int_equal(row_u64(vm_at(sample, 0)->row, METRIC_VM_STATE), 1);
    sample_free(sample);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_second_cycle_is_cheap),
        TEST(several_disks_are_asked_for_in_one_call),
        TEST(a_guest_that_reports_is_asked_for_its_memory),
        TEST(slow_figures_are_read_once_a_period),
        TEST(a_changed_xml_is_a_reason_to_ask_for_everything),
        TEST(without_libvirts_file_the_xml_is_read_each_time),
        TEST(a_vcpu_that_was_plugged_in_is_seen_at_once_and_later),
        TEST(a_guest_that_was_started_anew_is_new),
        TEST(where_the_disks_call_fails_the_bulk_call_helps),
        TEST(where_a_call_fails_nothing_is_answered),
        TEST(a_guest_that_ends_meanwhile_is_not_answered),
        TEST(a_state_that_is_newer_than_the_list_is_taken),
        TEST(a_guest_that_was_started_anew_since_it_was_listed_is_not_answered),
        TEST(one_that_is_shut_off_is_not_answered_by_libvirt_alone_neither),
        TEST(a_guest_without_proc_falls_back_alone),
        TEST(without_processes_libvirt_serves_everything),
        TEST(a_fast_cycle_makes_no_call),
        TEST(nics_are_served_by_the_kernel_once_their_names_are_known),
        TEST(where_the_xml_may_be_another_libvirt_serves_the_nics),
        TEST(a_device_that_the_kernel_does_not_have_is_asked_of_libvirt),
        TEST(a_macvtap_is_asked_of_libvirt),
        TEST(a_locked_guest_is_asked_by_nowait_alone),
        TEST(a_job_that_ends_between_two_calls_locks_nobody),
        TEST(asked_again_all_are_asked_for_by_the_bulk_call),
        TEST(asked_for_little_all_are_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
