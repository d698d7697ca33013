/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's records of commands that have ended in guests, as its own vm/execution/exec.rb prints them: one behind
 * the other without anything in between, and a newline at the end, which is all there is where nothing has ended.
 *
 *   VM = [ ID="83", PID="1234", STATUS="DONE", RETURN_CODE="0", STDOUT="<base64>", STDERR="<base64>" ]
 *
 * RETURN_CODE is empty where a signal ended it. Pure. */
#pragma once

#include "model/execution.h"

/* The most records in a message: so many fit whatever they are, with their outputs cut to nothing. */
#define EXEC_RECORDS_MAX 256

typedef struct {
    gsize limit;         /* base64 bytes that each STDOUT and STDERR may have here; G_MAXSIZE: nothing was cut */
    gsize message_bytes; /* the records as OpenNebula's agent compresses them */
} ExecReport;

/* Records of `executions` (of Execution; at most EXEC_RECORDS_MAX). The agent sends one datagram, and where that would
 * become longer than `most` bytes it sends nothing of any VM and says so nowhere: then all outputs are cut at the same
 * length, as long as fits. Text owned by the caller. */
GString *exec_records_write(const GPtrArray *executions, gsize most, ExecReport *ret_report);

#define EXEC_RECORD_ERROR exec_record_error_quark()
GQuark exec_record_error_quark(void);
typedef enum { EXEC_RECORD_ERROR_SYNTAX } ExecRecordErrorCode;

/* A strict reader of what exec_records_write writes, to the byte. Array of Execution, or NULL; the message begins with
 * the byte it is about. */
GPtrArray *exec_records_read(const char *text, gsize length, GError **error);
