/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/judges.h"

#define RATES_MOST_S 3600 /* between two samples of which rates are made */
#define STALE_PERIODS 3

static void add(GPtrArray *findings, Finding *finding)
{
    g_ptr_array_add(findings, finding);
}

GPtrArray *judge_periods(const PeriodFacts *facts)
{
    GPtrArray *findings = findings_new();
    if (facts->deadline >= facts->monitor_vm) {
        g_autofree char *mend =
            g_strdup_printf("# in %s, section [probe]: deadline = %g", facts->probe_conf, facts->monitor_vm / 2);
        add(findings,
            finding_new(VERDICT_WARNING, mend,
                        "a collection may take %g s (deadline), a period of OpenNebula's has %g s (MONITOR_VM)",
                        facts->deadline, facts->monitor_vm));
    }
    if (facts->stale_after < STALE_PERIODS * facts->monitor_vm) {
        g_autofree char *mend = g_strdup_printf("# in %s, section [telemetry]: stale_after = %gs", facts->server_conf,
                                                STALE_PERIODS * facts->monitor_vm);
        add(findings,
            finding_new(VERDICT_WARNING, mend,
                        "telemetryd takes figures for stale after %g s, but hosts send every %g s (MONITOR_VM)",
                        facts->stale_after, facts->monitor_vm));
    }
    if (facts->monitor_vm > RATES_MOST_S) {
        g_autofree char *mend = g_strdup_printf("# in %s, PROBES_PERIOD: MONITOR_VM = 30", facts->monitord_conf);
        add(findings, finding_new(VERDICT_WARNING, mend, "MONITOR_VM is %g s: no rates are made over more than %d s",
                                  facts->monitor_vm, RATES_MOST_S));
    }
    if (facts->least_max_age && (double)facts->least_max_age < 2 * facts->monitor_vm) {
        g_autofree char *mend = g_strdup_printf("# in %s, in that [sink]: max_age = 7d", facts->probe_conf);
        add(findings, finding_new(VERDICT_WARNING, mend,
                                  "a sink's batches are dropped after %" G_GINT64_FORMAT
                                  " s (max_age), but come every %g s (MONITOR_VM)",
                                  facts->least_max_age, facts->monitor_vm));
    }
    if (findings->len == 0)
        add(findings, finding_ok("MONITOR_VM %g s, our deadline %g s, stale after %g s", facts->monitor_vm,
                                 facts->deadline, facts->stale_after));
    return findings;
}
