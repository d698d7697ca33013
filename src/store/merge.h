/* SPDX-License-Identifier: Apache-2.0
 * A VM's new sample and the one before it: what is carried over, what is derived. Pure. */
#pragma once

#include "model/sample.h"

/* Whether it says anything but names and the like (metrics that are read once per start, COST_START). */
bool merge_has_figures(const VmSample *vm);
/* The VM's own row does. */
bool merge_row_has_figures(const MetricRow *row);

/* The same run of the domain: nothing that is known of both differs, and its CPU time did not fall. */
bool merge_is_same_run(const VmSample *now, const VmSample *before);

/* Texts that are read once per start, of the VM and of devices of the same name, where `now` has none. */
void merge_carry_texts(VmSample *now, const VmSample *before);

/* Texts that OpenNebula's state hook has told `before` go before what `now` has of the domain's metadata, which are as
 * they were when the VM was deployed. Nothing where `now` is the hook's word itself. */
void merge_keep_told(VmSample *now, const VmSample *before);

/* What `before` knew of a VM whose figures are absent while it is locked, or as the sender has not read them anew,
 * which are those of all disks or of the guest's memory: `known` is what was carried already (may be NULL). Of a locked
 * VM derived figures are of the past and not carried. Owned by the caller; NULL: there is nothing to carry. */
MetricRow *merge_known(const VmSample *now, const VmSample *before, const MetricRow *known);

/* Fills in the derived figures that the sender left out, as model/rates.h has them; of a VM without devices also the
 * rates of its own counters. `before` of the same run, `elapsed_ns` earlier; NULL: what needs one sample alone. */
void merge_derive(VmSample *now, const VmSample *before, gint64 elapsed_ns, gint64 realtime_ns);

/* Adds a piece of the same collection. Whether anything in it was new. */
bool merge_piece(VmSample *vm, const VmSample *piece);
