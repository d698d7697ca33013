/* SPDX-License-Identifier: Apache-2.0
 * What the API says of VMs now. */
#include "serve/routes.h"

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
    const AnswerOptions options = feed_answers(service->feed);
    BodyWriter out;
    body_begin(&out);
    answer_vm_telemetry(&out, views, &options, now.real_ns);
    return rendered(&out);
}

Reply *route_live_vms(Service *service, const Request *request)
{
    (void)request;
    g_autoptr(GArray) views = store_list(service->store, STORE_LIVE, service_clock());
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

Reply *route_vm_stats(Service *service, const Request *request)
{
    guint64 vm_id;
    VmView view;
    if (!route_vm_id(request->id, &vm_id))
        return reply_error(400, "\"%.80s\" is no VM: expected OpenNebula's number, as 83 or one-83", request->id);
    if (!store_find(service->store, vm_id, service_clock(), &view))
        return reply_error(404, "VM %" G_GUINT64_FORMAT " was never seen", vm_id);
    Reply *reply = reply_json(200, answer_vm_stats(&view));
    vm_record_unref(view.record);
    return reply;
}
