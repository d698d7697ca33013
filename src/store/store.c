/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "encode/json_writer.h"
#include "store/event_ring.h"
#include "store/merge.h"

#include <string.h>

#define NS_PER_MS G_GINT64_CONSTANT(1000000)
#define NS_PER_S 1e9
#define AHEAD_NS (G_GINT64_CONSTANT(300) * 1000000000) /* clocks may differ by so much */
#define CHANGE_MAX_NS                                                                                                  \
    (G_GINT64_CONSTANT(3600) * 1000000000) /* as RATES_MAX_INTERVAL_NS: longer is no change of now                     \
                                            */

/* What the store has of a VM besides what is published. */
typedef struct {
    VmRecord *record;
    gint64 received_mono_ns;  /* of its figures */
    gint64 lag_ms;            /* how old they were then */
    gint64 heard_mono_ns;     /* anything at all */
    gint64 spoke_ns;          /* realtime of the latest word that it is there, by who said so */
    gint64 collector_mono_ns; /* our collector's last word; 0: none */
    gint64 event_ns;          /* realtime of OpenNebula's last event */
    char *origin;             /* of the collector that speaks for it; NULL: probes do */
    bool origin_fails;
    Telemetry told; /* as of the last tick or change */
} Slot;

struct Store {
    GMutex lock; /* for all of it; held for as long as a sample's VMs are filed */
    StoreOptions options;
    GHashTable *table; /* of Slot, by vm_id */
    GPtrArray *order;  /* the same */
    bool sorted;
    Hosts *hosts;
    EventRing *events;
    guint64 version; /* changed under the lock, read without: who answers requests must not wait for a sample */
};

static void count_change(Store *store)
{
    __atomic_add_fetch(&store->version, 1, __ATOMIC_RELEASE);
}

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

static Slot *find_slot(const Store *store, guint64 vm_id)
{
    gint64 key = (gint64)vm_id;
    return g_hash_table_lookup(store->table, &key);
}

/* Takes the record over. NULL: there are too many, and the record is gone. */
static Slot *add_slot(Store *store, VmRecord *record)
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
static void publish(Store *store, Slot *slot, VmRecord *record)
{
    g_hash_table_steal(store->table, &slot->record->vm_id);
    vm_record_unref(slot->record);
    slot->record = record;
    g_hash_table_insert(store->table, &slot->record->vm_id, slot);
}

/* --- what figures are worth --- */

static gint64 age_ms(const Slot *slot, StoreClock now)
{
    if (slot->record->time_ns == 0)
        return 0;
    return MAX(now.mono_ns - slot->received_mono_ns, 0) / NS_PER_MS + slot->lag_ms;
}

static bool is_live(const Slot *slot)
{
    return slot->record->ended_ns == 0;
}

static Telemetry telemetry_of(const Store *store, const Slot *slot, StoreClock now)
{
    if (slot->record->time_ns == 0)
        return TELEMETRY_MISSING;
    if (!is_live(slot) || slot->origin_fails || age_ms(slot, now) > store->options.stale_after_ms)
        return TELEMETRY_STALE;
    return slot->record->complete ? TELEMETRY_OK : TELEMETRY_WARMING_UP;
}

/* --- changes --- */

static StoreChange *change_new(void)
{
    StoreChange *change = g_new0(StoreChange, 1);
    GPtrArray **lists[] = {&change->taken, &change->late, &change->named, &change->ended};
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

static void see(Store *store, StoreChange *change, const VmRecord *record, gint64 time_ns, const char *state,
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

static void end_slot(Store *store, StoreChange *change, Slot *slot, gint64 time_ns, const char *reason)
{
    VmRecord *record = vm_record_copy(slot->record);
    record->ended_ns = MAX(time_ns, 1);
    publish(store, slot, record);
    slot->told = TELEMETRY_STALE;
    g_ptr_array_add(change->ended, vm_record_ref(record));
    see(store, change, record, time_ns, "ended", json_state_text(record->sample->row), reason);
    count_change(store);
}

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
    if (!is_live(slot) || record->time_ns == 0 || g_strcmp0(record->host, t->host) == 0)
        return true;
    if (telemetry_of(t->store, slot, t->now) == TELEMETRY_STALE)
        return t->time_ns > record->time_ns;
    if (runs(vm) != runs(record->sample))
        return runs(vm);
    return t->time_ns > record->time_ns;
}

/* Texts alone: names, owners. */
static void take_texts(Taking *t, Slot *slot, const VmSample *vm)
{
    if (!slot->record->uuid || !vm->uuid || strcmp(slot->record->uuid, vm->uuid) == 0) {
        VmRecord *record = vm_record_copy(slot->record);
        bool changed = false;
        for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
            Metric m = metric_first(SCOPE_VM) + i;
            if (metric_info[m].cost != COST_START || !row_has(vm->row, m) ||
                g_strcmp0(row_text(record->sample->row, m), row_text(vm->row, m)) == 0)
                continue;
            row_set_text(record->sample->row, m, row_text(vm->row, m));
            changed = true;
        }
        if (!changed) {
            vm_record_unref(record);
            return;
        }
        publish(t->store, slot, record);
        g_ptr_array_add(t->change->named, vm_record_ref(record));
        count_change(t->store);
    }
}

static void set_changes(VmRecord *record, const VmRecord *before, gint64 elapsed_ns)
{
    const MetricRow *a = before->sample->row, *b = record->sample->row;
    const double seconds = (double)elapsed_ns / NS_PER_S;
    if (elapsed_ns <= 0 || elapsed_ns > CHANGE_MAX_NS)
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
    if (before && (!before->uuid || !vm->uuid || strcmp(before->uuid, vm->uuid) == 0))
        merge_carry_texts(vm, before->sample);
    merge_derive(vm, same_run ? same_run->sample : NULL, elapsed_ns, t->time_ns);

    VmRecord *record = vm_record_new(vm->vm_id, vm);
    if (!record->uuid && before)
        record->uuid = g_strdup(before->uuid);
    record->host = g_strdup(t->host);
    record->source = t->source;
    record->time_ns = t->time_ns;
    record->complete = same_run || row_has(vm->row, METRIC_VM_CPU_USAGE_PERCENT);
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
        see(t->store, t->change, record, t->time_ns, "appeared", NULL, state);
        return;
    }
    if (before->time_ns == 0)
        return;
    const char *previous = json_state_text(before->sample->row);
    if (g_strcmp0(before->host, record->host) != 0) {
        g_autofree char *way =
            g_strdup_printf("from %s to %s", before->host ? before->host : "?", record->host ? record->host : "?");
        see(t->store, t->change, record, t->time_ns, "moved", previous, way);
    } else if (!merge_is_same_run(record->sample, before->sample)) {
        see(t->store, t->change, record, t->time_ns, "restarted", previous, NULL);
    }
    const bool blocked_or_running = runs(record->sample) && runs(before->sample);
    if (strcmp(state, previous) != 0 && !blocked_or_running)
        see(t->store, t->change, record, t->time_ns, state, previous, NULL);
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
    slot->told = telemetry_of(t->store, slot, t->now);
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
    publish(t->store, slot, record);
    heard(t, slot);
    note_published(t, slot);
    g_ptr_array_add(t->change->taken, vm_record_ref(record));
}

/* Another piece of the same collection, or the same once more. */
static void take_piece(Taking *t, Slot *slot, const VmSample *vm)
{
    VmRecord *record = vm_record_copy(slot->record);
    const bool had = merge_row_has_figures(record->sample->row);
    heard(t, slot);
    if (!merge_piece(record->sample, vm)) {
        vm_record_unref(record);
        return;
    }
    merge_derive(record->sample, NULL, 0, t->time_ns);
    record->complete |= row_has(record->sample->row, METRIC_VM_CPU_USAGE_PERCENT);
    publish(t->store, slot, record);
    slot->told = telemetry_of(t->store, slot, t->now);
    count_change(t->store);
    g_ptr_array_add(had ? t->change->named : t->change->taken, vm_record_ref(record));
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
    Slot *slot = add_slot(t->store, record);
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

/* Takes the sample over. */
static void take_vm(Taking *t, VmSample *taken)
{
    g_autoptr(VmSample) vm = taken;
    Slot *slot = find_slot(t->store, vm->vm_id);
    if (!slot) {
        take_first(t, g_steal_pointer(&vm));
        return;
    }
    const VmRecord *record = slot->record;
    if (!merge_has_figures(vm) || collector_speaks(t, slot)) {
        t->change->doubled += merge_has_figures(vm);
        take_texts(t, slot, vm);
    } else if (!is_believed(t, slot, vm)) {
        t->change->doubled++;
    } else if ((t->time_ns < record->time_ns && !is_from_ahead(t, record)) ||
               (!is_live(slot) && t->time_ns <= record->ended_ns)) {
        take_late(t, g_steal_pointer(&vm));
    } else if (t->time_ns == record->time_ns) {
        take_piece(t, slot, vm);
    } else {
        take_new(t, slot, g_steal_pointer(&vm));
    }
}

/* --- who is no longer there --- */

static bool has_ended(const Taking *t, const Slot *slot, gint64 absent_before_ns)
{
    /* Of a VM known from before a restart it is not known which collector spoke for it. */
    const bool same_speaker =
        slot->origin ? g_strcmp0(slot->origin, t->origin) == 0 : slot->record->source == t->source;
    if (!is_live(slot) || !same_speaker || g_strcmp0(slot->record->host, t->host) != 0)
        return false;
    if (t->source == SOURCE_COLLECTOR)
        return slot->spoke_ns < t->time_ns;
    return slot->spoke_ns < absent_before_ns;
}

static void end_absent(Taking *t, const Host *host)
{
    if (!host || host_misses_figures(host))
        return;
    const gint64 absent_before_ns = host_absent_before_ns(host);
    for (guint i = 0; i < t->store->order->len; i++) {
        Slot *slot = g_ptr_array_index(t->store->order, i);
        if (has_ended(t, slot, absent_before_ns))
            end_slot(t->store, t->change, slot, t->time_ns, "its host no longer has it");
    }
}

StoreChange *store_take(Store *store, Sample *sample, StoreSource source, const char *origin, bool whole,
                        StoreClock now)
{
    StoreChange *change = change_new();
    Taking t = {.store = store,
                .change = change,
                .source = source,
                .origin = origin,
                .host = sample->host ? sample->host : "",
                .time_ns = sample->realtime_ns,
                .now = now};
    g_mutex_lock(&store->lock);
    const Host *host = hosts_note(store->hosts, sample, origin, whole, now);
    for (guint i = 0; i < sample->vms->len; i++)
        take_vm(&t, g_steal_pointer(&sample->vms->pdata[i]));
    if (whole)
        end_absent(&t, host);
    count_change(store);
    g_mutex_unlock(&store->lock);
    sample_free(sample);
    return change;
}

/* --- OpenNebula's word --- */

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
    Slot *slot = find_slot(store, event->vm_id);
    if (slot)
        return slot;
    VmRecord *record = record_of_event(event, now);
    record->ended_ns = MAX(event->time_ns, 1); /* until it is said to run */
    slot = add_slot(store, record);
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
    publish(store, slot, record);
    count_change(store);
    g_ptr_array_add(change->named, vm_record_ref(record));
    if (!is_latest || event->time_ns < record->time_ns)
        return;
    slot->heard_mono_ns = now.mono_ns;
    if (meaning == EVENT_ENDS && is_live(slot)) {
        end_slot(store, change, slot, event->time_ns, vm_event_state_word(event->state));
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
    StoreChange *change = change_new();
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

/* --- time --- */

void store_origin_failed(Store *store, const char *origin, StoreClock now)
{
    g_mutex_lock(&store->lock);
    bool changed = hosts_fail(store->hosts, origin);
    for (guint i = 0; i < store->order->len; i++) {
        Slot *slot = g_ptr_array_index(store->order, i);
        if (!is_live(slot) || slot->origin_fails || g_strcmp0(slot->origin, origin) != 0)
            continue;
        slot->origin_fails = true;
        slot->told = telemetry_of(store, slot, now);
        changed = true;
    }
    if (changed)
        count_change(store);
    g_mutex_unlock(&store->lock);
}

static bool is_gone(const Store *store, const Slot *slot, StoreClock now)
{
    return is_live(slot) && (now.mono_ns - slot->heard_mono_ns) / NS_PER_MS > store->options.gone_after_ms;
}

static bool is_forgotten(const Store *store, const Slot *slot, StoreClock now)
{
    return !is_live(slot) && (now.real_ns - slot->record->ended_ns) / NS_PER_MS > store->options.forget_after_ms &&
           (now.mono_ns - slot->heard_mono_ns) / NS_PER_MS > store->options.stale_after_ms;
}

bool store_tick(Store *store, StoreClock now, StoreChange **ret_change)
{
    StoreChange *change = change_new();
    g_mutex_lock(&store->lock);
    const guint64 before = store->version;
    for (guint i = store->order->len; i-- > 0;) {
        Slot *slot = g_ptr_array_index(store->order, i);
        if (is_gone(store, slot, now)) {
            end_slot(store, change, slot, now.real_ns, "nothing was heard of it any more");
        } else if (is_forgotten(store, slot, now)) {
            g_hash_table_remove(store->table, &slot->record->vm_id);
            g_ptr_array_remove_index(store->order, i);
            count_change(store);
        } else if (is_live(slot) && slot->told != telemetry_of(store, slot, now)) {
            slot->told = telemetry_of(store, slot, now);
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
                    .telemetry = telemetry_of(store, slot, now),
                    .age_ms = age_ms(slot, now)};
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
        if (which == STORE_LIVE && !is_live(slot))
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
    const Slot *slot = find_slot(store, vm_id);
    if (slot)
        *ret_view = view_of(store, slot, now);
    g_mutex_unlock(&store->lock);
    return slot != NULL;
}

void store_restore(Store *store, VmRecord *record, StoreClock now)
{
    g_mutex_lock(&store->lock);
    if (find_slot(store, record->vm_id)) {
        vm_record_unref(record);
    } else {
        Slot *slot = add_slot(store, record);
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
        if (is_live(slot))
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
    g_mutex_unlock(&store->lock);
}
