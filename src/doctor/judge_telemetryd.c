/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/judges.h"

#include <string.h>

#define START "sudo systemctl enable --now one-telemetryd"
#define RESTART "sudo systemctl restart one-telemetryd"
#define JOURNAL "journalctl -u one-telemetryd -n 50"

static Finding *judge_answer(const EndpointFacts *facts)
{
    bool wanted = facts->configured || facts->enabled || facts->active;
    if (facts->problem && !wanted)
        return finding_new(VERDICT_NOT_CHECKED, START, "telemetryd does not run here, and is not set up to: %s",
                           facts->problem);
    if (facts->problem)
        return finding_new(VERDICT_ERROR, facts->active ? JOURNAL "\n" RESTART : START "\n" JOURNAL,
                           "telemetryd does not answer at %s: %s", facts->url, facts->problem);
    if (facts->status == 401 || facts->status == 403)
        return finding_new(VERDICT_ERROR, "# read_token_file in [server] of the configuration it was started with",
                           "telemetryd at %s refuses our token", facts->url);
    if (facts->status != 200)
        return finding_new(VERDICT_ERROR, JOURNAL, "telemetryd at %s is not well: %ld %s", facts->url, facts->status,
                           facts->said ? facts->said : "");
    return finding_ok("telemetryd answers at %s", facts->url);
}

GPtrArray *judge_endpoint(const EndpointFacts *facts)
{
    GPtrArray *findings = findings_new();
    g_ptr_array_add(findings, judge_answer(facts));
    bool answers = !facts->problem && facts->status == 200;
    if (answers && !facts->version)
        g_ptr_array_add(findings, finding_new(VERDICT_ERROR, "# another program has its port: port in [server]",
                                              "what answers at %s is no telemetryd", facts->url));
    else if (answers && strcmp(facts->version, ONE_TELEMETRY_VERSION) != 0)
        g_ptr_array_add(findings, finding_new(VERDICT_WARNING, RESTART, "the telemetryd that runs is %s, this is %s",
                                              facts->version, ONE_TELEMETRY_VERSION));
    if (answers && facts->has_systemd && !facts->enabled)
        g_ptr_array_add(findings,
                        finding_new(VERDICT_WARNING, START,
                                    "its unit is not enabled: it is not there after a restart of the machine"));
    return findings;
}
