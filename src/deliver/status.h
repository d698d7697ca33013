/* SPDX-License-Identifier: Apache-2.0
 * What stands in the spool, for people (forward --status, --dry-run) and for scripts. Changes nothing; needs no lock.
 */
#pragma once

#include "deliver/sinks.h"

/* Of all sinks together. */
typedef struct {
    bool trouble;       /* some sink's last attempt failed */
    bool has_succeeded; /* some sink has ever taken something */
    guint64 batches;    /* that wait; one that several wait for counts for each */
} StatusSum;

/* What is known of every sink (of SinkSettings): queue, last success, last error, counts; and the queues of sinks that
 * are not configured. `spool` NULL: none was made yet. Owned by the caller; NULL: a queue can't be read. `now_ns`:
 * realtime. */
char *status_text(Spool *spool, const GPtrArray *sinks, gint64 now_ns, StatusSum *ret_sum, GError **error);
/* The same as one JSON object; times ISO 8601 UTC, null for never; ages and waits in seconds. */
char *status_json(Spool *spool, const GPtrArray *sinks, gint64 now_ns, StatusSum *ret_sum, GError **error);

/* What would be sent where, batch by batch opened and counted. */
char *status_dry_run(Spool *spool, const GPtrArray *sinks, GError **error);

/* A line for each queue with something in it whose sink is not configured; "": there is none. */
char *status_strange(Spool *spool, const GPtrArray *sinks, GError **error);
