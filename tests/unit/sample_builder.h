/* SPDX-License-Identifier: Apache-2.0
 * Samples for the tests of rates and writers. Random ones come from a seeded generator: the same seed, the same sample.
 */
#pragma once

#include "model/sample.h"

/* Adds the running VM one-<id>, with a UUID and a domain id made from its id. Owned by the sample. */
VmSample *build_vm(Sample *sample, guint64 id);

/* The device of that index with that name (NULL: without one). Owned by the VM. */
MetricRow *build_nic(VmSample *vm, guint index, const char *name);
MetricRow *build_disk(VmSample *vm, guint index, const char *name);

/* Quotes, backslashes, separators of every format, control characters, broken UTF-8, with letters between. */
char *build_nasty_text(GRand *random, guint pieces);

/* Gives each of the row's metrics a value, with that probability; texts are nasty. State and flags keep to their range.
 */
void build_random_row(MetricRow *row, GRand *random, double probability);

/* VMs one-1 … one-n with some devices and vCPUs, up to two sinks; half the values are there. */
Sample *build_random_sample(guint n, guint32 seed);

/* VMs one-1 … one-n in which every metric of the VM scope is known, with ten digits each: what compresses worst. */
Sample *build_full_sample(guint n, guint32 seed);
