/* SPDX-License-Identifier: Apache-2.0
 * The hypervisor, asked as the probe asks it. */
#include "base/text.h"
#include "doctor/checks.h"
#include "doctor/judges.h"
#include "gather/collect.h"

#include <unistd.h>

void examine_libvirt(const Facts *facts, Report *to)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *uri = facts_libvirt_uri(facts), *shown = text_without_users(uri);
    report_doing(to, "sudo systemctl restart libvirtd    # or virtqemud; guests go on meanwhile",
                 "libvirt at %s does not answer", shown);
    const gint64 begin = g_get_monotonic_time();
    Hypervisor *hypervisor = libvirt_api.open(uri, &error);
    const double ms = (double)(g_get_monotonic_time() - begin) / 1000;
    if (!hypervisor) {
        report(to, judge_libvirt_failure(uri, error->message, facts->options->user));
        return;
    }
    report(to, judge_libvirt(uri, ms, libvirt_api.domains(hypervisor)->len, libvirt_api.left_out(hypervisor)));
    libvirt_api.close(hypervisor);
}

void examine_balloon(const Facts *facts, Report *to)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *uri = facts_libvirt_uri(facts);
    const CollectOptions options = {.api = &libvirt_api,
                                    .uri = uri,
                                    .deadline_ms =
                                        (gint64)(1000 * config_seconds(facts->probe.config, CONFIG_probe_deadline)),
                                    .workers = (guint)config_integer(facts->probe.config, CONFIG_probe_workers)};
    bool abandoned = false;
    g_autoptr(Sample) sample = collect_sample(&options, &abandoned, &error);
    if (!sample) {
        report(to, finding_new(VERDICT_NOT_CHECKED, NULL, "which guests tell of their memory: %s", error->message));
    } else {
        sample_finish(sample, NULL);
        report_all(to, judge_balloon(uri, sample));
    }
    if (abandoned || !sample)
        _exit(0); /* threads are blocked in libvirt, or on their way out: nothing may be torn down under them */
}
