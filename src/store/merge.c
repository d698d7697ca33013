/* SPDX-License-Identifier: Apache-2.0 */
#include "store/merge.h"

#include "model/rates.h"

#include <math.h>
#include <string.h>

static const Scope device_scopes[] = {SCOPE_NIC, SCOPE_DISK, SCOPE_VCPU};

bool merge_row_has_figures(const MetricRow *row)
{
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        if (metric_info[m].cost != COST_START && row_has(row, m))
            return true;
    }
    return false;
}

bool merge_has_figures(const VmSample *vm)
{
    return merge_row_has_figures(vm->row) || vm->nics->len || vm->disks->len || vm->vcpus->len;
}

bool merge_is_same_run(const VmSample *now, const VmSample *before)
{
    guint64 a, b;
    if (now->uuid && before->uuid && strcmp(now->uuid, before->uuid) != 0)
        return false;
    if (now->domain_id >= 0 && before->domain_id >= 0 && now->domain_id != before->domain_id)
        return false;
    return !row_get_u64(before->row, METRIC_VM_CPU_TIME, &a) || !row_get_u64(now->row, METRIC_VM_CPU_TIME, &b) ||
           b >= a;
}

/* --- devices --- */

static MetricRow *find_device(const GPtrArray *rows, const MetricRow *like)
{
    const char *name = row_device_name(like);
    for (guint i = 0; i < rows->len; i++) {
        MetricRow *row = g_ptr_array_index(rows, i);
        if (like->scope == SCOPE_VCPU ? row->index == like->index : name && g_strcmp0(row_device_name(row), name) == 0)
            return row;
    }
    return NULL;
}

/* --- texts --- */

static void carry_row_texts(MetricRow *now, const MetricRow *before)
{
    for (guint i = 0; i < metric_count(now->scope); i++) {
        Metric m = metric_first(now->scope) + i;
        if (metric_info[m].kind == KIND_TEXT && metric_info[m].origin != ORIGIN_FORMULA && !row_has(now, m) &&
            row_has(before, m))
            row_set_text(now, m, row_text(before, m));
    }
}

void merge_carry_texts(VmSample *now, const VmSample *before)
{
    carry_row_texts(now->row, before->row);
    for (guint s = 0; s < 2; s++) {
        const GPtrArray *rows = vm_sample_rows(now, device_scopes[s]);
        for (guint i = 0; i < rows->len; i++) {
            MetricRow *row = g_ptr_array_index(rows, i);
            const MetricRow *other = find_device(vm_sample_rows(before, device_scopes[s]), row);
            if (other)
                carry_row_texts(row, other);
        }
    }
}

/* Of the VM's texts all but what is of a deployment. */
static bool is_told(Metric m)
{
    return metric_info[m].cost == COST_START && m != METRIC_VM_OPENNEBULA_VERSION && m != METRIC_VM_DEPLOYMENT_TIME;
}

void merge_keep_told(VmSample *now, const VmSample *before)
{
    if (!row_has(before->row, METRIC_VM_INFO_SOURCE) || row_has(now->row, METRIC_VM_INFO_SOURCE))
        return;
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        if (is_told(m))
            row_set_text(now->row, m, row_text(before->row, m));
    }
}

/* --- locked VMs, and figures that were not read --- */

static bool is_derived_from_two(Metric m)
{
    return metric_info[m].kind == KIND_REAL && m != METRIC_VM_MEMORY_USAGE_PERCENT;
}

/* Whether any figure of the group is there. */
static bool has_group(const MetricRow *row, Group group)
{
    for (guint i = 0; i < metric_count(row->scope); i++)
        if (metric_group(metric_first(row->scope) + i) == group && row_has(row, metric_first(row->scope) + i))
            return true;
    return false;
}

MetricRow *merge_known(const VmSample *now, const VmSample *before, const MetricRow *known)
{
    const bool is_locked = row_u64(now->row, METRIC_VM_LOCKED) != 0;
    /* A sender leaves a group away whole that it has not read anew, see encode/line_protocol.c. Its rates go with it.
     */
    const bool is_held[N_GROUPS] = {
        [GROUP_DISK] = !has_group(now->row, GROUP_DISK), [GROUP_GUEST] = !has_group(now->row, GROUP_GUEST)};
    if (!is_locked && !is_held[GROUP_DISK] && !is_held[GROUP_GUEST])
        return NULL;
    g_autoptr(MetricRow) carried = metric_row_copy(before->row);
    bool any = is_locked;
    if (known)
        metric_row_merge(carried, known, true);
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        if (row_has(now->row, m) || (is_locked ? is_derived_from_two(m) : !is_held[metric_group(m)]))
            row_unset(carried, m);
        any |= row_has(carried, m);
    }
    return any ? g_steal_pointer(&carried) : NULL;
}

/* --- what the sender left out --- */

static Sample *sample_of_copy(const VmSample *vm, gint64 boottime_ns, gint64 realtime_ns)
{
    Sample *sample = sample_new();
    VmSample *copy = vm_sample_copy(vm);
    g_free(copy->uuid);
    copy->uuid = g_strdup("same"); /* that it is the same run was looked at before */
    copy->domain_id = 1;
    copy->boottime_ns = boottime_ns;
    sample->realtime_ns = realtime_ns;
    g_ptr_array_add(sample->vms, copy);
    return sample;
}

static void merge_devices_absent(VmSample *now, const VmSample *derived)
{
    for (guint s = 0; s < G_N_ELEMENTS(device_scopes); s++) {
        const GPtrArray *rows = vm_sample_rows(now, device_scopes[s]);
        for (guint i = 0; i < rows->len; i++)
            metric_row_merge(g_ptr_array_index(rows, i),
                             g_ptr_array_index(vm_sample_rows(derived, device_scopes[s]), i), true);
    }
}

/* Where devices are not told of, the change of their sum is all there is. */
static void derive_own_rates(MetricRow *now, const MetricRow *before, double seconds)
{
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        guint64 a, b;
        if (metric_info[m].origin != ORIGIN_RATE || row_has(now, m) || !row_get_u64(before, metric_info[m].of, &a) ||
            !row_get_u64(now, metric_info[m].of, &b) || b < a)
            continue;
        row_set_real(now, m, round((double)(b - a) / seconds * 1000) / 1000);
    }
}

static bool is_pair(gint64 elapsed_ns)
{
    return elapsed_ns >= RATES_MIN_INTERVAL_NS && elapsed_ns <= RATES_MAX_INTERVAL_NS;
}

void merge_derive(VmSample *now, const VmSample *before, gint64 elapsed_ns, gint64 realtime_ns)
{
    if (row_has(now->row, METRIC_VM_CPU_USAGE_PERCENT) && row_has(now->row, METRIC_VM_MEMORY_USAGE_PERCENT))
        return; /* the sender derived what it could */
    const bool has_devices = now->nics->len || now->disks->len;
    g_autoptr(Sample) current = sample_of_copy(now, elapsed_ns + 1, realtime_ns);
    g_autoptr(Sample) previous = before ? sample_of_copy(before, 1, realtime_ns - elapsed_ns) : NULL;
    rates_derive(current, previous);
    const VmSample *derived = g_ptr_array_index(current->vms, 0);
    if (before && !has_devices && is_pair(elapsed_ns))
        derive_own_rates(now->row, before->row, (double)elapsed_ns / 1e9);
    metric_row_merge(now->row, derived->row, true);
    merge_devices_absent(now, derived);
}

/* --- pieces --- */

bool merge_piece(VmSample *vm, const VmSample *piece)
{
    bool changed = metric_row_merge(vm->row, piece->row, false);
    for (guint s = 0; s < G_N_ELEMENTS(device_scopes); s++) {
        GPtrArray *rows = vm_sample_rows(vm, device_scopes[s]);
        const GPtrArray *more = vm_sample_rows(piece, device_scopes[s]);
        for (guint i = 0; i < more->len; i++) {
            const MetricRow *row = g_ptr_array_index(more, i);
            MetricRow *there = find_device(rows, row);
            if (there) {
                changed |= metric_row_merge(there, row, false);
            } else if (rows->len < SAMPLE_DEVICES_MAX) {
                g_ptr_array_add(rows, metric_row_copy(row));
                changed = true;
            }
        }
    }
    return changed;
}
