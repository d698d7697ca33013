/* SPDX-License-Identifier: Apache-2.0
 * What all writers need of texts and numbers. Texts come from libvirt, from users and from files, so they may hold
 * anything. Independent of the locale. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* The next character of `*at`, which is moved behind it; 0 at the end. U+FFFD for each byte that is no UTF-8, and for
 * U+FFFE and U+FFFF, which XML can't hold. */
gunichar text_next(const char **at);

/* The same, with a space for control characters (C0, DEL, C1). */
gunichar text_next_printable(const char **at);

void text_append_char(GString *out, gunichar c);

/* With a backslash before quotes and backslashes, as records and string fields have it; printable, and cut on a
 * character at `limit` bytes. */
void text_append_escaped(GString *out, const char *text, gsize limit);

/* The value's digits, at the end of `digits`; not NUL-terminated. */
#define TEXT_U64_MAX 20 /* of 2^64 - 1 */
const char *text_of_u64(guint64 value, char digits[TEXT_U64_MAX], guint *ret_length);
void text_append_u64(GString *out, guint64 value);

/* A number of digits and nothing else, at most 2^64 - 1; false where it is none, *ret_value untouched. A third of the
 * cost of GLib's, which matters where every figure of every VM is read. */
bool text_read_u64(const char *text, guint64 *ret_value);

/* A finite number in the fewest of 15, 16 or 17 digits that read back as the same, always with a decimal point: "3.0",
 * "1.0e+20". */
void text_append_real(GString *out, double value);

/* A finite number rounded to two decimals: "9463.17", "0.00". */
void text_append_dec2(GString *out, double value);

/* For people; owned by the caller. Bytes: "0 B", "999 B", "3.4 MiB". Seconds, in the two largest units: "12 s",
 * "8 h 20 min", "3 d"; below zero: "0 s". */
char *text_bytes(guint64 bytes);
char *text_span(gint64 seconds);
/* With *** for user and password of each URL and URI in it: for what stands between :// and the last @ of the word.
 * Owned by the caller. */
char *text_without_users(const char *text);

/* "1 batch", "3 batches". Owned by the caller. */
char *text_count(guint64 number, const char *one, const char *many);
