/* SPDX-License-Identifier: Apache-2.0
 * What is there when the history is opened. */
#include "store/history_internal.h"

#include <string.h>

/* --- pending samples --- */

typedef struct {
    gint64 seq, time_ns;
    guint32 length;
} PendingHead;

bool pending_next(const GByteArray *samples, guint *offset, PendingSample *ret_sample)
{
    PendingHead head;
    if (*offset >= samples->len)
        return false;
    memcpy(&head, samples->data + *offset, sizeof head);
    *ret_sample = (PendingSample){head.time_ns, head.seq, head.length, samples->data + *offset + sizeof head};
    *offset += (guint)sizeof head + head.length;
    return true;
}

void history_add_pending(History *history, const Packed *sample)
{
    const PendingHead head = {sample->seq, sample->time_ns, sample->length};
    Pending *pending = g_hash_table_lookup(history->pending, &sample->vm_id);
    if (!pending) {
        pending = g_new(Pending, 1);
        *pending = (Pending){sample->vm_id, sample->seq, g_get_monotonic_time(), g_byte_array_new(), 0};
        g_hash_table_insert(history->pending, &pending->vm_id, pending);
        g_queue_push_tail(&history->order, pending);
    }
    g_byte_array_append(pending->samples, (const guint8 *)&head, sizeof head);
    g_byte_array_append(pending->samples, sample->data, sample->length);
    history->pending_bytes += sizeof head + sample->length;
    history->pending_samples++;
    pending->n++;
}

/* --- at the start --- */

/* One row of the journal; what is in the tiers already, or is no sample, is passed over. */
static bool take_journal_row(History *history, sqlite3_stmt *statement, GError **error)
{
    PackRow row;
    gsize length;
    gint64 settled = 0;
    const gint64 seq = history_db_i64(statement, 0), vm_id = history_db_i64(statement, 1);
    const guint8 *data = history_db_blob(statement, 3, &length);
    history->next_seq = MAX(history->next_seq, seq + 1);
    if (!history_db_number(history->db, 0, &settled, error, SQL_SETTLED_ONE, "i", vm_id))
        return false;
    if (seq <= settled || length > PACK_BYTES_MAX || !pack_read(data, length, &row))
        return true;
    g_autofree Packed *sample = g_malloc(sizeof *sample + length);
    *sample = (Packed){(guint64)vm_id, history_db_i64(statement, 2), seq, (guint16)length};
    memcpy(sample->data, data, length);
    history_add_pending(history, sample);
    return true;
}

static bool load_journal(History *history, GError **error)
{
    g_autoptr(GError) reason = NULL;
    sqlite3_stmt *statement = history_db_bind(history->db, SQL_JOURNAL_ALL, "");
    while (history_db_next(history->db, statement, &reason))
        if (!take_journal_row(history, statement, error))
            return false;
    if (!reason)
        return history_db_number(history->db, history->next_seq, &history->journal_first, error, SQL_JOURNAL_FIRST, "");
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

static bool load_settled(History *history, GError **error)
{
    g_autoptr(GError) reason = NULL;
    sqlite3_stmt *statement = history_db_bind(history->db, SQL_SETTLED_TOTAL, "");
    while (history_db_next(history->db, statement, &reason)) {
        history->vms_settled = history_db_i64(statement, 0);
        history->next_seq = MAX(history->next_seq, history_db_i64(statement, 1) + 1);
    }
    statement = history_db_bind(history->db, SQL_SIZE_ALL, "");
    while (!reason && history_db_next(history->db, statement, &reason)) {
        const gint64 tier = history_db_i64(statement, 0);
        if (tier >= 0 && tier < N_TIERS)
            history->sizes[tier] = (TierSize){history_db_i64(statement, 1), history_db_i64(statement, 2)};
    }
    if (reason)
        g_propagate_error(error, g_steal_pointer(&reason));
    return !reason;
}

bool history_load_state(History *history, GError **error)
{
    return load_settled(history, error) && load_journal(history, error);
}

/* --- VMs --- */

static void put_text(MetricRow *row, const char *name, const char *text)
{
    for (Metric m = metric_first(SCOPE_VM); m < metric_first(SCOPE_VM + 1); m++)
        if (metric_info[m].kind == KIND_TEXT && g_strcmp0(metric_info[m].line, name) == 0)
            row_set_text(row, m, text);
}

/* As put_vm wrote them; what is cut off is left out. */
static void put_texts(MetricRow *row, const guint8 *data, gsize length)
{
    const char *at = (const char *)data, *end = at + length;
    while (at < end) {
        const char *name = at, *name_end = memchr(at, '\0', (gsize)(end - at));
        const char *text = name_end ? name_end + 1 : end;
        const char *text_end = text < end ? memchr(text, '\0', (gsize)(end - text)) : NULL;
        if (!text_end)
            return;
        put_text(row, name, text);
        at = text_end + 1;
    }
}

static VmRecord *vm_of(sqlite3_stmt *statement)
{
    gsize length;
    const char *name = history_db_text(statement, 1);
    VmRecord *vm = vm_record_new((guint64)history_db_i64(statement, 0), vm_sample_new(name ? name : ""));
    vm->sample->vm_id = vm->vm_id;
    g_free(vm->name);
    vm->name = g_strdup(name ? name : "");
    vm->uuid = g_strdup(history_db_text(statement, 2));
    vm->sample->uuid = g_strdup(vm->uuid);
    vm->host = g_strdup(history_db_text(statement, 3));
    vm->source = history_db_i64(statement, 4) == SOURCE_COLLECTOR ? SOURCE_COLLECTOR : SOURCE_PROBES;
    vm->first_seen_ns = history_db_i64(statement, 5);
    vm->last_seen_ns = history_db_i64(statement, 6);
    vm->ended_ns = history_db_i64(statement, 7);
    vm->one_state = g_strdup(history_db_text(statement, 8));
    vm->one_lcm_state = g_strdup(history_db_text(statement, 9));
    const guint8 *texts = history_db_blob(statement, 10, &length);
    put_texts(vm->sample->row, texts, length);
    return vm;
}

GPtrArray *history_load_vms(History *history, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(GPtrArray) vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_record_unref);
    guint generation;
    HistoryDb *db = history_reader_take(history, &generation, error);
    if (!db)
        return NULL;
    sqlite3_stmt *statement = history_db_bind(db, SQL_VM_ALL, "");
    while (history_db_next(db, statement, &reason))
        g_ptr_array_add(vms, vm_of(statement));
    history_reader_give(history, db, generation, reason);
    if (!reason)
        return g_steal_pointer(&vms);
    g_propagate_error(error, g_steal_pointer(&reason));
    return NULL;
}

bool history_has_vm(History *history, guint64 vm_id)
{
    gint64 known = 0;
    guint generation;
    g_autoptr(GError) reason = NULL;
    g_mutex_lock(&history->pending_lock);
    bool pending = g_hash_table_contains(history->pending, &vm_id);
    g_mutex_unlock(&history->pending_lock);
    HistoryDb *db = pending ? NULL : history_reader_take(history, &generation, NULL);
    if (!db)
        return pending;
    history_db_number(db, 0, &known, &reason, SQL_VM_KNOWN, "i", (gint64)vm_id);
    history_reader_give(history, db, generation, reason);
    return known != 0;
}

/* --- events --- */

static VmEvent *event_of(sqlite3_stmt *statement)
{
    VmEvent *event = vm_event_new(history_db_i64(statement, 2) == EVENT_SEEN ? EVENT_SEEN : EVENT_OPENNEBULA,
                                  (guint64)history_db_i64(statement, 1), history_db_i64(statement, 0));
    char **const texts[] = {&event->host,  &event->state,          &event->lcm_state,          &event->vm_name,
                            &event->owner, &event->previous_state, &event->previous_lcm_state, &event->reason};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        *texts[i] = g_strdup(history_db_text(statement, 3 + (int)i));
    return event;
}

GPtrArray *history_events(History *history, guint64 vm_id, gint64 from_ns, gint64 to_ns, guint most, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func((GDestroyNotify)vm_event_free);
    guint generation;
    HistoryDb *db = history_reader_take(history, &generation, error);
    if (!db)
        return NULL;
    sqlite3_stmt *statement =
        vm_id == EVENTS_OF_ALL
            ? history_db_bind(db, SQL_EVENT_LIST, "iii", from_ns, to_ns, (gint64)most)
            : history_db_bind(db, SQL_EVENT_LIST_VM, "iiii", (gint64)vm_id, from_ns, to_ns, (gint64)most);
    while (history_db_next(db, statement, &reason))
        g_ptr_array_add(events, event_of(statement));
    history_reader_give(history, db, generation, reason);
    if (!reason)
        return g_steal_pointer(&events);
    g_propagate_error(error, g_steal_pointer(&reason));
    return NULL;
}

GPtrArray *history_load_events(History *history, guint most, GError **error)
{
    GPtrArray *events = history_events(history, EVENTS_OF_ALL, G_MININT64, G_MAXINT64, most, error);
    for (guint i = 0; events && i < events->len / 2; i++) { /* newest first: turned round */
        gpointer *first = &events->pdata[i], *last = &events->pdata[events->len - 1 - i];
        gpointer swap = *first;
        *first = *last;
        *last = swap;
    }
    return events;
}
