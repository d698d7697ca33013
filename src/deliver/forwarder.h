/* SPDX-License-Identifier: Apache-2.0
 * Drains the queues of all sinks side by side: between their drains (what to send), their connections (how) and the
 * clock. Whoever calls it holds the spool's lock. */
#pragma once

#include "deliver/ledger.h"
#include "deliver/sinks.h"

typedef struct Forwarder Forwarder;

/* What is known of one sink at this moment. */
typedef struct {
    const char *name;
    const Ledger *ledger;
    SpoolCount waiting;
    bool done;           /* nothing waits */
    gint64 next_s;       /* until the next attempt; 0: at once, or none follows */
    const char *problem; /* what keeps it from being sent, as one line; NULL: nothing */
} ForwarderSink;

typedef struct {
    gint64 linger_ms; /* how long to wait, with nothing to send at the moment, for batches or for another attempt */
    bool flush;       /* a person waits: attempt at once, whatever back-off is left; end when all is sent, or can't be
                         without a person's help */
    gint64 until_us;  /* monotonic: end by then; 0: no limit */
    int stop_fd;      /* readable: end soon; -1: none */
    void (*progress)(const ForwarderSink *sinks, guint n_sinks, void *data); /* about once a second; may be NULL */
    void *progress_data;
} ForwarderOptions;

/* `sinks`: of SinkSettings. Both must outlive it. A sink that can't be used (its token can't be read) is a sink in
 * trouble like any other. */
Forwarder *forwarder_new(Spool *spool, const GPtrArray *sinks);
void forwarder_free(Forwarder *forwarder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Forwarder, forwarder_free)

/* Drops what is above the limits, then sends until nothing is left that can be sent now. Returns whether all queues are
 * empty. The ledgers are saved. */
bool forwarder_run(Forwarder *forwarder, const ForwarderOptions *options);

/* Whether some sink has batches that are due. For after a run, when the lock was let go of: a batch that was added just
 * before had nobody started for it. A queue that could not be worked off in that run has none. */
bool forwarder_has_work(const Forwarder *forwarder);
