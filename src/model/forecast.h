/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's forecaster: how long its files (encode/forecast.h) keep a VM's figures, and the keys that it sends. */
#pragma once

#define FORECAST_WEEKS_DEFAULT 4 /* poll.rb's, where forecast.conf says nothing */
#define FORECAST_WEEKS_MAX 520

/* Keys that are forecast of every VM; the others are of VMs with a GPU. */
#define FORECAST_KEYS 8

typedef enum { FORECAST_NONE, FORECAST_NEAR, FORECAST_FAR } ForecastHorizon;

/* Of a key of OpenNebula's record: FORECAST_NEAR of one that ends in _FORECAST, FORECAST_FAR in _FORECAST_FAR, where
 * the rest is a key that is forecast (forecast.def). */
ForecastHorizon forecast_key_horizon(const char *key);
