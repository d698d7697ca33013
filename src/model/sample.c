/* SPDX-License-Identifier: Apache-2.0 */
#include "model/sample.h"

#include <math.h>
#include <string.h>

/* virDomainState and virDomainPausedReason, which are part of libvirt's stable API. */
enum { STATE_PAUSED = 3, PAUSED_MIGRATION = 2, PAUSED_STARTING_UP = 11 };

/* --- rows --- */

MetricRow *metric_row_new(Scope scope, guint index)
{
    guint n = metric_count(scope);
    g_assert(n <= 128); /* presence bits */
    MetricRow *row = g_malloc0(sizeof *row + n * sizeof row->value[0]);
    row->scope = scope;
    row->index = index;
    return row;
}

void metric_row_free(MetricRow *row)
{
    if (!row)
        return;
    for (guint i = 0; i < metric_count(row->scope); i++)
        row_unset(row, metric_first(row->scope) + i);
    g_free(row);
}

static bool slot_present(const MetricRow *row, guint i)
{
    return row->present[i / 64] >> (i % 64) & 1;
}

static void slot_mark(MetricRow *row, guint i)
{
    row->present[i / 64] |= (guint64)1 << (i % 64);
}

guint64 row_u64(const MetricRow *row, Metric m)
{
    guint64 value = 0;
    row_get_u64(row, m, &value);
    return value;
}

double row_real(const MetricRow *row, Metric m)
{
    g_assert(metric_info[m].kind == KIND_REAL);
    return row_has(row, m) ? row->value[row_slot(row, m)].f : 0.0;
}

const char *row_text(const MetricRow *row, Metric m)
{
    g_assert(metric_info[m].kind == KIND_TEXT);
    return row_has(row, m) ? row->value[row_slot(row, m)].s : NULL;
}

void row_set_u64(MetricRow *row, Metric m, guint64 value)
{
    g_assert(metric_info[m].kind <= KIND_GAUGE);
    guint i = row_slot(row, m);
    row->value[i].u = value;
    slot_mark(row, i);
}

void row_set_real(MetricRow *row, Metric m, double value)
{
    g_assert(metric_info[m].kind == KIND_REAL);
    guint i = row_slot(row, m);
    if (!isfinite(value)) {
        row_unset(row, m);
        return;
    }
    row->value[i].f = value;
    slot_mark(row, i);
}

void row_set_text(MetricRow *row, Metric m, const char *text)
{
    g_assert(metric_info[m].kind == KIND_TEXT);
    guint i = row_slot(row, m);
    char *copy = g_strdup(text);
    row_unset(row, m);
    if (!copy)
        return;
    row->value[i].s = copy;
    slot_mark(row, i);
}

void row_unset(MetricRow *row, Metric m)
{
    guint i = row_slot(row, m);
    if (metric_info[m].kind == KIND_TEXT && slot_present(row, i))
        g_free(row->value[i].s);
    row->value[i].u = 0;
    row->present[i / 64] &= ~((guint64)1 << (i % 64));
}

static bool same_value(const MetricRow *a, const MetricRow *b, Metric m)
{
    if (!row_has(a, m))
        return false;
    if (metric_info[m].kind == KIND_TEXT)
        return strcmp(row_text(a, m), row_text(b, m)) == 0;
    if (metric_info[m].kind == KIND_REAL)
        return row_real(a, m) == row_real(b, m);
    return row_u64(a, m) == row_u64(b, m);
}

bool metric_row_merge(MetricRow *row, const MetricRow *from, bool absent_only)
{
    bool changed = false;
    for (guint i = 0; i < metric_count(from->scope); i++) {
        Metric m = metric_first(from->scope) + i;
        if (!row_has(from, m) || (absent_only && row_has(row, m)) || same_value(row, from, m))
            continue;
        changed = true;
        if (metric_info[m].kind == KIND_TEXT) {
            row_set_text(row, m, row_text(from, m));
            continue;
        }
        row->value[i] = from->value[i];
        slot_mark(row, i);
    }
    return changed;
}

MetricRow *metric_row_copy(const MetricRow *row)
{
    MetricRow *copy = metric_row_new(row->scope, row->index);
    copy->idle_ns = row->idle_ns;
    metric_row_merge(copy, row, false);
    return copy;
}

const char *row_device_name(const MetricRow *row)
{
    switch (row->scope) {
    case SCOPE_NIC:
        return row_text(row, METRIC_NIC_NAME);
    case SCOPE_DISK:
        return row_text(row, METRIC_DISK_NAME);
    default:
        return NULL;
    }
}

/* OpenNebula gives the device of a NIC the name of one that was unplugged. */
static bool is_other_nic(const MetricRow *a, const MetricRow *b)
{
    return a->scope == SCOPE_NIC && row_has(a, METRIC_NIC_MAC) && row_has(b, METRIC_NIC_MAC) &&
           strcmp(row_text(a, METRIC_NIC_MAC), row_text(b, METRIC_NIC_MAC)) != 0;
}

static bool is_same_device(const MetricRow *a, const MetricRow *b)
{
    if (a->scope == SCOPE_VCPU)
        return a->index == b->index;
    const char *name = row_device_name(a), *other = row_device_name(b);
    return name && other && strcmp(name, other) == 0 && !is_other_nic(a, b);
}

const MetricRow *metric_rows_find_same(const GPtrArray *rows, guint place, const MetricRow *row)
{
    if (place < rows->len && is_same_device(g_ptr_array_index(rows, place), row))
        return g_ptr_array_index(rows, place);
    for (guint i = 0; i < rows->len; i++)
        if (is_same_device(g_ptr_array_index(rows, i), row))
            return g_ptr_array_index(rows, i);
    return NULL;
}

/* --- VMs --- */

bool vm_id_from_name(const char *name, guint64 *ret_id)
{
    if (!g_str_has_prefix(name, "one-"))
        return false;
    const char *digits = name + 4;
    gsize length = strlen(digits);
    if (!length || length > 10 || strspn(digits, "0123456789") != length || (length > 1 && digits[0] == '0'))
        return false;
    guint64 id = g_ascii_strtoull(digits, NULL, 10);
    if (id > G_MAXINT32)
        return false;
    *ret_id = id;
    return true;
}

VmSample *vm_sample_new(const char *name)
{
    VmSample *vm = g_new0(VmSample, 1);
    vm->name = g_strdup(name);
    vm_id_from_name(name, &vm->vm_id);
    vm->domain_id = -1;
    vm->row = metric_row_new(SCOPE_VM, 0);
    vm->vcpus = g_ptr_array_new_with_free_func((GDestroyNotify)metric_row_free);
    vm->nics = g_ptr_array_new_with_free_func((GDestroyNotify)metric_row_free);
    vm->disks = g_ptr_array_new_with_free_func((GDestroyNotify)metric_row_free);
    return vm;
}

void vm_sample_free(VmSample *vm)
{
    if (!vm)
        return;
    g_free(vm->name);
    g_free(vm->uuid);
    g_free(vm->xml_devices);
    g_free(vm->sent_keys);
    g_strfreev(vm->extras);
    g_strfreev(vm->forecasts);
    g_free(vm->shape);
    g_free(vm->mark);
    g_free(vm->process);
    metric_row_free(vm->row);
    g_ptr_array_unref(vm->vcpus);
    g_ptr_array_unref(vm->nics);
    g_ptr_array_unref(vm->disks);
    g_free(vm);
}

static void copy_rows(GPtrArray *to, const GPtrArray *from)
{
    for (guint i = 0; i < from->len; i++)
        g_ptr_array_add(to, metric_row_copy(g_ptr_array_index(from, i)));
}

VmSample *vm_sample_copy(const VmSample *vm)
{
    VmSample *copy = vm_sample_new(vm->name);
    copy->vm_id = vm->vm_id;
    copy->uuid = g_strdup(vm->uuid);
    copy->domain_id = vm->domain_id;
    copy->boottime_ns = vm->boottime_ns;
    copy->xml_devices = g_strdup(vm->xml_devices);
    copy->sent_keys = g_strdup(vm->sent_keys);
    copy->extras = g_strdupv(vm->extras);
    copy->forecasts = g_strdupv(vm->forecasts);
    copy->shape = g_strdup(vm->shape);
    copy->mark = g_strdup(vm->mark);
    copy->process = g_strdup(vm->process);
    memcpy(copy->served, vm->served, sizeof copy->served);
    memcpy(copy->group_ns, vm->group_ns, sizeof copy->group_ns);
    copy->held = vm->held;
    copy->ran = vm->ran;
    metric_row_merge(copy->row, vm->row, false);
    copy_rows(copy->vcpus, vm->vcpus);
    copy_rows(copy->nics, vm->nics);
    copy_rows(copy->disks, vm->disks);
    return copy;
}

gint64 vm_sample_group_ns(const VmSample *vm, Group group)
{
    return vm->group_ns[group] ? vm->group_ns[group] : vm->boottime_ns;
}

gint64 vm_sample_row_ns(const VmSample *vm, const MetricRow *row, Group group)
{
    return group == GROUP_DISK && row->idle_ns != 0 ? row->idle_ns : vm_sample_group_ns(vm, group);
}

bool vm_sample_holds(const VmSample *vm, Metric m)
{
    if (!vm->held) /* nearly always */
        return false;
    Group group = metric_group(m);
    if (m == METRIC_VM_MEMORY_RSS && vm->served[GROUP_KERNEL] == SERVED_BULK)
        group = GROUP_GUEST; /* libvirt has it with the balloon's figures */
    return (group == GROUP_DISK || group == GROUP_GUEST) && vm->served[group] == SERVED_EARLIER;
}

bool vm_sample_keeps(const VmSample *vm, const MetricRow *row, Metric m)
{
    const Group group = metric_group(m);
    return vm_sample_holds(vm, m) || vm_sample_row_ns(vm, row, group) != vm_sample_group_ns(vm, group);
}

guint64 vm_period(guint64 vm_id, gint64 time_ns, gint64 period_ns)
{
    const guint64 spread = vm_id * G_GUINT64_CONSTANT(0x9E3779B97F4A7C15);
    return ((guint64)MAX(time_ns, 0) + spread % (guint64)period_ns) / (guint64)period_ns;
}

GPtrArray *vm_sample_rows(const VmSample *vm, Scope scope)
{
    switch (scope) {
    case SCOPE_VCPU:
        return vm->vcpus;
    case SCOPE_NIC:
        return vm->nics;
    case SCOPE_DISK:
        return vm->disks;
    default:
        g_assert_not_reached();
    }
}

MetricRow *vm_sample_row(VmSample *vm, Scope scope, guint index)
{
    GPtrArray *rows = vm_sample_rows(vm, scope);
    /* libvirt sends one device's keys one after another, so it is nearly always the last row. */
    for (guint i = rows->len; i-- > 0;) {
        MetricRow *row = g_ptr_array_index(rows, i);
        if (row->index == index)
            return row;
    }
    if (rows->len >= SAMPLE_DEVICES_MAX)
        return NULL;
    MetricRow *row = metric_row_new(scope, index);
    g_ptr_array_add(rows, row);
    return row;
}

/* --- samples --- */

static void sink_sample_free(gpointer data)
{
    SinkSample *sink = data;
    g_free(sink->name);
    metric_row_free(sink->row);
    g_free(sink);
}

MetricRow *sample_add_sink(Sample *sample, const char *name)
{
    SinkSample *sink = g_new(SinkSample, 1);
    *sink = (SinkSample){.name = g_strdup(name), .row = metric_row_new(SCOPE_SINK, 0)};
    g_ptr_array_add(sample->sinks, sink);
    return sink->row;
}

Sample *sample_new(void)
{
    Sample *sample = g_new0(Sample, 1);
    sample->vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_sample_free);
    sample->row = metric_row_new(SCOPE_HOST, 0);
    sample->sinks = g_ptr_array_new_with_free_func(sink_sample_free);
    return sample;
}

void sample_free(Sample *sample)
{
    if (!sample)
        return;
    g_free(sample->boot_id);
    g_free(sample->host);
    g_ptr_array_unref(sample->vms);
    metric_row_free(sample->row);
    g_ptr_array_unref(sample->sinks);
    g_free(sample);
}

static gint by_id(gconstpointer a, gconstpointer b)
{
    const VmSample *x = *(VmSample *const *)a, *y = *(VmSample *const *)b;
    if (x->vm_id != y->vm_id)
        return x->vm_id < y->vm_id ? -1 : 1;
    return strcmp(x->name, y->name);
}

Sample *sample_copy(const Sample *sample)
{
    Sample *copy = sample_new();
    copy->realtime_ns = sample->realtime_ns;
    copy->boottime_ns = sample->boottime_ns;
    copy->boot_id = g_strdup(sample->boot_id);
    copy->host = g_strdup(sample->host);
    copy->cycle = sample->cycle;
    copy->sent_tier = sample->sent_tier;
    copy->spool_trouble = sample->spool_trouble;
    copy->left_out = sample->left_out;
    for (guint i = 0; i < sample->vms->len; i++)
        g_ptr_array_add(copy->vms, vm_sample_copy(g_ptr_array_index(sample->vms, i)));
    metric_row_merge(copy->row, sample->row, false);
    for (guint i = 0; i < sample->sinks->len; i++) {
        const SinkSample *sink = g_ptr_array_index(sample->sinks, i);
        metric_row_merge(sample_add_sink(copy, sink->name), sink->row, false);
    }
    return copy;
}

void sample_sort(Sample *sample)
{
    g_ptr_array_sort(sample->vms, by_id);
}

static bool same_domain(const VmSample *a, const VmSample *b)
{
    if (a->uuid && b->uuid)
        return strcmp(a->uuid, b->uuid) == 0;
    return strcmp(a->name, b->name) == 0;
}

/* Samples are sorted by id and a domain rarely changes its name, so the binary search nearly always hits; a domain that
 * was renamed is found by going through all. */
VmSample *sample_find(const Sample *sample, const VmSample *vm)
{
    if (!sample)
        return NULL;
    guint low = 0, high = sample->vms->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        VmSample *other = g_ptr_array_index(sample->vms, middle);
        if (by_id(&other, &vm) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < sample->vms->len && same_domain(g_ptr_array_index(sample->vms, low), vm))
        return g_ptr_array_index(sample->vms, low);
    for (guint i = 0; vm->uuid && i < sample->vms->len; i++)
        if (same_domain(g_ptr_array_index(sample->vms, i), vm))
            return g_ptr_array_index(sample->vms, i);
    return NULL;
}

VmSample *sample_find_run(const Sample *sample, const VmSample *vm)
{
    VmSample *other = sample_find(sample, vm);
    return other && other->domain_id == vm->domain_id ? other : NULL;
}

/* --- bringing a sample into shape --- */

static bool is_arriving(const VmSample *vm)
{
    guint64 reason = row_u64(vm->row, METRIC_VM_STATE_REASON);
    return !vm->ran && row_u64(vm->row, METRIC_VM_STATE) == STATE_PAUSED &&
           (reason == PAUSED_MIGRATION || reason == PAUSED_STARTING_UP);
}

static void keep_active_layers(GPtrArray *disks)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < disks->len;) {
        const char *name = row_device_name(g_ptr_array_index(disks, i));
        if (name && g_hash_table_contains(seen, name)) {
            g_ptr_array_remove_index(disks, i);
            continue;
        }
        if (name)
            g_hash_table_add(seen, (gpointer)(guintptr)name); /* of a row that stays */
        i++;
    }
}

bool vm_sample_has_disk_counters(const VmSample *vm)
{
    for (guint i = 0; i < vm->disks->len; i++)
        if (row_has(g_ptr_array_index(vm->disks, i), METRIC_DISK_RD_REQS))
            return true;
    return false;
}

/* With NOWAIT libvirt answers for a domain that holds a job with what it knows without asking QEMU: balloon.current is
 * there, balloon.rss and the disks' counters are not. (Recorded: tests/golden/locked.) */
bool vm_sample_looks_locked(const VmSample *vm)
{
    return row_has(vm->row, METRIC_VM_BALLOON_CURRENT) && !row_has(vm->row, METRIC_VM_MEMORY_RSS) &&
           !vm_sample_has_disk_counters(vm);
}

void sample_finish(Sample *sample, const Sample *previous)
{
    guint64 locked = 0;
    for (guint i = 0; i < sample->vms->len;) {
        VmSample *vm = g_ptr_array_index(sample->vms, i);
        const VmSample *before = sample_find_run(previous, vm);
        vm->ran |= before && before->ran; /* a recording may say so itself */
        vm->ran |= row_has(vm->row, METRIC_VM_STATE) && row_u64(vm->row, METRIC_VM_STATE) != STATE_PAUSED;
        if (is_arriving(vm)) {
            g_ptr_array_remove_index(sample->vms, i);
            continue;
        }
        keep_active_layers(vm->disks);
        if (!row_has(vm->row, METRIC_VM_LOCKED))
            row_set_u64(vm->row, METRIC_VM_LOCKED, vm_sample_looks_locked(vm));
        locked += row_u64(vm->row, METRIC_VM_LOCKED);
        i++;
    }
    sample_sort(sample);
    row_set_u64(sample->row, METRIC_HOST_DOMAINS, sample->vms->len);
    row_set_u64(sample->row, METRIC_HOST_LOCKED, locked);
}
