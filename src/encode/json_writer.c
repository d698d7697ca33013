/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/json_writer.h"

#include "base/text.h"
#include "encode/json.h"

#include <math.h>

/* --- layout --- */

static void new_line(JsonWriter *json)
{
    if (!json->pretty)
        return;
    g_string_append_c(json->out, '\n');
    for (guint i = 0; i < json->depth; i++)
        g_string_append(json->out, "  ");
}

void json_next_element(JsonWriter *json)
{
    if (!json->first)
        g_string_append_c(json->out, ',');
    json->first = false;
    new_line(json);
}

void json_next_member(JsonWriter *json, const char *name)
{
    json_next_element(json);
    g_string_append_c(json->out, '"');
    g_string_append(json->out, name);
    g_string_append(json->out, json->pretty ? "\": " : "\":");
}

void json_begin(JsonWriter *json, char bracket)
{
    g_string_append_c(json->out, bracket);
    json->depth++;
    json->first = true;
}

void json_end(JsonWriter *json, char bracket)
{
    json->depth--;
    if (!json->first)
        new_line(json);
    json->first = false;
    g_string_append_c(json->out, bracket);
}

/* --- members --- */

void json_text_member(JsonWriter *json, const char *name, const char *text)
{
    if (!text)
        return;
    json_next_member(json, name);
    json_append_string(json->out, text);
}

void json_text_or_null_member(JsonWriter *json, const char *name, const char *text)
{
    json_next_member(json, name);
    if (text)
        json_append_string(json->out, text);
    else
        g_string_append(json->out, "null");
}

void json_u64_member(JsonWriter *json, const char *name, guint64 value)
{
    json_next_member(json, name);
    text_append_u64(json->out, value);
}

void json_i64_member(JsonWriter *json, const char *name, gint64 value)
{
    json_next_member(json, name);
    g_string_append_printf(json->out, "%" G_GINT64_FORMAT, value);
}

void json_append_real(GString *out, double value)
{
    if (isfinite(value))
        text_append_real(out, value);
    else
        g_string_append(out, "null");
}

void json_real_member(JsonWriter *json, const char *name, double value)
{
    json_next_member(json, name);
    json_append_real(json->out, value);
}

void json_bool_member(JsonWriter *json, const char *name, bool value)
{
    json_next_member(json, name);
    g_string_append(json->out, value ? "true" : "false");
}

void json_time_member(JsonWriter *json, const char *name, gint64 realtime_ns)
{
    g_autofree char *time = realtime_ns != 0 ? json_timestamp(realtime_ns) : NULL;
    json_text_or_null_member(json, name, time);
}

/* --- rows --- */

void json_row_members(JsonWriter *json, const MetricRow *row)
{
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        const MetricInfo *info = &metric_info[m];
        if (!info->json || !row_has(row, m))
            continue;
        switch (info->kind) {
        case KIND_REAL:
            json_real_member(json, info->json, row_real(row, m));
            break;
        case KIND_TEXT:
            json_text_member(json, info->json, row_text(row, m));
            break;
        default:
            json_u64_member(json, info->json, row_u64(row, m));
        }
    }
}

void json_devices_member(JsonWriter *json, const char *name, const GPtrArray *rows)
{
    json_next_member(json, name);
    json_begin(json, '[');
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *row = g_ptr_array_index(rows, i);
        if (row->scope != SCOPE_VCPU && !row_device_name(row))
            continue;
        json_next_element(json);
        json_begin(json, '{');
        if (row->scope == SCOPE_VCPU)
            json_u64_member(json, "vcpu", row->index);
        json_row_members(json, row);
        json_end(json, '}');
    }
    json_end(json, ']');
}

const char *json_state_text(const MetricRow *row)
{
    static const char *const words[] = {"no state", "running", "blocked", "paused",
                                        "shutdown", "shutoff", "crashed", "suspended"};
    guint64 state;
    if (!row_get_u64(row, METRIC_VM_STATE, &state) || state >= G_N_ELEMENTS(words))
        return "unknown";
    return words[state];
}
