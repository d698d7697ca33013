/* SPDX-License-Identifier: Apache-2.0
 * A sample comes in: what of it is believed, what it changes, and who is no longer there. */
#include "store/store_internal.h"

#include "encode/json_writer.h"
#include "model/rates.h"
#include "store/merge.h"

#include <string.h>

#define NS_PER_S 1e9
#define AHEAD_NS (G_GINT64_CONSTANT(300) * 1000000000) /* clocks may differ by so much */

/* --- a sample's VMs --- */

typedef struct {
    Store *store;
    StoreChange *change;
    StoreSource source;
    const char *origin, *host;
    gint64 time_ns;
    StoreClock now;
} Taking;

/* By its state: a VM that is only half here (paused while it migrates, shut off) has no say against one that runs. */
static bool runs(const VmSample *vm)
{
    guint64 state;
    return !row_get_u64(vm->row, METRIC_VM_STATE, &state) || state == 1 || state == 2;
}

static bool collector_speaks(const Taking *t, const Slot *slot)
{
    return t->source == SOURCE_PROBES && slot->collector_mono_ns != 0 && !slot->origin_fails &&
           (t->now.mono_ns - slot->collector_mono_ns) / NS_PER_MS < t->store->options.stale_after_ms;
}

/* Whether this host is to be believed about a VM that another one has spoken of. */
static bool is_believed(const Taking *t, const Slot *slot, const VmSample *vm)
{
    const VmRecord *record = slot->record;
    if (!store_is_live(slot) || record->time_ns == 0 || g_strcmp0(record->host, t->host) == 0)
        return true;
    if (store_telemetry_of(t->store, slot, t->now) == TELEMETRY_STALE)
        return t->time_ns > record->time_ns;
    if (runs(vm) != runs(record->sample))
        return runs(vm);
    return t->time_ns > record->time_ns;
}

static bool may_be_same(const char *uuid, const char *other)
{
    return !uuid || !other || strcmp(uuid, other) == 0;
}

/* Whether that changed anything. */
static bool set_texts(MetricRow *row, const MetricRow *from)
{
    bool changed = false;
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        if (metric_info[m].cost != COST_START || !row_has(from, m) ||
            g_strcmp0(row_text(row, m), row_text(from, m)) == 0)
            continue;
        row_set_text(row, m, row_text(from, m));
        changed = true;
    }
    return changed;
}

/* Takes the record over. */
static void publish_named(Taking *t, Slot *slot, VmRecord *record)
{
    store_publish(t->store, slot, record);
    g_ptr_array_add(t->change->named, vm_record_ref(record));
    count_change(t->store);
}

/* Texts alone: names, owners. */
static void take_texts(Taking *t, Slot *slot, VmSample *vm)
{
    if (!may_be_same(slot->record->uuid, vm->uuid))
        return;
    VmRecord *record = vm_record_copy(slot->record);
    merge_keep_told(vm, record->sample);
    if (set_texts(record->sample->row, vm->row))
        publish_named(t, slot, record);
    else
        vm_record_unref(record);
}

/* --- OpenNebula's word --- */

static bool is_told(const VmSample *vm)
{
    return row_has(vm->row, METRIC_VM_INFO_SOURCE) && !merge_has_figures(vm);
}

/* Nothing of it is of the host whose name it bears. */
static bool is_told_alone(const Sample *sample)
{
    for (guint i = 0; i < sample->vms->len; i++)
        if (!is_told(g_ptr_array_index(sample->vms, i)))
            return false;
    return sample->vms->len > 0;
}

static void set_uuid(VmRecord *record, const char *uuid)
{
    g_free(record->uuid);
    record->uuid = g_strdup(uuid);
    g_free(record->sample->uuid);
    record->sample->uuid = g_strdup(uuid);
}

/* What the state hook says of the VM goes by its number, whatever domain that is. */
static void take_told(Taking *t, const VmSample *vm)
{
    Slot *slot = store_slot_of_told(t->store, vm->vm_id, t->host, t->time_ns, t->now, t->change);
    if (!slot || store_is_told_before(t->time_ns, slot->event_ns))
        return;
    VmRecord *record = vm_record_copy(slot->record);
    if (vm->uuid && (!record->uuid || record->ended_ns != 0))
        set_uuid(record, vm->uuid);
    set_texts(record->sample->row, vm->row);
    publish_named(t, slot, record);
}

static void set_changes(VmRecord *record, const VmRecord *before, gint64 elapsed_ns)
{
    const MetricRow *a = before->sample->row, *b = record->sample->row;
    const double seconds = (double)elapsed_ns / NS_PER_S;
    if (elapsed_ns < RATES_MIN_INTERVAL_NS || elapsed_ns > RATES_MAX_INTERVAL_NS)
        return;
    const Metric cpu = METRIC_VM_CPU_USAGE_PERCENT, memory = METRIC_VM_MEMORY_USAGE_PERCENT;
    record->has_cpu_change = row_has(a, cpu) && row_has(b, cpu);
    record->has_memory_change = row_has(a, memory) && row_has(b, memory);
    if (record->has_cpu_change)
        record->cpu_change = (row_real(b, cpu) - row_real(a, cpu)) / seconds;
    if (record->has_memory_change)
        record->memory_change = (row_real(b, memory) - row_real(a, memory)) / seconds;
}

/* The record that follows `before` (NULL: a VM that was not known, or had no figures). Takes the sample over. */
static VmRecord *next_record(const Taking *t, const VmRecord *before, VmSample *vm)
{
    const gint64 elapsed_ns = before ? t->time_ns - before->time_ns : 0;
    const bool had_figures = before && before->time_ns != 0;
    const VmRecord *same_run = had_figures && merge_is_same_run(vm, before->sample) ? before : NULL;
    if (before && may_be_same(before->uuid, vm->uuid)) {
        merge_keep_told(vm, before->sample);
        merge_carry_texts(vm, before->sample);
    }
    merge_derive(vm, same_run ? same_run->sample : NULL, elapsed_ns, t->time_ns);

    VmRecord *record = vm_record_new(vm->vm_id, vm);
    if (!record->uuid && before)
        record->uuid = g_strdup(before->uuid);
    record->host = g_strdup(t->host);
    record->source = t->source;
    record->time_ns = t->time_ns;
    record->complete =
        (same_run && elapsed_ns <= RATES_MAX_INTERVAL_NS) || row_has(vm->row, METRIC_VM_CPU_USAGE_PERCENT);
    record->first_seen_ns = before ? before->first_seen_ns : t->now.real_ns;
    record->last_seen_ns = t->now.real_ns;
    if (same_run) {
        set_changes(record, same_run, elapsed_ns);
        record->known = merge_known(vm, same_run->sample, same_run->known);
    }
    if (before) {
        record->one_state = g_strdup(before->one_state);
        record->one_lcm_state = g_strdup(before->one_lcm_state);
    }
    return record;
}

/* What a person would want to know of the step from one record to the next. */
static void see_step(Taking *t, const VmRecord *before, const VmRecord *record)
{
    const char *state = json_state_text(record->sample->row);
    if (!before || before->ended_ns != 0) {
        store_see(t->store, t->change, record, t->time_ns, "appeared", NULL, state);
        return;
    }
    if (before->time_ns == 0)
        return;
    const char *previous = json_state_text(before->sample->row);
    if (g_strcmp0(before->host, record->host) != 0) {
        g_autofree char *way =
            g_strdup_printf("from %s to %s", before->host ? before->host : "?", record->host ? record->host : "?");
        store_see(t->store, t->change, record, t->time_ns, "moved", previous, way);
    } else if (!merge_is_same_run(record->sample, before->sample)) {
        store_see(t->store, t->change, record, t->time_ns, "restarted", previous, NULL);
    }
    const bool blocked_or_running = runs(record->sample) && runs(before->sample);
    if (strcmp(state, previous) != 0 && !blocked_or_running)
        store_see(t->store, t->change, record, t->time_ns, state, previous, NULL);
}

static void heard(const Taking *t, Slot *slot)
{
    slot->heard_mono_ns = t->now.mono_ns;
    slot->spoke_ns = slot->spoke_ns > t->now.real_ns + AHEAD_NS ? t->time_ns : MAX(slot->spoke_ns, t->time_ns);
    if (t->source == SOURCE_COLLECTOR)
        slot->collector_mono_ns = t->now.mono_ns;
    if (g_strcmp0(slot->origin, t->origin) != 0) {
        g_free(slot->origin);
        slot->origin = g_strdup(t->origin);
    }
    slot->origin_fails = false;
}

static void note_published(Taking *t, Slot *slot)
{
    slot->received_mono_ns = t->now.mono_ns;
    slot->lag_ms = MAX(t->now.real_ns - t->time_ns, 0) / NS_PER_MS;
    slot->told = store_telemetry_of(t->store, slot, t->now);
    count_change(t->store);
}

/* Takes the sample over. */
static void take_new(Taking *t, Slot *slot, VmSample *vm)
{
    const VmRecord *before = slot->record;
    VmRecord *record = next_record(t, before, vm);
    see_step(t, before, record);
    if (before->ended_ns != 0 || g_strcmp0(before->host, record->host) != 0 || before->time_ns == 0)
        g_ptr_array_add(t->change->named, vm_record_ref(record));
    if (g_strcmp0(before->host, record->host) != 0)
        slot->elsewhere_mono_ns = 0; /* that was here */
    store_publish(t->store, slot, record);
    heard(t, slot);
    note_published(t, slot);
    g_ptr_array_add(t->change->taken, vm_record_ref(record));
}

/* Another piece of the same collection, or the same once more. */
static void take_piece(Taking *t, Slot *slot, VmSample *vm)
{
    VmRecord *record = vm_record_copy(slot->record);
    merge_keep_told(vm, record->sample);
    const bool had = merge_row_has_figures(record->sample->row);
    heard(t, slot);
    if (!merge_piece(record->sample, vm)) {
        vm_record_unref(record);
        return;
    }
    merge_derive(record->sample, NULL, 0, t->time_ns);
    record->complete |= row_has(record->sample->row, METRIC_VM_CPU_USAGE_PERCENT);
    store_publish(t->store, slot, record);
    slot->told = store_telemetry_of(t->store, slot, t->now);
    count_change(t->store);
    g_ptr_array_add(had ? t->change->named : t->change->taken, vm_record_ref(record));
    if (had)
        g_ptr_array_add(t->change->pieces, vm_record_ref(record));
}

/* Older than what is there: for the history. Takes the sample over. */
static void take_late(Taking *t, VmSample *vm)
{
    VmRecord *record = vm_record_new(vm->vm_id, vm);
    merge_derive(vm, NULL, 0, t->time_ns);
    record->host = g_strdup(t->host);
    record->source = t->source;
    record->time_ns = t->time_ns;
    g_ptr_array_add(t->change->late, record);
}

/* Takes the sample over. */
static void take_first(Taking *t, VmSample *vm)
{
    const bool has_figures = merge_has_figures(vm);
    VmRecord *record = has_figures ? next_record(t, NULL, vm) : vm_record_new(vm->vm_id, vm);
    if (!has_figures) {
        record->host = g_strdup(t->host);
        record->source = t->source;
        record->first_seen_ns = record->last_seen_ns = t->now.real_ns;
    }
    Slot *slot = store_add_slot(t->store, record);
    if (!slot) {
        t->change->refused++;
        return;
    }
    heard(t, slot);
    note_published(t, slot);
    see_step(t, NULL, record);
    g_ptr_array_add(t->change->named, vm_record_ref(record));
    if (has_figures)
        g_ptr_array_add(t->change->taken, vm_record_ref(record));
}

/* What is there is of a clock that was ahead, and has been set back since. */
static bool is_from_ahead(const Taking *t, const VmRecord *record)
{
    return record->time_ns > t->now.real_ns + AHEAD_NS && t->time_ns <= t->now.real_ns + AHEAD_NS;
}

/* An end of OpenNebula's is of a whole second, in which the last figures may have been taken before it. */
static bool is_before_end(gint64 time_ns, gint64 ended_ns)
{
    return time_ns <= ended_ns || (ended_ns % NS_PER_SECOND == 0 && !store_is_told_before(ended_ns, time_ns));
}

/* Takes the sample over. */
static void take_vm(Taking *t, VmSample *taken)
{
    g_autoptr(VmSample) vm = taken;
    if (is_told(vm)) {
        take_told(t, vm);
        return;
    }
    Slot *slot = store_find_slot(t->store, vm->vm_id);
    if (!slot) {
        take_first(t, g_steal_pointer(&vm));
        return;
    }
    const VmRecord *record = slot->record;
    if (!merge_has_figures(vm) || collector_speaks(t, slot)) {
        t->change->doubled += merge_has_figures(vm);
        take_texts(t, slot, vm);
    } else if (!is_believed(t, slot, vm)) {
        slot->elsewhere_mono_ns = t->now.mono_ns;
        t->change->doubled++;
    } else if ((t->time_ns < record->time_ns && !is_from_ahead(t, record)) ||
               (!store_is_live(slot) && is_before_end(t->time_ns, record->ended_ns))) {
        take_late(t, g_steal_pointer(&vm));
    } else if (t->time_ns == record->time_ns) {
        take_piece(t, slot, vm);
    } else {
        take_new(t, slot, g_steal_pointer(&vm));
    }
}

/* --- who is no longer there --- */

static bool is_recent(const Taking *t, gint64 mono_ns)
{
    return mono_ns != 0 && (t->now.mono_ns - mono_ns) / NS_PER_MS < t->store->options.stale_after_ms;
}

/* Whether who speaks now is who spoke for the VM. Of one known from before a restart it is not known which collector it
 * was; and where our collector has long been silent, as when it was stopped, probes have the word. */
static bool speaks_for(const Taking *t, const Slot *slot)
{
    if (!slot->origin)
        return slot->record->source == t->source;
    return g_strcmp0(slot->origin, t->origin) == 0 ||
           (t->source == SOURCE_PROBES && !is_recent(t, slot->collector_mono_ns));
}

/* While another host has it too, as when it moves, it is not at its end. */
static bool has_ended(const Taking *t, const Slot *slot, gint64 absent_before_ns)
{
    if (!store_is_live(slot) || !speaks_for(t, slot) || g_strcmp0(slot->record->host, t->host) != 0 ||
        is_recent(t, slot->elsewhere_mono_ns))
        return false;
    return slot->spoke_ns < (t->source == SOURCE_COLLECTOR ? t->time_ns : absent_before_ns);
}

static void end_absent(Taking *t, const Host *host)
{
    if (!host || host_misses_figures(host))
        return;
    const gint64 absent_before_ns = host_absent_before_ns(host);
    for (guint i = 0; i < t->store->order->len; i++) {
        Slot *slot = g_ptr_array_index(t->store->order, i);
        if (has_ended(t, slot, absent_before_ns))
            store_end_slot(t->store, t->change, slot, t->time_ns, "its host no longer has it");
    }
}

StoreChange *store_take(Store *store, Sample *sample, StoreSource source, const char *origin, bool whole,
                        StoreClock now)
{
    StoreChange *change = store_change_new();
    Taking t = {.store = store,
                .change = change,
                .source = source,
                .origin = origin,
                .host = sample->host ? sample->host : "",
                .time_ns = sample->realtime_ns,
                .now = now};
    g_mutex_lock(&store->lock);
    if (origin)
        g_hash_table_remove(store->failing, origin);
    const Host *host = is_told_alone(sample) ? NULL : hosts_note(store->hosts, sample, origin, whole, now);
    for (guint i = 0; i < sample->vms->len; i++)
        take_vm(&t, g_steal_pointer(&sample->vms->pdata[i]));
    if (whole)
        end_absent(&t, host);
    count_change(store);
    g_mutex_unlock(&store->lock);
    sample_free(sample);
    return change;
}
