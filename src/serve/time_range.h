/* SPDX-License-Identifier: Apache-2.0
 * Moments and spans as one writes them in a query: "2026-11-26T08:00:00Z", "1795680821", "-24h", "now"; "60s", "5m".
 * Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Realtime in nanoseconds, 1970 to 2200. Taken: ISO 8601 with Z or an offset (a blank for its +); seconds since 1970 (a
 * fraction too); "now"; and what is to be added to it, as -24h, -15m, -7d, -30s. */
bool time_range_moment(const char *text, gint64 now_ns, gint64 *ret_ns);

/* Nanoseconds, one second to ten years: a number with s, m, h or d behind it; without, of seconds. */
bool time_range_span(const char *text, gint64 *ret_ns);
