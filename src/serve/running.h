/* SPDX-License-Identifier: Apache-2.0
 * Whether the collector is to run, kept over restarts: what was last asked for through the API goes before the
 * configuration. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* `standard` where nothing was asked for yet, or the file can't be read (which is logged). */
bool running_load(const char *state_dir, bool standard);
bool running_save(const char *state_dir, bool running, GError **error);
