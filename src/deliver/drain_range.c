/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/drain_range.h"

static void push(GArray *ranges, const DrainRange range)
{
    if (range.count > 0)
        g_array_append_val(ranges, range);
}

GArray *drain_ranges_new(guint lines)
{
    GArray *ranges = g_array_new(FALSE, FALSE, sizeof(DrainRange));
    push(ranges, (DrainRange){.count = lines});
    return ranges;
}

DrainRange *drain_ranges_top(const GArray *ranges)
{
    return ranges->len > 0 ? &g_array_index(ranges, DrainRange, ranges->len - 1) : NULL;
}

void drain_ranges_pop(GArray *ranges)
{
    g_array_set_size(ranges, ranges->len - 1);
}

void drain_ranges_split(GArray *ranges, guint cut)
{
    const DrainRange range = g_array_index(ranges, DrainRange, ranges->len - 1);
    g_assert(cut > 0 && cut < range.count);
    drain_ranges_pop(ranges);
    push(ranges, (DrainRange){.first = range.first + cut, .count = range.count - cut, .failed = range.failed});
    push(ranges, (DrainRange){.first = range.first, .count = cut, .failed = range.failed});
}

void drain_ranges_isolate(GArray *ranges, const GArray *suspects)
{
    const DrainRange range = g_array_index(ranges, DrainRange, ranges->len - 1);
    guint end = range.first + range.count;
    drain_ranges_pop(ranges);
    for (guint i = suspects->len; i-- > 0;) { /* from behind, as it is a stack */
        guint suspect = g_array_index(suspects, guint, i);
        g_assert(suspect >= range.first && suspect < end);
        push(ranges, (DrainRange){.first = suspect + 1, .count = end - suspect - 1, .failed = range.failed});
        push(ranges, (DrainRange){.first = suspect, .count = 1, .failed = range.failed, .named = true});
        end = suspect;
    }
    push(ranges, (DrainRange){.first = range.first, .count = end - range.first, .failed = range.failed});
}

void drain_ranges_push_line(GArray *ranges, guint line, bool again)
{
    push(ranges, (DrainRange){.first = line, .count = 1, .again = again});
}

guint drain_ranges_take_last(GArray *ranges)
{
    DrainRange *bottom = &g_array_index(ranges, DrainRange, 0);
    guint last = bottom->first + --bottom->count;
    if (bottom->count == 0)
        g_array_remove_index(ranges, 0);
    return last;
}
