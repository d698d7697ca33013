/* SPDX-License-Identifier: Apache-2.0
 * What was: figures of a VM over time, and events. */
#include "encode/json.h"
#include "base/text.h"
#include "serve/history_source.h"
#include "serve/routes.h"
#include "serve/time_range.h"

#include <string.h>

#define NS_PER_S G_GINT64_CONSTANT(1000000000)
#define METRICS_MAX 32 /* of one query */
#define EVENTS_STANDARD 100
#define EVENTS_MOST 10000
#define HOUR_NS (3600 * NS_PER_S)
#define HOUR_BEFORE_END (-1) /* `from` where none is given */

/* --- parameters --- */

/* `ret` stays as it is where the parameter is missing. */
static bool read_moment(const Request *request, const char *name, gint64 now_ns, gint64 *ret, Reply **ret_reply)
{
    const char *text = target_parameter(request->target, name);
    if (!text || time_range_moment(text, now_ns, ret))
        return true;
    *ret_reply =
        reply_error(400, "%s=%.80s: expected a time, as 2026-11-26T08:00:00Z, 1795680821, -24h or now", name, text);
    return false;
}

static bool read_times(const Request *request, gint64 *from_ns, gint64 *to_ns, Reply **ret_reply)
{
    const gint64 now_ns = service_clock().real_ns;
    if (!read_moment(request, "from", now_ns, from_ns, ret_reply) ||
        !read_moment(request, "to", now_ns, to_ns, ret_reply))
        return false;
    if (*from_ns == HOUR_BEFORE_END)
        *from_ns = MAX(*to_ns - HOUR_NS, 0);
    if (*from_ns < *to_ns)
        return true;
    *ret_reply = reply_error(400, "from has to be before to");
    return false;
}

/* *ret_vm_id stays as it is where `text` is NULL. */
static bool read_vm_id(const char *text, guint64 *ret_vm_id, Reply **ret_reply)
{
    if (!text || route_vm_id(text, ret_vm_id))
        return true;
    *ret_reply = reply_error(400, "\"%.80s\" is no VM: expected OpenNebula's number, as 83 or one-83", text);
    return false;
}

static bool add_metric(GArray *metrics, const char *name, Reply **ret_reply)
{
    const Metric m = history_metric_by_name(name);
    if (m == N_METRICS) {
        *ret_reply = reply_error(400,
                                 "metric \"%.80s\" has no history: expected percentages, rates, latencies or "
                                 "memory of a VM, by the names of docs/metrics.md",
                                 name);
        return false;
    }
    for (guint i = 0; i < metrics->len; i++)
        if (g_array_index(metrics, Metric, i) == m)
            return true;
    g_array_append_val(metrics, m);
    return true;
}

/* Of Metric; NULL: *ret_reply says why. */
static GArray *read_metrics(const Request *request, Reply **ret_reply)
{
    const char *text = target_parameter(request->target, "metric");
    g_auto(GStrv) names = g_strsplit(text && *text ? text : "cpu_usage_percent", ",", METRICS_MAX + 1);
    g_autoptr(GArray) metrics = g_array_new(FALSE, FALSE, sizeof(Metric));
    if (g_strv_length(names) > METRICS_MAX) {
        *ret_reply = reply_error(400, "metric: at most %d at once", METRICS_MAX);
        return NULL;
    }
    for (char **name = names; *name; name++)
        if (!add_metric(metrics, *name, ret_reply))
            return NULL;
    return g_steal_pointer(&metrics);
}

static bool read_step(const Request *request, gint64 *ret_step_ns, Reply **ret_reply)
{
    const char *text = target_parameter(request->target, "step");
    if (!text || time_range_span(text, ret_step_ns))
        return true;
    *ret_reply = reply_error(400, "step=%.80s: expected a time, as 60s, 5m, 1h or 1d", text);
    return false;
}

/* --- the answer --- */

/* The number with the fewest digits that the same float is kept of: 12.3 and not 12.300000190734863. */
static double shortest_of_float(double value)
{
    static const char *const formats[] = {"%.6g", "%.7g", "%.8g"};
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        double shorter = g_ascii_strtod(g_ascii_formatd(text, sizeof text, formats[i], value), NULL);
        if ((float)shorter == (float)value)
            return shorter;
    }
    return value;
}

/* `floats`: they were kept as such. */
static void append_points(JsonWriter *json, const GArray *points, bool floats)
{
    json_next_member(json, "points");
    json_begin(json, '[');
    for (guint i = 0; i < points->len; i++) {
        const HistoryPoint *point = &g_array_index(points, HistoryPoint, i);
        const double values[] = {point->mean, point->min, point->max};
        g_autofree char *time = json_timestamp(point->time_ns);
        json_next_element(json);
        g_string_append_printf(json->out, "[\"%s\"", time);
        for (guint k = 0; k < G_N_ELEMENTS(values); k++) {
            g_string_append_c(json->out, ',');
            json_append_real(json->out, floats ? shortest_of_float(values[k]) : values[k]);
        }
        g_string_append_c(json->out, ']');
    }
    json_end(json, ']');
}

/* `tier`: of our own file; NULL: a database has answered. */
static GString *write_answer(const HistoryQuery *query, const HistoryAnswer *answer, const char *source,
                             const char *tier)
{
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_u64_member(&json, "vm_id", query->vm_id);
    json_text_member(&json, "source", source);
    json_text_or_null_member(&json, "tier", tier);
    json_real_member(&json, "step_seconds", (double)answer->step_ns / (double)NS_PER_S);
    json_time_member(&json, "from", query->from_ns);
    json_time_member(&json, "to", query->to_ns);
    json_next_member(&json, "series");
    json_begin(&json, '[');
    for (guint i = 0; i < answer->n_series; i++) {
        const MetricInfo *info = &metric_info[query->metrics[i]];
        json_next_element(&json);
        json_begin(&json, '{');
        json_text_member(&json, "metric", info->json);
        json_text_member(&json, "field", info->line);
        json_text_member(&json, "unit", unit_name(info->unit));
        append_points(&json, answer->series[i], tier != NULL);
        json_end(&json, '}');
    }
    json_end(&json, ']');
    json_end(&json, '}');
    g_string_append_c(json.out, '\n');
    return json.out;
}

/* --- where from --- */

static Reply *ask_file(Service *service, const HistoryQuery *query)
{
    g_autoptr(GError) error = NULL;
    if (!service->history)
        return reply_error(404, "no history is kept ([history] enabled = no)");
    g_autoptr(HistoryAnswer) answer = history_query(service->history, query, &error);
    if (!answer)
        return reply_error(503, "the history can't be read: %s", error->message);
    return reply_json(200, write_answer(query, answer, "sqlite", history_tier_name(answer->tier)));
}

static Reply *ask_influx(const SinkSettings *sink, const HistoryQuery *query)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(HistoryAnswer) answer = history_source_ask(sink, query, &error);
    if (answer)
        return reply_json(200, write_answer(query, answer, "influx", NULL));
    const bool late = g_error_matches(error, HISTORY_SOURCE_ERROR, HISTORY_SOURCE_ERROR_TIMEOUT);
    return reply_error(late ? 504 : 502, "sink %s: %s", sink->name, error->message);
}

/* `sinks`: of SinkSettings; NULL none. */
static Reply *ask_sink(const GPtrArray *sinks, const char *name, const HistoryQuery *query)
{
    for (guint i = 0; sinks && i < sinks->len; i++) {
        const SinkSettings *sink = g_ptr_array_index(sinks, i);
        if (strcmp(sink->name, name) == 0)
            return ask_influx(sink, query);
    }
    return reply_error(404, "there is no sink called %s to ask ([history] influx)", name);
}

static bool is_known(Service *service, guint64 vm_id)
{
    VmView view;
    if (!store_find(service->store, vm_id, service_clock(), &view))
        return service->history && history_has_vm(service->history, vm_id);
    vm_record_unref(view.record);
    return true;
}

static Reply *ask(Service *service, const Request *request, const HistoryQuery *query)
{
    const char *source = target_parameter(request->target, "source");
    g_rw_lock_reader_lock(&service->lock);
    g_autofree char *influx = g_strdup(config_text(service->config, CONFIG_history_influx));
    /* Of our own: a reload does not wait for a database that is slow. */
    g_autoptr(GPtrArray) sinks = *influx ? sinks_from_config(service->config, NULL) : NULL;
    g_rw_lock_reader_unlock(&service->lock);
    if (source && strcmp(source, "sqlite") != 0 && strcmp(source, "influx") != 0)
        return reply_error(400, "source=%.80s: expected sqlite or influx", source);
    if (source && strcmp(source, "influx") == 0 && !*influx)
        return reply_error(404, "no database is configured to be asked ([history] influx)");
    if (*influx && !(source && strcmp(source, "sqlite") == 0))
        return ask_sink(sinks, influx, query);
    if (!is_known(service, query->vm_id))
        return reply_error(404, "VM %" G_GUINT64_FORMAT " was never seen", query->vm_id);
    return ask_file(service, query);
}

Reply *route_history(Service *service, const Request *request)
{
    Reply *reply = NULL;
    HistoryQuery query = {.from_ns = HOUR_BEFORE_END, .to_ns = service_clock().real_ns};
    if (!read_vm_id(request->id, &query.vm_id, &reply) || !read_times(request, &query.from_ns, &query.to_ns, &reply) ||
        !read_step(request, &query.step_ns, &reply))
        return reply;
    g_autoptr(GArray) metrics = read_metrics(request, &reply);
    if (!metrics)
        return reply;
    query.metrics = (const Metric *)(gpointer)metrics->data;
    query.n_metrics = metrics->len;
    return ask(service, request, &query);
}

/* --- events --- */

static bool read_limit(const Request *request, guint *ret_limit, Reply **ret_reply)
{
    guint64 limit;
    const char *text = target_parameter(request->target, "limit");
    if (!text)
        return true;
    if (text_read_u64(text, &limit) && limit > 0 && limit <= EVENTS_MOST) {
        *ret_limit = (guint)limit;
        return true;
    }
    *ret_reply = reply_error(400, "limit=%.80s: expected a number from 1 to %d", text, EVENTS_MOST);
    return false;
}

static GPtrArray *events_of_store(Store *store, guint64 vm_id, gint64 from_ns, gint64 to_ns, guint limit)
{
    GPtrArray *events = store_events(store, vm_id, STORE_EVENTS_MAX);
    for (guint i = events->len; i-- > 0;) {
        const VmEvent *event = g_ptr_array_index(events, i);
        if (event->time_ns < from_ns || event->time_ns >= to_ns)
            g_ptr_array_remove_index(events, i);
    }
    g_ptr_array_set_size(events, (gint)MIN(events->len, limit));
    return events;
}

Reply *route_events(Service *service, const Request *request)
{
    Reply *reply = NULL;
    guint64 vm_id = EVENTS_OF_ALL;
    guint limit = EVENTS_STANDARD;
    gint64 from_ns = 0, to_ns = LINE_TIME_MAX_NS;
    if (!read_vm_id(target_parameter(request->target, "vm_id"), &vm_id, &reply) ||
        !read_times(request, &from_ns, &to_ns, &reply) || !read_limit(request, &limit, &reply))
        return reply;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) events = service->history
                                      ? history_events(service->history, vm_id, from_ns, to_ns, limit, &error)
                                      : events_of_store(service->store, vm_id, from_ns, to_ns, limit);
    if (!events)
        return reply_error(503, "the history can't be read: %s", error ? error->message : "");
    return reply_json(200, answer_events(events));
}
