/* SPDX-License-Identifier: Apache-2.0
 * The latest sample of every VM, who saw it and when. In memory, thread-safe, no I/O, no clock: every call is told the
 * time. */
#pragma once

#include "store/hosts.h"

typedef struct {
    gint64 stale_after_ms;  /* figures older than this are stale */
    gint64 gone_after_ms;   /* a VM nobody has spoken of for so long leaves the live list */
    gint64 forget_after_ms; /* one that ended, or has gone, so long ago is forgotten */
    guint max_vms;          /* more are refused, and counted */
    gint64 failure_ms;      /* how long a collection that fails may take to say so */
} StoreOptions;

/* What a VM's figures are worth now:
 * OK             fresh and complete
 * WARMING_UP     fresh, but the first sample: no rates yet
 * STALE          older than stale_after, or its collector fails: the last figures stand, with their age
 * MISSING        it runs (its host's list, or OpenNebula, says so), but no figures have ever come */
typedef enum { TELEMETRY_OK, TELEMETRY_WARMING_UP, TELEMETRY_STALE, TELEMETRY_MISSING } Telemetry;
const char *telemetry_name(Telemetry telemetry); /* "ok", "warming_up", "stale", "missing" */

typedef struct {
    const VmRecord *record; /* a reference */
    Telemetry telemetry;
    gint64 age_ms; /* of the figures; 0 where there are none */
} VmView;

typedef struct Store Store;

Store *store_new(const StoreOptions *options);
void store_free(Store *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Store, store_free)
void store_set_options(Store *store, const StoreOptions *options);

/* What a sample or event did. Owned by the caller. */
typedef struct {
    GPtrArray *taken;  /* of VmRecord: newly published, with figures that are new */
    GPtrArray *late;   /* of VmRecord, never published: figures older than what is there, for the history alone */
    GPtrArray *pieces; /* of VmRecord: named ones to which a further piece of their collection has brought figures */
    GPtrArray *named;  /* of VmRecord: published with other texts, host or devices, but with no new figures */
    GPtrArray *ended;  /* of VmRecord: published as ended now */
    GPtrArray *events; /* of VmEvent: seen (appeared, moved, ended, other state), and OpenNebula's that was new */
    bool aged;         /* by a tick: figures got stale, or are so no longer */
    guint refused;     /* VMs above max_vms */
    guint doubled;     /* VMs that another source speaks for: nothing was done */
} StoreChange;
void store_change_free(StoreChange *change);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StoreChange, store_change_free)

/* Takes over the sample: finished and derived from our collector, or as line_samples_read made it. `origin` names who
 * speaks: the libvirt URI of a collector, else NULL. `whole`: its VMs are all that the host has, so those that are not
 * in it have ended: at once where our collector says so; by probes' word when two collections of the host went by
 * without the VM (what comes over HTTP may come in pieces and out of order); never while the host says that it misses
 * figures of some (METRIC_HOST_MISSING).
 * - of the same time: what it has is added to what is there (pieces of one collection);
 * - older: late. A point without figures (vm_info) adds its texts, whatever its time;
 * - texts that OpenNebula's state hook tells go before those of the domain's metadata; they list nobody, and of two the
 *   later is believed;
 * - rates that the sender did not send are derived from the two samples;
 * - of two hosts the one where it runs is believed, between two that both say so the newer sample;
 * - what our collector says within the last stale_after goes before what probes say of the same VM, texts excepted:
 *   nothing is counted twice. */
StoreChange *store_take(Store *store, Sample *sample, StoreSource source, const char *origin, bool whole,
                        StoreClock now);

/* OpenNebula's word of a state change: the same event twice is one. A VM it ends leaves the live list, one that it says
 * runs is listed; an event older than the VM's last figures changes its names and OpenNebula's states
 * alone, one older than the last event nothing. Times are compared in whole seconds, as OpenNebula has them. Does not
 * take over. */
StoreChange *store_take_event(Store *store, const VmEvent *event, StoreClock now);

/* The collector of that origin can't see its VMs: until its next sample they are stale, and none of them goes by
 * gone_after, nor does one that is known from before a restart and may be its. Called with each collection that fails.
 * true: figures of a VM got stale by it. */
bool store_origin_failed(Store *store, const char *origin, StoreClock now);
/* The collectors are started, stopped or others: which of them fail will be heard anew. */
void store_origins_anew(Store *store);

/* Once a second: moves on what only time changes. true: something did. */
bool store_tick(Store *store, StoreClock now, StoreChange **ret_change);

/* Grows with every change that a reader can see, ages excepted. */
guint64 store_version(Store *store);

typedef enum { STORE_LIVE, STORE_ALL } StoreWhich;
/* Of VmView, sorted by vm_id; freed with g_array_unref, which gives the references back. */
GArray *store_list(Store *store, StoreWhich which, StoreClock now);
/* false: never seen. The caller unrefs view.record. */
bool store_find(Store *store, guint64 vm_id, StoreClock now, VmView *ret_view);

/* A VM known from before a restart: listed as what it was, its figures missing until they come. */
void store_restore(Store *store, VmRecord *record, StoreClock now);

GPtrArray *store_hosts(Store *store, StoreClock now); /* of HostView, by name */

/* The last events, newest first, of one VM (EVENTS_OF_ALL), at most `most`. Of VmEvent. The store keeps
 * STORE_EVENTS_MAX. */
#define STORE_EVENTS_MAX 10000
GPtrArray *store_events(Store *store, guint64 vm_id, guint most);
void store_restore_event(Store *store, const VmEvent *event); /* at start, oldest first, after the VMs */
