/* SPDX-License-Identifier: Apache-2.0
 * How many threads collections have in libvirt, those left behind too, which may hang there: who collects again and
 * again stops while there are many. May be asked and given back while such threads run. */
#pragma once

#include <glib.h>

typedef struct CollectCount CollectCount;
CollectCount *collect_count_new(void);
/* Of NULL both are nothing. */
CollectCount *collect_count_ref(CollectCount *count);
void collect_count_unref(CollectCount *count);

/* `threads` more, or fewer, of a collection with that count; NULL: with none. */
void collect_count_add(CollectCount *count, gint threads);

/* Of the collections with that count; of all collections of this process. */
guint collect_count_threads(CollectCount *count);
guint collect_threads(void);
