/* SPDX-License-Identifier: Apache-2.0
 * Running a piece of work in a process of its own, so that whatever becomes of it (a crash, a hang in the kernel, the
 * OOM killer) the caller goes on, and nothing of the work holds the caller's standard output or error open. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define GUARD_OUTPUT_MAX (64 * 1024 * 1024) /* bytes kept of either stream */

typedef struct {
    bool finished; /* it ended by itself; else it was killed at the time limit or died of a signal */
    int status;    /* its exit status, when finished */
    int signal;    /* what it died of before the time limit, else 0 */
    char *output;  /* what it wrote to standard output; ends with a NUL; owned by the result */
    gsize length;
    char *complaint; /* what it wrote to standard error, likewise */
} GuardResult;

void guard_result_clear(GuardResult *result);

/* Calls work(data) in a child; its return value is the child's exit status. The child's standard output and error go to
 * memory, standard input is left alone. Must be called before any thread is started. false: no child could be made
 * (errno). */
bool guard_run(int (*work)(void *data), void *data, gint64 limit_ms, GuardResult *ret_result);
