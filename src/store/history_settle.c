/* SPDX-License-Identifier: Apache-2.0
 * One VM's pending samples into its rows of the tiers. */
#include "store/history_internal.h"

/* --- samples in order --- */

static gint by_time(gconstpointer a, gconstpointer b)
{
    const PendingSample *x = a, *y = b;
    if (x->time_ns != y->time_ns)
        return x->time_ns < y->time_ns ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

GArray *history_sort_pending(const GByteArray *samples, gint64 after_seq)
{
    GArray *sorted = g_array_new(FALSE, FALSE, sizeof(PendingSample));
    guint offset = 0;
    PendingSample sample;
    while (pending_next(samples, &offset, &sample))
        if (sample.seq > after_seq)
            g_array_append_val(sorted, sample);
    g_array_sort(sorted, by_time);
    return sorted;
}

static void overlay(PackRow *row, const PackRow *later)
{
    for (; row->n < later->n; row->n++)
        row->figure[row->n].count = 0;
    for (guint i = 0; i < later->n; i++)
        if (later->figure[i].count)
            row->figure[i] = later->figure[i];
}

bool history_next_sample(const GArray *sorted, guint *at, gint64 *ret_time_ns, PackRow *ret_row)
{
    if (*at >= sorted->len)
        return false;
    const gint64 time_ns = g_array_index(sorted, PendingSample, *at).time_ns;
    ret_row->n = 0;
    for (; *at < sorted->len; (*at)++) {
        const PendingSample *sample = &g_array_index(sorted, PendingSample, *at);
        PackRow row;
        if (sample->time_ns != time_ns)
            break;
        if (pack_read(sample->data, sample->length, &row))
            overlay(ret_row, &row);
    }
    *ret_time_ns = time_ns;
    return true;
}

/* --- rows of the tiers --- */

typedef struct {
    History *history;
    guint64 vm_id;
    HistoryTier tier;
    GError **error;
} Target;

/* *ret_length is 0 where there is no such row. One that can't be read is taken for none: it is written over. */
static bool get_row(const Target *target, gint64 time, PackRow *ret_row, gsize *ret_length)
{
    HistoryDb *db = target->history->db;
    g_autoptr(GError) reason = NULL;
    sqlite3_stmt *statement = history_db_bind(db, SQL_ONE + target->tier, "ii", (gint64)target->vm_id, time);
    ret_row->n = 0;
    *ret_length = 0;
    if (history_db_next(db, statement, &reason)) {
        const guint8 *data = history_db_blob(statement, 0, ret_length);
        if (!pack_read(data, *ret_length, ret_row))
            ret_row->n = 0;
        while (history_db_next(db, statement, &reason))
            ;
    }
    if (reason)
        g_propagate_error(target->error, g_steal_pointer(&reason));
    return !reason;
}

/* Of a row that is about to be written. Where nothing was it is the oldest; where nobody has looked yet what there was,
 * a round of sweeping will tell. */
static void note_oldest(const Target *target, gint64 time)
{
    History *history = target->history;
    const gint64 time_ns = time * history_tier_unit(target->tier);
    gint64 *oldest = &history->oldest[target->tier], *round = &history->round_oldest[target->tier];
    if (history->sizes[target->tier].rows == 0 || (*oldest && time_ns < *oldest))
        *oldest = time_ns;
    if (*round == 0 || time_ns < *round)
        *round = time_ns;
}

/* `before`: length of the row that it replaces; 0: none. */
static bool put_row(const Target *target, gint64 time, const PackRow *row, gsize before)
{
    History *history = target->history;
    guint8 data[PACK_BYTES_MAX];
    gsize length = target->tier == TIER_RAW ? pack_write_sample(data, row) : pack_write_bucket(data, row);
    TierSize *size = &history->sizes[target->tier];
    note_oldest(target, time);
    size->rows += before == 0;
    size->bytes += (gint64)length - (gint64)before;
    return history_db_run(history->db, target->error, SQL_PUT + target->tier, "iib", (gint64)target->vm_id, time, data,
                          length);
}

/* A RollupBucket: what the tier has of it already is merged in. */
static bool put_bucket(gint64 begin_ns, const PackRow *row, gpointer data)
{
    const Target *target = data;
    const gint64 time = begin_ns / history_tier_unit(target->tier);
    PackRow known;
    gsize before;
    if (!get_row(target, time, &known, &before))
        return false;
    rollup_merge_row(&known, row);
    return put_row(target, time, &known, before);
}

/* Puts the sample into the raw tier; *row is then what is new in it, *ret_news whether anything is. Without a raw tier
 * nobody can tell, and it is taken for new. */
static bool put_raw(const Target *target, gint64 time_ns, bool late, PackRow *row, bool *ret_news)
{
    PackRow known = {.n = 0};
    gsize before = 0;
    *ret_news = true;
    if (late && !get_row(target, time_ns, &known, &before))
        return false;
    if (before == 0)
        return put_row(target, time_ns, row, 0);
    *ret_news = rollup_subtract(row, &known);
    if (!*ret_news)
        return true;
    rollup_merge_row(&known, row);
    return put_row(target, time_ns, &known, before);
}

/* --- a VM --- */

/* Where a tier begins that is kept; what is older need not be written. */
static gint64 tier_begin(History *history, HistoryTier tier)
{
    g_mutex_lock(&history->lock);
    const gint64 keep_s = history->options.keep_s[tier];
    g_mutex_unlock(&history->lock);
    return keep_s > 0 ? MAX(history_now_ns() - keep_s * HISTORY_NS_PER_S, history->cut[tier]) : G_MAXINT64;
}

static bool get_settled(History *history, guint64 vm_id, gint64 *ret_seq, gint64 *ret_time_ns, GError **error)
{
    g_autoptr(GError) reason = NULL;
    sqlite3_stmt *statement = history_db_bind(history->db, SQL_SETTLED_ONE, "i", (gint64)vm_id);
    *ret_seq = *ret_time_ns = 0;
    while (history_db_next(history->db, statement, &reason)) {
        *ret_seq = history_db_i64(statement, 0);
        *ret_time_ns = history_db_i64(statement, 1);
    }
    if (reason)
        g_propagate_error(error, g_steal_pointer(&reason));
    return !reason;
}

static bool settle_samples(History *history, guint64 vm_id, const GArray *sorted, gint64 settled_ns, GError **error)
{
    Target targets[N_TIERS];
    Rollup rollups[N_TIERS];
    gint64 begin[N_TIERS];
    guint at = 0;
    gint64 time_ns;
    PackRow row;
    for (HistoryTier tier = 0; tier < N_TIERS; tier++) {
        targets[tier] = (Target){history, vm_id, tier, error};
        begin[tier] = tier_begin(history, tier);
        rollup_init(&rollups[tier], history_tier_step(tier), put_bucket, &targets[tier]);
    }
    while (history_next_sample(sorted, &at, &time_ns, &row)) {
        bool news = true;
        if (time_ns >= begin[TIER_RAW] && !put_raw(&targets[TIER_RAW], time_ns, time_ns <= settled_ns, &row, &news))
            return false;
        for (HistoryTier tier = TIER_MINUTE; tier < N_TIERS && news; tier++)
            if (time_ns >= begin[tier] && !rollup_add(&rollups[tier], time_ns, &row))
                return false;
    }
    return rollup_end(&rollups[TIER_MINUTE]) && rollup_end(&rollups[TIER_QUARTER]);
}

bool history_settle_vm(History *history, const Pending *pending, GError **error)
{
    gint64 seq, settled_ns;
    if (!get_settled(history, pending->vm_id, &seq, &settled_ns, error))
        return false;
    g_autoptr(GArray) sorted = history_sort_pending(pending->samples, seq);
    if (sorted->len == 0)
        return true;
    for (guint i = 0; i < sorted->len; i++)
        seq = MAX(seq, g_array_index(sorted, PendingSample, i).seq);
    const gint64 newest_ns = MAX(settled_ns, g_array_index(sorted, PendingSample, sorted->len - 1).time_ns);
    return settle_samples(history, pending->vm_id, sorted, settled_ns, error) &&
           history_db_run(history->db, error, SQL_SETTLED_PUT, "iii", (gint64)pending->vm_id, seq, newest_ns);
}
