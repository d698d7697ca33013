/* SPDX-License-Identifier: Apache-2.0
 * From lines to batches: what a producer (the probe, the state hook) does with its line protocol. */
#pragma once

#include "deliver/sinks.h"

/* Adds the text, cut behind a newline into batches of at most ENQUEUE_BATCH_BYTES, for every sink (of SinkSettings;
 * none: nothing happens). Where the disk is full, the oldest batches make room and it is tried once more; what was
 * dropped is counted in the ledgers and logged. `time_ns`: realtime. */
#define ENQUEUE_BATCH_BYTES (1024 * 1024)
bool enqueue_lines(const char *spool_path, const GPtrArray *sinks, const char *host, gint64 time_ns, const char *text,
                   gsize length, GError **error);

/* Starts `program` (absolute path) with `arguments` (without its name, NULL-terminated) as a process on its own: own
 * session, standard descriptors on /dev/null, no other descriptor, default signals, not waited for. false: there is no
 * such program, or no process to be had. */
bool start_detached(const char *program, const char *const *arguments, GError **error);
