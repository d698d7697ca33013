/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/forecast_conf.h"

#include "base/file.h"
#include "base/log.h"
#include "base/remotes.h"
#include "base/text.h"
#include "base/yaml.h"
#include "model/forecast.h"

#include <string.h>

G_DEFINE_QUARK(one_telemetry_forecast_conf, forecast_conf_error)

guint forecast_conf_weeks(const char *text, gsize length, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(YamlNode) root = yaml_read(text, length, &reason);
    if (!root) {
        g_set_error_literal(error, FORECAST_CONF_ERROR, FORECAST_CONF_ERROR_SYNTAX, reason->message);
        return 0;
    }
    const YamlNode *entry = yaml_child(yaml_child(root, "virtualmachine"), "db_retention");
    if (!entry)
        return 0;
    guint64 weeks;
    if (entry->value && text_read_u64(entry->value, &weeks) && weeks >= 1 && weeks <= FORECAST_WEEKS_MAX)
        return (guint)weeks;
    g_autofree char *quoted = log_quote(entry->value ? entry->value : "", entry->value ? strlen(entry->value) : 0, 40);
    g_set_error(error, FORECAST_CONF_ERROR, FORECAST_CONF_ERROR_VALUE,
                "line %u: db_retention is \"%s\": expected weeks, 1 to %d", entry->line, quoted, FORECAST_WEEKS_MAX);
    return 0;
}

guint forecast_conf_read(const char *program, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autofree char *root = program ? remotes_root(program) : NULL, *content = NULL;
    g_autofree char *path = root ? g_build_filename(root, "etc", "im", "kvm-probes.d", "forecast.conf", NULL) : NULL;
    gsize length;
    guint weeks = 0;
    if (path && file_read(path, YAML_MAX, &content, &length, &reason))
        weeks = forecast_conf_weeks(content, length, &reason);
    if (reason && !g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING))
        g_set_error(error, FORECAST_CONF_ERROR, reason->code, "%s%s%s; new files keep %d weeks",
                    reason->domain == FILE_ERROR ? "" : path, reason->domain == FILE_ERROR ? "" : ": ", reason->message,
                    FORECAST_WEEKS_DEFAULT);
    return weeks ? weeks : FORECAST_WEEKS_DEFAULT;
}
