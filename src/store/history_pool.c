/* SPDX-License-Identifier: Apache-2.0
 * Readers' connections: one for each query under way, a few kept for the next. */
#include "store/history_internal.h"

#define IDLE_READERS_MAX 4

HistoryDb *history_reader_take(History *history, guint *ret_generation, GError **error)
{
    HistoryDb *db = NULL;
    g_mutex_lock(&history->readers_lock);
    *ret_generation = history->generation;
    if (history->readers->len > 0)
        db = g_ptr_array_remove_index(history->readers, history->readers->len - 1);
    g_mutex_unlock(&history->readers_lock);
    return db ? db : history_db_open_reader(history->file.path, error);
}

/* Damage is the writer's to deal with; what failed otherwise is not used again. */
void history_reader_give(History *history, HistoryDb *db, guint generation, const GError *error)
{
    g_mutex_lock(&history->readers_lock);
    bool keep = !error && generation == history->generation && history->readers->len < IDLE_READERS_MAX;
    bool current = generation == history->generation;
    if (keep)
        g_ptr_array_add(history->readers, db);
    g_mutex_unlock(&history->readers_lock);
    if (!keep)
        history_db_close(db, false);
    if (current && g_error_matches(error, HISTORY_ERROR, HISTORY_ERROR_DAMAGED)) {
        g_mutex_lock(&history->lock);
        history->suspect = true;
        history->flushes_wanted++;
        g_cond_broadcast(&history->wake);
        g_mutex_unlock(&history->lock);
    }
}

void history_readers_close(History *history)
{
    g_mutex_lock(&history->readers_lock);
    history->generation++;
    for (guint i = 0; i < history->readers->len; i++)
        history_db_close(g_ptr_array_index(history->readers, i), false);
    g_ptr_array_set_size(history->readers, 0);
    g_mutex_unlock(&history->readers_lock);
}
