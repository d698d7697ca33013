/* SPDX-License-Identifier: Apache-2.0
 * Prints what is made from the tables: docs/metrics.md, the sample configuration and its man page, docs/api.md and
 * share/openapi.json, and for programs a list of the series (measurement, tag or field, name, kind, unit, between
 * tabs). */
#include "base/config.h"
#include "encode/prometheus.h"
#include "model/metrics.h"
#include "serve/routes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const scope_titles[N_SCOPES] = {
    "Virtual machine", "Virtual CPU", "Network interface", "Disk", "Host", "Sink"};
static const char *const scope_notes[N_SCOPES] = {
    [SCOPE_VM] = "Line protocol: fields of `vm_totals` (texts that are read once per start: of `vm_info`), tags VMID, "
                 "name, uuid, host.\n"
                 "Prometheus: labels vm_id and host; `one_vm_info` also name and uuid.",
    [SCOPE_VCPU] = "Line protocol: fields of `vm_vcpus`, with the tag vcpu besides those of `vm_totals`.\n"
                   "Prometheus: labels vm_id, host, vcpu.",
    [SCOPE_NIC] = "Line protocol: fields of `vm_devices`, with the tags devtype=nic, device, mac and bridge besides "
                  "those of `vm_totals`.\n"
                  "Prometheus: labels vm_id, host, device.",
    [SCOPE_DISK] = "Line protocol: fields of `vm_devices`, with the tags devtype=disk, device and path besides those "
                   "of `vm_totals`.\n"
                   "Prometheus: labels vm_id, host, device.",
    [SCOPE_HOST] =
        "Line protocol: fields of `host_totals`, tag host: what the pipeline itself did.\n"
        "Prometheus: label host; `one_host_sample_timestamp_seconds` says when the host's figures were collected.",
    [SCOPE_SINK] = "Line protocol: fields of `host_totals`, with the tag sink besides host: what became of the batches "
                   "for each sink,\n"
                   "as the host knew when it made the point. Prometheus: labels host, sink.",
};
static const char *const scope_keys[N_SCOPES] = {"", "vcpu.N.", "net.N.", "block.N.", "", ""};

static char *source(const MetricInfo *info)
{
    switch (info->origin) {
    case ORIGIN_KEY:
        return g_strdup_printf("libvirt `%s%s`", scope_keys[info->scope], info->key);
    case ORIGIN_OWN:
        return g_strdup_printf("`%s%s`", scope_keys[info->scope], info->key);
    case ORIGIN_SUM:
        return g_strdup_printf("sum of %s over the devices", metric_info[info->of].name);
    case ORIGIN_RATE:
        return g_strdup_printf("change of %s per second", metric_info[info->of].name);
    case ORIGIN_MEAN_MS:
        return g_strdup_printf("change of %s / change of %s", metric_info[info->of].name, metric_info[info->per].name);
    default:
        return g_strdup(info->key);
    }
}

static char *code_or_dash(const char *text)
{
    return text ? g_strdup_printf("`%s`", text) : g_strdup("–");
}

static char *prometheus_cell(Metric m)
{
    g_autofree char *family = prometheus_family(m);
    if (family && metric_info[m].kind == KIND_TEXT)
        return g_strdup_printf("label `%s` of `%s`", metric_info[m].prometheus, family);
    return code_or_dash(family);
}

static void print_metric(Metric m)
{
    const MetricInfo *info = &metric_info[m];
    g_autofree char *from = source(info), *line = code_or_dash(info->line), *json = code_or_dash(info->json);
    g_autofree char *one = info->one_key ? g_strdup_printf("`%s` (%u)", info->one_key, info->one_tier) : g_strdup("–");
    g_autofree char *prometheus = prometheus_cell(m);
    printf("| %s | %s | %s%s%s | %s | %s | %s | %s | %s | %s |\n", info->name, info->help, kind_name(info->kind),
           *unit_name(info->unit) ? ", " : "", unit_name(info->unit), from,
           *cost_name(info->cost) ? cost_name(info->cost) : "–", line, one, json, prometheus);
}

static void print_metrics(void)
{
    puts("# Metrics\n\n"
         "Made from `src/model/metrics.def` by `make docs`; a test fails when this page is out of date.\n\n"
         "A value that is not known is left out everywhere: absent is not zero. *Cost* says what a figure takes to "
         "get: free: no\n"
         "round trip to QEMU; shape: likewise, and read only when the domain's XML has changed; kernel: the kernel has "
         "it too;\n"
         "monitor: a round trip to QEMU's monitor; slow: one every few minutes; start: read once when a domain starts. "
         "The number\n"
         "behind an OpenNebula key is its tier: 0 its stock keys, 1 what Sunstone draws; the highest tiers are dropped "
         "first when\n"
         "its message gets too long.");
    for (int scope = 0; scope < N_SCOPES; scope++) {
        printf("\n## %s\n\n%s\n\n| metric | what it is | kind, unit | source | cost | line protocol | OpenNebula | "
               "JSON | Prometheus |\n"
               "|---|---|---|---|---|---|---|---|---|\n",
               scope_titles[scope], scope_notes[scope]);
        for (guint i = 0; i < metric_count((Scope)scope); i++)
            print_metric(metric_first((Scope)scope) + i);
    }
}

/* --- series --- */

/* Tags that every point of the scope has, besides its texts where those are tags. */
static const struct {
    const char *measurement, *tags[8];
} scope_series[N_SCOPES] = {
    [SCOPE_VM] = {"vm_totals", {"VMID", "host", "name", "uuid"}},
    [SCOPE_VCPU] = {"vm_vcpus", {"VMID", "host", "name", "uuid", "vcpu"}},
    [SCOPE_NIC] = {"vm_devices", {"VMID", "devtype", "host", "name", "uuid"}},
    [SCOPE_DISK] = {"vm_devices", {"VMID", "devtype", "host", "name", "uuid"}},
    [SCOPE_HOST] = {"host_totals", {"host"}},
    [SCOPE_SINK] = {"host_totals", {"host", "sink"}},
};
static const char *const info_tags[] = {"VMID", "host", "uuid", NULL}; /* of vm_info */

static void print_tags(const char *measurement, const char *const *tags)
{
    for (; *tags; tags++)
        printf("%s\ttag\t%s\ttext\t\n", measurement, *tags);
}

static void print_series_of(const MetricInfo *info)
{
    const bool is_text = info->kind == KIND_TEXT;
    const char *measurement = scope_series[info->scope].measurement, *what = "field";
    if (is_text && info->scope == SCOPE_VM && info->cost == COST_START)
        measurement = "vm_info";
    else if (is_text && (info->scope == SCOPE_NIC || info->scope == SCOPE_DISK))
        what = "tag";
    printf("%s\t%s\t%s\t%s\t%s\n", measurement, what, info->line, kind_name(info->kind), unit_name(info->unit));
}

static void print_series(void)
{
    print_tags("vm_info", info_tags);
    for (int scope = 0; scope < N_SCOPES; scope++) {
        print_tags(scope_series[scope].measurement, scope_series[scope].tags);
        for (guint i = 0; i < metric_count((Scope)scope); i++) {
            const MetricInfo *info = &metric_info[metric_first((Scope)scope) + i];
            if (info->line)
                print_series_of(info);
        }
    }
}

/* --- the man page of the configuration (mdoc) --- */

static const char man_head[] =
    ".\\\" SPDX-License-Identifier: Apache-2.0\n"
    ".\\\" Made from src/base/options.def by `make docs`; a test fails when this page is out of date.\n"
    ".Dd November 22, 2026\n"
    ".Dt ONE-TELEMETRY.CONF 5\n"
    ".Os one-telemetry\n"
    ".Sh NAME\n"
    ".Nm one-telemetry.conf\n"
    ".Nd configuration of one-telemetry\n"
    ".Sh DESCRIPTION\n"
    "One file for all its programs, read at every start; every option has a default.\n"
    "Lines are\n"
    ".Li # comment ,\n"
    ".Bq Ar section\n"
    "or\n"
    ".Ar key No = Ar value ;\n"
    "a comment needs a line of its own.\n"
    "In a value\n"
    ".Li \\es , \\et , \\en , \\er\n"
    "and\n"
    ".Li \\e\\e\n"
    "stand for space, tab, newline, carriage return and backslash; blanks around it do not count.\n"
    ".Pp\n"
    "An unknown section or key, a key set twice and a bad value are errors that name file, line and what was "
    "expected.\n"
    "The sections of a file may stand in any order, and in parts.\n"
    ".Pp\n"
    "Secrets do not stand here, but in files of their own.\n"
    "A file is named by an absolute path or by one relative to the directory of the configuration file.\n";

static const char man_tail[] =
    ".Sh FILES\n"
    ".Bl -tag -width indent\n"
    ".It Pa etc/im/kvm-probes.d/telemetry.conf\n"
    "In OpenNebula's remotes tree: for the programs that OpenNebula distributes to its hosts.\n"
    "Those in qemu-probes.d have theirs there.\n"
    ".It Pa share/telemetry.conf\n"
    "In the source: the sample, with every option and its default.\n"
    ".El\n"
    ".Sh EXAMPLES\n"
    "Two databases, each with a queue of its own:\n"
    ".Bd -literal -offset indent\n"
    "[sink influx]\n"
    "type = influxdb2\n"
    "url = https://influx.example.net:8086\n"
    "org = cloud\n"
    "bucket = telemetry\n"
    "token_file = secrets/influx.token\n"
    "\n"
    "[sink long-term]\n"
    "type = victoriametrics\n"
    "url = http://10.0.0.7:8428\n"
    "max_size = 2G\n"
    "max_age = 30d\n"
    ".Ed\n"
    ".Sh SEE ALSO\n"
    ".Xr forward 1 ,\n"
    ".Xr vm_monitor 1\n";

/* Plain text as mdoc: each sentence on a line of its own, nothing of it taken for a request. */
static void print_man_text(const char *text)
{
    bool at_start = true;
    for (const char *c = text; *c; c++) {
        if (at_start && strchr(".'", *c))
            fputs("\\&", stdout);
        at_start = *c == '.' && c[1] == ' ';
        if (*c == '\\')
            fputs("\\e", stdout);
        else if (at_start)
            fputs(".\n", stdout);
        else
            putchar(*c);
        c += at_start;
    }
    puts(".");
}

static void print_man_section(const char *section)
{
    const NamedSectionInfo *kind = named_section_find(section);
    if (!kind) {
        printf(".Sh SECTION [%s]\n", section);
        return;
    }
    g_autofree char *rule = named_section_rule(kind);
    printf(".Sh SECTIONS [%s NAME]\n", section);
    print_man_text(kind->help);
    print_man_text(rule);
}

static void print_man_option(const OptionInfo *info)
{
    g_autofree char *expected = option_expectation(info);
    g_autofree char *range =
        g_strdup_printf("Takes %s; by default %s", expected, *info->standard ? info->standard : "empty");
    printf(".It Cm %s\n", info->key);
    print_man_text(info->help);
    print_man_text(range);
}

static void print_man(void)
{
    fputs(man_head, stdout);
    for (int option = 0; option < N_OPTIONS; option++) {
        const OptionInfo *info = &option_info[option];
        if (option == 0 || strcmp(option_info[option - 1].section, info->section) != 0) {
            print_man_section(info->section);
            puts(".Bl -tag -width retention_policy");
        }
        print_man_option(info);
        if (option + 1 == N_OPTIONS || strcmp(option_info[option + 1].section, info->section) != 0)
            puts(".El");
    }
    fputs(man_tail, stdout);
}

/* --- the API --- */

static void print_api(void)
{
    static const char *const access[] = {"everybody", "read", "write"}; /* by RouteAccess */
    puts("# The API of telemetryd\n\n"
         "Made from `src/serve/routes.def` by `make docs`; a test fails when this page is out of date. The same with\n"
         "every field, for programs: `share/openapi.json`, which telemetryd serves as `/api/openapi.json`. What the "
         "answers\n"
         "mean stands in [endpoint.md](endpoint.md).\n\n"
         "*Token*: which one a request has to bring where it is configured; the write token reads too. Every GET can "
         "be a "
         "HEAD.\n"
         "Errors are JSON: `{\"error\": \"not_found\", \"detail\": \"…\"}`.\n\n"
         "| method | path | parameters | token | answer |\n|---|---|---|---|---|");
    for (guint i = 0; i < N_ROUTES; i++) {
        const Route *route = &routes[i];
        g_auto(GStrv) names = g_strsplit(route->parameters, " ", -1);
        g_autofree char *list = g_strjoinv("` `", names);
        printf("| %s | `%s` | %s%s%s | %s | %s |\n", route->method, route->path, *list ? "`" : "–", list,
               *list ? "`" : "", access[route->access], route->help);
    }
}

static void print_text(GString *text)
{
    fputs(text->str, stdout);
    g_string_free(text, TRUE);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "metrics") == 0) {
        print_metrics();
    } else if (argc == 2 && strcmp(argv[1], "config") == 0) {
        g_autofree char *text = config_sample();
        fputs(text, stdout);
    } else if (argc == 2 && strcmp(argv[1], "man") == 0) {
        print_man();
    } else if (argc == 2 && strcmp(argv[1], "api") == 0) {
        print_api();
    } else if (argc == 2 && strcmp(argv[1], "openapi") == 0) {
        print_text(openapi_write());
    } else if (argc == 2 && strcmp(argv[1], "series") == 0) {
        print_series();
    } else {
        fputs("usage: describe metrics|config|man|api|openapi|series\n", stderr);
        return 2;
    }
    return 0;
}
