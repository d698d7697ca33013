/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's word of a VM: its states, its names. */
#include "store/store_internal.h"

static void set_names(VmRecord *record, const VmEvent *event)
{
    MetricRow *row = record->sample->row;
    if (event->vm_name && *event->vm_name)
        row_set_text(row, METRIC_VM_VM_NAME, event->vm_name);
    if (event->owner && *event->owner)
        row_set_text(row, METRIC_VM_UNAME, event->owner);
}

static void set_states(VmRecord *record, const VmEvent *event)
{
    g_free(record->one_state);
    g_free(record->one_lcm_state);
    record->one_state = g_strdup(vm_event_state_word(event->state));
    record->one_lcm_state = g_strdup(vm_event_lcm_state_word(event->lcm_state));
}

static VmRecord *record_of_event(const VmEvent *event, StoreClock now)
{
    g_autofree char *name = g_strdup_printf("one-%" G_GUINT64_FORMAT, event->vm_id);
    VmRecord *record = vm_record_new(event->vm_id, vm_sample_new(name));
    record->host = g_strdup(event->host ? event->host : "");
    record->first_seen_ns = record->last_seen_ns = now.real_ns;
    return record;
}

/* A VM of which an event is the first word: one that is to run is listed, of another there is nothing to be listed. */
static Slot *slot_of_event(Store *store, const VmEvent *event, StoreClock now, StoreChange *change)
{
    Slot *slot = store_find_slot(store, event->vm_id);
    if (slot)
        return slot;
    VmRecord *record = record_of_event(event, now);
    record->ended_ns = MAX(event->time_ns, 1); /* until it is said to run */
    slot = store_add_slot(store, record);
    change->refused += slot == NULL;
    return slot;
}

static void apply_event(Store *store, Slot *slot, const VmEvent *event, StoreClock now, StoreChange *change)
{
    const EventMeaning meaning = vm_event_meaning(event);
    VmRecord *record = vm_record_copy(slot->record);
    const bool is_latest = event->time_ns >= slot->event_ns;
    set_names(record, event);
    if (is_latest) {
        set_states(record, event);
        slot->event_ns = event->time_ns;
    }
    store_publish(store, slot, record);
    count_change(store);
    g_ptr_array_add(change->named, vm_record_ref(record));
    if (!is_latest || event->time_ns < record->time_ns)
        return;
    slot->heard_mono_ns = now.mono_ns;
    if (meaning == EVENT_ENDS && store_is_live(slot)) {
        store_end_slot(store, change, slot, event->time_ns, vm_event_state_word(event->state));
    } else if (meaning == EVENT_RUNS && (record->time_ns == 0 || event->time_ns > record->ended_ns)) {
        record->ended_ns = 0; /* nobody has seen it yet: the lock is held */
        slot->spoke_ns = MAX(slot->spoke_ns, event->time_ns);
        if (event->host && *event->host && record->time_ns == 0) {
            g_free(record->host);
            record->host = g_strdup(event->host);
        }
        if (!row_has(record->sample->row, METRIC_VM_STATE))
            row_set_u64(record->sample->row, METRIC_VM_STATE, 1);
    }
}

StoreChange *store_take_event(Store *store, const VmEvent *event, StoreClock now)
{
    StoreChange *change = store_change_new();
    g_mutex_lock(&store->lock);
    if (event_ring_add(store->events, event)) {
        g_ptr_array_add(change->events, vm_event_copy(event));
        Slot *slot = slot_of_event(store, event, now, change);
        if (slot)
            apply_event(store, slot, event, now, change);
    }
    g_mutex_unlock(&store->lock);
    return change;
}
