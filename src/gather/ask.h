/* SPDX-License-Identifier: Apache-2.0
 * Asks for a batch of VMs, each for what plan.h finds that it needs: the state is that of the list, what the kernel has
 * comes from /proc, the rest of libvirt by as few monitor round trips as there can be. Blocks as libvirt does; touches
 * nothing but what it is given. */
#pragma once

#include "gather/plan.h"
#include "gather/processes.h"

typedef struct {
    const HypervisorApi *api;
    Processes *processes;   /* NULL: /proc says nothing of these guests, libvirt serves everything */
    Netdevs *netdevs;       /* likewise; not NULL where that is not */
    const char *status_dir; /* as plan_status_dir has it; NULL: the XML is read each time, pids are looked for */
    bool fast;              /* as PlanNow.fast; VMs that are new are asked for all */
    gint64 slow_ns;         /* period of the slow figures */
    gint64 now_ns;          /* CLOCK_BOOTTIME when the collection began */
} AskOptions;

typedef struct {
    const HypervisorDomain *domain; /* as it was listed */
    const VmKnown *known;
    /* The answer; owned by the caller. */
    VmSample *vm; /* NULL: it has ended. METRIC_VM_LOCKED is set: 1 where figures are missing that libvirt has not given
                     because a job holds the domain */
    char *xml;    /* as read on the way, where it is not the known shape's; else NULL */
} AskedVm;

/* `again`: they were asked for before, and some call did not come back. Then all of them are asked for everything by
 * the bulk call alone, which passes over a domain that is held. false: libvirt failed, nothing is answered. */
bool ask_vms(const AskOptions *options, Hypervisor *hypervisor, AskedVm *vms, guint count, bool again, GError **error);

/* State, NICs and what the kernel has, and all of them marked as locked: for those that no other call got an answer of.
 */
bool ask_vms_for_little(const AskOptions *options, Hypervisor *hypervisor, AskedVm *vms, guint count, GError **error);
