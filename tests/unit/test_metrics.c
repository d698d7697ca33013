/* SPDX-License-Identifier: Apache-2.0
 * The table of metrics holds what its readers rely on. */
#include "gather_helpers.h"

#include <string.h>

static bool consists_of(const char *text, const char *characters)
{
    return *text && text[strspn(text, characters)] == '\0';
}

static bool is_read(const MetricInfo *info)
{
    return info->origin == ORIGIN_KEY || info->origin == ORIGIN_OWN;
}

/* --- rows --- */

static void scopes_stand_together(void **state)
{
    (void)state;
    int m = 0;
    for (int scope = 0; scope < N_SCOPES; scope++) {
        g_autofree char *prefix = g_ascii_strup(scope_name((Scope)scope), -1);
        assert_int_equal(metric_first((Scope)scope), m);
        assert_true(metric_count((Scope)scope) > 0);
        assert_true(metric_count((Scope)scope) <= 128); /* presence bits of MetricRow */
        for (guint i = 0; i < metric_count((Scope)scope); i++, m++) {
            const MetricInfo *info = &metric_info[m];
            assert_non_null(info->name);
            CHECK((int)info->scope == scope, "%s", info->name);
            CHECK(g_str_has_prefix(info->name, prefix) && info->name[strlen(prefix)] == '_', "%s", info->name);
        }
    }
    assert_int_equal(m, N_METRICS);
}

/* The enum and the table are made from the same rows: a name stands where its constant says. */
static void enum_and_table_agree(void **state)
{
    (void)state;
#define SECTION(s)
#define METRIC(s, n, ...)                                                                                              \
    assert_string_equal(metric_info[METRIC_##s##_##n].name, #s "_" #n);                                                \
    assert_int_equal(metric_info[METRIC_##s##_##n].scope, SCOPE_##s);
#include "model/metrics.def"
}

static void every_row_is_complete(void **state)
{
    (void)state;
    for (int m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m];
        CHECK(info->help && *info->help, "%s", info->name);
        CHECK(!strpbrk(info->help, "\n|"), "%s: stands in a table of docs/metrics.md", info->name);
        CHECK((info->cost != COST_NONE) == is_read(info), "%s: what is read costs something", info->name);
        CHECK((info->kind == KIND_TEXT) ? info->unit == UNIT_NONE : true, "%s", info->name);
        CHECK((info->unit == UNIT_PERCENT || info->unit == UNIT_MS || info->unit >= UNIT_PER_S)
                  ? info->kind == KIND_REAL
                  : info->kind != KIND_REAL,
              "%s: fractions are REAL, all else is whole", info->name);
        CHECK(info->line && info->json, "%s: has no name in line protocol or JSON", info->name);
        if (is_read(info) || info->origin == ORIGIN_FORMULA)
            CHECK(info->key && *info->key, "%s", info->name);
        if (is_read(info)) {
            CHECK(info->kind != KIND_REAL, "%s: the text form has no fractions", info->name);
            CHECK(consists_of(info->key, "abcdefghijklmnopqrstuvwxyz_.-"), "%s: %s", info->name, info->key);
        }
        if (info->cost == COST_START) /* collect.c carries these over as text */
            CHECK(info->kind == KIND_TEXT, "%s", info->name);
        if (info->scope == SCOPE_HOST || info->scope == SCOPE_SINK)
            CHECK(info->origin == ORIGIN_FORMULA, "%s: libvirt has no figures of the host for us", info->name);
    }
}

static void derived_rows_refer_to_counters(void **state)
{
    (void)state;
    for (int m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m], *of = &metric_info[info->of], *per = &metric_info[info->per];
        switch (info->origin) {
        case ORIGIN_SUM:
            CHECK(info->scope == SCOPE_VM && (of->scope == SCOPE_NIC || of->scope == SCOPE_DISK), "%s", info->name);
            CHECK(info->kind == KIND_COUNTER && of->kind == KIND_COUNTER && is_read(of), "%s", info->name);
            CHECK(info->unit == of->unit, "%s", info->name);
            break;
        case ORIGIN_RATE:
            CHECK(info->scope == of->scope && info->of < m, "%s: of what stands before it", info->name);
            CHECK(info->kind == KIND_REAL && of->kind == KIND_COUNTER, "%s", info->name);
            CHECK(info->unit == (of->unit == UNIT_BYTES ? UNIT_BYTES_PER_S
                                 : of->unit == UNIT_KIB ? UNIT_KIB_PER_S
                                                        : UNIT_PER_S),
                  "%s", info->name);
            CHECK(of->unit != UNIT_NS, "%s: a share of time is a percentage", info->name);
            break;
        case ORIGIN_MEAN_MS:
            CHECK(info->scope == of->scope && info->of < m && info->scope == per->scope && info->per < m, "%s",
                  info->name);
            CHECK(info->kind == KIND_REAL && of->kind == KIND_COUNTER && per->kind == KIND_COUNTER, "%s", info->name);
            CHECK(info->unit == UNIT_MS && of->unit == UNIT_NS && per->unit == UNIT_COUNT, "%s", info->name);
            break;
        default:
            break;
        }
    }
}

/* A new counter of NICs or disks gets its sum, and each sum is of another counter. */
static void every_device_counter_is_summed_once(void **state)
{
    (void)state;
    for (int m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m];
        if ((info->scope != SCOPE_NIC && info->scope != SCOPE_DISK) || info->kind != KIND_COUNTER)
            continue;
        guint sums = 0;
        for (guint i = 0; i < N_METRICS; i++)
            sums += metric_info[i].origin == ORIGIN_SUM && metric_info[i].of == m;
        CHECK(sums == 1, "%s has %u sums", info->name, sums);
    }
}

/* --- names --- */

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static void names_are_unique(void **state)
{
    (void)state;
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (int m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m];
        const struct {
            const char *where, *name;
        } names[] = {{"line", info->line},
                     {"json", info->json},
                     {"prometheus", info->prometheus},
                     {"key", is_read(info) ? info->key : NULL}};
        for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
            if (!names[i].name)
                continue;
            CHECK(g_hash_table_add(seen,
                                   g_strconcat(scope_name(info->scope), " ", names[i].where, " ", names[i].name, NULL)),
                  "%s: %s %s a second time", info->name, names[i].where, names[i].name);
            if (i < 3)
                CHECK(consists_of(names[i].name, LOWER DIGITS "_") && g_ascii_isalpha(names[i].name[0]), "%s: %s",
                      info->name, names[i].name);
        }
    }
}

/* Two kinds of device write to one measurement: a field has one type there. */
static void fields_of_devices_have_one_type(void **state)
{
    (void)state;
    for (guint i = METRIC_FIRST_NIC; i < METRIC_FIRST_DISK; i++)
        for (guint j = METRIC_FIRST_DISK; j < METRIC_FIRST_HOST; j++)
            if (strcmp(metric_info[i].line, metric_info[j].line) == 0)
                CHECK((metric_info[i].kind <= KIND_GAUGE) == (metric_info[j].kind <= KIND_GAUGE) &&
                          (metric_info[i].kind == KIND_TEXT) == (metric_info[j].kind == KIND_TEXT),
                      "%s and %s", metric_info[i].name, metric_info[j].name);
}

/* What the writers add of their own, by scope. */
/* Host and sinks write to one measurement too. A sum over its points must not add up both. */
static void fields_of_host_and_sinks_differ(void **state)
{
    (void)state;
    for (guint i = METRIC_FIRST_HOST; i < METRIC_FIRST_SINK; i++)
        for (guint j = METRIC_FIRST_SINK; j < N_METRICS; j++)
            CHECK(strcmp(metric_info[i].line, metric_info[j].line) != 0, "%s and %s", metric_info[i].name,
                  metric_info[j].name);
}

static void names_do_not_clash_with_the_writers_own(void **state)
{
    (void)state;
    /* "time": InfluxDB 1 leaves such a field out without a word. */
    static const char *const tags[N_SCOPES][8] = {
        [SCOPE_VM] = {"VMID", "name", "uuid", "host", "time"},
        [SCOPE_VCPU] = {"VMID", "name", "uuid", "host", "vcpu", "time"},
        [SCOPE_NIC] = {"VMID", "name", "uuid", "host", "devtype", "time"},
        [SCOPE_DISK] = {"VMID", "name", "uuid", "host", "devtype", "time"},
        [SCOPE_HOST] = {"host", "sink", "time"},
        [SCOPE_SINK] = {"host", "sink", "time"},
    };
    static const char *const members[N_SCOPES][12] = {
        [SCOPE_VM] = {"id", "vm_id", "name", "uuid", "host", "state", "nics", "disks", "vcpus", "telemetry", "missing"},
        [SCOPE_VCPU] = {"vcpu", "index"},
        [SCOPE_NIC] = {"index"},
        [SCOPE_DISK] = {"index"},
        [SCOPE_HOST] = {"vms", "count", "timestamp", "host", "sinks"},
        [SCOPE_SINK] = {"name"},
    };
    for (int m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m];
        CHECK(!g_strv_contains(tags[info->scope], info->line), "%s: %s is a tag", info->name, info->line);
        CHECK(!g_strv_contains(members[info->scope], info->json), "%s: %s is a member", info->name, info->json);
    }
}

static void prometheus_names_say_the_unit(void **state)
{
    (void)state;
    for (int m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m];
        if (!info->prometheus)
            continue;
        CHECK(g_str_has_suffix(info->prometheus, "_total") == (info->kind == KIND_COUNTER), "%s", info->name);
        if (info->kind == KIND_TEXT) /* a label */
            continue;
        gsize length = strlen(info->prometheus) - (info->kind == KIND_COUNTER ? strlen("_total") : 0);
        g_autofree char *base = g_strndup(info->prometheus, length);
        bool time =
            info->unit == UNIT_NS || info->unit == UNIT_MS || info->unit == UNIT_S || info->unit == UNIT_EPOCH_S;
        bool bytes = info->unit == UNIT_BYTES || info->unit == UNIT_KIB;
        CHECK(g_str_has_suffix(base, "_seconds") == time, "%s", info->name);
        CHECK(g_str_has_suffix(base, "_timestamp_seconds") == (info->unit == UNIT_EPOCH_S), "%s", info->name);
        CHECK((g_str_has_suffix(base, "_bytes") || strcmp(base, "bytes") == 0) == bytes, "%s", info->name);
        CHECK(g_str_has_suffix(base, "_ratio") == (info->unit == UNIT_PERCENT), "%s", info->name);
        CHECK(info->unit < UNIT_PER_S, "%s: Prometheus makes its rates itself", info->name);
    }
}

static void units_have_names_and_factors(void **state)
{
    (void)state;
    static const struct {
        Unit unit;
        const char *name;
        double factor;
    } cases[] = {
        {UNIT_NONE, "", 1},
        {UNIT_BOOL, "0 or 1", 1},
        {UNIT_COUNT, "count", 1},
        {UNIT_NS, "ns", 1e-9},
        {UNIT_MS, "ms", 1e-3},
        {UNIT_S, "s", 1},
        {UNIT_EPOCH_S, "epoch s", 1},
        {UNIT_BYTES, "bytes", 1},
        {UNIT_KIB, "KiB", 1024},
        {UNIT_PERCENT, "%", 0.01},
        {UNIT_PER_S, "per s", 1},
        {UNIT_BYTES_PER_S, "bytes/s", 1},
        {UNIT_KIB_PER_S, "KiB/s", 1024},
    };
    assert_int_equal(G_N_ELEMENTS(cases), UNIT_KIB_PER_S + 1);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        CHECK_TEXT(unit_name(cases[i].unit), cases[i].name, "unit");
        CHECK(unit_to_base(cases[i].unit) == cases[i].factor, "%s", cases[i].name);
    }
    for (int m = 0; m < N_METRICS; m++) {
        assert_non_null(kind_name(metric_info[m].kind));
        assert_non_null(unit_name(metric_info[m].unit));
        assert_non_null(cost_name(metric_info[m].cost));
    }
}

/* --- groups --- */

static void figures_are_of_the_group_they_are_read_with(void **state)
{
    (void)state;
    static const struct {
        const char *metric, *group;
    } cases[] = {
        {"VM_STATE", "state"},
        {"VM_NET_RX_BYTES", "net"},
        {"NIC_RX_BYTES_RATE", "net"},
        {"VM_VCPUS", "shape"},
        {"VM_BALLOON_CURRENT", "shape"},
        {"DISK_PATH", "shape"},
        {"VM_CPU_TIME", "kernel"},
        {"VM_MEMORY_RSS", "kernel"},
        {"VCPU_DELAY", "kernel"},
        {"DISK_RD_REQS", "disk"},
        {"VM_DISK_RD_REQS", "disk"},       /* a sum */
        {"VM_DISK_RD_BYTES_RATE", "disk"}, /* a rate of a sum */
        {"DISK_RD_LATENCY", "disk"},       /* a mean */
        {"VM_MEMORY_USABLE", "guest"},
        {"VM_BALLOON_LAST_UPDATE", "guest"},
        {"DISK_CAPACITY", "slow"},
        {"VCPU_WAIT", "slow"},
        {"VM_VM_NAME", "start"},
        {"VM_CPU_USAGE_PERCENT", ""},
        {"HOST_COLLECT_MS", ""},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        CHECK_TEXT(group_name(metric_group(metric_named(cases[i].metric))), cases[i].group, cases[i].metric);
}

static void what_is_read_has_a_group(void **state)
{
    (void)state;
    for (guint m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m];
        const Group group = metric_group((Metric)m);
        CHECK(!is_read(info) || group != GROUP_NONE, "%s", info->name);
        CHECK(group != GROUP_DISK || info->scope == SCOPE_DISK || info->origin != ORIGIN_KEY, "%s", info->name);
        CHECK(group != GROUP_GUEST || info->scope == SCOPE_VM, "%s", info->name);
    }
    for (Group a = GROUP_STATE; a < N_GROUPS; a++) /* they stand in the text form */
        for (Group b = GROUP_STATE; b < a; b++)
            assert_string_not_equal(group_name(a), group_name(b));
}

/* --- OpenNebula --- */

static void opennebula_keys_are_sound(void **state)
{
    (void)state;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    guint of_tier[ONE_TIER_MAX + 1] = {0};
    for (int m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m];
        if (!info->one_key)
            continue;
        CHECK(consists_of(info->one_key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "_"), "%s", info->name);
        CHECK(g_hash_table_add(seen, (gpointer)(guintptr)info->one_key), "%s a second time", info->one_key);
        CHECK(info->scope == SCOPE_VM, "%s: records are of VMs", info->name);
        CHECK(info->one_tier <= ONE_TIER_MAX, "%s", info->name);
        CHECK((info->one_format == ONE_FLAG) == (info->unit == UNIT_BOOL), "%s", info->name);
        CHECK((info->one_format == ONE_DEC2) == (info->kind == KIND_REAL), "%s", info->name);
        of_tier[MIN(info->one_tier, ONE_TIER_MAX)]++;
    }
    for (guint tier = 0; tier <= ONE_TIER_MAX; tier++)
        CHECK(of_tier[tier] > 0, "tier %u is not used", tier);
}

static void tiers_hold_what_opennebula_shows(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        guint tier;
        Metric metric;
    } cases[] = {
        {"CPU", 0, METRIC_VM_CPU_CORE_PERCENT},
        {"MEMORY", 0, METRIC_VM_MEMORY_HOST},
        {"NETRX", 0, METRIC_VM_NET_RX_BYTES},
        {"NETTX", 0, METRIC_VM_NET_TX_BYTES},
        {"DISKRDBYTES", 0, METRIC_VM_DISK_RD_BYTES},
        {"DISKWRBYTES", 0, METRIC_VM_DISK_WR_BYTES},
        {"DISKRDIOPS", 0, METRIC_VM_DISK_RD_REQS},
        {"DISKWRIOPS", 0, METRIC_VM_DISK_WR_REQS},
        {"NETRX_BW", 1, METRIC_VM_NET_RX_BYTES_RATE},
        {"NETTX_BW", 1, METRIC_VM_NET_TX_BYTES_RATE},
        {"DISKRDBYTES_BW", 1, METRIC_VM_DISK_RD_BYTES_RATE},
        {"DISKWRBYTES_BW", 1, METRIC_VM_DISK_WR_BYTES_RATE},
        {"DISKRDIOPS_BW", 1, METRIC_VM_DISK_RD_REQS_RATE},
        {"DISKWRIOPS_BW", 1, METRIC_VM_DISK_WR_REQS_RATE},
    };
    guint stock = 0;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        CHECK_TEXT(metric_info[cases[i].metric].one_key, cases[i].key, "key");
        CHECK(metric_info[cases[i].metric].one_tier == cases[i].tier, "%s", cases[i].key);
    }
    for (int m = 0; m < N_METRICS; m++)
        stock += metric_info[m].one_key && metric_info[m].one_tier == 0;
    assert_int_equal(stock, 8);
}

/* --- look-up by key --- */

static void every_key_is_found_in_its_scope_only(void **state)
{
    (void)state;
    for (int m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m];
        if (info->origin == ORIGIN_FORMULA)
            CHECK(metric_by_key(info->scope, info->key) != m, "%s: a formula is no key", info->name);
        if (!is_read(info))
            continue;
        CHECK(metric_by_key(info->scope, info->key) == m, "%s", info->name);
        for (int scope = 0; scope < N_SCOPES; scope++) {
            Metric found = metric_by_key((Scope)scope, info->key);
            CHECK(found == N_METRICS || ((int)metric_info[found].scope == scope && is_read(&metric_info[found]) &&
                                         strcmp(metric_info[found].key, info->key) == 0),
                  "%s in scope %s", info->key, scope_name((Scope)scope));
        }
    }
}

static void no_other_key_is_found(void **state)
{
    (void)state;
    static const struct {
        Scope scope;
        const char *key;
    } foreign[] = {
        {SCOPE_VM, ""},
        {SCOPE_VM, "cpu"},
        {SCOPE_VM, "cpu.cache.monitor.count"},
        {SCOPE_VM, "cpu.haltpoll.success.time"},
        {SCOPE_VM, "vcpu.0.time"},
        {SCOPE_VM, "net.0.rx.bytes"},
        {SCOPE_VM, "rx.bytes"},
        {SCOPE_VM, "dirtyrate.calc_mode"},
        {SCOPE_VM, "VM_CPU_TIME"},
        {SCOPE_VM, "cputime"},
        {SCOPE_VCPU, "halt_wait_ns.sum"},
        {SCOPE_VCPU, "current"},
        {SCOPE_NIC, "rd.bytes"},
        {SCOPE_NIC, "count"},
        {SCOPE_DISK, "rx.bytes"},
        {SCOPE_DISK, "backingIndex"},
        {SCOPE_HOST, "state.state"},
        {SCOPE_HOST, "domains"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(foreign); i++)
        CHECK(metric_by_key(foreign[i].scope, foreign[i].key) == N_METRICS, "%s", foreign[i].key);
    for (int m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m];
        if (!is_read(info))
            continue;
        g_autofree char *longer = g_strconcat(info->key, "x", NULL), *upper = g_ascii_strup(info->key, -1);
        g_autofree char *blank = g_strconcat(" ", info->key, NULL);
        assert_int_equal(metric_by_key(info->scope, longer), N_METRICS);
        assert_int_equal(metric_by_key(info->scope, upper), N_METRICS);
        assert_int_equal(metric_by_key(info->scope, blank), N_METRICS);
    }
}

/* --- what people ask for is there --- */

static void wanted_figures_exist(void **state)
{
    (void)state;
    static const struct {
        Scope scope;
        const char *keys; /* of libvirt, separated by blanks */
    } wanted[] = {
        {SCOPE_VM, "state.state state.reason cpu.time cpu.user cpu.system"},
        {SCOPE_VM, "balloon.current balloon.maximum balloon.rss balloon.unused balloon.available balloon.usable"},
        {SCOPE_VM, "balloon.swap_in balloon.swap_out balloon.major_fault balloon.minor_fault balloon.disk_caches"},
        {SCOPE_VM, "balloon.hugetlb_pgalloc balloon.hugetlb_pgfail balloon.last-update"},
        {SCOPE_VM, "vcpu.current vcpu.maximum net.count block.count"},
        {SCOPE_VM, "one.name one.uname one.uid one.gname one.gid one.opennebula_version one.stime one.deployment_time"},
        {SCOPE_VCPU, "state time wait delay halted"},
        {SCOPE_NIC, "name mac bridge rx.bytes rx.pkts rx.errs rx.drop tx.bytes tx.pkts tx.errs tx.drop"},
        {SCOPE_DISK, "name path rd.reqs rd.bytes rd.times wr.reqs wr.bytes wr.times fl.reqs fl.times"},
        {SCOPE_DISK, "errors capacity allocation physical"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++) {
        g_auto(GStrv) keys = g_strsplit(wanted[i].keys, " ", -1);
        for (char **key = keys; *key; key++)
            CHECK(metric_by_key(wanted[i].scope, *key) != N_METRICS, "%s.%s", scope_name(wanted[i].scope), *key);
    }
}

/* Field names that dashboards of this family query (docs/metrics.md): a renamed one empties them. */
static void dashboards_find_their_fields(void **state)
{
    (void)state;
    static const struct {
        Scope scope;
        const char *fields;
    } wanted[] = {
        {SCOPE_VM, "state cpus cputime timeusr timesys cpu_usage_percent cpu_steal_percent locked"},
        {SCOPE_VM, "memory_max memory_used memactual memrss memavailable memusable memunused memory_usage_percent"},
        {SCOPE_VM, "memswap_in memswap_out memmajor_fault memminor_fault memdisk_cache"},
        {SCOPE_VM, "net_rxbytes net_rxpackets net_rxerrors net_rxdrops net_txbytes net_txpackets net_txerrors"},
        {SCOPE_VM, "net_txdrops disk_rd_req disk_rd_bytes disk_rd_ns disk_wr_reqs disk_wr_bytes disk_wr_ns"},
        {SCOPE_VM, "disk_fl_reqs disk_fl_ns disk_errors vm_name uname gname uid gid"},
        {SCOPE_NIC, "device mac rxbytes rxpackets rxerrors rxdrops txbytes txpackets txerrors txdrops"},
        {SCOPE_DISK, "device path rd_req rd_bytes rd_ns wr_reqs wr_bytes wr_ns fl_reqs fl_ns"},
        {SCOPE_DISK, "capacity allocation physical rd_latency_ms wr_latency_ms fl_latency_ms"},
        {SCOPE_VCPU, "cputime wait delay halted state usage_percent steal_percent"},
        {SCOPE_HOST, "collect_ms domains locked missing dropped_keys message_bytes version"},
        {SCOPE_HOST, "spool_batches spool_bytes"},
        {SCOPE_SINK, "queued_batches queued_bytes oldest_age_seconds sent_lines retried_requests rejected_lines"},
        {SCOPE_SINK, "bad_batches dropped_batches dropped_bytes failures last_success_age_seconds"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++) {
        g_auto(GStrv) fields = g_strsplit(wanted[i].fields, " ", -1);
        for (char **field = fields; *field; field++) {
            guint found = 0;
            for (int m = 0; m < N_METRICS; m++)
                found += metric_info[m].scope == wanted[i].scope && strcmp(metric_info[m].line, *field) == 0;
            CHECK(found == 1, "%s.%s", scope_name(wanted[i].scope), *field);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes_stand_together),
        cmocka_unit_test(enum_and_table_agree),
        cmocka_unit_test(every_row_is_complete),
        cmocka_unit_test(derived_rows_refer_to_counters),
        cmocka_unit_test(every_device_counter_is_summed_once),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(fields_of_devices_have_one_type),
        cmocka_unit_test(fields_of_host_and_sinks_differ),
        cmocka_unit_test(names_do_not_clash_with_the_writers_own),
        cmocka_unit_test(prometheus_names_say_the_unit),
        cmocka_unit_test(units_have_names_and_factors),
        cmocka_unit_test(figures_are_of_the_group_they_are_read_with),
        cmocka_unit_test(what_is_read_has_a_group),
        cmocka_unit_test(opennebula_keys_are_sound),
        cmocka_unit_test(tiers_hold_what_opennebula_shows),
        cmocka_unit_test(every_key_is_found_in_its_scope_only),
        cmocka_unit_test(no_other_key_is_found),
        cmocka_unit_test(wanted_figures_exist),
        cmocka_unit_test(dashboards_find_their_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
