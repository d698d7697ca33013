/* SPDX-License-Identifier: Apache-2.0
 * CPU time by the cgroup that libvirt makes for a domain: what libvirt itself says where there is one. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* The domain's cgroup by that of its QEMU, from /proc/PID/cgroup (cgroups(7)): "2:PATH" of version 2, "1:PATH" of
 * version 1's cpuacct; PATH relative to `root`, usually /sys/fs/cgroup. NULL: libvirt has made none. Owned by the
 * caller. */
char *cgroup_of_domain(const char *proc, guint64 pid, const char *root);

/* What it has used, in nanoseconds; false: not readable, nothing is set. Version 2: cpu.stat (microseconds); version 1:
 * cpuacct.usage (nanoseconds) and cpuacct.stat (ticks). */
bool cgroup_cpu(const char *root, const char *cgroup, guint64 *ret_time_ns, guint64 *ret_user_ns,
                guint64 *ret_system_ns);
