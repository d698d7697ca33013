/* SPDX-License-Identifier: Apache-2.0
 * Lines that came in, as they are to be passed on. Pure. */
#pragma once

#include "encode/line_samples.h"

/* Whether a VM's own series are to be left out: somebody else speaks for it. */
typedef bool (*RelayLeaveOut)(guint64 vm_id, gpointer data);

/* The good lines, each as it stands but with its time in nanoseconds, `now_ns` where it has none. Left out: what is no
 * line protocol, and vm_totals, vm_devices, vm_vcpus of VMs that `leave_out` (NULL: none) says yes to. *ret_lines:
 * how many there are. Owned by the caller. */
GString *relay_text(const char *text, gsize length, gint64 unit_ns, gint64 now_ns, RelayLeaveOut leave_out,
                    gpointer data, guint64 *ret_lines);
