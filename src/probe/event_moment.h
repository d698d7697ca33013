/* SPDX-License-Identifier: Apache-2.0
 * When an event was first told whose document has no stamp of its own: kept for the last event of each VM in
 * STATE_DIR/events/<ID>, so that the same event told again (two hooks of it run side by side, one that failed is
 * retried) is of the same time, and so the same point. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define EVENT_MOMENT_MAX_AGE_S 3600 /* the same document later than this is another event: states come again */
#define EVENT_MOMENT_LOCK_MS 2000   /* how long another process of ours may keep a VM's file */

typedef struct {
    guint64 vm_id;
    const char *document;
    gsize length;
    gint64 latest_s; /* its latest stamp, vm_document_latest */
} EventTold;

/* Notes the document as the VM's last. Returns when it was first told: `now_ns` (realtime), unless it was the last one
 * before too. 0: a later document of the VM was told since (by its stamps), so this one is an old one that is tried
 * again, and when it was told first is not known. With an error, which is no reason to give the event up, `now_ns` is
 * returned.
 */
gint64 event_moment_of(const char *state_dir, const EventTold *told, gint64 now_ns, GError **error);

/* The VM is done, and has no further events. */
void event_moment_forget(const char *state_dir, guint64 vm_id);
