/* SPDX-License-Identifier: Apache-2.0
 * What the kernel counts of the network devices that VMs' NICs are on the host: /proc/PID/net/dev, which has those of
 * the network namespace that the process is in, so a QEMU's has the devices that libvirt made for it, wherever we are.
 * It is what libvirt says of them, from where libvirt reads it: but libvirt reads the whole file for each of them. */
#pragma once

#include "model/sample.h"

#include <net/if.h>

/* A NIC of a VM: libvirt's number of it, and the name of its device. */
typedef struct {
    guint index;
    char name[IFNAMSIZ];
} NetdevNic;

/* Each namespace's devices are read once, when the first of them is asked for: so these are of one sample. */
typedef struct Netdevs Netdevs;

/* `proc` is "/proc", or a test's. May be used by several threads at once. */
Netdevs *netdevs_new(const char *proc);
void netdevs_free(Netdevs *netdevs); /* NULL: nothing */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Netdevs, netdevs_free)

/* Files in `vm` the figures of GROUP_NET of these NICs (array of NetdevNic), all of which are taps: what the host's
 * side receives the guest has sent. `pid` is its QEMU's. false: not readable, or one of them is not among the devices;
 * nothing is filed. */
bool netdevs_file(Netdevs *netdevs, guint64 pid, const GArray *nics, VmSample *vm);
