/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/answers.h"

#include "base/text.h"
#include "encode/json.h"

#include <math.h>

#define MS_PER_S 1000.0

double answer_degrees(double rate, double r45)
{
    return atan(rate / r45) * (180.0 / G_PI);
}

/* Degrees and rates need no more; and these are cheap to print. */
static double rounded(double value)
{
    return round(value * 1000) / 1000;
}

/* --- one figure --- */

typedef struct {
    JsonWriter *json;
    const VmView *view;
    const MetricRow *row, *known; /* as in VmRecord */
    GString *missing;             /* names of figures that are not known, as JSON; NULL: nobody asks */
} Writer;

static void miss(Writer *w, const char *name)
{
    if (!w->missing)
        return;
    g_string_append(w->missing, w->missing->len ? ",\"" : "\"");
    g_string_append(w->missing, name);
    g_string_append_c(w->missing, '"');
}

static const MetricRow *row_with(const Writer *w, Metric m)
{
    if (row_has(w->row, m))
        return w->row;
    return w->known && row_has(w->known, m) ? w->known : NULL;
}

/* 0 and missing where it is not known. */
static void figure(Writer *w, Metric m, const char *name)
{
    const MetricRow *row = row_with(w, m);
    if (!row)
        miss(w, name);
    if (metric_info[m].kind == KIND_REAL)
        json_real_member(w->json, name, row ? row_real(row, m) : 0);
    else
        json_u64_member(w->json, name, row ? row_u64(row, m) : 0);
}

static void text(Writer *w, Metric m, const char *name)
{
    const MetricRow *row = row_with(w, m);
    if (!row)
        miss(w, name);
    json_text_member(w->json, name, row ? row_text(row, m) : "");
}

static void figure_if_known(Writer *w, Metric m, const char *name)
{
    if (row_with(w, m))
        figure(w, m, name);
}

static void rate(Writer *w, bool is_known, double value, double r45, const char *degrees_name)
{
    if (!is_known)
        miss(w, degrees_name);
    json_real_member(w->json, degrees_name, is_known ? rounded(answer_degrees(value, r45)) : 0);
}

static void change(Writer *w, bool is_known, double value, const char *name)
{
    if (!is_known)
        miss(w, name);
    json_real_member(w->json, name, is_known ? rounded(value) : 0);
}

/* --- a VM --- */

static Writer writer_of(JsonWriter *json, const VmView *view, GString *missing)
{
    const VmRecord *record = view->record;
    return (Writer){.json = json, .view = view, .row = record->sample->row, .known = record->known, .missing = missing};
}

/* What OpenNebula's events have told. */
static void one_states(Writer *w)
{
    const VmRecord *record = w->view->record;
    if (record->one_state)
        json_text_member(w->json, "one_state", record->one_state);
    if (record->one_lcm_state)
        json_text_member(w->json, "one_lcm_state", record->one_lcm_state);
}

static void identity(Writer *w)
{
    const VmRecord *record = w->view->record;
    const gint64 id = record->sample->domain_id;
    if (id < 0)
        miss(w, "id");
    json_u64_member(w->json, "id", id < 0 ? 0 : (guint64)id);
    json_u64_member(w->json, "vm_id", record->vm_id);
    json_text_member(w->json, "name", record->name);
    text(w, METRIC_VM_VM_NAME, "vm_name");
    json_text_member(w->json, "uuid", record->uuid ? record->uuid : "");
    json_text_member(w->json, "host", record->host ? record->host : "");
    json_text_member(w->json, "state", json_state_text(record->sample->row));
    figure(w, METRIC_VM_VCPUS, "cpu_count");
    figure(w, METRIC_VM_MEMORY_MAX, "memory_max");
    figure(w, METRIC_VM_MEMORY_USED, "memory_used");
    figure(w, METRIC_VM_CPU_TIME, "cputime");
    text(w, METRIC_VM_UNAME, "uname");
    text(w, METRIC_VM_GNAME, "gname");
    one_states(w);
}

static const struct {
    Metric metric;
    const char *rate_name;
} byte_rates[] = {
    {METRIC_VM_DISK_RD_BYTES_RATE, "disk_read_rate"},
    {METRIC_VM_DISK_WR_BYTES_RATE, "disk_write_rate"},
    {METRIC_VM_NET_RX_BYTES_RATE, "network_rx_rate"},
    {METRIC_VM_NET_TX_BYTES_RATE, "network_tx_rate"},
};

static void rates(Writer *w, const AnswerOptions *options)
{
    const VmRecord *record = w->view->record;
    rate(w, record->has_cpu_change, record->cpu_change, options->degrees_percent, "cpu_rate");
    rate(w, record->has_memory_change, record->memory_change, options->degrees_percent, "memory_rate");
    for (guint i = 0; i < G_N_ELEMENTS(byte_rates); i++)
        rate(w, row_has(w->row, byte_rates[i].metric), row_real(w->row, byte_rates[i].metric), options->degrees_bytes,
             byte_rates[i].rate_name);
    change(w, record->has_cpu_change, record->cpu_change, "cpu_per_sec");
    change(w, record->has_memory_change, record->memory_change, "memory_per_sec");
    for (guint i = 0; i < G_N_ELEMENTS(byte_rates); i++)
        figure(w, byte_rates[i].metric, metric_info[byte_rates[i].metric].json);
}

const Metric answer_more[ANSWER_MORE] = {
    METRIC_VM_CPU_STEAL_PERCENT, METRIC_VM_DISK_RD_LATENCY,   METRIC_VM_DISK_WR_LATENCY,   METRIC_VM_DISK_RD_REQS_RATE,
    METRIC_VM_DISK_WR_REQS_RATE, METRIC_VM_NET_RX_DROPS_RATE, METRIC_VM_NET_TX_DROPS_RATE, METRIC_VM_LOCKED,
};

static void telemetry_members(Writer *w)
{
    json_text_member(w->json, "telemetry", telemetry_name(w->view->telemetry));
    json_real_member(w->json, "sample_age_seconds", rounded((double)w->view->age_ms / MS_PER_S));
}

void answer_append_vm(JsonWriter *json, const VmView *view, const AnswerOptions *options)
{
    g_autoptr(GString) missing = g_string_new(NULL);
    Writer w = writer_of(json, view, missing);
    json_begin(json, '{');
    identity(&w);
    figure(&w, METRIC_VM_CPU_USAGE_PERCENT, "cpu_usage_percent");
    figure(&w, METRIC_VM_MEMORY_USAGE_PERCENT, "memory_usage_percent");
    figure(&w, METRIC_VM_DISK_RD_BYTES, "disk_read_bytes");
    figure(&w, METRIC_VM_DISK_WR_BYTES, "disk_write_bytes");
    figure(&w, METRIC_VM_NET_RX_BYTES, "network_rx_bytes");
    figure(&w, METRIC_VM_NET_TX_BYTES, "network_tx_bytes");
    rates(&w, options);
    text(&w, METRIC_VM_MEMORY_SOURCE, "memory_source");
    for (guint i = 0; i < ANSWER_MORE; i++)
        figure_if_known(&w, answer_more[i], metric_info[answer_more[i]].json);
    telemetry_members(&w);
    json_text_member(json, "source", store_source_name(view->record->source));
    json_next_member(json, "missing");
    json_begin(json, '[');
    g_string_append_len(json->out, missing->str, (gssize)missing->len);
    json_end(json, ']');
    json_end(json, '}');
}

/* --- lists --- */

static const VmView *view_at(const GArray *views, guint i)
{
    return &g_array_index(views, VmView, i);
}

/* "libvirt" where our collector speaks for all of them. */
static const char *source_of(const GArray *views)
{
    for (guint i = 0; i < views->len; i++)
        if (view_at(views, i)->record->source != SOURCE_COLLECTOR)
            return store_source_name(SOURCE_PROBES);
    return store_source_name(SOURCE_COLLECTOR);
}

static JsonWriter begin_list(GString *out, guint count)
{
    JsonWriter json = {.out = out};
    json_begin(&json, '{');
    json_u64_member(&json, "count", count);
    return json;
}

static void end_list(JsonWriter *json)
{
    json_end(json, ']');
    json_end(json, '}');
    g_string_append_c(json->out, '\n');
}

static void begin_vms(JsonWriter *json)
{
    json_next_member(json, "vms");
    json_begin(json, '[');
}

void answer_vm_telemetry(BodyWriter *out, const GArray *views, const AnswerOptions *options, gint64 now_ns)
{
    JsonWriter json = begin_list(out->text, views->len);
    json_time_member(&json, "timestamp", now_ns);
    begin_vms(&json);
    for (guint i = 0; i < views->len; i++) {
        json_next_element(&json);
        answer_append_vm(&json, view_at(views, i), options);
        body_relieve(out);
    }
    end_list(&json);
}

void answer_live_vms(BodyWriter *out, const GArray *views)
{
    JsonWriter json = begin_list(out->text, views->len);
    json_text_member(&json, "source", source_of(views));
    begin_vms(&json);
    for (guint i = 0; i < views->len; i++) {
        Writer w = writer_of(&json, view_at(views, i), NULL);
        json_next_element(&json);
        json_begin(&json, '{');
        identity(&w);
        json_text_member(&json, "telemetry", telemetry_name(w.view->telemetry));
        json_end(&json, '}');
        body_relieve(out);
    }
    end_list(&json);
}

static gint64 last_collection_ns(const GArray *views)
{
    gint64 last = 0;
    for (guint i = 0; i < views->len; i++)
        last = MAX(last, view_at(views, i)->record->time_ns);
    return last;
}

static void monitored_vm(JsonWriter *json, const VmRecord *record)
{
    json_begin(json, '{');
    json_text_member(json, "id", record->name);
    json_u64_member(json, "vm_id", record->vm_id);
    json_text_member(json, "name", record->name);
    json_text_member(json, "uuid", record->uuid ? record->uuid : "");
    json_text_member(json, "host", record->host ? record->host : "");
    json_text_member(json, "source", store_source_name(record->source));
    json_time_member(json, "last_seen", record->last_seen_ns);
    json_bool_member(json, "live", record->ended_ns == 0);
    json_time_member(json, "ended", record->ended_ns);
    json_end(json, '}');
}

void answer_monitored_vms(BodyWriter *out, const GArray *views)
{
    const gint64 last = last_collection_ns(views);
    JsonWriter json = begin_list(out->text, views->len);
    json_text_member(&json, "source", source_of(views));
    if (last != 0)
        json_time_member(&json, "last_collection", last);
    else
        json_text_member(&json, "last_collection", "Never");
    begin_vms(&json);
    for (guint i = 0; i < views->len; i++) {
        json_next_element(&json);
        monitored_vm(&json, view_at(views, i)->record);
        body_relieve(out);
    }
    end_list(&json);
}

/* --- all of one VM --- */

/* The names that the endpoint of old always had, known or not. */
static const Metric always[] = {
    METRIC_VM_VCPUS,           METRIC_VM_CPU_TIME,     METRIC_VM_CPU_USER,         METRIC_VM_CPU_SYSTEM,
    METRIC_VM_BALLOON_CURRENT, METRIC_VM_MEMORY_RSS,   METRIC_VM_MEMORY_AVAILABLE, METRIC_VM_MEMORY_USABLE,
    METRIC_VM_DISK_CACHE,      METRIC_VM_SWAP_IN,      METRIC_VM_SWAP_OUT,         METRIC_VM_MAJOR_FAULT,
    METRIC_VM_MINOR_FAULT,     METRIC_VM_NET_RX_BYTES, METRIC_VM_NET_RX_PACKETS,   METRIC_VM_NET_RX_ERRORS,
    METRIC_VM_NET_RX_DROPS,    METRIC_VM_NET_TX_BYTES, METRIC_VM_NET_TX_PACKETS,   METRIC_VM_NET_TX_ERRORS,
    METRIC_VM_NET_TX_DROPS,    METRIC_VM_DISK_RD_REQS, METRIC_VM_DISK_RD_BYTES,    METRIC_VM_DISK_WR_REQS,
    METRIC_VM_DISK_WR_BYTES,   METRIC_VM_DISK_ERRORS,
};

static bool is_always(Metric m)
{
    for (guint i = 0; i < G_N_ELEMENTS(always); i++)
        if (always[i] == m)
            return true;
    return false;
}

static void metrics_member(Writer *w)
{
    guint64 code;
    json_next_member(w->json, "metrics");
    json_begin(w->json, '{');
    json_text_member(w->json, "state", json_state_text(w->row));
    if (row_get_u64(w->row, METRIC_VM_STATE, &code))
        json_u64_member(w->json, "state_code", code);
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        const char *name = metric_info[m].line;
        if (!name || m == METRIC_VM_STATE || !(is_always(m) || row_with(w, m)))
            continue;
        if (metric_info[m].kind == KIND_TEXT)
            text(w, m, name);
        else
            figure(w, m, name);
    }
    json_end(w->json, '}');
}

GString *answer_vm_stats(const VmView *view)
{
    g_autoptr(GString) missing = g_string_new(NULL);
    const VmRecord *record = view->record;
    JsonWriter json = {.out = g_string_new(NULL)};
    Writer w = writer_of(&json, view, missing);
    json_begin(&json, '{');
    json_u64_member(&json, "vm_id", record->vm_id);
    json_text_member(&json, "name", record->name);
    json_text_member(&json, "uuid", record->uuid ? record->uuid : "");
    json_text_member(&json, "host", record->host ? record->host : "");
    one_states(&w);
    metrics_member(&w);
    telemetry_members(&w);
    json_text_member(&json, "source", store_source_name(record->source));
    json_time_member(&json, "timestamp", record->time_ns);
    json_time_member(&json, "first_seen", record->first_seen_ns);
    json_time_member(&json, "last_seen", record->last_seen_ns);
    json_time_member(&json, "ended", record->ended_ns);
    json_devices_member(&json, "nics", record->sample->nics);
    json_devices_member(&json, "disks", record->sample->disks);
    json_devices_member(&json, "vcpus", record->sample->vcpus);
    json_next_member(&json, "missing");
    json_begin(&json, '[');
    g_string_append_len(json.out, missing->str, (gssize)missing->len);
    json_end(&json, ']');
    json_end(&json, '}');
    g_string_append_c(json.out, '\n');
    return json.out;
}

/* --- events --- */

void answer_append_event(JsonWriter *json, const VmEvent *event)
{
    json_begin(json, '{');
    json_time_member(json, "time", event->time_ns);
    json_u64_member(json, "vm_id", event->vm_id);
    json_text_member(json, "source", event->source == EVENT_OPENNEBULA ? "opennebula" : "seen");
    json_text_or_null_member(json, "host", event->host);
    json_text_or_null_member(json, "state", vm_event_state_word(event->state));
    json_text_or_null_member(json, "lcm_state", vm_event_lcm_state_word(event->lcm_state));
    json_text_or_null_member(json, "vm_name", event->vm_name);
    json_text_or_null_member(json, "owner", event->owner);
    json_text_or_null_member(json, "previous_state", vm_event_state_word(event->previous_state));
    json_text_or_null_member(json, "previous_lcm_state", vm_event_lcm_state_word(event->previous_lcm_state));
    json_text_or_null_member(json, "reason", event->reason);
    json_end(json, '}');
}

GString *answer_events(const GPtrArray *events)
{
    GString *text = g_string_new(NULL);
    JsonWriter json = begin_list(text, events->len);
    json_next_member(&json, "events");
    json_begin(&json, '[');
    for (guint i = 0; i < events->len; i++) {
        json_next_element(&json);
        answer_append_event(&json, g_ptr_array_index(events, i));
    }
    end_list(&json);
    return text;
}
