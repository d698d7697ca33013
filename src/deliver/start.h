/* SPDX-License-Identifier: Apache-2.0
 * Starts what goes on by itself. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Starts `program` (absolute path) with `arguments` (without its name, NULL-terminated) as a process on its own: own
 * session, working directory /, standard descriptors on /dev/null, no other descriptor, default signals, not waited
 * for. Returns when it runs; false: there is no such program, or no process to be had. Errors: G_FILE_ERROR. */
bool start_detached(const char *program, const char *const *arguments, GError **error);

/* A copy of this process with the calling thread alone, detached as above, with what is in memory: returns 0 in it, its
 * number in the caller, -1 with an error. What other threads held stays held in it: of libraries they were in it may
 * use nothing. It tells log_init anew where messages go, and leaves by _exit. Errors: G_FILE_ERROR. */
pid_t start_fork(GError **error);
