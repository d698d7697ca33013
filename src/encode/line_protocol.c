/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/line_protocol.h"

#include "base/text.h"

#include <string.h>

/* --- the three positions --- */

/* Length of a text that no position escapes: nearly all of ours. 0: it is another one. */
static gsize plain_length(const char *text)
{
    const char *c = text;
    while (*c > ' ' && *c < 0x7F && *c != ',' && *c != '=' && *c != '\\')
        c++;
    return *c ? 0 : (gsize)(c - text);
}

static void append_escaped(GString *out, const char *text, const char *special)
{
    const gsize length = plain_length(text);
    if (length > 0 && length <= LINE_TAG_MAX) {
        g_string_append_len(out, text, (gssize)length);
        return;
    }
    const gsize end = out->len + LINE_TAG_MAX;
    gsize slashes = 0; /* that stand right before the next character */
    gunichar c;
    while (out->len < end && (c = text_next_printable(&text)) != 0) {
        if (c == '\\') {
            slashes++;
            g_string_append_c(out, '\\');
            continue;
        }
        if (c < 0x80 && strchr(special, (int)c)) {
            for (slashes++; slashes > 0; slashes--)
                g_string_append_c(out, '\\');
        }
        slashes = 0;
        text_append_char(out, c);
    }
    if (slashes > 0) {
        for (slashes++; slashes > 0; slashes--)
            g_string_append_c(out, '\\');
        g_string_append_c(out, ' ');
    }
}

void line_append_measurement(GString *out, const char *text)
{
    append_escaped(out, text, ", ");
}

void line_append_key(GString *out, const char *text)
{
    append_escaped(out, text, ",= ");
}

void line_append_string(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    text_append_escaped(out, text, LINE_STRING_MAX);
    g_string_append_c(out, '"');
}

void line_append_real(GString *out, double value)
{
    text_append_real(out, value);
}

/* --- tags --- */

typedef struct {
    const char *key, *value;
} Tag;

typedef struct {
    Tag tag[12];
    guint n;
} Tags;

/* Kept sorted by key. An unknown or empty value is no tag. */
static void tags_add(Tags *tags, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    g_assert(tags->n < G_N_ELEMENTS(tags->tag));
    guint i = tags->n++;
    for (; i > 0 && strcmp(tags->tag[i - 1].key, key) > 0; i--)
        tags->tag[i] = tags->tag[i - 1];
    tags->tag[i] = (Tag){key, value};
}

/* --- points --- */

typedef struct {
    GString *out;
    const Sample *sample;
    const VmSample *vm; /* at hand; NULL: the host */
    char vm_id[24];     /* the VM's */
} Writer;

/* The series of which the metric is a field; 0 where it is a tag, or not in the line protocol at all. */
static LineSeries series_of(Metric m)
{
    const MetricInfo *info = &metric_info[m];
    if (!info->line)
        return 0;
    switch (info->scope) {
    case SCOPE_VM:
        return info->kind == KIND_TEXT && info->cost == COST_START ? SERIES_INFO : SERIES_TOTALS;
    case SCOPE_VCPU:
        return SERIES_VCPUS;
    case SCOPE_HOST:
    case SCOPE_SINK:
        return SERIES_HOST;
    default:
        return info->kind == KIND_TEXT ? 0 : SERIES_DEVICES;
    }
}

static bool append_value(GString *out, const MetricRow *row, Metric m)
{
    switch (metric_info[m].kind) {
    case KIND_REAL:
        line_append_real(out, row_real(row, m));
        return true;
    case KIND_TEXT:
        line_append_string(out, row_text(row, m));
        return true;
    default:
        if (row_u64(row, m) > G_MAXINT64)
            return false;
        text_append_u64(out, row_u64(row, m));
        g_string_append_c(out, 'i');
        return true;
    }
}

static void append_series(GString *out, const char *measurement, const Tags *tags)
{
    line_append_measurement(out, measurement);
    for (guint i = 0; i < tags->n; i++) {
        g_string_append_c(out, ',');
        line_append_key(out, tags->tag[i].key);
        g_string_append_c(out, '=');
        line_append_key(out, tags->tag[i].value);
    }
}

/* What was not read for this sample was written with the one it is of: with this one's time it would be a counter that
 * stood still, and leapt. */
static bool is_written(const Writer *w, const MetricRow *row, Metric m, LineSeries series)
{
    return series_of(m) == series && row_has(row, m) && !(w->vm && vm_sample_keeps(w->vm, row, m));
}

/* One line with the fields that `series` has of the row; none where there is no field. */
static void append_point(Writer *w, const char *measurement, const Tags *tags, const MetricRow *row, LineSeries series)
{
    GString *out = w->out;
    const gsize start = out->len;
    append_series(out, measurement, tags);

    char separator = ' ';
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        if (!is_written(w, row, m, series))
            continue;
        const gsize before = out->len;
        g_string_append_c(out, separator);
        g_string_append(out, metric_info[m].line); /* ours, and plain */
        g_string_append_c(out, '=');
        if (append_value(out, row, m))
            separator = ',';
        else
            g_string_truncate(out, before);
    }
    if (separator == ' ') {
        g_string_truncate(out, start);
        return;
    }
    if (w->sample->realtime_ns != 0)
        g_string_append_printf(out, " %" G_GINT64_FORMAT, w->sample->realtime_ns);
    g_string_append_c(out, '\n');
}

/* --- series --- */

static Tags vm_tags(const Writer *w, const VmSample *vm)
{
    Tags tags = {.n = 0};
    tags_add(&tags, "VMID", w->vm_id);
    tags_add(&tags, "host", w->sample->host);
    tags_add(&tags, "uuid", vm->uuid);
    return tags;
}

static Tags vm_tags_with_name(const Writer *w, const VmSample *vm)
{
    Tags tags = vm_tags(w, vm);
    tags_add(&tags, "name", vm->name);
    return tags;
}

static void append_devices(Writer *w, const VmSample *vm, Scope scope)
{
    const GPtrArray *rows = vm_sample_rows(vm, scope);
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *row = g_ptr_array_index(rows, i);
        if (!row_device_name(row))
            continue;
        Tags tags = vm_tags_with_name(w, vm);
        tags_add(&tags, "devtype", scope_name(scope));
        for (guint k = 0; k < metric_count(scope); k++) {
            Metric m = metric_first(scope) + k;
            if (metric_info[m].kind == KIND_TEXT && metric_info[m].line)
                tags_add(&tags, metric_info[m].line, row_text(row, m));
        }
        append_point(w, "vm_devices", &tags, row, SERIES_DEVICES);
    }
}

static void append_vcpus(Writer *w, const VmSample *vm)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        const MetricRow *row = g_ptr_array_index(vm->vcpus, i);
        char number[16];
        g_snprintf(number, sizeof number, "%u", row->index);
        Tags tags = vm_tags_with_name(w, vm);
        tags_add(&tags, "vcpu", number);
        append_point(w, "vm_vcpus", &tags, row, SERIES_VCPUS);
    }
}

static void append_vm(Writer *w, const VmSample *vm, LineSeries series)
{
    g_snprintf(w->vm_id, sizeof w->vm_id, "%" G_GUINT64_FORMAT, vm->vm_id);
    w->vm = vm;
    if (series & SERIES_TOTALS) {
        Tags tags = vm_tags_with_name(w, vm);
        append_point(w, "vm_totals", &tags, vm->row, SERIES_TOTALS);
    }
    if (series & SERIES_DEVICES) {
        append_devices(w, vm, SCOPE_NIC);
        append_devices(w, vm, SCOPE_DISK);
    }
    if (series & SERIES_VCPUS)
        append_vcpus(w, vm);
    if (series & SERIES_INFO) {
        Tags tags = vm_tags(w, vm);
        append_point(w, "vm_info", &tags, vm->row, SERIES_INFO);
    }
}

static void append_host(Writer *w)
{
    const Sample *sample = w->sample;
    w->vm = NULL;
    Tags tags = {.n = 0};
    tags_add(&tags, "host", sample->host);
    append_point(w, "host_totals", &tags, sample->row, SERIES_HOST);
    for (guint i = 0; i < sample->sinks->len; i++) {
        const SinkSample *sink = g_ptr_array_index(sample->sinks, i);
        Tags of_sink = tags;
        tags_add(&of_sink, "sink", sink->name);
        append_point(w, "host_totals", &of_sink, sink->row, SERIES_HOST);
    }
}

GString *line_protocol_write(const Sample *sample, LineSeries series)
{
    Writer w = {.out = g_string_new(NULL), .sample = sample};
    for (guint i = 0; i < sample->vms->len; i++)
        append_vm(&w, g_ptr_array_index(sample->vms, i), series);
    if (series & SERIES_HOST)
        append_host(&w);
    return w.out;
}

/* --- events --- */

void line_protocol_append_event(GString *out, const VmEvent *event)
{
    char vm_id[24];
    Tags tags = {.n = 0};
    g_snprintf(vm_id, sizeof vm_id, "%" G_GUINT64_FORMAT, event->vm_id);
    tags_add(&tags, "VMID", vm_id);
    tags_add(&tags, "host", event->host);
    tags_add(&tags, "state", event->state);
    tags_add(&tags, "lcm_state", event->lcm_state);
    append_series(out, "vm_events", &tags);
    const struct {
        const char *name, *text;
    } fields[] = {
        {"vm_name", event->vm_name},
        {"owner", event->owner},
        {"gname", event->gname},
        {"previous_state", event->previous_state},
        {"previous_lcm_state", event->previous_lcm_state},
        {"reason", event->reason},
    };
    g_string_append_printf(out, " seq=%" G_GINT64_FORMAT "i", event->seq); /* always: a point needs a field */
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (!fields[i].text)
            continue;
        g_string_append_printf(out, ",%s=", fields[i].name);
        line_append_string(out, fields[i].text);
    }
    g_string_append_printf(out, " %" G_GINT64_FORMAT "\n", event->time_ns);
}

/* --- whose vm_info is due --- */

static bool same_info(const VmSample *vm, const VmSample *before)
{
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        if (series_of(m) == SERIES_INFO && g_strcmp0(row_text(vm->row, m), row_text(before->row, m)) != 0)
            return false;
    }
    return g_strcmp0(vm->uuid, before->uuid) == 0;
}

static bool is_info_due(const Sample *sample, const VmSample *vm, const Sample *previous)
{
    const VmSample *before = sample_find_run(previous, vm);
    return !before || !same_info(vm, before) ||
           vm_period(vm->vm_id, sample->realtime_ns, LINE_INFO_PERIOD_NS) !=
               vm_period(vm->vm_id, previous->realtime_ns, LINE_INFO_PERIOD_NS);
}

GString *line_protocol_write_next(const Sample *sample, const Sample *previous)
{
    Writer w = {.out = g_string_new(NULL), .sample = sample};
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        append_vm(&w, vm, is_info_due(sample, vm, previous) ? SERIES_ALL : SERIES_ALL & ~(guint)SERIES_INFO);
    }
    append_host(&w);
    return w.out;
}
