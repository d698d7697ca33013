/* SPDX-License-Identifier: Apache-2.0
 * Passwords and tokens: read from files that nobody else reads, and kept out of everything that people see. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define SINK_SECRET_MAX 4096 /* bytes */
#define SINK_MASK_MIN 4      /* bytes: anything shorter stands in every text by chance */

/* What the file at `path` holds, without one newline at its end. Refused, in one line with the way to mend it: a file
 * by file_read_secret's rules, one that is empty, longer than SINK_SECRET_MAX, or has control characters. Owned by the
 * caller (sink_secret_free). Errors: SINK_ERROR_SECRET. */
char *sink_secret_read(const char *path, GError **error);

/* Checks the file of a key that libcurl reads by itself. */
bool sink_secret_check_key(const char *path, GError **error);

/* Overwrites it first. NULL is nothing. */
void sink_secret_free(char *secret);

/* Writes stars over `secret` wherever it stands in the text. A NULL, of either, is nothing; secrets below SINK_MASK_MIN
 * are not looked for. Pure. */
void sink_secret_mask(char *text, gsize length, const char *secret);
