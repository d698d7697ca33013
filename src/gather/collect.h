/* SPDX-License-Identifier: Apache-2.0
 * One collection of all of a host's VMs that ends by its deadline, whatever libvirt and the guests do.
 *
 * The domains are cut into batches, a few workers ask for one batch at a time. A batch that does not come back is asked
 * again over another connection: the guest that blocks it then holds a job, and NOWAIT passes over it, so only that
 * guest is missing figures. What is missing shortly before the deadline is asked for state and network alone, which
 * needs no QEMU. Calls still under way at the deadline are left behind; their threads end when libvirt lets them. */
#pragma once

#include "gather/collect_count.h"
#include "gather/processes.h"
#include "gather/hypervisor.h"
#include "gather/kept_connection.h"

typedef struct {
    const HypervisorApi *api; /* &libvirt_api */
    const char *uri;
    gint64 deadline_ms; /* from the call of collect_sample on */
    guint workers;
    const Sample *previous; /* for what is read once per domain start, and what has not changed; may be NULL */
    Processes *processes;   /* the kernel's figures of these guests; NULL: libvirt is asked for everything each time */
    gint64 slow_ms;         /* with processes: how often the figures are read that hardly change */
    bool fast; /* the figures that need QEMU's monitor are those of the sample before, but of VMs that are new */
    CollectCount *count;  /* may be NULL */
    KeptConnection *kept; /* taken, and left again when all has gone well; NULL: a new one, which is closed */
} CollectOptions;

#define COLLECT_ERROR collect_error_quark()
GQuark collect_error_quark(void);
typedef enum { COLLECT_ERROR_LIBVIRT, COLLECT_ERROR_DEADLINE } CollectErrorCode;

/* Raw figures (not finished, not derived) with times and boot id; the caller sets host and cycle. NULL: there was no
 * list of domains, or not one call of many succeeded; never "no VMs" by mistake. *ret_abandoned (may be NULL): threads
 * are still blocked in libvirt, so the process should leave by _exit. */
Sample *collect_sample(const CollectOptions *options, bool *ret_abandoned, GError **error);
