/* SPDX-License-Identifier: Apache-2.0
 * What OpenNebula's forecaster (prediction.sh) prints of a VM: KEY="NUMBER" lines, which poll.rb puts into the VM's
 * record as they are. Pure. */
#pragma once

#include "model/forecast.h"

#include <glib.h>

#define FORECAST_ANSWER_MAX (16 * 1024) /* bytes */

#define FORECAST_ANSWER_ERROR forecast_answer_error_quark()
GQuark forecast_answer_error_quark(void);
typedef enum { FORECAST_ANSWER_ERROR_SYNTAX } ForecastAnswerErrorCode;

/* The forecasts among them (forecast_key_horizon): keys and numbers by turns, as they are printed, NULL-terminated;
 * owned by the caller. Other keys, and what is no finite number (nan, inf), are passed over; an empty text has none. A
 * line that is anything else, or a key that is there twice, and nothing of it is taken: NULL, with "line N: …". */
char **forecast_answer_read(const char *text, gsize length, GError **error);
