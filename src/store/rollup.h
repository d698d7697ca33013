/* SPDX-License-Identifier: Apache-2.0
 * From samples to buckets of time: min, mean, max and count of each figure, means weighted by the counts. Pure. */
#pragma once

#include "store/pack.h"

/* Begin of the step that the time is in: steps are counted from 1970, so those of a minute are the clock's minutes.
 * step_ns > 0. */
gint64 rollup_begin(gint64 time_ns, gint64 step_ns);

/* Either may be absent. */
void rollup_merge(PackFigure *into, const PackFigure *figure);
void rollup_merge_row(PackRow *into, const PackRow *row);

/* Takes out of `row` what `known` has already. true: something is left. */
bool rollup_subtract(PackRow *row, const PackRow *known);

/* Called with each bucket that is complete, by time. */
typedef bool (*RollupBucket)(gint64 begin_ns, const PackRow *row, gpointer data);

/* Puts rows into buckets as they come; they come by time. Whoever knows of more for a bucket merges it when it is
 * handed over. */
typedef struct {
    gint64 step_ns;
    RollupBucket bucket;
    gpointer data;
    bool open; /* one has been begun */
    gint64 begin_ns;
    PackRow row;
} Rollup;

void rollup_init(Rollup *rollup, gint64 step_ns, RollupBucket bucket, gpointer data);
/* false: the bucket's function said so. */
bool rollup_add(Rollup *rollup, gint64 time_ns, const PackRow *row);
bool rollup_end(Rollup *rollup); /* hands over the last */
