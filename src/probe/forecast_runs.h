/* SPDX-License-Identifier: Apache-2.0
 * Runs of OpenNebula's forecaster in poll.rb's place, one VM after the other. What comes of it stands in the book,
 * under the keys of OpenNebula's records. */
#pragma once

#include "gather/forecast_conf.h"
#include "gather/vm_book.h"

#define FORECAST_RUN_MS 30000   /* of one run; Python and its libraries may have to come from a slow disk */
#define FORECAST_ROUND_MS 60000 /* no run is begun after that */
#define FORECAST_HANGS_MAX 3    /* VMs in a row of which it is not done in time: then the others wait as well */
#define FORECAST_INTERVALS 3    /* a forecast that is so many intervals old is none any more */
/* How long a far one may count that looks ahead by the longest period. */
#define FORECAST_AGE_MAX_S (367 * 24 * 3600)

typedef struct {
    const char *script; /* prediction.sh */
    const char *dir;    /* of its files */
    const ForecastConf *conf;
    guint64 probe_period_s; /* from one cycle of OpenNebula's VM probes to the next */
    gint64 interval_s;      /* from one run to the next of a VM */
    gint64 run_ms, round_ms;
    void (*keep)(const VmBook *book, gpointer data); /* now and then, and at the end; NULL: nothing */
    gpointer data;
} ForecastRunsOptions;

typedef struct {
    guint made, failed; /* runs */
    bool all_well;      /* no VM waits for its next chance after a failure */
    char *trouble;      /* of the first VM of which it has failed, and what was wrong; NULL: of none */
} ForecastRunsReport;

void forecast_runs_report_clear(ForecastRunsReport *report);

/* Runs it for the VMs that are due, the longest due first, and for those whose turn it is to have a far forecast before
 * them; forgets VMs that the sample does not have. A VM of which it fails, hangs, or prints what it should not costs
 * the others nothing; its forecasts stay until they are too old. */
void forecast_runs_make(const Sample *sample, VmBook *book, const ForecastRunsOptions *options, gint64 now_s,
                        ForecastRunsReport *ret_report);

/* Gives the sample's VMs their forecasts, for OpenNebula's records. */
void forecast_runs_attach(Sample *sample, const VmBook *book, gint64 now_s);
