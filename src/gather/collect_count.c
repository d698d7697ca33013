/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/collect_count.h"

struct CollectCount {
    gint references, threads;
};

static gint threads_of_all;

CollectCount *collect_count_new(void)
{
    CollectCount *count = g_new0(CollectCount, 1);
    count->references = 1;
    return count;
}

CollectCount *collect_count_ref(CollectCount *count)
{
    if (count)
        g_atomic_int_inc(&count->references);
    return count;
}

void collect_count_unref(CollectCount *count)
{
    if (count && g_atomic_int_dec_and_test(&count->references))
        g_free(count);
}

void collect_count_add(CollectCount *count, gint threads)
{
    if (count)
        g_atomic_int_add(&count->threads, threads);
    g_atomic_int_add(&threads_of_all, threads);
}

guint collect_count_threads(CollectCount *count)
{
    return (guint)g_atomic_int_get(&count->threads);
}

guint collect_threads(void)
{
    return (guint)g_atomic_int_get(&threads_of_all);
}
