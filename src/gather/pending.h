/* SPDX-License-Identifier: Apache-2.0
 * The commands that OpenNebula has begun in guests and that have not been seen to end: its driver (vmm/kvm/exec) writes
 * the guest's process id into a file one-<VM id>, and takes a lock for it in the same directory, which its other
 * programs take as well. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define PENDING_DIR "/var/run/one"
#define PENDING_LOCK ".exec-lock"
#define PENDING_FILE_MAX 64 /* bytes of a file */

typedef struct {
    guint64 vm_id;
    char *name; /* of the file, and of the domain: "one-83" */
    gint64 pid; /* in the guest; above 0 */
    /* Which file this is. */
    guint64 device, inode;
    gint64 mtime_ns;
} Pending;

void pending_free(Pending *pending);

#define PENDING_ERROR pending_error_quark()
GQuark pending_error_quark(void);
typedef enum {
    PENDING_ERROR_DIRECTORY, /* can't be read */
    PENDING_ERROR_FILE,      /* no process id in it, or no file to trust */
    PENDING_ERROR_GONE,      /* not there any more */
    PENDING_ERROR_EMPTY,     /* as it is for a moment when it is written */
} PendingErrorCode;

/* A process id as OpenNebula writes it: decimal, above 0, maybe white space around it. EMPTY or FILE. Pure. */
bool pending_read_pid(const char *text, gsize length, gint64 *ret_pid, GError **error);

/* What is pending in that directory, which is followed where it is a link; its files are not: array of Pending, by VM.
 * Other names, also such as no VM has (one-007, one-83~), are passed over. A file that has gone or is empty is left
 * out; of each that can't be used, "one-83: why" is added to `complaints` (of char*). NULL: DIRECTORY; one that is not
 * there has nothing in it. */
GPtrArray *pending_list(const char *directory, GPtrArray *complaints, GError **error);

/* It is still the same file, with that process id in it. */
bool pending_is_there(const char *directory, const Pending *pending);

/* FILE: it can't be removed. One that is gone is none. */
bool pending_remove(const char *directory, const Pending *pending, GError **error);

/* The lock that OpenNebula's driver takes, within `limit_ms`; it is made where it is missing. Returns a descriptor,
 * which is closed to give it back, or -1: FILE. */
int pending_lock(const char *directory, gint64 limit_ms, GError **error);
