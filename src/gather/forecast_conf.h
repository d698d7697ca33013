/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's etc/im/kvm-probes.d/forecast.conf, YAML: how long the forecaster's files keep a VM's figures. */
#pragma once

#include <glib.h>

#define FORECAST_CONF_ERROR forecast_conf_error_quark()
GQuark forecast_conf_error_quark(void);
typedef enum { FORECAST_CONF_ERROR_SYNTAX, FORECAST_CONF_ERROR_VALUE } ForecastConfErrorCode;

/* virtualmachine: db_retention, weeks; 0 where it is not written, or with an error that says what is wrong. Pure. */
guint forecast_conf_weeks(const char *text, gsize length, GError **error);

/* The same of the file in the tree that the probe at this path is installed in; FORECAST_WEEKS_DEFAULT (as poll.rb has
 * it) where there is no such tree, file or value, then with an error where that is worth a word. */
guint forecast_conf_read(const char *program, GError **error);
