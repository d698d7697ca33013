/* SPDX-License-Identifier: Apache-2.0
 * A sample as JSON, for people and scripts. Written by hand, not through a tree: counters keep all 64 bits and 1,000
 * VMs cost one buffer. (Probes link no JSON library, so that they run on any KVM host.) Pure. */
#pragma once

#include "model/sample.h"

/* {"count", "timestamp", "host", "host_figures":{…}, "sinks":[{"name",…}],
 * "vms":[{"id","vm_id","name","uuid","host","state",…,"nics":[…], "disks":[…],"vcpus":[…]}]}; names from metrics.def;
 * absent values are left out, "sinks" where there is none. `pretty`: indented by two. Ends with a newline. Text owned
 * by the caller. */
GString *json_write(const Sample *sample, bool pretty);

/* Appends a JSON string with its quotes; invalid UTF-8 becomes U+FFFD. */
void json_append_string(GString *out, const char *text);

/* ISO 8601 UTC with Z and milliseconds: "2026-11-22T14:03:00.123Z". Owned by the caller. */
char *json_timestamp(gint64 realtime_ns);
