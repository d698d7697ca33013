/* SPDX-License-Identifier: Apache-2.0
 * /metrics: all VMs, hosts and the endpoint itself in Prometheus's text format. Figures of a VM that are old are left
 * out, as a scraper would take them for those of now; one_vm_telemetry says so. */
#include "encode/prometheus.h"
#include "base/text.h"
#include "serve/routes.h"

/* --- VMs and hosts, as samples --- */

static void keep_vm(gpointer vm)
{
    (void)vm; /* it belongs to the store */
}

/* The sample of that host, made where there is none yet. Its VMs and rows are borrowed. */
static Sample *sample_of(GHashTable *by_host, GPtrArray *samples, const char *host)
{
    Sample *sample = g_hash_table_lookup(by_host, host);
    if (sample)
        return sample;
    sample = sample_new();
    g_ptr_array_set_free_func(sample->vms, keep_vm);
    sample->host = g_strdup(host);
    g_hash_table_insert(by_host, sample->host, sample);
    g_ptr_array_add(samples, sample);
    return sample;
}

static void add_host(Sample *sample, const HostView *host)
{
    metric_row_merge(sample->row, host->row, true);
    sample->realtime_ns = MAX(sample->realtime_ns, host->time_ns);
    const bool has_sinks = sample->sinks->len > 0; /* of the same host by another source */
    for (guint i = 0; i < host->sinks->len && !has_sinks; i++) {
        const SinkSample *sink = g_ptr_array_index(host->sinks, i);
        metric_row_merge(sample_add_sink(sample, sink->name), sink->row, false);
    }
}

static void relieve(gpointer writer)
{
    body_relieve(writer);
}

static void append_figures(BodyWriter *out, const GArray *views, const GPtrArray *hosts)
{
    g_autoptr(GHashTable) by_host = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) samples = g_ptr_array_new_with_free_func((GDestroyNotify)sample_free);
    for (guint i = 0; i < hosts->len; i++) {
        const HostView *host = g_ptr_array_index(hosts, i);
        add_host(sample_of(by_host, samples, host->host), host);
    }
    for (guint i = 0; i < views->len; i++) {
        const VmView *view = &g_array_index(views, VmView, i);
        if (view->telemetry == TELEMETRY_OK || view->telemetry == TELEMETRY_WARMING_UP)
            g_ptr_array_add(sample_of(by_host, samples, view->record->host ? view->record->host : "")->vms,
                            view->record->sample);
    }
    prometheus_write_parts(out->text, (const Sample *const *)samples->pdata, samples->len, relieve, out);
}

/* --- how good they are --- */

static void family(GString *out, const char *name, const char *type, const char *help)
{
    g_string_append_printf(out, "# HELP %s ", name);
    prometheus_append_help(out, help);
    g_string_append_printf(out, "\n# TYPE %s %s\n", name, type);
}

static void vm_labels(GString *out, const char *name, const VmRecord *record)
{
    g_string_append_printf(out, "%s{vm_id=\"%" G_GUINT64_FORMAT "\"", name, record->vm_id);
    if (record->host && *record->host) {
        g_string_append(out, ",host=\"");
        prometheus_append_label_value(out, record->host);
        g_string_append_c(out, '"');
    }
}

static void append_worth(GString *out, const GArray *views)
{
    if (views->len == 0)
        return;
    family(out, "one_vm_telemetry", "gauge", "What the VM's figures are worth, as label telemetry; always 1");
    for (guint i = 0; i < views->len; i++) {
        const VmView *view = &g_array_index(views, VmView, i);
        vm_labels(out, "one_vm_telemetry", view->record);
        g_string_append_printf(out, ",telemetry=\"%s\"} 1\n", telemetry_name(view->telemetry));
    }
    family(out, "one_vm_sample_age_seconds", "gauge", "Age of the VM's figures");
    for (guint i = 0; i < views->len; i++) {
        const VmView *view = &g_array_index(views, VmView, i);
        if (view->telemetry == TELEMETRY_MISSING)
            continue;
        vm_labels(out, "one_vm_sample_age_seconds", view->record);
        g_string_append(out, "} ");
        text_append_real(out, (double)view->age_ms / 1000);
        g_string_append_c(out, '\n');
    }
}

/* --- ourselves --- */

static void own(GString *out, const char *name, const char *type, const char *help, guint64 value)
{
    g_autofree char *full = g_strconcat("one_telemetryd_", name, NULL);
    family(out, full, type, help);
    g_string_append_printf(out, "%s ", full);
    text_append_u64(out, value);
    g_string_append_c(out, '\n');
}

static void append_feed(GString *out, Service *service)
{
    FeedStatus feed;
    feed_status(service->feed, &feed);
    own(out, "samples_total", "counter", "Collections that had something new", feed.samples);
    own(out, "vm_samples_total", "counter", "Samples of single VMs that were taken", feed.vm_samples);
    own(out, "events_total", "counter", "Changes of state that were seen or told", feed.events);
    own(out, "lines_total", "counter", "Lines of line protocol that came in", feed.lines);
    own(out, "refused_lines_total", "counter", "Lines that were no line protocol", feed.refused_lines);
    own(out, "foreign_lines_total", "counter", "Lines of series that are none of ours", feed.foreign_lines);
    own(out, "relayed_lines_total", "counter", "Lines that were queued for our own sinks", feed.relayed_lines);
    own(out, "relay_failures_total", "counter", "Bodies that could not be queued for our own sinks",
        feed.relay_failures);
    own(out, "returned_lines_total", "counter", "Lines that came through here before, and were not passed on again",
        feed.returned_lines);
    own(out, "late_samples_total", "counter", "Samples of VMs older than what was there", feed.late);
    own(out, "doubled_samples_total", "counter", "Samples of VMs that another source speaks for", feed.doubled);
    own(out, "refused_vms_total", "counter", "Samples of VMs above the limit of VMs", feed.refused_vms);
}

static void append_history(GString *out, Service *service)
{
    if (!service->history)
        return;
    HistoryStatus status;
    history_status(service->history, &status);
    own(out, "history_bytes", "gauge", "Size of the history's file", status.bytes);
    own(out, "history_written_total", "counter", "Samples that were written to the history", status.written);
    own(out, "history_dropped_total", "counter", "Samples that the history had no room for", status.dropped);
    own(out, "history_queued", "gauge", "Samples that wait to be written", status.queued);
    own(out, "history_failing", "gauge", "1: the history is not written now", status.error != NULL);
    history_status_clear(&status);
}

static void append_collector(GString *out, Service *service)
{
    CollectorStatus status;
    g_rw_lock_reader_lock(&service->lock);
    collector_status(service->collector, &status);
    g_rw_lock_reader_unlock(&service->lock);
    own(out, "collector_running", "gauge", "1: the built-in collector runs", status.running);
    own(out, "collections_total", "counter", "Collections by the built-in collector", status.collections);
    own(out, "collection_errors_total", "counter", "Collections of the built-in collector that failed", status.errors);
    collector_status_clear(&status);
}

static void append_info(GString *out)
{
    family(out, "one_telemetryd_info", "gauge", "Version of the endpoint, as a label; always 1");
    g_string_append(out, "one_telemetryd_info{version=\"" ONE_TELEMETRY_VERSION "\"} 1\n");
}

Reply *route_metrics(Service *service, const Request *request)
{
    (void)request;
    const StoreClock now = service_clock();
    g_autoptr(GArray) views = store_list(service->store, STORE_LIVE, now);
    g_autoptr(GPtrArray) hosts = store_hosts(service->store, now);
    BodyWriter out;
    body_begin(&out);
    append_figures(&out, views, hosts);
    append_worth(out.text, views);
    append_info(out.text);
    append_feed(out.text, service);
    append_history(out.text, service);
    append_collector(out.text, service);
    Reply *reply = reply_of_body(200, PROMETHEUS_CONTENT_TYPE, &out);
    reply->cacheable = true;
    return reply;
}
