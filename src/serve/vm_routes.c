/* SPDX-License-Identifier: Apache-2.0
 * What the API says of VMs now. */
#include "encode/line_protocol.h"
#include "serve/outage.h"
#include "serve/routes.h"

#include <string.h>

static Reply *rendered(BodyWriter *out)
{
    Reply *reply = reply_of_body(200, TYPE_JSON, out);
    reply->cacheable = true;
    return reply;
}

Reply *route_vm_telemetry(Service *service, const Request *request)
{
    (void)request;
    StoreClock now = service_clock();
    g_autoptr(GArray) views = store_list(service->store, STORE_LIVE, now);
    g_autofree char *cause = outage_cause(service, views, now);
    if (cause)
        return outage_reply(cause);
    const AnswerOptions options = feed_answers(service->feed);
    BodyWriter out;
    body_begin(&out);
    answer_vm_telemetry(&out, views, &options, now.real_ns);
    return rendered(&out);
}

Reply *route_live_vms(Service *service, const Request *request)
{
    (void)request;
    StoreClock now = service_clock();
    g_autoptr(GArray) views = store_list(service->store, STORE_LIVE, now);
    g_autofree char *cause = outage_cause(service, views, now);
    if (cause)
        return outage_reply(cause);
    BodyWriter out;
    body_begin(&out);
    answer_live_vms(&out, views);
    return rendered(&out);
}

Reply *route_monitored_vms(Service *service, const Request *request)
{
    (void)request;
    g_autoptr(GArray) views = store_list(service->store, STORE_ALL, service_clock());
    BodyWriter out;
    body_begin(&out);
    answer_monitored_vms(&out, views);
    return rendered(&out);
}

Reply *route_vms(Service *service, const Request *request)
{
    return route_monitored_vms(service, request);
}

/* The figures as they were sent, or collected: what is known from before (record->known) is not of this time. Nothing
 * of a VM without figures: its points would have no time. */
static Reply *stats_as_lines(const VmRecord *record)
{
    g_autoptr(Sample) sample = sample_new();
    g_ptr_array_set_free_func(sample->vms, NULL); /* it belongs to the record */
    sample->host = g_strdup(record->host);
    sample->realtime_ns = record->time_ns;
    if (record->time_ns != 0)
        g_ptr_array_add(sample->vms, record->sample);
    GString *lines = line_protocol_write(sample, SERIES_TOTALS | SERIES_DEVICES | SERIES_VCPUS | SERIES_INFO);
    return reply_new(200, TYPE_TEXT, g_string_free_to_bytes(lines));
}

Reply *route_vm_stats(Service *service, const Request *request)
{
    guint64 vm_id;
    VmView view;
    const char *format = target_parameter(request->target, "format");
    const bool as_lines = g_strcmp0(format, "line") == 0;
    if (format && !as_lines && strcmp(format, "json") != 0)
        return reply_error(400, "format \"%.80s\" is not known: expected json or line", format);
    if (!route_vm_id(request->id, &vm_id))
        return reply_error(400, "\"%.80s\" is no VM: expected OpenNebula's number, as 83 or one-83", request->id);
    if (!store_find(service->store, vm_id, service_clock(), &view))
        return reply_error(404, "VM %" G_GUINT64_FORMAT " was never seen", vm_id);
    Reply *reply = as_lines ? stats_as_lines(view.record) : reply_json(200, answer_vm_stats(&view));
    vm_record_unref(view.record);
    return reply;
}
