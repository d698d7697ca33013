/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/drain_batch.h"
#include "encode/line_reader.h"

#include <string.h>

void drain_batch_free(DrainBatch *batch)
{
    if (!batch)
        return;
    g_free(batch->stored);
    g_string_free(batch->text, TRUE);
    g_array_unref(batch->ends);
    g_string_free(batch->invalid, TRUE);
    g_free(batch->reason);
    g_free(batch);
}

gsize drain_batch_begin(const DrainBatch *batch, guint i)
{
    return i == 0 ? 0 : g_array_index(batch->ends, gsize, i - 1);
}

/* Appends a line with a newline. Where all before it is as it was, that changes nothing. */
static void keep_good(DrainBatch *batch, const char *line, gsize length)
{
    g_string_append_len(batch->text, line, (gssize)length);
    g_string_append_c(batch->text, '\n');
    gsize end = batch->text->len;
    g_array_append_val(batch->ends, end);
}

static void keep_invalid(DrainBatch *batch, const char *line, gsize length, GError *reason)
{
    g_string_append_len(batch->invalid, line, (gssize)length);
    g_string_append_c(batch->invalid, '\n');
    batch->n_invalid++;
    if (!batch->reason)
        batch->reason = g_strdup(reason->message);
    g_error_free(reason);
}

static void read_lines(DrainBatch *batch, const char *text, gsize length)
{
    g_autoptr(LineReader) reader = line_reader_new(text, length);
    LinePoint point;
    for (;;) {
        GError *reason = NULL;
        gsize line_length;
        LineResult result = line_reader_next(reader, &point, &reason);
        const char *line = line_reader_raw(reader, &line_length);
        if (result == LINE_END)
            return;
        if (result == LINE_POINT)
            keep_good(batch, line, line_length);
        else
            keep_invalid(batch, line, line_length, reason);
    }
}

DrainBatch *drain_batch_load(Spool *spool, const char *sink, const char *name, GError **error)
{
    gsize stored_length, length;
    g_autofree char *stored = spool_read(spool, sink, name, &stored_length, error);
    g_autofree char *text = stored ? spool_expand(stored, stored_length, DRAIN_TEXT_MAX, &length, error) : NULL;
    if (!text)
        return NULL;
    DrainBatch *batch = g_new(DrainBatch, 1);
    *batch = (DrainBatch){.stored = g_steal_pointer(&stored),
                          .stored_length = stored_length,
                          .text = g_string_sized_new(length + 1),
                          .ends = g_array_new(FALSE, FALSE, sizeof(gsize)),
                          .invalid = g_string_new(NULL)};
    read_lines(batch, text, length);
    batch->as_stored = batch->text->len == length && memcmp(batch->text->str, text, length) == 0;
    return batch;
}
