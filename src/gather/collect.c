/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/collect.h"
#include "gather/ask.h"
#include "gather/host.h"
#include "gather/identity.h"

#include <string.h>

G_DEFINE_QUARK(one_telemetry_collect, collect_error)

/* What happens when, in parts of the deadline: a batch that has been out for so long is asked for again … */
#define PATIENCE(deadline) ((deadline) / 4)
/* … a batch answered in part, while the first call for it is still out, is taken as it is … */
#define SETTLE_AFTER(deadline) ((deadline)*6 / 10)
/* … and the last call, without the monitor, goes out this long before the end. */
#define LAST_CALL_BEFORE(deadline) MIN((deadline) / 5, G_USEC_PER_SEC)
#define BATCH_ATTEMPTS 4 /* so up to three guests of one batch may be stuck */
#define RETRY_THREADS 4  /* at a time */
#define BATCH_MAX 16

typedef struct {
    HypervisorDomain domain;
    char *known_devices; /* NIC names whose XML was read before; NULL: none */
    VmKnown known;
    VmSample *vm; /* the fullest answer so far */
    char *xml;
} Target;

typedef struct {
    guint first, count;  /* targets */
    guint attempts, out; /* calls made for it; of those, still under way */
    gint64 asked_at;     /* monotonic us of the last call; 0: due at once */
    bool answered;       /* by at least one call */
    bool served;         /* by the last call, with what needs no monitor */
} Batch;

/* Shared by all threads of one collection. It lives until the last of them is back, even if that is long after the
 * collection was given up; a thread touches nothing else. */
typedef struct {
    gint references;
    const HypervisorApi *api;
    char *uri;
    AskOptions ask;       /* with a reference on its processes; its netdevs are its own */
    CollectCount *count;  /* may be NULL */
    KeptConnection *kept; /* may be NULL */
    GMutex lock;          /* for all that follows */
    GCond changed;
    bool opened, planned;
    Hypervisor *first; /* connection of the workers; NULL when the last of them has closed it */
    GError *error;     /* the first that a call returned */
    GPtrArray *targets;
    GArray *batches;
    guint left_out;           /* domains that are no VMs by their names */
    guint next_batch;         /* the first that no worker has taken yet */
    guint threads, readers;   /* running; of those, reading XML */
    guint retrying, arriving; /* of the running: for batches that are overdue; of those, not yet connected */
    guint users;              /* threads that use the first connection */
    gint64 patience_us;
    bool over; /* answers are no longer wanted */
} Collection;

/* --- what threads share --- */

static void free_target(gpointer data)
{
    Target *target = data;
    g_free(target->domain.name);
    g_free(target->domain.uuid);
    g_free(target->known_devices);
    vm_known_clear(&target->known);
    vm_sample_free(target->vm);
    g_free(target->xml);
    g_free(target);
}

static Collection *collection_ref(Collection *collection)
{
    g_atomic_int_inc(&collection->references);
    return collection;
}

static void collection_unref(Collection *collection)
{
    if (!g_atomic_int_dec_and_test(&collection->references))
        return;
    g_clear_error(&collection->error);
    g_ptr_array_unref(collection->targets);
    g_array_unref(collection->batches);
    g_mutex_clear(&collection->lock);
    g_cond_clear(&collection->changed);
    g_free(collection->uri);
    processes_unref(collection->ask.processes);
    netdevs_free(collection->ask.netdevs);
    g_free((gpointer)(guintptr)collection->ask.status_dir);
    collect_count_unref(collection->count);
    kept_connection_unref(collection->kept);
    g_free(collection);
}

static Collection *collection_new(const CollectOptions *options)
{
    Collection *collection = g_new0(Collection, 1);
    collection->references = 1;
    collection->api = options->api;
    collection->uri = g_strdup(options->uri);
    collection->ask = (AskOptions){
        .api = options->api,
        .processes = options->processes ? processes_ref(options->processes) : NULL,
        .netdevs = options->processes ? netdevs_new(processes_proc(options->processes)) : NULL,
        .status_dir = options->processes ? plan_status_dir(options->uri) : NULL,
        .fast = options->fast,
        .slow_ns = options->slow_ms * 1000000,
        .now_ns = host_boottime_ns(),
    };
    collection->count = collect_count_ref(options->count);
    collection->kept = kept_connection_ref(options->kept);
    g_mutex_init(&collection->lock);
    g_cond_init(&collection->changed);
    collection->targets = g_ptr_array_new_with_free_func(free_target);
    collection->batches = g_array_new(FALSE, TRUE, sizeof(Batch));
    return collection;
}

/* --- threads: each has a reference on the collection and gives it back --- */

static void start_thread(Collection *collection, const char *name, GThreadFunc function)
{
    GThread *thread = g_thread_try_new(name, function, collection_ref(collection), NULL);
    if (!thread) {
        collection_unref(collection);
        return;
    }
    collection->threads++;
    collect_count_add(collection->count, 1);
    g_thread_unref(thread);
}

/* With the lock held. */
static void start_worker(Collection *collection, GThreadFunc function)
{
    guint before = collection->threads;
    start_thread(collection, "libvirt-work", function);
    collection->users += collection->threads - before;
}

/* With the lock held. */
static void note_error(Collection *collection, GError *error)
{
    if (collection->error)
        g_error_free(error);
    else
        collection->error = error;
}

static gpointer end_thread(Collection *collection)
{
    CollectCount *count = collect_count_ref(collection->count);
    g_mutex_lock(&collection->lock);
    collection->threads--;
    g_cond_broadcast(&collection->changed);
    g_mutex_unlock(&collection->lock);
    collection_unref(collection);
    collect_count_add(count, -1);
    collect_count_unref(count);
    return NULL;
}

/* The same batch may have been asked twice; the answer with more in it stays. */
static bool is_fuller(const VmSample *a, const VmSample *b)
{
    return !b || (row_u64(b->row, METRIC_VM_LOCKED) != 0 && row_u64(a->row, METRIC_VM_LOCKED) == 0);
}

/* With the lock held. Takes VMs and XML over. */
static void file_answers(Collection *collection, guint first, AskedVm *asked, guint count)
{
    for (guint i = 0; i < count && !collection->over; i++) {
        Target *target = g_ptr_array_index(collection->targets, first + i);
        if (asked[i].vm && is_fuller(asked[i].vm, target->vm)) {
            vm_sample_free(target->vm);
            target->vm = g_steal_pointer(&asked[i].vm);
        }
        if (asked[i].xml && !target->xml)
            target->xml = g_steal_pointer(&asked[i].xml);
    }
}

/* The XML of domains that were started, or got another NIC, since it was last read. */
static void read_new_xml(Collection *collection, Hypervisor *hypervisor, guint first, guint count)
{
    for (guint i = first; i < first + count; i++) {
        g_mutex_lock(&collection->lock);
        Target *target = g_ptr_array_index(collection->targets, i);
        g_autofree char *uuid = g_strdup(target->domain.uuid);
        g_autofree char *devices = target->vm ? identity_devices(target->vm) : NULL;
        bool wanted = devices && !target->xml && g_strcmp0(devices, target->known_devices) != 0 && !collection->over;
        g_mutex_unlock(&collection->lock);
        if (!wanted)
            continue;
        char *xml = collection->api->xml(hypervisor, uuid);
        g_mutex_lock(&collection->lock);
        g_free(target->xml);
        target->xml = xml;
        g_mutex_unlock(&collection->lock);
    }
}

typedef enum { ASK_FIRST, ASK_AGAIN, ASK_FOR_LITTLE } AskHow;

/* Asks for targets first … first+count-1; false: the call failed. */
static bool ask(Collection *collection, Hypervisor *hypervisor, guint first, guint count, AskHow how)
{
    g_autofree AskedVm *asked = g_new0(AskedVm, count);
    for (guint i = 0; i < count; i++) { /* these never change and live as long as the collection */
        const Target *target = g_ptr_array_index(collection->targets, first + i);
        asked[i] = (AskedVm){.domain = &target->domain, .known = &target->known};
    }
    GError *error = NULL;
    const bool good = how == ASK_FOR_LITTLE
                          ? ask_vms_for_little(&collection->ask, hypervisor, asked, count, &error)
                          : ask_vms(&collection->ask, hypervisor, asked, count, how == ASK_AGAIN, &error);
    g_mutex_lock(&collection->lock);
    if (good)
        file_answers(collection, first, asked, count);
    else
        note_error(collection, error);
    g_mutex_unlock(&collection->lock);
    for (guint i = 0; i < count; i++) {
        vm_sample_free(asked[i].vm);
        g_free(asked[i].xml);
    }
    return good;
}

static Batch *batch_at(Collection *collection, guint i)
{
    return &g_array_index(collection->batches, Batch, i);
}

/* With the lock held. A batch that should be asked for again, after as many others of which this is true; the number
 * of batches where there is none. */
static guint overdue(Collection *collection, guint others)
{
    gint64 now = g_get_monotonic_time();
    for (guint i = 0; i < collection->next_batch; i++) {
        const Batch *batch = batch_at(collection, i);
        bool due =
            !batch->answered && batch->attempts < BATCH_ATTEMPTS && now - batch->asked_at >= collection->patience_us;
        if (due && others-- == 0)
            return i;
    }
    return collection->batches->len;
}

/* With the lock held on entry and return. */
static void ask_batch(Collection *collection, Hypervisor *hypervisor, guint i)
{
    Batch *batch = batch_at(collection, i); /* the array does not grow once threads see it */
    const AskHow how = batch->attempts++ ? ASK_AGAIN : ASK_FIRST;
    batch->out++;
    batch->asked_at = g_get_monotonic_time();
    g_mutex_unlock(&collection->lock);
    bool good = ask(collection, hypervisor, batch->first, batch->count, how);
    g_mutex_lock(&collection->lock);
    batch->out--;
    batch->answered |= good;
    if (!good)
        batch->asked_at = 0;
    collection->readers++;
    g_mutex_unlock(&collection->lock);
    if (good)
        read_new_xml(collection, hypervisor, batch->first, batch->count);
    g_mutex_lock(&collection->lock);
    collection->readers--;
    g_cond_broadcast(&collection->changed); /* not before: a collection with readers is not done */
}

/* With the lock held. */
static void work_off(Collection *collection)
{
    while (collection->next_batch < collection->batches->len && !collection->over)
        ask_batch(collection, collection->first, collection->next_batch++);
}

/* With the lock held on entry and return. Closing asks libvirtd, so it is for a worker too: it may hang like any other
 * call. */
static void leave_first(Collection *collection)
{
    if (--collection->users > 0)
        return;
    Hypervisor *hypervisor = g_steal_pointer(&collection->first);
    const bool leave = hypervisor && collection->kept && !collection->error;
    g_mutex_unlock(&collection->lock);
    if (leave)
        kept_connection_leave(collection->kept, hypervisor);
    else
        collection->api->close(hypervisor);
    g_mutex_lock(&collection->lock);
}

static Hypervisor *connect_first(Collection *collection, GError **error)
{
    Hypervisor *hypervisor = collection->kept ? kept_connection_take(collection->kept) : NULL;
    return hypervisor ? hypervisor : collection->api->open(collection->uri, error);
}

static gpointer work(gpointer data)
{
    Collection *collection = data;
    g_mutex_lock(&collection->lock);
    work_off(collection);
    leave_first(collection);
    g_mutex_unlock(&collection->lock);
    return end_thread(collection);
}

/* Has the connection made, goes on as one of the workers when the batches are planned, and keeps the connection open
 * until the collection is over. */
static gpointer open_and_work(gpointer data)
{
    Collection *collection = data;
    GError *error = NULL;
    Hypervisor *hypervisor = connect_first(collection, &error);
    g_mutex_lock(&collection->lock);
    collection->first = hypervisor;
    collection->opened = true;
    if (!hypervisor)
        note_error(collection, error);
    g_cond_broadcast(&collection->changed);
    while (hypervisor && !collection->planned && !collection->over)
        g_cond_wait(&collection->changed, &collection->lock);
    work_off(collection);
    while (hypervisor && !collection->over)
        g_cond_wait(&collection->changed, &collection->lock);
    leave_first(collection);
    g_mutex_unlock(&collection->lock);
    return end_thread(collection);
}

/* With the lock held. A batch that is overdue, else the next one that no worker has come to, since all of them may be
 * held up; the number of batches where there is neither. */
static guint next_again(Collection *collection)
{
    guint i = overdue(collection, 0), all = collection->batches->len;
    return i == all && collection->next_batch < all ? collection->next_batch++ : i;
}

/* With the lock held. There is no connection to be had now, as while libvirtd is restarted: not before the usual time.
 */
static void be_patient(Collection *collection)
{
    for (guint i = 0; i < collection->next_batch; i++)
        if (!batch_at(collection, i)->answered)
            batch_at(collection, i)->asked_at = g_get_monotonic_time();
}

/* For batches that are overdue, over a connection of its own. */
static gpointer work_again(gpointer data)
{
    Collection *collection = data;
    Hypervisor *hypervisor = collection->api->open(collection->uri, NULL);
    g_mutex_lock(&collection->lock);
    collection->arriving--;
    if (hypervisor)
        for (guint i; !collection->over && (i = next_again(collection)) < collection->batches->len;)
            ask_batch(collection, hypervisor, i);
    else
        be_patient(collection);
    collection->retrying--;
    g_mutex_unlock(&collection->lock);
    collection->api->close(hypervisor);
    return end_thread(collection);
}

/* With the lock held. One more where a batch is overdue that none of the threads on their way will come to. */
static void start_retry(Collection *collection)
{
    if (collection->retrying >= RETRY_THREADS || overdue(collection, collection->arriving) == collection->batches->len)
        return;
    guint before = collection->threads;
    start_thread(collection, "libvirt-again", work_again);
    collection->retrying += collection->threads - before;
    collection->arriving += collection->threads - before;
}

/* State and network of whatever has no answer. */
static gpointer last_call(gpointer data)
{
    Collection *collection = data;
    Hypervisor *hypervisor = collection->api->open(collection->uri, NULL);
    for (guint i = 0; hypervisor && i < collection->batches->len; i++) {
        g_mutex_lock(&collection->lock);
        const Batch batch = *batch_at(collection, i);
        bool wanted = !batch.answered && !collection->over;
        g_mutex_unlock(&collection->lock);
        if (!wanted || !ask(collection, hypervisor, batch.first, batch.count, ASK_FOR_LITTLE))
            continue;
        g_mutex_lock(&collection->lock);
        batch_at(collection, i)->served = true;
        g_cond_broadcast(&collection->changed);
        g_mutex_unlock(&collection->lock);
    }
    collection->api->close(hypervisor);
    return end_thread(collection);
}

/* --- the collecting thread; all of it with the lock held --- */

/* false: not before the deadline. */
static bool wait_opened(Collection *collection, gint64 deadline)
{
    start_worker(collection, open_and_work);
    while (!collection->opened && collection->threads)
        if (!g_cond_wait_until(&collection->changed, &collection->lock, deadline))
            break;
    return collection->opened;
}

/* What the sample before says of it. */
static void set_known(Target *target, const Sample *previous)
{
    VmSample key = {.name = target->domain.name, .uuid = target->domain.uuid, .domain_id = target->domain.id};
    vm_id_from_name(target->domain.name, &key.vm_id);
    const VmSample *before = sample_find_run(previous, &key);
    vm_known_set(&target->known, before, previous ? previous->realtime_ns : 0);
    if (before && strcmp(before->name, target->domain.name) == 0)
        target->known_devices = g_strdup(before->xml_devices);
}

static void plan(Collection *collection, const CollectOptions *options)
{
    const GPtrArray *domains = collection->api->domains(collection->first);
    collection->left_out = collection->api->left_out ? collection->api->left_out(collection->first) : 0;
    for (guint i = 0; i < domains->len; i++) {
        const HypervisorDomain *domain = g_ptr_array_index(domains, i);
        Target *target = g_new0(Target, 1);
        target->domain = *domain;
        target->domain.name = g_strdup(domain->name);
        target->domain.uuid = g_strdup(domain->uuid);
        set_known(target, options->previous);
        g_ptr_array_add(collection->targets, target);
    }
    guint n = domains->len, size = CLAMP(n / options->workers, 1, BATCH_MAX);
    for (guint first = 0; first < n; first += size) {
        Batch batch = {.first = first, .count = MIN(size, n - first)};
        g_array_append_val(collection->batches, batch);
    }
    collection->planned = true;
    g_cond_broadcast(&collection->changed);
}

static bool all_full(Collection *collection, const Batch *batch)
{
    for (guint i = batch->first; i < batch->first + batch->count; i++) {
        const Target *target = g_ptr_array_index(collection->targets, i);
        if (!target->vm || row_u64(target->vm->row, METRIC_VM_LOCKED) != 0)
            return false;
    }
    return true;
}

static bool all_done(Collection *collection, gint64 settle_at)
{
    bool settled = g_get_monotonic_time() >= settle_at;
    if (collection->readers || collection->next_batch < collection->batches->len)
        return false;
    for (guint i = 0; i < collection->batches->len; i++) {
        const Batch *batch = batch_at(collection, i);
        bool lost = !batch->answered && !batch->out && batch->attempts >= BATCH_ATTEMPTS;
        if (!lost && !batch->served && (!batch->answered || (batch->out && !settled && !all_full(collection, batch))))
            return false;
    }
    return true;
}

/* Woken by every answer; otherwise when the next batch is overdue, so that all its attempts come before the last call,
 * and now and then. */
static gint64 next_look(Collection *collection, gint64 now)
{
    gint64 look = now + collection->patience_us / 4;
    for (guint i = 0; i < collection->next_batch; i++) {
        gint64 due = batch_at(collection, i)->asked_at + collection->patience_us;
        if (due > now)
            look = MIN(look, due);
    }
    return look;
}

static void run_until(Collection *collection, const CollectOptions *options, gint64 begin, gint64 deadline)
{
    gint64 settle_at = begin + SETTLE_AFTER(deadline - begin);
    gint64 last_call_at = deadline - LAST_CALL_BEFORE(deadline - begin);
    bool last_call_made = false;

    for (guint i = 1; i < MIN(options->workers, collection->batches->len); i++)
        start_worker(collection, work);
    for (gint64 now; !all_done(collection, settle_at) && (now = g_get_monotonic_time()) < deadline;) {
        if (now >= last_call_at && !last_call_made) {
            start_thread(collection, "libvirt-last", last_call);
            last_call_made = true;
        } else if (now < last_call_at) {
            start_retry(collection);
        }
        g_cond_wait_until(&collection->changed, &collection->lock, MIN(next_look(collection, now), deadline));
    }
    collection->over = true;
}

/* --- the sample --- */

static VmSample *silent_vm(const Target *target)
{
    VmSample *vm = hypervisor_vm_new(&target->domain);
    row_set_u64(vm->row, METRIC_VM_LOCKED, 1);
    return vm;
}

static Sample *assemble(Collection *collection, const Sample *previous, guint *ret_answers)
{
    Sample *sample = sample_new();
    guint missing = 0, answers = 0;
    for (guint i = 0; i < collection->batches->len; i++) {
        const Batch *batch = batch_at(collection, i);
        for (guint t = batch->first; t < batch->first + batch->count; t++) {
            Target *target = g_ptr_array_index(collection->targets, t);
            VmSample *vm = g_steal_pointer(&target->vm);
            if (!vm && (batch->answered || batch->served))
                continue; /* it has ended meanwhile */
            answers += vm != NULL;
            missing += vm == NULL;
            vm = vm ? vm : silent_vm(target);
            const VmSample *before = sample_find_run(previous, vm);
            identity_add(vm, target->known_devices ? before : NULL, target->xml);
            if (collection->ask.processes || collection->ask.fast)
                plan_carry(vm, before, collection->ask.fast);
            g_ptr_array_add(sample->vms, vm);
        }
    }
    sample->left_out = collection->left_out;
    row_set_u64(sample->row, METRIC_HOST_MISSING, missing);
    *ret_answers = answers;
    return sample;
}

static void set_failure(const Collection *collection, const CollectOptions *options, const char *what, GError **error)
{
    if (collection->error)
        g_set_error(error, COLLECT_ERROR, COLLECT_ERROR_LIBVIRT, "libvirt at %s: %s", options->uri,
                    collection->error->message);
    else
        g_set_error(error, COLLECT_ERROR, COLLECT_ERROR_DEADLINE, "libvirt at %s %s within %.1f s", options->uri, what,
                    (double)options->deadline_ms / 1000);
}

/* With the lock held. */
static Sample *collect(Collection *collection, const CollectOptions *options, gint64 begin, GError **error)
{
    gint64 deadline = begin + options->deadline_ms * 1000;
    collection->patience_us = PATIENCE(deadline - begin);
    if (!wait_opened(collection, deadline) || !collection->first) {
        set_failure(collection, options, "gave no list of domains", error);
        return NULL;
    }
    plan(collection, options);
    run_until(collection, options, begin, deadline);

    guint answers;
    g_autoptr(Sample) sample = assemble(collection, options->previous, &answers);
    if (sample->vms->len && !answers) {
        set_failure(collection, options, "gave no statistics", error);
        return NULL;
    }
    return g_steal_pointer(&sample);
}

Sample *collect_sample(const CollectOptions *options, bool *ret_abandoned, GError **error)
{
    gint64 begin = g_get_monotonic_time();
    Collection *collection = collection_new(options);
    gint64 realtime = host_realtime_ns(), boottime = host_boottime_ns();

    g_mutex_lock(&collection->lock);
    Sample *sample = collect(collection, options, begin, error);
    collection->over = true;
    g_cond_broadcast(&collection->changed);
    /* Threads that have done their work are on their way out: give them the moment that takes. */
    gint64 moment = g_get_monotonic_time() + G_USEC_PER_SEC / 20;
    while (collection->threads && g_cond_wait_until(&collection->changed, &collection->lock, moment))
        ;
    if (ret_abandoned)
        *ret_abandoned = collection->threads > 0;
    g_mutex_unlock(&collection->lock);
    collection_unref(collection);

    if (sample) {
        sample->realtime_ns = realtime;
        sample->boottime_ns = boottime;
        sample->boot_id = host_boot_id();
        row_set_real(sample->row, METRIC_HOST_COLLECT_MS, (double)(g_get_monotonic_time() - begin) / 1000);
    }
    return sample;
}
