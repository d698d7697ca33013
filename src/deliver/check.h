/* SPDX-License-Identifier: Apache-2.0
 * Whether each sink can be reached and would let us write, found out without writing anything: before something is
 * installed, and by a person who has just configured one. */
#pragma once

#include "deliver/sinks.h"

/* One line of text for each sink, in their order: "NAME  TYPE at URL: ok", or what is wrong and how to mend it. Takes
 * as long as the slowest sink's timeouts allow. *ret_failed: how many are not ok. Owned by the caller. */
char *check_sinks(const GPtrArray *sinks, guint *ret_failed);
