/* SPDX-License-Identifier: Apache-2.0
 * Starts a program that goes on by itself. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Starts `program` (absolute path) with `arguments` (without its name, NULL-terminated) as a process on its own: own
 * session, working directory /, standard descriptors on /dev/null, no other descriptor, default signals, not waited
 * for. Returns when it runs; false: there is no such program, or no process to be had. Errors: G_FILE_ERROR. */
bool start_detached(const char *program, const char *const *arguments, GError **error);
