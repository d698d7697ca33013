/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/forecast_conf.h"

#include "base/file.h"
#include "base/log.h"
#include "base/remotes.h"
#include "base/text.h"
#include "base/yaml.h"
#include "model/forecast.h"

#include <string.h>

#define FAR_MINUTES_DEFAULT 15 /* prediction.py's */
#define FAR_MINUTES_MAX (366 * 24 * 60)
#define STARTS_WITHIN_S 10 /* from the forecaster's start to its look at the clock, on a host that is busy */

G_DEFINE_QUARK(one_telemetry_forecast_conf, forecast_conf_error)

/* Of several errors the first is told. */
static void tell(GError **error, const YamlNode *node, const char *expected)
{
    const char *value = node->value ? node->value : "";
    g_autofree char *quoted = log_quote(value, strlen(value), 40);
    if (error && !*error)
        g_set_error(error, FORECAST_CONF_ERROR, FORECAST_CONF_ERROR_VALUE, "line %u: %s is \"%s\": expected %s",
                    node->line, node->key, quoted, expected);
}

/* `fallback` where the key is missing, 0 where its value is wrong. */
static guint read_number(const YamlNode *node, const char *key, guint most, guint fallback, const char *expected,
                         GError **error)
{
    const YamlNode *entry = yaml_child(node, key);
    guint64 number;
    if (!entry)
        return fallback;
    if (entry->value && text_read_u64(entry->value, &number) && number >= 1 && number <= most)
        return (guint)number;
    tell(error, entry, expected);
    return 0;
}

static bool is_among(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (g_ascii_strcasecmp(text, *words) == 0)
            return true;
    return false;
}

/* As Python's YAML has it. A wrong word counts as enabled: the forecaster has the last word. */
static bool read_enabled(const YamlNode *horizon, GError **error)
{
    static const char *const yes[] = {"true", "yes", "on", NULL}, *const no[] = {"false", "no", "off", "null",
                                                                                 "~",     "",   "0",   NULL};
    const YamlNode *entry = yaml_child(horizon, "enabled");
    if (!entry || (entry->value && is_among(entry->value, yes)))
        return true;
    if (entry->value && is_among(entry->value, no))
        return false;
    tell(error, entry, "true or false");
    return true;
}

/* "forecast:" with nothing below is switched off. */
static bool makes(const YamlNode *vm, const char *key, GError **error)
{
    const YamlNode *horizon = yaml_child(vm, key);
    return !horizon || (!horizon->value && read_enabled(horizon, error));
}

bool forecast_conf_parse(const char *text, gsize length, ForecastConf *ret_conf, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(YamlNode) root = yaml_read(text, length, &reason);
    *ret_conf = (ForecastConf){.weeks = FORECAST_WEEKS_DEFAULT, .near = true, .far = true};
    if (!root) {
        g_set_error_literal(error, FORECAST_CONF_ERROR, FORECAST_CONF_ERROR_SYNTAX, reason->message);
        return false;
    }
    const YamlNode *vm = yaml_child(root, "virtualmachine");
    const bool any = vm && !vm->value;
    const guint weeks = read_number(vm, "db_retention", FORECAST_WEEKS_MAX, FORECAST_WEEKS_DEFAULT,
                                    "weeks, 1 to " G_STRINGIFY(FORECAST_WEEKS_MAX), &reason);
    ret_conf->weeks = weeks ? weeks : FORECAST_WEEKS_DEFAULT;
    ret_conf->near = any && makes(vm, "forecast", &reason);
    ret_conf->far = any && makes(vm, "forecast_far", &reason);
    ret_conf->far_minutes = read_number(yaml_child(vm, "forecast_far"), "period", FAR_MINUTES_MAX, FAR_MINUTES_DEFAULT,
                                        "minutes, from 1 to a year", &reason);
    if (!reason)
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

bool forecast_conf_read(const char *program, ForecastConf *ret_conf, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autofree char *root = program ? remotes_root(program) : NULL, *content = NULL;
    g_autofree char *path = root ? g_build_filename(root, "etc", "im", "kvm-probes.d", "forecast.conf", NULL) : NULL;
    gsize length;
    *ret_conf = (ForecastConf){.weeks = FORECAST_WEEKS_DEFAULT};
    if (!path)
        return true;
    bool there = file_read(path, YAML_MAX, &content, &length, &reason);
    if ((there && forecast_conf_parse(content, length, ret_conf, &reason)) ||
        g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING))
        return true;
    g_set_error(error, FORECAST_CONF_ERROR, reason->code, "%s%s%s", reason->domain == FILE_ERROR ? "" : path,
                reason->domain == FILE_ERROR ? "" : ": ", reason->message);
    return false;
}

bool forecast_conf_is_far_turn(const ForecastConf *conf, guint64 probe_period_s, guint64 vm_id, gint64 now_s)
{
    const guint64 slots = probe_period_s ? (guint64)conf->far_minutes * 60 / probe_period_s : 0;
    if (!conf->far || slots == 0 || now_s < 0)
        return false;
    const guint64 first = (guint64)now_s / probe_period_s, last = ((guint64)now_s + STARTS_WITHIN_S) / probe_period_s;
    return first % slots == vm_id % slots || last % slots == vm_id % slots;
}
