/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/proc.h"
#include "gather/domstats.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* QEMU's command line has its -uuid far in front of this, a status file its VmSwap. */
#define PROC_FILE_MAX (128 * 1024)

/* Files in /proc have no size to ask for: one read into a fixed buffer. Followed by a NUL; -1: not readable. */
static gssize read_proc(const char *path, char *buffer, gsize size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    gsize length = 0;
    gssize n;
    while (length < size - 1 && (n = read(fd, buffer + length, size - 1 - length)) > 0)
        length += (gsize)n;
    close(fd);
    buffer[length] = '\0';
    return (gssize)length;
}

/* "SwapTotal:  1024 kB" in a file of such lines. */
static bool find_kib(const char *text, const char *label, guint64 *ret_kib)
{
    gsize length = strlen(label);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, label, length) == 0 && line[length] == ':') {
            *ret_kib = g_ascii_strtoull(line + length + 1, NULL, 10);
            return true;
        }
    }
    return false;
}

static bool host_swaps_nothing(const char *proc, char *buffer)
{
    g_autofree char *path = g_build_filename(proc, "meminfo", NULL);
    guint64 total, unused;
    return read_proc(path, buffer, PROC_FILE_MAX) > 0 && find_kib(buffer, "SwapTotal", &total) &&
           find_kib(buffer, "SwapFree", &unused) && total == unused;
}

/* Arguments in /proc/PID/cmdline are separated by NULs. NULL where there is no -uuid. */
static const char *uuid_argument(const char *arguments, gssize length)
{
    const char *end = arguments + length;
    for (const char *argument = arguments; argument < end; argument += strlen(argument) + 1) {
        const char *next = argument + strlen(argument) + 1;
        if (strcmp(argument, "-uuid") == 0 && next < end)
            return next;
    }
    return NULL;
}

/* uuid → pid as text, of every process that has a -uuid argument. */
static GHashTable *find_processes(const char *proc, char *buffer)
{
    GHashTable *pids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GDir) directory = g_dir_open(proc, 0, NULL);
    for (const char *name; directory && (name = g_dir_read_name(directory));) {
        if (!g_ascii_isdigit(name[0]))
            continue;
        g_autofree char *path = g_build_filename(proc, name, "cmdline", NULL);
        gssize length = read_proc(path, buffer, PROC_FILE_MAX);
        const char *uuid = length > 0 ? uuid_argument(buffer, length) : NULL;
        if (uuid)
            g_hash_table_insert(pids, g_strdup(uuid), g_strdup(name));
    }
    return pids;
}

void proc_add_swap(Sample *sample, const char *proc)
{
    g_autofree char *buffer = g_malloc(PROC_FILE_MAX);
    bool nothing = host_swaps_nothing(proc, buffer);
    g_autoptr(GHashTable) pids = nothing ? NULL : find_processes(proc, buffer);
    for (guint i = 0; i < sample->vms->len; i++) {
        VmSample *vm = g_ptr_array_index(sample->vms, i);
        guint64 swap = 0;
        const char *pid = pids && vm->uuid ? g_hash_table_lookup(pids, vm->uuid) : NULL;
        if (pid) {
            g_autofree char *path = g_build_filename(proc, pid, "status", NULL);
            if (read_proc(path, buffer, PROC_FILE_MAX) <= 0 || !find_kib(buffer, "VmSwap", &swap))
                pid = NULL;
        }
        if (nothing || pid)
            domstats_set_u64(vm, "proc.swap", swap);
    }
}

bool proc_serves_uri(const char *uri)
{
    const char *authority = strstr(uri, "://");
    return g_str_has_prefix(uri, "qemu") && authority && authority[3] == '/';
}
