/* SPDX-License-Identifier: Apache-2.0
 * The collection against a hypervisor whose guests hang, hold jobs, end and fail at will. A call that hangs does so
 * until the test is over; then every thread is waited for, so that the sanitizers see all of them end. */
#include "gather/collect.h"
#include "fake_proc.h"
#include "gather/domstats.h"
#include "gather/host.h"
#include "gather_helpers.h"

#include <string.h>

#define URI "fake:///"
#define GENEROUS_US ((gint64)20 * G_USEC_PER_SEC) /* above any deadline here: busy machines are slow */

/* --- the fake --- */

typedef struct {
    char name[16], uuid[40];
    guint number; /* its NICs are nic<number>-0 … */
    gint64 id;
    guint nics;
    bool stuck;     /* its QEMU does not answer: the call that asks it hangs, and it holds a job from then on */
    bool job;       /* NOWAIT passes over it with a partial record */
    bool ended;     /* after the list was made */
    bool restarted; /* likewise: it answers under another id */
    bool poison;    /* every call that asks for it fails */
    bool xml_hangs, xml_missing, xml_broken;
    guint asked, disk_asked, xml_reads;
} Guest;

static struct {
    GMutex lock;
    GCond changed;
    bool released; /* the test is over: whatever hangs goes on */
    Guest *guests;
    guint n;
    bool open_fails, later_opens_fail;
    bool monitor_hangs, all_hang;   /* all_hang: state and network too */
    guint opens_good;               /* so many connections are made, later ones hang */
    guint failing_calls;            /* so many calls still fail */
    guint sticking;                 /* so many guests of the batch that is asked first get stuck */
    guint call_ms, open_ms, xml_ms; /* what a call takes, each connection but the first, an XML */
    bool list_fails, list_hangs;    /* over a connection that was kept */
    guint opens, closes, lists, calls;
    guint under_way, at_once; /* calls for statistics; the most of them at a time */
    guint meeting;            /* none comes back before so many are under way */
} fake;

struct Hypervisor {
    GPtrArray *domains;
};

static void free_domain(gpointer data)
{
    HypervisorDomain *domain = data;
    g_free(domain->name);
    g_free(domain->uuid);
    g_free(domain);
}

/* With the lock held. */
static void hang(void)
{
    while (!fake.released)
        g_cond_wait(&fake.changed, &fake.lock);
}

/* With the lock held. */
static void meet_others(void)
{
    fake.under_way++;
    fake.at_once = MAX(fake.at_once, fake.under_way);
    g_cond_broadcast(&fake.changed);
    while (fake.at_once < fake.meeting && !fake.released)
        g_cond_wait(&fake.changed, &fake.lock);
}

static void take_time(guint ms)
{
    g_mutex_unlock(&fake.lock);
    g_usleep((gulong)ms * 1000);
    g_mutex_lock(&fake.lock);
}

static GError *no_daemon(const char *what)
{
    return g_error_new(g_quark_from_static_string("fake"), 38, "%s", what);
}

/* With the lock held. */
static void list(Hypervisor *hypervisor)
{
    g_ptr_array_set_size(hypervisor->domains, 0);
    for (guint i = 0; i < fake.n; i++) {
        HypervisorDomain *domain = g_new0(HypervisorDomain, 1);
        domain->name = g_strdup(fake.guests[i].name);
        domain->uuid = g_strdup(fake.guests[i].uuid);
        domain->id = fake.guests[i].id;
        domain->state = domain->reason = 1;
        domain->boottime_ns = host_boottime_ns();
        g_ptr_array_add(hypervisor->domains, domain);
    }
}

static Hypervisor *fake_open(const char *uri, GError **error)
{
    g_mutex_lock(&fake.lock);
    bool good = !fake.open_fails && !(fake.later_opens_fail && fake.opens > 0) && strcmp(uri, URI) == 0;
    if (fake.opens++ >= fake.opens_good)
        hang();
    take_time(fake.opens > 1 ? fake.open_ms : 0);
    Hypervisor *hypervisor = NULL;
    if (good) {
        hypervisor = g_new0(Hypervisor, 1);
        hypervisor->domains = g_ptr_array_new_with_free_func(free_domain);
        list(hypervisor);
    } else {
        g_propagate_error(error, no_daemon("cannot connect: no daemon"));
    }
    g_mutex_unlock(&fake.lock);
    return hypervisor;
}

static void fake_close(Hypervisor *hypervisor)
{
    if (hypervisor) {
        g_ptr_array_unref(hypervisor->domains);
        g_free(hypervisor);
    }
    g_mutex_lock(&fake.lock);
    fake.closes++;
    g_cond_broadcast(&fake.changed);
    g_mutex_unlock(&fake.lock);
}

static bool fake_list_again(Hypervisor *hypervisor, GError **error)
{
    g_mutex_lock(&fake.lock);
    fake.lists++;
    if (fake.list_hangs)
        hang();
    const bool good = !fake.list_fails;
    if (good)
        list(hypervisor);
    else
        g_propagate_error(error, no_daemon("cannot list the domains: connection reset"));
    g_mutex_unlock(&fake.lock);
    return good;
}

static const GPtrArray *fake_domains(const Hypervisor *hypervisor)
{
    return hypervisor->domains;
}

static Guest *guest_of(const char *uuid)
{
    for (guint i = 0; i < fake.n; i++)
        if (strcmp(fake.guests[i].uuid, uuid) == 0)
            return &fake.guests[i];
    g_assert_not_reached(); /* the collection asks only for what was listed */
}

static void put_u64(VmSample *vm, guint64 value, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void put_u64(VmSample *vm, guint64 value, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *key = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    domstats_set_u64(vm, key, value);
}

static VmSample *record_of(const Guest *guest, bool job, HypervisorGroups groups)
{
    VmSample *vm = vm_sample_new(guest->name);
    vm->uuid = g_strdup(guest->uuid);
    vm->domain_id = guest->id + guest->restarted;
    vm->boottime_ns = host_boottime_ns();
    put_figures(vm, "state.state=1 state.reason=1");
    put_u64(vm, guest->nics, "net.count");
    for (guint i = 0; i < guest->nics; i++) {
        g_autofree char *name = g_strdup_printf("nic%u-%u", guest->number, i), *key = g_strdup_printf("net.%u.name", i);
        domstats_set_text(vm, key, name);
        put_u64(vm, vm->vm_id, "net.%u.rx.bytes", i);
    }
    if (!(groups & ~HYPERVISOR_FREE_GROUPS))
        return vm;
    put_u64(vm, vm->vm_id + 1, "cpu.time");
    put_figures(vm, "balloon.current=1024 vcpu.current=1 block.count=1 block.0.name=vda");
    if (!job) {
        put_u64(vm, vm->vm_id + 2, "balloon.rss");
        put_u64(vm, vm->vm_id + 3, "block.0.rd.reqs");
    }
    return vm;
}

/* Neighbours in the middle of a batch, however the collection cuts its batches. */
static void choose_stuck(const char *const *uuids, guint count)
{
    for (guint i = count / 2; fake.sticking > 0 && i < count; i++, fake.sticking--)
        guest_of(uuids[i])->stuck = true;
}

static GPtrArray *fake_stats(Hypervisor *hypervisor, const char *const *uuids, guint count, HypervisorGroups groups,
                             GError **error)
{
    GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_sample_free);
    g_mutex_lock(&fake.lock);
    bool fails = hypervisor->domains->len == 0 || (fake.failing_calls > 0 && fake.failing_calls--);
    fake.calls++;
    meet_others();
    take_time(fake.call_ms);
    choose_stuck(uuids, count);
    if (fake.all_hang || (fake.monitor_hangs && groups == HYPERVISOR_ALL_GROUPS))
        hang();
    for (guint i = 0; i < count && !fails; i++) {
        Guest *guest = guest_of(uuids[i]);
        fails = guest->poison;
        if (guest->ended)
            continue;
        bool job = guest->job;
        if (groups == HYPERVISOR_ALL_GROUPS && guest->stuck && !guest->job) {
            guest->job = true;
            hang();
        }
        guest->asked++;
        g_ptr_array_add(vms, record_of(guest, job, groups));
    }
    fake.under_way--;
    g_mutex_unlock(&fake.lock);
    if (!fails)
        return vms;
    g_ptr_array_unref(vms);
    g_propagate_error(error, no_daemon("cannot get the statistics: connection lost"));
    return NULL;
}

/* It waits while a job holds the domain. */
static bool fake_disk(Hypervisor *hypervisor, const char *uuid, const char *target, MetricRow *row, GError **error)
{
    (void)hypervisor;
    (void)error;
    g_mutex_lock(&fake.lock);
    Guest *guest = guest_of(uuid);
    guest->disk_asked++;
    if (guest->stuck || guest->job) {
        guest->job = true;
        hang();
    }
    g_mutex_unlock(&fake.lock);
    row_set_u64(row, METRIC_DISK_RD_REQS, guest->number + 3);
    return strcmp(target, "vda") == 0;
}

static char *fake_xml(Hypervisor *hypervisor, const char *uuid)
{
    (void)hypervisor;
    g_mutex_lock(&fake.lock);
    Guest *guest = guest_of(uuid);
    guest->xml_reads++;
    take_time(fake.xml_ms);
    if (guest->xml_hangs)
        hang();
    GString *xml = g_string_new("<domain><metadata><o:vm xmlns:o='http://opennebula.org/xmlns/libvirt/1.0'>");
    g_string_append_printf(xml, "<o:name>name of %s</o:name><o:uname>owner</o:uname></o:vm></metadata><devices>",
                           guest->name);
    for (guint i = 0; i < guest->nics; i++)
        g_string_append_printf(
            xml,
            "<interface type='bridge'><target dev='nic%u-%u'/><mac address='mac-%u'/><source bridge='br%u'/>"
            "</interface>",
            guest->number, i, i, i);
    g_string_append(xml, guest->xml_broken ? "" : "</devices></domain>");
    bool missing = guest->xml_missing;
    g_mutex_unlock(&fake.lock);
    return g_string_free(xml, missing);
}

static const HypervisorApi fake_api = {
    .open = fake_open,
    .list_again = fake_list_again,
    .close = fake_close,
    .domains = fake_domains,
    .stats = fake_stats,
    .disk = fake_disk,
    .xml = fake_xml,
};

/* Lets all go on that hangs, and waits until it is over: each connection that was asked for is closed in the end, made
 * or not, and the first of them last of all. */
static bool release_all(void)
{
    gint64 end = g_get_monotonic_time() + (gint64)60 * G_USEC_PER_SEC;
    bool waiting = true;
    g_mutex_lock(&fake.lock);
    fake.released = true;
    g_cond_broadcast(&fake.changed);
    while (fake.closes < fake.opens && waiting)
        waiting = g_cond_wait_until(&fake.changed, &fake.lock, end);
    bool all_closed = fake.closes == fake.opens;
    g_mutex_unlock(&fake.lock);
    return all_closed;
}

/* A new host with the guests one-1 … one-n that have a NIC each; nothing hangs or fails yet. */
static void have_guests(guint n)
{
    if (!release_all())
        fail_msg("threads of the collection before do not end");
    g_free(fake.guests);
    fake.released = fake.open_fails = fake.later_opens_fail = fake.monitor_hangs = fake.all_hang = false;
    fake.failing_calls = fake.sticking = fake.opens = fake.closes = fake.lists = fake.calls = 0;
    fake.list_fails = fake.list_hangs = false;
    fake.under_way = fake.at_once = fake.meeting = 0;
    fake.call_ms = fake.open_ms = fake.xml_ms = 0;
    fake.opens_good = G_MAXUINT;
    fake.guests = g_new0(Guest, n + 1);
    fake.n = n;
    for (guint i = 0; i < n; i++) {
        Guest *guest = &fake.guests[i];
        g_snprintf(guest->name, sizeof guest->name, "one-%u", i + 1);
        g_snprintf(guest->uuid, sizeof guest->uuid, "34190a2e-2b0a-44dd-b068-%012x", i + 1);
        guest->number = i + 1;
        guest->id = 100 + (gint64)i;
        guest->nics = 1;
    }
}

static int set_up(void **state)
{
    (void)state;
    have_guests(0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (!release_all())
        return -1;
    g_clear_pointer(&fake.guests, g_free);
    fake.n = 0;
    return 0;
}

/* --- collecting and looking --- */

static Sample *collect_error(gint64 deadline_ms, guint workers, const Sample *previous, bool *ret_abandoned,
                             GError **error)
{
    const CollectOptions options = {
        .api = &fake_api, .uri = URI, .deadline_ms = deadline_ms, .workers = workers, .previous = previous};
    gint64 begin = g_get_monotonic_time();
    Sample *sample = collect_sample(&options, ret_abandoned, error);
    assert_true(g_get_monotonic_time() - begin < GENEROUS_US);
    return sample;
}

static Sample *collect(gint64 deadline_ms, guint workers, const Sample *previous)
{
    g_autoptr(GError) error = NULL;
    Sample *sample = collect_error(deadline_ms, workers, previous, NULL, &error);
    if (!sample)
        fail_msg("%s", error->message);
    assert_null(error);
    return sample;
}

static void check_refused(gint64 deadline_ms, guint workers, CollectErrorCode code, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Sample) sample = collect_error(deadline_ms, workers, NULL, NULL, &error);
    assert_null(sample);
    assert_string_equal(error->message, message);
    assert_true(g_error_matches(error, COLLECT_ERROR, (gint)code));
}

static const VmSample *vm_of(const Sample *sample, guint guest)
{
    const VmSample *found = NULL;
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        if (strcmp(vm->name, fake.guests[guest].name) != 0)
            continue;
        CHECK(!found, "%s is there twice", vm->name);
        found = vm;
    }
    CHECK(found, "one-%u is missing", guest + 1);
    return found;
}

static void check_identity(const Sample *sample, guint i)
{
    const VmSample *vm = vm_of(sample, i);
    const Guest *guest = &fake.guests[i];
    CHECK_TEXT(vm->uuid, guest->uuid, guest->name);
    CHECK(vm->domain_id == guest->id, "%s", guest->name);
    CHECK(vm->vm_id == i + 1, "%s", guest->name);
}

static void check_full(const Sample *sample, guint i)
{
    const VmSample *vm = vm_of(sample, i);
    check_identity(sample, i);
    CHECK(row_u64(vm->row, METRIC_VM_MEMORY_RSS) == vm->vm_id + 2, "%s", vm->name);
    CHECK(row_u64(vm->row, METRIC_VM_CPU_TIME) == vm->vm_id + 1, "%s", vm->name);
    CHECK(vm->disks->len == 1 && vm->nics->len == fake.guests[i].nics, "%s", vm->name);
    CHECK(row_u64(g_ptr_array_index(vm->disks, 0), METRIC_DISK_RD_REQS) == vm->vm_id + 3, "%s", vm->name);
    CHECK(vm->boottime_ns > 0, "%s", vm->name);
    CHECK(row_u64(vm->row, METRIC_VM_LOCKED) == 0, "%s", vm->name);
}

/* Passed over by NOWAIT: state, CPU and network are there, what needs the monitor is not. */
static void check_partial(const Sample *sample, guint i)
{
    const VmSample *vm = vm_of(sample, i);
    check_identity(sample, i);
    CHECK(row_has(vm->row, METRIC_VM_CPU_TIME), "%s", vm->name);
    CHECK(!row_has(vm->row, METRIC_VM_MEMORY_RSS), "%s", vm->name);
    CHECK(row_u64(g_ptr_array_index(vm->nics, 0), METRIC_NIC_RX_BYTES) == vm->vm_id, "%s", vm->name);
}

/* State and network alone. */
static void check_last_call(const Sample *sample, guint i)
{
    const VmSample *vm = vm_of(sample, i);
    check_identity(sample, i);
    CHECK(row_u64(vm->row, METRIC_VM_LOCKED) == 1, "%s", vm->name);
    CHECK(row_u64(vm->row, METRIC_VM_STATE) == 1, "%s", vm->name);
    CHECK(row_u64(g_ptr_array_index(vm->nics, 0), METRIC_NIC_RX_BYTES) == vm->vm_id, "%s", vm->name);
    CHECK(!row_has(vm->row, METRIC_VM_CPU_TIME), "%s", vm->name);
}

static guint64 missing(const Sample *sample)
{
    assert_true(row_has(sample->row, METRIC_HOST_MISSING));
    return row_u64(sample->row, METRIC_HOST_MISSING);
}

/* --- where all is well --- */

static void every_guest_is_asked_once(void **state)
{
    (void)state;
    static const guint sizes[] = {1, 2, 3, 7, 50, 1000};
    for (guint s = 0; s < G_N_ELEMENTS(sizes); s++)
        for (guint workers = 1; workers <= 5; workers++) {
            have_guests(sizes[s]);
            g_autoptr(Sample) sample = collect(30000, workers, NULL);
            assert_int_equal(sample->vms->len, sizes[s]);
            assert_true(missing(sample) == 0);
            for (guint i = 0; i < sizes[s]; i++) {
                check_full(sample, i);
                CHECK(fake.guests[i].asked == 1, "one-%u", i + 1);
            }
        }
}

static void a_sample_knows_when_it_was_taken(void **state)
{
    (void)state;
    have_guests(3);
    gint64 realtime = host_realtime_ns(), boottime = host_boottime_ns();
    g_autofree char *boot_id = host_boot_id();
    g_autoptr(Sample) sample = collect(30000, 2, NULL);
    assert_true(sample->realtime_ns >= realtime && sample->realtime_ns <= host_realtime_ns());
    assert_true(sample->boottime_ns >= boottime && sample->boottime_ns <= host_boottime_ns());
    CHECK_TEXT(sample->boot_id, boot_id, "boot id");
    assert_null(sample->host); /* the caller's */
    assert_true(row_has(sample->row, METRIC_HOST_COLLECT_MS));
    assert_true(row_real(sample->row, METRIC_HOST_COLLECT_MS) < GENEROUS_US / 1000.0);
}

static void no_thread_is_left_where_all_is_well(void **state)
{
    (void)state;
    have_guests(20);
    bool abandoned = true;
    for (guint attempt = 0; attempt < 20 && abandoned; attempt++) { /* a busy machine may need more than a moment */
        g_autoptr(Sample) sample = collect_error(30000, 3, NULL, &abandoned, NULL);
        assert_non_null(sample);
    }
    assert_false(abandoned);
}

static void one_worker_makes_one_call_at_a_time(void **state)
{
    (void)state;
    have_guests(1000);
    g_autoptr(Sample) sample = collect(600000, 1, NULL);
    assert_int_equal(sample->vms->len, 1000);
    assert_int_equal(fake.at_once, 1);
}

static void one_worker_is_enough_for_a_few_guests(void **state)
{
    (void)state;
    have_guests(64);
    g_autoptr(Sample) sample = collect(20000, 3, NULL);
    assert_true(missing(sample) == 0);
    assert_int_equal(fake.at_once, 1);
}

static void workers_ask_at_the_same_time(void **state)
{
    (void)state;
    have_guests(200);
    fake.meeting = 3;
    g_autoptr(Sample) sample = collect(20000, 3, NULL);
    assert_true(missing(sample) == 0);
    assert_int_equal(fake.at_once, 3);
    for (guint i = 0; i < 200; i++) {
        check_full(sample, i);
        CHECK(fake.guests[i].asked == 1, "one-%u", i + 1); /* nobody had to be asked again */
    }
}

static void a_host_without_vms_is_no_error(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = collect(30000, 2, NULL);
    assert_int_equal(sample->vms->len, 0);
    assert_true(missing(sample) == 0);
    assert_int_equal(fake.calls, 0);
}

/* --- no list --- */

static void no_daemon_is_an_error(void **state)
{
    (void)state;
    have_guests(3);
    fake.open_fails = true;
    check_refused(30000, 2, COLLECT_ERROR_LIBVIRT, "libvirt at " URI ": cannot connect: no daemon");
}

static void a_hung_daemon_is_an_error_at_the_deadline(void **state)
{
    (void)state;
    have_guests(3);
    fake.opens_good = 0;
    check_refused(500, 2, COLLECT_ERROR_DEADLINE, "libvirt at " URI " gave no list of domains within 0.5 s");
    bool abandoned = false;
    assert_null(collect_error(500, 2, NULL, &abandoned, NULL)); /* nobody asked why */
    assert_true(abandoned);
}

/* --- guests that do not answer --- */

static void a_stuck_guest_is_alone_without_figures(void **state)
{
    (void)state;
    for (guint workers = 1; workers <= 5; workers++) {
        have_guests(23);
        guint stuck = workers * 4 % 23;
        fake.guests[stuck].stuck = true;
        g_autoptr(Sample) sample = collect(3000, workers, NULL);
        assert_int_equal(sample->vms->len, 23);
        assert_true(missing(sample) == 0);
        check_partial(sample, stuck);
        for (guint i = 0; i < 23; i++)
            if (i != stuck)
                check_full(sample, i);
        sample_finish(sample, NULL);
        assert_true(row_u64(vm_of(sample, stuck)->row, METRIC_VM_LOCKED) == 1);
        assert_true(row_u64(sample->row, METRIC_HOST_LOCKED) == 1);
    }
}

/* In the cycles after the first, a guest holds its job from before: nobody waits for it. */
static void a_guest_that_holds_a_job_is_passed_over(void **state)
{
    (void)state;
    have_guests(10);
    fake.guests[4].stuck = fake.guests[4].job = true;
    bool abandoned;
    g_autoptr(Sample) sample = collect_error(30000, 2, NULL, &abandoned, NULL);
    assert_non_null(sample);
    check_partial(sample, 4);
    assert_int_equal(fake.guests[4].asked, 1);
    for (guint i = 0; i < 10; i++)
        if (i != 4)
            check_full(sample, i);
}

/* The stuck ones in part, all others in full. */
static void check_with_stuck(gint64 deadline_ms, guint workers, guint stuck)
{
    bool abandoned = false;
    g_autoptr(GError) error = NULL;
    g_autoptr(Sample) sample = collect_error(deadline_ms, workers, NULL, &abandoned, &error);
    CHECK(sample, "%s", error->message);
    assert_true(abandoned);
    assert_int_equal(sample->vms->len, fake.n);
    for (guint i = 0; i < fake.n; i++)
        if (fake.guests[i].stuck)
            check_partial(sample, i);
        else
            check_full(sample, i);
    for (guint i = 0; i < fake.n; i++)
        stuck -= fake.guests[i].stuck;
    assert_int_equal(stuck, 0);
}

static void two_stuck_guests_of_one_batch(void **state)
{
    (void)state;
    have_guests(12);
    fake.sticking = 2;
    check_with_stuck(8000, 1, 2);
}

static void three_stuck_guests_of_one_batch(void **state)
{
    (void)state;
    have_guests(12);
    fake.sticking = 3;
    check_with_stuck(8000, 1, 3);
}

static void more_stuck_guests_than_workers(void **state)
{
    (void)state;
    have_guests(100);
    fake.guests[0].stuck = fake.guests[50].stuck = fake.guests[99].stuck = true;
    check_with_stuck(12000, 2, 3); /* three calls after another, with room for a slow machine */
}

/* So few guests have but one worker, and one of each batch is stuck: others come when it does not get on. */
static void a_stuck_guest_in_each_batch_of_one_worker(void **state)
{
    (void)state;
    have_guests(64);
    fake.guests[0].stuck = fake.guests[16].stuck = fake.guests[32].stuck = fake.guests[48].stuck = true;
    check_with_stuck(12000, 2, 4);
}

/* Answers come in all the time while a connection for the first stuck guest is still being made; the guest that gets
 * stuck later finds a thread of its own all the same. */
static void a_stuck_guest_after_another(void **state)
{
    (void)state;
    have_guests(1000);
    fake.call_ms = 120;
    fake.open_ms = 400;
    fake.guests[0].stuck = fake.guests[999].stuck = true;
    check_with_stuck(8000, 4, 2);
}

static void where_every_monitor_hangs_the_last_call_helps(void **state)
{
    (void)state;
    have_guests(20);
    fake.monitor_hangs = true;
    g_autoptr(Sample) sample = collect(5000, 2, NULL);
    assert_int_equal(sample->vms->len, 20);
    assert_true(missing(sample) == 0);
    for (guint i = 0; i < 20; i++)
        check_last_call(sample, i);
    sample_finish(sample, NULL);
    assert_true(row_u64(sample->row, METRIC_HOST_LOCKED) == 20);
}

/* The daemon stops after it gave its list: neither an empty list nor silence. */
static void where_all_calls_hang_it_is_an_error(void **state)
{
    (void)state;
    have_guests(20);
    fake.all_hang = true;
    check_refused(500, 2, COLLECT_ERROR_DEADLINE, "libvirt at " URI " gave no statistics within 0.5 s");
}

static void where_later_connections_hang_it_is_an_error(void **state)
{
    (void)state;
    have_guests(20);
    fake.monitor_hangs = true;
    fake.opens_good = 1;
    check_refused(500, 2, COLLECT_ERROR_DEADLINE, "libvirt at " URI " gave no statistics within 0.5 s");
}

/* --- calls that fail --- */

static void a_failed_call_is_made_again(void **state)
{
    (void)state;
    for (guint failures = 1; failures <= 3; failures++) {
        have_guests(12);
        fake.failing_calls = failures;
        g_autoptr(Sample) sample = collect(30000, 2, NULL);
        assert_int_equal(sample->vms->len, 12);
        for (guint i = 0; i < 12; i++)
            check_full(sample, i);
        assert_int_equal(fake.failing_calls, 0);
    }
}

static void where_all_calls_fail_libvirt_says_why(void **state)
{
    (void)state;
    have_guests(12);
    fake.failing_calls = G_MAXUINT;
    check_refused(30000, 2, COLLECT_ERROR_LIBVIRT, "libvirt at " URI ": cannot get the statistics: connection lost");
}

/* One guest makes every call fail that asks for it. Its batch is listed, marked, and counted as missing. */
static void guests_without_an_answer_are_listed(void **state)
{
    (void)state;
    have_guests(40);
    fake.guests[30].poison = true;
    g_autoptr(Sample) sample = collect(30000, 2, NULL);
    assert_int_equal(sample->vms->len, 40);
    guint silent = 0;
    for (guint i = 0; i < 40; i++) {
        const VmSample *vm = vm_of(sample, i);
        check_identity(sample, i);
        if (row_has(vm->row, METRIC_VM_STATE)) {
            check_full(sample, i);
            continue;
        }
        assert_true(row_u64(vm->row, METRIC_VM_LOCKED) == 1);
        silent++;
    }
    assert_false(row_has(vm_of(sample, 30)->row, METRIC_VM_STATE));
    assert_true(silent < 40);
    assert_true(missing(sample) == silent);
}

static void a_guest_that_has_ended_is_not_listed(void **state)
{
    (void)state;
    have_guests(12);
    fake.guests[0].ended = fake.guests[5].ended = fake.guests[6].ended = true;
    g_autoptr(Sample) sample = collect(30000, 2, NULL);
    assert_int_equal(sample->vms->len, 9);
    assert_true(missing(sample) == 0);
    for (guint i = 0; i < 12; i++)
        if (!fake.guests[i].ended)
            check_full(sample, i);
}

/* Not a single one of them is left: no VMs, and that is true. */
static void all_guests_may_have_ended(void **state)
{
    (void)state;
    have_guests(3);
    fake.guests[0].ended = fake.guests[1].ended = fake.guests[2].ended = true;
    g_autoptr(Sample) sample = collect(30000, 1, NULL);
    assert_int_equal(sample->vms->len, 0);
    assert_true(missing(sample) == 0);
}

/* --- what is read once per start of a domain --- */

static void check_xml(const Sample *sample, guint i, const char *name, const char *devices, guint reads)
{
    const VmSample *vm = vm_of(sample, i);
    CHECK_TEXT(row_text(vm->row, METRIC_VM_VM_NAME), name, vm->name);
    CHECK_TEXT(vm->xml_devices, devices, vm->name);
    CHECK(fake.guests[i].xml_reads == reads, "%s: read %u times", vm->name, fake.guests[i].xml_reads);
    for (guint n = 0; name && n < vm->nics->len; n++) {
        g_autofree char *mac = g_strdup_printf("mac-%u", n), *bridge = g_strdup_printf("br%u", n);
        CHECK_TEXT(row_text(g_ptr_array_index(vm->nics, n), METRIC_NIC_MAC), mac, vm->name);
        CHECK_TEXT(row_text(g_ptr_array_index(vm->nics, n), METRIC_NIC_BRIDGE), bridge, vm->name);
    }
}

static Sample *collect_after(Sample *previous)
{
    if (previous)
        sample_finish(previous, NULL);
    return collect(30000, 2, previous);
}

static void xml_is_read_once_per_start(void **state)
{
    (void)state;
    have_guests(3);
    fake.guests[2].nics = 0;
    g_autoptr(Sample) first = collect_after(NULL);
    check_xml(first, 0, "name of one-1", "nic1-0", 1);
    check_xml(first, 1, "name of one-2", "nic2-0", 1);
    check_xml(first, 2, "name of one-3", "", 1);

    g_autoptr(Sample) second = collect_after(first); /* carried over */
    check_xml(second, 0, "name of one-1", "nic1-0", 1);
    check_xml(second, 1, "name of one-2", "nic2-0", 1);
    check_xml(second, 2, "name of one-3", "", 1);
    assert_string_equal(row_text(vm_of(second, 0)->row, METRIC_VM_UNAME), "owner");

    fake.guests[1].nics = 2; /* a NIC is plugged in */
    g_autoptr(Sample) third = collect_after(second);
    check_xml(third, 0, "name of one-1", "nic1-0", 1);
    check_xml(third, 1, "name of one-2", "nic2-0,nic2-1", 2);

    fake.guests[0].id = 777; /* restarted */
    g_autoptr(Sample) fourth = collect_after(third);
    check_xml(fourth, 0, "name of one-1", "nic1-0", 2);
    check_xml(fourth, 1, "name of one-2", "nic2-0,nic2-1", 2);

    g_strlcpy(fake.guests[0].name, "one-9", sizeof fake.guests[0].name); /* renamed */
    g_autoptr(Sample) fifth = collect_after(fourth);
    check_xml(fifth, 0, "name of one-9", "nic1-0", 3);
    check_xml(fifth, 2, "name of one-3", "", 1);
}

/* The state file is all that connects two runs. */
static void what_was_read_is_carried_through_the_state_file(void **state)
{
    (void)state;
    have_guests(3);
    fake.guests[2].nics = 0;
    g_autoptr(Sample) first = collect_after(NULL);
    GString *text = g_string_new(NULL);
    domstats_write(first, text);
    g_autoptr(Sample) loaded = parse_domstats(text->str);
    g_string_free(text, TRUE);
    g_autoptr(Sample) second = collect_after(loaded);
    check_xml(second, 0, "name of one-1", "nic1-0", 1);
    check_xml(second, 2, "name of one-3", "", 1);
}

static void xml_that_can_not_be_had_is_asked_for_again(void **state)
{
    (void)state;
    have_guests(2);
    fake.guests[0].xml_missing = fake.guests[1].xml_broken = true;
    g_autoptr(Sample) first = collect_after(NULL);
    check_xml(first, 0, NULL, NULL, 1);
    check_xml(first, 1, NULL, NULL, 1);
    check_full(first, 0);
    check_full(first, 1);
    fake.guests[0].xml_missing = fake.guests[1].xml_broken = false;
    g_autoptr(Sample) second = collect_after(first);
    check_xml(second, 0, "name of one-1", "nic1-0", 2);
    check_xml(second, 1, "name of one-2", "nic2-0", 2);
}

static void a_restart_behind_the_list_carries_nothing_over(void **state)
{
    (void)state;
    have_guests(2);
    g_autoptr(Sample) first = collect_after(NULL);
    fake.guests[0].restarted = true;
    g_autoptr(Sample) second = collect_after(first);
    check_xml(second, 0, NULL, NULL, 1);
    check_xml(second, 1, "name of one-2", "nic2-0", 1);
}

/* Nobody looks for the end of a collection before a sixteenth of its deadline is over: that it has come has to be said,
 * once the last XML is there and not only its statistics. With this deadline the look would come too late. */
static void the_last_xml_ends_the_collection(void **state)
{
    (void)state;
    for (guint workers = 1; workers <= 3; workers++) {
        have_guests(6);
        fake.xml_ms = 20;
        g_autoptr(Sample) sample = collect(32 * GENEROUS_US / 1000, workers, NULL);
        for (guint i = 0; i < 6; i++)
            check_full(sample, i);
    }
}

/* Figures are worth more than names: they do not wait for an XML that does not come. */
static void an_xml_that_hangs_costs_no_figures(void **state)
{
    (void)state;
    have_guests(6);
    fake.guests[1].xml_hangs = true;
    bool abandoned = false;
    g_autoptr(Sample) sample = collect_error(1500, 2, NULL, &abandoned, NULL);
    assert_non_null(sample);
    assert_true(abandoned);
    for (guint i = 0; i < 6; i++)
        check_full(sample, i);
    check_xml(sample, 1, NULL, NULL, 1);
    check_xml(sample, 0, "name of one-1", "nic1-0", 1);
}

/* And where no more connections are to be had, they are not asked for again and again. */
static void an_xml_that_hangs_and_no_other_connection(void **state)
{
    (void)state;
    have_guests(40);
    fake.guests[1].xml_hangs = fake.later_opens_fail = true;
    bool abandoned = false;
    g_autoptr(Sample) sample = collect_error(1500, 1, NULL, &abandoned, NULL);
    assert_non_null(sample);
    assert_true(abandoned);
    check_full(sample, 0);
    assert_true(missing(sample) > 0);
    assert_in_range(fake.opens, 2, 6); /* the first, at most four of patience, the last call's */
}

/* Without an answer, nothing of what was read before is lost. */
static void what_was_read_stands_while_a_guest_is_silent(void **state)
{
    (void)state;
    have_guests(40);
    g_autoptr(Sample) first = collect_after(NULL);
    fake.guests[2].poison = true; /* no answer for its neighbours in the batch neither */
    g_autoptr(Sample) second = collect_after(first);
    assert_true(missing(second) >= 1);
    for (guint i = 0; i < 40; i++) {
        g_autofree char *name = g_strdup_printf("name of one-%u", i + 1);
        CHECK_TEXT(row_text(vm_of(second, i)->row, METRIC_VM_VM_NAME), name, "silent");
        CHECK(fake.guests[i].xml_reads == 1, "one-%u", i + 1);
    }
}

/* --- with the kernel's help --- */

#define DAY_MS (G_GINT64_CONSTANT(86400) * 1000) /* so that the slow figures are not due meanwhile */

/* A /proc with the QEMU of each guest. Owned by the caller. */
static char *proc_of_guests(void)
{
    char *proc = make_temporary_dir();
    for (guint i = 0; i < fake.n; i++) {
        const guint pid = 1000 * (i + 1);
        fake_qemu(proc, &(FakeQemu){.pid = pid, .uuid = fake.guests[i].uuid, .start = 5, .user = i + 1, .rss = 9});
        fake_thread(proc, pid, pid + 1, "CPU 0/KVM", 31, 32);
        fake_process_file(proc, pid, "net/dev", "nic%u-0: 1 2 3 4 0 0 0 0 %u 6 7 8 0 0 0 0\n", i + 1, 1000 + i);
    }
    return proc;
}

static Sample *collect_by(const char *proc, gint64 deadline_ms, Sample *previous, bool fast, bool *ret_abandoned)
{
    g_autoptr(Processes) processes = processes_new(proc, "/nonexistent");
    const CollectOptions options = {.api = &fake_api,
                                    .uri = URI,
                                    .deadline_ms = deadline_ms,
                                    .workers = 2,
                                    .previous = previous,
                                    .processes = processes,
                                    .slow_ms = DAY_MS,
                                    .fast = fast};
    g_autoptr(GError) error = NULL;
    Sample *sample = collect_sample(&options, ret_abandoned, &error);
    CHECK(sample, "%s", error->message);
    sample_finish(sample, previous);
    return sample;
}

static void check_by_kernel(const Sample *sample, guint i, bool locked)
{
    const VmSample *vm = vm_of(sample, i);
    check_identity(sample, i);
    CHECK(row_u64(vm->row, METRIC_VM_CPU_TIME) == 10000000 * (i + 1), "%s", vm->name);
    CHECK(row_has(vm->row, METRIC_VM_MEMORY_RSS), "%s", vm->name);
    CHECK(row_u64(vm->row, METRIC_VM_LOCKED) == locked, "%s", vm->name);
    CHECK(vm->disks->len == 1, "%s", vm->name);
    const MetricRow *disk = g_ptr_array_index(vm->disks, 0);
    CHECK(row_u64(disk, METRIC_DISK_RD_REQS) == (locked ? 0 : vm->vm_id + 3), "%s", vm->name);
}

static void check_all_by_kernel(const Sample *sample, guint locked)
{
    assert_int_equal(sample->vms->len, fake.n);
    assert_true(missing(sample) == 0);
    for (guint i = 0; i < fake.n; i++)
        check_by_kernel(sample, i, i == locked);
}

static void each_cycle_asks_for_what_may_have_changed(void **state)
{
    (void)state;
    have_guests(12);
    g_autofree char *proc = proc_of_guests();
    g_autoptr(Sample) first = collect_by(proc, 30000, NULL, false, NULL);
    g_autoptr(Sample) second = collect_by(proc, 30000, first, false, NULL);
    g_autoptr(Sample) fast = collect_by(proc, 30000, second, true, NULL);
    check_all_by_kernel(first, G_MAXUINT);
    check_all_by_kernel(second, G_MAXUINT);
    check_all_by_kernel(fast, G_MAXUINT);
    for (guint i = 0; i < 12; i++) {
        /* all once, and the NICs in the fast sample, for no file of libvirt's says that they are the same */
        CHECK(fake.guests[i].asked == 2, "%u", fake.guests[i].asked);
        CHECK(row_u64(g_ptr_array_index(vm_of(second, i)->nics, 0), METRIC_NIC_RX_BYTES) == 1000 + i, "%u", i);
        CHECK(fake.guests[i].disk_asked == 1, "%u", fake.guests[i].disk_asked);
        CHECK(vm_of(fast, i)->held && !vm_of(second, i)->held, "%u", i);
        CHECK_TEXT(row_text(vm_of(fast, i)->row, METRIC_VM_UNAME), "owner", "names are kept");
    }
    remove_tree(proc);
}

/* All of its batch are asked for again by the call that passes over it. */
static void a_disks_call_that_hangs_takes_no_other_guest_with_it(void **state)
{
    (void)state;
    have_guests(12);
    g_autofree char *proc = proc_of_guests();
    g_autoptr(Sample) first = collect_by(proc, 30000, NULL, false, NULL);
    fake.guests[4].stuck = true;
    bool abandoned = false;
    g_autoptr(Sample) second = collect_by(proc, 4000, first, false, &abandoned);
    assert_true(abandoned);
    check_all_by_kernel(second, 4);
    g_autoptr(Sample) third = collect_by(proc, 30000, second, false, &abandoned);
    assert_int_equal(fake.guests[4].disk_asked, 1); /* not a second time while it is held */
    check_all_by_kernel(third, 4);
    remove_tree(proc);
}

static void an_xml_that_hangs_costs_no_figures_of_the_kernel_neither(void **state)
{
    (void)state;
    have_guests(6);
    fake.guests[1].xml_hangs = true;
    g_autofree char *proc = proc_of_guests();
    bool abandoned = false;
    g_autoptr(Sample) sample = collect_by(proc, 3000, NULL, false, &abandoned);
    assert_true(abandoned);
    check_all_by_kernel(sample, G_MAXUINT);
    remove_tree(proc);
}

static void where_every_monitor_hangs_the_kernel_still_says_what_it_has(void **state)
{
    (void)state;
    have_guests(6);
    fake.monitor_hangs = true;
    g_autofree char *proc = proc_of_guests();
    g_autoptr(Sample) sample = collect_by(proc, 3000, NULL, false, NULL);
    assert_int_equal(sample->vms->len, 6);
    for (guint i = 0; i < 6; i++) {
        const VmSample *vm = vm_of(sample, i);
        CHECK(row_u64(vm->row, METRIC_VM_CPU_TIME) == 10000000 * (i + 1), "%s", vm->name);
        CHECK(row_u64(vm->row, METRIC_VM_LOCKED) == 1, "%s", vm->name);
        CHECK(row_u64(g_ptr_array_index(vm->nics, 0), METRIC_NIC_RX_BYTES) == vm->vm_id, "%s", vm->name);
    }
    remove_tree(proc);
}

/* --- over a connection that is kept --- */

/* A collection gives its threads a moment to end: on a busy machine one may leave its connection later. */
static void wait_for_threads(guint stuck)
{
    const gint64 end = g_get_monotonic_time() + GENEROUS_US;
    while (collect_threads() > stuck && g_get_monotonic_time() < end)
        g_usleep(1000);
    assert_int_equal(collect_threads(), stuck);
}

static Sample *collect_over(KeptConnection *kept, gint64 deadline_ms, GError **error)
{
    const CollectOptions options = {
        .api = &fake_api, .uri = URI, .deadline_ms = deadline_ms, .workers = 3, .kept = kept};
    return collect_sample(&options, NULL, error);
}

static void check_whole(KeptConnection *kept, guint stuck)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Sample) sample = collect_over(kept, 30000, &error);
    CHECK(sample, "%s", error->message);
    assert_int_equal(sample->vms->len, fake.n);
    for (guint i = 0; i < fake.n; i++)
        check_full(sample, i);
    wait_for_threads(stuck);
}

static void a_connection_is_left_to_the_next_collection(void **state)
{
    (void)state;
    have_guests(12);
    fake.n = 11;
    KeptConnection *kept = kept_connection_new(&fake_api);
    check_whole(kept, 0);
    fake.n = 12; /* the list is made anew */
    check_whole(kept, 0);
    fake.n = 3;
    check_whole(kept, 0);
    assert_true(fake.opens == 1 && fake.lists == 2 && fake.closes == 0);
    kept_connection_unref(kept);
    assert_int_equal(fake.closes, 1);
}

static void where_a_kept_connection_is_lost_another_is_made(void **state)
{
    (void)state;
    have_guests(5);
    g_autoptr(KeptConnection) kept = kept_connection_new(&fake_api);
    check_whole(kept, 0);
    fake.list_fails = true; /* libvirtd has been restarted */
    check_whole(kept, 0);
    assert_true(fake.opens == 2 && fake.lists == 1 && fake.closes == 1);
    fake.list_fails = false;
    check_whole(kept, 0);
    assert_true(fake.opens == 2 && fake.lists == 2 && fake.closes == 1);
}

static void a_kept_connection_that_hangs_costs_one_collection(void **state)
{
    (void)state;
    have_guests(5);
    g_autoptr(KeptConnection) kept = kept_connection_new(&fake_api);
    g_autoptr(GError) error = NULL;
    check_whole(kept, 0);
    fake.list_hangs = true;
    g_autoptr(Sample) sample = collect_over(kept, 300, &error);
    assert_null(sample);
    assert_true(g_error_matches(error, COLLECT_ERROR, COLLECT_ERROR_DEADLINE));
    check_whole(kept, 1); /* over a new one */
    assert_int_equal(fake.opens, 2);
}

/* Whatever was wrong: the next begins with a new one. */
static void a_connection_with_an_error_is_not_left(void **state)
{
    (void)state;
    have_guests(5);
    g_autoptr(KeptConnection) kept = kept_connection_new(&fake_api);
    fake.failing_calls = 1;
    check_whole(kept, 0);
    check_whole(kept, 0);
    assert_int_equal(fake.lists, 0);
}

static void a_stuck_guest_keeps_its_connection_from_the_next(void **state)
{
    (void)state;
    have_guests(9);
    fake.guests[4].stuck = true;
    KeptConnection *kept = kept_connection_new(&fake_api);
    g_autoptr(Sample) first = collect_over(kept, 2000, NULL);
    check_partial(first, 4);
    wait_for_threads(1);
    const guint opens = fake.opens;
    g_autoptr(Sample) second = collect_over(kept, 2000, NULL);
    check_partial(second, 4);
    wait_for_threads(1);
    assert_int_equal(fake.opens, opens + 1);
    g_autoptr(Sample) third = collect_over(kept, 2000, NULL);
    check_partial(third, 4);
    assert_int_equal(fake.opens, opens + 1);
    kept_connection_unref(kept); /* the thread that is stuck has it still */
    assert_true(release_all());
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_guest_is_asked_once),
        TEST(a_sample_knows_when_it_was_taken),
        TEST(no_thread_is_left_where_all_is_well),
        TEST(one_worker_makes_one_call_at_a_time),
        TEST(one_worker_is_enough_for_a_few_guests),
        TEST(workers_ask_at_the_same_time),
        TEST(a_host_without_vms_is_no_error),
        TEST(no_daemon_is_an_error),
        TEST(a_hung_daemon_is_an_error_at_the_deadline),
        TEST(a_stuck_guest_is_alone_without_figures),
        TEST(a_guest_that_holds_a_job_is_passed_over),
        TEST(two_stuck_guests_of_one_batch),
        TEST(three_stuck_guests_of_one_batch),
        TEST(more_stuck_guests_than_workers),
        TEST(a_stuck_guest_in_each_batch_of_one_worker),
        TEST(a_stuck_guest_after_another),
        TEST(where_every_monitor_hangs_the_last_call_helps),
        TEST(where_all_calls_hang_it_is_an_error),
        TEST(where_later_connections_hang_it_is_an_error),
        TEST(a_failed_call_is_made_again),
        TEST(where_all_calls_fail_libvirt_says_why),
        TEST(guests_without_an_answer_are_listed),
        TEST(a_guest_that_has_ended_is_not_listed),
        TEST(all_guests_may_have_ended),
        TEST(xml_is_read_once_per_start),
        TEST(what_was_read_is_carried_through_the_state_file),
        TEST(xml_that_can_not_be_had_is_asked_for_again),
        TEST(a_restart_behind_the_list_carries_nothing_over),
        TEST(the_last_xml_ends_the_collection),
        TEST(an_xml_that_hangs_costs_no_figures),
        TEST(an_xml_that_hangs_and_no_other_connection),
        TEST(what_was_read_stands_while_a_guest_is_silent),
        TEST(each_cycle_asks_for_what_may_have_changed),
        TEST(a_disks_call_that_hangs_takes_no_other_guest_with_it),
        TEST(an_xml_that_hangs_costs_no_figures_of_the_kernel_neither),
        TEST(where_every_monitor_hangs_the_kernel_still_says_what_it_has),
        TEST(a_connection_is_left_to_the_next_collection),
        TEST(where_a_kept_connection_is_lost_another_is_made),
        TEST(a_kept_connection_that_hangs_costs_one_collection),
        TEST(a_connection_with_an_error_is_not_left),
        TEST(a_stuck_guest_keeps_its_connection_from_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
