/* SPDX-License-Identifier: Apache-2.0
 * What systemd has to say of a unit. */
#pragma once

#include <glib.h>
#include <stdbool.h>

bool systemd_runs(void);

/* systemctl WHAT UNIT ("is-active", "is-enabled") says so. false as well: there is no systemctl, or no answer in time.
 */
bool systemd_says(const char *what, const char *unit, gint64 limit_ms);
