/* SPDX-License-Identifier: Apache-2.0 */
#include "store/event_ring.h"

struct EventRing {
    guint most;
    GQueue events;    /* of VmEvent, oldest first */
    GHashTable *keys; /* what tells each from the others */
};

EventRing *event_ring_new(guint most)
{
    EventRing *ring = g_new0(EventRing, 1);
    ring->most = most;
    g_queue_init(&ring->events);
    ring->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return ring;
}

static void free_event(gpointer data, gpointer unused)
{
    (void)unused;
    vm_event_free(data);
}

void event_ring_free(EventRing *ring)
{
    if (!ring)
        return;
    g_queue_foreach(&ring->events, free_event, NULL);
    g_queue_clear(&ring->events);
    g_hash_table_unref(ring->keys);
    g_free(ring);
}

static char *key_of(const VmEvent *event)
{
    return g_strdup_printf("%" G_GUINT64_FORMAT " %d %" G_GINT64_FORMAT " %s %s", event->vm_id, (int)event->source,
                           event->time_ns, event->state ? event->state : "", event->lcm_state ? event->lcm_state : "");
}

bool event_ring_add(EventRing *ring, const VmEvent *event)
{
    if (!g_hash_table_add(ring->keys, key_of(event)))
        return false;
    g_queue_push_tail(&ring->events, vm_event_copy(event));
    if (g_queue_get_length(&ring->events) > ring->most) {
        VmEvent *oldest = g_queue_pop_head(&ring->events);
        g_autofree char *key = key_of(oldest);
        g_hash_table_remove(ring->keys, key);
        vm_event_free(oldest);
    }
    return true;
}

GPtrArray *event_ring_list(const EventRing *ring, guint64 vm_id, guint most)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)vm_event_free);
    for (const GList *link = ring->events.tail; link && list->len < most; link = link->prev) {
        const VmEvent *event = link->data;
        if (vm_id == EVENTS_OF_ALL || event->vm_id == vm_id)
            g_ptr_array_add(list, vm_event_copy(event));
    }
    return list;
}
