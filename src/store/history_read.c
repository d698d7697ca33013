/* SPDX-License-Identifier: Apache-2.0
 * Queries: rows of a tier and pending samples, put together by time. */
#include "store/history_internal.h"

#include <string.h>

void history_answer_free(HistoryAnswer *answer)
{
    if (!answer)
        return;
    for (guint i = 0; i < answer->n_series; i++)
        g_array_unref(answer->series[i]);
    g_free(answer->series);
    g_free(answer);
}

/* A query under way. */
typedef struct {
    History *history;
    const HistoryQuery *query;
    HistoryDb *db;
    GArray *pending;                         /* of PendingSample, those that are in no tier */
    gint64 oldest[N_TIERS], newest[N_TIERS]; /* realtime, rows and pending; oldest G_MAXINT64: there are none */
    bool kept[N_TIERS];
    HistoryAnswer *answer;
} Reading;

/* --- what there is --- */

static GByteArray *copy_pending(History *history, guint64 vm_id)
{
    GByteArray *copy = g_byte_array_new();
    g_mutex_lock(&history->pending_lock);
    const Pending *pending = g_hash_table_lookup(history->pending, &vm_id);
    if (pending)
        g_byte_array_append(copy, pending->samples->data, pending->samples->len);
    g_mutex_unlock(&history->pending_lock);
    return copy;
}

static bool survey_tier(Reading *reading, HistoryTier tier, GError **error)
{
    const gint64 vm_id = (gint64)reading->query->vm_id, unit = history_tier_unit(tier);
    const GArray *pending = reading->pending;
    gint64 oldest, newest;
    if (!history_db_number(reading->db, G_MAXINT64, &oldest, error, SQL_OLDEST + tier, "i", vm_id) ||
        !history_db_number(reading->db, G_MININT64, &newest, error, SQL_NEWEST + tier, "i", vm_id))
        return false;
    reading->oldest[tier] = oldest == G_MAXINT64 ? G_MAXINT64 : oldest * unit;
    reading->newest[tier] = newest == G_MININT64 ? G_MININT64 : newest * unit;
    if (reading->kept[tier] && pending->len > 0) {
        reading->oldest[tier] = MIN(reading->oldest[tier], g_array_index(pending, PendingSample, 0).time_ns);
        reading->newest[tier] =
            MAX(reading->newest[tier], g_array_index(pending, PendingSample, pending->len - 1).time_ns);
    }
    return true;
}

/* It has what there is since `from`: it begins at most one step of any other tier later than that one would. */
static bool reaches(const Reading *reading, HistoryTier tier)
{
    if (reading->oldest[tier] == G_MAXINT64)
        return false;
    for (HistoryTier other = 0; other < N_TIERS; other++)
        if (reading->oldest[other] != G_MAXINT64 &&
            reading->oldest[tier] - history_tier_step(other) > MAX(reading->oldest[other], reading->query->from_ns))
            return false;
    return true;
}

/* --- which tier, which step --- */

/* Time that the answer covers, in which the tier has anything. */
static gint64 span_of(const Reading *reading, HistoryTier tier)
{
    const HistoryQuery *query = reading->query;
    gint64 begin = MAX(query->from_ns, reading->oldest[tier]), end = MIN(query->to_ns, reading->newest[tier] + 1);
    return begin < end ? end - begin : 0;
}

/* The step, a multiple of it, that gives at most so many points. */
static gint64 widened(gint64 step_ns, gint64 span_ns, guint most)
{
    const gint64 fit = MAX((gint64)most - 1, 1); /* both ends may lie within a step */
    gint64 times = span_ns / step_ns / fit + 1;
    return span_ns / step_ns < fit ? step_ns : step_ns * times;
}

/* Samples of the raw tier in the time asked for, or `limit` where there are more. */
static bool count_raw(const Reading *reading, guint limit, guint *ret_count, GError **error)
{
    const HistoryQuery *query = reading->query;
    gint64 count;
    if (!history_db_number(reading->db, 0, &count, error, SQL_COUNT + TIER_RAW, "iiii", (gint64)query->vm_id,
                           query->from_ns, query->to_ns, (gint64)limit))
        return false;
    guint pending = 0;
    for (guint i = 0; i < reading->pending->len; i++) {
        const gint64 time_ns = g_array_index(reading->pending, PendingSample, i).time_ns;
        pending += time_ns >= query->from_ns && time_ns < query->to_ns;
    }
    *ret_count = MIN((guint)count + pending, limit);
    return true;
}

static bool choose_without_step(Reading *reading, GError **error)
{
    HistoryAnswer *answer = reading->answer;
    const guint most = MIN(HISTORY_POINTS_WANTED, HISTORY_POINTS_MAX / reading->query->n_metrics);
    guint raw = 0;
    if (reaches(reading, TIER_RAW) && !count_raw(reading, most + 1, &raw, error))
        return false;
    for (HistoryTier tier = 0; tier < N_TIERS; tier++) {
        if (!reaches(reading, tier))
            continue;
        const gint64 step_ns = history_tier_step(tier), span_ns = span_of(reading, tier);
        answer->tier = tier;
        answer->step_ns = step_ns;
        if (tier == TIER_RAW ? raw <= most : widened(step_ns, span_ns, most) == step_ns)
            return true;
        answer->step_ns = widened(step_ns ? step_ns : HISTORY_NS_PER_S, span_ns, most);
    }
    return true;
}

static void choose_with_step(Reading *reading)
{
    HistoryAnswer *answer = reading->answer;
    const gint64 asked_ns = reading->query->step_ns;
    const guint most = HISTORY_POINTS_MAX / reading->query->n_metrics;
    bool found = false;
    for (HistoryTier tier = N_TIERS; tier-- > 0;) {
        const gint64 step_ns = history_tier_step(tier);
        if (!reaches(reading, tier))
            continue;
        answer->tier = tier; /* the finest that reaches, where none divides it */
        if (step_ns <= asked_ns && (step_ns == 0 || asked_ns % step_ns == 0)) {
            found = true;
            break;
        }
    }
    const gint64 step_ns = history_tier_step(answer->tier);
    const gint64 fitting_ns = found || step_ns == 0 ? asked_ns : (asked_ns + step_ns - 1) / step_ns * step_ns;
    answer->step_ns = widened(fitting_ns, span_of(reading, answer->tier), most);
}

/* --- points --- */

static void add_figure(GArray *series, gint64 time_ns, const PackFigure *figure)
{
    HistoryPoint *last = series->len > 0 ? &g_array_index(series, HistoryPoint, series->len - 1) : NULL;
    if (last && last->time_ns == time_ns) {
        PackFigure sum = {last->min, last->mean, last->max, last->count};
        rollup_merge(&sum, figure);
        *last = (HistoryPoint){time_ns, sum.min, sum.mean, sum.max, sum.count};
        return;
    }
    HistoryPoint point = {time_ns, figure->min, figure->mean, figure->max, figure->count};
    g_array_append_val(series, point);
}

static void add_row(const Reading *reading, gint64 time_ns, const PackRow *row)
{
    const HistoryQuery *query = reading->query;
    const gint64 step_ns = reading->answer->step_ns;
    const gint64 begin_ns = step_ns ? rollup_begin(time_ns, step_ns) : time_ns;
    for (guint i = 0; i < query->n_metrics; i++) {
        const guint number = reading->history->map.number[query->metrics[i]];
        if (number < row->n && row->figure[number].count)
            add_figure(reading->answer->series[i], begin_ns, &row->figure[number]);
    }
}

/* The pending samples as a second row of rows. Of a tier of buckets their time is their bucket's. */
typedef struct {
    const Reading *reading;
    guint at;
    bool there;
    gint64 time_ns;
    PackRow row;
} Pendings;

static void next_pending(Pendings *pendings)
{
    const Reading *reading = pendings->reading;
    const gint64 step_ns = history_tier_step(reading->answer->tier);
    const gint64 from_ns = step_ns ? rollup_begin(reading->query->from_ns, step_ns) : reading->query->from_ns;
    do
        pendings->there = history_next_sample(reading->pending, &pendings->at, &pendings->time_ns, &pendings->row);
    while (pendings->there && pendings->time_ns < from_ns);
    if (pendings->there && pendings->time_ns >= reading->query->to_ns)
        pendings->there = false;
    if (pendings->there && step_ns)
        pendings->time_ns = rollup_begin(pendings->time_ns, step_ns);
}

static void add_pendings_before(Pendings *pendings, gint64 time_ns)
{
    for (; pendings->there && pendings->time_ns < time_ns; next_pending(pendings))
        add_row(pendings->reading, pendings->time_ns, &pendings->row);
}

/* A sample that came again: what the tier has of it counts. */
static void skip_known(Pendings *pendings, gint64 time_ns, PackRow *row)
{
    if (!pendings->there || pendings->time_ns != time_ns || pendings->reading->answer->tier != TIER_RAW)
        return;
    rollup_subtract(&pendings->row, row);
    rollup_merge_row(row, &pendings->row);
    next_pending(pendings);
}

static bool read_rows(Reading *reading, GError **error)
{
    const HistoryQuery *query = reading->query;
    const HistoryTier tier = reading->answer->tier;
    const gint64 unit = history_tier_unit(tier), step_ns = history_tier_step(tier);
    const gint64 from_ns = step_ns ? rollup_begin(query->from_ns, step_ns) : query->from_ns;
    const gint64 to = query->to_ns / unit + (query->to_ns % unit > 0);
    g_autoptr(GError) reason = NULL;
    Pendings pendings = {.reading = reading};
    PackRow row;
    gsize length;
    if (reading->kept[tier])
        next_pending(&pendings);
    sqlite3_stmt *statement =
        history_db_bind(reading->db, SQL_RANGE + tier, "iii", (gint64)query->vm_id, from_ns / unit, to);
    while (history_db_next(reading->db, statement, &reason)) {
        const gint64 time_ns = history_db_i64(statement, 0) * unit;
        const guint8 *data = history_db_blob(statement, 1, &length);
        add_pendings_before(&pendings, time_ns);
        if (!pack_read(data, length, &row))
            continue;
        skip_known(&pendings, time_ns, &row);
        add_row(reading, time_ns, &row);
    }
    add_pendings_before(&pendings, G_MAXINT64);
    if (reason)
        g_propagate_error(error, g_steal_pointer(&reason));
    return !reason;
}

/* --- a query --- */

/* Pending samples were copied before this begins: what has been settled since then says so in `settled`. */
static bool read_all(Reading *reading, const GByteArray *pending, GError **error)
{
    gint64 settled;
    if (!history_db_number(reading->db, 0, &settled, error, SQL_SETTLED_ONE, "i", (gint64)reading->query->vm_id))
        return false;
    reading->pending = history_sort_pending(pending, settled);
    for (HistoryTier tier = 0; tier < N_TIERS; tier++)
        if (!survey_tier(reading, tier, error))
            return false;
    if (reading->query->step_ns > 0)
        choose_with_step(reading);
    else if (!choose_without_step(reading, error))
        return false;
    return read_rows(reading, error);
}

static bool check_query(const HistoryQuery *query, GError **error)
{
    bool right = query->n_metrics > 0 && query->n_metrics <= HISTORY_POINTS_WANTED && query->step_ns >= 0 &&
                 query->from_ns >= 0 && query->from_ns < query->to_ns;
    for (guint i = 0; i < query->n_metrics && right; i++)
        right = history_has_metric(query->metrics[i]);
    if (!right)
        g_set_error(error, HISTORY_ERROR, HISTORY_ERROR_QUERY, "no query: metrics, times or step are wrong");
    return right;
}

static HistoryAnswer *answer_new(guint n_series)
{
    HistoryAnswer *answer = g_new0(HistoryAnswer, 1);
    answer->series = g_new(GArray *, n_series);
    answer->n_series = n_series;
    for (guint i = 0; i < n_series; i++)
        answer->series[i] = g_array_new(FALSE, FALSE, sizeof(HistoryPoint));
    return answer;
}

HistoryAnswer *history_query(History *history, const HistoryQuery *query, GError **error)
{
    g_autoptr(GError) reason = NULL;
    guint generation;
    if (!check_query(query, error))
        return NULL;
    g_autoptr(GByteArray) pending = copy_pending(history, query->vm_id);
    g_autoptr(HistoryAnswer) answer = answer_new(query->n_metrics);
    Reading reading = {.history = history, .query = query, .answer = answer};
    g_mutex_lock(&history->lock);
    for (guint tier = 0; tier < N_TIERS; tier++)
        reading.kept[tier] = history->options.keep_s[tier] > 0;
    g_mutex_unlock(&history->lock);
    if (!(reading.db = history_reader_take(history, &generation, error)))
        return NULL;
    if (history_db_run(reading.db, &reason, SQL_BEGIN_READ, "")) {
        read_all(&reading, pending, &reason);
        history_db_run(reading.db, NULL, SQL_COMMIT, "");
    }
    history_reader_give(history, reading.db, generation, reason);
    if (reading.pending)
        g_array_unref(reading.pending);
    if (!reason)
        return g_steal_pointer(&answer);
    g_propagate_error(error, g_steal_pointer(&reason));
    return NULL;
}
