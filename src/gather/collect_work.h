/* SPDX-License-Identifier: Apache-2.0
 * The threads of a collection, which ask libvirt batch by batch and file what it answers. All of these are called with
 * the lock held, and come back at once. A thread that can't be had is one fewer. */
#pragma once

#include "gather/collection.h"

/* The one that makes the first connection, has the domains listed, and goes on as a worker once the batches are
 * planned. */
void collect_work_open(Collection *collection);
/* One more worker over that connection. */
void collect_work_join(Collection *collection);
/* One more over a connection of its own, where a batch is overdue that none of those on their way will come to, or
 * where the workers do not get on. */
void collect_work_again(Collection *collection);
/* One that asks for state and network of whatever has no answer, which takes no QEMU. */
void collect_work_last_call(Collection *collection);

/* It has been asked for as often as it is, in vain. */
bool collect_work_is_lost(const Batch *batch);
