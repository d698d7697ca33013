/* SPDX-License-Identifier: Apache-2.0
 * What the probe does for OpenNebula's forecaster in poll.rb's place, in a process of its own that nobody waits for:
 * puts each sample into its files, and then runs it; the records of the cycles that follow have what it said. */
#pragma once

#include "base/config.h"
#include "model/sample.h"

typedef struct {
    const Config *config;
    const char *program;                /* the probe's own file; NULL unknown */
    const char *state_dir, *state_name; /* the probe's, where it keeps what was forecast, what it has told the log, and
                                         * its locks */
} ForecastingPlace;

/* Gives the sample's VMs what was forecast of them, as long as it counts; nothing where that is switched off. */
void forecasting_attach(Sample *sample, const ForecastingPlace *place);

/* Whether its files are to be kept ([forecast] files). auto: where the forecaster is in the tree that `program` is
 * installed in, and Python has what it needs. */
bool forecasting_wanted(const ForecastingPlace *place);

/* Starts it, for that sample. The files are done within FORECASTING_LIMIT_MS, and not begun where the process of an
 * earlier cycle is still at them; the forecasts within FORECASTING_RUNS_LIMIT_MS more, and likewise. Errors are of
 * starting it; everything else is told the log by itself, once an hour while it lasts. Call it last. */
#define FORECASTING_LIMIT_MS 60000
#define FORECASTING_RUNS_LIMIT_MS 120000
bool forecasting_start(const ForecastingPlace *place, const Sample *sample, GError **error);
