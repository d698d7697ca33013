/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_proc.h"
#include "gather_helpers.h"

#include <glib/gstdio.h>
#include <string.h>

void fake_file(const char *root, const char *name, const char *content, gssize length)
{
    g_autofree char *path = g_build_filename(root, name, NULL), *directory = g_path_get_dirname(path);
    g_autoptr(GError) error = NULL;
    g_mkdir_with_parents(directory, 0700);
    if (!g_file_set_contents(path, content, length, &error))
        fail_msg("%s", error->message);
}

void fake_process_file(const char *root, guint pid, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *content = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *path = g_strdup_printf("%u/%s", pid, name);
    fake_file(root, path, content, -1);
}

/* As Linux 6 writes it; what stands at the places that are not asked for would be noticed. */
static void put_stat(const char *root, const FakeQemu *qemu)
{
    fake_process_file(root, qemu->pid, "stat",
                      "%u (%s) S 1 4242 4242 0 -1 138412416 900001 900002 900003 900004 %" G_GUINT64_FORMAT
                      " %" G_GUINT64_FORMAT " 900005 900006 20 0 7 0 %" G_GUINT64_FORMAT " 900007 %" G_GUINT64_FORMAT
                      " 18446744073709551615 1 1 0 0 0 0 2147483647 4096 1088 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
                      qemu->pid, qemu->name ? qemu->name : "qemu-system-x86", qemu->user, qemu->system, qemu->start,
                      qemu->rss);
}

void fake_qemu(const char *root, const FakeQemu *qemu)
{
    if (qemu->uuid) {
        g_autofree char *line = g_strdup_printf("/usr/bin/qemu-system-x86_64|-name|guest=x|-uuid|%s|-S", qemu->uuid);
        g_autofree char *name = g_strdup_printf("%u/cmdline", qemu->pid);
        const gsize length = strlen(line);
        g_strdelimit(line, "|", '\0');
        fake_file(root, name, line, (gssize)length + 1);
    }
    put_stat(root, qemu);
}

void fake_thread(const char *root, guint pid, guint tid, const char *name, guint64 run_ns, guint64 delay_ns)
{
    g_autofree char *comm = g_strdup_printf("task/%u/comm", tid), *times = g_strdup_printf("task/%u/schedstat", tid);
    fake_process_file(root, pid, comm, "%s\n", name);
    fake_process_file(root, pid, times, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " 4711\n", run_ns, delay_ns);
}

void fake_wait(const char *root, guint pid, guint tid, const char *key, const char *ms)
{
    g_autofree char *name = g_strdup_printf("task/%u/sched", tid);
    fake_process_file(root, pid, name,
                      "CPU 0/KVM (%u, #threads: 7)\n-------------------\n"
                      "se.exec_start                                :      52443623.133912\n"
                      "%-45s:%22s\nse.nr_migrations                             :                   12\n",
                      tid, key, ms);
}

void fake_remove(const char *root, const char *name)
{
    g_autofree char *path = g_build_filename(root, name, NULL);
    remove_tree(path);
}
