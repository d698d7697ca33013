/* SPDX-License-Identifier: Apache-2.0
 * What the tests of the history share. Header only: other tests have no use for it. */
#pragma once

#include "gather_helpers.h"

#include "store/history_internal.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define S HISTORY_NS_PER_S
#define MINUTE (60 * S)
#define QUARTER (900 * S)
#define HOUR (3600 * S)

typedef struct {
    char *dir, *path;
} Place;

static inline void set_up_place(Place *place)
{
    place->dir = make_temporary_dir();
    place->path = g_build_filename(place->dir, "history.sqlite", NULL);
}

static inline void clear_place(Place *place)
{
    remove_tree(place->dir);
    g_free(place->dir);
    g_free(place->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, clear_place)
#define PLACE(name)                                                                                                    \
    g_auto(Place) name = {0};                                                                                          \
    set_up_place(&name)

/* All tiers for ten years, written at once when asked to. */
static const HistoryOptions keep_all = {.keep_s = {315360000, 315360000, 315360000}, .flush_ms = 3600000};

static inline History *open_with(const Place *place, const HistoryOptions *options)
{
    g_autoptr(GError) error = NULL;
    History *history = history_open(place->path, options, &error);
    if (!history)
        fail_msg("%s", error->message);
    return history;
}

static inline History *open_history(const Place *place)
{
    return open_with(place, &keep_all);
}

/* A quarter of an hour's begin, some hours ago. */
static inline gint64 some_hours_ago(guint hours)
{
    return rollup_begin(history_now_ns() - hours * HOUR, QUARTER);
}

/* With CPU use, and what network rate and memory follow from it. */
static inline VmRecord *record_at(guint64 vm_id, gint64 time_ns, double value)
{
    g_autofree char *name = g_strdup_printf("one-%" G_GUINT64_FORMAT, vm_id);
    VmRecord *record = vm_record_new(vm_id, vm_sample_new(name));
    record->time_ns = time_ns;
    row_set_real(record->sample->row, METRIC_VM_CPU_USAGE_PERCENT, value);
    row_set_real(record->sample->row, METRIC_VM_NET_RX_BYTES_RATE, 1000 * value);
    row_set_u64(record->sample->row, METRIC_VM_MEMORY_RSS, 4194304);
    row_set_u64(record->sample->row, METRIC_VM_CPU_TIME, 123); /* a counter: not kept */
    return record;
}

static inline void add(History *history, guint64 vm_id, gint64 time_ns, double value)
{
    g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify)vm_record_unref);
    g_ptr_array_add(records, record_at(vm_id, time_ns, value));
    history_add(history, records);
}

/* One sample each `every`, of value 0, 1, 2 … */
static inline void add_many(History *history, guint64 vm_id, gint64 from, gint64 every, guint n)
{
    for (guint i = 0; i < n; i++)
        add(history, vm_id, from + i * every, i);
}

static inline HistoryAnswer *ask(History *history, guint64 vm_id, gint64 from, gint64 to, gint64 step)
{
    static const Metric metrics[] = {METRIC_VM_CPU_USAGE_PERCENT, METRIC_VM_MEMORY_RSS};
    const HistoryQuery query = {vm_id, metrics, 2, from, to, step};
    g_autoptr(GError) error = NULL;
    HistoryAnswer *answer = history_query(history, &query, &error);
    if (!answer)
        fail_msg("%s", error->message);
    assert_int_equal(answer->n_series, 2);
    return answer;
}

static inline const HistoryPoint *point(const HistoryAnswer *answer, guint i)
{
    assert_true(i < answer->series[0]->len);
    return &g_array_index(answer->series[0], HistoryPoint, i);
}

static inline void check_point(const HistoryAnswer *answer, guint i, HistoryPoint want)
{
    const HistoryPoint *got = point(answer, i);
    CHECK(got->time_ns == want.time_ns, "point %u: time is off by %" G_GINT64_FORMAT " ns", i,
          got->time_ns - want.time_ns);
    CHECK(got->count == want.count, "point %u: count %u", i, got->count);
    CHECK(got->min == want.min && got->max == want.max, "point %u: %g to %g", i, got->min, got->max);
    CHECK(got->mean > want.mean - 1e-4 && got->mean < want.mean + 1e-4, "point %u: mean %g", i, got->mean);
}

/* Files in the place whose name has that beginning. */
static inline guint files_named(const Place *place, const char *prefix)
{
    guint n = 0;
    GDir *dir = g_dir_open(place->dir, 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir));)
        n += g_str_has_prefix(name, prefix);
    g_dir_close(dir);
    return n;
}
