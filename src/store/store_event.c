/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's word of a VM: its states, its names. */
#include "store/store_internal.h"

static void set_names(VmRecord *record, const VmEvent *event)
{
    const struct {
        Metric metric;
        const char *text;
    } names[] = {{METRIC_VM_VM_NAME, event->vm_name}, {METRIC_VM_UNAME, event->owner}, {METRIC_VM_GNAME, event->gname}};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (names[i].text && *names[i].text)
            row_set_text(record->sample->row, names[i].metric, names[i].text);
}

static void set_states(VmRecord *record, const VmEvent *event)
{
    g_free(record->one_state);
    g_free(record->one_lcm_state);
    record->one_state = g_strdup(vm_event_state_word(event->state));
    record->one_lcm_state = g_strdup(vm_event_lcm_state_word(event->lcm_state));
}

Slot *store_slot_of_told(Store *store, guint64 vm_id, const char *host, gint64 time_ns, StoreClock now,
                         StoreChange *change)
{
    Slot *slot = store_find_slot(store, vm_id);
    if (slot)
        return slot;
    g_autofree char *name = g_strdup_printf("one-%" G_GUINT64_FORMAT, vm_id);
    VmRecord *record = vm_record_new(vm_id, vm_sample_new(name));
    record->host = g_strdup(host ? host : "");
    record->first_seen_ns = record->last_seen_ns = now.real_ns;
    record->ended_ns = MAX(time_ns, 1); /* until it is said to run */
    slot = store_add_slot(store, record);
    change->refused += slot == NULL;
    return slot;
}

static EventMeaning meaning_of_last(const VmRecord *record)
{
    const VmEvent last = {.source = EVENT_OPENNEBULA, .state = record->one_state, .lcm_state = record->one_lcm_state};
    return vm_event_meaning(&last);
}

/* Of two within a second the one that came later is the later one; but what led to an end, and says so with a time of
 * its own, may well come behind it, as hooks run side by side. */
static bool is_latest(const Slot *slot, const VmEvent *event)
{
    if (store_is_told_before(event->time_ns, slot->event_ns) || store_is_told_before(slot->event_ns, event->time_ns))
        return event->time_ns > slot->event_ns;
    const VmRecord *record = slot->record;
    return meaning_of_last(record) != EVENT_ENDS || vm_event_meaning(event) != EVENT_SAYS_NOTHING ||
           g_strcmp0(vm_event_state_word(event->previous_state), record->one_state) == 0;
}

static void list_again(Slot *slot, VmRecord *record, const VmEvent *event)
{
    const bool is_back = record->time_ns == 0 || record->ended_ns != 0;
    record->ended_ns = 0; /* nobody has seen it yet: the lock is held */
    slot->spoke_ns = MAX(slot->spoke_ns, event->time_ns);
    if (event->host && *event->host && is_back) {
        g_free(record->host);
        record->host = g_strdup(event->host);
    }
    if (!row_has(record->sample->row, METRIC_VM_STATE))
        row_set_u64(record->sample->row, METRIC_VM_STATE, 1);
}

static void apply_event(Store *store, Slot *slot, const VmEvent *event, StoreClock now, StoreChange *change)
{
    const EventMeaning meaning = vm_event_meaning(event);
    if (!is_latest(slot, event))
        return;
    VmRecord *record = vm_record_copy(slot->record);
    set_names(record, event);
    set_states(record, event);
    slot->event_ns = MAX(slot->event_ns, event->time_ns);
    store_publish(store, slot, record);
    count_change(store);
    g_ptr_array_add(change->named, vm_record_ref(record));
    if (store_is_told_before(event->time_ns, record->time_ns))
        return;
    slot->heard_mono_ns = now.mono_ns;
    if (meaning == EVENT_ENDS && store_is_live(slot))
        store_end_slot(store, change, slot, event->time_ns, vm_event_state_word(event->state));
    else if (meaning == EVENT_RUNS && (record->time_ns == 0 || event->time_ns > record->ended_ns))
        list_again(slot, record, event);
}

StoreChange *store_take_event(Store *store, const VmEvent *event, StoreClock now)
{
    StoreChange *change = store_change_new();
    g_mutex_lock(&store->lock);
    if (event_ring_add(store->events, event)) {
        g_ptr_array_add(change->events, vm_event_copy(event));
        Slot *slot = store_slot_of_told(store, event->vm_id, event->host, event->time_ns, now, change);
        if (slot)
            apply_event(store, slot, event, now, change);
    }
    g_mutex_unlock(&store->lock);
    return change;
}
