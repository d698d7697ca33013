/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/json.h"

#include "base/text.h"
#include "encode/json_writer.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)
#define NS_PER_MS G_GINT64_CONSTANT(1000000)

/* Bytes that stand for themselves: of nearly all of our texts, all of them. */
static gsize plain_length(const char *text)
{
    const char *c = text;
    while (*c >= ' ' && *c < 0x7F && *c != '"' && *c != '\\')
        c++;
    return (gsize)(c - text);
}

static void append_escaped(GString *out, const char *text)
{
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
}

void json_append_string(GString *out, const char *text)
{
    const gsize plain = plain_length(text);
    g_string_append_c(out, '"');
    g_string_append_len(out, text, (gssize)plain);
    append_escaped(out, text + plain);
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

/* --- a sample --- */

static void vm_object(JsonWriter *json, const Sample *sample, const VmSample *vm)
{
    json_begin(json, '{');
    if (vm->domain_id >= 0)
        json_u64_member(json, "id", (guint64)vm->domain_id);
    json_u64_member(json, "vm_id", vm->vm_id);
    json_text_member(json, "name", vm->name);
    json_text_member(json, "uuid", vm->uuid);
    json_text_member(json, "host", sample->host);
    json_text_member(json, "state", json_state_text(vm->row));
    json_row_members(json, vm->row);
    json_devices_member(json, "nics", vm->nics);
    json_devices_member(json, "disks", vm->disks);
    json_devices_member(json, "vcpus", vm->vcpus);
    json_end(json, '}');
}

static void sinks_member(JsonWriter *json, const GPtrArray *sinks)
{
    if (sinks->len == 0)
        return;
    json_next_member(json, "sinks");
    json_begin(json, '[');
    for (guint i = 0; i < sinks->len; i++) {
        const SinkSample *sink = g_ptr_array_index(sinks, i);
        json_next_element(json);
        json_begin(json, '{');
        json_text_member(json, "name", sink->name);
        json_row_members(json, sink->row);
        json_end(json, '}');
    }
    json_end(json, ']');
}

GString *json_write(const Sample *sample, bool pretty)
{
    JsonWriter json = {.out = g_string_new(NULL), .pretty = pretty};
    json_begin(&json, '{');
    json_u64_member(&json, "count", sample->vms->len);
    if (sample->realtime_ns != 0) {
        g_autofree char *time = json_timestamp(sample->realtime_ns);
        json_text_member(&json, "timestamp", time);
    }
    json_text_member(&json, "host", sample->host);
    json_next_member(&json, "host_figures");
    json_begin(&json, '{');
    json_row_members(&json, sample->row);
    json_end(&json, '}');
    sinks_member(&json, sample->sinks);
    json_next_member(&json, "vms");
    json_begin(&json, '[');
    for (guint i = 0; i < sample->vms->len; i++) {
        json_next_element(&json);
        vm_object(&json, sample, g_ptr_array_index(sample->vms, i));
    }
    json_end(&json, ']');
    json_end(&json, '}');
    g_string_append_c(json.out, '\n');
    return json.out;
}
