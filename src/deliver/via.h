/* SPDX-License-Identifier: Apache-2.0
 * Which endpoints (telemetryd) lines have come through, so that none passes them on a second time: a loop of sinks, of
 * any length, ends where it began. A list is the ids of VIA_ID_LENGTH hexadecimal digits, the latest last, with full
 * stops between: "0a1b2c3d.4e5f6071". It travels in the name of a batch, as its host, and in a header of the request
 * that sends it, to whatever kind of sink. Pure, but for via_new_id. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define VIA_HEADER "X-One-Telemetry-Via"
#define VIA_ID_LENGTH 8
#define VIA_MAX 6 /* ids of a list: what a batch's name has room for */

/* For one run of one endpoint. Nothing keeps it: one that was copied along with a machine would hold back lines. Owned
 * by the caller. */
char *via_new_id(void);

bool via_is_list(const char *text);
/* `via`: a list, or NULL, which has none. */
bool via_has(const char *via, const char *id);
/* NULL: it is full. Owned by the caller. */
char *via_add(const char *via, const char *id);

/* What stands for the list in the place of a batch's host; and the list of a batch of that name, NULL where there is
 * none. Owned by the caller. */
char *via_host(const char *via);
char *via_of_batch(const char *name);
