/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/line_samples.h"

#include <math.h>
#include <string.h>

#define TIME_SECONDS_BELOW G_GINT64_CONSTANT(5000000000)  /* as InfluxDB 3 takes stamps without a unit */
#define TIME_MS_BELOW G_GINT64_CONSTANT(5000000000000)    /* year 2128, in ms */
#define TIME_US_BELOW G_GINT64_CONSTANT(5000000000000000) /* likewise, in us */

/* --- names of fields --- */

/* Of each scope: a metric's line-protocol name, and the metric (its number plus one, so that none is NULL). */
static GHashTable **fields_by_scope(void)
{
    static GHashTable *tables[N_SCOPES];
    static gsize once;
    if (g_once_init_enter(&once)) {
        for (int scope = 0; scope < N_SCOPES; scope++)
            tables[scope] = g_hash_table_new(g_str_hash, g_str_equal);
        for (guint m = 0; m < N_METRICS; m++)
            if (metric_info[m].line)
                g_hash_table_insert(tables[metric_info[m].scope], (gpointer)(guintptr)metric_info[m].line,
                                    GUINT_TO_POINTER(m + 1));
        g_once_init_leave(&once, 1);
    }
    return tables;
}

static Metric metric_of_field(Scope scope, const char *name)
{
    gpointer found = g_hash_table_lookup(fields_by_scope()[scope], name);
    return found ? (Metric)(GPOINTER_TO_UINT(found) - 1) : N_METRICS;
}

/* --- values --- */

static bool as_real(const LineField *field, double *ret_value)
{
    switch (field->type) {
    case FIELD_FLOAT:
        *ret_value = field->value.f;
        return true;
    case FIELD_INTEGER:
        *ret_value = (double)field->value.i;
        return true;
    case FIELD_UNSIGNED:
        *ret_value = (double)field->value.u;
        return true;
    default:
        return false;
    }
}

static bool as_u64(const LineField *field, guint64 *ret_value)
{
    switch (field->type) {
    case FIELD_INTEGER:
        *ret_value = (guint64)field->value.i;
        return field->value.i >= 0;
    case FIELD_UNSIGNED:
        *ret_value = field->value.u;
        return true;
    case FIELD_BOOLEAN:
        *ret_value = field->value.b;
        return true;
    case FIELD_FLOAT: /* 2^53: above, a double is no exact count */
        if (field->value.f < 0 || field->value.f > 9007199254740992.0 || floor(field->value.f) != field->value.f)
            return false;
        *ret_value = (guint64)field->value.f;
        return true;
    default:
        return false;
    }
}

static void set_field(MetricRow *row, Metric m, const LineField *field)
{
    double real;
    guint64 number;
    switch (metric_info[m].kind) {
    case KIND_REAL:
        if (as_real(field, &real))
            row_set_real(row, m, real);
        break;
    case KIND_TEXT:
        if (field->type == FIELD_STRING)
            row_set_text(row, m, field->value.s);
        break;
    default:
        if (as_u64(field, &number))
            row_set_u64(row, m, number);
    }
}

static void set_fields(MetricRow *row, const LinePoint *point)
{
    for (guint i = 0; i < point->n_fields; i++) {
        Metric m = metric_of_field(row->scope, point->fields[i].key);
        if (m != N_METRICS)
            set_field(row, m, &point->fields[i]);
    }
}

/* Texts of a device are tags. */
static void set_tags(MetricRow *row, const LinePoint *point)
{
    for (guint i = 0; i < point->n_tags; i++) {
        Metric m = metric_of_field(row->scope, point->tags[i].key);
        if (m != N_METRICS && metric_info[m].kind == KIND_TEXT)
            row_set_text(row, m, point->tags[i].value);
    }
}

static const char *tag(const LinePoint *point, const char *key)
{
    for (guint i = 0; i < point->n_tags; i++)
        if (strcmp(point->tags[i].key, key) == 0)
            return point->tags[i].value;
    return NULL;
}

static const char *text_field(const LinePoint *point, const char *key)
{
    for (guint i = 0; i < point->n_fields; i++)
        if (strcmp(point->fields[i].key, key) == 0 && point->fields[i].type == FIELD_STRING)
            return point->fields[i].value.s;
    return NULL;
}

/* --- where a point belongs --- */

typedef struct {
    LineSamples *read;
    GHashTable *samples; /* of Sample, by "time host" */
    GHashTable *vms;     /* of VmSample, by Place */
    GHashTable *rows;    /* of MetricRow of devices and vCPUs, by Part */
    guint things;        /* made so far */
    Sample *last;        /* the sample of the point before: nearly always this one's too */
    VmSample *last_vm;   /* likewise */
    gint64 unit_ns, now_ns;
} Reading;

typedef struct {
    const Sample *sample;
    guint64 vm_id;
} Place;

static guint place_hash(gconstpointer data)
{
    const Place *place = data;
    return g_int64_hash(&place->vm_id) * 31 + g_direct_hash(place->sample);
}

static gboolean place_equal(gconstpointer a, gconstpointer b)
{
    const Place *left = a, *right = b;
    return left->vm_id == right->vm_id && left->sample == right->sample;
}

static Sample *sample_of(Reading *reading, const char *host, gint64 time_ns)
{
    Sample *last = reading->last;
    if (last && last->realtime_ns == time_ns && g_strcmp0(last->host, host) == 0)
        return last;
    g_autofree char *key = g_strdup_printf("%" G_GINT64_FORMAT " %s", time_ns, host ? host : "");
    Sample *sample = g_hash_table_lookup(reading->samples, key);
    if (!sample) {
        sample = sample_new();
        sample->host = g_strdup(host);
        sample->realtime_ns = time_ns;
        g_ptr_array_add(reading->read->samples, sample);
        g_hash_table_insert(reading->samples, g_steal_pointer(&key), sample);
        reading->things++;
    }
    reading->last = sample;
    reading->last_vm = NULL;
    return sample;
}

static VmSample *vm_of(Reading *reading, Sample *sample, guint64 vm_id, const char *uuid)
{
    VmSample *vm = reading->last_vm;
    if (vm && vm->vm_id == vm_id)
        return vm;
    Place place = {sample, vm_id};
    vm = g_hash_table_lookup(reading->vms, &place);
    if (!vm) {
        g_autofree char *name = g_strdup_printf("one-%" G_GUINT64_FORMAT, vm_id);
        vm = vm_sample_new(name);
        g_ptr_array_add(sample->vms, vm);
        Place *kept = g_new(Place, 1);
        *kept = place;
        g_hash_table_insert(reading->vms, kept, vm);
        reading->things++;
    }
    if (!vm->uuid)
        vm->uuid = g_strdup(uuid);
    reading->last_vm = vm;
    return vm;
}

/* Senders of old put libvirt's id into VMID, and OpenNebula's into the name alone. */
bool line_point_vm_id(const LinePoint *point, guint64 *ret_vm_id)
{
    const char *name = tag(point, "name"), *number = tag(point, "VMID");
    if (name && vm_id_from_name(name, ret_vm_id))
        return true;
    if (!number || strlen(number) > 10)
        return false;
    g_autofree char *made = g_strconcat("one-", number, NULL);
    return vm_id_from_name(made, ret_vm_id);
}

static VmSample *vm_of_point(Reading *reading, const LinePoint *point, gint64 time_ns)
{
    guint64 vm_id;
    if (!line_point_vm_id(point, &vm_id))
        return NULL;
    Sample *sample = sample_of(reading, tag(point, "host"), time_ns);
    return vm_of(reading, sample, vm_id, tag(point, "uuid"));
}

/* --- rows of a VM --- */

/* A device or vCPU. Found by hash, as one VM may have thousands, and a text may name each of them again and again. */
typedef struct {
    const VmSample *vm;
    Scope scope;
    guint index;        /* of a vCPU; else 0 */
    const char *device; /* name of a NIC or disk; of a vCPU "" */
} Part;

static guint part_hash(gconstpointer data)
{
    const Part *part = data;
    return (g_direct_hash(part->vm) * 31 + g_str_hash(part->device)) * 31 + part->index * 4 + (guint)part->scope;
}

static gboolean part_equal(gconstpointer a, gconstpointer b)
{
    const Part *left = a, *right = b;
    return left->vm == right->vm && left->scope == right->scope && left->index == right->index &&
           strcmp(left->device, right->device) == 0;
}

static void part_free(gpointer data)
{
    Part *part = data;
    g_free((gpointer)(guintptr)part->device); /* the table's own copy */
    g_free(part);
}

/* The row with that number, where it is new: vm_sample_row would look through all that there are. */
static MetricRow *row_of(Reading *reading, const Part *part, guint number)
{
    MetricRow *row = g_hash_table_lookup(reading->rows, part);
    GPtrArray *rows = vm_sample_rows(part->vm, part->scope);
    if (row || rows->len >= SAMPLE_DEVICES_MAX)
        return row;
    row = metric_row_new(part->scope, number);
    g_ptr_array_add(rows, row);
    Part *kept = g_new(Part, 1);
    *kept = *part;
    kept->device = g_strdup(part->device);
    g_hash_table_insert(reading->rows, kept, row);
    reading->things++;
    return row;
}

/* The device of that name, made where there is none yet. NULL above the limit. */
static MetricRow *device_row(Reading *reading, const VmSample *vm, Scope scope, const char *device)
{
    const Part part = {.vm = vm, .scope = scope, .device = device};
    return row_of(reading, &part, vm_sample_rows(vm, scope)->len);
}

static MetricRow *vcpu_row(Reading *reading, const VmSample *vm, guint number)
{
    const Part part = {.vm = vm, .scope = SCOPE_VCPU, .index = number, .device = ""};
    return row_of(reading, &part, number);
}

/* --- series --- */

/* false: it is none of ours after all. */
typedef bool (*TakePoint)(Reading *reading, const LinePoint *point, gint64 time_ns);

static bool take_totals(Reading *reading, const LinePoint *point, gint64 time_ns)
{
    VmSample *vm = vm_of_point(reading, point, time_ns);
    if (vm)
        set_fields(vm->row, point);
    return vm != NULL;
}

static bool take_device(Reading *reading, const LinePoint *point, gint64 time_ns)
{
    const char *type = tag(point, "devtype"), *device = tag(point, "device");
    bool is_nic = g_strcmp0(type, "nic") == 0;
    if (!device || (!is_nic && g_strcmp0(type, "disk") != 0))
        return false;
    VmSample *vm = vm_of_point(reading, point, time_ns);
    MetricRow *row = vm ? device_row(reading, vm, is_nic ? SCOPE_NIC : SCOPE_DISK, device) : NULL;
    if (!row)
        return false;
    set_tags(row, point);
    set_fields(row, point);
    return true;
}

static bool take_vcpu(Reading *reading, const LinePoint *point, gint64 time_ns)
{
    const char *number = tag(point, "vcpu");
    if (!number || strlen(number) > 5 || number[strspn(number, "0123456789")])
        return false;
    VmSample *vm = vm_of_point(reading, point, time_ns);
    MetricRow *row = vm ? vcpu_row(reading, vm, (guint)g_ascii_strtoull(number, NULL, 10)) : NULL;
    if (row)
        set_fields(row, point);
    return row != NULL;
}

static bool take_event(Reading *reading, const LinePoint *point, gint64 time_ns)
{
    guint64 vm_id;
    if (!line_point_vm_id(point, &vm_id))
        return false;
    VmEvent *event = vm_event_new(EVENT_OPENNEBULA, vm_id, time_ns);
    const char *name = text_field(point, "vm_name");
    event->host = g_strdup(tag(point, "host"));
    event->state = g_strdup(tag(point, "state"));
    event->lcm_state = g_strdup(tag(point, "lcm_state"));
    event->vm_name = g_strdup(name ? name : text_field(point, "name"));
    event->owner = g_strdup(text_field(point, "owner"));
    event->previous_state = g_strdup(text_field(point, "previous_state"));
    event->previous_lcm_state = g_strdup(text_field(point, "previous_lcm_state"));
    event->reason = g_strdup(text_field(point, "reason"));
    event->gname = g_strdup(text_field(point, "gname"));
    g_ptr_array_add(reading->read->events, event);
    reading->things++;
    return true;
}

static MetricRow *sink_row(Reading *reading, Sample *sample, const char *name)
{
    for (guint i = 0; i < sample->sinks->len; i++) {
        SinkSample *sink = g_ptr_array_index(sample->sinks, i);
        if (strcmp(sink->name, name) == 0)
            return sink->row;
    }
    if (sample->sinks->len >= LINE_SINKS_MAX)
        return NULL;
    reading->things++;
    return sample_add_sink(sample, name);
}

static bool take_host(Reading *reading, const LinePoint *point, gint64 time_ns)
{
    const char *host = tag(point, "host"), *name = tag(point, "sink");
    if (!host)
        return false;
    Sample *sample = sample_of(reading, host, time_ns);
    MetricRow *row = name ? sink_row(reading, sample, name) : sample->row;
    if (row)
        set_fields(row, point);
    return row != NULL;
}

static const struct {
    const char *measurement;
    TakePoint take;
} series[] = {
    {"vm_totals", take_totals}, {"vm_devices", take_device}, {"vm_vcpus", take_vcpu},
    {"vm_info", take_totals},   {"vm_events", take_event},   {"host_totals", take_host},
};

static bool take_point(Reading *reading, const LinePoint *point, gint64 time_ns)
{
    for (guint i = 0; i < G_N_ELEMENTS(series); i++)
        if (strcmp(series[i].measurement, point->measurement) == 0)
            return series[i].take(reading, point, time_ns);
    return false;
}

/* --- lines --- */

static void refuse(Reading *reading, const LineReader *reader, const char *message)
{
    LineSamples *read = reading->read;
    read->refused++;
    if (read->refusals->len >= LINE_REFUSALS_MAX)
        return;
    gsize length;
    const char *raw = line_reader_raw(reader, &length);
    LineRefusal *refusal = g_new(LineRefusal, 1);
    refusal->line = line_reader_line(reader);
    refusal->message = g_strdup(message);
    refusal->original = g_utf8_make_valid(raw, (gssize)MIN(length, LINE_ORIGINAL_MAX));
    g_ptr_array_add(read->refusals, refusal);
}

/* false: it does not fit into 64 bits of nanoseconds. */
bool line_time_ns(gint64 time, gint64 unit_ns, gint64 *ret_ns)
{
    if (unit_ns == 0) {
        unit_ns = time < TIME_SECONDS_BELOW ? 1000000000
                  : time < TIME_MS_BELOW    ? 1000000
                  : time < TIME_US_BELOW    ? 1000
                                            : 1;
    }
    if (time < 0 || time > LINE_TIME_MAX_NS / unit_ns)
        return false;
    *ret_ns = time * unit_ns;
    return true;
}

static void take_line(Reading *reading, const LineReader *reader, const LinePoint *point)
{
    gint64 time_ns = reading->now_ns;
    if (point->has_time && !line_time_ns(point->time, reading->unit_ns, &time_ns)) {
        g_autofree char *message = g_strdup_printf(
            "line %u: the time stamp is not between 1970 and 2200, in this precision", line_reader_line(reader));
        refuse(reading, reader, message);
        return;
    }
    reading->read->points++;
    if (!take_point(reading, point, time_ns))
        reading->read->foreign++;
}

static void refusal_free(gpointer data)
{
    LineRefusal *refusal = data;
    g_free(refusal->original);
    g_free(refusal->message);
    g_free(refusal);
}

LineSamples *line_samples_read(const char *text, gsize length, gint64 unit_ns, gint64 now_ns)
{
    LineSamples *read = g_new0(LineSamples, 1);
    read->samples = g_ptr_array_new_with_free_func((GDestroyNotify)sample_free);
    read->events = g_ptr_array_new_with_free_func((GDestroyNotify)vm_event_free);
    read->refusals = g_ptr_array_new_with_free_func(refusal_free);
    Reading reading = {
        .read = read,
        .samples = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .vms = g_hash_table_new_full(place_hash, place_equal, g_free, NULL),
        .rows = g_hash_table_new_full(part_hash, part_equal, part_free, NULL),
        .unit_ns = unit_ns,
        .now_ns = now_ns,
    };
    g_autoptr(LineReader) reader = line_reader_new(text, length);
    LineResult result;
    do {
        LinePoint point;
        g_autoptr(GError) error = NULL;
        result = line_reader_next(reader, &point, &error);
        if (result == LINE_POINT)
            take_line(&reading, reader, &point);
        else if (result == LINE_BAD)
            refuse(&reading, reader, error->message);
        read->too_many = reading.things > LINE_THINGS_MAX;
    } while (result != LINE_END && !read->too_many);
    g_hash_table_unref(reading.samples);
    g_hash_table_unref(reading.vms);
    g_hash_table_unref(reading.rows);
    return read;
}

void line_samples_free(LineSamples *read)
{
    if (!read)
        return;
    g_ptr_array_unref(read->samples);
    g_ptr_array_unref(read->events);
    g_ptr_array_unref(read->refusals);
    g_free(read);
}

bool line_samples_is_whole(const Sample *sample)
{
    return sample->row->present[0] || sample->row->present[1];
}
