/* SPDX-License-Identifier: Apache-2.0
 * Works off the queue of one sink: what to send next, and what an answer does to the queue, the ledger and the time of
 * the next attempt. Does no network and reads no clock; the spool is its only outside. One sink's trouble stays with
 * its own drain.
 *
 * Oldest first, several batches to a request (about settings.lines lines), their gzip members one behind the other as
 * they are stored. A batch leaves the queue when each of its lines is stored, or refused for good and kept in bad/. A
 * process that is killed in between sends the request again: the same points, so nothing changes. */
#pragma once

#include "deliver/answer.h"
#include "deliver/ledger.h"

typedef struct Drain Drain;

/* Several drains of one spool may live side by side. `settings` and `spool` must outlive it. Loads the ledger, and
 * honours its back-off. */
Drain *drain_new(Spool *spool, const SinkSettings *settings);
/* Saves the ledger where that is due still; drain_free does so too. */
void drain_save(Drain *drain);
void drain_free(Drain *drain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Drain, drain_free)

typedef enum {
    DRAIN_SEND, /* *ret_body is what to send now; drain_answered must follow */
    DRAIN_WAIT, /* there is something to send, but not before drain_retry_at */
    DRAIN_DONE, /* nothing waits */
    DRAIN_STOP, /* the spool can't be read: error */
} DrainStep;

/* A request's body, gzip'd or not as the settings say; owned by the drain and valid until drain_answered. */
typedef struct {
    const char *data;
    gsize length;
    guint lines;
    const char *via; /* what its lines have come through (via.h); NULL: nothing */
} DrainBody;

/* `now_ns`: realtime. A damaged batch goes to bad/ (where that can't be had, it goes) and is counted and logged;
 * so does a line that is no line protocol, as some servers drop it, or its neighbours, without a word. */
DrainStep drain_next(Drain *drain, gint64 now_ns, DrainBody *ret_body, GError **error);

/* While an answer is awaited, which is a good time for it: readies the request behind this one, so that the sink need
 * not wait for it. Not needed. */
void drain_prepare(Drain *drain);

/* The answer to the last body. Removes, sets aside, halves, counts, saves the ledger, sets the time of the next
 * attempt. `random` is 0..1, for the jitter. Logs once when trouble begins, when its kind changes, now and then while
 * it lasts (DENIED as error, else as warning), and when it is over; once over all processes, by the ledger.
 *
 * A sink that refuses one line after the other, says nothing of lines (Answer's of_lines), and stores none meanwhile,
 * is taken to refuse whatever comes: as DENIED, and all is kept. */
void drain_answered(Drain *drain, const Answer *answer, gint64 now_ns, double random);

/* Back-off after `failures` attempts in a row: doubles from DRAIN_BACKOFF_MS (DENIED: DRAIN_DENIED_MS) up to
 * DRAIN_BACKOFF_MAX_MS, takes between half and all of that by `random`; `asked_ms` (Retry-After, -1 none) when that is
 * longer, up to DRAIN_ASKED_MAX_MS. Pure. */
#define DRAIN_BACKOFF_MS 1000
#define DRAIN_DENIED_MS 60000
#define DRAIN_BACKOFF_MAX_MS 300000
#define DRAIN_ASKED_MAX_MS 3600000
gint64 drain_backoff_ms(AnswerKind kind, guint failures, gint64 asked_ms, double random);

gint64 drain_retry_at(const Drain *drain); /* realtime in ns; 0: at once */
/* The same by a ledger: realtime, 0: now. Nobody waits for longer than DRAIN_ASKED_MAX_MS, so what is later than that
 * is due: the clock was set back since. Pure. */
gint64 drain_due_ns(const Ledger *ledger, gint64 now_ns);
/* Trouble lasts that only a person can end. */
bool drain_needs_help(const Drain *drain);
/* An operator does not want to wait: the next attempt is due at once, and from now on the waits begin anew and are no
 * longer than DRAIN_HURRIED_MAX_MS, unless it is DENIED or asks for more. */
#define DRAIN_HURRIED_MAX_MS 5000
void drain_hurry(Drain *drain);

/* Parts of a request were answered, others are still to be sent, as while a refused line is looked for. A process that
 * ends now has to begin it again. */
bool drain_is_in_parts(const Drain *drain);

/* Its sink's, as saved and with what has happened since. */
const Ledger *drain_ledger(const Drain *drain);
/* What waits now, as far as this drain has looked (a new look where it has not). */
SpoolCount drain_waiting(Drain *drain);
