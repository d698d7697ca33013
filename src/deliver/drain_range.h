/* SPDX-License-Identifier: Apache-2.0
 * Which lines of a request are still to be sent, while some of them are being looked for: a stack of ranges, the next
 * one on top (last). Internal to the drain. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
    guint first, count; /* lines of the request, from 0 */
    bool failed;        /* ANSWER_FAILED for all of ANSWER_FAILED_TRIES, as part of a larger range */
    bool named;         /* one line that the sink blamed */
    bool again;         /* one line that was refused already, maybe for no reason of its own */
} DrainRange;

/* Of DrainRange: all `lines` of them (none: empty). */
GArray *drain_ranges_new(guint lines);
/* NULL: nothing is left. Valid until the stack changes. */
DrainRange *drain_ranges_top(const GArray *ranges);
void drain_ranges_pop(GArray *ranges);

/* Cuts the top in two; `cut` lines (more than 0, less than all) come first. */
void drain_ranges_split(GArray *ranges, guint cut);

/* Cuts the top so that each of the suspects (guint: lines of the request within the top, ascending, each once) is alone
 * and all the others stay together. */
void drain_ranges_isolate(GArray *ranges, const GArray *suspects);

/* Puts a line on top, alone, whether it is still to be sent or not. */
void drain_ranges_push_line(GArray *ranges, guint line, bool again);
/* The very last line, which is taken away from the end. There has to be one. */
guint drain_ranges_take_last(GArray *ranges);
