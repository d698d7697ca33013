/* SPDX-License-Identifier: Apache-2.0
 * Samples in Prometheus's text exposition format, version 0.0.4. Pure. */
#pragma once

#include "model/sample.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* What all of the samples say, each family once: its HELP, its TYPE, then its series, in the order of the samples. A
 * family is "one_", its scope and the metric's name in metrics.def, in base units. Series are told apart by few labels,
 * which stay what they are while the thing lives:
 *
 *   one_vm_*    vm_id host          one_nic_*   vm_id host device      one_host_*  host
 *   one_vcpu_*  vm_id host vcpu     one_disk_*  vm_id host device      one_sink_*  host sink
 *
 * Texts are labels of one_<scope>_info, whose value is 1 and which is to be joined on those: name, uuid, owner of a VM,
 * MAC of a NIC … one_host_sample_timestamp_seconds tells when a host's figures were collected; no series carries a time
 * stamp of its own.
 *
 * Absent values are left out, so are devices without a name and families without a series. No series is there twice: of
 * two things with the same labels (a VM in two samples of one host) the first is taken. Text owned by the caller. */
GString *prometheus_write(const Sample *const *samples, guint n);
/* The same appended to `out`; after each family `relieve` is called, which may move what is there elsewhere. */
void prometheus_write_parts(GString *out, const Sample *const *samples, guint n, void (*relieve)(gpointer data),
                            gpointer data);

/* The family the metric is in, for a text one_<scope>_info; NULL: none. Owned by the caller. */
char *prometheus_family(Metric m);

/* Append with that position's escapes. Control characters but newline become spaces, invalid UTF-8 U+FFFD. A label's
 * value comes without its quotes and is cut on a character at PROMETHEUS_LABEL_MAX bytes. */
#define PROMETHEUS_LABEL_MAX 4096
void prometheus_append_label_value(GString *out, const char *text);
void prometheus_append_help(GString *out, const char *text);
