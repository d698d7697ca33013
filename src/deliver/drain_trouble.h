/* SPDX-License-Identifier: Apache-2.0
 * What the operator hears of a sink that does not take its data: when it begins, when its kind changes, now and then
 * while it lasts, and when it is over. Internal to the drain. */
#pragma once

#include "deliver/answer.h"

#define DRAIN_REMIND_S 600

typedef struct {
    bool lasts;
    AnswerKind kind; /* DENIED or BUSY */
    gint64 since_ns, told_ns;
    bool told_rejected;
    gint64 told_rejected_ns;
    guint64 rejected; /* lines, not told of yet */
} DrainTrouble;

/* A failed attempt. `message` is the answer's, `waiting` in batches. */
void drain_trouble_goes_on(DrainTrouble *trouble, const SinkSettings *settings, const Answer *answer, gint64 wait_ms,
                           guint64 waiting, gint64 now_ns);
void drain_trouble_is_over(DrainTrouble *trouble, const SinkSettings *settings, guint64 waiting, gint64 now_ns);

/* Lines that were refused for good. */
void drain_trouble_rejected(DrainTrouble *trouble, const SinkSettings *settings, guint64 lines, const char *message,
                            gint64 now_ns);
