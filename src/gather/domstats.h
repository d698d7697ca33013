/* SPDX-License-Identifier: Apache-2.0
 * The text form of domain statistics: what `virsh domstats --raw` prints, and the same with a header and a few keys of
 * our own. It is the state file between two runs, what --record writes and what --replay and the tests read.
 *
 *   # one-telemetry domstats 1 realtime=NS boottime=NS cycle=N tier=N [spool=N] boot=ID host=NAME
 *   Domain: 'one-83'
 *     domain.uuid=…
 *     state.state=1
 *     net.0.rx.bytes=110
 *   # end 1
 *
 * A file may hold several collections, each with its header. Without a header (virsh) nothing is escaped and times are
 * unknown; with one, text values carry C escapes. Unknown keys and domains not named one-<number> are skipped. Pure. */
#pragma once

#include "model/sample.h"

#define DOMSTATS_FILE_MAX (512 * 1024 * 1024) /* bytes a recording may have */
#define DOMSTATS_VMS_MAX 100000               /* VMs of one collection */

#define DOMSTATS_ERROR domstats_error_quark()
GQuark domstats_error_quark(void);
typedef enum { DOMSTATS_ERROR_SYNTAX, DOMSTATS_ERROR_TRUNCATED, DOMSTATS_ERROR_LIMIT } DomstatsErrorCode;

/* Files one statistic under its key ("net.0.rx.bytes"). Keys that are not ours, and values of a type that the metric
 * does not have, are passed over: newer libvirt sends dozens of them. */
void domstats_set_u64(VmSample *vm, const char *key, guint64 value);
void domstats_set_text(VmSample *vm, const char *key, const char *value);

/* Array of Sample (at least one), neither finished nor derived. NULL: the message begins with the line's number. */
GPtrArray *domstats_read(const char *text, gsize length, GError **error);

/* The same of a text with a NUL at its end, which is cut into lines and keys where it stands: not to be used any more.
 * A copy of the megabytes of a thousand VMs is a thousand page faults. */
GPtrArray *domstats_read_up(char *text, gsize length, GError **error);

/* Appends the sample's raw figures, header and end line included. */
void domstats_write(const Sample *sample, GString *out);
