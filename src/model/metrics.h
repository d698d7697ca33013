/* SPDX-License-Identifier: Apache-2.0
 * The table of metrics (metrics.def) as C sees it: an enum, a description per metric, and look-ups. All constant. */
#pragma once

#include <glib.h>

typedef enum { SCOPE_VM, SCOPE_VCPU, SCOPE_NIC, SCOPE_DISK, SCOPE_HOST, SCOPE_SINK, N_SCOPES } Scope;

/* Values of one scope are numbered without gaps: METRIC_FIRST_NIC is the first of the NIC scope. */
typedef enum {
#define SECTION(s) METRIC_FIRST_##s, METRIC_BEFORE_##s = METRIC_FIRST_##s - 1,
#define METRIC(s, name, ...) METRIC_##s##_##name,
#include "model/metrics.def"
    N_METRICS
} Metric;

typedef enum {
    KIND_COUNTER, /* uint64 that only grows while its domain (or device) lives */
    KIND_GAUGE,   /* uint64 */
    KIND_REAL,    /* double */
    KIND_TEXT,
} Kind;

typedef enum {
    UNIT_NONE,
    UNIT_BOOL,
    UNIT_COUNT,
    UNIT_NS,
    UNIT_MS,
    UNIT_S,
    UNIT_EPOCH_S,
    UNIT_BYTES,
    UNIT_KIB,
    UNIT_PERCENT,
    UNIT_PER_S,
    UNIT_BYTES_PER_S,
    UNIT_KIB_PER_S,
} Unit;

typedef enum {
    ORIGIN_KEY,     /* libvirt's statistics; `key` is libvirt's, without "net.N." and the like */
    ORIGIN_OWN,     /* our addition to that text form: domain XML, /proc; `key` likewise */
    ORIGIN_SUM,     /* `of`: a metric of the VM's devices */
    ORIGIN_RATE,    /* `of`: a counter of the same scope */
    ORIGIN_MEAN_MS, /* `of`: nanoseconds, `per`: requests, of the same scope */
    ORIGIN_FORMULA, /* `key`: the formula, for people */
} Origin;

/* What a figure costs to get; the head of metrics.def says what each means. COST_NONE: it is derived. */
typedef enum { COST_NONE, COST_FREE, COST_SHAPE, COST_KERNEL, COST_MONITOR, COST_SLOW, COST_START } Cost;

/* Figures that are read together, and so have a time in common. */
typedef enum {
    GROUP_NONE,   /* of the host, of the pipeline, texts that are computed */
    GROUP_STATE,  /* the domain's state */
    GROUP_NET,    /* its NICs */
    GROUP_SHAPE,  /* what changes with the domain's XML alone */
    GROUP_KERNEL, /* CPU, vCPUs, resident memory */
    GROUP_DISK,   /* the disks' counters */
    GROUP_GUEST,  /* what the guest's balloon driver reports */
    GROUP_SLOW,   /* the disks' sizes and other figures that hardly change */
    GROUP_START,  /* texts that are read once per domain start */
    N_GROUPS
} Group;

/* How OpenNebula's records print a value. */
typedef enum {
    ONE_PLAIN, /* as it is */
    ONE_DEC2,  /* two decimals, as OpenNebula's own probes do */
    ONE_FLAG,  /* sent while it is not zero, deleted otherwise */
} OneFormat;

#define ONE_TIER_MAX 5 /* highest tier used in metrics.def; a unit test holds the two together */

typedef struct {
    const char *name; /* "VM_CPU_TIME" */
    Scope scope;
    Kind kind;
    Unit unit;
    Origin origin;
    Cost cost;
    const char *key;
    Metric of, per;
    const char *one_key; /* NULL: not in OpenNebula's records */
    guint one_tier;
    OneFormat one_format;
    const char *line;       /* line-protocol field (device names: tag), or NULL */
    const char *json;       /* or NULL */
    const char *prometheus; /* without the scope's prefix, or NULL */
    const char *help;
} MetricInfo;

extern const MetricInfo metric_info[N_METRICS];

extern const Metric metric_scope_first[N_SCOPES + 1];

static inline Metric metric_first(Scope scope)
{
    return metric_scope_first[scope];
}

static inline guint metric_count(Scope scope)
{
    return (guint)(metric_scope_first[scope + 1] - metric_scope_first[scope]);
}

/* The metric that libvirt (or our own text form) calls `key` in that scope, the index already cut off ("rx.bytes" for
 * "net.0.rx.bytes"). N_METRICS where it is none of ours. Thread-safe. */
Metric metric_by_key(Scope scope, const char *key);

const char *scope_name(Scope scope); /* "vm", "vcpu", "nic", "disk", "host", "sink" */
const char *kind_name(Kind kind);
const char *unit_name(Unit unit); /* "KiB", "ns" …, "" for none */
const char *cost_name(Cost cost);

/* The group that a figure is read with; of one that is derived, that of the figure it is derived from. */
Group metric_group(Metric m);
const char *group_name(Group group);

/* What a value of that unit is multiplied by to be in Prometheus's base unit (seconds, bytes, ratio). */
double unit_to_base(Unit unit);
