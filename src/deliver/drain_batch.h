/* SPDX-License-Identifier: Apache-2.0
 * One stored batch, opened: its lines, each checked. Internal to the drain. */
#pragma once

#include "deliver/spool.h"

/* Bytes of a batch, expanded. Ours are of 1 MiB at most (ENQUEUE_BATCH_BYTES), and several of what is allowed here are
 * in memory at once. */
#define DRAIN_TEXT_MAX (4 * 1024 * 1024)

typedef struct {
    char *stored; /* gzip'd */
    gsize stored_length;
    GString *text;    /* the good lines, each with a newline behind it; no comment, no blank line */
    GArray *ends;     /* of gsize: where in `text` each line ends, behind its newline */
    bool as_stored;   /* `stored` expands to `text` */
    GString *invalid; /* lines that are no line protocol */
    guint n_invalid;
    char *reason; /* of the first of them; NULL: there is none */
} DrainBatch;

/* NULL with no error: it is gone. SPOOL_ERROR DAMAGED or TOO_LARGE: it can never be sent. */
DrainBatch *drain_batch_load(Spool *spool, const char *sink, const char *name, GError **error);
void drain_batch_free(DrainBatch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DrainBatch, drain_batch_free)

static inline guint drain_batch_lines(const DrainBatch *batch)
{
    return batch->ends->len;
}

/* Where line `i` begins in the text; for the number of lines: where the text ends. */
gsize drain_batch_begin(const DrainBatch *batch, guint i);
