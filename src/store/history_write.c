/* SPDX-License-Identifier: Apache-2.0 */
#include "store/history_internal.h"

#include <string.h>

#define SETTLE_BATCH 64                             /* VMs of one transaction */
#define SETTLE_MAX_US (300 * G_USEC_PER_SEC / 1000) /* of one flush, while there is no hurry */

/* --- transactions --- */

bool history_begin(History *history, GError **error)
{
    return history_db_run(history->db, error, SQL_BEGIN, "");
}

bool history_end(History *history, bool done, GError **error)
{
    if (done && history_db_run(history->db, error, SQL_COMMIT, ""))
        return true;
    history_db_run(history->db, NULL, SQL_ROLLBACK, ""); /* SQLite may have done so by itself */
    return false;
}

bool history_put_sizes(History *history, const TierSize *before, GError **error)
{
    for (guint tier = 0; tier < N_TIERS; tier++) {
        const TierSize *size = &history->sizes[tier];
        if (memcmp(size, &before[tier], sizeof *size) != 0 &&
            !history_db_run(history->db, error, SQL_SIZE_PUT, "iii", (gint64)tier, size->rows, size->bytes))
            return false;
    }
    return true;
}

/* --- the queue into the journal --- */

static bool put_sample(History *history, Packed *sample, gint64 seq, GError **error)
{
    sample->seq = seq;
    return history_db_run(history->db, error, SQL_JOURNAL_ADD, "iiib", seq, (gint64)sample->vm_id, sample->time_ns,
                          sample->data, (gsize)sample->length);
}

static bool put_event(History *history, const VmEvent *event, GError **error)
{
    return history_db_run(history->db, error, SQL_EVENT_ADD, "iiitttttttt", event->time_ns, (gint64)event->vm_id,
                          (gint64)event->source, event->host, event->state, event->lcm_state, event->vm_name,
                          event->owner, event->previous_state, event->previous_lcm_state, event->reason);
}

/* The texts that the VM's figures have, each as name, NUL, text, NUL. */
static GByteArray *texts_of(const MetricRow *row)
{
    GByteArray *texts = g_byte_array_new();
    for (Metric m = metric_first(SCOPE_VM); m < metric_first(SCOPE_VM + 1); m++) {
        if (metric_info[m].kind != KIND_TEXT || !metric_info[m].line || !row_has(row, m))
            continue;
        const char *pair[] = {metric_info[m].line, row_text(row, m)};
        for (guint i = 0; i < G_N_ELEMENTS(pair); i++)
            g_byte_array_append(texts, (const guint8 *)pair[i], (guint)strlen(pair[i]) + 1);
    }
    return texts;
}

static bool put_vm(History *history, const VmRecord *vm, GError **error)
{
    g_autoptr(GByteArray) texts = texts_of(vm->sample->row);
    return history_db_run(history->db, error, SQL_VM_PUT, "itttiiiittb", (gint64)vm->vm_id, vm->name, vm->uuid,
                          vm->host, (gint64)vm->source, vm->first_seen_ns, vm->last_seen_ns, vm->ended_ns,
                          vm->one_state, vm->one_lcm_state, texts->data, (gsize)texts->len);
}

/* What one transaction takes of the queue. */
typedef struct {
    GQueue samples, events;
    GHashTable *vms;
} Batch;

static guint take_batch(History *history, Batch *batch)
{
    *batch = (Batch){G_QUEUE_INIT, G_QUEUE_INIT, NULL};
    g_mutex_lock(&history->lock);
    for (guint i = 0; i < FLUSH_SAMPLES_MAX && history->samples.head; i++)
        g_queue_push_tail_link(&batch->samples, g_queue_pop_head_link(&history->samples));
    for (guint i = 0; i < FLUSH_SAMPLES_MAX && history->events.head; i++)
        g_queue_push_tail_link(&batch->events, g_queue_pop_head_link(&history->events));
    batch->vms = history->vms;
    history->vms = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)vm_record_unref);
    guint left = history->samples.length + history->events.length;
    g_mutex_unlock(&history->lock);
    return left;
}

static void put_back(History *history, Batch *batch)
{
    GHashTableIter iter;
    gpointer value;
    g_mutex_lock(&history->lock);
    while (batch->samples.tail)
        g_queue_push_head_link(&history->samples, g_queue_pop_tail_link(&batch->samples));
    while (batch->events.tail)
        g_queue_push_head_link(&history->events, g_queue_pop_tail_link(&batch->events));
    for (; history->samples.length > HISTORY_QUEUE_MAX; history->dropped++)
        g_free(g_queue_pop_head(&history->samples));
    for (; history->events.length > HISTORY_QUEUE_MAX; history->dropped++)
        vm_event_free(g_queue_pop_head(&history->events));
    g_hash_table_iter_init(&iter, batch->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const VmRecord *vm = value;
        if (g_hash_table_contains(history->vms, &vm->vm_id)) /* a newer one came meanwhile */
            continue;
        VmRecord *kept = vm_record_ref(vm);
        g_hash_table_insert(history->vms, &kept->vm_id, kept);
    }
    g_hash_table_unref(batch->vms);
    g_mutex_unlock(&history->lock);
}

static bool put_batch(History *history, const Batch *batch, GError **error)
{
    GHashTableIter iter;
    gpointer vm;
    gint64 seq = history->next_seq;
    for (GList *link = batch->samples.head; link; link = link->next)
        if (!put_sample(history, link->data, seq++, error))
            return false;
    for (GList *link = batch->events.head; link; link = link->next)
        if (!put_event(history, link->data, error))
            return false;
    g_hash_table_iter_init(&iter, batch->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vm))
        if (!put_vm(history, vm, error))
            return false;
    return true;
}

static void batch_is_written(History *history, Batch *batch)
{
    const guint written = batch->samples.length;
    history->next_seq += written;
    g_mutex_lock(&history->pending_lock);
    for (GList *link = batch->samples.head; link; link = link->next)
        history_add_pending(history, link->data);
    g_mutex_unlock(&history->pending_lock);
    g_mutex_lock(&history->lock);
    history->written += written;
    g_mutex_unlock(&history->lock);
    for (Packed *sample; (sample = g_queue_pop_head(&batch->samples));)
        g_free(sample);
    for (VmEvent *event; (event = g_queue_pop_head(&batch->events));)
        vm_event_free(event);
    g_hash_table_unref(batch->vms);
}

bool history_write_queue(History *history, guint *ret_left, GError **error)
{
    Batch batch;
    const guint left = take_batch(history, &batch);
    const bool empty = !batch.samples.head && !batch.events.head && g_hash_table_size(batch.vms) == 0;
    if (!empty && !(history_begin(history, error) && history_end(history, put_batch(history, &batch, error), error))) {
        put_back(history, &batch);
        return false;
    }
    batch_is_written(history, &batch);
    *ret_left = left;
    return true;
}

/* --- from the journal into the tiers --- */

/* Takes the first `n` out of what is pending. */
static void drop_pending(History *history, guint n)
{
    g_mutex_lock(&history->pending_lock);
    for (guint i = 0; i < n; i++) {
        Pending *pending = g_queue_pop_head(&history->order);
        history->pending_bytes -= pending->samples->len;
        history->pending_samples -= pending->n;
        g_hash_table_remove(history->pending, &pending->vm_id);
    }
    g_mutex_unlock(&history->pending_lock);
}

/* The writer alone changes what is pending, so it may look without the lock. */
static bool settle_first(History *history, guint n, GError **error)
{
    TierSize before[N_TIERS];
    memcpy(before, history->sizes, sizeof before);
    if (!history_begin(history, error))
        return false;
    bool done = true;
    GList *link = history->order.head;
    for (guint i = 0; i < n && done; i++, link = link->next)
        done = history_settle_vm(history, link->data, error);
    if (history_end(history, done && history_put_sizes(history, before, error), error)) {
        drop_pending(history, n);
        return true;
    }
    memcpy(history->sizes, before, sizeof before);
    return false;
}

/* Spread over the flushes: VMs that came all at once are not settled all at once, the first time and so ever after. */
static guint share_of_flush(History *history)
{
    g_mutex_lock(&history->lock);
    const gint64 flush_ms = history->options.flush_ms > 0 ? history->options.flush_ms : HISTORY_FLUSH_MS;
    g_mutex_unlock(&history->lock);
    gint64 share = 2 * (gint64)history->order.length * flush_ms * 1000 / SETTLE_AFTER_US;
    return (guint)CLAMP(share, SETTLE_BATCH, G_MAXINT);
}

static gsize most_pending(History *history)
{
    g_mutex_lock(&history->lock);
    const guint64 max_bytes = history->options.max_bytes;
    g_mutex_unlock(&history->lock);
    return max_bytes > 0 ? (gsize)MIN(max_bytes / 8, PENDING_BYTES_MAX) : PENDING_BYTES_MAX;
}

bool history_settle_due(History *history, bool all, GError **error)
{
    const gint64 start_us = g_get_monotonic_time();
    const gsize most = most_pending(history);
    guint share = all ? G_MAXUINT : share_of_flush(history);
    while (history->order.length > 0) {
        bool hurry = all || history->pending_bytes > most;
        if (!hurry && (share == 0 || g_get_monotonic_time() - start_us > SETTLE_MAX_US))
            break;
        guint n = 0;
        for (GList *link = history->order.head; link && n < SETTLE_BATCH; link = link->next, n++)
            if (!hurry && (n >= share || start_us - ((const Pending *)link->data)->since_us < SETTLE_AFTER_US))
                break;
        if (n == 0)
            break;
        if (!settle_first(history, n, error))
            return false;
        share -= MIN(share, n);
    }
    return true;
}
