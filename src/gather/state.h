/* SPDX-License-Identifier: Apache-2.0
 * The previous sample, kept between two runs as a file in domstats form. */
#pragma once

#include "model/sample.h"

#define STATE_FILE_MAX (256 * 1024 * 1024) /* bytes */

#define STATE_ERROR state_error_quark()
GQuark state_error_quark(void);
typedef enum {
    STATE_ERROR_MISSING, /* no file yet: a first run */
    STATE_ERROR_UNUSABLE /* damaged, unsafe, of another host, from the future: the message says which */
} StateErrorCode;

/* What the running host must have in common with the file. */
typedef struct {
    const char *host;
    const char *boot_id;
    gint64 boottime_ns;
} StateContext;

/* /var/tmp/one-telemetry-<uid>. Owned by the caller. */
char *state_default_dir(void);

/* state-<host id>.domstats, where "host id" holds but letters, digits, - and _. Owned by the caller. */
char *state_file_name(const char *host_id);

/* Makes nothing. NULL: go on as on a first run. After a reboot of the host no domain is the same run as before, but the
 * keys that OpenNebula holds of it are. */
Sample *state_load(const char *dir, const char *name, const StateContext *context, GError **error);

/* Makes the directory where it is missing. After a failure the file before stands. */
bool state_save(const char *dir, const char *name, const Sample *sample, GError **error);
