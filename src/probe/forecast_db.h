/* SPDX-License-Identifier: Apache-2.0
 * The files of OpenNebula's forecaster: one SQLite database for each VM (encode/forecast.h says what is in it). SQLite
 * is loaded when the first sample is put, and not by a probe that has none to put. */
#pragma once

#include "model/sample.h"

#define FORECAST_DIR "/var/tmp/one_db" /* where poll.rb puts them; onehost sync leaves it alone */

#define FORECAST_ERROR forecast_error_quark()
GQuark forecast_error_quark(void);
typedef enum {
    FORECAST_ERROR_LIBRARY, /* libsqlite3.so.0 is not installed: holds for every file */
    FORECAST_ERROR_DIR,     /* not there and not to be made, or not ours alone: likewise */
    FORECAST_ERROR_FILE,    /* of one VM or several: locked, no room, no permission … */
} ForecastErrorCode;

typedef struct {
    const char *dir;
    guint weeks; /* for what is new: how long it keeps its rows */
} ForecastOptions;

typedef struct {
    guint written; /* files */
    guint mended;  /* were damaged: begun anew */
} ForecastReport;

/* Puts the sample, each VM's in one transaction; a VM of which nothing is known has none. One that fails holds up none
 * of the others: the error is the first of them, and says of how many it is. May take seconds where the disk is slow.
 */
bool forecast_db_put(const Sample *sample, const ForecastOptions *options, ForecastReport *ret_report, GError **error);
