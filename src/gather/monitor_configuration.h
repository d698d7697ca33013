/* SPDX-License-Identifier: Apache-2.0
 * What OpenNebula gives its probes on standard input: <MONITOR_CONFIGURATION>. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define MONITOR_CONFIGURATION_MAX (1024 * 1024) /* bytes */

/* PROBES_PERIOD/SYNC_STATE_VM: after how many seconds the state probe makes its next full report. NULL *ret_complaint:
 * it is there, a whole number from 1 to 10^9. Else the default, STATUS_SYNC_S, and why, as one line; owned by the
 * caller. */
guint64 monitor_configuration_sync_s(const char *text, gsize length, char **ret_complaint);

/* PROBES_PERIOD/MONITOR_VM: seconds from one cycle of the VM probes to the next; MONITOR_VM_S, as OpenNebula has it,
 * where it is not there or no whole number from 1 to a day. */
#define MONITOR_VM_S 30
guint64 monitor_configuration_vm_s(const char *text, gsize length);
