/* SPDX-License-Identifier: Apache-2.0
 * What /proc of this host says of the QEMU processes. */
#pragma once

#include "gather/processes.h"

/* Files "proc.swap" of every VM: VmSwap of the process with the VM's uuid as its -uuid argument (KiB). Where the host
 * has swapped out nothing at all, which is one look, it is 0 without looking for processes. Left absent where the
 * process is not found or not readable. `proc` is "/proc", or a test's. */
void proc_add_swap(Sample *sample, const char *proc);

/* A libvirt URI of this machine's own QEMU: what /proc says is about its guests. */
bool proc_serves_uri(const char *uri);

/* The QEMU processes behind that URI; NULL: they are not this machine's. One reference. */
Processes *proc_processes(const char *uri);
