/* SPDX-License-Identifier: Apache-2.0
 * The JSON that the API answers, from what the store has. Pure. */
#pragma once

#include "encode/json_writer.h"
#include "serve/body.h"
#include "store/store.h"

/* r45: the change per second that shows as 45 degrees (design §8). */
typedef struct {
    double degrees_percent; /* percentage points per second */
    double degrees_bytes;   /* bytes per second */
} AnswerOptions;

/* atan(rate / r45) in degrees, signed, -90..90. */
double answer_degrees(double rate, double r45);

/* {"count","timestamp","vms":[…]} with the shape of design §8. `views`: of VmView, live ones. */
void answer_vm_telemetry(BodyWriter *out, const GArray *views, const AnswerOptions *options, gint64 now_ns);
/* What a VM of it has besides, under the metric's JSON name, where it is known: no old client asks for it. */
#define ANSWER_MORE 8
extern const Metric answer_more[ANSWER_MORE];
/* One VM of it, for the stream too. */
void answer_append_vm(JsonWriter *json, const VmView *view, const AnswerOptions *options);
/* {"count","source","vms":[…]}; source "libvirt" where our collector speaks for all, else "probes". */
void answer_live_vms(BodyWriter *out, const GArray *views);
/* {"count","source","last_collection","vms":[{id,vm_id,name,uuid,host,source,last_seen}]}; `views`: all. */
void answer_monitored_vms(BodyWriter *out, const GArray *views);
/* {"vm_id","metrics":{names of vm_totals}, …, "nics","disks","vcpus"}. Text owned by the caller; likewise the rest. */
GString *answer_vm_stats(const VmView *view);
void answer_append_event(JsonWriter *json, const VmEvent *event);
/* {"count","events":[…]} of VmEvent */
GString *answer_events(const GPtrArray *events);
