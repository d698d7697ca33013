/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/collect_work.h"
#include "gather/identity.h"

#define BATCH_ATTEMPTS 4 /* so up to three guests of one batch may be stuck */
#define RETRY_THREADS 4  /* at a time */

/* --- a batch --- */

/* The same batch may have been asked twice; the answer with more in it stays. */
static bool is_fuller(const VmSample *a, const VmSample *b)
{
    return !b || (row_u64(b->row, METRIC_VM_LOCKED) != 0 && row_u64(a->row, METRIC_VM_LOCKED) == 0);
}

/* With the lock held. Takes VMs and XML over. */
static void file_answers(Collection *collection, guint first, AskedVm *asked, guint count)
{
    for (guint i = 0; i < count && !collection->over; i++) {
        Target *target = g_ptr_array_index(collection->targets, first + i);
        if (asked[i].vm && is_fuller(asked[i].vm, target->vm)) {
            vm_sample_free(target->vm);
            target->vm = g_steal_pointer(&asked[i].vm);
        }
        if (asked[i].xml && !target->xml)
            target->xml = g_steal_pointer(&asked[i].xml);
    }
}

/* The XML of domains that were started, or got another NIC, since it was last read. */
static void read_new_xml(Collection *collection, Hypervisor *hypervisor, guint first, guint count)
{
    for (guint i = first; i < first + count; i++) {
        g_mutex_lock(&collection->lock);
        Target *target = g_ptr_array_index(collection->targets, i);
        g_autofree char *uuid = g_strdup(target->domain.uuid);
        g_autofree char *devices = target->vm ? identity_devices(target->vm) : NULL;
        bool wanted = devices && !target->xml && g_strcmp0(devices, target->known_devices) != 0 && !collection->over;
        g_mutex_unlock(&collection->lock);
        if (!wanted)
            continue;
        char *xml = collection->api->xml(hypervisor, uuid);
        g_mutex_lock(&collection->lock);
        g_free(target->xml);
        target->xml = xml;
        g_mutex_unlock(&collection->lock);
    }
}

typedef enum { ASK_FIRST, ASK_AGAIN, ASK_FOR_LITTLE } AskHow;

/* Asks for targets first … first+count-1; false: the call failed. */
static bool ask(Collection *collection, Hypervisor *hypervisor, guint first, guint count, AskHow how)
{
    g_autofree AskedVm *asked = g_new0(AskedVm, count);
    for (guint i = 0; i < count; i++) { /* these never change and live as long as the collection */
        const Target *target = g_ptr_array_index(collection->targets, first + i);
        asked[i] = (AskedVm){.domain = &target->domain, .known = &target->known};
    }
    GError *error = NULL;
    const bool good = how == ASK_FOR_LITTLE
                          ? ask_vms_for_little(&collection->ask, hypervisor, asked, count, &error)
                          : ask_vms(&collection->ask, hypervisor, asked, count, how == ASK_AGAIN, &error);
    g_mutex_lock(&collection->lock);
    if (good)
        file_answers(collection, first, asked, count);
    else
        collection_note_error(collection, error);
    g_mutex_unlock(&collection->lock);
    for (guint i = 0; i < count; i++) {
        vm_sample_free(asked[i].vm);
        g_free(asked[i].xml);
    }
    return good;
}

/* With the lock held. A batch that should be asked for again, after as many others of which this is true; the number
 * of batches where there is none. */
static guint overdue(Collection *collection, guint others)
{
    gint64 now = g_get_monotonic_time();
    for (guint i = 0; i < collection->next_batch; i++) {
        const Batch *batch = collection_batch(collection, i);
        bool due =
            !batch->answered && batch->attempts < BATCH_ATTEMPTS && now - batch->asked_at >= collection->patience_us;
        if (due && others-- == 0)
            return i;
    }
    return collection->batches->len;
}

/* With the lock held on entry and return. */
static void ask_batch(Collection *collection, Hypervisor *hypervisor, guint i)
{
    Batch *batch = collection_batch(collection, i); /* the array does not grow once threads see it */
    const AskHow how = batch->attempts++ ? ASK_AGAIN : ASK_FIRST;
    batch->out++;
    batch->asked_at = g_get_monotonic_time();
    g_mutex_unlock(&collection->lock);
    bool good = ask(collection, hypervisor, batch->first, batch->count, how);
    g_mutex_lock(&collection->lock);
    batch->out--;
    batch->answered |= good;
    if (!good)
        batch->asked_at = 0;
    collection->readers++;
    g_mutex_unlock(&collection->lock);
    if (good)
        read_new_xml(collection, hypervisor, batch->first, batch->count);
    g_mutex_lock(&collection->lock);
    collection->readers--;
    g_cond_broadcast(&collection->changed); /* not before: a collection with readers is not done */
}

/* With the lock held. */
static void work_off(Collection *collection)
{
    while (collection->next_batch < collection->batches->len && !collection->over)
        ask_batch(collection, collection->first, collection->next_batch++);
}

/* --- over the first connection --- */

/* With the lock held on entry and return. Closing asks libvirtd, so it is for a worker too: it may hang like any other
 * call. */
static void leave_first(Collection *collection)
{
    if (--collection->users > 0)
        return;
    Hypervisor *hypervisor = g_steal_pointer(&collection->first);
    const bool leave = hypervisor && collection->kept && !collection->error;
    g_mutex_unlock(&collection->lock);
    if (leave)
        kept_connection_leave(collection->kept, hypervisor);
    else
        collection->api->close(hypervisor);
    g_mutex_lock(&collection->lock);
}

static Hypervisor *connect_first(Collection *collection, GError **error)
{
    Hypervisor *hypervisor = collection->kept ? kept_connection_take(collection->kept) : NULL;
    return hypervisor ? hypervisor : collection->api->open(collection->uri, error);
}

static gpointer work(gpointer data)
{
    Collection *collection = data;
    g_mutex_lock(&collection->lock);
    work_off(collection);
    leave_first(collection);
    g_mutex_unlock(&collection->lock);
    return collection_end_thread(collection);
}

/* Has the connection made, goes on as one of the workers when the batches are planned, and keeps the connection open
 * until the collection is over. */
static gpointer open_and_work(gpointer data)
{
    Collection *collection = data;
    GError *error = NULL;
    Hypervisor *hypervisor = connect_first(collection, &error);
    g_mutex_lock(&collection->lock);
    collection->first = hypervisor;
    collection->opened = true;
    if (!hypervisor)
        collection_note_error(collection, error);
    g_cond_broadcast(&collection->changed);
    while (hypervisor && !collection->planned && !collection->over)
        g_cond_wait(&collection->changed, &collection->lock);
    work_off(collection);
    while (hypervisor && !collection->over)
        g_cond_wait(&collection->changed, &collection->lock);
    leave_first(collection);
    g_mutex_unlock(&collection->lock);
    return collection_end_thread(collection);
}

/* --- over connections of their own --- */

/* With the lock held. A batch that is overdue, else the next one that no worker has come to, since all of them may be
 * held up; the number of batches where there is neither. */
static guint next_again(Collection *collection)
{
    guint i = overdue(collection, 0), all = collection->batches->len;
    return i == all && collection->next_batch < all ? collection->next_batch++ : i;
}

/* With the lock held. There is no connection to be had now, as while libvirtd is restarted: not before the usual time.
 */
static void be_patient(Collection *collection)
{
    for (guint i = 0; i < collection->next_batch; i++)
        collection_batch(collection, i)->asked_at = g_get_monotonic_time();
}

/* For batches that are overdue, over a connection of its own. */
static gpointer work_again(gpointer data)
{
    Collection *collection = data;
    Hypervisor *hypervisor = collection->api->open(collection->uri, NULL);
    g_mutex_lock(&collection->lock);
    collection->arriving--;
    if (hypervisor)
        for (guint i; !collection->over && (i = next_again(collection)) < collection->batches->len;)
            ask_batch(collection, hypervisor, i);
    else
        be_patient(collection);
    collection->retrying--;
    g_mutex_unlock(&collection->lock);
    collection->api->close(hypervisor);
    return collection_end_thread(collection);
}

/* State and network of whatever has no answer. */
static gpointer last_call(gpointer data)
{
    Collection *collection = data;
    Hypervisor *hypervisor = collection->api->open(collection->uri, NULL);
    for (guint i = 0; hypervisor && i < collection->batches->len; i++) {
        g_mutex_lock(&collection->lock);
        const Batch batch = *collection_batch(collection, i);
        bool wanted = !batch.answered && !collection->over;
        g_mutex_unlock(&collection->lock);
        if (!wanted || !ask(collection, hypervisor, batch.first, batch.count, ASK_FOR_LITTLE))
            continue;
        g_mutex_lock(&collection->lock);
        collection_batch(collection, i)->served = true;
        g_cond_broadcast(&collection->changed);
        g_mutex_unlock(&collection->lock);
    }
    collection->api->close(hypervisor);
    return collection_end_thread(collection);
}

/* With the lock held. Batches wait, and no worker has come to one for long: all of them may be held up, by a guest, or
 * by what is no batch, as an XML. */
static bool are_held_up(const Collection *collection)
{
    const guint taken = collection->next_batch;
    return taken > 0 && taken < collection->batches->len &&
           g_get_monotonic_time() - collection_batch(collection, taken - 1)->asked_at >= collection->patience_us;
}

/* With the lock held. More than those on their way will come to at once: each takes one that is overdue, or that waits.
 */
static bool is_more_wanted(Collection *collection)
{
    const guint none = collection->batches->len, arriving = collection->arriving;
    return overdue(collection, arriving) < none ||
           (are_held_up(collection) && (arriving == 0 || overdue(collection, arriving - 1) < none));
}

/* --- starting them --- */

static void start_user(Collection *collection, GThreadFunc function)
{
    collection->users += collection_start_thread(collection, "libvirt-work", function);
}

void collect_work_open(Collection *collection)
{
    start_user(collection, open_and_work);
}

void collect_work_join(Collection *collection)
{
    start_user(collection, work);
}

void collect_work_again(Collection *collection)
{
    while (collection->retrying < RETRY_THREADS && is_more_wanted(collection) &&
           collection_start_thread(collection, "libvirt-again", work_again)) {
        collection->retrying++;
        collection->arriving++;
    }
}

void collect_work_last_call(Collection *collection)
{
    collection_start_thread(collection, "libvirt-last", last_call);
}

bool collect_work_is_lost(const Batch *batch)
{
    return !batch->answered && !batch->out && batch->attempts >= BATCH_ATTEMPTS;
}
