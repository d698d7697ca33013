/* SPDX-License-Identifier: Apache-2.0
 * What the history costs: history_bench [VMS [HOURS [SECONDS]]] fills one with so many VMs, so many hours long, a
 * sample each so many seconds, settled as they are in life, and prints what that took, how much room it takes, and the
 * CPU time of queries of one VM. */
#include "store/history_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define QUERIES 50
#define SETTLE_EVERY_S 600

typedef struct {
    guint vms, hours, every_s;
} Extent;

static double cpu_ms(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

/* Bytes that went to the disk, by the kernel's count; 0 where it has none. */
static double written_bytes(void)
{
    g_autofree char *text = NULL;
    const char *line = g_file_get_contents("/proc/self/io", &text, NULL, NULL) ? strstr(text, "\nwrite_bytes: ") : NULL;
    return line ? g_ascii_strtod(line + strlen("\nwrite_bytes: "), NULL) : 0;
}

/* A guest with some work: rates and percentages that move, every other pair of them idle; memory that stands. */
static VmRecord *record_of(guint64 vm_id, gint64 time_ns, GRand *random)
{
    g_autofree char *name = g_strdup_printf("one-%" G_GUINT64_FORMAT, vm_id);
    VmRecord *record = vm_record_new(vm_id, vm_sample_new(name));
    record->time_ns = time_ns;
    for (Metric m = metric_first(SCOPE_VM); m < metric_first(SCOPE_VM + 1); m++) {
        if (!history_has_metric(m))
            continue;
        if (metric_info[m].kind == KIND_GAUGE)
            row_set_u64(record->sample->row, m, 8388608 + (m % 3 ? 0 : (guint64)g_rand_int_range(random, 0, 9999)));
        else
            row_set_real(record->sample->row, m, m / 2 % 2 ? 0 : g_rand_double_range(random, 0, 1e5));
    }
    return record;
}

static void fill(History *history, const Extent *extent, gint64 begin_ns)
{
    GRand *random = g_rand_new_with_seed(1);
    for (guint s = 0; s < extent->hours * 3600; s += extent->every_s) {
        g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify)vm_record_unref);
        for (guint vm = 0; vm < extent->vms; vm++)
            g_ptr_array_add(records, record_of(vm, begin_ns + s * HISTORY_NS_PER_S, random));
        history_add(history, records);
        history_flush(history, s % SETTLE_EVERY_S == 0);
    }
    history_flush(history, true);
    g_rand_free(random);
}

static void query(History *history, const Extent *extent, gint64 begin_ns, gint64 step_s)
{
    static const Metric metrics[] = {METRIC_VM_CPU_USAGE_PERCENT};
    const HistoryQuery question = {
        extent->vms / 2,          metrics, 1, begin_ns, begin_ns + extent->hours * 3600 * HISTORY_NS_PER_S,
        step_s * HISTORY_NS_PER_S};
    guint points = 0;
    HistoryTier tier = TIER_RAW;
    const double before = cpu_ms(RUSAGE_THREAD);
    for (guint i = 0; i < QUERIES; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(HistoryAnswer) answer = history_query(history, &question, &error);
        if (!answer)
            g_error("%s", error->message);
        points = answer->series[0]->len;
        tier = answer->tier;
    }
    printf("query of %u h, step %" G_GINT64_FORMAT " s: %.2f ms of CPU, %u points of tier %s\n", extent->hours, step_s,
           (cpu_ms(RUSAGE_THREAD) - before) / QUERIES, points, history_tier_name(tier));
}

static void report(History *history, const Extent *extent, double spent_ms, double written)
{
    static const guint a_day[N_TIERS] = {0, 1440, 96};
    const double samples = (double)extent->vms * extent->hours * 3600 / extent->every_s;
    HistoryStatus status;
    history_status(history, &status);
    printf("%u VMs, %u h, each %u s: %.1f us of CPU and %.0f bytes to the disk per sample; the file has %.1f MB\n",
           extent->vms, extent->hours, extent->every_s, spent_ms * 1e3 / samples, written / samples,
           (double)status.bytes / 1e6);
    for (guint tier = 0; tier < N_TIERS; tier++) {
        const double size = (double)history->sizes[tier].bytes / (double)MAX(history->sizes[tier].rows, 1);
        const double rows = tier == TIER_RAW ? 86400.0 / extent->every_s : a_day[tier];
        printf("tier %s: %.0f bytes of figures per row, %.0f kB per VM and day\n", history_tier_name(tier), size,
               size * rows / 1e3);
    }
    history_status_clear(&status);
}

/* 0: it is none. */
static guint number_of(int argc, char **argv, int i, guint otherwise)
{
    guint64 number = 0;
    if (argc <= i)
        return otherwise;
    return g_ascii_string_to_unsigned(argv[i], 10, 1, 1000000, &number, NULL) ? (guint)number : 0;
}

int main(int argc, char **argv)
{
    const Extent extent = {number_of(argc, argv, 1, 100), number_of(argc, argv, 2, 24), number_of(argc, argv, 3, 10)};
    if (extent.vms == 0 || extent.hours == 0 || extent.every_s == 0) {
        fprintf(stderr, "usage: history_bench [VMS [HOURS [SECONDS]]]\n");
        return 2;
    }
    const HistoryOptions options = {.keep_s = {315360000, 315360000, 315360000}, .flush_ms = 3600000};
    g_autoptr(GError) error = NULL;
    g_autofree char *dir = g_dir_make_tmp("history-bench-XXXXXX", &error);
    g_autofree char *path = dir ? g_build_filename(dir, "history.sqlite", NULL) : NULL;
    History *history = path ? history_open(path, &options, &error) : NULL;
    if (!history) {
        fprintf(stderr, "history_bench: %s\n", error->message);
        return 1;
    }
    const gint64 begin_ns =
        rollup_begin(history_now_ns() - extent.hours * 3600 * HISTORY_NS_PER_S, 900 * HISTORY_NS_PER_S);
    const double spent = cpu_ms(RUSAGE_SELF), written = written_bytes();
    fill(history, &extent, begin_ns);
    report(history, &extent, cpu_ms(RUSAGE_SELF) - spent, written_bytes() - written);
    query(history, &extent, begin_ns, 10);
    query(history, &extent, begin_ns, 60);
    query(history, &extent, begin_ns, 0);
    history_close(history);
    g_autofree char *lock = g_strconcat(path, ".lock", NULL);
    remove(lock);
    remove(path);
    remove(dir);
    return 0;
}
