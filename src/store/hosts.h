/* SPDX-License-Identifier: Apache-2.0
 * Who reports: each host, by the collector or by probes, and when it last did. Part of the store, which guards it. */
#pragma once

#include "store/record.h"

typedef struct {
    gint64 real_ns; /* CLOCK_REALTIME */
    gint64 mono_ns; /* CLOCK_MONOTONIC: ages are measured by it, so a jump of our own clock changes none */
} StoreClock;

/* One host as it last spoke. */
typedef struct {
    char *host, *origin; /* origin NULL: probes */
    StoreSource source;
    gint64 time_ns;     /* realtime of its last sample, by its own clock */
    gint64 received_ns; /* realtime when that came in, by ours */
    gint64 age_ms;
    bool stale;         /* older than stale_after */
    gint64 interval_ms; /* between its last two samples; 0 unknown */
    gint64 skew_ms;     /* least (received - time) of its last 16 samples: delay on the way, and how far its clock is
                           behind ours; negative: ahead */
    bool failing;       /* its collector */
    guint vms;          /* live ones */
    MetricRow *row;     /* SCOPE_HOST, as sent; never NULL */
    GPtrArray *sinks;   /* of SinkSample */
} HostView;
void host_view_free(HostView *view);

typedef struct Hosts Hosts;
typedef struct Host Host;

#define HOSTS_MAX 20000 /* more are not told of */

Hosts *hosts_new(void);
void hosts_free(Hosts *hosts);

/* The host has spoken: `sample` is all of what it has (`whole`) or a part. `origin` NULL: probes. NULL: there are too
 * many. */
Host *hosts_note(Hosts *hosts, const Sample *sample, const char *origin, bool whole, StoreClock now);

/* What is older than this has been left out of two whole collections of probes; 0: can't be said yet, or the host says
 * that it misses figures of VMs. */
gint64 host_absent_before_ns(const Host *host);
bool host_misses_figures(const Host *host);

/* The collector of that origin failed (its next sample ends that). Whether it had not before. */
bool hosts_fail(Hosts *hosts, const char *origin);

/* Of HostView, by name; `vms` of each is 0. Who has not spoken for `forget_after_ms` is dropped. */
GPtrArray *hosts_views(Hosts *hosts, StoreClock now, gint64 forget_after_ms);
