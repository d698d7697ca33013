/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/proc.h"
#include "gather/domstats.h"
#include "gather/procfs.h"

#include <string.h>

static bool host_swaps_nothing(const char *proc, char *buffer)
{
    g_autofree char *path = g_build_filename(proc, "meminfo", NULL);
    guint64 total, unused;
    return procfs_read(path, buffer, PROCFS_FILE_MAX) > 0 && procfs_find_kib(buffer, "SwapTotal", &total) &&
           procfs_find_kib(buffer, "SwapFree", &unused) && total == unused;
}

/* The VM's process, as text; NULL: not found. *pids is made when the first is looked for. Owned by the caller. */
static char *find_pid(const VmSample *vm, const char *proc, GHashTable **pids)
{
    const guint64 known = processes_pid(vm->process);
    if (known != 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT, known);
    if (!*pids)
        *pids = procfs_find_by_uuid(proc);
    return vm->uuid ? g_strdup(g_hash_table_lookup(*pids, vm->uuid)) : NULL;
}

static bool read_swap(const char *proc, const char *pid, char *buffer, guint64 *ret_kib)
{
    g_autofree char *path = g_build_filename(proc, pid, "status", NULL);
    return procfs_read(path, buffer, PROCFS_FILE_MAX) > 0 && procfs_find_kib(buffer, "VmSwap", ret_kib);
}

void proc_add_swap(Sample *sample, const char *proc)
{
    g_autofree char *buffer = g_malloc(PROCFS_FILE_MAX);
    const bool nothing = host_swaps_nothing(proc, buffer);
    g_autoptr(GHashTable) pids = NULL;
    for (guint i = 0; i < sample->vms->len; i++) {
        VmSample *vm = g_ptr_array_index(sample->vms, i);
        guint64 swap = 0;
        g_autofree char *pid = nothing ? NULL : find_pid(vm, proc, &pids);
        if (nothing || (pid && read_swap(proc, pid, buffer, &swap)))
            domstats_set_u64(vm, "proc.swap", swap);
    }
}

bool proc_serves_uri(const char *uri)
{
    const char *authority = strstr(uri, "://");
    return g_str_has_prefix(uri, "qemu") && authority && authority[3] == '/';
}

Processes *proc_processes(const char *uri)
{
    return proc_serves_uri(uri) ? processes_new("/proc", "/sys/fs/cgroup") : NULL;
}
