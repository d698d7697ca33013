/* SPDX-License-Identifier: Apache-2.0
 * A sample as a table for people: every figure of every VM, who served it, and how old it is. Pure. */
#pragma once

#include "model/sample.h"

/* One block per VM; figures by libvirt's names, those that are computed by the line protocol's. `boottime_ns`: now, for
 * the ages. Text owned by the caller. */
GString *explain_write(const Sample *sample, gint64 boottime_ns);

/* "libvirt, bulk call", "/proc" … */
const char *served_name(Served served);
