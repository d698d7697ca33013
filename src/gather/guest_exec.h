/* SPDX-License-Identifier: Apache-2.0
 * The QEMU guest agent's guest-exec-status: its command and its answer, which the guest writes, so it may be anything.
 * Pure. */
#pragma once

#include "model/execution.h"

#define GUEST_EXEC_ANSWER_MAX (64 * 1024 * 1024) /* bytes; libvirt passes on 4 MiB at most */

#define GUEST_EXEC_ERROR guest_exec_error_quark()
GQuark guest_exec_error_quark(void);
typedef enum { GUEST_EXEC_ERROR_ANSWER } GuestExecErrorCode;

/* The command, JSON. When the process has ended, the agent answers it once, and forgets it then. Owned by the caller.
 */
char *guest_exec_status_command(gint64 pid);

/* What the agent answered about process `pid` of VM `vm_id`, as libvirt hands it out: {"return": {"exited": true,
 * "exitcode": 0, "out-data": BASE64, "err-data": BASE64}}; the last three may be missing, others are passed over.
 * false: it is no such answer; the error says what of it is wrong, without quoting the guest. *ret_ended: NULL where
 * the process still runs; owned by the caller. */
bool guest_exec_status_read(const char *text, gsize length, guint64 vm_id, gint64 pid, Execution **ret_ended,
                            GError **error);
