/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's etc/im/kvm-probes.d/forecast.conf, YAML: what is said of VMs to its forecaster. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define FORECAST_CONF_ERROR forecast_conf_error_quark()
GQuark forecast_conf_error_quark(void);
typedef enum { FORECAST_CONF_ERROR_SYNTAX, FORECAST_CONF_ERROR_VALUE } ForecastConfErrorCode;

/* `virtualmachine` of that file. */
typedef struct {
    guint weeks;       /* db_retention: how long files keep a VM's figures; FORECAST_WEEKS_DEFAULT, as poll.rb has it,
                        * where it is not written, or wrong */
    bool near, far;    /* forecast, forecast_far: the forecaster makes them (enabled, which they are where nothing is
                        * written, as in the file of OpenNebula 7.0); with no `virtualmachine` it makes none */
    guint far_minutes; /* forecast_far: period, how far it looks ahead; 0: wrong */
} ForecastConf;

/* false: with an error that says what is wrong first; what is right counts. Pure. */
bool forecast_conf_parse(const char *text, gsize length, ForecastConf *ret_conf, GError **error);

/* The same of the file in the tree that the probe at this path is installed in. No such tree or file: nothing is
 * forecast, and no error. */
bool forecast_conf_read(const char *program, ForecastConf *ret_conf, GError **error);

/* The forecaster makes a VM's far forecast in one of the slots that forecast_far's period has, each as long as
 * OpenNebula's period of VM probes: this is that VM's turn, or will be when the forecaster has begun. */
bool forecast_conf_is_far_turn(const ForecastConf *conf, guint64 probe_period_s, guint64 vm_id, gint64 now_s);
