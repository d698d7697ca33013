/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/explain.h"

#include "base/text.h"

#include <string.h>

#define NS_PER_S 1e9

const char *served_name(Served served)
{
    static const char *const names[N_SERVED] = {
        [SERVED_NOT] = "not known",    [SERVED_BULK] = "libvirt, bulk call", [SERVED_DISK] = "libvirt, this disk",
        [SERVED_PROC] = "/proc",       [SERVED_CGROUP] = "cgroup",           [SERVED_EARLIER] = "kept",
        [SERVED_XML] = "domain's XML",
    };
    return names[served];
}

/* Which of them are of a cgroup, where there is one. */
static bool is_of_cgroup(Metric m)
{
    return m == METRIC_VM_CPU_TIME || m == METRIC_VM_CPU_USER || m == METRIC_VM_CPU_SYSTEM;
}

static Served served_of(const VmSample *vm, const MetricRow *row, Metric m)
{
    if (m == METRIC_VM_MEMORY_SWAPPED)
        return SERVED_PROC;
    if (vm_sample_keeps(vm, row, m))
        return SERVED_EARLIER;
    const Group group = metric_group(m);
    if (group == GROUP_START)
        return SERVED_XML;
    const Served served = vm->served[group];
    return served == SERVED_CGROUP && !is_of_cgroup(m) ? SERVED_PROC : served;
}

/* What was kept of the shape is known to be of now: the XML is the same. */
static gint64 read_at(const VmSample *vm, const MetricRow *row, Metric m)
{
    const Group group = m == METRIC_VM_MEMORY_RSS && vm_sample_holds(vm, m) ? GROUP_GUEST : metric_group(m);
    return group == GROUP_SHAPE ? vm->boottime_ns : vm_sample_row_ns(vm, row, group);
}

static char *value_text(const MetricRow *row, Metric m)
{
    switch (metric_info[m].kind) {
    case KIND_TEXT:
        return g_strdup(row_text(row, m));
    case KIND_REAL: {
        GString *text = g_string_new(NULL);
        text_append_real(text, row_real(row, m));
        return g_string_free(text, FALSE);
    }
    default:
        return g_strdup_printf("%" G_GUINT64_FORMAT, row_u64(row, m));
    }
}

/* Texts may hold anything. */
static void append_cell(GString *out, const char *text, gsize width)
{
    gsize characters = 0;
    for (gunichar c; (c = text_next_printable(&text)) != 0 && characters < 60; characters++)
        text_append_char(out, c);
    do
        g_string_append_c(out, ' ');
    while (++characters < width);
}

static void append_figure(GString *out, const VmSample *vm, const MetricRow *row, const char *prefix, Metric m,
                          gint64 boottime_ns)
{
    const MetricInfo *info = &metric_info[m];
    const bool is_read = info->origin == ORIGIN_KEY || info->origin == ORIGIN_OWN;
    const char *name = is_read ? info->key : info->line;
    if (!row_has(row, m) || !name)
        return;
    g_autofree char *value = value_text(row, m), *full = g_strconcat(prefix, name, NULL);
    const char *unit = info->unit == UNIT_BOOL || info->unit == UNIT_COUNT ? "" : unit_name(info->unit);
    g_autofree char *with_unit = g_strconcat(value, " ", unit, NULL);
    g_string_append(out, "  ");
    append_cell(out, full, 30);
    append_cell(out, with_unit, 28);
    if (!is_read) {
        g_string_append(out, vm_sample_holds(vm, m) ? "computed, kept\n" : "computed\n");
        return;
    }
    append_cell(out, served_name(served_of(vm, row, m)), 20);
    const gint64 at_ns = read_at(vm, row, m);
    if (at_ns != 0 && metric_group(m) != GROUP_START)
        g_string_append_printf(out, "%.2f s", MAX((double)(boottime_ns - at_ns), 0.0) / NS_PER_S);
    while (out->str[out->len - 1] == ' ')
        g_string_truncate(out, out->len - 1);
    g_string_append_c(out, '\n');
}

static void append_row(GString *out, const VmSample *vm, const MetricRow *row, const char *prefix, gint64 boottime_ns)
{
    for (guint i = 0; i < metric_count(row->scope); i++)
        append_figure(out, vm, row, prefix, metric_first(row->scope) + i, boottime_ns);
}

static void append_vm(GString *out, const VmSample *vm, gint64 boottime_ns)
{
    static const struct {
        Scope scope;
        const char *name;
    } devices[] = {{SCOPE_VCPU, "vcpu"}, {SCOPE_NIC, "net"}, {SCOPE_DISK, "block"}};
    g_string_append_printf(out, "%s\n  ", vm->name);
    append_cell(out, "figure", 30);
    append_cell(out, "value", 28);
    append_cell(out, "served by", 20);
    g_string_append(out, "age\n");
    append_row(out, vm, vm->row, "", boottime_ns);
    for (guint d = 0; d < G_N_ELEMENTS(devices); d++) {
        const GPtrArray *rows = vm_sample_rows(vm, devices[d].scope);
        for (guint i = 0; i < rows->len; i++) {
            const MetricRow *row = g_ptr_array_index(rows, i);
            g_autofree char *prefix = g_strdup_printf("%s.%u.", devices[d].name, row->index);
            append_row(out, vm, row, prefix, boottime_ns);
        }
    }
    g_string_append_c(out, '\n');
}

GString *explain_write(const Sample *sample, gint64 boottime_ns)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < sample->vms->len; i++)
        append_vm(out, g_ptr_array_index(sample->vms, i), boottime_ns);
    return out;
}
