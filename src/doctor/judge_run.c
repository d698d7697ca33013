/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/judges.h"
#include "base/text.h"
#include "encode/one_record.h"

#include <string.h>

#define NEAR_LIMIT 0.9 /* of OpenNebula's message */
#define COMPLAINTS_MAX 5

/* The probe's own warnings: what it left out, whose QEMU does not answer. */
static void add_complaints(GPtrArray *findings, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", COMPLAINTS_MAX + 1);
    for (guint i = 0; lines[i] && i < COMPLAINTS_MAX; i++) {
        const char *line = g_str_has_prefix(lines[i], "vm_monitor: ") ? lines[i] + strlen("vm_monitor: ") : lines[i];
        if (!*line)
            continue;
        bool dropped = strstr(line, " keys dropped ") || strstr(line, "message has room for");
        g_ptr_array_add(
            findings, finding_new(VERDICT_WARNING,
                                  dropped ? "# less detail: detail in [probe]; or fewer VMs on the host; InfluxDB and "
                                            "the endpoint get everything all the same"
                                          : NULL,
                                  "the probe says: %s", line));
    }
}

GPtrArray *judge_run(const RunFacts *facts)
{
    GPtrArray *findings = findings_new();
    g_autofree char *bytes = text_bytes(facts->bytes);
    g_autofree char *records = text_count(facts->records, "record", "records");
    bool slow = facts->seconds > facts->deadline / 2;
    g_ptr_array_add(findings, finding_new(slow ? VERDICT_WARNING : VERDICT_OK, slow ? facts->command : NULL,
                                          "the probe took %.2f s%s: %s with %u keys, %s, %" G_GSIZE_FORMAT
                                          " of the %" G_GSIZE_FORMAT " bytes of OpenNebula's message",
                                          facts->seconds, slow ? ", more than half its deadline" : "", records,
                                          facts->keys, bytes, facts->message, facts->limit));
    add_complaints(findings, facts->complaints);
    return findings;
}

Finding *judge_message(gsize bytes, guint probes, bool all_ran)
{
    const char *mend = "# fewer keys: a lower detail in [probe]; room kept for other probes: message_reserve; or fewer "
                       "VMs on the host";
    g_autofree char *many = text_count(probes, "probe", "probes");
    const char *some = all_ran ? "" : " (not all of them could be run)";
    if (bytes > ONE_MESSAGE_MAX)
        return finding_new(VERDICT_ERROR, mend,
                           "the message of %s%s has %" G_GSIZE_FORMAT
                           " bytes, the limit is %d: OpenNebula gets nothing "
                           "of this host's VMs",
                           many, some, bytes, ONE_MESSAGE_MAX);
    if ((double)bytes > NEAR_LIMIT * ONE_MESSAGE_MAX)
        return finding_new(VERDICT_WARNING, mend, "the message of %s%s has %" G_GSIZE_FORMAT " of at most %d bytes",
                           many, some, bytes, ONE_MESSAGE_MAX);
    return finding_ok("the message of %s%s has %" G_GSIZE_FORMAT " of at most %d bytes", many, some, bytes,
                      ONE_MESSAGE_MAX);
}
