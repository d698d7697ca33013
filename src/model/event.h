/* SPDX-License-Identifier: Apache-2.0
 * A change of a VM's state, as OpenNebula's hook tells it or as it was seen in the figures. Plain memory. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum {
    EVENT_OPENNEBULA, /* the state hook's (series vm_events) */
    EVENT_SEEN,       /* concluded from what hosts report */
} EventSource;

/* Texts are owned; NULL unknown. */
typedef struct {
    EventSource source;
    gint64 time_ns; /* realtime */
    guint64 vm_id;
    char *host;
    char *state; /* OpenNebula's word or number ("ACTIVE", "3"); of EVENT_SEEN: appeared, running, paused, moved, ended
                    … */
    char *lcm_state; /* likewise, NULL of EVENT_SEEN */
    char *vm_name, *owner, *previous_state, *previous_lcm_state, *reason;
    /* Of the state hook's document; the history does not keep them. */
    char *gname;
    gint64 seq; /* of the VM's history records in OpenNebula, -1 unknown */
} VmEvent;

/* METRIC_VM_INFO_SOURCE of texts that OpenNebula's state hook has told. */
#define INFO_SOURCE_OPENNEBULA "opennebula"

#define EVENTS_OF_ALL G_MAXUINT64 /* in place of a VM's number, which may be 0 */

VmEvent *vm_event_new(EventSource source, guint64 vm_id, gint64 time_ns);
VmEvent *vm_event_copy(const VmEvent *event);
void vm_event_free(VmEvent *event);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmEvent, vm_event_free)

/* What an event of OpenNebula's says of the VM: EVENT_ENDS where no domain is left (STOPPED 4, SUSPENDED 5, DONE 6,
 * POWEROFF 8, UNDEPLOYED 9, CLONING_FAILURE 11), EVENT_RUNS of ACTIVE 3 with RUNNING 3, else EVENT_SAYS_NOTHING.
 * EVENT_SEEN never says anything. */
typedef enum { EVENT_SAYS_NOTHING, EVENT_RUNS, EVENT_ENDS } EventMeaning;
EventMeaning vm_event_meaning(const VmEvent *event);

/* OpenNebula's word for a state or life-cycle state given as a number ("3" -> "ACTIVE"); what is no known number comes
 * back as it is. Static or the argument itself. */
const char *vm_event_state_word(const char *state);
const char *vm_event_lcm_state_word(const char *lcm_state);
