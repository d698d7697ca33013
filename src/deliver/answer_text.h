/* SPDX-License-Identifier: Apache-2.0
 * What stands in the texts of an answer: InfluxDB's sentences on lines it did not take, and Retry-After. Internal to
 * answer.c. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* The lines quoted in "…unable to parse 'LINE': reason", of which there may be one behind the other, each on a line of
 * its own. Appends copies of them. */
void answer_text_quoted(const char *text, GPtrArray *lines);

/* The number in the last "dropped=…". false: there is none. */
bool answer_text_dropped(const char *text, guint64 *ret_dropped);

/* Retry-After in milliseconds from `now_ms` on: seconds, or a date as HTTP writes it ("Sun, 06 Nov 1994 08:49:37 GMT";
 * one that has passed is 0). -1: none, or neither. */
gint64 answer_text_wait_ms(const char *retry_after, gint64 now_ms);
