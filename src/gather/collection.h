/* SPDX-License-Identifier: Apache-2.0
 * What the threads of one collection (collect.h) share: whom they ask for, what came back, and who is still under way.
 */
#pragma once

#include "gather/ask.h"
#include "gather/collect.h"

typedef struct {
    HypervisorDomain domain;
    char *known_devices; /* NIC names whose XML was read before; NULL: none */
    VmKnown known;
    VmSample *vm; /* the fullest answer so far */
    char *xml;
} Target;

typedef struct {
    guint first, count;  /* targets */
    guint attempts, out; /* calls made for it; of those, still under way */
    gint64 asked_at;     /* monotonic us of the last call; 0: due at once */
    bool answered;       /* by at least one call */
    bool served;         /* by the last call, with what needs no monitor */
} Batch;

/* Shared by all threads of one collection. It lives until the last of them is back, even if that is long after the
 * collection was given up; a thread touches nothing else. */
typedef struct {
    gint references;
    const HypervisorApi *api;
    char *uri;
    AskOptions ask;       /* with a reference on its processes; its netdevs are its own */
    CollectCount *count;  /* may be NULL */
    KeptConnection *kept; /* may be NULL */
    GMutex lock;          /* for all that follows */
    GCond changed;
    bool opened, planned;
    Hypervisor *first; /* connection of the workers; NULL when the last of them has closed it */
    GError *error;     /* the first that a call returned */
    GPtrArray *targets;
    GArray *batches;
    guint left_out;           /* domains that are no VMs by their names */
    guint next_batch;         /* the first that no worker has taken yet */
    guint threads, readers;   /* running; of those, reading XML */
    guint retrying, arriving; /* of the running: for batches that are overdue; of those, not yet connected */
    guint users;              /* threads that use the first connection */
    gint64 patience_us;
    bool over; /* answers are no longer wanted */
} Collection;

/* `options` are copied. */
Collection *collection_new(const CollectOptions *options);
Collection *collection_ref(Collection *collection);
void collection_unref(Collection *collection);

Batch *collection_batch(const Collection *collection, guint i);

/* With the lock held. Takes the error over. */
void collection_note_error(Collection *collection, GError *error);

/* With the lock held. The thread has a reference on the collection. false: there is no thread to be had. */
bool collection_start_thread(Collection *collection, const char *name, GThreadFunc function);
/* Without the lock: the last that such a thread does. NULL, for it to return. */
gpointer collection_end_thread(Collection *collection);
