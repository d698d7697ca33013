/* SPDX-License-Identifier: Apache-2.0
 * The states of all of a host's domains, by a deadline, whatever libvirt does. */
#pragma once

#include "gather/hypervisor.h"
#include "model/status.h"

#define STATES_ERROR states_error_quark()
GQuark states_error_quark(void);
typedef enum { STATES_ERROR_LIBVIRT, STATES_ERROR_DEADLINE } StatesErrorCode;

/* Of StatusVm, in libvirt's order; owned by the caller. NULL: libvirt could not be asked, or did not answer in time;
 * never "no VMs" by mistake. deadline_ms: from the call on. *ret_abandoned: a thread is still blocked in libvirt, so
 * the process should leave by _exit. */
GPtrArray *states_collect(const HypervisorApi *api, const char *uri, gint64 deadline_ms, bool *ret_abandoned,
                          GError **error);
