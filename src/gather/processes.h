/* SPDX-License-Identifier: Apache-2.0
 * What the kernel says of the QEMU processes: CPU time, each vCPU thread's run time and run-queue delay, resident
 * memory. The same as libvirt says, from where libvirt reads it, without asking libvirt or QEMU. */
#pragma once

#include "model/sample.h"

typedef struct Processes Processes;

/* `proc` is "/proc", `cgroup` "/sys/fs/cgroup", or a test's. One reference; may be used by several threads at once. */
Processes *processes_new(const char *proc, const char *cgroup);
Processes *processes_ref(Processes *processes);
void processes_unref(Processes *processes);
const char *processes_proc(const Processes *processes); /* as it was given; owned by them */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Processes, processes_unref)

/* Files in `vm` the figures of GROUP_KERNEL, and where its process is (VmSample.process): what `known` says (that of
 * the sample before; NULL: nothing), when the process there began at the same moment; else the one of libvirt's
 * NAME.pid in `run_dir` (NULL: none), and no other, with the VM's uuid in its command line; where there is no such file
 * it is looked for by the uuid in all command lines, once for all VMs of these Processes, and not taken where several
 * have it. `thorough`: vCPU threads are
 * listed anew, one that was not found is looked for again, and the time that vCPUs waited is read, which is dearer.
 * false: not found, not readable or without vCPU threads; nothing is filed, and a process that was looked for in vain
 * is remembered as such.
 *
 * cpu.time, user, system: of the domain's cgroup where libvirt made one for it, as libvirt does, else of /proc/PID/stat
 * (proc(5); in ticks of 10 ms). balloon.rss: KiB, there too. vcpu.N.time, delay: nanoseconds, the first two numbers of
 * /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst) of the thread named "CPU N/…"; wait: wait_sum
 * of /proc/PID/task/TID/sched, 0 where the kernel does not keep it. */
bool processes_read(Processes *processes, const char *run_dir, VmSample *vm, const char *known, bool thorough);

/* The process's id in VmSample.process; 0 where there is none. */
guint64 processes_pid(const char *process);
