/* SPDX-License-Identifier: Apache-2.0
 * What a shell makes of an agent's answer: the part of a command in guestagent.conf that stands behind a |. */
#pragma once

#include <glib.h>

#define GUEST_FILTER_MS 5000
#define GUEST_FILTER_MAX (64 * 1024) /* bytes of the answer, and of what comes of it */

#define GUEST_FILTER_ERROR guest_filter_error_quark()
GQuark guest_filter_error_quark(void);
typedef enum { GUEST_FILTER_ERROR_START, GUEST_FILTER_ERROR_TIME, GUEST_FILTER_ERROR_FAILED } GuestFilterErrorCode;

/* Standard output of "/bin/sh -c `filter`" that has `answer` on its standard input. A shell that has not ended after
 * `limit_ms` or says more is GUEST_FILTER_ERROR_TIME, and is killed with what it has started; one that does not end
 * with 0 is an error, too. The process ignores SIGPIPE. Owned by the caller. */
char *guest_filter_run(const char *filter, const char *answer, gint64 limit_ms, GError **error);
