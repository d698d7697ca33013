/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/processes.h"
#include "gather/cgroup.h"
#include "gather/host.h"
#include "gather/procfs.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOT_FOUND "none" /* in VmSample.process: it was looked for in vain */
#define NO_CGROUP "-"
#define FILE_MAX 8192 /* of stat, schedstat and sched, which are far shorter */
#define THREADS_MAX SAMPLE_DEVICES_MAX

typedef struct {
    guint index; /* of the vCPU */
    guint64 tid;
    guint64 time_ns, delay_ns, wait_ns;
    bool has_wait;
} Thread;

typedef struct {
    guint64 pid, start; /* start: in ticks since boot; with the pid it names one process of this boot */
    char *cgroup;       /* as cgroup_of_domain has it; NULL: none */
    GArray *threads;    /* of Thread, by index */
    guint64 user_ns, system_ns, time_ns, rss_kib;
    bool by_cgroup;
    bool is_news; /* not all of where it is was known already */
} Process;

struct Processes {
    gint references;
    char *proc, *cgroup;
    guint64 tick_ns, page_kib;
    GMutex lock;       /* for the next */
    GHashTable *found; /* uuid → pid; NULL: not looked for yet */
};

Processes *processes_new(const char *proc, const char *cgroup)
{
    Processes *processes = g_new0(Processes, 1);
    processes->references = 1;
    processes->proc = g_strdup(proc);
    processes->cgroup = g_strdup(cgroup);
    processes->tick_ns = G_GUINT64_CONSTANT(1000000000) / (guint64)sysconf(_SC_CLK_TCK);
    processes->page_kib = (guint64)sysconf(_SC_PAGESIZE) / 1024;
    g_mutex_init(&processes->lock);
    return processes;
}

Processes *processes_ref(Processes *processes)
{
    g_atomic_int_inc(&processes->references);
    return processes;
}

void processes_unref(Processes *processes)
{
    if (!processes || !g_atomic_int_dec_and_test(&processes->references))
        return;
    if (processes->found)
        g_hash_table_unref(processes->found);
    g_mutex_clear(&processes->lock);
    g_free(processes->proc);
    g_free(processes->cgroup);
    g_free(processes);
}

const char *processes_proc(const Processes *processes)
{
    return processes->proc;
}

/* --- where a process is, as text --- */

/* "PID START CGROUP INDEX:TID INDEX:TID" */
static char *process_text(const Process *process)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %s", process->pid, process->start,
                           process->cgroup ? process->cgroup : NO_CGROUP);
    for (guint i = 0; i < process->threads->len; i++) {
        const Thread *thread = &g_array_index(process->threads, Thread, i);
        g_string_append_printf(text, " %u:%" G_GUINT64_FORMAT, thread->index, thread->tid);
    }
    return g_string_free(text, FALSE);
}

static bool read_thread_word(GArray *threads, const char *word)
{
    char *end;
    const guint64 index = g_ascii_strtoull(word, &end, 10);
    if (end == word || *end != ':' || index >= THREADS_MAX)
        return false;
    const Thread thread = {.index = (guint)index, .tid = g_ascii_strtoull(end + 1, NULL, 10)};
    g_array_append_val(threads, thread);
    return thread.tid != 0;
}

/* false: it says of no process, or is damaged; pid is 0 then. */
static bool read_process_text(const char *text, Process *process)
{
    g_auto(GStrv) words = text ? g_strsplit(text, " ", -1) : NULL;
    const guint n = words ? g_strv_length(words) : 0;
    bool good = n > 3 && (strcmp(words[2], NO_CGROUP) == 0 || g_str_has_prefix(words[2], "1:") ||
                          g_str_has_prefix(words[2], "2:"));
    for (guint i = 3; good && i < n; i++)
        good = read_thread_word(process->threads, words[i]);
    if (!good) {
        g_array_set_size(process->threads, 0);
        return false;
    }
    process->pid = g_ascii_strtoull(words[0], NULL, 10);
    process->start = g_ascii_strtoull(words[1], NULL, 10);
    process->cgroup = strcmp(words[2], NO_CGROUP) == 0 ? NULL : g_strdup(words[2]);
    return process->pid != 0;
}

guint64 processes_pid(const char *process)
{
    return process ? g_ascii_strtoull(process, NULL, 10) : 0;
}

static void process_clear(Process *process)
{
    g_free(process->cgroup);
    g_array_unref(process->threads);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Process, process_clear)

/* --- reading --- */

/* proc(5): fields 14 utime, 15 stime, 22 starttime, 24 rss. The third is the first behind the name, which is in
 * parentheses and may hold some itself. */
static bool read_stat(const Processes *processes, Process *process, guint64 *ret_start)
{
    char path[PATH_MAX], text[FILE_MAX];
    g_snprintf(path, sizeof path, "%s/%" G_GUINT64_FORMAT "/stat", processes->proc, process->pid);
    if (procfs_read(path, text, sizeof text) <= 0)
        return false;
    guint64 user, system, rss;
    const char *fields = strrchr(text, ')');
    if (!fields || !procfs_number_at(fields + 1, 14 - 3, &user) || !procfs_number_at(fields + 1, 15 - 3, &system) ||
        !procfs_number_at(fields + 1, 22 - 3, ret_start) || !procfs_number_at(fields + 1, 24 - 3, &rss))
        return false;
    process->user_ns = user * processes->tick_ns;
    process->system_ns = system * processes->tick_ns;
    process->time_ns = process->user_ns + process->system_ns;
    process->rss_kib = rss * processes->page_kib;
    return true;
}

/* The known one, where it still is the same. */
static bool is_still_there(const Processes *processes, Process *process)
{
    guint64 start;
    return process->pid != 0 && read_stat(processes, process, &start) && start == process->start;
}

/* libvirt keeps the pid of each domain's QEMU. 0: not readable. */
static guint64 pid_of_file(const char *run_dir, const char *name)
{
    char path[PATH_MAX], text[32];
    if (!run_dir)
        return 0;
    g_snprintf(path, sizeof path, "%s/%s.pid", run_dir, name);
    return procfs_read(path, text, sizeof text) > 0 ? g_ascii_strtoull(text, NULL, 10) : 0;
}

static guint64 pid_of_uuid(Processes *processes, const char *uuid)
{
    g_mutex_lock(&processes->lock);
    if (!processes->found)
        processes->found = procfs_find_by_uuid(processes->proc);
    const char *pid = g_hash_table_lookup(processes->found, uuid);
    const guint64 found = pid ? g_ascii_strtoull(pid, NULL, 10) : 0;
    g_mutex_unlock(&processes->lock);
    return found;
}

static bool find(Processes *processes, const char *run_dir, const VmSample *vm, Process *process)
{
    g_clear_pointer(&process->cgroup, g_free);
    g_array_set_size(process->threads, 0);
    process->is_news = true;
    const guint64 pid = vm->uuid ? pid_of_file(run_dir, vm->name) : 0;
    if (pid != 0) /* then it is this one, or not to be seen from here: another of that uuid would be another's */
        process->pid = procfs_has_uuid(processes->proc, pid, vm->uuid) ? pid : 0;
    else
        process->pid = vm->uuid ? pid_of_uuid(processes, vm->uuid) : 0;
    return process->pid != 0 && read_stat(processes, process, &process->start);
}

/* libvirt has QEMU name its threads: "CPU 0/KVM", "CPU 1/TCG". */
static bool vcpu_of_thread(const char *name, guint *ret_index)
{
    if (!g_str_has_prefix(name, "CPU ") || !g_ascii_isdigit(name[4]))
        return false;
    char *end;
    const guint64 index = g_ascii_strtoull(name + 4, &end, 10);
    *ret_index = (guint)index;
    return *end == '/' && index < THREADS_MAX;
}

static gint by_index(gconstpointer a, gconstpointer b)
{
    const Thread *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void list_threads(const Processes *processes, Process *process)
{
    char path[PATH_MAX], name[64];
    process->is_news = true;
    g_snprintf(path, sizeof path, "%s/%" G_GUINT64_FORMAT "/task", processes->proc, process->pid);
    g_array_set_size(process->threads, 0);
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    for (const char *entry; directory && (entry = g_dir_read_name(directory));) {
        Thread thread = {.tid = g_ascii_strtoull(entry, NULL, 10)};
        g_snprintf(path, sizeof path, "%s/%" G_GUINT64_FORMAT "/task/%s/comm", processes->proc, process->pid, entry);
        if (procfs_read(path, name, sizeof name) > 0 && vcpu_of_thread(name, &thread.index) && thread.tid != 0)
            g_array_append_val(process->threads, thread);
    }
    g_array_sort(process->threads, by_index);
}

static bool read_run_time(const Processes *processes, guint64 pid, Thread *thread)
{
    char path[PATH_MAX], text[FILE_MAX];
    g_snprintf(path, sizeof path, "%s/%" G_GUINT64_FORMAT "/task/%" G_GUINT64_FORMAT "/schedstat", processes->proc, pid,
               thread->tid);
    return procfs_read(path, text, sizeof text) > 0 && procfs_number_at(text, 0, &thread->time_ns) &&
           procfs_number_at(text, 1, &thread->delay_ns);
}

/* "se.statistics.wait_sum   :   12.345678", milliseconds; without "statistics." since Linux 5.16. It is kept where
 * kernel.sched_schedstats is on. */
static void read_wait(const Processes *processes, guint64 pid, Thread *thread)
{
    char path[PATH_MAX], text[FILE_MAX];
    g_snprintf(path, sizeof path, "%s/%" G_GUINT64_FORMAT "/task/%" G_GUINT64_FORMAT "/sched", processes->proc, pid,
               thread->tid);
    thread->has_wait = true;
    if (procfs_read(path, text, sizeof text) <= 0)
        return;
    const char *line = strstr(text, "\nse.statistics.wait_sum");
    if (!line)
        line = strstr(text, "\nse.wait_sum");
    const char *colon = line ? strchr(line, ':') : NULL;
    const double ms = colon ? g_ascii_strtod(colon + 1, NULL) : 0;
    if (ms > 0 && ms < 1e12)
        thread->wait_ns = (guint64)(ms * 1e6);
}

static bool read_threads(const Processes *processes, Process *process, bool thorough)
{
    for (guint i = 0; i < process->threads->len; i++) {
        Thread *thread = &g_array_index(process->threads, Thread, i);
        if (!read_run_time(processes, process->pid, thread))
            return false;
        if (thorough)
            read_wait(processes, process->pid, thread);
    }
    return process->threads->len > 0;
}

/* What the cgroup has counted is not what the process's own times are: rates need the same of both. false: it has
 * served before and does not now; then libvirt is to be asked, which has the cgroup's too. */
static bool read_cgroup(const Processes *processes, Process *process, const char *served_before)
{
    process->by_cgroup = process->cgroup && cgroup_cpu(processes->cgroup, process->cgroup, &process->time_ns,
                                                       &process->user_ns, &process->system_ns);
    if (process->by_cgroup || !process->cgroup)
        return true;
    if (g_strcmp0(process->cgroup, served_before) == 0)
        return false;
    g_clear_pointer(&process->cgroup, g_free);
    return true;
}

/* A thread that has gone is a vCPU that was unplugged. */
static bool read_all(Processes *processes, const char *run_dir, const VmSample *vm, Process *process, bool thorough)
{
    if (!is_still_there(processes, process) && !find(processes, run_dir, vm, process))
        return false;
    g_autofree char *served_before = g_strdup(process->cgroup);
    if (process->threads->len == 0 || thorough) {
        g_free(process->cgroup);
        process->cgroup = cgroup_of_domain(processes->proc, process->pid, processes->cgroup);
        list_threads(processes, process);
    }
    if (!read_cgroup(processes, process, served_before))
        return false;
    if (read_threads(processes, process, thorough))
        return true;
    list_threads(processes, process);
    return read_threads(processes, process, thorough);
}

/* --- filing --- */

static void file_figures(VmSample *vm, const Process *process)
{
    row_set_u64(vm->row, METRIC_VM_CPU_TIME, process->time_ns);
    row_set_u64(vm->row, METRIC_VM_CPU_USER, process->user_ns);
    row_set_u64(vm->row, METRIC_VM_CPU_SYSTEM, process->system_ns);
    row_set_u64(vm->row, METRIC_VM_MEMORY_RSS, process->rss_kib);
    for (guint i = 0; i < process->threads->len; i++) {
        const Thread *thread = &g_array_index(process->threads, Thread, i);
        MetricRow *row = vm_sample_row(vm, SCOPE_VCPU, thread->index);
        row_set_u64(row, METRIC_VCPU_TIME, thread->time_ns);
        row_set_u64(row, METRIC_VCPU_DELAY, thread->delay_ns);
        if (thread->has_wait)
            row_set_u64(row, METRIC_VCPU_WAIT, thread->wait_ns);
    }
    vm->served[GROUP_KERNEL] = process->by_cgroup ? SERVED_CGROUP : SERVED_PROC;
    vm->group_ns[GROUP_KERNEL] = host_boottime_ns();
}

bool processes_read(Processes *processes, const char *run_dir, VmSample *vm, const char *known, bool thorough)
{
    g_free(vm->process);
    vm->process = g_strdup(NOT_FOUND);
    if (g_strcmp0(known, NOT_FOUND) == 0 && !thorough)
        return false;
    g_auto(Process) process = {.threads = g_array_new(FALSE, TRUE, sizeof(Thread))};
    read_process_text(known, &process);
    if (!read_all(processes, run_dir, vm, &process, thorough))
        return false;
    file_figures(vm, &process);
    g_free(vm->process);
    vm->process = process.is_news ? process_text(&process) : g_strdup(known);
    return true;
}
