/* SPDX-License-Identifier: Apache-2.0
 * A durable queue of batches for each sink, as a directory:
 *
 *   SPOOL/tmp/…                                    being written
 *   SPOOL/<sink>/<time>-<host>-<pid>-<n>.lp.gz     waiting: a hard link per sink over one copy of the data
 *   SPOOL/<sink>/state                             what became of this sink's batches so far (ledger.h); state.lock
 *   SPOOL/bad/<sink>-…                             what no sink takes, kept for people, bounded
 *   SPOOL/lock                                     held by the one forwarder
 *
 * Any process of the owner may add at any time without a lock; a kill or a power loss at any point leaves, for each
 * sink, either the whole batch or none. Everything is done by descriptors relative to a directory that was checked
 * (owner, 0700, no link). Knows nothing of what the bytes mean, but that they are gzip'd. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define SPOOL_ERROR spool_error_quark()
GQuark spool_error_quark(void);
typedef enum {
    SPOOL_ERROR_UNSAFE,    /* not ours, open to others, a link, or a name that leads elsewhere */
    SPOOL_ERROR_FULL,      /* no space, or over quota */
    SPOOL_ERROR_DAMAGED,   /* no gzip, or not all of it */
    SPOOL_ERROR_TOO_LARGE, /* above the limit */
    SPOOL_ERROR_IO,
} SpoolErrorCode;

typedef struct Spool Spool;

/* Opens the spool, making it where it is missing. Its parent must exist, and nobody else may rename what is in it. */
Spool *spool_open(const char *path, GError **error);
void spool_close(Spool *spool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Spool, spool_close)

const char *spool_path(const Spool *spool); /* owned by spool */

/* A sink's name: 1 to 64 of a-z A-Z 0-9 _ -, and none of the spool's own names (tmp, bad, lock, state). */
bool spool_is_sink_name(const char *name);

/* `max_bytes` 0, `max_age_s` 0: no such limit. A batch's age is by the time in its name. Where that is later than now,
 * the clock was set back since: such a batch never counts as too old, and is taken for older than the rest when room is
 * needed. */
typedef struct {
    guint64 max_bytes; /* of waiting batches */
    gint64 max_age_s;
} SpoolLimits;

typedef struct {
    const char *sink; /* each once */
    SpoolLimits limits;
} SpoolTarget;

typedef struct {
    guint64 batches, bytes;
} SpoolCount;

typedef struct {
    const char *host; /* goes into the name, made fit for it */
    gint64 time_ns;   /* realtime; orders the queue */
    const void *data; /* gzip'd */
    gsize length;
    bool trim_later; /* queues are left as they are, for spool_trim: then it costs the same whatever waits in them */
} SpoolNewBatch;

/* Adds one batch for every target. On an error none has it and every queue is as it was. On success it is on the disk,
 * and what is then above a target's limits has been dropped, oldest first, and counted: ret_dropped (one per target,
 * may be NULL). The new one itself is dropped, and counted, where it is above the limits alone: larger than max_bytes
 * or SPOOL_BATCH_MAX, or too old (with trim_later: at the next spool_trim).
 * One fsync of the data, and one of each target's directory. */
bool spool_add(Spool *spool, const SpoolNewBatch *batch, const SpoolTarget *targets, guint n_targets,
               SpoolCount *ret_dropped, GError **error);

/* Drops what is above the limits now: too old, too many bytes. */
bool spool_trim(Spool *spool, const SpoolTarget *target, SpoolCount *ret_dropped, GError **error);

/* The same, and what still waits after it. */
typedef struct {
    SpoolCount count;
    gint64 oldest_ns; /* time of the oldest; 0: none waits */
} SpoolWaiting;
bool spool_trim_and_count(Spool *spool, const SpoolTarget *target, SpoolCount *ret_dropped, SpoolWaiting *ret_waiting,
                          GError **error);

typedef struct {
    char *name;     /* of the file in the sink's directory */
    guint64 bytes;  /* as stored */
    gint64 time_ns; /* from its name */
} SpoolBatch;

void spool_batch_free(SpoolBatch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SpoolBatch, spool_batch_free)

/* What waits for a sink, oldest first; what is no file or not named like a batch is passed over. Of SpoolBatch. */
GPtrArray *spool_list(Spool *spool, const char *sink, GError **error);

/* The oldest of them, at most `max`, and what waits in all (ret_waiting may be NULL): takes no more memory than those,
 * however many wait. */
GPtrArray *spool_list_oldest(Spool *spool, const char *sink, guint max, SpoolWaiting *ret_waiting, GError **error);
bool spool_count(Spool *spool, const char *sink, SpoolWaiting *ret_waiting, GError **error);

/* The stored bytes of one batch; at most SPOOL_BATCH_MAX. NULL with no error set: it is gone (dropped meanwhile). */
#define SPOOL_BATCH_MAX (5 * 1024 * 1024)
char *spool_read(Spool *spool, const char *sink, const char *name, gsize *ret_length, GError **error);

/* After it was delivered. A batch that is gone is no error. */
bool spool_remove(Spool *spool, const char *sink, const char *name, GError **error);

/* Moves a batch that can't be used into bad/ (one that is gone is no error), or puts bytes there (poison lines; `name`
 * is of the batch that they were in, or another file name). Nothing there is overwritten. bad/ is bounded, each file
 * counted in blocks of 4 KiB: the oldest go first. For the forwarder alone. */
#define SPOOL_BAD_MAX_BYTES (16 * 1024 * 1024)
bool spool_set_aside(Spool *spool, const char *sink, const char *name, GError **error);
bool spool_keep_bad(Spool *spool, const char *sink, const char *name, const void *data, gsize length, GError **error);

/* Removes leftovers in tmp/ that no living writer can still own (older than SPOOL_TMP_MAX_AGE_S, their writer's lock
 * gone), and of sinks that are not in the list (NULL-terminated) the batches past max_age_s (0: none is) and, once it
 * was empty for that long, the queue. Goes on after an error and reports the first. */
#define SPOOL_TMP_MAX_AGE_S 3600
bool spool_clean(Spool *spool, const char *const *sinks, gint64 max_age_s, GError **error);

/* The names of queues that are of none of these sinks (NULL-terminated), in their order. Of char *. */
GPtrArray *spool_strange_queues(Spool *spool, const char *const *sinks, GError **error);

/* The forwarder's lock: a descriptor that holds it until it is closed, or -1: another has it (no error set), or an
 * error. */
int spool_lock(Spool *spool, GError **error);
/* Nobody holds it at this moment: a forwarder should be started. So whoever lets go of the lock has to look once more
 * for what was added just before. */
bool spool_is_idle(Spool *spool);

/* gzip of text, for spool_add; the same text gives the same bytes. Owned by the caller. */
char *spool_compress(const char *text, gsize length, gsize *ret_length);

/* And back, several members one behind the other, at most `limit` bytes; a NUL follows that is not counted. NULL:
 * DAMAGED (cut off and followed by something else too) or TOO_LARGE. */
char *spool_expand(const char *data, gsize length, gsize limit, gsize *ret_length, GError **error);
