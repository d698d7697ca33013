/* SPDX-License-Identifier: Apache-2.0 */
#include "store/history_internal.h"
#include "base/log.h"

#include <string.h>

G_DEFINE_QUARK(one_telemetry_history_error, history_error)

const char *history_tier_name(HistoryTier tier)
{
    static const char *const names[N_TIERS] = {"raw", "1m", "15m"};
    return names[tier];
}

gint64 history_now_ns(void)
{
    return g_get_real_time() * 1000;
}

/* --- metrics --- */

bool history_has_metric(Metric m)
{
    if (m >= N_METRICS || metric_info[m].scope != SCOPE_VM || !metric_info[m].line)
        return false;
    return metric_info[m].kind == KIND_REAL || (metric_info[m].kind == KIND_GAUGE && metric_info[m].unit == UNIT_KIB);
}

static bool is_named(Metric m, const char *name)
{
    return g_strcmp0(metric_info[m].line, name) == 0 || g_strcmp0(metric_info[m].json, name) == 0;
}

Metric history_metric_by_name(const char *name)
{
    const Metric first = metric_first(SCOPE_VM), end = metric_first(SCOPE_VM + 1);
    for (Metric m = first; m < end; m++)
        if (history_has_metric(m) && is_named(m, name))
            return m;
    for (Metric m = first; m < end; m++)
        if (history_has_metric(m) && metric_info[m].origin == ORIGIN_RATE && is_named(metric_info[m].of, name))
            return m;
    return N_METRICS;
}

/* --- opening --- */

static void name_metrics(History *history)
{
    pack_map_init(&history->map);
    for (guint i = 0; i < history->names->len; i++) {
        Metric known = N_METRICS;
        for (Metric m = metric_first(SCOPE_VM); m < metric_first(SCOPE_VM + 1); m++)
            if (history_has_metric(m) && strcmp(metric_info[m].line, g_ptr_array_index(history->names, i)) == 0)
                known = m;
        pack_map_add(&history->map, known);
    }
}

static bool set_aside(History *history, const char *problem, GError **error)
{
    char *aside = history_file_set_aside(&history->file, error);
    if (!aside)
        return false;
    log_error("history: %s is damaged (%s): it is now %s, and a new one is begun", history->file.path, problem, aside);
    g_mutex_lock(&history->lock);
    g_free(history->set_aside);
    history->set_aside = aside;
    g_mutex_unlock(&history->lock);
    return true;
}

/* Opens it, another one where it is damaged. */
static bool open_file(History *history, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autofree char *problem = NULL;
    if (!history_file_is_safe(&history->file, &problem) && !set_aside(history, problem, error))
        return false;
    history->db = history_db_open(history->file.path, history->names, &reason);
    if (g_error_matches(reason, HISTORY_ERROR, HISTORY_ERROR_DAMAGED)) {
        if (!set_aside(history, reason->message, error))
            return false;
        g_clear_error(&reason);
        history->db = history_db_open(history->file.path, history->names, &reason);
    }
    if (history->db)
        return true;
    g_set_error(error, HISTORY_ERROR, HISTORY_ERROR_OPEN, "%s: %s", history->file.path, reason->message);
    return false;
}

static bool open_and_load(History *history, GError **error)
{
    g_autoptr(GError) reason = NULL;
    if (!open_file(history, error))
        return false;
    name_metrics(history);
    if (history_load_state(history, &reason))
        return true;
    history_db_close(g_steal_pointer(&history->db), false);
    if (!g_error_matches(reason, HISTORY_ERROR, HISTORY_ERROR_DAMAGED)) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    return set_aside(history, reason->message, error) && open_file(history, error);
}

/* --- the writer --- */

/* What is pending goes before what is queued. With both locks held. */
static void requeue_pending(History *history)
{
    GQueue samples = G_QUEUE_INIT;
    for (Pending *pending; (pending = g_queue_pop_head(&history->order));) {
        guint offset = 0;
        PendingSample sample;
        while (pending_next(pending->samples, &offset, &sample)) {
            Packed *packed = g_malloc(sizeof *packed + sample.length);
            *packed = (Packed){.vm_id = pending->vm_id, .time_ns = sample.time_ns, .length = (guint16)sample.length};
            memcpy(packed->data, sample.data, sample.length);
            g_queue_push_tail(&samples, packed);
        }
    }
    g_hash_table_remove_all(history->pending);
    while (samples.tail)
        g_queue_push_head_link(&history->samples, g_queue_pop_tail_link(&samples));
}

/* After damage: another file, into whose journal goes what was pending. false: try again at the next flush. */
static bool begin_anew(History *history, const char *problem, GError **error)
{
    bool there = history_file_is_there(&history->file);
    history_db_close(g_steal_pointer(&history->db), false);
    history_readers_close(history);
    if (there ? !set_aside(history, problem, error) : false)
        return false;
    if (!there)
        log_error("history: %s is gone: a new one is begun", history->file.path);
    if (!open_file(history, error))
        return false;

    memset(history->sizes, 0, sizeof history->sizes);
    memset(history->cut, 0, sizeof history->cut);
    memset(history->round_oldest, 0, sizeof history->round_oldest);
    history->next_seq = history->journal_first = 1;
    history->sweep_after = HISTORY_SWEEP_START;
    g_mutex_lock(&history->lock);
    g_mutex_lock(&history->pending_lock);
    requeue_pending(history);
    history->pending_bytes = 0;
    history->pending_samples = 0;
    g_mutex_unlock(&history->pending_lock);
    g_mutex_unlock(&history->lock);
    return true;
}

static bool all_steps(History *history, bool settle_all, GError **error)
{
    guint left = 1;
    while (left > 0)
        if (!history_write_queue(history, &left, error))
            return false;
    return history_settle_due(history, settle_all, error) && history_trim(history, error);
}

/* One flush. Returns what went wrong, NULL: nothing. */
static GError *flush(History *history, bool settle_all, bool suspect)
{
    GError *error = NULL;
    if (!history->db)
        begin_anew(history, "it could not be opened", &error);
    else if (suspect)
        begin_anew(history, "a reader met damage", &error);
    else if (!history_file_is_there(&history->file))
        begin_anew(history, "it is gone", &error);
    if (error || all_steps(history, settle_all, &error) ||
        !g_error_matches(error, HISTORY_ERROR, HISTORY_ERROR_DAMAGED))
        return error;
    g_autoptr(GError) damage = g_steal_pointer(&error);
    if (begin_anew(history, damage->message, &error))
        all_steps(history, settle_all, &error);
    return error;
}

/* With the lock held. The same trouble is logged when it begins and when it ends. */
static void show(History *history, const GError *error)
{
    if (error && !history->error)
        log_error("history: cannot be written: %s; it is tried again", error->message);
    else if (!error && history->error)
        log_info("history: is written again");
    g_free(history->error);
    history->error = error ? g_strdup(error->message) : NULL;
    memcpy(history->shown_sizes, history->sizes, sizeof history->sizes);
    memcpy(history->shown_oldest, history->oldest, sizeof history->oldest);
}

static gpointer write_on(gpointer data)
{
    History *history = data;
    g_mutex_lock(&history->lock);
    for (bool stop = false; !stop;) {
        const gint64 flush_ms = history->options.flush_ms > 0 ? history->options.flush_ms : HISTORY_FLUSH_MS;
        const gint64 until_us = g_get_monotonic_time() + flush_ms * 1000;
        while (!history->stop && history->flushes_wanted == history->flushes_done && history->events.length == 0 &&
               g_hash_table_size(history->vms) == 0 && history->samples.length < FLUSH_SAMPLES_MAX &&
               g_cond_wait_until(&history->wake, &history->lock, until_us))
            ;
        const guint64 wanted = history->flushes_wanted;
        const bool settle_all = history->settle_all, suspect = history->suspect, ailing = history->error != NULL;
        stop = history->stop;
        history->settle_all = history->suspect = false;
        g_mutex_unlock(&history->lock);

        g_autoptr(GError) error = flush(history, settle_all, suspect);
        guint64 bytes = history_file_bytes(&history->file);

        g_mutex_lock(&history->lock);
        show(history, error);
        history->bytes = bytes;
        history->flushes_done = wanted;
        g_cond_broadcast(&history->flushed);
        /* What can't be written is not tried without a pause. */
        const gint64 pause_us = g_get_monotonic_time() + flush_ms * 1000;
        while (error && ailing && !history->stop && history->flushes_wanted == history->flushes_done &&
               g_cond_wait_until(&history->wake, &history->lock, pause_us))
            ;
    }
    g_mutex_unlock(&history->lock);
    return NULL;
}

void history_flush(History *history, bool settle)
{
    g_mutex_lock(&history->lock);
    const guint64 wanted = ++history->flushes_wanted;
    history->settle_all |= settle;
    g_cond_broadcast(&history->wake);
    while (history->flushes_done < wanted)
        g_cond_wait(&history->flushed, &history->lock);
    g_mutex_unlock(&history->lock);
}

/* --- life --- */

static void pending_free(gpointer data)
{
    Pending *pending = data;
    g_byte_array_unref(pending->samples);
    g_free(pending);
}

static void history_free(History *history)
{
    history_db_close(history->db, true);
    history_file_close(&history->file);
    g_ptr_array_unref(history->names);
    for (Packed *sample; (sample = g_queue_pop_head(&history->samples));)
        g_free(sample);
    for (VmEvent *event; (event = g_queue_pop_head(&history->events));)
        vm_event_free(event);
    g_queue_clear(&history->order);
    g_hash_table_unref(history->vms);
    g_hash_table_unref(history->pending);
    g_ptr_array_unref(history->readers);
    g_mutex_clear(&history->lock);
    g_mutex_clear(&history->pending_lock);
    g_mutex_clear(&history->readers_lock);
    g_cond_clear(&history->wake);
    g_cond_clear(&history->flushed);
    g_free(history->error);
    g_free(history->set_aside);
    g_free(history);
}

History *history_open(const char *path, const HistoryOptions *options, GError **error)
{
    History *history = g_new0(History, 1);
    history->names = g_ptr_array_new_with_free_func(g_free);
    history->options = *options;
    history->vms = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)vm_record_unref);
    history->pending = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, pending_free);
    history->readers = g_ptr_array_new();
    history->next_seq = history->journal_first = 1;
    history->sweep_after = HISTORY_SWEEP_START;
    g_mutex_init(&history->lock);
    g_mutex_init(&history->pending_lock);
    g_mutex_init(&history->readers_lock);
    g_cond_init(&history->wake);
    g_cond_init(&history->flushed);
    if (!history_file_open(&history->file, path, error) || !open_and_load(history, error)) {
        history_free(history);
        return NULL;
    }
    history->bytes = history_file_bytes(&history->file);
    memcpy(history->shown_sizes, history->sizes, sizeof history->sizes);
    history->thread = g_thread_new("history", write_on, history);
    return history;
}

void history_close(History *history)
{
    if (!history)
        return;
    g_mutex_lock(&history->lock);
    history->stop = true;
    g_cond_broadcast(&history->wake);
    g_mutex_unlock(&history->lock);
    g_thread_join(history->thread);
    history_readers_close(history);
    history_free(history);
}

void history_set_options(History *history, const HistoryOptions *options)
{
    g_mutex_lock(&history->lock);
    history->options = *options;
    g_cond_broadcast(&history->wake);
    g_mutex_unlock(&history->lock);
}

/* --- adding --- */

static Packed *pack(const History *history, const VmRecord *record, gint64 now_ns)
{
    PackRow row;
    guint8 room[PACK_BYTES_MAX];
    if (record->time_ns <= 0 || record->time_ns > now_ns + AHEAD_MAX_NS)
        return NULL;
    pack_row_from_metrics(&row, &history->map, record->sample->row);
    const gsize length = pack_write_sample(room, &row);
    Packed *packed = g_malloc(sizeof *packed + length);
    *packed = (Packed){.vm_id = record->vm_id, .time_ns = record->time_ns, .length = (guint16)length};
    memcpy(packed->data, room, length);
    return packed;
}

void history_add(History *history, const GPtrArray *records)
{
    const gint64 now_ns = history_now_ns();
    GQueue packed = G_QUEUE_INIT;
    guint refused = 0;
    for (guint i = 0; i < records->len; i++) {
        Packed *sample = pack(history, g_ptr_array_index(records, i), now_ns);
        if (sample)
            g_queue_push_tail(&packed, sample);
        else
            refused++;
    }
    g_mutex_lock(&history->lock);
    while (packed.head)
        g_queue_push_tail_link(&history->samples, g_queue_pop_head_link(&packed));
    for (; history->samples.length > HISTORY_QUEUE_MAX; refused++)
        g_free(g_queue_pop_head(&history->samples));
    history->dropped += refused;
    if (history->samples.length >= FLUSH_SAMPLES_MAX)
        g_cond_broadcast(&history->wake);
    g_mutex_unlock(&history->lock);
}

void history_add_events(History *history, const GPtrArray *events)
{
    g_mutex_lock(&history->lock);
    for (guint i = 0; i < events->len; i++)
        g_queue_push_tail(&history->events, vm_event_copy(g_ptr_array_index(events, i)));
    for (; history->events.length > HISTORY_QUEUE_MAX; history->dropped++)
        vm_event_free(g_queue_pop_head(&history->events));
    g_cond_broadcast(&history->wake);
    g_mutex_unlock(&history->lock);
}

void history_note_vms(History *history, const GPtrArray *records)
{
    g_mutex_lock(&history->lock);
    for (guint i = 0; i < records->len; i++) {
        VmRecord *record = vm_record_ref(g_ptr_array_index(records, i));
        g_hash_table_replace(history->vms, &record->vm_id, record);
    }
    for (GHashTableIter iter; g_hash_table_size(history->vms) > HISTORY_QUEUE_MAX; history->dropped++) {
        g_hash_table_iter_init(&iter, history->vms);
        g_hash_table_iter_next(&iter, NULL, NULL);
        g_hash_table_iter_remove(&iter);
    }
    g_cond_broadcast(&history->wake);
    g_mutex_unlock(&history->lock);
}

/* --- status --- */

void history_status(History *history, HistoryStatus *ret_status)
{
    *ret_status = (HistoryStatus){0};
    g_mutex_lock(&history->lock);
    for (guint tier = 0; tier < N_TIERS; tier++) {
        ret_status->rows[tier] = (guint64)MAX(history->shown_sizes[tier].rows, 0);
        ret_status->oldest_ns[tier] = history->shown_oldest[tier];
    }
    ret_status->bytes = history->bytes;
    ret_status->written = history->written;
    ret_status->dropped = history->dropped;
    ret_status->queued = history->samples.length + history->events.length;
    ret_status->error = g_strdup(history->error);
    ret_status->set_aside = g_strdup(history->set_aside);
    g_mutex_unlock(&history->lock);
    g_mutex_lock(&history->pending_lock);
    ret_status->pending = history->pending_samples;
    g_mutex_unlock(&history->pending_lock);
}

void history_status_clear(HistoryStatus *status)
{
    g_free(status->error);
    g_free(status->set_aside);
    *status = (HistoryStatus){0};
}
