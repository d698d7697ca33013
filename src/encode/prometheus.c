/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/prometheus.h"

#include "base/text.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define NS_PER_US 1000
#define US_PER_S 1e6

/* --- texts --- */

/* A newline has an escape; of the other control characters some end a line too, for some readers. */
static gunichar next_character(const char **at)
{
    if (**at != '\n')
        return text_next_printable(at);
    (*at)++;
    return '\n';
}

/* Cut on a character at `limit` bytes. */
static void append_escaped(GString *out, const char *text, const char *special, gsize limit)
{
    const gsize start = out->len;
    gunichar c;
    while ((c = next_character(&text)) != 0) {
        const gsize before = out->len;
        if (c < 0x80 && strchr(special, (int)c))
            g_string_append_c(out, '\\');
        text_append_char(out, c == '\n' ? 'n' : c); /* a newline is special everywhere */
        if (out->len - start > limit) {
            g_string_truncate(out, before);
            return;
        }
    }
}

void prometheus_append_label_value(GString *out, const char *text)
{
    append_escaped(out, text, "\\\"\n", PROMETHEUS_LABEL_MAX);
}

void prometheus_append_help(GString *out, const char *text)
{
    append_escaped(out, text, "\\\n", G_MAXSIZE);
}

/* An empty label is the same as none. */
static void add_label(GString *labels, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    if (labels->len > 0)
        g_string_append_c(labels, ',');
    g_string_append(labels, name); /* ours, and plain */
    g_string_append(labels, "=\"");
    prometheus_append_label_value(labels, value);
    g_string_append_c(labels, '"');
}

static void add_number_label(GString *labels, const char *name, guint64 value)
{
    char text[24];
    g_snprintf(text, sizeof text, "%" G_GUINT64_FORMAT, value);
    add_label(labels, name, text);
}

/* --- what there is to tell of --- */

typedef struct {
    const Sample *sample;
    const VmSample *vm; /* NULL: of the host or a sink */
    const MetricRow *row;
    char *labels; /* that tell it from all others of its scope */
} Thing;

typedef struct {
    GPtrArray *things; /* of Thing */
    GHashTable *seen;  /* their labels */
} Scoped;

static void thing_free(gpointer data)
{
    Thing *thing = data;
    g_free(thing->labels);
    g_free(thing);
}

/* Takes over the labels. */
static void take(Scoped *scopes, Thing thing, GString *labels)
{
    Scoped *scoped = &scopes[thing.row->scope];
    thing.labels = g_string_free(labels, FALSE);
    if (g_hash_table_contains(scoped->seen, thing.labels)) {
        g_free(thing.labels);
        return;
    }
    Thing *kept = g_new(Thing, 1);
    *kept = thing;
    g_ptr_array_add(scoped->things, kept);
    g_hash_table_add(scoped->seen, kept->labels);
}

static GString *host_labels(const Sample *sample)
{
    GString *labels = g_string_new(NULL);
    add_label(labels, "host", sample->host);
    return labels;
}

static GString *vm_labels(const Sample *sample, const VmSample *vm)
{
    GString *labels = g_string_new(NULL);
    add_number_label(labels, "vm_id", vm->vm_id);
    add_label(labels, "host", sample->host);
    return labels;
}

static void take_rows(Scoped *scopes, const Sample *sample, const VmSample *vm, Scope scope)
{
    const GPtrArray *rows = vm_sample_rows(vm, scope);
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *row = g_ptr_array_index(rows, i);
        const char *device = scope == SCOPE_VCPU ? NULL : row_device_name(row);
        if (scope != SCOPE_VCPU && (!device || !*device))
            continue;
        GString *labels = vm_labels(sample, vm);
        if (scope == SCOPE_VCPU)
            add_number_label(labels, "vcpu", row->index);
        else
            add_label(labels, "device", device);
        take(scopes, (Thing){.sample = sample, .vm = vm, .row = row}, labels);
    }
}

static void take_sample(Scoped *scopes, const Sample *sample)
{
    take(scopes, (Thing){.sample = sample, .row = sample->row}, host_labels(sample));
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        take(scopes, (Thing){.sample = sample, .vm = vm, .row = vm->row}, vm_labels(sample, vm));
        take_rows(scopes, sample, vm, SCOPE_VCPU);
        take_rows(scopes, sample, vm, SCOPE_NIC);
        take_rows(scopes, sample, vm, SCOPE_DISK);
    }
    for (guint i = 0; i < sample->sinks->len; i++) {
        const SinkSample *sink = g_ptr_array_index(sample->sinks, i);
        GString *labels = host_labels(sample);
        add_label(labels, "sink", sink->name);
        take(scopes, (Thing){.sample = sample, .row = sink->row}, labels);
    }
}

/* --- families --- */

static char *info_family(Scope scope)
{
    return g_strdup_printf("one_%s_info", scope_name(scope));
}

char *prometheus_family(Metric m)
{
    const MetricInfo *info = &metric_info[m];
    if (!info->prometheus)
        return NULL;
    if (info->kind == KIND_TEXT)
        return info_family(info->scope);
    return g_strdup_printf("one_%s_%s", scope_name(info->scope), info->prometheus);
}

/* Returns where its series begin. */
static gsize begin_family(GString *out, const char *family, const char *help, const char *type)
{
    g_string_append_printf(out, "# HELP %s ", family);
    prometheus_append_help(out, help);
    g_string_append_printf(out, "\n# TYPE %s %s\n", family, type);
    return out->len;
}

/* Without a series it never was. */
static void end_family(GString *out, gsize start, gsize series)
{
    if (out->len == series)
        g_string_truncate(out, start);
}

static void append_series(GString *out, const char *family, const char *labels)
{
    g_string_append(out, family);
    if (*labels) {
        g_string_append_c(out, '{');
        g_string_append(out, labels);
        g_string_append_c(out, '}');
    }
    g_string_append_c(out, ' ');
}

/* --- figures --- */

/* There is no double that is 10^-9, but 10^9 is one, and to divide by it gives the double nearest to the decimal. */
static double in_base_unit(double value, Unit unit)
{
    const double factor = unit_to_base(unit);
    return factor < 1 ? value / rint(1 / factor) : value * factor;
}

static bool append_value(GString *out, const MetricRow *row, Metric m)
{
    const MetricInfo *info = &metric_info[m];
    if (info->kind != KIND_REAL && unit_to_base(info->unit) == 1) {
        text_append_u64(out, row_u64(row, m)); /* all 64 bits, though most readers keep 53 */
        return true;
    }
    double value = in_base_unit(info->kind == KIND_REAL ? row_real(row, m) : (double)row_u64(row, m), info->unit);
    if (!isfinite(value))
        return false;
    text_append_real(out, value);
    return true;
}

static void append_figures(GString *out, Metric m, const GPtrArray *things)
{
    const MetricInfo *info = &metric_info[m];
    g_autofree char *family = prometheus_family(m);
    const gsize start = out->len;
    const gsize series = begin_family(out, family, info->help, info->kind == KIND_COUNTER ? "counter" : "gauge");
    for (guint i = 0; i < things->len; i++) {
        const Thing *thing = g_ptr_array_index(things, i);
        const gsize before = out->len;
        if (!row_has(thing->row, m))
            continue;
        append_series(out, family, thing->labels);
        if (append_value(out, thing->row, m))
            g_string_append_c(out, '\n');
        else
            g_string_truncate(out, before);
    }
    end_family(out, start, series);
}

static void append_sample_times(GString *out, const GPtrArray *hosts)
{
    static const char family[] = "one_host_sample_timestamp_seconds";
    const gsize start = out->len;
    const gsize series = begin_family(out, family, "When the figures of this host and its VMs were collected", "gauge");
    for (guint i = 0; i < hosts->len; i++) {
        const Thing *host = g_ptr_array_index(hosts, i);
        if (host->sample->realtime_ns == 0)
            continue;
        append_series(out, family, host->labels);
        const gint64 us = host->sample->realtime_ns / NS_PER_US; /* these fit into a double, nanoseconds do not */
        text_append_real(out, (double)us / US_PER_S);
        g_string_append_c(out, '\n');
    }
    end_family(out, start, series);
}

/* --- texts as labels --- */

/* Its own label already, in every family of the scope. */
static bool is_device_name(Metric m)
{
    return m == METRIC_NIC_NAME || m == METRIC_DISK_NAME;
}

/* Empty where nothing is to be said. */
static void info_labels(const Thing *thing, GString *labels)
{
    const MetricRow *row = thing->row;
    if (row->scope == SCOPE_VM) {
        add_label(labels, "name", thing->vm->name);
        add_label(labels, "uuid", thing->vm->uuid);
    }
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        const MetricInfo *info = &metric_info[m];
        if (info->kind == KIND_TEXT && info->prometheus && !is_device_name(m))
            add_label(labels, info->prometheus, row_text(row, m));
    }
}

static void append_infos(GString *out, Scope scope, const GPtrArray *things)
{
    g_autofree char *family = info_family(scope), *help = NULL;
    help = g_strdup_printf("Names and other texts of each %s, as labels; always 1", scope_name(scope));
    const gsize start = out->len;
    const gsize series = begin_family(out, family, help, "gauge");
    for (guint i = 0; i < things->len; i++) {
        const Thing *thing = g_ptr_array_index(things, i);
        g_autoptr(GString) labels = g_string_new(NULL);
        info_labels(thing, labels);
        if (labels->len == 0)
            continue;
        if (*thing->labels) {
            g_string_prepend_c(labels, ',');
            g_string_prepend(labels, thing->labels);
        }
        append_series(out, family, labels->str);
        g_string_append(out, "1\n");
    }
    end_family(out, start, series);
}

/* --- the exposition --- */

typedef struct {
    GString *text;
    void (*relieve)(gpointer data);
    gpointer data;
} Out;

static void append_scope(const Out *out, Scope scope, const GPtrArray *things)
{
    append_infos(out->text, scope, things);
    out->relieve(out->data);
    for (guint i = 0; i < metric_count(scope); i++) {
        Metric m = metric_first(scope) + i;
        if (!metric_info[m].prometheus || metric_info[m].kind == KIND_TEXT)
            continue;
        append_figures(out->text, m, things);
        out->relieve(out->data);
    }
    if (scope == SCOPE_HOST)
        append_sample_times(out->text, things);
}

void prometheus_write_parts(GString *out, const Sample *const *samples, guint n, void (*relieve)(gpointer data),
                            gpointer data)
{
    const Out parts = {out, relieve, data};
    Scoped scopes[N_SCOPES];
    for (int scope = 0; scope < N_SCOPES; scope++)
        scopes[scope] = (Scoped){.things = g_ptr_array_new_with_free_func(thing_free),
                                 .seen = g_hash_table_new(g_str_hash, g_str_equal)};
    for (guint i = 0; i < n; i++)
        take_sample(scopes, samples[i]);

    for (int scope = 0; scope < N_SCOPES; scope++) {
        append_scope(&parts, (Scope)scope, scopes[scope].things);
        g_hash_table_destroy(scopes[scope].seen);
        g_ptr_array_free(scopes[scope].things, TRUE);
    }
}

static void keep(gpointer data)
{
    (void)data; /* all of it is wanted at once */
}

GString *prometheus_write(const Sample *const *samples, guint n)
{
    GString *out = g_string_new(NULL);
    prometheus_write_parts(out, samples, n, keep, NULL);
    return out;
}
