/* SPDX-License-Identifier: Apache-2.0 */
#include "model/event.h"

#include <string.h>

VmEvent *vm_event_new(EventSource source, guint64 vm_id, gint64 time_ns)
{
    VmEvent *event = g_new(VmEvent, 1);
    *event = (VmEvent){.source = source, .vm_id = vm_id, .time_ns = time_ns, .seq = -1};
    return event;
}

VmEvent *vm_event_copy(const VmEvent *event)
{
    VmEvent *copy = g_new(VmEvent, 1);
    *copy = (VmEvent){
        .source = event->source,
        .time_ns = event->time_ns,
        .vm_id = event->vm_id,
        .host = g_strdup(event->host),
        .state = g_strdup(event->state),
        .lcm_state = g_strdup(event->lcm_state),
        .vm_name = g_strdup(event->vm_name),
        .owner = g_strdup(event->owner),
        .previous_state = g_strdup(event->previous_state),
        .previous_lcm_state = g_strdup(event->previous_lcm_state),
        .reason = g_strdup(event->reason),
        .gname = g_strdup(event->gname),
        .seq = event->seq,
    };
    return copy;
}

void vm_event_free(VmEvent *event)
{
    if (!event)
        return;
    g_free(event->host);
    g_free(event->state);
    g_free(event->lcm_state);
    g_free(event->vm_name);
    g_free(event->owner);
    g_free(event->previous_state);
    g_free(event->previous_lcm_state);
    g_free(event->reason);
    g_free(event->gname);
    g_free(event);
}

/* --- OpenNebula's words --- */

/* VirtualMachine::VMState, by number; its gaps are numbers that OpenNebula does not use. */
static const char *const state_words[] = {
    [0] = "INIT", [1] = "PENDING",  [2] = "HOLD",       [3] = "ACTIVE",   [4] = "STOPPED",          [5] = "SUSPENDED",
    [6] = "DONE", [8] = "POWEROFF", [9] = "UNDEPLOYED", [10] = "CLONING", [11] = "CLONING_FAILURE",
};

/* VirtualMachine::LcmState, likewise. */
static const char *const lcm_state_words[] = {
    [0] = "LCM_INIT",
    [1] = "PROLOG",
    [2] = "BOOT",
    [3] = "RUNNING",
    [4] = "MIGRATE",
    [5] = "SAVE_STOP",
    [6] = "SAVE_SUSPEND",
    [7] = "SAVE_MIGRATE",
    [8] = "PROLOG_MIGRATE",
    [9] = "PROLOG_RESUME",
    [10] = "EPILOG_STOP",
    [11] = "EPILOG",
    [12] = "SHUTDOWN",
    [15] = "CLEANUP_RESUBMIT",
    [16] = "UNKNOWN",
    [17] = "HOTPLUG",
    [18] = "SHUTDOWN_POWEROFF",
    [19] = "BOOT_UNKNOWN",
    [20] = "BOOT_POWEROFF",
    [21] = "BOOT_SUSPENDED",
    [22] = "BOOT_STOPPED",
    [23] = "CLEANUP_DELETE",
    [24] = "HOTPLUG_SNAPSHOT",
    [25] = "HOTPLUG_NIC",
    [26] = "HOTPLUG_SAVEAS",
    [27] = "HOTPLUG_SAVEAS_POWEROFF",
    [28] = "HOTPLUG_SAVEAS_SUSPENDED",
    [29] = "SHUTDOWN_UNDEPLOY",
    [30] = "EPILOG_UNDEPLOY",
    [31] = "PROLOG_UNDEPLOY",
    [32] = "BOOT_UNDEPLOY",
    [33] = "HOTPLUG_PROLOG_POWEROFF",
    [34] = "HOTPLUG_EPILOG_POWEROFF",
    [35] = "BOOT_MIGRATE",
    [36] = "BOOT_FAILURE",
    [37] = "BOOT_MIGRATE_FAILURE",
    [38] = "PROLOG_MIGRATE_FAILURE",
    [39] = "PROLOG_FAILURE",
    [40] = "EPILOG_FAILURE",
    [41] = "EPILOG_STOP_FAILURE",
    [42] = "EPILOG_UNDEPLOY_FAILURE",
    [43] = "PROLOG_MIGRATE_POWEROFF",
    [44] = "PROLOG_MIGRATE_POWEROFF_FAILURE",
    [45] = "PROLOG_MIGRATE_SUSPEND",
    [46] = "PROLOG_MIGRATE_SUSPEND_FAILURE",
    [47] = "BOOT_UNDEPLOY_FAILURE",
    [48] = "BOOT_STOPPED_FAILURE",
    [49] = "PROLOG_RESUME_FAILURE",
    [50] = "PROLOG_UNDEPLOY_FAILURE",
    [51] = "DISK_SNAPSHOT_POWEROFF",
    [52] = "DISK_SNAPSHOT_REVERT_POWEROFF",
    [53] = "DISK_SNAPSHOT_DELETE_POWEROFF",
    [54] = "DISK_SNAPSHOT_SUSPENDED",
    [55] = "DISK_SNAPSHOT_REVERT_SUSPENDED",
    [56] = "DISK_SNAPSHOT_DELETE_SUSPENDED",
    [57] = "DISK_SNAPSHOT",
    [59] = "DISK_SNAPSHOT_DELETE",
    [60] = "PROLOG_MIGRATE_UNKNOWN",
    [61] = "PROLOG_MIGRATE_UNKNOWN_FAILURE",
    [62] = "DISK_RESIZE",
    [63] = "DISK_RESIZE_POWEROFF",
    [64] = "DISK_RESIZE_UNDEPLOYED",
    [65] = "HOTPLUG_NIC_POWEROFF",
    [66] = "HOTPLUG_RESIZE",
    [67] = "HOTPLUG_SAVEAS_UNDEPLOYED",
    [68] = "HOTPLUG_SAVEAS_STOPPED",
    [69] = "BACKUP",
    [70] = "BACKUP_POWEROFF",
    [71] = "RESTORE",
};

static const char *word_of(const char *const *words, guint n, const char *number)
{
    if (!number || !*number || strlen(number) > 3 || number[strspn(number, "0123456789")])
        return number;
    guint64 i = g_ascii_strtoull(number, NULL, 10);
    return i < n && words[i] ? words[i] : number;
}

const char *vm_event_state_word(const char *state)
{
    return word_of(state_words, G_N_ELEMENTS(state_words), state);
}

const char *vm_event_lcm_state_word(const char *lcm_state)
{
    return word_of(lcm_state_words, G_N_ELEMENTS(lcm_state_words), lcm_state);
}

EventMeaning vm_event_meaning(const VmEvent *event)
{
    static const char *const without_domain[] = {"STOPPED",    "SUSPENDED",       "DONE", "POWEROFF",
                                                 "UNDEPLOYED", "CLONING_FAILURE", NULL};
    const char *state = vm_event_state_word(event->state), *lcm_state = vm_event_lcm_state_word(event->lcm_state);
    if (event->source != EVENT_OPENNEBULA || !state)
        return EVENT_SAYS_NOTHING;
    if (g_strv_contains(without_domain, state))
        return EVENT_ENDS;
    bool runs = strcmp(state, "ACTIVE") == 0 && g_strcmp0(lcm_state, "RUNNING") == 0;
    return runs ? EVENT_RUNS : EVENT_SAYS_NOTHING;
}
