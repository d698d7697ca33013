/* SPDX-License-Identifier: Apache-2.0
 * From lines to batches: what a producer (the probe, the state hook) does with its line protocol. */
#pragma once

#include "deliver/sinks.h"

/* Adds the text, cut behind a newline into batches of at most ENQUEUE_BATCH_BYTES (a longer line is one by itself), for
 * every sink (of SinkSettings; none: nothing happens, no directory is made). Where the disk is full, the oldest batches
 * make room and it is tried once more; what was dropped is counted in the ledgers and logged. `time_ns`: realtime.
 * Makes the spool, and of spool_default_path its parent, where they are missing. After an error none of the batches
 * from the failed one on is in any queue.
 *
 * The forwarder trims queues at each of its runs. Where none runs, a queue that nobody has counted for ENQUEUE_TRIM_S
 * is trimmed here, so it is above its limits by no more than what is added in that time. */
#define ENQUEUE_BATCH_BYTES (1024 * 1024)
#define ENQUEUE_TRIM_S 480
bool enqueue_lines(const char *spool_path, const GPtrArray *sinks, const char *host, gint64 time_ns, const char *text,
                   gsize length, GError **error);
