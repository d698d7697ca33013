/* SPDX-License-Identifier: Apache-2.0
 * Keeps queues within their sinks' limits: what is dropped is counted in the ledger, and the operator hears of it. */
#pragma once

#include "deliver/sinks.h"

/* LIMITS_NOTE: the ledger also gets what still waits, for those who have no time to count; that costs a write. */
typedef enum { LIMITS_KEEP, LIMITS_NOTE } LimitsUse;

/* Drops what is above the limits now. false: it could not, which is logged too. */
bool limits_keep(Spool *spool, const SinkSettings *sink, LimitsUse use);

/* Counts what was dropped otherwise, and says so where `reason` is not NULL. */
void limits_count(Spool *spool, const SinkSettings *sink, SpoolCount dropped, const char *reason);
