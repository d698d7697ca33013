/* SPDX-License-Identifier: Apache-2.0
 * The built-in collector: what the probe does, in a loop, for a list of libvirt URIs, each in a thread of its own. A
 * connection that died is made anew at the next tick. */
#pragma once

#include "gather/collect.h"

#define COLLECTOR_ERROR collector_error_quark()
GQuark collector_error_quark(void); /* one code: calls that were left behind hold too many threads */

/* A sample (finished and derived), from one of the collector's threads; it stays the collector's. `previous`: the one
 * before, NULL none. */
typedef void (*CollectorTake)(const char *uri, Sample *sample, const Sample *previous, gpointer data);
typedef void (*CollectorFail)(const char *uri, const GError *error, gpointer data);

typedef struct {
    const HypervisorApi *api;
    const char *const *uris; /* NULL-terminated */
    const char *host; /* name for the local URIs' samples; of remote ones it is the URI's host. "": the machine's */
    gint64 interval_ms;
    gint64 monitor_ms;  /* between two collections that ask QEMU's monitor; at most interval_ms: all do */
    bool libvirt_alone; /* it serves all figures each time; else the kernel serves those of local guests, and what
                           hardly changes is read every slow_ms */
    gint64 slow_ms;
    gint64 deadline_ms;
    guint workers;
    CollectorTake take;
    CollectorFail fail;
    gpointer data;
} CollectorOptions;

typedef struct Collector Collector;

/* Not running yet; copies the options. */
Collector *collector_new(const CollectorOptions *options);
void collector_free(Collector *collector); /* stops it, waiting no longer than the deadline */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Collector, collector_free)

bool collector_start(Collector *collector); /* false: it runs already. After many stops within one deadline it waits */
bool collector_stop(
    Collector *collector); /* false: it does not run. Returns at once; a collection under way is not taken */
bool collector_is_running(Collector *collector);

typedef struct {
    char *uri;
    bool ok;        /* the last collection went well */
    char *error;    /* of the last that did not; NULL none since the last that did */
    gint64 last_ns; /* realtime of the last that did; 0 never */
    guint vms;
    guint left_out; /* domains whose name is not one-<number> */
    double collect_ms;
    guint64 collections, errors;
} CollectorUri;

typedef struct {
    bool running;
    gint64 started_ns; /* realtime; 0: not running */
    guint64 collections, errors;
    gint64 last_ns;
    GPtrArray *uris; /* of CollectorUri */
} CollectorStatus;
void collector_status(Collector *collector, CollectorStatus *ret_status);
void collector_status_clear(CollectorStatus *status);
