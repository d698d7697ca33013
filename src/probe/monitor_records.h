/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's records of a sample, within what its message has room for beside those of the other probes. */
#pragma once

#include "base/config.h"
#include "model/sample.h"

/* The text, owned by the caller; `now` gets the host's figures of it. `program` is the probe's own file, whose
 * neighbours send records too; NULL: not known. What had to be left out is logged when that begins, changes, and now
 * and then; `always`: in any case. */
GString *monitor_records(const Config *config, const char *program, Sample *now, const Sample *previous, bool always);
