/* SPDX-License-Identifier: Apache-2.0
 * Inside of one_records_write: one VM's record (one_record.c), from which one_fit.c puts together what fits. */
#pragma once

#include "encode/one_record.h"

typedef struct OneWriter OneWriter;

/* The samples are to outlive it. */
OneWriter *one_writer_new(const Sample *now, const Sample *previous, const OneOptions *options);
void one_writer_free(OneWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OneWriter, one_writer_free)

/* The tier of a message with everything: `detail`, and one more where some VM has forecasts to be told. */
guint one_writer_top_tier(const OneWriter *writer);

/* Appends the record, with its newline, of VM number `i` of the sample: its keys up to that tier and the deletions that
 * are due. Nothing where there is nothing to say. */
void one_writer_append(OneWriter *writer, guint i, guint tier, GString *out);

/* How many keys that record has, deletions not counted. */
guint one_writer_count_keys(const OneWriter *writer, guint i, guint tier);

/* VmSample.sent_keys for the next cycle: once that record has gone out, or where none has. Owned by the caller. */
char *one_writer_sent_keys(const OneWriter *writer, guint i, guint tier);
char *one_writer_sent_keys_before(const OneWriter *writer, guint i);
