/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/collect.h"
#include "gather/collect_work.h"
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
#define BATCH_MAX 16
/* Two that share a connection cost some per cent more CPU than one, which is through with so many in 0.1 s or so. */
#define DOMAINS_PER_WORKER 64

/* --- until the answers are there; all with the lock held --- */

/* false: not before the deadline. */
static bool wait_opened(Collection *collection, gint64 deadline)
{
    collect_work_open(collection);
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
        const Batch *batch = collection_batch(collection, i);
        if (!collect_work_is_lost(batch) && !batch->served &&
            (!batch->answered || (batch->out && !settled && !all_full(collection, batch))))
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
        gint64 due = collection_batch(collection, i)->asked_at + collection->patience_us;
        if (due > now)
            look = MIN(look, due);
    }
    return look;
}

static guint wanted_workers(const Collection *collection, const CollectOptions *options)
{
    const guint wanted = (collection->targets->len + DOMAINS_PER_WORKER - 1) / DOMAINS_PER_WORKER;
    return MIN(wanted, options->workers);
}

static void run_until(Collection *collection, const CollectOptions *options, gint64 begin, gint64 deadline)
{
    gint64 settle_at = begin + SETTLE_AFTER(deadline - begin);
    gint64 last_call_at = deadline - LAST_CALL_BEFORE(deadline - begin);
    bool last_call_made = false;

    for (guint i = 1; i < wanted_workers(collection, options); i++)
        collect_work_join(collection);
    for (gint64 now; !all_done(collection, settle_at) && (now = g_get_monotonic_time()) < deadline;) {
        if (now >= last_call_at && !last_call_made) {
            collect_work_last_call(collection);
            last_call_made = true;
        } else if (now < last_call_at) {
            collect_work_again(collection);
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
        const Batch *batch = collection_batch(collection, i);
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
