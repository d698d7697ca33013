/* SPDX-License-Identifier: Apache-2.0
 * What the probe does for OpenNebula's forecaster in poll.rb's place: puts each sample into its files, in a process of
 * its own that nobody waits for. */
#pragma once

#include "base/config.h"
#include "model/sample.h"

/* Whether it is to be done ([forecast] files). auto: where the forecaster is in the tree that `program` is installed in
 * (NULL: in none), and Python has what it needs. */
bool forecasting_wanted(const Config *config, const char *program);

/* Starts it, for that sample; it ends within FORECASTING_LIMIT_MS, and before it begins where the one of an earlier
 * cycle is still at work. `state_dir` is the probe's, where it keeps what it has told the log, and its lock. Errors are
 * of starting it; everything else is told the log by itself, once an hour while it lasts. Call it last. */
#define FORECASTING_LIMIT_MS 60000
bool forecasting_start(const Config *config, const char *program, const char *state_dir, const Sample *sample,
                       GError **error);
