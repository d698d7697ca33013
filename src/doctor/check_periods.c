/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's periods, which its monitord.conf has, against ours. */
#include "base/file.h"
#include "deliver/sinks.h"
#include "doctor/checks.h"
#include "doctor/judges.h"
#include "doctor/opennebula_conf.h"

#define STANDARD_MONITOR_VM 30

static gint64 least_max_age(const GPtrArray *sinks)
{
    gint64 least = 0;
    for (guint i = 0; sinks && i < sinks->len; i++) {
        gint64 age = ((const SinkSettings *)g_ptr_array_index(sinks, i))->limits.max_age_s;
        least = least == 0 ? age : MIN(least, age);
    }
    return least;
}

void examine_periods(const Facts *facts, Report *to)
{
    gsize length = 0;
    guint64 monitor_vm = STANDARD_MONITOR_VM;
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(facts->etc, "monitord.conf", NULL), *content = NULL;
    bool read = file_read(path, OPENNEBULA_CONF_MAX, &content, &length, &error);
    if (!read)
        report(to, finding_new(VERDICT_WARNING, "# is it oneadmin's to read? is this the front-end?",
                               "OpenNebula's periods are not known: %s", error->message));
    else if (!opennebula_conf_number(content, length, "PROBES_PERIOD", "MONITOR_VM", &monitor_vm))
        report(to, finding_new(VERDICT_WARNING, "# add to PROBES_PERIOD: MONITOR_VM = 30, then restart opennebula",
                               "%s: PROBES_PERIOD has no MONITOR_VM that is a number", path));
    const PeriodFacts periods = {
        .monitor_vm = (double)monitor_vm,
        .deadline = config_seconds(facts->probe.config, CONFIG_probe_deadline),
        .stale_after = (double)config_integer(facts->server.config, CONFIG_telemetry_stale_after),
        .least_max_age = least_max_age(facts->probe.sinks),
        .monitord_conf = path,
        .probe_conf = facts->probe.path,
        .server_conf = facts->server.path ? facts->server.path : facts->probe.path,
    };
    if (read)
        report_all(to, judge_periods(&periods));
}
