/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_internal.h"

#include "encode/json_writer.h"

#include <string.h>

const char *telemetry_name(Telemetry telemetry)
{
    static const char *const names[] = {"ok", "warming_up", "stale", "missing"};
    return names[telemetry];
}

/* --- slots --- */

static void slot_free(gpointer data)
{
    Slot *slot = data;
    vm_record_unref(slot->record);
    g_free(slot->origin);
    g_free(slot);
}

Store *store_new(const StoreOptions *options)
{
    Store *store = g_new0(Store, 1);
    g_mutex_init(&store->lock);
    store->options = *options;
    store->table = g_hash_table_new(g_int64_hash, g_int64_equal);
    store->order = g_ptr_array_new_with_free_func(slot_free);
    store->hosts = hosts_new();
    store->failing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    store->events = event_ring_new(STORE_EVENTS_MAX);
    store->version = 1;
    return store;
}

void store_free(Store *store)
{
    if (!store)
        return;
    g_hash_table_unref(store->table);
    g_ptr_array_unref(store->order);
    hosts_free(store->hosts);
    g_hash_table_unref(store->failing);
    event_ring_free(store->events);
    g_mutex_clear(&store->lock);
    g_free(store);
}

void store_set_options(Store *store, const StoreOptions *options)
{
    g_mutex_lock(&store->lock);
    store->options = *options;
    count_change(store);
    g_mutex_unlock(&store->lock);
}

Slot *store_find_slot(const Store *store, guint64 vm_id)
{
    gint64 key = (gint64)vm_id;
    return g_hash_table_lookup(store->table, &key);
}

/* Takes the record over. NULL: there are too many, and the record is gone. */
Slot *store_add_slot(Store *store, VmRecord *record)
{
    if (store->order->len >= store->options.max_vms) {
        vm_record_unref(record);
        return NULL;
    }
    Slot *slot = g_new0(Slot, 1);
    slot->record = record;
    slot->told = TELEMETRY_MISSING;
    g_ptr_array_add(store->order, slot);
    g_hash_table_insert(store->table, &slot->record->vm_id, slot);
    store->sorted = false;
    return slot;
}

/* The table's key is the record's, so it goes with it. */
void store_publish(Store *store, Slot *slot, VmRecord *record)
{
    g_hash_table_steal(store->table, &slot->record->vm_id);
    vm_record_unref(slot->record);
    slot->record = record;
    g_hash_table_insert(store->table, &slot->record->vm_id, slot);
}

/* --- what figures are worth --- */

gint64 store_age_ms(const Slot *slot, StoreClock now)
{
    if (slot->record->time_ns == 0)
        return 0;
    return MAX(now.mono_ns - slot->received_mono_ns, 0) / NS_PER_MS + slot->lag_ms;
}

bool store_is_live(const Slot *slot)
{
    return slot->record->ended_ns == 0;
}

Telemetry store_telemetry_of(const Store *store, const Slot *slot, StoreClock now)
{
    if (slot->record->time_ns == 0)
        return TELEMETRY_MISSING;
    if (!store_is_live(slot) || slot->origin_fails || store_age_ms(slot, now) > store->options.stale_after_ms)
        return TELEMETRY_STALE;
    return slot->record->complete ? TELEMETRY_OK : TELEMETRY_WARMING_UP;
}

/* --- changes --- */

StoreChange *store_change_new(void)
{
    StoreChange *change = g_new0(StoreChange, 1);
    GPtrArray **lists[] = {&change->taken, &change->late, &change->pieces, &change->named, &change->ended};
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++)
        *lists[i] = g_ptr_array_new_with_free_func((GDestroyNotify)vm_record_unref);
    change->events = g_ptr_array_new_with_free_func((GDestroyNotify)vm_event_free);
    return change;
}

void store_change_free(StoreChange *change)
{
    if (!change)
        return;
    g_ptr_array_unref(change->taken);
    g_ptr_array_unref(change->late);
    g_ptr_array_unref(change->pieces);
    g_ptr_array_unref(change->named);
    g_ptr_array_unref(change->ended);
    g_ptr_array_unref(change->events);
    g_free(change);
}

static void add_event(Store *store, StoreChange *change, const VmEvent *event)
{
    if (event_ring_add(store->events, event))
        g_ptr_array_add(change->events, vm_event_copy(event));
}

void store_see(Store *store, StoreChange *change, const VmRecord *record, gint64 time_ns, const char *state,
               const char *previous, const char *reason)
{
    g_autoptr(VmEvent) event = vm_event_new(EVENT_SEEN, record->vm_id, time_ns);
    event->host = g_strdup(record->host);
    event->state = g_strdup(state);
    event->previous_state = g_strdup(previous);
    event->reason = g_strdup(reason);
    event->vm_name = g_strdup(row_text(record->sample->row, METRIC_VM_VM_NAME));
    event->owner = g_strdup(row_text(record->sample->row, METRIC_VM_UNAME));
    add_event(store, change, event);
}

void store_end_slot(Store *store, StoreChange *change, Slot *slot, gint64 time_ns, const char *reason)
{
    VmRecord *record = vm_record_copy(slot->record);
    record->ended_ns = MAX(time_ns, 1);
    store_publish(store, slot, record);
    slot->told = TELEMETRY_STALE;
    g_ptr_array_add(change->ended, vm_record_ref(record));
    store_see(store, change, record, time_ns, "ended", json_state_text(record->sample->row), reason);
    count_change(store);
}

/* --- time --- */

/* Of a VM known from before a restart it is not known which collector it was: any that fails may be the one. */
static bool may_speak_for(const char *origin, const Slot *slot)
{
    return slot->origin ? strcmp(slot->origin, origin) == 0 : slot->record->source == SOURCE_COLLECTOR;
}

/* true: its figures got stale by it. */
static bool fail_slot(const Store *store, Slot *slot, StoreClock now)
{
    slot->heard_mono_ns = now.mono_ns;
    if (!slot->origin || slot->origin_fails)
        return false;
    slot->origin_fails = true;
    slot->told = store_telemetry_of(store, slot, now);
    return true;
}

bool store_origin_failed(Store *store, const char *origin, StoreClock now)
{
    bool stale = false;
    g_mutex_lock(&store->lock);
    const bool is_new = g_hash_table_add(store->failing, g_strdup(origin));
    const bool host_fails = hosts_fail(store->hosts, origin);
    for (guint i = 0; i < store->order->len; i++) {
        Slot *slot = g_ptr_array_index(store->order, i);
        if (store_is_live(slot) && may_speak_for(origin, slot))
            stale |= fail_slot(store, slot, now);
    }
    if (is_new || host_fails || stale)
        count_change(store);
    g_mutex_unlock(&store->lock);
    return stale;
}

void store_origins_anew(Store *store)
{
    g_mutex_lock(&store->lock);
    g_hash_table_remove_all(store->failing);
    count_change(store);
    g_mutex_unlock(&store->lock);
}

/* While a collector fails it says so (store_origin_failed), which is heard of its VMs too; a collection that hangs
 * takes its time to fail. */
static bool is_gone(const Store *store, const Slot *slot, StoreClock now)
{
    const gint64 more_ms = slot->record->source == SOURCE_COLLECTOR ? store->options.failure_ms : 0;
    return store_is_live(slot) &&
           (now.mono_ns - slot->heard_mono_ns) / NS_PER_MS > store->options.gone_after_ms + more_ms;
}

static bool is_forgotten(const Store *store, const Slot *slot, StoreClock now)
{
    return !store_is_live(slot) &&
           (now.real_ns - slot->record->ended_ns) / NS_PER_MS > store->options.forget_after_ms &&
           (now.mono_ns - slot->heard_mono_ns) / NS_PER_MS > store->options.stale_after_ms;
}

bool store_tick(Store *store, StoreClock now, StoreChange **ret_change)
{
    StoreChange *change = store_change_new();
    g_mutex_lock(&store->lock);
    const guint64 before = store->version;
    for (guint i = store->order->len; i-- > 0;) {
        Slot *slot = g_ptr_array_index(store->order, i);
        if (is_gone(store, slot, now)) {
            store_end_slot(store, change, slot, now.real_ns, "nothing was heard of it any more");
        } else if (is_forgotten(store, slot, now)) {
            g_hash_table_remove(store->table, &slot->record->vm_id);
            g_ptr_array_remove_index(store->order, i);
            count_change(store);
        } else if (store_is_live(slot) && slot->told != store_telemetry_of(store, slot, now)) {
            slot->told = store_telemetry_of(store, slot, now);
            change->aged = true;
            count_change(store);
        }
    }
    const bool changed = store->version != before;
    g_mutex_unlock(&store->lock);
    *ret_change = change;
    return changed;
}

/* --- reading --- */

guint64 store_version(Store *store)
{
    return __atomic_load_n(&store->version, __ATOMIC_ACQUIRE);
}

static VmView view_of(const Store *store, const Slot *slot, StoreClock now)
{
    return (VmView){.record = vm_record_ref(slot->record),
                    .telemetry = store_telemetry_of(store, slot, now),
                    .age_ms = store_age_ms(slot, now)};
}

static void clear_view(gpointer data)
{
    vm_record_unref(((VmView *)data)->record);
}

static gint by_id(gconstpointer a, gconstpointer b)
{
    const Slot *left = *(const Slot *const *)a, *right = *(const Slot *const *)b;
    return (left->record->vm_id > right->record->vm_id) - (left->record->vm_id < right->record->vm_id);
}

GArray *store_list(Store *store, StoreWhich which, StoreClock now)
{
    g_mutex_lock(&store->lock);
    if (!store->sorted)
        g_ptr_array_sort(store->order, by_id);
    store->sorted = true;
    GArray *views = g_array_sized_new(FALSE, FALSE, sizeof(VmView), store->order->len);
    g_array_set_clear_func(views, clear_view);
    for (guint i = 0; i < store->order->len; i++) {
        const Slot *slot = g_ptr_array_index(store->order, i);
        if (which == STORE_LIVE && !store_is_live(slot))
            continue;
        VmView view = view_of(store, slot, now);
        g_array_append_val(views, view);
    }
    g_mutex_unlock(&store->lock);
    return views;
}

bool store_find(Store *store, guint64 vm_id, StoreClock now, VmView *ret_view)
{
    g_mutex_lock(&store->lock);
    const Slot *slot = store_find_slot(store, vm_id);
    if (slot)
        *ret_view = view_of(store, slot, now);
    g_mutex_unlock(&store->lock);
    return slot != NULL;
}

void store_restore(Store *store, VmRecord *record, StoreClock now)
{
    g_mutex_lock(&store->lock);
    if (store_find_slot(store, record->vm_id)) {
        vm_record_unref(record);
    } else {
        Slot *slot = store_add_slot(store, record);
        if (slot)
            slot->heard_mono_ns = now.mono_ns; /* it gets its whole time again */
        count_change(store);
    }
    g_mutex_unlock(&store->lock);
}

static void count_vms(const Store *store, GPtrArray *views)
{
    g_autoptr(GHashTable) counts = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < store->order->len; i++) {
        const Slot *slot = g_ptr_array_index(store->order, i);
        const char *host = slot->record->host ? slot->record->host : "";
        if (store_is_live(slot))
            g_hash_table_insert(counts, (gpointer)(guintptr)host,
                                GUINT_TO_POINTER(GPOINTER_TO_UINT(g_hash_table_lookup(counts, host)) + 1));
    }
    for (guint i = 0; i < views->len; i++) {
        HostView *view = g_ptr_array_index(views, i);
        view->vms = GPOINTER_TO_UINT(g_hash_table_lookup(counts, view->host));
    }
}

GPtrArray *store_hosts(Store *store, StoreClock now)
{
    g_mutex_lock(&store->lock);
    GPtrArray *views = hosts_views(store->hosts, now, store->options.forget_after_ms);
    count_vms(store, views);
    for (guint i = 0; i < views->len; i++) {
        HostView *view = g_ptr_array_index(views, i);
        view->stale = view->age_ms > store->options.stale_after_ms;
    }
    g_mutex_unlock(&store->lock);
    return views;
}

GPtrArray *store_events(Store *store, guint64 vm_id, guint most)
{
    g_mutex_lock(&store->lock);
    GPtrArray *events = event_ring_list(store->events, vm_id, most);
    g_mutex_unlock(&store->lock);
    return events;
}

void store_restore_event(Store *store, const VmEvent *event)
{
    g_mutex_lock(&store->lock);
    event_ring_add(store->events, event);
    Slot *slot = store_find_slot(store, event->vm_id);
    if (slot && event->source == EVENT_OPENNEBULA)
        slot->event_ns = MAX(slot->event_ns, event->time_ns);
    g_mutex_unlock(&store->lock);
}
