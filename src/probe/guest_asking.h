/* SPDX-License-Identifier: Apache-2.0
 * One round of questions to the guests' agents: what they run and their addresses, those of guestagent.conf, and about
 * GPUs. What comes of it stands in the book, under the keys of OpenNebula's records: answers, or "error: …". A guest
 * whose agent does not answer a command is asked nothing more, and has failed. One for which no time was left stays as
 * it was, and comes first the next time. */
#pragma once

#include "gather/guest_agent.h"
#include "gather/guest_commands.h"
#include "gather/vm_book.h"
#include "model/sample.h"

typedef struct {
    gint64 limit_ms; /* of everything */
    const GuestAgentApi *api;
    const char *uri;
    const GuestCommands *commands; /* NULL or not enabled: GPUs alone */
    gint64 interval_s;             /* from one question to the next, of a guest that answers */
} GuestAskingOptions;

/* Some guest is to be asked now. `commands` as above. */
bool guest_asking_is_due(const Sample *sample, const VmBook *book, const GuestCommands *commands, gint64 now_s);

/* Asks those that are due, and forgets guests that the sample has no more. Guests that do not run are left alone.
 * *ret_stuck: threads are blocked in libvirt, so the process should leave by _exit. false: libvirt can't be asked, and
 * the book is not to be saved. */
bool guest_asking_run(const Sample *sample, VmBook *book, const GuestAskingOptions *options, gint64 now_s,
                      bool *ret_stuck, GError **error);

/* Gives the sample's VMs their keys, for OpenNebula's records; those that are not asked any more get none. */
void guest_asking_attach(Sample *sample, const VmBook *book, const GuestCommands *commands);
