/* SPDX-License-Identifier: Apache-2.0
 * Starting and stopping the built-in collector. */
#include "base/log.h"
#include "serve/routes.h"
#include "serve/running.h"
#include "serve/status.h"

/* false: it was so already. */
static bool set_running(Service *service, bool running)
{
    g_rw_lock_reader_lock(&service->lock);
    const bool changed = running ? collector_start(service->collector) : collector_stop(service->collector);
    g_rw_lock_reader_unlock(&service->lock);
    if (changed)
        store_origins_anew(service->store);
    return changed;
}

static Reply *control(Service *service, bool running, const char *done, const char *was_so, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_mutex_lock(&service->control_lock);
    const bool changed = set_running(service, running), noted = running_save(service->state_dir, running, &error);
    g_mutex_unlock(&service->control_lock);
    if (changed)
        log_info("the collector is %s, as was asked for through the API", done);
    if (!noted)
        return reply_error(500, "the collector is %s, but that will not be known after a restart: %s", done,
                           error->message);
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_text_member(&json, "status", changed ? done : was_so);
    json_text_member(&json, "message", message);
    if (running) {
        json_next_member(&json, "details");
        json_begin(&json, '{');
        status_members(&json, service);
        json_end(&json, '}');
    }
    json_end(&json, '}');
    g_string_append_c(json.out, '\n');
    return reply_json(200, json.out);
}

Reply *route_start(Service *service, const Request *request)
{
    (void)request;
    return control(service, true, "started", "already_running", "the built-in collector runs");
}

Reply *route_stop(Service *service, const Request *request)
{
    (void)request;
    return control(service, false, "stopped", "not_running", "the built-in collector does not run");
}
