/* SPDX-License-Identifier: Apache-2.0
 * What the operator hears of a sink that does not take its data: when it begins, when its kind changes, now and then
 * while it lasts, and when it is over. Kept in the ledger, since nearly every attempt is another process's: whoever
 * calls these saves it afterwards. Internal to the drain. */
#pragma once

#include "deliver/answer.h"
#include "deliver/ledger.h"

#define DRAIN_REMIND_S 600

/* A failed attempt. `message` is the answer's, `waiting` in batches. */
void drain_trouble_goes_on(Ledger *ledger, const SinkSettings *settings, const Answer *answer, gint64 wait_ms,
                           guint64 waiting, gint64 now_ns);
void drain_trouble_is_over(Ledger *ledger, const SinkSettings *settings, guint64 waiting, gint64 now_ns);

/* Lines that were refused for good. */
void drain_trouble_rejected(Ledger *ledger, const SinkSettings *settings, guint64 lines, const char *message,
                            gint64 now_ns);
