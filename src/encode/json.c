/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/json.h"

#include "base/text.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)
#define NS_PER_MS G_GINT64_CONSTANT(1000000)

void json_append_string(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    gunichar c;
    while ((c = text_next(&text)) != 0) {
        if (c == '"' || c == '\\')
            g_string_append_c(out, '\\');
        if (c == '\n')
            g_string_append(out, "\\n");
        else if (c == '\t')
            g_string_append(out, "\\t");
        else if (c < 0x20)
            g_string_append_printf(out, "\\u%04x", c);
        else
            text_append_char(out, c);
    }
    g_string_append_c(out, '"');
}

char *json_timestamp(gint64 realtime_ns)
{
    gint64 seconds = realtime_ns / NS_PER_S, rest = realtime_ns % NS_PER_S;
    if (rest < 0) {
        seconds--;
        rest += NS_PER_S;
    }
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(seconds);
    g_autofree char *date = g_date_time_format(time, "%Y-%m-%dT%H:%M:%S");
    return g_strdup_printf("%s.%03dZ", date, (int)(rest / NS_PER_MS));
}

/* --- layout --- */

typedef struct {
    GString *out;
    bool pretty;
    guint depth;
    bool first; /* nothing was written yet in the innermost object or array */
} Json;

static void new_line(Json *json)
{
    if (!json->pretty)
        return;
    g_string_append_c(json->out, '\n');
    for (guint i = 0; i < json->depth; i++)
        g_string_append(json->out, "  ");
}

static void next_element(Json *json)
{
    if (!json->first)
        g_string_append_c(json->out, ',');
    json->first = false;
    new_line(json);
}

/* Names are our own, from the code and from metrics.def: they need no escape. */
static void next_member(Json *json, const char *name)
{
    next_element(json);
    g_string_append_c(json->out, '"');
    g_string_append(json->out, name);
    g_string_append(json->out, json->pretty ? "\": " : "\":");
}

static void begin(Json *json, char bracket)
{
    g_string_append_c(json->out, bracket);
    json->depth++;
    json->first = true;
}

static void end(Json *json, char bracket)
{
    json->depth--;
    if (!json->first)
        new_line(json);
    json->first = false;
    g_string_append_c(json->out, bracket);
}

static void text_member(Json *json, const char *name, const char *text)
{
    if (!text)
        return;
    next_member(json, name);
    json_append_string(json->out, text);
}

static void number_member(Json *json, const char *name, guint64 value)
{
    next_member(json, name);
    text_append_u64(json->out, value);
}

/* --- a sample --- */

static void row_members(Json *json, const MetricRow *row)
{
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        const MetricInfo *info = &metric_info[m];
        if (!info->json || !row_has(row, m))
            continue;
        switch (info->kind) {
        case KIND_REAL:
            next_member(json, info->json);
            text_append_real(json->out, row_real(row, m));
            break;
        case KIND_TEXT:
            text_member(json, info->json, row_text(row, m));
            break;
        default:
            number_member(json, info->json, row_u64(row, m));
        }
    }
}

static void device_members(Json *json, const char *name, const GPtrArray *rows)
{
    next_member(json, name);
    begin(json, '[');
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *row = g_ptr_array_index(rows, i);
        if (row->scope != SCOPE_VCPU && !row_device_name(row))
            continue;
        next_element(json);
        begin(json, '{');
        if (row->scope == SCOPE_VCPU)
            number_member(json, "vcpu", row->index);
        row_members(json, row);
        end(json, '}');
    }
    end(json, ']');
}

/* virDomainState, in the words that dashboards of this family know. */
static const char *state_text(const MetricRow *row)
{
    static const char *const words[] = {"no state", "running", "blocked", "paused",
                                        "shutdown", "shutoff", "crashed", "suspended"};
    guint64 state;
    if (!row_get_u64(row, METRIC_VM_STATE, &state) || state >= G_N_ELEMENTS(words))
        return "unknown";
    return words[state];
}

static void vm_object(Json *json, const Sample *sample, const VmSample *vm)
{
    begin(json, '{');
    if (vm->domain_id >= 0)
        number_member(json, "id", (guint64)vm->domain_id);
    number_member(json, "vm_id", vm->vm_id);
    text_member(json, "name", vm->name);
    text_member(json, "uuid", vm->uuid);
    text_member(json, "host", sample->host);
    text_member(json, "state", state_text(vm->row));
    row_members(json, vm->row);
    device_members(json, "nics", vm->nics);
    device_members(json, "disks", vm->disks);
    device_members(json, "vcpus", vm->vcpus);
    end(json, '}');
}

static void sinks_member(Json *json, const GPtrArray *sinks)
{
    if (sinks->len == 0)
        return;
    next_member(json, "sinks");
    begin(json, '[');
    for (guint i = 0; i < sinks->len; i++) {
        const SinkSample *sink = g_ptr_array_index(sinks, i);
        next_element(json);
        begin(json, '{');
        text_member(json, "name", sink->name);
        row_members(json, sink->row);
        end(json, '}');
    }
    end(json, ']');
}

GString *json_write(const Sample *sample, bool pretty)
{
    Json json = {.out = g_string_new(NULL), .pretty = pretty};
    begin(&json, '{');
    number_member(&json, "count", sample->vms->len);
    if (sample->realtime_ns != 0) {
        g_autofree char *time = json_timestamp(sample->realtime_ns);
        text_member(&json, "timestamp", time);
    }
    text_member(&json, "host", sample->host);
    next_member(&json, "host_figures");
    begin(&json, '{');
    row_members(&json, sample->row);
    end(&json, '}');
    sinks_member(&json, sample->sinks);
    next_member(&json, "vms");
    begin(&json, '[');
    for (guint i = 0; i < sample->vms->len; i++) {
        next_element(&json);
        vm_object(&json, sample, g_ptr_array_index(sample->vms, i));
    }
    end(&json, ']');
    end(&json, '}');
    g_string_append_c(json.out, '\n');
    return json.out;
}
