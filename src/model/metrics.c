/* SPDX-License-Identifier: Apache-2.0 */
#include "model/metrics.h"

#include <string.h>

#define KEY(c, k) .origin = ORIGIN_KEY, .cost = COST_##c, .key = (k)
#define OWN(c, k) .origin = ORIGIN_OWN, .cost = COST_##c, .key = (k)
#define SUM(id) .origin = ORIGIN_SUM, .of = METRIC_##id
#define RATE(id) .origin = ORIGIN_RATE, .of = METRIC_##id
#define MEAN_MS(ns, n) .origin = ORIGIN_MEAN_MS, .of = METRIC_##ns, .per = METRIC_##n
#define FORMULA(text) .origin = ORIGIN_FORMULA, .key = (text)
#define ONE(k, t, f) .one_key = (k), .one_tier = (t), .one_format = ONE_##f
#define NO_ONE .one_key = NULL
#define SECTION(s)
#define METRIC(s, n, k, u, source, opennebula, lp, js, prom, text)                                                     \
    [METRIC_##s##_##n] = {.name = #s "_" #n,                                                                           \
                          .scope = SCOPE_##s,                                                                          \
                          .kind = KIND_##k,                                                                            \
                          .unit = UNIT_##u,                                                                            \
                          source,                                                                                      \
                          opennebula,                                                                                  \
                          .line = (lp),                                                                                \
                          .json = (js),                                                                                \
                          .prometheus = (prom),                                                                        \
                          .help = (text)},

const MetricInfo metric_info[N_METRICS] = {
#include "model/metrics.def"
};

const Metric metric_scope_first[N_SCOPES + 1] = {
    [SCOPE_VM] = METRIC_FIRST_VM,     [SCOPE_VCPU] = METRIC_FIRST_VCPU, [SCOPE_NIC] = METRIC_FIRST_NIC,
    [SCOPE_DISK] = METRIC_FIRST_DISK, [SCOPE_HOST] = METRIC_FIRST_HOST, [SCOPE_SINK] = METRIC_FIRST_SINK,
    [N_SCOPES] = N_METRICS,
};

/* Every statistic of every VM is looked up, most of them in vain. Length and three letters tell our keys apart as well
 * as all letters do. */
static guint hash_key(gconstpointer data)
{
    const guchar *key = data;
    gsize length = strlen(data);
    return length ? (guint)(length * 131 + key[0] * 31 + key[length / 2] * 7 + key[length - 1]) : 0;
}

static gpointer build_key_tables(gpointer unused)
{
    (void)unused;
    GHashTable **tables = g_new0(GHashTable *, N_SCOPES);
    for (int scope = 0; scope < N_SCOPES; scope++)
        tables[scope] = g_hash_table_new(hash_key, g_str_equal);
    for (int m = 0; m < N_METRICS; m++) {
        const MetricInfo *info = &metric_info[m];
        if (info->origin == ORIGIN_KEY || info->origin == ORIGIN_OWN)
            g_hash_table_insert(tables[info->scope], (gpointer)(guintptr)info->key, GINT_TO_POINTER(m + 1));
    }
    return tables;
}

Metric metric_by_key(Scope scope, const char *key)
{
    static GOnce once = G_ONCE_INIT;
    GHashTable **tables = g_once(&once, build_key_tables, NULL);
    int found = GPOINTER_TO_INT(g_hash_table_lookup(tables[scope], key));
    return found ? (Metric)(found - 1) : N_METRICS;
}

const char *scope_name(Scope scope)
{
    static const char *const names[N_SCOPES] = {"vm", "vcpu", "nic", "disk", "host", "sink"};
    return names[scope];
}

const char *kind_name(Kind kind)
{
    static const char *const names[] = {"counter", "gauge", "real", "text"};
    return names[kind];
}

const char *unit_name(Unit unit)
{
    static const char *const names[] = {
        [UNIT_NONE] = "",           [UNIT_BOOL] = "0 or 1", [UNIT_COUNT] = "count",     [UNIT_NS] = "ns",
        [UNIT_MS] = "ms",           [UNIT_S] = "s",         [UNIT_EPOCH_S] = "epoch s", [UNIT_BYTES] = "bytes",
        [UNIT_KIB] = "KiB",         [UNIT_PERCENT] = "%",   [UNIT_PER_S] = "per s",     [UNIT_BYTES_PER_S] = "bytes/s",
        [UNIT_KIB_PER_S] = "KiB/s",
    };
    return names[unit];
}

const char *cost_name(Cost cost)
{
    static const char *const names[] = {"", "free", "shape", "kernel", "monitor", "slow", "start"};
    return names[cost];
}

Group metric_group(Metric m)
{
    const MetricInfo *info = &metric_info[m];
    if (info->origin == ORIGIN_SUM || info->origin == ORIGIN_RATE || info->origin == ORIGIN_MEAN_MS)
        return metric_group(info->of);
    switch (info->cost) {
    case COST_FREE:
        return info->scope == SCOPE_NIC ? GROUP_NET : GROUP_STATE;
    case COST_SHAPE:
        return GROUP_SHAPE;
    case COST_KERNEL:
        return GROUP_KERNEL;
    case COST_MONITOR:
        return info->scope == SCOPE_DISK ? GROUP_DISK : GROUP_GUEST;
    case COST_SLOW:
        return GROUP_SLOW;
    case COST_START:
        return GROUP_START;
    default:
        return GROUP_NONE;
    }
}

const char *group_name(Group group)
{
    static const char *const names[N_GROUPS] = {"",     "state", "net",  "shape", "kernel",
                                                "disk", "guest", "slow", "start"};
    return names[group];
}

double unit_to_base(Unit unit)
{
    switch (unit) {
    case UNIT_NS:
        return 1e-9;
    case UNIT_MS:
        return 1e-3;
    case UNIT_KIB:
    case UNIT_KIB_PER_S:
        return 1024.0;
    case UNIT_PERCENT:
        return 0.01;
    default:
        return 1.0;
    }
}
