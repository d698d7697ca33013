/* SPDX-License-Identifier: Apache-2.0
 * What the files of the store share. Internal to store*.c:
 *
 *   store.c         who is known, what figures are worth, reading, time
 *   store_take.c    a sample comes in
 *   store_event.c   OpenNebula says something
 *
 * All of these are to be called with the lock held. */
#pragma once

#include "store/event_ring.h"
#include "store/store.h"

#define NS_PER_MS G_GINT64_CONSTANT(1000000)
#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)

/* What the store has of a VM besides what is published. */
typedef struct {
    VmRecord *record;
    gint64 received_mono_ns;  /* of its figures */
    gint64 lag_ms;            /* how old they were then */
    gint64 heard_mono_ns;     /* anything at all, or that its collector can't see it */
    gint64 spoke_ns;          /* realtime of the latest word that it is there, by who said so */
    gint64 collector_mono_ns; /* our collector's last word; 0: none */
    gint64 elsewhere_mono_ns; /* another host's last word of it, that was not believed; 0: none */
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
    GHashTable *failing; /* origins whose last collection failed */
    EventRing *events;
    guint64 version; /* changed under the lock, read without: who answers requests must not wait for a sample */
};

static void count_change(Store *store)
{
    __atomic_add_fetch(&store->version, 1, __ATOMIC_RELEASE);
}

Slot *store_find_slot(const Store *store, guint64 vm_id); /* NULL: not known */
/* Takes the record over. NULL: there are too many, and the record is gone. */
Slot *store_add_slot(Store *store, VmRecord *record);
/* In place of what is there; takes the record over. */
void store_publish(Store *store, Slot *slot, VmRecord *record);

/* The slot of a VM of which OpenNebula speaks, made where there is none: then it is not listed until it is said, or
 * seen, to run. NULL: there are too many, and it is counted. */
Slot *store_slot_of_told(Store *store, guint64 vm_id, const char *host, gint64 time_ns, StoreClock now,
                         StoreChange *change);
/* OpenNebula's stamps are whole seconds, so its word is before another one only where it is of an earlier second. */
static inline bool store_is_told_before(gint64 told_ns, gint64 other_ns)
{
    return told_ns / NS_PER_SECOND < other_ns / NS_PER_SECOND;
}

gint64 store_age_ms(const Slot *slot, StoreClock now);
bool store_is_live(const Slot *slot);
Telemetry store_telemetry_of(const Store *store, const Slot *slot, StoreClock now);

StoreChange *store_change_new(void);
/* Something was seen of the VM: an event for the change and the ring. */
void store_see(Store *store, StoreChange *change, const VmRecord *record, gint64 time_ns, const char *state,
               const char *previous, const char *reason);
void store_end_slot(Store *store, StoreChange *change, Slot *slot, gint64 time_ns, const char *reason);
