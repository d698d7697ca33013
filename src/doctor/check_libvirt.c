/* SPDX-License-Identifier: Apache-2.0
 * The hypervisor, asked as the probe asks it. */
#include "base/text.h"
#include "doctor/checks.h"
#include "doctor/judges.h"
#include "gather/collect.h"
#include "model/rates.h"

#include <string.h>
#include <unistd.h>

#define PERIODS_MAX 200

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

/* Of those that do not say so themselves; how many are asked for is bounded, each is a call. */
static GHashTable *read_periods(const char *uri, const Sample *sample)
{
    GHashTable *periods = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    Hypervisor *hypervisor = libvirt_api.open(uri, NULL);
    for (guint i = 0, asked = 0; hypervisor && i < sample->vms->len && asked < PERIODS_MAX; i++) {
        VmSample *vm = g_ptr_array_index(sample->vms, i);
        if (rates_balloon_is_fresh(vm->row, sample->realtime_ns) || row_u64(vm->row, METRIC_VM_LOCKED))
            continue;
        asked++;
        g_autofree char *xml = libvirt_api.xml(hypervisor, vm->uuid);
        gint64 *period = g_new(gint64, 1);
        *period = xml ? judge_balloon_period(xml, strlen(xml)) : BALLOON_UNKNOWN;
        g_hash_table_insert(periods, &vm->vm_id, period);
    }
    libvirt_api.close(hypervisor);
    return periods;
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
    g_autoptr(Sample) sample = collect_sample(&options, NULL, &error);
    if (!sample) {
        report(to, finding_new(VERDICT_NOT_CHECKED, NULL, "which guests tell of their memory: %s", error->message));
    } else {
        sample_finish(sample, NULL);
        g_autoptr(GHashTable) periods = read_periods(uri, sample);
        report_all(to, judge_balloon(uri, sample, periods));
    }
    _exit(0); /* threads are blocked in libvirt, or on their way out: nothing may be torn down under them */
}
