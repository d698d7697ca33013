/* SPDX-License-Identifier: Apache-2.0
 * Line protocol back into samples: the reverse of line_protocol.h, for what comes in over HTTP. Pure. */
#pragma once

#include "encode/line_reader.h"
#include "model/event.h"
#include "model/sample.h"

/* One line that is refused. */
typedef struct {
    guint line;     /* number in the text, from 1 */
    char *original; /* as it stands, at most LINE_ORIGINAL_MAX bytes, valid UTF-8 */
    char *message;  /* "line 3, column 7: expected …" */
} LineRefusal;
#define LINE_ORIGINAL_MAX 512

typedef struct {
    GPtrArray *samples;  /* of Sample: one for each host and time that points of ours speak of, in order of appearance.
                            A sample is what the text says, so maybe only a part of a collection; boottime_ns is 0, VMs
                            have domain_id -1 */
    GPtrArray *events;   /* of VmEvent, of series vm_events */
    GPtrArray *refusals; /* of LineRefusal, the first LINE_REFUSALS_MAX */
    guint refused;       /* lines, all of them */
    guint points;        /* lines that are line protocol */
    guint foreign;       /* of those, none of ours, or without what tells which VM they speak of */
    bool too_many;       /* it speaks of more than LINE_THINGS_MAX, and was read no further: to be refused as a whole */
} LineSamples;
#define LINE_REFUSALS_MAX 100
#define LINE_SINKS_MAX 64 /* of one host */
/* Samples, VMs, devices, vCPUs, sinks and events of one text in all, as each takes far more memory than its line. A
 * forwarder's has some thousands. */
#define LINE_THINGS_MAX 100000

/* `unit_ns`: what the time stamps count (1, 1,000, 1,000,000, 1,000,000,000 …; 0: by their size, as InfluxDB 3's
 * "auto" has it). `now_ns`: time of points without one. Fields are filed under the metric that has that line-protocol
 * name in the point's scope; unknown ones are passed over. Types are taken where they fit: an integral, non-negative
 * number for a counter or gauge, any number for a real, true and false for flags. A VM is told by tag VMID, but by tag
 * name where that is one-<ID> (older senders put libvirt's id into VMID). */
LineSamples *line_samples_read(const char *text, gsize length, gint64 unit_ns, gint64 now_ns);
void line_samples_free(LineSamples *read);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LineSamples, line_samples_free)

/* OpenNebula's number of the VM that a point speaks of, by its tags; false: of none. */
bool line_point_vm_id(const LinePoint *point, guint64 *ret_vm_id);

/* A point's time stamp in nanoseconds, as above. false: it is before 1970 or behind LINE_TIME_MAX_NS, the year 2200; so
 * the difference of two of them fits into 64 bits. */
#define LINE_TIME_MAX_NS G_GINT64_CONSTANT(7258118400000000000)
bool line_time_ns(gint64 time, gint64 unit_ns, gint64 *ret_ns);

/* The sample holds the host's own figures (host_totals without tag sink), which the probe writes last: all of its VMs
 * are before it in the text, or in what came before. */
bool line_samples_is_whole(const Sample *sample);
