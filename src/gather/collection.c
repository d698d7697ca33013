/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/collection.h"
#include "gather/host.h"

static void free_target(gpointer data)
{
    Target *target = data;
    g_free(target->domain.name);
    g_free(target->domain.uuid);
    g_free(target->known_devices);
    vm_known_clear(&target->known);
    vm_sample_free(target->vm);
    g_free(target->xml);
    g_free(target);
}

Collection *collection_ref(Collection *collection)
{
    g_atomic_int_inc(&collection->references);
    return collection;
}

void collection_unref(Collection *collection)
{
    if (!g_atomic_int_dec_and_test(&collection->references))
        return;
    g_clear_error(&collection->error);
    g_ptr_array_unref(collection->targets);
    g_array_unref(collection->batches);
    g_mutex_clear(&collection->lock);
    g_cond_clear(&collection->changed);
    g_free(collection->uri);
    processes_unref(collection->ask.processes);
    netdevs_free(collection->ask.netdevs);
    g_free((gpointer)(guintptr)collection->ask.status_dir);
    collect_count_unref(collection->count);
    kept_connection_unref(collection->kept);
    g_free(collection);
}

Collection *collection_new(const CollectOptions *options)
{
    Collection *collection = g_new0(Collection, 1);
    collection->references = 1;
    collection->api = options->api;
    collection->uri = g_strdup(options->uri);
    collection->ask = (AskOptions){
        .api = options->api,
        .processes = options->processes ? processes_ref(options->processes) : NULL,
        .netdevs = options->processes ? netdevs_new(processes_proc(options->processes)) : NULL,
        .status_dir = options->processes ? plan_status_dir(options->uri) : NULL,
        .fast = options->fast,
        .slow_ns = options->slow_ms * 1000000,
        .now_ns = host_boottime_ns(),
    };
    collection->count = collect_count_ref(options->count);
    collection->kept = kept_connection_ref(options->kept);
    g_mutex_init(&collection->lock);
    g_cond_init(&collection->changed);
    collection->targets = g_ptr_array_new_with_free_func(free_target);
    collection->batches = g_array_new(FALSE, TRUE, sizeof(Batch));
    return collection;
}

Batch *collection_batch(const Collection *collection, guint i)
{
    return &g_array_index(collection->batches, Batch, i);
}

void collection_note_error(Collection *collection, GError *error)
{
    if (collection->error)
        g_error_free(error);
    else
        collection->error = error;
}

bool collection_start_thread(Collection *collection, const char *name, GThreadFunc function)
{
    GThread *thread = g_thread_try_new(name, function, collection_ref(collection), NULL);
    if (!thread) {
        collection_unref(collection);
        return false;
    }
    collection->threads++;
    collect_count_add(collection->count, 1);
    g_thread_unref(thread);
    return true;
}

gpointer collection_end_thread(Collection *collection)
{
    CollectCount *count = collect_count_ref(collection->count);
    g_mutex_lock(&collection->lock);
    collection->threads--;
    g_cond_broadcast(&collection->changed);
    g_mutex_unlock(&collection->lock);
    collection_unref(collection);
    collect_count_add(count, -1);
    collect_count_unref(count);
    return NULL;
}
