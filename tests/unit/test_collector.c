/* SPDX-License-Identifier: Apache-2.0
 * The collector's loop against a hypervisor that fails, hangs and heals at will. Waits are for conditions, and bounded.
 */
#include "gather/host.h"
#include "gather_helpers.h"
#include "serve/collector.h"

#include <string.h>

#define GENEROUS_US (30 * G_USEC_PER_SEC)

/* --- the fake: one VM, whose CPU time grows with each call --- */

static struct {
    GMutex lock;
    GCond changed;
    bool fails, hangs, one_hangs; /* the last: where the URI has "stuck" in it */
    guint64 calls;
    guint opens, closes, lists;
} fake;

struct Hypervisor {
    char *uri;
    GPtrArray *domains;
};

static void free_domain(gpointer data)
{
    HypervisorDomain *domain = data;
    g_free(domain->name);
    g_free(domain->uuid);
    g_free(domain);
}

static Hypervisor *fake_open(const char *uri, GError **error)
{
    g_mutex_lock(&fake.lock);
    while (fake.hangs || (fake.one_hangs && strstr(uri, "stuck")))
        g_cond_wait(&fake.changed, &fake.lock);
    const bool fails = fake.fails || strstr(uri, "broken");
    fake.opens += !fails;
    g_mutex_unlock(&fake.lock);
    if (fails) {
        g_set_error(error, g_quark_from_static_string("fake"), 38, "no daemon at %s", uri);
        return NULL;
    }
    HypervisorDomain *domain = g_new(HypervisorDomain, 1);
    *domain = (HypervisorDomain){.name = g_strdup("one-83"), .uuid = g_strdup("u"), .id = 3, .state = 1};
    Hypervisor *hypervisor = g_new(Hypervisor, 1);
    hypervisor->domains = g_ptr_array_new_with_free_func(free_domain);
    g_ptr_array_add(hypervisor->domains, domain);
    hypervisor->uri = g_strdup(uri);
    return hypervisor;
}

static void fake_close(Hypervisor *hypervisor)
{
    if (!hypervisor)
        return;
    g_mutex_lock(&fake.lock);
    fake.closes++;
    g_mutex_unlock(&fake.lock);
    g_ptr_array_unref(hypervisor->domains);
    g_free(hypervisor->uri);
    g_free(hypervisor);
}

/* Meanwhile its libvirtd may have stopped, or hang. */
static bool fake_list_again(Hypervisor *hypervisor, GError **error)
{
    g_mutex_lock(&fake.lock);
    while (fake.hangs || (fake.one_hangs && strstr(hypervisor->uri, "stuck")))
        g_cond_wait(&fake.changed, &fake.lock);
    const bool good = !fake.fails;
    fake.lists++;
    g_mutex_unlock(&fake.lock);
    if (!good)
        g_set_error(error, g_quark_from_static_string("fake"), 38, "no daemon any more");
    return good;
}

static const GPtrArray *fake_domains(const Hypervisor *hypervisor)
{
    return hypervisor->domains;
}

static GPtrArray *fake_stats(Hypervisor *hypervisor, const char *const *uuids, guint count, HypervisorGroups groups,
                             GError **error)
{
    (void)hypervisor;
    (void)uuids;
    (void)count;
    (void)groups;
    (void)error;
    GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_sample_free);
    VmSample *vm = vm_sample_new("one-83");
    vm->uuid = g_strdup("u");
    vm->domain_id = 3;
    vm->boottime_ns = host_boottime_ns();
    g_mutex_lock(&fake.lock);
    const guint64 calls = ++fake.calls;
    g_mutex_unlock(&fake.lock);
    put_figures(vm, "state.state=1 vcpu.current=1 balloon.rss=5");
    row_set_u64(vm->row, METRIC_VM_CPU_TIME, calls * 1000000);
    g_ptr_array_add(vms, vm);
    return vms;
}

static char *fake_xml(Hypervisor *hypervisor, const char *uuid)
{
    (void)hypervisor;
    (void)uuid;
    return g_strdup("<domain/>");
}

#define LEFT_OUT 2

static guint fake_left_out(const Hypervisor *hypervisor)
{
    (void)hypervisor;
    return LEFT_OUT;
}

static const HypervisorApi fake_api = {.open = fake_open,
                                       .close = fake_close,
                                       .list_again = fake_list_again,
                                       .domains = fake_domains,
                                       .stats = fake_stats,
                                       .xml = fake_xml,
                                       .left_out = fake_left_out};

/* --- what comes of it --- */

typedef struct {
    Collector *collector;
    GMutex lock;
    GCond changed;
    guint taken, failed, with_previous, with_rates;
    guint refused, healed; /* failures as too much hangs; samples of a URI with "stuck" in it */
    char *host;
} Case;

static void on_take(const char *uri, Sample *sample, const Sample *previous, gpointer data)
{
    Case *c = data;
    const VmSample *vm = g_ptr_array_index(sample->vms, 0);
    g_mutex_lock(&c->lock);
    c->taken++;
    c->healed += strstr(uri, "stuck") != NULL;
    c->with_previous += previous != NULL;
    c->with_rates += row_has(vm->row, METRIC_VM_CPU_USAGE_PERCENT);
    g_free(c->host);
    c->host = g_strdup(sample->host);
    g_cond_broadcast(&c->changed);
    g_mutex_unlock(&c->lock);
}

static void on_fail(const char *uri, const GError *error, gpointer data)
{
    Case *c = data;
    (void)uri;
    assert_non_null(error);
    g_mutex_lock(&c->lock);
    c->failed++;
    c->refused += g_error_matches(error, COLLECTOR_ERROR, 0);
    g_cond_broadcast(&c->changed);
    g_mutex_unlock(&c->lock);
}

static void wait_for(Case *c, const guint *counter, guint at_least, const char *what)
{
    const gint64 until = g_get_monotonic_time() + GENEROUS_US;
    g_mutex_lock(&c->lock);
    while (*counter < at_least)
        if (!g_cond_wait_until(&c->changed, &c->lock, until)) {
            g_mutex_unlock(&c->lock);
            fail_msg("%s: still %u, not %u", what, *counter, at_least);
        }
    g_mutex_unlock(&c->lock);
}

static guint value(Case *c, const guint *counter)
{
    g_mutex_lock(&c->lock);
    guint got = *counter;
    g_mutex_unlock(&c->lock);
    return got;
}

/* Of this process, by the name that they were given. */
static guint threads_named(const char *name)
{
    guint count = 0;
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    for (const char *task; dir && (task = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename("/proc/self/task", task, "comm", NULL), *comm = NULL;
        if (g_file_get_contents(path, &comm, NULL, NULL)) /* one may have ended meanwhile */
            count += strcmp(g_strchomp(comm), name) == 0;
    }
    return count;
}

static void set_fake(bool fails, bool hangs)
{
    g_mutex_lock(&fake.lock);
    fake.fails = fails;
    fake.hangs = hangs;
    fake.one_hangs = false;
    g_cond_broadcast(&fake.changed);
    g_mutex_unlock(&fake.lock);
}

static void begin_every(Case *c, const char *const *uris, gint64 interval_ms, gint64 deadline_ms)
{
    const CollectorOptions options = {.api = &fake_api,
                                      .uris = uris,
                                      .host = "kvm1",
                                      .interval_ms = interval_ms,
                                      .deadline_ms = deadline_ms,
                                      .workers = 1,
                                      .take = on_take,
                                      .fail = on_fail,
                                      .data = c};
    set_fake(false, false);
    fake.opens = fake.closes = fake.lists = 0; /* no thread runs */
    g_mutex_init(&c->lock);
    g_cond_init(&c->changed);
    c->collector = collector_new(&options);
}

static void begin(Case *c, const char *const *uris)
{
    begin_every(c, uris, 120, 500); /* rates need 100 */
}

static void end(Case *c)
{
    set_fake(false, false);
    collector_free(c->collector);
    g_free(c->host);
    const gint64 until = g_get_monotonic_time() + GENEROUS_US;
    while (collect_threads() > 0 && g_get_monotonic_time() < until)
        g_usleep(1000);
    assert_int_equal(collect_threads(), 0);
}

static const char *const one_uri[] = {"fake:///system", NULL};

static void it_starts_and_stops(void **state)
{
    (void)state;
    Case c = {0};
    begin(&c, one_uri);
    assert_false(collector_is_running(c.collector));
    assert_false(collector_stop(c.collector));
    assert_true(collector_start(c.collector));
    assert_false(collector_start(c.collector));
    wait_for(&c, &c.with_rates, 2, "with rates");
    CHECK_TEXT(c.host, "kvm1", "host");
    assert_true(collector_stop(c.collector));
    assert_false(collector_is_running(c.collector));
    CollectorStatus status;
    collector_status(c.collector, &status);
    assert_true(status.collections >= 3 && status.errors == 0 && status.started_ns == 0 && status.uris->len == 1);
    assert_int_equal(((const CollectorUri *)g_ptr_array_index(status.uris, 0))->left_out, LEFT_OUT);
    collector_status_clear(&status);
    const guint before = value(&c, &c.taken);
    assert_true(collector_start(c.collector));
    wait_for(&c, &c.taken, before + 2, "after another start");
    end(&c);
}

/* As long as it is well, and until it is stopped. */
static void one_connection_is_made(void **state)
{
    (void)state;
    Case c = {0};
    begin(&c, one_uri);
    collector_start(c.collector);
    wait_for(&c, &c.taken, 8, "taken");
    end(&c);                                                  /* no other thread is left */
    assert_true(fake.lists >= fake.opens && fake.opens >= 1); /* on a busy machine one may be left a little late */
    assert_int_equal(fake.closes, fake.opens);
}

static void it_heals(void **state)
{
    (void)state;
    Case c = {0};
    begin(&c, one_uri);
    collector_start(c.collector);
    wait_for(&c, &c.taken, 1, "taken");
    set_fake(true, false);
    wait_for(&c, &c.failed, 2, "failed");
    CollectorStatus status;
    collector_status(c.collector, &status);
    const CollectorUri *uri = g_ptr_array_index(status.uris, 0);
    assert_true(!uri->ok && strstr(uri->error, "no daemon") && status.errors >= 2);
    collector_status_clear(&status);
    const guint before = value(&c, &c.taken);
    set_fake(false, false);
    wait_for(&c, &c.taken, before + 1, "healed");
    collector_status(c.collector, &status);
    assert_null(((CollectorUri *)g_ptr_array_index(status.uris, 0))->error);
    collector_status_clear(&status);
    end(&c);
}

static void a_hanging_one_can_be_stopped_and_started(void **state)
{
    (void)state;
    Case c = {0};
    begin(&c, one_uri);
    set_fake(false, true);
    collector_start(c.collector);
    wait_for(&c, &c.failed, 1, "the deadline");
    assert_true(collector_stop(c.collector));
    assert_true(collector_start(c.collector));
    set_fake(false, false);
    wait_for(&c, &c.taken, 1, "taken after all");
    end(&c);
}

/* Each start has a thread of its own, and one that hangs stays until its deadline. */
static void many_starts_have_few_threads(void **state)
{
    (void)state;
    Case c = {0};
    begin(&c, one_uri);
    set_fake(false, true);
    for (guint i = 0; i < 300; i++) {
        assert_true(collector_start(c.collector));
        assert_true(collector_stop(c.collector));
        /* a call's thread has its loop's name until it has its own */
        CHECK(threads_named("collector") <= 2 * 64, "%u threads", threads_named("collector"));
    }
    set_fake(false, false);
    assert_true(collector_start(c.collector));
    wait_for(&c, &c.taken, 1, "taken after all");
    end(&c);
}

static void one_uri_does_not_hold_up_another(void **state)
{
    (void)state;
    static const char *const uris[] = {"qemu+tls://broken.example.net/system",
                                       "qemu+ssh://me@kvm9.example.net:22/system", NULL};
    Case c = {0};
    begin(&c, uris);
    collector_start(c.collector);
    wait_for(&c, &c.taken, 2, "the good one");
    wait_for(&c, &c.failed, 2, "the broken one");
    CHECK_TEXT(c.host, "kvm9.example.net", "host");
    end(&c);
}

/* What a URI has left behind in libvirt is bounded, told of, and no other URI's trouble. */
static void a_hanging_uri_is_left_alone_and_the_others_are_not(void **state)
{
    (void)state;
    static const char *const uris[] = {"fake://stuck.example.net/system", "fake://kvm9.example.net/system", NULL};
    Case c = {0};
    begin_every(&c, uris, 20, 25);
    g_mutex_lock(&fake.lock);
    fake.one_hangs = true;
    g_mutex_unlock(&fake.lock);
    collector_start(c.collector);
    wait_for(&c, &c.refused, 5, "refused");
    const guint stuck = collect_threads();
    wait_for(&c, &c.refused, value(&c, &c.refused) + 20, "refused further on");
    wait_for(&c, &c.taken, value(&c, &c.taken) + 20, "the good one meanwhile");
    CHECK(collect_threads() <= stuck + 8, "%u threads, before %u", collect_threads(), stuck);
    set_fake(false, false);
    wait_for(&c, &c.healed, 1, "the stuck one, when it is back");
    end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_and_stops),
        cmocka_unit_test(one_connection_is_made),
        cmocka_unit_test(it_heals),
        cmocka_unit_test(a_hanging_one_can_be_stopped_and_started),
        cmocka_unit_test(many_starts_have_few_threads),
        cmocka_unit_test(one_uri_does_not_hold_up_another),
        cmocka_unit_test(a_hanging_uri_is_left_alone_and_the_others_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
