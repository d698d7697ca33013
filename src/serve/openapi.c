/* SPDX-License-Identifier: Apache-2.0
 * The API's description, made from the tables of routes and metrics. */
#include "encode/json_writer.h"
#include "encode/prometheus.h"
#include "serve/openapi_schemas.h"
#include "serve/routes.h"

#include <string.h>

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

/* What a route answers when all is well. */
static const struct {
    guint status;
    const char *media, *type; /* NULL: no content; type: as openapi_type takes it */
    const char *text;         /* media type of the same as text, for who asks for that; NULL: there is none */
} answers[N_ROUTES] = {
    [ROUTE_vm_telemetry] = {200, TYPE_JSON, "VmTelemetry"},
    [ROUTE_live_vms] = {200, TYPE_JSON, "LiveVms"},
    [ROUTE_monitored_vms] = {200, TYPE_JSON, "MonitoredVms"},
    [ROUTE_vms] = {200, TYPE_JSON, "MonitoredVms"},
    [ROUTE_vm_stats] = {200, TYPE_JSON, "VmStats", TYPE_TEXT},
    [ROUTE_status] = {200, TYPE_JSON, "Status"},
    [ROUTE_config] = {200, TYPE_JSON, "ConfigAnswer"},
    [ROUTE_diagnostic] = {200, TYPE_JSON, "Diagnostic"},
    [ROUTE_start] = {200, TYPE_JSON, "Control"},
    [ROUTE_stop] = {200, TYPE_JSON, "Control"},
    [ROUTE_history] = {200, TYPE_JSON, "History"},
    [ROUTE_events] = {200, TYPE_JSON, "Events"},
    [ROUTE_stream] = {200, "text/event-stream; charset=utf-8", "string"},
    [ROUTE_dashboard] = {200, "text/html; charset=utf-8", "string"},
    [ROUTE_dashboard_file] = {200, "*/*", "string"}, /* by the file's ending */
    [ROUTE_openapi] = {200, TYPE_JSON, "object"},
    [ROUTE_metrics] = {200, PROMETHEUS_CONTENT_TYPE, "string"},
    [ROUTE_healthz] = {200, TYPE_JSON, "Healthz"},
    [ROUTE_write_v1] = {204, NULL, NULL},
    [ROUTE_write_v2] = {204, NULL, NULL},
    [ROUTE_write_v3] = {204, NULL, NULL},
    [ROUTE_ping] = {204, NULL, NULL},
    [ROUTE_health] = {200, TYPE_JSON, "Health"},
};

/* What goes wrong with some routes alone. */
static const struct {
    RouteId route;
    const char *status, *description;
} own_errors[] = {
    {ROUTE_vm_stats, "404", "The VM was never seen"},
    {ROUTE_history, "404", "The VM was never seen, or there is nothing to ask"},
    {ROUTE_dashboard_file, "404", "There is no such file"},
    {ROUTE_history, "502", "The database that was asked is away, or refuses"},
    {ROUTE_history, "504", "The database that was asked did not answer in time"},
    {ROUTE_start, "500", "It runs, but that will not be known after a restart"},
    {ROUTE_stop, "500", "It is stopped, but that will not be known after a restart"},
};

static void media_type(JsonWriter *json, const char *media, const char *type)
{
    begin_object(json, media);
    begin_object(json, "schema");
    openapi_type(json, type);
    json_end(json, '}');
    json_end(json, '}');
}

static void content(JsonWriter *json, const char *media, const char *type)
{
    begin_object(json, "content");
    media_type(json, media, type);
    json_end(json, '}');
}

static void good_answer(JsonWriter *json, const Route *route)
{
    const RouteId id = (RouteId)(route - routes);
    char number[12];
    g_snprintf(number, sizeof number, "%u", answers[id].status);
    begin_object(json, number);
    json_text_member(json, "description", route->help);
    if (answers[id].media) {
        begin_object(json, "content");
        media_type(json, answers[id].media, answers[id].type);
        if (answers[id].text)
            media_type(json, answers[id].text, "string");
        json_end(json, '}');
    }
    json_end(json, '}');
}

static void error_answer(JsonWriter *json, const char *status, const char *description, const char *type)
{
    begin_object(json, status);
    json_text_member(json, "description", description);
    content(json, TYPE_JSON, type);
    json_end(json, '}');
}

static void responses(JsonWriter *json, const Route *route)
{
    const bool is_write = strstr(route->path, "write") != NULL;
    begin_object(json, "responses");
    good_answer(json, route);
    error_answer(json, "400", "A parameter, the path or the body is wrong", is_write ? "WriteError" : "Error");
    if (route->access != ACCESS_OPEN) {
        error_answer(json, "401", "No token, or a wrong one", "Error");
        error_answer(json, "403", "The token does not allow it, or a page of another site asks", "Error");
    }
    if (is_write) {
        error_answer(json, "413", "The body is too large", "Error");
        error_answer(json, "415", "The body is packed in a way that is not known", "Error");
    }
    for (guint i = 0; i < G_N_ELEMENTS(own_errors); i++)
        if (&routes[own_errors[i].route] == route)
            error_answer(json, own_errors[i].status, own_errors[i].description, "Error");
    error_answer(json, "503", "Not now: busy, or something it needs is away", "Error");
    error_answer(json, "default", "Anything else that is wrong with a request", "Error");
    json_end(json, '}');
}

static void parameter(JsonWriter *json, const char *name, const char *where)
{
    json_next_element(json);
    json_begin(json, '{');
    json_text_member(json, "name", name);
    json_text_member(json, "in", where);
    json_bool_member(json, "required", strcmp(where, "path") == 0);
    begin_object(json, "schema");
    json_text_member(json, "type", "string");
    json_end(json, '}');
    json_end(json, '}');
}

static void parameters(JsonWriter *json, const Route *route)
{
    g_auto(GStrv) names = g_strsplit(route->parameters, " ", -1);
    const char *variable = route_variable(route);
    begin_array(json, "parameters");
    if (variable) {
        g_autofree char *name = g_strndup(variable + 1, strlen(variable) - 2);
        parameter(json, name, "path");
    }
    for (char **name = names; *name; name++)
        if (**name)
            parameter(json, *name, "query");
    json_end(json, ']');
}

static void security(JsonWriter *json, const Route *route)
{
    static const char *const schemes[] = {[ACCESS_READ] = "readToken", [ACCESS_WRITE] = "writeToken"};
    begin_array(json, "security");
    for (RouteAccess access = route->access; access != ACCESS_OPEN && access <= ACCESS_WRITE; access++) {
        json_next_element(json);
        json_begin(json, '{');
        begin_array(json, schemes[access]);
        json_end(json, ']');
        json_end(json, '}');
    }
    json_end(json, ']');
}

static void body_of_write(JsonWriter *json)
{
    begin_object(json, "requestBody");
    json_text_member(json, "description", "InfluxDB line protocol, plain or with Content-Encoding: gzip");
    content(json, TYPE_TEXT, "string");
    json_end(json, '}');
}

static void operation(JsonWriter *json, const Route *route)
{
    g_autofree char *method = g_ascii_strdown(route->method, -1);
    begin_object(json, route->path);
    begin_object(json, method);
    json_text_member(json, "operationId", route->name);
    json_text_member(json, "summary", route->help);
    parameters(json, route);
    if (strstr(route->path, "write"))
        body_of_write(json);
    responses(json, route);
    security(json, route);
    json_end(json, '}');
    json_end(json, '}');
}

static void security_schemes(JsonWriter *json)
{
    static const char *const names[] = {"readToken", "writeToken"};
    begin_object(json, "securitySchemes");
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        begin_object(json, names[i]);
        json_text_member(json, "type", "http");
        json_text_member(json, "scheme", "bearer");
        json_end(json, '}');
    }
    json_end(json, '}');
}

GString *openapi_write(void)
{
    JsonWriter json = {.out = g_string_new(NULL), .pretty = true};
    json_begin(&json, '{');
    json_text_member(&json, "openapi", "3.0.3");
    begin_object(&json, "info");
    json_text_member(&json, "title", "one-telemetry: telemetryd");
    json_text_member(&json, "version", ONE_TELEMETRY_VERSION);
    json_text_member(
        &json, "description",
        "Telemetry of the VMs of an OpenNebula cloud. All times are ISO 8601 UTC with Z. Tokens are needed "
        "where they are configured. Every GET can be a HEAD. Errors are {error, detail}.");
    json_end(&json, '}');
    begin_object(&json, "paths");
    for (guint i = 0; i < N_ROUTES; i++)
        operation(&json, &routes[i]);
    json_end(&json, '}');
    begin_object(&json, "components");
    openapi_schemas(&json);
    security_schemes(&json);
    json_end(&json, '}');
    json_end(&json, '}');
    g_string_append_c(json.out, '\n');
    return json.out;
}

Reply *route_openapi(Service *service, const Request *request)
{
    (void)service;
    (void)request;
    Reply *reply = reply_json(200, openapi_write());
    reply->cacheable = true;
    return reply;
}
