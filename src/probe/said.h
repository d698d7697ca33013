/* SPDX-License-Identifier: Apache-2.0
 * What a program has to complain about that runs every few seconds, and starts anew each time: a state of affairs that
 * goes on is logged when it begins and every ten minutes. What was said is kept in a small file. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define SAID_AGAIN_S 600

typedef struct Said Said;

/* What the runs before said, from the file `name` in `directory` (made like the probe's state directory, mode 0700).
 * Where it can't be read nothing counts as said. `now_s`: epoch seconds. Never NULL. */
Said *said_open(const char *directory, const char *name, gint64 now_s);

/* A run before had something to say that begins so. */
bool said_before(const Said *said, const char *prefix);

/* To be called for all that there is to say, one line each. true: it is time to log it. */
bool said_is_due(Said *said, const char *line);

/* Keeps, for the next run, what was asked about in this one, and frees it. A failure costs but repetitions. */
void said_close(Said *said);
