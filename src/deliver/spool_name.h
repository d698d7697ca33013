/* SPDX-License-Identifier: Apache-2.0
 * What a batch's file is called: <time>-<host>-<pid>-<n>.lp.gz. Time in nanoseconds, with leading zeros, so that the
 * order of names is the order of time. Internal to the spool. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define SPOOL_HOST_MAX 64 /* bytes of a host's name that go into a batch's */
#define SPOOL_NAME_MAX 180

typedef struct {
    gint64 time_ns;
    const char *host; /* whatever no file name should hold becomes an underscore */
    guint pid;
    guint n; /* tells those apart that agree in the rest */
} SpoolName;

/* Owned by the caller. A negative time becomes 0. */
char *spool_name_make(const SpoolName *name);

/* Whether it is the name of a batch; if so, its time. */
bool spool_name_parse(const char *name, gint64 *ret_time_ns);
