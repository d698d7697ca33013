/* SPDX-License-Identifier: Apache-2.0
 * InfluxDB line protocol of a sample: the series vm_totals, vm_devices, vm_vcpus, vm_info, host_totals (design: README,
 * docs/metrics.md); and of an event: vm_events. Pure. */
#pragma once

#include "model/event.h"
#include "model/sample.h"

typedef enum {
    SERIES_TOTALS = 1 << 0,
    SERIES_DEVICES = 1 << 1,
    SERIES_VCPUS = 1 << 2,
    SERIES_INFO = 1 << 3, /* names and owners: on change and every ten minutes is enough */
    SERIES_HOST = 1 << 4,
    SERIES_ALL = (1 << 5) - 1,
} LineSeries;

/* vm_info of a VM is due once in every so many nanoseconds, at a point of that span that is its own, so that the VMs of
 * a host take turns. A little less than ten minutes: with collections every 30 s, one of them late, no two of a VM are
 * further apart than 10.5 minutes. */
#define LINE_INFO_PERIOD_NS (590 * G_GINT64_CONSTANT(1000000000))

/* All points carry the sample's realtime_ns. Absent values are left out, so is a point without any field. Integers
 * carry i (values above 2^63-1 are left out: InfluxDB has no room for them), reals always a decimal point; tags are
 * sorted by key and never empty. Text owned by the caller. */
GString *line_protocol_write(const Sample *sample, LineSeries series);

/* What is sent of a sample when `previous` (NULL: none) went before it: all series, but vm_info only of a VM that is
 * new or was restarted since, whose texts have changed, or whose turn has come. */
GString *line_protocol_write_next(const Sample *sample, const Sample *previous);

/* Appends the point of series vm_events that the event is. An unknown text is no tag and no field; of two events of one
 * VM, host, states and time a database keeps one. */
void line_protocol_append_event(GString *out, const VmEvent *event);

/* Append with that position's escapes. Control characters (newline among them) become spaces, invalid UTF-8 U+FFFD. */
void line_append_measurement(GString *out, const char *text); /* not to begin with # or _ */
/* Tag key, tag value, field key, cut at LINE_TAG_MAX bytes. Parsers disagree on a backslash before an escaped character
 * or before the end of the text: InfluxDB 1 takes it literally, VictoriaMetrics and InfluxDB 3 take it for an escape of
 * the next backslash. So such a run of backslashes is doubled, and at the end an escaped space follows: all of them
 * find the separator where it is, and at worst read the backslashes twice. The same goes for measurements. */
#define LINE_TAG_MAX 4096
void line_append_key(GString *out, const char *text);
/* String field with its quotes; cut on a character at LINE_STRING_MAX bytes between them. */
#define LINE_STRING_MAX 65535
void line_append_string(GString *out, const char *text);
/* A finite number that reads back as the same, with a decimal point. */
void line_append_real(GString *out, double value);
