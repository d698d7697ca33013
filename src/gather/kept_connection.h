/* SPDX-License-Identifier: Apache-2.0
 * A connection to libvirt that one collection leaves to the next: to open one takes as much as to ask for the free
 * figures of some ten VMs. May be used by many threads, and given back by those of collections that were given up. */
#pragma once

#include "gather/hypervisor.h"

typedef struct KeptConnection KeptConnection;

KeptConnection *kept_connection_new(const HypervisorApi *api);
/* Of NULL both are nothing. */
KeptConnection *kept_connection_ref(KeptConnection *kept);
/* With the last reference the connection is closed, which asks libvirt and may block. */
void kept_connection_unref(KeptConnection *kept);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KeptConnection, kept_connection_unref)

/* The connection that was left, with the list of domains as it is now. NULL: none was, or it does not serve any more
 * and has been closed. Owned by the caller. May block. */
Hypervisor *kept_connection_take(KeptConnection *kept);

/* Leaves it to the next; of two that are left the one before is closed. Takes it over. */
void kept_connection_leave(KeptConnection *kept, Hypervisor *hypervisor);
