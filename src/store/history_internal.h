/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the history share. Internal to history*.c.
 *
 * The way of a sample: queue (memory) -> journal (file) and pending (memory), each flush -> the VM's rows in the tiers,
 * some minutes later, all it has pending at once. Whatever is pending is in the journal too, so a kill loses the queue
 * alone; queries put pending samples and rows together. */
#pragma once

#include "store/history_db.h"
#include "store/history_file.h"
#include "store/rollup.h"

#define FLUSH_SAMPLES_MAX 20000                 /* of one transaction */
#define SETTLE_AFTER_US (600 * G_USEC_PER_SEC)  /* from a VM's first pending sample on */
#define PENDING_BYTES_MAX (28 * 1024 * 1024)    /* of all VMs' pending samples; above it they are settled earlier */
#define EVENTS_MAX 1000000                      /* in the file */
#define HISTORY_SWEEP_START (-1)                /* before any VM */
#define AHEAD_MAX_NS (86400 * HISTORY_NS_PER_S) /* what says it is of a later time than that is not kept */

/* One sample, packed. */
typedef struct {
    guint64 vm_id;
    gint64 time_ns;
    gint64 seq; /* in the journal; 0: not there yet */
    guint16 length;
    guint8 data[];
} Packed;

/* A VM's samples that are in the journal, and in no tier yet. */
typedef struct {
    guint64 vm_id;
    gint64 first_seq, since_us; /* of the first of them; since_us monotonic */
    GByteArray *samples;        /* see pending_next */
    guint n;                    /* of them */
} Pending;

typedef struct {
    gint64 time_ns, seq;
    guint length;
    const guint8 *data;
} PendingSample;

/* The sample at *offset, which is moved behind it; false: the end. */
bool pending_next(const GByteArray *samples, guint *offset, PendingSample *ret_sample);

typedef struct {
    gint64 rows, bytes; /* bytes of the blobs; deleted ones are taken for average */
} TierSize;

struct History {
    HistoryFile file;
    PackMap map;      /* constant once it is open */
    GPtrArray *names; /* of the metrics, by number; likewise */

    GMutex lock; /* of all down to the blank line */
    GCond wake, flushed;
    HistoryOptions options;
    GQueue samples;  /* of Packed, oldest first; at most HISTORY_QUEUE_MAX */
    GQueue events;   /* of VmEvent; likewise */
    GHashTable *vms; /* vm_id -> VmRecord */
    bool stop, suspect, settle_all;
    guint64 flushes_wanted, flushes_done;
    guint64 written, dropped;
    char *error, *set_aside;
    guint64 bytes; /* of the file and its log */
    TierSize shown_sizes[N_TIERS];
    gint64 shown_oldest[N_TIERS];

    GMutex pending_lock; /* only ever held to look at memory */
    GHashTable *pending; /* vm_id -> Pending */
    GQueue order;        /* of Pending, by first_seq */
    gsize pending_bytes;
    guint64 pending_samples;

    GMutex readers_lock;
    GPtrArray *readers; /* of HistoryDb: idle connections */
    guint generation;   /* of the file: moves on when another one is begun */

    GThread *thread; /* the writer; what follows is its own */
    HistoryDb *db;   /* NULL: could not be opened anew after damage */
    gint64 next_seq, journal_first;
    TierSize sizes[N_TIERS];
    gint64 cut[N_TIERS];    /* realtime: older rows go because of max_bytes */
    gint64 oldest[N_TIERS]; /* as the last round of sweeping found it, or older rows since; 0 none, or no round yet */
    gint64 round_oldest[N_TIERS]; /* as this round has found or written it so far */
    gint64 sweep_after;           /* the VM swept last */
    gint64 vms_settled;           /* rows of that table, about */
    bool squeezing;               /* max_bytes is exceeded */
};

gint64 history_now_ns(void);

/* --- history_write.c: the writer's steps. false: *error is set, nothing of the step was done --- */
bool history_write_queue(History *history, guint *ret_left, GError **error);
bool history_settle_due(History *history, bool all, GError **error);
bool history_put_sizes(History *history, const TierSize *before, GError **error); /* into the open transaction */
bool history_begin(History *history, GError **error);
/* Commits, or takes everything back where `done` is false. */
bool history_end(History *history, bool done, GError **error);

/* --- history_settle.c --- */
bool history_settle_vm(History *history, const Pending *pending, GError **error);
/* Of PendingSample, by time, those up to `after_seq` left out. The data stays where it is. */
GArray *history_sort_pending(const GByteArray *samples, gint64 after_seq);
/* What there is of the next time: several samples of one time are one, in which the later one's figures go first.
 * false: the end. */
bool history_next_sample(const GArray *sorted, guint *at, gint64 *ret_time_ns, PackRow *ret_row);

/* --- history_trim.c --- */
bool history_trim(History *history, GError **error);

/* --- history_load.c --- */
bool history_load_state(History *history, GError **error);
void history_add_pending(History *history, const Packed *sample);

/* --- history_pool.c: readers' connections --- */
HistoryDb *history_reader_take(History *history, guint *ret_generation, GError **error);
void history_reader_give(History *history, HistoryDb *db, guint generation, const GError *error);
void history_readers_close(History *history);

/* Returns when what is queued is in the file, or could not be written; `settle`: and in its tiers. For tests. */
void history_flush(History *history, bool settle);
