/* SPDX-License-Identifier: Apache-2.0
 * Queues whose sink was renamed, disabled or taken out of the configuration: nobody sends what is in them, so --status
 * shows them. Those that are empty are left out. Internal to the status. */
#pragma once

#include "deliver/sinks.h"

/* "3 batches, 1.2 KiB, the oldest 4 min old". Owned by the caller. */
char *status_describe_queue(const SpoolWaiting *queue, gint64 now_ns);

/* A paragraph for each, or an object, with commas between. */
bool status_append_strange(GString *out, Spool *spool, const GPtrArray *sinks, gint64 now_ns, GError **error);
bool status_append_strange_objects(GString *out, Spool *spool, const GPtrArray *sinks, gint64 now_ns, GError **error);
