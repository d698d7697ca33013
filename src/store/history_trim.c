/* SPDX-License-Identifier: Apache-2.0
 * What is too old, or too much, goes: VM by VM, a little at each flush. A round through all VMs takes ROUND_US; while
 * the file is larger than it may be, each flush goes on for SQUEEZE_US. */
#include "store/history_internal.h"

#include <string.h>

#define ROUND_US (600 * G_USEC_PER_SEC)
#define SQUEEZE_US (G_USEC_PER_SEC / 4)
#define SWEEP_BATCH 64         /* VMs of one transaction */
#define DELETE_MAX 1000        /* rows of one VM and tier at a time */
#define JOURNAL_TRIM_MAX 20000 /* rows of a flush */
#define KEEP_VMS_MIN_NS (86400 * HISTORY_NS_PER_S)
#define ROW_BYTES 24     /* that a row takes besides its figures, about */
#define SQUEEZE_PARTS 10 /* one of them goes at a time */

/* --- the journal --- */

/* Rows of the journal that all are in the tiers. */
static bool trim_journal(History *history, GError **error)
{
    const Pending *first = g_queue_peek_head(&history->order);
    gint64 keep = MIN(first ? first->first_seq : history->next_seq, history->journal_first + JOURNAL_TRIM_MAX);
    if (keep <= history->journal_first)
        return true;
    if (!history_db_run(history->db, error, SQL_JOURNAL_TRIM, "i", keep))
        return false;
    history->journal_first = keep;
    return true;
}

/* --- one VM --- */

/* Where each tier begins now, realtime; G_MAXINT64: none of it is kept. */
typedef struct {
    gint64 begin_ns[N_TIERS];
    gint64 longest_ns; /* the earliest of them: where events begin, and VMs that nobody has seen since are forgotten */
} Limits;

static Limits limits_now(History *history, guint64 *ret_max_bytes)
{
    const gint64 now_ns = history_now_ns();
    Limits limits = {.longest_ns = now_ns - KEEP_VMS_MIN_NS};
    g_mutex_lock(&history->lock);
    for (guint tier = 0; tier < N_TIERS; tier++) {
        const gint64 keep_s = history->options.keep_s[tier];
        gint64 begin_ns = keep_s > 0 ? now_ns - keep_s * HISTORY_NS_PER_S : G_MAXINT64;
        limits.longest_ns = MIN(limits.longest_ns, begin_ns);
        limits.begin_ns[tier] = MAX(begin_ns, history->cut[tier]);
    }
    *ret_max_bytes = history->options.max_bytes;
    g_mutex_unlock(&history->lock);
    return limits;
}

static bool sweep_tier(History *history, guint64 vm_id, HistoryTier tier, gint64 begin_ns, bool *ret_left,
                       GError **error)
{
    HistoryDb *db = history->db;
    TierSize *size = &history->sizes[tier];
    gint64 oldest, begin = begin_ns == G_MAXINT64 ? G_MAXINT64 : begin_ns / history_tier_unit(tier);
    if (!history_db_run(db, error, SQL_DELETE + tier, "iii", (gint64)vm_id, begin, (gint64)DELETE_MAX))
        return false;
    const gint64 deleted = MIN((gint64)history_db_changes(db), size->rows);
    size->bytes -= size->rows > 0 ? (gint64)((double)size->bytes / (double)size->rows * (double)deleted) : 0;
    size->rows -= deleted;
    if (!history_db_number(db, 0, &oldest, error, SQL_OLDEST + tier, "i", (gint64)vm_id))
        return false;
    oldest *= history_tier_unit(tier);
    gint64 *round = &history->round_oldest[tier];
    if (oldest && (*round == 0 || oldest < *round))
        *round = oldest;
    *ret_left |= oldest != 0;
    return true;
}

/* One that has nothing left, and nothing pending, is not looked at again. */
static bool sweep_vm(History *history, guint64 vm_id, const Limits *limits, GError **error)
{
    bool left = g_hash_table_contains(history->pending, &vm_id); /* ours to change: no lock to look */
    for (HistoryTier tier = 0; tier < N_TIERS; tier++)
        if (!sweep_tier(history, vm_id, tier, limits->begin_ns[tier], &left, error))
            return false;
    return left || history_db_run(history->db, error, SQL_SETTLED_DELETE, "i", (gint64)vm_id);
}

/* --- rounds --- */

#define NO_VM (-1)

/* The VM behind the last; NO_VM: the round is over. */
static bool next_vm(History *history, gint64 *ret_vm_id, GError **error)
{
    return history_db_number(history->db, NO_VM, ret_vm_id, error, SQL_SETTLED_AFTER, "i", history->sweep_after);
}

static bool end_round(History *history, const Limits *limits, GError **error)
{
    memcpy(history->oldest, history->round_oldest, sizeof history->oldest);
    memset(history->round_oldest, 0, sizeof history->round_oldest);
    history->sweep_after = HISTORY_SWEEP_START;
    return history_db_number(history->db, 0, &history->vms_settled, error, SQL_SETTLED_TOTAL, "") &&
           history_db_run(history->db, error, SQL_EVENT_TRIM, "ii", limits->longest_ns, (gint64)EVENTS_MAX) &&
           history_db_run(history->db, error, SQL_VM_TRIM, "i", limits->longest_ns);
}

/* Up to `n` VMs in one transaction; *ret_over: and with them the round is over. */
static bool sweep(History *history, guint n, const Limits *limits, bool *ret_over, GError **error)
{
    TierSize before[N_TIERS];
    gint64 vm_id = NO_VM;
    bool done = true, over = false;
    memcpy(before, history->sizes, sizeof before);
    if (!history_begin(history, error))
        return false;
    for (guint i = 0; i < n && done && !over; i++) {
        done = next_vm(history, &vm_id, error);
        over = done && vm_id == NO_VM;
        if (over)
            done = end_round(history, limits, error);
        else if (done && (done = sweep_vm(history, (guint64)vm_id, limits, error)))
            history->sweep_after = vm_id;
    }
    *ret_over = over;
    if (history_end(history, done && history_put_sizes(history, before, error), error))
        return true;
    memcpy(history->sizes, before, sizeof before);
    return false;
}

/* --- the file's size --- */

static bool used_bytes(History *history, guint64 *ret_bytes, GError **error)
{
    gint64 pages;
    if (!history_db_number(history->db, 0, &pages, error, SQL_PAGES_USED, ""))
        return false;
    *ret_bytes = (guint64)pages;
    return true;
}

/* Moves the begin of the tier that takes the most. false: there is nothing, or where it begins is not known yet. */
static bool cut_more(History *history)
{
    guint largest = 0;
    gint64 most = 0;
    for (guint tier = 0; tier < N_TIERS; tier++) {
        gint64 bytes = history->sizes[tier].bytes + ROW_BYTES * history->sizes[tier].rows;
        if (bytes > most) {
            most = bytes;
            largest = tier;
        }
    }
    const gint64 now_ns = history_now_ns(), oldest_ns = history->oldest[largest];
    if (most == 0 || oldest_ns == 0)
        return false;
    const gint64 part = MAX((now_ns - oldest_ns) / SQUEEZE_PARTS, MAX(history_tier_step(largest), HISTORY_NS_PER_S));
    history->cut[largest] = MAX(history->cut[largest], oldest_ns + part);
    return true;
}

/* While the file with its log is above its limit, pages that are free go back to the file system. */
static bool give_back(History *history, guint64 max_bytes, GError **error)
{
    gint64 free_pages;
    if (history_file_bytes(&history->file) <= max_bytes)
        return true;
    history_db_checkpoint(history->db);
    if (history_file_bytes(&history->file) <= max_bytes)
        return true;
    if (!history_db_number(history->db, 0, &free_pages, error, SQL_PAGES_FREE, "") ||
        (free_pages > 0 && !history_db_run(history->db, error, SQL_GIVE_BACK, "")))
        return false;
    history_db_checkpoint(history->db);
    return true;
}

bool history_trim(History *history, GError **error)
{
    guint64 used, max_bytes;
    bool over = false;
    const gint64 until_us = g_get_monotonic_time() + SQUEEZE_US;
    Limits limits = limits_now(history, &max_bytes);
    g_mutex_lock(&history->lock);
    const gint64 flush_ms = history->options.flush_ms > 0 ? history->options.flush_ms : HISTORY_FLUSH_MS;
    g_mutex_unlock(&history->lock);
    const guint share = (guint)(history->vms_settled * flush_ms * 1000 / ROUND_US) + 1;

    if (!trim_journal(history, error) || !sweep(history, share, &limits, &over, error) ||
        !used_bytes(history, &used, error))
        return false;
    const guint64 most = max_bytes - max_bytes / 8; /* the rest is for the log, and for pages that will be used again */
    while (max_bytes > 0 && used > most && g_get_monotonic_time() < until_us) {
        if ((over || !history->squeezing) && !cut_more(history) && over)
            break; /* what is left is no tier's */
        history->squeezing = true;
        limits = limits_now(history, &max_bytes);
        if (!sweep(history, SWEEP_BATCH, &limits, &over, error) || !used_bytes(history, &used, error))
            return false;
    }
    if (used <= most)
        history->squeezing = false;
    return max_bytes == 0 || give_back(history, max_bytes, error);
}
