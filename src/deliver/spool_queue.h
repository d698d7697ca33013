/* SPDX-License-Identifier: Apache-2.0
 * What waits in a sink's directory, and what of it has to go. Internal to the spool. */
#pragma once

#include "deliver/spool.h"

/* Whether no batch is in directory `fd` of `sink`. */
bool spool_queue_is_empty(const Spool *spool, const char *sink, int fd, bool *ret_empty, GError **error);

/* Drops what is above the limits. `keep` (may be NULL) names one that was just added: it is not dropped to make room,
 * as after the clock was set back it can be the oldest by its name. `ret_waiting` (may be NULL): what still waits. */
bool spool_queue_trim(const Spool *spool, const SpoolTarget *target, int fd, const char *keep, SpoolCount *ret_dropped,
                      SpoolWaiting *ret_waiting, GError **error);
