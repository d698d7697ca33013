/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/ask.h"
#include "gather/host.h"

#include <string.h>
#include <sys/stat.h>

typedef struct {
    const AskOptions *options;
    Hypervisor *hypervisor;
    AskedVm *vms;
    guint count;
    PlanNeeds *needs; /* of each VM */
} Batch;

static AskedVm *find(AskedVm *vms, guint count, const char *uuid)
{
    for (guint i = 0; i < count; i++)
        if (g_strcmp0(vms[i].domain->uuid, uuid) == 0)
            return &vms[i];
    return NULL;
}

/* --- libvirt's bulk call --- */

/* The groups of our figures that a group of libvirt's serves. The sizes come with each reading of all disks; but of the
 * slow group there is more. */
static void mark_served(VmSample *vm, HypervisorGroups groups, bool slow, gint64 time_ns)
{
    const struct {
        HypervisorGroups asked;
        Group served;
    } table[] = {
        {HYPERVISOR_STATE, GROUP_STATE},   {HYPERVISOR_INTERFACE, GROUP_NET}, {HYPERVISOR_CPU, GROUP_KERNEL},
        {HYPERVISOR_BALLOON, GROUP_GUEST}, {HYPERVISOR_BLOCK, GROUP_DISK},    {HYPERVISOR_BLOCK, GROUP_SLOW},
    };
    for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
        if (!(groups & table[i].asked) || vm->served[table[i].served] != SERVED_NOT ||
            (table[i].served == GROUP_SLOW && !slow))
            continue;
        vm->served[table[i].served] = SERVED_BULK;
        vm->group_ns[table[i].served] = time_ns;
    }
    if (groups == HYPERVISOR_ALL_GROUPS)
        vm->served[GROUP_SHAPE] = SERVED_BULK;
}

/* What `vm` does not have already. */
static void add_rows(VmSample *vm, const VmSample *more, Scope scope)
{
    const GPtrArray *rows = vm_sample_rows(more, scope);
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *more_row = g_ptr_array_index(rows, i);
        MetricRow *row = vm_sample_row(vm, scope, more_row->index);
        if (row)
            metric_row_merge(row, more_row, true);
    }
}

/* With NOWAIT libvirt answers for a domain that a job holds what it knows without its QEMU. */
static bool is_in_part(const VmSample *record, HypervisorGroups groups, const VmKnown *known)
{
    if (groups == HYPERVISOR_ALL_GROUPS)
        return vm_sample_looks_locked(record);
    return ((groups & HYPERVISOR_BALLOON) && !row_has(record->row, METRIC_VM_MEMORY_RSS)) ||
           ((groups & HYPERVISOR_BLOCK) && known->disks > 0 && !vm_sample_has_disk_counters(record));
}

/* false: it is locked, and there may be more of it where all is asked for. */
static bool add_record(AskedVm *asked, const VmSample *record, const PlanNeeds *needs)
{
    VmSample *vm = asked->vm;
    const HypervisorGroups groups = needs->groups;
    const bool is_locked = is_in_part(record, groups, asked->known);
    if (row_has(record->row, METRIC_VM_STATE)) { /* newer than the list's */
        row_unset(vm->row, METRIC_VM_STATE);
        row_unset(vm->row, METRIC_VM_STATE_REASON);
        vm->group_ns[GROUP_STATE] = record->boottime_ns;
    }
    metric_row_merge(vm->row, record->row, true);
    add_rows(vm, record, SCOPE_VCPU);
    add_rows(vm, record, SCOPE_NIC);
    add_rows(vm, record, SCOPE_DISK);
    mark_served(vm, is_locked ? groups & (HYPERVISOR_CPU | HYPERVISOR_INTERFACE) : groups, needs->slow,
                record->boottime_ns);
    if (is_locked || groups == HYPERVISOR_ALL_GROUPS) /* the job may have ended meanwhile */
        row_set_u64(vm->row, METRIC_VM_LOCKED, is_locked);
    return !is_locked || groups == HYPERVISOR_ALL_GROUPS;
}

/* It has ended since it was listed, or was started anew: of the run that this one is of there is no more to be had. */
static void drop_ended(const Batch *batch, HypervisorGroups groups, const GPtrArray *records)
{
    for (guint i = 0; i < batch->count; i++) {
        AskedVm *asked = &batch->vms[i];
        bool found = !asked->vm || batch->needs[i].groups != groups;
        for (guint r = 0; !found && r < records->len; r++) {
            const VmSample *record = g_ptr_array_index(records, r);
            found = g_strcmp0(record->uuid, asked->domain->uuid) == 0 && record->domain_id == asked->vm->domain_id;
        }
        if (!found)
            g_clear_pointer(&asked->vm, vm_sample_free);
    }
}

/* One call for all VMs that need just these groups. */
static bool ask_bulk(const Batch *batch, HypervisorGroups groups, GError **error)
{
    g_autofree const char **uuids = g_new0(const char *, batch->count);
    guint n = 0;
    for (guint i = 0; i < batch->count; i++)
        if (batch->vms[i].vm && batch->needs[i].groups == groups)
            uuids[n++] = batch->vms[i].domain->uuid;
    g_autoptr(GPtrArray) records = batch->options->api->stats(batch->hypervisor, uuids, n, groups, error);
    if (records)
        drop_ended(batch, groups, records);
    for (guint i = 0; records && i < records->len; i++) {
        const VmSample *record = g_ptr_array_index(records, i);
        AskedVm *asked = find(batch->vms, batch->count, record->uuid);
        if (asked && asked->vm && asked->vm->domain_id == record->domain_id &&
            !add_record(asked, record, &batch->needs[asked - batch->vms]))
            batch->needs[asked - batch->vms] = plan_all; /* whose turn is the last */
    }
    return records != NULL;
}

/* The next set of groups, as numbers go, that some VM needs; 0: there is none. */
static HypervisorGroups next_groups(const Batch *batch, HypervisorGroups before)
{
    HypervisorGroups next = 0;
    for (guint i = 0; i < batch->count; i++) {
        const HypervisorGroups groups = batch->vms[i].vm ? batch->needs[i].groups : 0;
        if (groups > before && (next == 0 || groups < next))
            next = groups;
    }
    return next;
}

static bool ask_bulks(const Batch *batch, GError **error)
{
    for (HypervisorGroups groups = 0; (groups = next_groups(batch, groups)) != 0;)
        if (!ask_bulk(batch, groups, error))
            return false;
    return true;
}

/* Takes the answers over. */
static bool ask_first(const Batch *batch, HypervisorGroups groups, GError **error)
{
    g_autofree const char **uuids = g_new0(const char *, batch->count);
    for (guint i = 0; i < batch->count; i++)
        uuids[i] = batch->vms[i].domain->uuid;
    g_autoptr(GPtrArray) records = batch->options->api->stats(batch->hypervisor, uuids, batch->count, groups, error);
    for (guint i = 0; records && i < records->len; i++) {
        VmSample *record = g_ptr_array_index(records, i);
        AskedVm *asked = find(batch->vms, batch->count, record->uuid);
        if (!asked || asked->vm || record->domain_id < 0) /* it has ended since it was listed */
            continue;
        asked->vm = record;
        records->pdata[i] = NULL;
        const bool is_locked = groups == HYPERVISOR_ALL_GROUPS && vm_sample_looks_locked(record);
        mark_served(record, is_locked ? HYPERVISOR_FREE_GROUPS | HYPERVISOR_CPU : groups, true, 0);
        row_set_u64(record->row, METRIC_VM_LOCKED, is_locked);
    }
    return records != NULL;
}

/* --- one VM's --- */

/* What the list has of it. */
static VmSample *listed(const HypervisorDomain *domain)
{
    VmSample *vm = hypervisor_vm_new(domain);
    vm->boottime_ns = domain->boottime_ns;
    row_set_u64(vm->row, METRIC_VM_LOCKED, 0);
    mark_served(vm, HYPERVISOR_STATE, true, 0);
    if (domain->state >= 0)
        row_set_u64(vm->row, METRIC_VM_STATE, (guint64)domain->state);
    if (domain->reason >= 0)
        row_set_u64(vm->row, METRIC_VM_STATE_REASON, (guint64)domain->reason);
    return vm;
}

/* Its disk is not what it was, or was there a job that did not end? The bulk call tells. */
static void ask_disk(const Batch *batch, AskedVm *asked, PlanNeeds *needs)
{
    VmSample *vm = asked->vm;
    MetricRow *row = vm_sample_row(vm, SCOPE_DISK, asked->known->row);
    const gint64 begin_ns = host_boottime_ns();
    if (!row || !batch->options->api->disk(batch->hypervisor, asked->domain->uuid, asked->known->disk, row, NULL) ||
        !row_has(row, METRIC_DISK_RD_REQS)) {
        *needs = plan_all;
        return;
    }
    vm->served[GROUP_DISK] = SERVED_DISK;
    vm->group_ns[GROUP_DISK] = begin_ns + (host_boottime_ns() - begin_ns) / 2;
}

/* The file is replaced as a whole, so inode and time of another one differ. NULL: not to be had. Owned by the caller.
 */
static char *status_mark(const char *directory, const char *name)
{
    g_autofree char *path = directory ? g_strconcat(directory, "/", name, ".xml", NULL) : NULL;
    struct stat found;
    if (!path || stat(path, &found) < 0)
        return NULL;
    return g_strdup_printf("%" G_GUINT64_FORMAT "-%" G_GINT64_FORMAT ".%09ld", (guint64)found.st_ino,
                           (gint64)found.st_mtim.tv_sec, found.st_mtim.tv_nsec);
}

static void carry_shape(VmSample *vm, const VmKnown *known)
{
    vm->shape = g_strdup(known->shape);
    vm->mark = g_strdup(known->mark);
}

/* Whether libvirt's file says so or not, the XML itself is read at least when the slow figures are. It is kept where it
 * is news. */
static void look_at_shape(const Batch *batch, AskedVm *asked, bool slow)
{
    const VmKnown *known = asked->known;
    VmSample *vm = asked->vm;
    vm->mark =
        status_mark(batch->options->status_dir, asked->domain->name); /* before the XML, so that it is not newer */
    if (known->complete && !slow && vm->mark && g_strcmp0(vm->mark, known->mark) == 0) {
        vm->shape = g_strdup(known->shape);
        return;
    }
    g_autofree char *xml = batch->options->api->xml(batch->hypervisor, asked->domain->uuid);
    vm->shape = xml ? plan_shape(xml, known->shape) : NULL;
    if (xml && g_strcmp0(vm->shape, known->shape) != 0)
        asked->xml = g_steal_pointer(&xml);
}

/* In a fast cycle libvirt's file is all that says whether the XML is what it was. Where it may be another it is read,
 * once: another NIC may have the name of one that was there. Its shape is not known then, so that the next full cycle
 * asks for everything. Without a mark nothing says that what is known still holds. */
static void look_at_fast_shape(const Batch *batch, AskedVm *asked)
{
    const VmKnown *known = asked->known;
    VmSample *vm = asked->vm;
    g_autofree char *mark = status_mark(batch->options->status_dir, asked->domain->name);
    if (mark && g_strcmp0(mark, known->mark) == 0)
        return;
    g_clear_pointer(&vm->mark, g_free);
    if (!mark || known->locked)
        return;
    vm->mark = g_steal_pointer(&mark);
    g_autofree char *xml = batch->options->api->xml(batch->hypervisor, asked->domain->uuid);
    g_autofree char *shape = xml ? plan_shape(xml, known->shape) : NULL;
    if (g_strcmp0(shape, known->shape) == 0)
        return;
    g_clear_pointer(&vm->shape, g_free);
    asked->xml = g_steal_pointer(&xml);
}

/* The kernel has the figures of NICs whose names are known: those that the XML has, which is as it was. */
static void look_at_nics(const Batch *batch, AskedVm *asked)
{
    const VmKnown *known = asked->known;
    VmSample *vm = asked->vm;
    if (known->nics && g_strcmp0(vm->shape, known->shape) == 0 && (vm->mark || !batch->options->fast))
        netdevs_file(batch->options->netdevs, processes_pid(vm->process), known->nics, vm);
}

/* What a VM's vCPUs and disks are: looked at where the kernel serves it, and its vCPU threads are listed anew where
 * that is news. Whether the kernel serves it. */
static bool look_at(const Batch *batch, AskedVm *asked, bool slow)
{
    const AskOptions *options = batch->options;
    const VmKnown *known = asked->known;
    VmSample *vm = asked->vm;
    const bool is_lost = known->process && processes_pid(known->process) == 0; /* looked for in vain, not long ago */
    const bool thorough = !known->seen || (slow && !options->fast) || (!known->complete && !is_lost);
    bool kernel =
        options->processes && processes_read(options->processes, options->status_dir, vm, known->process, thorough);
    if (processes_pid(known->process) != 0 && processes_pid(vm->process) != processes_pid(known->process))
        kernel = false;          /* the run that was listed has ended; libvirt tells whether this is another */
    if (!kernel && !known->seen) /* one that is only coming up has no vCPU threads yet */
        g_clear_pointer(&vm->process, g_free);
    if (options->fast && known->seen) {
        carry_shape(vm, known);
        if (kernel)
            look_at_fast_shape(batch, asked);
    } else if (kernel && !known->locked) {
        look_at_shape(batch, asked, slow);
    }
    if (kernel && !thorough && g_strcmp0(vm->shape, known->shape) != 0)
        kernel = processes_read(options->processes, options->status_dir, vm, known->process, true);
    if (kernel)
        look_at_nics(batch, asked);
    return kernel;
}

static void plan(const Batch *batch, AskedVm *asked, PlanNeeds *ret_needs)
{
    const AskOptions *options = batch->options;
    static const VmKnown nothing;
    VmSample *vm = asked->vm;
    if (asked->known->domain_id != vm->domain_id) /* of another run: nothing of it holds */
        asked->known = &nothing;
    const VmKnown *known = asked->known;
    const bool slow = plan_slow_due(vm->vm_id, known->slow_ns, options->now_ns, options->slow_ns);
    PlanNow now = {.fast = options->fast, .slow = slow, .kernel = look_at(batch, asked, slow)};
    row_set_u64(vm->row, METRIC_VM_LOCKED, options->fast && known->locked); /* and what is read now may tell */
    now.shape = vm->shape;
    now.nics = vm->served[GROUP_NET] != SERVED_NOT;
    *ret_needs = plan_needs(known, &now);
}

/* --- a batch --- */

static bool ask_planned(const Batch *batch, GError **error)
{
    for (guint i = 0; i < batch->count; i++) {
        batch->vms[i].vm = listed(batch->vms[i].domain);
        plan(batch, &batch->vms[i], &batch->needs[i]);
    }
    for (guint i = 0; i < batch->count; i++)
        if (batch->vms[i].vm && batch->needs[i].disk)
            ask_disk(batch, &batch->vms[i], &batch->needs[i]);
    return ask_bulks(batch, error);
}

/* What the kernel has of those that libvirt gave only a part of. */
static void add_kernel(const Batch *batch)
{
    for (guint i = 0; batch->options->processes && i < batch->count; i++)
        if (batch->vms[i].vm)
            processes_read(batch->options->processes, batch->options->status_dir, batch->vms[i].vm,
                           batch->vms[i].known->process, false);
}

static void forget(AskedVm *vms, guint count)
{
    for (guint i = 0; i < count; i++) {
        g_clear_pointer(&vms[i].vm, vm_sample_free);
        g_clear_pointer(&vms[i].xml, g_free);
    }
}

static bool ask(const Batch *batch, bool again, GError **error)
{
    if (!batch->options->processes && (again || !batch->options->fast))
        return ask_first(batch, HYPERVISOR_ALL_GROUPS, error);
    if (!again)
        return ask_planned(batch, error);
    if (!ask_first(batch, HYPERVISOR_FREE_GROUPS, error))
        return false;
    add_kernel(batch);
    for (guint i = 0; i < batch->count; i++)
        batch->needs[i] = plan_all;
    return ask_bulks(batch, error);
}

bool ask_vms(const AskOptions *options, Hypervisor *hypervisor, AskedVm *vms, guint count, bool again, GError **error)
{
    g_autofree PlanNeeds *needs = g_new0(PlanNeeds, count);
    const Batch batch = {options, hypervisor, vms, count, needs};
    const bool good = ask(&batch, again, error);
    if (!good)
        forget(vms, count);
    return good;
}

bool ask_vms_for_little(const AskOptions *options, Hypervisor *hypervisor, AskedVm *vms, guint count, GError **error)
{
    const Batch batch = {options, hypervisor, vms, count, NULL};
    if (!ask_first(&batch, HYPERVISOR_FREE_GROUPS, error))
        return false;
    add_kernel(&batch);
    for (guint i = 0; i < count; i++)
        if (vms[i].vm)
            row_set_u64(vms[i].vm->row, METRIC_VM_LOCKED, 1);
    return true;
}
