/* SPDX-License-Identifier: Apache-2.0
 * The last events of all VMs, each once. Part of the store, which guards it. */
#pragma once

#include "model/event.h"

typedef struct EventRing EventRing;

EventRing *event_ring_new(guint most);
void event_ring_free(EventRing *ring);

/* Copies it. false: it is there already (same VM, source, time and states). */
bool event_ring_add(EventRing *ring, const VmEvent *event);

/* Newest first, of one VM (0: of all), at most `most`. Of VmEvent. */
GPtrArray *event_ring_list(const EventRing *ring, guint64 vm_id, guint most);
