/* SPDX-License-Identifier: Apache-2.0
 * What was: figures of every VM over time, events, and which VMs there were, in one SQLite file (WAL). Three tiers:
 * raw, one minute, fifteen minutes, the latter two by min, mean and max; counters are kept as their rates. One thread
 * writes; to add never waits for a disk. A file that is damaged, or of another version, is set aside beside the new one
 * and the log says so. SQLite's header is included by history*.c alone. */
#pragma once

#include "store/record.h"

#define HISTORY_ERROR history_error_quark()
GQuark history_error_quark(void);
typedef enum {
    HISTORY_ERROR_OPEN,
    HISTORY_ERROR_QUERY,
    HISTORY_ERROR_BUSY,    /* another process writes this history */
    HISTORY_ERROR_DAMAGED, /* the file is being set aside: ask again */
} HistoryErrorCode;

typedef enum { TIER_RAW, TIER_MINUTE, TIER_QUARTER, N_TIERS } HistoryTier;
const char *history_tier_name(HistoryTier tier); /* "raw", "1m", "15m" */

typedef struct {
    gint64 keep_s[N_TIERS]; /* retention; 0: that tier is not kept */
    guint64 max_bytes;      /* of the file; above it the oldest goes, of the tier that takes most */
    gint64 flush_ms;        /* what is younger may be lost with a kill -9; 0: HISTORY_FLUSH_MS */
} HistoryOptions;
#define HISTORY_FLUSH_MS 5000

typedef struct History History;

/* Makes file and directory (0700, parents not) where they are missing. One process at a time may have it open. */
History *history_open(const char *path, const HistoryOptions *options, GError **error);
/* Writes what is queued, closes. */
void history_close(History *history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(History, history_close)
void history_set_options(History *history, const HistoryOptions *options);

/* The metrics that have a history: those of the VM scope that are reals, or gauges in KiB. */
bool history_has_metric(Metric m);
/* By its JSON or line-protocol name, of either of the metric itself or of the counter that it is the rate of
 * ("network_rx_bytes" finds network_rx_per_sec, and so "counters are kept as rates"). N_METRICS: none. */
Metric history_metric_by_name(const char *name);

/* Queues; of VmRecord (their figures are copied, small), of VmEvent (copied). Never waits; what is above
 * HISTORY_QUEUE_MAX is dropped, oldest first, and counted; so is a record without a time, or of one more than a day
 * ahead of our clock. The same VM and time again is the same sample: figures that are new to it are added. Samples may
 * come late, up to the retention of the tiers. */
#define HISTORY_QUEUE_MAX 100000
void history_add(History *history, const GPtrArray *records);
void history_add_events(History *history, const GPtrArray *events);
/* VMs whose identity, or end, is to be remembered over a restart: of VmRecord. */
void history_note_vms(History *history, const GPtrArray *records);

/* Whether it knows of that VM: one that was noted, or has figures. */
bool history_has_vm(History *history, guint64 vm_id);

/* At start: the VMs there were (of VmRecord without figures), and the last events, oldest first (of VmEvent). */
GPtrArray *history_load_vms(History *history, GError **error);
GPtrArray *history_load_events(History *history, guint most, GError **error);

typedef struct {
    guint64 vm_id;
    const Metric *metrics;
    guint n_metrics;
    gint64 from_ns, to_ns; /* realtime; from inclusive, to exclusive */
    gint64 step_ns;        /* 0: as stored in the tier that gives at most HISTORY_POINTS_WANTED points */
} HistoryQuery;
#define HISTORY_POINTS_WANTED 1000
#define HISTORY_POINTS_MAX 50000 /* of an answer */

typedef struct {
    gint64 time_ns; /* begin of its step, or the sample's own time in tier raw without a step */
    double min, mean, max;
    guint count; /* samples in it; 0: absent, a gap */
} HistoryPoint;

typedef struct {
    HistoryTier tier; /* it was read from */
    gint64 step_ns;   /* 0: samples as they came */
    GArray **series;  /* one for each metric asked for: of HistoryPoint, by time; owned */
    guint n_series;
} HistoryAnswer;
void history_answer_free(HistoryAnswer *answer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HistoryAnswer, history_answer_free)

/* Any thread; a reader never waits for the writer. Of the tiers that reach back to `from`, or where none does so, as
 * far as any:
 * - with a step, the coarsest whose own divides it (all of those give the same points, and this at the least cost),
 * else the finest; a step below the tier's becomes the tier's, another that is no multiple of it the next multiple;
 * - without, the finest that gives at most HISTORY_POINTS_WANTED points of a metric; where none does, the coarsest,
 * with a step that does. A step that would give more than HISTORY_POINTS_MAX points in all is widened; the answer says
 * which it became. What was added within the last flush_ms may be missing. */
HistoryAnswer *history_query(History *history, const HistoryQuery *query, GError **error);
/* Newest first, of one VM or EVENTS_OF_ALL. Of VmEvent. */
GPtrArray *history_events(History *history, guint64 vm_id, gint64 from_ns, gint64 to_ns, guint most, GError **error);

typedef struct {
    guint64 bytes;             /* of the file and its log */
    guint64 rows[N_TIERS];     /* about */
    gint64 oldest_ns[N_TIERS]; /* 0: none, or of what a file had at the start not looked up yet */
    guint64 pending;           /* samples that are in the file and served, and in no row of a tier yet */
    guint64 written, dropped;  /* records, since the start */
    guint queued;
    char *error;     /* of the last flush; NULL: it went well */
    char *set_aside; /* damaged file that was set aside last, since the start; NULL: none */
} HistoryStatus;
void history_status(History *history, HistoryStatus *ret_status);
void history_status_clear(HistoryStatus *status);
