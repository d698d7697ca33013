/* SPDX-License-Identifier: Apache-2.0
 * Everything that is computed from what was read: sums over devices, rates, percentages, latencies. Pure. */
#pragma once

#include "model/sample.h"

/* Two samples closer together than this give no rates: libvirt's vCPU times move in steps of 10 ms. */
#define RATES_MIN_INTERVAL_NS (G_GINT64_CONSTANT(100) * 1000 * 1000)
/* Two samples further apart give none either: the mean over hours is no figure of now. */
#define RATES_MAX_INTERVAL_NS (G_GINT64_CONSTANT(3600) * 1000 * 1000 * 1000)
/* A guest's own memory figures older than this are not used for its memory percentage. */
#define RATES_BALLOON_FRESH_S 120
/* Such that are older are no figures of now, and go: a guest that is asked for none (no stats period) gives some all
 * the same, once, when its driver starts. Nor is such a guest asked in every cycle. */
#define RATES_BALLOON_OLD_S 600

/* How long ago the guest has last told its memory, in seconds, below 0 where a clock jumped; false: it never has. */
bool rates_balloon_age(const MetricRow *row, gint64 realtime_ns, gint64 *ret_age_s);

/* It has told it so lately that it counts as of now. */
bool rates_balloon_is_fresh(const MetricRow *row, gint64 realtime_ns);

/* Fills in all derived metrics of `now` (after sample_finish). `previous` may be NULL: then whatever needs two samples
 * stays absent. The rules:
 * - elapsed time is by boottime, of each VM and of each group of its figures, so a jump of the wall clock changes
 *   nothing, and no rate is taken over the interval of another group; of a group that a fast sample holds, the rates
 * are held too;
 * - a pair is two samples of one boot, one host, and one run of a domain (same uuid, same libvirt id), whose cpu.time
 * did not fall, RATES_MIN_INTERVAL_NS to RATES_MAX_INTERVAL_NS apart. No pair, no rates;
 * - devices pair by name (vCPUs by number); of a NIC or disk whose counters fell nothing is derived;
 * - a single counter that fell (a rebooted guest's page faults) has no rate;
 * - a VM's network and disk rates are of the devices that are in both samples; where one of them was reset, they are
 *   absent. So no rate is ever negative or huge. */
void rates_derive(Sample *now, const Sample *previous);
