/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/openapi_schemas.h"

#include "serve/answers.h"

#include <string.h>

/* type: as openapi_type takes it. name "*": any name may stand there. */
typedef struct {
    const char *name, *type, *description;
} Field;

/* --- VMs --- */

#define ONE_STATES                                                                                                     \
    {"one_state", "string", "OpenNebula's state of it, where an event told"},                                          \
    {                                                                                                                  \
        "one_lcm_state", "string", "OpenNebula's state of its life cycle, where an event told"                         \
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
    {"uname", "string", "Its owner in OpenNebula"},
    {"gname", "string", "Its owner's group"},
    ONE_STATES,
};

static const Field figures[] = {
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
    {"memory_source", "string", "guest: its own report; balloon: what it was given"},
};

static const Field worth[] = {
    {"telemetry", "string", "ok, warming_up (one sample so far), stale (the figures are old) or missing (none came)"},
    {"sample_age_seconds", "number", "Age of the figures"},
    {"source", "string", "libvirt: our own collector; probes: somebody who writes"},
    {"missing", "string[]", "Names of figures that are unknown, and therefore 0"},
};

static const Field monitored[] = {
    {"id", "string", "The domain's name"},        {"vm_id", "integer", "OpenNebula's number"},
    {"name", "string", "The domain's name"},      {"uuid", "string", "The domain's UUID"},
    {"host", "string", "Where it was last seen"}, {"source", "string", "libvirt or probes"},
    {"last_seen", "string", "ISO 8601 UTC"},      {"live", "boolean", "Whether it is in live-vms"},
    {"ended", "string?", "When it ended"},
};

static const Field stats[] = {
    {"vm_id", "integer", "OpenNebula's number"},
    {"name", "string", "The domain's name"},
    {"uuid", "string", "The domain's UUID"},
    {"host", "string", "The host it runs on, or ran"},
    ONE_STATES,
    {"metrics", "VmFigures", "Its figures, by the names of the series vm_totals"},
    {"timestamp", "string?", "Of the figures"},
    {"first_seen", "string?", "When it was first heard of"},
    {"last_seen", "string?", "When it was last heard of"},
    {"ended", "string?", "When it ended"},
    {"nics", "Nic[]", "Its network interfaces"},
    {"disks", "Disk[]", "Its disks"},
    {"vcpus", "Vcpu[]", "Its vCPUs"},
};

static const Field states[] = {
    {"state", "string", "libvirt's word, as in vm-telemetry"},
    {"state_code", "integer", "libvirt's number of it"},
};

/* --- lists --- */

static const Field vm_telemetry[] = {
    {"count", "integer", "Length of vms"},
    {"timestamp", "string?", "When this was put together"},
    {"vms", "Vm[]", "Every VM that runs"},
};
static const Field live_vms[] = {
    {"count", "integer", "Length of vms"},
    {"source", "string", "libvirt where our own collector speaks for all of them, else probes"},
    {"vms", "LiveVm[]", "Every VM that runs"},
};
static const Field monitored_vms[] = {
    {"count", "integer", "Length of vms"},
    {"source", "string", "libvirt where our own collector speaks for all of them, else probes"},
    {"last_collection", "string", "Time of the newest sample, or Never"},
    {"vms", "MonitoredVm[]", "Every VM that was seen"},
};
static const Field events[] = {
    {"count", "integer", "Length of events"},
    {"events", "Event[]", "Newest first"},
};
static const Field event[] = {
    {"time", "string?", "When it was"},
    {"vm_id", "integer", "OpenNebula's number of the VM"},
    {"source", "string", "opennebula: it told; seen: by its figures"},
    {"host", "string?", "Where"},
    {"state", "string?", "OpenNebula's state, or appeared, restarted, moved, ended"},
    {"lcm_state", "string?", "OpenNebula's state of the life cycle"},
    {"vm_name", "string?", "The VM's name in OpenNebula"},
    {"owner", "string?", "Its owner"},
    {"previous_state", "string?", "The state before"},
    {"previous_lcm_state", "string?", "The state of the life cycle before"},
    {"reason", "string?", "Why, or from where to where"},
};
static const Field history[] = {
    {"vm_id", "integer", "OpenNebula's number"},
    {"source", "string", "sqlite or influx"},
    {"tier", "string?", "raw, 1m or 15m: what it was taken from; null: a database"},
    {"step_seconds", "number", "From one point to the next; 0: as the samples came"},
    {"from", "string?", "The first moment asked for"},
    {"to", "string?", "The moment that it ends before"},
    {"series", "Series[]", "One for each metric, in the order asked for"},
};
static const Field series[] = {
    {"metric", "string", "Its name in vm-telemetry or docs/metrics.md"},
    {"field", "string", "Its name in the series vm_totals"},
    {"unit", "string", "Its unit"},
    {"points", "any[][]", "Each [time, mean, min, max]"},
};

/* --- how things stand --- */

#define VERDICT(of)                                                                                                    \
    {"status", "string", of}, {"error", "string?", "What is wrong"},                                                   \
    {                                                                                                                  \
        "advice", "string", "What to do, where it is"                                                                  \
    }

static const Field status[] = {
    {"running", "boolean", "Whether the built-in collector runs"},
    {"started_at", "string?", "Since when"},
    {"total_collections", "integer", "Collections by it"},
    {"total_errors", "integer", "Those that failed"},
    {"last_collection_time", "string?", "When it last had figures"},
    {"vms_monitored", "integer", "VMs that run"},
    {"total_metrics_written", "integer", "Lines that were queued for our own sinks"},
    {"influx_queue_size", "integer", "Batches that wait for our own sinks"},
    {"version", "string", "Of telemetryd"},
    {"up_since", "string?", "When telemetryd was started"},
    {"feed", "Feed", "What came in since"},
    {"history", "HistoryStatus?", "The history's file; null: none is kept"},
    {"forwarding", "Forwarding?", "Our own sinks; null: there are none, or the spool can't be read"},
    {"spool", "Part?", "Whether lines can be queued for our own sinks; null: there are none"},
    {"forwarder", "Part?", "Whether the program that sends them can be started; null: there are no sinks"},
    {"libvirt", "Connection[]", "What the built-in collector asks"},
};
static const Field feed[] = {
    {"samples", "integer", "Collections that had something new"},
    {"vm_samples", "integer", "Samples of single VMs"},
    {"events", "integer", "Changes of state that were seen or told"},
    {"lines", "integer", "Lines of line protocol that came in"},
    {"refused_lines", "integer", "Those that were no line protocol"},
    {"foreign_lines", "integer", "Those of series that are none of ours"},
    {"relayed_lines", "integer", "Lines that were queued for our own sinks"},
    {"relay_failures", "integer", "Bodies that could not be queued"},
    {"returned_lines", "integer",
     "Lines that came through here before (our sinks make a loop), and were not relayed again"},
    {"late", "integer", "Samples of VMs older than what was there"},
    {"doubled", "integer", "Samples of VMs that another source speaks for"},
    {"refused_vms", "integer", "Samples of VMs above the limit of VMs"},
    {"last_sample", "string?", "Time of the last"},
};
static const Field history_status[] = {
    VERDICT("ok or error"),
    {"bytes", "integer", "Size of the file"},
    {"written", "integer", "Samples written since the start"},
    {"dropped", "integer", "Samples that there was no room for"},
    {"queued", "integer", "Samples that wait to be written"},
    {"pending", "integer",
     "Samples that are in the file and in answers, and in no tier yet: that takes some ten minutes"},
    {"set_aside", "string?", "Where a damaged file was set aside at the start"},
    {"tiers", "Tiers", "By name: raw, 1m, 15m"},
};
static const Field tiers[] = {{"*", "Tier", NULL}};
static const Field tier[] = {
    {"rows", "integer", "Rows of the file"},
    {"oldest", "string?",
     "Time of the oldest; null: there is none, or for some ten minutes after the start not looked up"}};
static const Field connection[] = {
    {"uri", "string", "Without a user or password"},
    VERDICT("ok, error, unknown (not yet asked) or stopped (the collector does not run)"),
    {"last_collection", "string?", "When there last were figures"},
    {"vms", "integer", "VMs at that time"},
    {"left_out", "integer", "Domains then that are none of OpenNebula's: whose name is not one-<ID>"},
    {"collect_ms", "number", "How long that took"},
    {"collections", "integer", "Collections"},
    {"errors", "integer", "Those that failed"},
};
static const Field forwarding[] = {
    {"spool", "string?", "Where lines wait"},
    {"running", "boolean", "Whether a forwarder runs"},
    {"sinks", "SinkStatus[]", "Each of our own sinks"},
    {"not_configured", "StrangeQueue[]", "What waits for sinks that are not configured any more"},
};
static const Field part[] = {VERDICT("ok or error")};
static const Field strange_queue[] = {
    {"name", "string", "The sink that it was for"},
    {"queued_batches", "integer", "Batches that wait"},
    {"queued_bytes", "integer", "Their size, compressed"},
    {"oldest_age_seconds", "integer", "Age of the oldest of these"},
    {"dropped_at_age_seconds", "integer?", "At which age they go"},
};
static const Field sink_status[] = {
    {"name", "string", "As in [sink NAME]"},
    {"type", "string", "As configured"},
    {"url", "string", "As configured"},
    {"status", "string", "ok or error: its last attempt failed"},
    {"error", "string?", "Why"},
    {"queued_batches", "integer", "Batches that wait for it"},
    {"queued_bytes", "integer", "Their size, compressed"},
    {"oldest_age_seconds", "integer?", "Age of the oldest of these"},
    {"last_success", "string?", "When it last took something"},
    {"last_error_at", "string?", "When it last did not"},
    {"last_error", "string", "Why; empty: never"},
    {"failures", "integer", "Attempts in a row that failed"},
    {"next_attempt_seconds", "integer?", "When it is tried again"},
    {"sent_batches", "integer", "Batches that it took"},
    {"sent_lines", "integer", "Lines that it took"},
    {"sent_bytes", "integer", "Bytes that it took"},
    {"retried", "integer", "Requests that had to be made again"},
    {"rejected_lines", "integer", "Lines that it refused"},
    {"dropped_batches", "integer", "Batches that had to go, by the queue's limits"},
    {"dropped_bytes", "integer", "Their size"},
    {"bad_batches", "integer", "Batches that were damaged"},
};

static const Field config_answer[] = {{"config", "Config", "What is in effect"}};
static const Field config[] = {
    {"libvirt_uri", "string", "What the built-in collector asks"},
    {"influx_url", "string?", "The first sink's"},
    {"influx_db", "string", "The first sink's database"},
    {"poll_interval", "number", "Seconds between collections"},
    {"batch_max_lines", "integer", "Lines of a request to the first sink"},
    {"file", "string?", "The configuration file; null: none, all is by default"},
    {"state_dir", "string", "Where the history is"},
    {"options", "Options", "Every section, by name"},
};
static const Field options[] = {{"*", "Section", NULL}};
static const Field section[] = {{"*", "Option", NULL}};
static const Field option[] = {{"value", "string", "Without secrets"},
                               {"origin", "string", "File and line, or default"}};

static const Field diagnostic[] = {
    {"status", "string", "success"},
    {"config", "Config", "What is in effect, without the options"},
    {"kvm", "Kvm", "The built-in collector's libvirt, in a word"},
    {"influx", "Influx", "Our own sinks, in a word"},
    {"collector", "CollectorState", "The built-in collector"},
    {"libvirt", "Connection[]", "What it asks"},
    {"hosts", "Host[]", "Every host that figures came of"},
    {"feed", "Feed", "What came in"},
    {"forwarding", "Forwarding?", "Our own sinks"},
    {"spool", "Part?", "Whether lines can be queued for them"},
    {"forwarder", "Part?", "Whether the program that sends them can be started"},
    {"history", "HistoryStatus?", "The history's file"},
    {"clock", "Clock", "This machine's"},
};
static const Field kvm[] = {
    {"status", "string", "connected, error, unknown (not yet asked) or stopped (it does not run)"},
    {"live_vms", "integer", "VMs that run"},
    {"error", "string?", "What is wrong"},
};
static const Field influx[] = {
    {"status", "string", "connected (one has taken something, none is in trouble), error or unknown"},
    {"error", "string?", "What is wrong"},
};
static const Field collector_state[] = {
    {"running", "boolean", "Whether it runs"},
    {"vms_monitored", "integer", "VMs that run"},
};
static const Field host[] = {
    {"host", "string", "Its name in OpenNebula"},
    {"source", "string", "libvirt or probes"},
    VERDICT("ok or error"),
    {"last_sample", "string?", "Time of its last figures"},
    {"age_seconds", "number", "Their age"},
    {"interval_seconds", "number", "From one collection to the next; 0: unknown"},
    {"clock_skew_seconds", "number", "How old figures are when they come; negative: its clock is ahead"},
    {"vms", "integer", "VMs on it"},
    {"figures", "HostFigures", "What its probe says of its own work"},
};
static const Field clock_fields[] = {{"now", "string?", "Our time"}, VERDICT("ok")};

static const Field control[] = {
    {"status", "string", "started, already_running, stopped or not_running"},
    {"message", "string", "The same as a sentence"},
    {"details", "Status", "Of start"},
};
static const Field healthz[] = {{"status", "string", "ok"}, {"version", "string", "Of telemetryd"}};
static const Field health[] = {
    {"name", "string", "telemetryd"},
    {"message", "string", "For people"},
    {"status", "string", "pass"},
    {"version", "string", "Of telemetryd"},
};

/* --- errors --- */

#define ERROR                                                                                                          \
    {"error", "string", "The kind, as one word"},                                                                      \
    {                                                                                                                  \
        "detail", "string", "What is wrong, and what was expected"                                                     \
    }

static const Field error[] = {ERROR};
static const Field write_error[] = {
    ERROR,
    {"data", "RefusedLine[]", "The first of the lines that were not taken; all others were"},
    {"code", "string", "invalid; of /api/v2/write"},
    {"message", "string", "The same as error; of /api/v2/write"},
    {"line", "integer", "The first line that was not taken; of /api/v2/write"},
};
static const Field refused_line[] = {
    {"original_line", "string", "How it begins"},
    {"line_number", "integer", "From 1"},
    {"error_message", "string", "What is wrong with it"},
};

/* --- all of them --- */

#define ALL_OF(fields) fields, G_N_ELEMENTS(fields)

static const struct {
    const char *name;
    const Field *fields;
    guint n;
} tables[] = {
    {"Error", ALL_OF(error)},
    {"WriteError", ALL_OF(write_error)},
    {"RefusedLine", ALL_OF(refused_line)},
    {"VmTelemetry", ALL_OF(vm_telemetry)},
    {"LiveVms", ALL_OF(live_vms)},
    {"MonitoredVms", ALL_OF(monitored_vms)},
    {"MonitoredVm", ALL_OF(monitored)},
    {"Events", ALL_OF(events)},
    {"Event", ALL_OF(event)},
    {"History", ALL_OF(history)},
    {"Series", ALL_OF(series)},
    {"Status", ALL_OF(status)},
    {"Feed", ALL_OF(feed)},
    {"HistoryStatus", ALL_OF(history_status)},
    {"Tiers", ALL_OF(tiers)},
    {"Tier", ALL_OF(tier)},
    {"Connection", ALL_OF(connection)},
    {"Forwarding", ALL_OF(forwarding)},
    {"Part", ALL_OF(part)},
    {"StrangeQueue", ALL_OF(strange_queue)},
    {"SinkStatus", ALL_OF(sink_status)},
    {"ConfigAnswer", ALL_OF(config_answer)},
    {"Config", ALL_OF(config)},
    {"Options", ALL_OF(options)},
    {"Section", ALL_OF(section)},
    {"Option", ALL_OF(option)},
    {"Diagnostic", ALL_OF(diagnostic)},
    {"Kvm", ALL_OF(kvm)},
    {"Influx", ALL_OF(influx)},
    {"CollectorState", ALL_OF(collector_state)},
    {"Host", ALL_OF(host)},
    {"Clock", ALL_OF(clock_fields)},
    {"Control", ALL_OF(control)},
    {"Healthz", ALL_OF(healthz)},
    {"Health", ALL_OF(health)},
};

/* --- writing them --- */

static void begin_object(JsonWriter *json, const char *name)
{
    json_next_member(json, name);
    json_begin(json, '{');
}

static void reference(JsonWriter *json, const char *schema)
{
    g_autofree char *path = g_strconcat("#/components/schemas/", schema, NULL);
    json_text_member(json, "$ref", path);
}

/* Of another schema, or of one of JSON's types. What stands beside a $ref is ignored by its readers, so it stands in an
 * allOf. */
static void one_type(JsonWriter *json, const char *type)
{
    if (!g_ascii_isupper(*type)) {
        if (strcmp(type, "any") != 0)
            json_text_member(json, "type", type);
        return;
    }
    json_next_member(json, "allOf");
    json_begin(json, '[');
    json_next_element(json);
    json_begin(json, '{');
    reference(json, type);
    json_end(json, '}');
    json_end(json, ']');
}

void openapi_type(JsonWriter *json, const char *type)
{
    g_autofree char *of = g_strdup(type);
    guint depth = 0;
    if (g_str_has_suffix(of, "?")) {
        of[strlen(of) - 1] = '\0';
        json_bool_member(json, "nullable", true);
    }
    for (; g_str_has_suffix(of, "[]"); depth++) {
        of[strlen(of) - 2] = '\0';
        json_text_member(json, "type", "array");
        begin_object(json, "items");
    }
    one_type(json, of);
    while (depth-- > 0)
        json_end(json, '}');
}

/* "name": {"type": …, "description": …} */
static void property(JsonWriter *json, const Field *field)
{
    begin_object(json, field->name);
    openapi_type(json, field->type);
    json_text_member(json, "description", field->description);
    json_end(json, '}');
}

static void properties(JsonWriter *json, const Field *fields, guint n)
{
    for (guint i = 0; i < n; i++)
        property(json, &fields[i]);
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

static void table_schema(JsonWriter *json, const char *name, const Field *fields, guint n)
{
    if (strcmp(fields[0].name, "*") != 0) {
        begin_schema(json, name);
        properties(json, fields, n);
        end_schema(json);
        return;
    }
    begin_object(json, name);
    json_text_member(json, "type", "object");
    begin_object(json, "additionalProperties");
    openapi_type(json, fields[0].type);
    end_schema(json);
}

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
    static const Field number = {"vcpu", "integer", "Number of the vCPU"};
    begin_schema(json, name);
    if (scope == SCOPE_VCPU)
        property(json, &number);
    for (guint i = 0; i < metric_count(scope); i++) {
        Metric m = metric_first(scope) + i;
        if (metric_info[m].json)
            metric_property(json, m, metric_info[m].json);
    }
    end_schema(json);
}

static void vm_schemas(JsonWriter *json)
{
    begin_schema(json, "LiveVm");
    properties(json, identity, G_N_ELEMENTS(identity));
    property(json, &worth[0]);
    end_schema(json);
    begin_schema(json, "Vm");
    properties(json, identity, G_N_ELEMENTS(identity));
    properties(json, figures, G_N_ELEMENTS(figures));
    for (guint i = 0; i < ANSWER_MORE; i++)
        metric_property(json, answer_more[i], metric_info[answer_more[i]].json);
    properties(json, worth, G_N_ELEMENTS(worth));
    end_schema(json);
}

static void stats_schemas(JsonWriter *json)
{
    begin_schema(json, "VmStats");
    properties(json, stats, G_N_ELEMENTS(stats));
    properties(json, worth, G_N_ELEMENTS(worth));
    end_schema(json);
    begin_schema(json, "VmFigures");
    properties(json, states, G_N_ELEMENTS(states));
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        if (metric_info[m].line && m != METRIC_VM_STATE)
            metric_property(json, m, metric_info[m].line);
    }
    end_schema(json);
}

void openapi_schemas(JsonWriter *json)
{
    begin_object(json, "schemas");
    vm_schemas(json);
    stats_schemas(json);
    row_schema(json, "Nic", SCOPE_NIC);
    row_schema(json, "Disk", SCOPE_DISK);
    row_schema(json, "Vcpu", SCOPE_VCPU);
    row_schema(json, "HostFigures", SCOPE_HOST);
    for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
        table_schema(json, tables[i].name, tables[i].fields, tables[i].n);
    json_end(json, '}');
}
