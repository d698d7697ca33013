/* SPDX-License-Identifier: Apache-2.0 */
#include "store/rollup.h"

gint64 rollup_begin(gint64 time_ns, gint64 step_ns)
{
    gint64 behind = time_ns % step_ns;
    return time_ns - (behind < 0 ? behind + step_ns : behind);
}

void rollup_merge(PackFigure *into, const PackFigure *figure)
{
    if (figure->count == 0)
        return;
    if (into->count == 0) {
        *into = *figure;
        return;
    }
    const guint64 count = (guint64)into->count + figure->count;
    into->min = MIN(into->min, figure->min);
    into->max = MAX(into->max, figure->max);
    double mean = into->mean + (figure->mean - into->mean) * ((double)figure->count / (double)count);
    into->mean = CLAMP(mean, into->min, into->max); /* rounding must not carry it beyond */
    into->count = (guint32)MIN(count, G_MAXUINT32);
}

void rollup_merge_row(PackRow *into, const PackRow *row)
{
    for (; into->n < row->n; into->n++)
        into->figure[into->n].count = 0;
    for (guint i = 0; i < row->n; i++)
        rollup_merge(&into->figure[i], &row->figure[i]);
}

bool rollup_subtract(PackRow *row, const PackRow *known)
{
    bool left = false;
    for (guint i = 0; i < row->n; i++) {
        if (i < known->n && known->figure[i].count)
            row->figure[i].count = 0;
        left |= row->figure[i].count > 0;
    }
    return left;
}

void rollup_init(Rollup *rollup, gint64 step_ns, RollupBucket bucket, gpointer data)
{
    rollup->step_ns = step_ns;
    rollup->bucket = bucket;
    rollup->data = data;
    rollup->open = false;
}

bool rollup_add(Rollup *rollup, gint64 time_ns, const PackRow *row)
{
    const gint64 begin_ns = rollup_begin(time_ns, rollup->step_ns);
    if (rollup->open && rollup->begin_ns != begin_ns && !rollup_end(rollup))
        return false;
    if (!rollup->open) {
        rollup->open = true;
        rollup->begin_ns = begin_ns;
        rollup->row.n = 0;
    }
    rollup_merge_row(&rollup->row, row);
    return true;
}

bool rollup_end(Rollup *rollup)
{
    if (!rollup->open)
        return true;
    rollup->open = false;
    return rollup->bucket(rollup->begin_ns, &rollup->row, rollup->data);
}
