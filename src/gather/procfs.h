/* SPDX-License-Identifier: Apache-2.0
 * Reading files of /proc and /sys/fs/cgroup. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* QEMU's command line has its -uuid far in front of this, a status file its VmSwap. */
#define PROCFS_FILE_MAX (128 * 1024)

/* Such files have no size to ask for: one read into a buffer of `size` bytes. Followed by a NUL; -1: not readable. */
gssize procfs_read(const char *path, char *buffer, gsize size);

/* "SwapTotal:  1024 kB" in a file of such lines. */
bool procfs_find_kib(const char *text, const char *label, guint64 *ret_kib);

/* "usage_usec 1024" in a file of such lines. */
bool procfs_find_number(const char *text, const char *label, guint64 *ret_number);

/* The word at that place of words between white space, counted from 0, a whole number. */
bool procfs_number_at(const char *text, guint place, guint64 *ret_number);

/* Whether the process has that -uuid argument. */
bool procfs_has_uuid(const char *proc, guint64 pid, const char *uuid);

/* uuid → pid as text, of every process that has a -uuid argument; NULL where several have the same. Owned by the
 * caller. */
GHashTable *procfs_find_by_uuid(const char *proc);
