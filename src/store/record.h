/* SPDX-License-Identifier: Apache-2.0
 * What is known of one VM at a moment. Once it is published nobody changes it: who wants to read holds a reference, and
 * the next sample makes the next record. */
#pragma once

#include "model/event.h"
#include "model/sample.h"

typedef enum {
    SOURCE_PROBES,    /* line protocol that came in: probes' forwarders, Telegraf, curl */
    SOURCE_COLLECTOR, /* our own collector */
    N_SOURCES
} StoreSource;

const char *store_source_name(StoreSource source); /* "probes", "libvirt": as the API says it */

typedef struct {
    gint references;
    guint64 vm_id;
    char *name; /* "one-83" */
    char *uuid; /* NULL unknown; likewise the next */
    char *host; /* where it runs, or was last seen */
    StoreSource source;
    VmSample *sample; /* latest figures; never NULL, its row may be empty: none have come yet */
    MetricRow *known; /* its last figures of which `sample` has none now, as it is locked, or they were not read anew;
                         NULL: none */
    gint64 time_ns;   /* realtime of these figures; 0: there are none */
    bool complete;    /* not the first sample of this run of the domain, or its sender knew the rates already */
    /* Changes per second of percentages between the last two samples, in percentage points; absent on the first. */
    bool has_cpu_change, has_memory_change;
    double cpu_change, memory_change;
    gint64 first_seen_ns, last_seen_ns; /* realtime */
    gint64 ended_ns;                    /* realtime; 0: it runs, as far as we know */
    char *one_state, *one_lcm_state;    /* of the last event of OpenNebula's; NULL: none came */
} VmRecord;

VmRecord *vm_record_new(guint64 vm_id, VmSample *sample); /* takes the sample over; one reference */
VmRecord *vm_record_ref(const VmRecord *record);
void vm_record_unref(const VmRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmRecord, vm_record_unref)

/* A deep copy to be changed before it is published; one reference. */
VmRecord *vm_record_copy(const VmRecord *record);
