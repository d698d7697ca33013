/* SPDX-License-Identifier: Apache-2.0
 * Batches that are sent together, and what became of their lines so far. Keeps names and numbers only: texts are read
 * from the spool again where they are needed. Internal to the drain. */
#pragma once

#include "deliver/answer.h"
#include "deliver/drain_batch.h"
#include "deliver/drain_range.h"

typedef struct {
    char *name;
    guint64 bytes;      /* as stored */
    guint first, lines; /* of the request */
    guint n_invalid;    /* further lines, never sent */
    bool gone;          /* dropped by somebody, or set aside */
} DrainMember;

/* What of a batch stands in the body. */
typedef struct {
    guint first, count; /* lines of the request */
    guint rows;         /* a line has several where its strings hold newlines */
} DrainPiece;

typedef struct {
    Spool *spool;
    const SinkSettings *settings;
    GArray *members; /* of DrainMember */
    char *via;       /* what all of its batches have come through (via.h); NULL: nothing */
    guint lines;
    GArray *ranges;       /* drain_range.h: what is to be sent, the top next */
    GArray *refused;      /* of guint: lines refused for good */
    GArray *doubtful;     /* of guint: lines refused for no reason of their own since a line was stored */
    guint64 unnamed;      /* refused for good, nobody knows which */
    guint accepted;       /* a line that was stored; G_MAXUINT: none was, that is known by its number */
    bool probed;          /* the top range is a line that shows whether the sink takes any */
    bool misled;          /* a line that the sink blamed was good: its numbers are of no use */
    char *invalid_reason; /* of the first line that is no line protocol; NULL: there is none */
    SpoolCount spoilt;    /* set aside since the drain took the number */

    GString *body;  /* for the top range; NULL: to be made */
    GArray *pieces; /* of DrainPiece: what it consists of */
    guint body_lines;
    gsize last_length; /* by which the last member made it longer */
} DrainRequest;

DrainRequest *drain_request_new(Spool *spool, const SinkSettings *settings);
void drain_request_free(DrainRequest *request);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DrainRequest, drain_request_free)

/* Whether it may go with those that are in it already: it has come through the same endpoints. */
bool drain_request_fits(const DrainRequest *request, const SpoolBatch *batch);
/* One more batch, that fits; its lines go behind the body. One that is gone, or has to be set aside, becomes a member
 * that is gone. false: the spool can't be read. */
bool drain_request_add(DrainRequest *request, const SpoolBatch *batch, GError **error);
/* When all have been added. */
void drain_request_close(DrainRequest *request);

/* Makes the body of the top range where there is none. It has no lines where their batches are gone by now. */
bool drain_request_make_body(DrainRequest *request, GError **error);
void drain_request_drop_body(DrainRequest *request);

/* Where to cut the top range so that at most `want` lines come first: between batches where that is possible. */
guint drain_request_cut(const DrainRequest *request, guint want);

/* The lines of the body that the answer names: of guint, lines of the request, ascending. */
GArray *drain_request_named(DrainRequest *request, const Answer *answer);

/* Everything anew, as if nothing had been sent. */
void drain_request_restart(DrainRequest *request);

typedef struct {
    guint64 batches, lines, bytes; /* stored by the sink, if no more than in part */
    guint64 rejected;              /* lines */
} DrainOutcome;

/* When no range is left: puts what was refused into bad/, before the batches are removed. */
DrainOutcome drain_request_settle(DrainRequest *request);
/* Removes the batches. false: one that can't be, the first error; the others are. *ret_removed: those that were. */
bool drain_request_remove(DrainRequest *request, SpoolCount *ret_removed, GError **error);
