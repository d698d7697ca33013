/* SPDX-License-Identifier: Apache-2.0
 * Samples in files, for bug reports, tests, and looking at them later. */
#pragma once

#include "model/sample.h"

/* Appends the sample's raw figures in domstats form. */
bool recording_append(const char *path, const Sample *sample, GError **error);

/* All collections of these files (a NULL-terminated list, with at least one) in order, finished and derived each
 * against the one before: array of Sample, never empty. NULL: the message names file and line. */
GPtrArray *recording_replay(char *const *paths, GError **error);
