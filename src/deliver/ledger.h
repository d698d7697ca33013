/* SPDX-License-Identifier: Apache-2.0
 * What became of a sink's batches, kept in its spool directory over the forwarder's runs: back-off goes on where it
 * was, and counts are of the sink's whole life. Readable by anybody who may read the spool (--status, the probe's host
 * series). */
#pragma once

#include "deliver/spool.h"

#define LEDGER_ERROR_MAX 300 /* bytes kept of an error's text */

typedef struct {
    gint64 last_success_ns; /* realtime; 0: never. Likewise the next two */
    gint64 last_error_ns;
    gint64 retry_at_ns;                           /* not before; 0: at once */
    guint failures;                               /* in a row */
    guint64 sent_batches, sent_lines, sent_bytes; /* delivered; bytes as stored */
    guint64 retried;                              /* requests that had to be made again */
    guint64 rejected_lines;                       /* refused by the sink and not sent again */
    guint64 dropped_batches, dropped_bytes;       /* by the spool's limits */
    guint64 bad_batches;                          /* damaged files set aside */
    guint64 queued_batches, queued_bytes;         /* what waited at counted_ns */
    gint64 oldest_ns;                             /* time of the oldest of these; 0: none */
    gint64 counted_ns;                            /* when the queue was last counted; 0: never */
    /* What the operator has heard already (drain_trouble.h), so that a process does not repeat another's words: */
    guint trouble;                         /* LedgerTrouble, as it was told last */
    gint64 trouble_since_ns;               /* when it began */
    gint64 trouble_told_ns;                /* when it was last told of; likewise the next: 0: never */
    gint64 rejected_told_ns;               /* of refused lines */
    guint64 rejected_untold;               /* lines since then */
    char last_error[LEDGER_ERROR_MAX + 1]; /* one line, "" for none */
} Ledger;

typedef enum { LEDGER_NO_TROUBLE, LEDGER_TROUBLE_BUSY, LEDGER_TROUBLE_DENIED } LedgerTrouble;

/* A missing or damaged ledger is one of zeros; damaged: *ret_damaged (may be NULL). */
void ledger_load(Spool *spool, const char *sink, Ledger *ret_ledger, bool *ret_damaged);

/* Several processes drop and count, so these fields come from the file where it knows better: of dropped_* the larger
 * is kept, of the queue what was counted later (and not in the future: the clock was set back). */
bool ledger_save(Spool *spool, const char *sink, const Ledger *ledger, GError **error);

/* Adds to dropped_*, from any process, under a lock of the sink's own, so that none loses another's counts. Gives up
 * after LEDGER_LOCK_WAIT_MS when somebody sits on that lock. */
#define LEDGER_LOCK_WAIT_MS 2000
bool ledger_add_dropped(Spool *spool, const char *sink, SpoolCount dropped, GError **error);

/* spool_trim for any process: adds what was dropped (may be NULL) to the sink's ledger, and notes there what still
 * waits. */
bool ledger_trim(Spool *spool, const SpoolTarget *target, SpoolCount *ret_dropped, GError **error);

/* The file's form: lines key=value, each key once or left out (0), closed by a line "end". Whatever else is damaged. */
char *ledger_format(const Ledger *ledger);
bool ledger_parse(const char *text, gsize length, Ledger *ret_ledger);
