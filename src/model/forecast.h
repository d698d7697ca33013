/* SPDX-License-Identifier: Apache-2.0
 * How long the forecaster's files (encode/forecast.h) keep a VM's figures. */
#pragma once

#define FORECAST_WEEKS_DEFAULT 4 /* poll.rb's, where forecast.conf says nothing */
#define FORECAST_WEEKS_MAX 520
