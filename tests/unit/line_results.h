/* SPDX-License-Identifier: Apache-2.0
 * What the reader of line protocol says of a whole text, for its tests. */
#pragma once

#include <glib.h>

typedef struct {
    /* <measurement> <tag>=<value> … : <field>=1.0 <field>=2i <field>=3u <field>=true <field>="text" … @time; nothing is
     * escaped. NULL: the line was refused. */
    char *point;
    char *error; /* NULL: it was not */
    int code;
    guint line;
    gsize raw, raw_length; /* where it stands in the text */
} Result;

/* Reads from memory of exactly that size. The array owns its results. */
GPtrArray *read_all(const char *text, gsize length);

const Result *result_at(const GPtrArray *results, guint i);
void assert_point(const Result *result, const char *point);
