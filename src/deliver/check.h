/* SPDX-License-Identifier: Apache-2.0
 * Whether each sink can be reached and would let us write, found out without writing anything: before something is
 * installed, by a person who has just configured one, and by the doctor. */
#pragma once

#include "deliver/answer.h"

typedef struct {
    const SinkSettings *settings;
    char *problem;    /* why it could not be asked: a secret that can't be read …; NULL: it was */
    SinkReply *reply; /* NULL: it was not asked, or none came in time; likewise the next */
    Answer *answer;
    bool takes;      /* it would take our lines */
    gint64 begin_ms; /* when it was asked, realtime */
    gint64 ms;       /* how long the reply took, or was waited for */
} SinkCheck;

/* `data` is the caller's. */
typedef void (*SinkCheckTake)(const SinkCheck *check, void *data);

/* Asks all of them, side by side, for `limit_ms` at most; 0: for as long as their own timeouts allow. Each is told of
 * when it and all before it have answered, in their order. */
void check_sinks(const GPtrArray *sinks, gint64 limit_ms, SinkCheckTake take, void *data);

/* "NAME  TYPE at URL: ok", or what is wrong and how to mend it. Owned by the caller. */
char *check_describe(const SinkCheck *check);
