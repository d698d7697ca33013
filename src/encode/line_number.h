/* SPDX-License-Identifier: Apache-2.0
 * The numbers of line protocol, for line_reader.c. Independent of the locale. Pure. */
#pragma once

#include "encode/line_reader.h"

/* Takes the number at *at as far as it goes, `end` at the most, and moves *at behind it. NULL where it is one; else
 * what was expected at *at. `copy` lends room for that text and a NUL. */
const char *line_number_read(const char **at, const char *end, char *copy, LineField *ret_field);
const char *line_time_read(const char **at, const char *end, gint64 *ret_time);
