/* SPDX-License-Identifier: Apache-2.0
 * The API's description, made from the tables of routes and metrics. */
#include "encode/json_writer.h"
#include "encode/prometheus.h"
#include "serve/routes.h"

#include <string.h>

/* --- parts of a schema --- */

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

/* "name": {"type": …, "description": …} */
static void property(JsonWriter *json, const char *name, const char *type, const char *description)
{
    begin_object(json, name);
    json_text_member(json, "type", type);
    json_text_member(json, "description", description);
    json_end(json, '}');
}

static void reference(JsonWriter *json, const char *schema)
{
    g_autofree char *path = g_strconcat("#/components/schemas/", schema, NULL);
    json_text_member(json, "$ref", path);
}

static void array_property(JsonWriter *json, const char *name, const char *schema)
{
    begin_object(json, name);
    json_text_member(json, "type", "array");
    begin_object(json, "items");
    reference(json, schema);
    json_end(json, '}');
    json_end(json, '}');
}

static void begin_schema(JsonWriter *json, const char *name)
{
    begin_object(json, name);
    json_text_member(json, "type", "object");
    begin_object(json, "properties");
}

static void end_schema(JsonWriter *json)
{
    json_end(json, '}');
    json_end(json, '}');
}

/* --- schemas --- */

static void metric_property(JsonWriter *json, Metric m, const char *name)
{
    static const char *const types[] = {"integer", "integer", "number", "string"}; /* by Kind */
    const MetricInfo *info = &metric_info[m];
    const char *unit = unit_name(info->unit);
    begin_object(json, name);
    json_text_member(json, "type", types[info->kind]);
    json_text_member(json, "description", info->help);
    if (*unit)
        json_text_member(json, "x-unit", unit);
    json_end(json, '}');
}

/* One thing with all its figures, by their JSON names. */
static void row_schema(JsonWriter *json, const char *name, Scope scope)
{
    begin_schema(json, name);
    if (scope == SCOPE_VCPU)
        property(json, "vcpu", "integer", "Number of the vCPU");
    for (guint i = 0; i < metric_count(scope); i++) {
        Metric m = metric_first(scope) + i;
        if (metric_info[m].json)
            metric_property(json, m, metric_info[m].json);
    }
    end_schema(json);
}

typedef struct {
    const char *name, *type, *description;
} Field;

static void properties(JsonWriter *json, const Field *fields, guint n)
{
    for (guint i = 0; i < n; i++)
        property(json, fields[i].name, fields[i].type, fields[i].description);
}

static const Field identity[] = {
    {"id", "integer", "libvirt's number of this run of the domain; 0 and named in missing where it is unknown"},
    {"vm_id", "integer", "OpenNebula's number of the VM"},
    {"name", "string", "The domain's name, one-<vm_id>"},
    {"vm_name", "string", "The VM's name in OpenNebula"},
    {"uuid", "string", "The domain's UUID"},
    {"host", "string", "The host it runs on"},
    {"state", "string", "running, blocked, paused, shutdown, shutoff, crashed, suspended, no state or unknown"},
    {"cpu_count", "integer", "vCPUs"},
    {"memory_max", "integer", "KiB it can have at most"},
    {"memory_used", "integer", "KiB it has now"},
    {"cputime", "integer", "Host CPU time it has used, ns"},
};

static const Field telemetry[] = {
    {"cpu_usage_percent", "number", "0 to 100, of all its vCPUs"},
    {"memory_usage_percent", "number", "0 to 100; memory_source says of what"},
    {"disk_read_bytes", "integer", "Read from all disks since the domain started"},
    {"disk_write_bytes", "integer", "Written to all disks"},
    {"network_rx_bytes", "integer", "Received on all interfaces"},
    {"network_tx_bytes", "integer", "Sent on all interfaces"},
    {"cpu_rate", "number", "Change of cpu_usage_percent, in degrees: atan(cpu_per_sec / r45), -90 to 90"},
    {"memory_rate", "number", "Change of memory_usage_percent, in degrees"},
    {"disk_read_rate", "number", "Change of disk_read_bytes, in degrees"},
    {"disk_write_rate", "number", "Change of disk_write_bytes, in degrees"},
    {"network_rx_rate", "number", "Change of network_rx_bytes, in degrees"},
    {"network_tx_rate", "number", "Change of network_tx_bytes, in degrees"},
    {"cpu_per_sec", "number", "Percentage points per second"},
    {"memory_per_sec", "number", "Percentage points per second"},
    {"disk_read_per_sec", "number", "Bytes per second"},
    {"disk_write_per_sec", "number", "Bytes per second"},
    {"network_rx_per_sec", "number", "Bytes per second"},
    {"network_tx_per_sec", "number", "Bytes per second"},
    {"telemetry", "string", "ok, warming_up (one sample so far), stale (the figures are old) or missing (none came)"},
    {"sample_age_seconds", "number", "Age of the figures"},
    {"memory_source", "string", "guest: its own report; balloon: what it was given"},
};

static const Field monitored[] = {
    {"id", "string", "The domain's name"},        {"vm_id", "integer", "OpenNebula's number"},
    {"name", "string", "The domain's name"},      {"uuid", "string", "The domain's UUID"},
    {"host", "string", "Where it was last seen"}, {"source", "string", "libvirt or probes"},
    {"last_seen", "string", "ISO 8601 UTC"},
};

static void vm_schemas(JsonWriter *json)
{
    begin_schema(json, "LiveVm");
    properties(json, identity, G_N_ELEMENTS(identity));
    end_schema(json);
    begin_schema(json, "Vm");
    properties(json, identity, G_N_ELEMENTS(identity));
    properties(json, telemetry, G_N_ELEMENTS(telemetry));
    begin_object(json, "missing");
    json_text_member(json, "type", "array");
    json_text_member(json, "description", "Names of figures that are unknown, and therefore 0");
    begin_object(json, "items");
    json_text_member(json, "type", "string");
    json_end(json, '}');
    json_end(json, '}');
    end_schema(json);
    begin_schema(json, "MonitoredVm");
    properties(json, monitored, G_N_ELEMENTS(monitored));
    end_schema(json);
}

static void stats_schema(JsonWriter *json)
{
    begin_schema(json, "VmStats");
    property(json, "vm_id", "integer", "OpenNebula's number");
    begin_object(json, "metrics");
    json_text_member(json, "type", "object");
    begin_object(json, "properties");
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        if (metric_info[m].line && m != METRIC_VM_STATE)
            metric_property(json, m, metric_info[m].line);
    }
    json_end(json, '}');
    json_end(json, '}');
    array_property(json, "nics", "Nic");
    array_property(json, "disks", "Disk");
    array_property(json, "vcpus", "Vcpu");
    end_schema(json);
}

static void list_schema(JsonWriter *json, const char *name, const char *of)
{
    begin_schema(json, name);
    property(json, "count", "integer", "Length of vms");
    array_property(json, "vms", of);
    end_schema(json);
}

static void schemas(JsonWriter *json)
{
    static const Field error[] = {{"error", "string", "The kind, as one word"},
                                  {"detail", "string", "What is wrong, and what was expected"}};
    begin_object(json, "schemas");
    begin_schema(json, "Error");
    properties(json, error, G_N_ELEMENTS(error));
    end_schema(json);
    vm_schemas(json);
    stats_schema(json);
    row_schema(json, "Nic", SCOPE_NIC);
    row_schema(json, "Disk", SCOPE_DISK);
    row_schema(json, "Vcpu", SCOPE_VCPU);
    list_schema(json, "VmTelemetry", "Vm");
    list_schema(json, "LiveVms", "LiveVm");
    list_schema(json, "MonitoredVms", "MonitoredVm");
    json_end(json, '}');
}

/* --- routes --- */

/* What a route answers when all is well; without a row: a JSON object. */
static const struct {
    RouteId route;
    guint status;
    const char *type, *schema; /* NULL: no content; any object */
} answers[] = {
    {ROUTE_vm_telemetry, 200, TYPE_JSON, "VmTelemetry"},
    {ROUTE_live_vms, 200, TYPE_JSON, "LiveVms"},
    {ROUTE_monitored_vms, 200, TYPE_JSON, "MonitoredVms"},
    {ROUTE_vms, 200, TYPE_JSON, "MonitoredVms"},
    {ROUTE_vm_stats, 200, TYPE_JSON, "VmStats"},
    {ROUTE_stream, 200, "text/event-stream; charset=utf-8", NULL},
    {ROUTE_metrics, 200, PROMETHEUS_CONTENT_TYPE, NULL},
    {ROUTE_write_v1, 204, NULL, NULL},
    {ROUTE_write_v2, 204, NULL, NULL},
    {ROUTE_write_v3, 204, NULL, NULL},
    {ROUTE_ping, 204, NULL, NULL},
};

static void content(JsonWriter *json, const char *type, const char *schema)
{
    begin_object(json, "content");
    begin_object(json, type);
    begin_object(json, "schema");
    if (schema)
        reference(json, schema);
    else
        json_text_member(json, "type", strcmp(type, TYPE_JSON) == 0 ? "object" : "string");
    json_end(json, '}');
    json_end(json, '}');
    json_end(json, '}');
}

static void good_answer(JsonWriter *json, const Route *route)
{
    guint status = 200;
    const char *type = TYPE_JSON, *schema = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(answers); i++)
        if (&routes[answers[i].route] == route) {
            status = answers[i].status;
            type = answers[i].type;
            schema = answers[i].schema;
        }
    char number[12];
    g_snprintf(number, sizeof number, "%u", status);
    begin_object(json, number);
    json_text_member(json, "description", route->help);
    if (type)
        content(json, type, schema);
    json_end(json, '}');
}

static void error_answer(JsonWriter *json, const char *status, const char *description)
{
    begin_object(json, status);
    json_text_member(json, "description", description);
    content(json, TYPE_JSON, "Error");
    json_end(json, '}');
}

static void responses(JsonWriter *json, const Route *route)
{
    begin_object(json, "responses");
    good_answer(json, route);
    error_answer(json, "400", "A parameter, the path or the body is wrong");
    if (route->access != ACCESS_OPEN) {
        error_answer(json, "401", "No token, or a wrong one");
        error_answer(json, "403", "The token does not allow it, or a page of another site asks");
    }
    if (strstr(route->path, "{vm_id}"))
        error_answer(json, "404", "The VM was never seen");
    if (strstr(route->path, "write")) {
        error_answer(json, "413", "The body is too large");
        error_answer(json, "415", "The body is packed in a way that is not known");
    }
    error_answer(json, "503", "Not now: busy, or something it needs is away");
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
    begin_array(json, "parameters");
    if (strstr(route->path, "{vm_id}"))
        parameter(json, "vm_id", "path");
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
    content(json, "text/plain; charset=utf-8", NULL);
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
    schemas(&json);
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
