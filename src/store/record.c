/* SPDX-License-Identifier: Apache-2.0 */
#include "store/record.h"

const char *store_source_name(StoreSource source)
{
    return source == SOURCE_COLLECTOR ? "libvirt" : "probes";
}

VmRecord *vm_record_new(guint64 vm_id, VmSample *sample)
{
    VmRecord *record = g_new(VmRecord, 1);
    *record = (VmRecord){.references = 1, .vm_id = vm_id, .sample = sample};
    record->name = g_strdup(sample->name);
    record->uuid = g_strdup(sample->uuid);
    return record;
}

VmRecord *vm_record_ref(const VmRecord *record)
{
    VmRecord *shared = (VmRecord *)(guintptr)record; /* what it says does not change, only who holds it */
    g_atomic_int_inc(&shared->references);
    return shared;
}

void vm_record_unref(const VmRecord *record)
{
    VmRecord *shared = (VmRecord *)(guintptr)record;
    if (!shared || !g_atomic_int_dec_and_test(&shared->references))
        return;
    g_free(shared->name);
    g_free(shared->uuid);
    g_free(shared->host);
    vm_sample_free(shared->sample);
    metric_row_free(shared->known);
    g_free(shared->one_state);
    g_free(shared->one_lcm_state);
    g_free(shared);
}

VmRecord *vm_record_copy(const VmRecord *record)
{
    VmRecord *copy = g_new(VmRecord, 1);
    *copy = (VmRecord){
        .references = 1, /* whoever holds the other one counts on it meanwhile */
        .vm_id = record->vm_id,
        .name = g_strdup(record->name),
        .uuid = g_strdup(record->uuid),
        .host = g_strdup(record->host),
        .source = record->source,
        .sample = vm_sample_copy(record->sample),
        .known = record->known ? metric_row_copy(record->known) : NULL,
        .time_ns = record->time_ns,
        .complete = record->complete,
        .has_cpu_change = record->has_cpu_change,
        .has_memory_change = record->has_memory_change,
        .cpu_change = record->cpu_change,
        .memory_change = record->memory_change,
        .first_seen_ns = record->first_seen_ns,
        .last_seen_ns = record->last_seen_ns,
        .ended_ns = record->ended_ns,
        .one_state = g_strdup(record->one_state),
        .one_lcm_state = g_strdup(record->one_lcm_state),
    };
    return copy;
}
