/* SPDX-License-Identifier: Apache-2.0
 * A /proc and a /sys/fs/cgroup of files, for the tests of what reads them. */
#pragma once

#include <glib.h>

/* Makes ROOT/NAME with its directories. length -1: up to the NUL. */
void fake_file(const char *root, const char *name, const char *content, gssize length);

/* As fake_file, of a printf format; the name is under ROOT/PID/. */
void fake_process_file(const char *root, guint pid, const char *name, const char *format, ...) G_GNUC_PRINTF(4, 5);

/* A QEMU process: its command line with that -uuid, and its stat. Times in ticks, resident memory in pages. `name`
 * stands in parentheses in stat. */
typedef struct {
    guint pid;
    const char *uuid;
    guint64 start, user, system, rss;
    const char *name; /* NULL: qemu-system-x86 */
} FakeQemu;
void fake_qemu(const char *root, const FakeQemu *qemu);

/* One of its threads, by its name ("CPU 0/KVM"), with schedstat (nanoseconds). */
void fake_thread(const char *root, guint pid, guint tid, const char *name, guint64 run_ns, guint64 delay_ns);

/* What the kernel says of that thread's wait_sum, in milliseconds, under that name. */
void fake_wait(const char *root, guint pid, guint tid, const char *key, const char *ms);

void fake_remove(const char *root, const char *name);
