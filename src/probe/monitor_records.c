/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/monitor_records.h"
#include "base/log.h"
#include "base/remotes.h"
#include "encode/one_record.h"
#include "probe/probe_settings.h"

/* What the probes beside this one send and may need: poll.rb, with or without its forecast, and monitor_ds_vm.rb. By
 * hand, outside a probe directory, as if they stood there, without forecast. */
static void set_neighbours(const Config *config, const char *program, OneOptions *options)
{
    bool beside = config_integer(config, CONFIG_probe_mode) != MODE_REPLACE;
    g_autofree char *tree = program ? remotes_root(program) : NULL;
    bool poll = beside && (!tree || remotes_has_probe(program, "poll.rb"));
    bool sizes = !tree || remotes_has_probe(program, "monitor_ds_vm.rb");
    bool forecast = poll && tree && remotes_can_forecast("");
    options->stock_tiers = (guint)poll + (guint)forecast;
    gsize least = (poll ? ONE_RESERVE_POLL : 0) + (sizes ? ONE_RESERVE_DISK_SIZE : 0);
    gint64 set = config_integer(config, CONFIG_probe_message_reserve);
    options->reserve_least = set >= 0 ? (gsize)set : least;
    options->reserve_per_vm = set >= 0 ? (gsize)set : least + (forecast ? ONE_RESERVE_FORECAST - ONE_RESERVE_POLL : 0);
}

/* `always`: not only when it begins. */
static void report_message(const Sample *now, const Sample *previous, const OneOptions *options,
                           const OneReport *report, bool always)
{
    bool remind = now->cycle % LOG_REMIND_CYCLES == 0 || always;
    bool changed = report->tier != (previous ? previous->sent_tier : options->detail);
    if (report->vms_left_out && remind)
        log_warning("OpenNebula's message has room for %u of %u VMs at a time; each gets its turn. Its limit is "
                    "%" G_GSIZE_FORMAT " bytes",
                    now->vms->len - report->vms_left_out, now->vms->len, options->limit);
    else if (report->dropped_keys && (changed || remind))
        log_warning("%u keys dropped (tiers above %u) to keep OpenNebula's message in its limit of %" G_GSIZE_FORMAT
                    " bytes: %u VMs, ours take %" G_GSIZE_FORMAT,
                    report->dropped_keys, report->tier, options->limit, now->vms->len, report->message_bytes);
    if (report->rejected)
        log_error("%u records were not sent, they failed our own check: %s", report->rejected, report->reason);
}

GString *monitor_records(const Config *config, const char *program, Sample *now, const Sample *previous, bool always)
{
    OneOptions options = {
        .detail = (guint)config_integer(config, CONFIG_probe_detail),
        .leave = config_integer(config, CONFIG_probe_mode) == MODE_LEAVE,
        .limit = (gsize)config_integer(config, CONFIG_probe_message_limit),
        .cycle = now->cycle,
    };
    OneReport report;
    set_neighbours(config, program, &options);
    GString *text = one_records_write(now, previous, &options, &report);
    now->sent_tier = report.tier;
    row_set_u64(now->row, METRIC_HOST_DROPPED_KEYS, report.dropped_keys);
    row_set_u64(now->row, METRIC_HOST_MESSAGE_BYTES, report.message_bytes);
    row_set_text(now->row, METRIC_HOST_VERSION, ONE_TELEMETRY_VERSION);
    report_message(now, previous, &options, &report, always);
    one_report_clear(&report);
    return text;
}
