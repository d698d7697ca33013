/* SPDX-License-Identifier: Apache-2.0
 * How things stand, for people and scripts: /status, /config, /diagnostic, /healthz. */
#include "base/text.h"
#include "encode/json.h"
#include "serve/forwarding.h"
#include "serve/routes.h"
#include "serve/status.h"

#include <string.h>

#define SKEW_MAX_MS 5000 /* a clock that is further off than this is complained of */

static void begin_object(JsonWriter *json, const char *name)
{
    json_next_member(json, name);
    json_begin(json, '{');
}

static void begin_array(JsonWriter *json, const char *name)
{
    json_next_member(json, name);
    json_begin(json, '[');
}

void status_verdict(JsonWriter *json, const char *problem, const char *advice)
{
    json_text_member(json, "status", problem ? "error" : "ok");
    json_text_or_null_member(json, "error", problem);
    if (problem && advice)
        json_text_member(json, "advice", advice);
}

/* --- the collector --- */

static void collector_status_of(Service *service, CollectorStatus *ret_status)
{
    g_rw_lock_reader_lock(&service->lock);
    collector_status(service->collector, ret_status);
    g_rw_lock_reader_unlock(&service->lock);
}

static const char advice_libvirt[] =
    "does libvirtd run there, and may this user use it? try: virsh -c URI list; the collector tries again at each tick";

static const char advice_start[] = "nothing is asked for: POST /api/telemetry/start";

/* Whatever a connection said before the collector was stopped is not said of now. */
static void uri_verdict(JsonWriter *json, const CollectorStatus *status, const CollectorUri *uri)
{
    g_autofree char *problem = status->running && uri->error ? text_without_users(uri->error) : NULL;
    if (problem || (status->running && uri->ok)) {
        status_verdict(json, problem, advice_libvirt);
        return;
    }
    json_text_member(json, "status", status->running ? "unknown" : "stopped");
    json_text_or_null_member(json, "error", NULL);
    if (!status->running)
        json_text_member(json, "advice", advice_start);
}

static void uris_member(JsonWriter *json, const CollectorStatus *status)
{
    begin_array(json, "libvirt");
    for (guint i = 0; i < status->uris->len; i++) {
        const CollectorUri *uri = g_ptr_array_index(status->uris, i);
        json_next_element(json);
        json_begin(json, '{');
        g_autofree char *place = text_without_users(uri->uri);
        json_text_member(json, "uri", place);
        uri_verdict(json, status, uri);
        json_time_member(json, "last_collection", uri->last_ns);
        json_u64_member(json, "vms", uri->vms);
        json_u64_member(json, "left_out", uri->left_out);
        json_real_member(json, "collect_ms", uri->collect_ms);
        json_u64_member(json, "collections", uri->collections);
        json_u64_member(json, "errors", uri->errors);
        json_end(json, '}');
    }
    json_end(json, ']');
}

/* --- /status --- */

static void feed_members(JsonWriter *json, const FeedStatus *feed)
{
    begin_object(json, "feed");
    json_u64_member(json, "samples", feed->samples);
    json_u64_member(json, "vm_samples", feed->vm_samples);
    json_u64_member(json, "events", feed->events);
    json_u64_member(json, "lines", feed->lines);
    json_u64_member(json, "refused_lines", feed->refused_lines);
    json_u64_member(json, "foreign_lines", feed->foreign_lines);
    json_u64_member(json, "relayed_lines", feed->relayed_lines);
    json_u64_member(json, "relay_failures", feed->relay_failures);
    json_u64_member(json, "returned_lines", feed->returned_lines);
    json_u64_member(json, "late", feed->late);
    json_u64_member(json, "doubled", feed->doubled);
    json_u64_member(json, "refused_vms", feed->refused_vms);
    json_time_member(json, "last_sample", feed->last_ns);
    json_end(json, '}');
}

static void history_member(JsonWriter *json, Service *service)
{
    json_next_member(json, "history");
    if (!service->history) {
        g_string_append(json->out, "null");
        return;
    }
    HistoryStatus status;
    history_status(service->history, &status);
    json_begin(json, '{');
    status_verdict(json, status.error,
                   "is the disk full, or the file not ours? figures go on being served from memory");
    json_u64_member(json, "bytes", status.bytes);
    json_u64_member(json, "written", status.written);
    json_u64_member(json, "dropped", status.dropped);
    json_u64_member(json, "queued", status.queued);
    json_u64_member(json, "pending", status.pending);
    json_text_or_null_member(json, "set_aside", status.set_aside);
    begin_object(json, "tiers");
    for (int tier = 0; tier < N_TIERS; tier++) {
        begin_object(json, history_tier_name((HistoryTier)tier));
        json_u64_member(json, "rows", status.rows[tier]);
        json_time_member(json, "oldest", status.oldest_ns[tier]);
        json_end(json, '}');
    }
    json_end(json, '}');
    json_end(json, '}');
    history_status_clear(&status);
}

static guint count_live(Service *service)
{
    g_autoptr(GArray) views = store_list(service->store, STORE_LIVE, service_clock());
    return views->len;
}

void status_members(JsonWriter *json, Service *service)
{
    CollectorStatus collector;
    FeedStatus feed;
    ForwardingStatus sinks;
    collector_status_of(service, &collector);
    feed_status(service->feed, &feed);
    forwarding_read(service->feed, &sinks);

    json_bool_member(json, "running", collector.running);
    json_time_member(json, "started_at", collector.started_ns);
    json_u64_member(json, "total_collections", collector.collections);
    json_u64_member(json, "total_errors", collector.errors);
    json_time_member(json, "last_collection_time", collector.last_ns);
    json_u64_member(json, "vms_monitored", count_live(service));
    json_u64_member(json, "total_metrics_written", feed.relayed_lines);
    json_u64_member(json, "influx_queue_size", sinks.sum.batches);
    json_text_member(json, "version", ONE_TELEMETRY_VERSION);
    json_time_member(json, "up_since", service->started_ns);
    feed_members(json, &feed);
    history_member(json, service);
    forwarding_members(json, &sinks);
    uris_member(json, &collector);
    forwarding_clear(&sinks);
    collector_status_clear(&collector);
}

static Reply *finish(JsonWriter *json, guint status)
{
    json_end(json, '}');
    g_string_append_c(json->out, '\n');
    return reply_json(status, json->out);
}

Reply *route_status(Service *service, const Request *request)
{
    (void)request;
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    status_members(&json, service);
    return finish(&json, 200);
}

/* --- /config --- */

static void option_member(JsonWriter *json, const Config *config, ConfigOption option)
{
    g_autofree char *value = text_without_users(config_written(config, option));
    begin_object(json, option_info[option].key);
    json_text_member(json, "value", value);
    json_text_member(json, "origin", config_origin(config, option));
    json_end(json, '}');
}

static void section_members(JsonWriter *json, const Config *config, const char *section)
{
    for (int option = 0; option < N_OPTIONS; option++)
        if (strcmp(option_info[option].section, section) == 0)
            option_member(json, config, (ConfigOption)option);
}

static void options_member(JsonWriter *json, const Config *config)
{
    begin_object(json, "options");
    for (int option = 0; option < N_OPTIONS; option++) {
        const char *section = option_info[option].section;
        if ((option > 0 && strcmp(option_info[option - 1].section, section) == 0) || named_section_find(section))
            continue;
        begin_object(json, section);
        section_members(json, config, section);
        json_end(json, '}');
    }
    for (const char *const *name = config_names(config, "sink"); *name; name++) {
        g_autofree char *title = g_strconcat("sink ", *name, NULL);
        begin_object(json, title);
        section_members(json, config_named(config, "sink", *name), "sink");
        json_end(json, '}');
    }
    json_end(json, '}');
}

/* The names that the endpoint of old had, as far as there is something like it. */
static void old_members(JsonWriter *json, const Config *config)
{
    const char *const *sinks = config_names(config, "sink");
    const Config *sink = *sinks ? config_named(config, "sink", *sinks) : NULL;
    g_autofree char *uri = text_without_users(config_text(config, CONFIG_collector_uris));
    json_text_member(json, "libvirt_uri", uri);
    json_text_or_null_member(json, "influx_url", sink ? config_text(sink, CONFIG_sink_url) : NULL);
    json_text_member(json, "influx_db", sink ? config_text(sink, CONFIG_sink_database) : "");
    json_real_member(json, "poll_interval", config_seconds(config, CONFIG_collector_interval));
    json_i64_member(json, "batch_max_lines", sink ? config_integer(sink, CONFIG_sink_lines) : 0);
}

static void config_members(JsonWriter *json, Service *service, bool with_options)
{
    g_rw_lock_reader_lock(&service->lock);
    begin_object(json, "config");
    old_members(json, service->config);
    json_text_or_null_member(json, "file", service->config_file);
    json_text_member(json, "state_dir", service->state_dir);
    if (with_options)
        options_member(json, service->config);
    json_end(json, '}');
    g_rw_lock_reader_unlock(&service->lock);
}

Reply *route_config(Service *service, const Request *request)
{
    (void)request;
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    config_members(&json, service, true);
    return finish(&json, 200);
}

/* --- /diagnostic --- */

static const char *kvm_word(const CollectorStatus *status, const char *problem)
{
    if (!status->running)
        return "stopped";
    return problem ? "error" : status->last_ns ? "connected" : "unknown";
}

static char *kvm_problem(const CollectorStatus *status)
{
    for (guint i = 0; status->running && i < status->uris->len; i++) {
        const CollectorUri *uri = g_ptr_array_index(status->uris, i);
        if (uri->error)
            return text_without_users(uri->error);
    }
    return NULL;
}

static void kvm_member(JsonWriter *json, Service *service, const CollectorStatus *status)
{
    g_autofree char *problem = kvm_problem(status);
    begin_object(json, "kvm");
    json_text_member(json, "status", kvm_word(status, problem));
    json_u64_member(json, "live_vms", count_live(service));
    json_text_or_null_member(json, "error", problem);
    json_end(json, '}');
}

static char *skew_problem(const HostView *host)
{
    if (ABS(host->skew_ms) <= SKEW_MAX_MS)
        return NULL;
    g_autofree char *span = text_span(ABS(host->skew_ms) / 1000);
    return host->skew_ms < 0
               ? g_strdup_printf("its clock is ahead of ours by %s", span)
               : g_strdup_printf("its samples are %s old when they come: its clock is behind ours, or its "
                                 "forwarder is",
                                 span);
}

static char *host_problem(const HostView *host)
{
    if (host->failing)
        return g_strdup("its collector fails, see libvirt");
    if (!host->stale)
        return skew_problem(host);
    g_autofree char *span = text_span(host->age_ms / 1000);
    return g_strdup_printf("nothing new has come for %s", span);
}

static const char advice_host[] =
    "on the host: forward --status says what waits and why; journalctl -t one-telemetry what the probe says; here: the "
    "sink's url and token";

/* What is fed by our own collector has no probe, no forwarder and no way over the network. */
static const char advice_collected[] =
    "the built-in collector is to look at it: see collector (running? POST /api/telemetry/start) and libvirt (virsh -c "
    "URI list; is its URI still in [collector] uris?)";

static void hosts_member(JsonWriter *json, Service *service)
{
    g_autoptr(GPtrArray) hosts = store_hosts(service->store, service_clock());
    begin_array(json, "hosts");
    for (guint i = 0; i < hosts->len; i++) {
        const HostView *host = g_ptr_array_index(hosts, i);
        g_autofree char *problem = host_problem(host);
        json_next_element(json);
        json_begin(json, '{');
        json_text_member(json, "host", host->host);
        json_text_member(json, "source", store_source_name(host->source));
        status_verdict(json, problem, host->source == SOURCE_COLLECTOR ? advice_collected : advice_host);
        json_time_member(json, "last_sample", host->time_ns);
        json_real_member(json, "age_seconds", (double)host->age_ms / 1000);
        json_real_member(json, "interval_seconds", (double)host->interval_ms / 1000);
        json_real_member(json, "clock_skew_seconds", (double)host->skew_ms / 1000);
        json_u64_member(json, "vms", host->vms);
        begin_object(json, "figures");
        json_row_members(json, host->row);
        json_end(json, '}');
        json_end(json, '}');
    }
    json_end(json, ']');
}

static void collector_member(JsonWriter *json, Service *service, const CollectorStatus *status)
{
    begin_object(json, "collector");
    json_bool_member(json, "running", status->running);
    json_u64_member(json, "vms_monitored", count_live(service));
    json_end(json, '}');
}

static void clock_member(JsonWriter *json)
{
    begin_object(json, "clock");
    json_time_member(json, "now", g_get_real_time() * 1000);
    status_verdict(json, NULL, NULL);
    json_end(json, '}');
}

Reply *route_diagnostic(Service *service, const Request *request)
{
    (void)request;
    CollectorStatus collector;
    ForwardingStatus sinks;
    FeedStatus feed;
    collector_status_of(service, &collector);
    forwarding_read(service->feed, &sinks);
    feed_status(service->feed, &feed);

    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_text_member(&json, "status", "success");
    config_members(&json, service, false);
    kvm_member(&json, service, &collector);
    forwarding_influx_member(&json, &sinks);
    collector_member(&json, service, &collector);
    uris_member(&json, &collector);
    hosts_member(&json, service);
    feed_members(&json, &feed);
    forwarding_members(&json, &sinks);
    history_member(&json, service);
    clock_member(&json);
    forwarding_clear(&sinks);
    collector_status_clear(&collector);
    return finish(&json, 200);
}

/* --- /healthz --- */

/* The endpoint itself: that libvirt or a sink is away is told by /diagnostic, and no reason to restart us. */
Reply *route_healthz(Service *service, const Request *request)
{
    (void)request;
    g_autofree char *problem = NULL;
    if (service->history) {
        HistoryStatus status;
        history_status(service->history, &status);
        problem = g_strdup(status.error);
        history_status_clear(&status);
    }
    if (problem)
        return reply_error(503, "the history is not written: %s", problem);
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_text_member(&json, "status", "ok");
    json_text_member(&json, "version", ONE_TELEMETRY_VERSION);
    return finish(&json, 200);
}
