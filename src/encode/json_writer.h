/* SPDX-License-Identifier: Apache-2.0
 * Writes JSON piece by piece into one buffer. Pure. */
#pragma once

#include "model/sample.h"

typedef struct {
    GString *out;
    bool pretty; /* indented by two */
    guint depth;
    bool first; /* nothing was written yet in the innermost object or array */
} JsonWriter;

void json_begin(JsonWriter *json, char bracket); /* { or [ */
void json_end(JsonWriter *json, char bracket);
void json_next_element(JsonWriter *json);
void json_next_member(JsonWriter *json, const char *name); /* our own names: they need no escape */

void json_text_member(JsonWriter *json, const char *name, const char *text); /* NULL: left out */
void json_text_or_null_member(JsonWriter *json, const char *name, const char *text);
void json_u64_member(JsonWriter *json, const char *name, guint64 value);
void json_i64_member(JsonWriter *json, const char *name, gint64 value);
void json_real_member(JsonWriter *json, const char *name, double value); /* not finite: null */
void json_append_real(GString *out, double value);                       /* likewise */
void json_bool_member(JsonWriter *json, const char *name, bool value);
void json_time_member(JsonWriter *json, const char *name, gint64 realtime_ns); /* 0: null */

/* What the row has, under the metrics' JSON names. */
void json_row_members(JsonWriter *json, const MetricRow *row);
/* "name": [ {…}, … ] of NICs, disks or vCPUs. */
void json_devices_member(JsonWriter *json, const char *name, const GPtrArray *rows);
/* virDomainState, in the words that dashboards of this family know: "running" …, "unknown". */
const char *json_state_text(const MetricRow *row);
