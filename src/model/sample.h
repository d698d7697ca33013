/* SPDX-License-Identifier: Apache-2.0
 * One collection: every VM of the host with its vCPUs, NICs and disks. Every value has a presence bit; absent is not
 * zero. Counters are uint64 and stay exact. Plain memory, no I/O. */
#pragma once

#include "model/metrics.h"

#include <stdbool.h>

typedef union {
    guint64 u; /* KIND_COUNTER, KIND_GAUGE */
    double f;  /* KIND_REAL */
    char *s;   /* KIND_TEXT, owned */
} MetricValue;

/* The figures of one thing: a VM, a vCPU, a NIC, a disk, the host. */
typedef struct {
    Scope scope;
    guint index; /* libvirt's number of the vCPU, NIC or disk; not stable, not without gaps. 0 for VM, host, sink */
    guint64 present[2]; /* bit i: value[i] is known */
    gint64 idle_ns; /* of a removable disk: CLOCK_BOOTTIME when its counters were read last, and found as they had been
                       before; 0: the group's time is theirs */
    MetricValue value[];
} MetricRow;

MetricRow *metric_row_new(Scope scope, guint index);
void metric_row_free(MetricRow *row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MetricRow, metric_row_free)
MetricRow *metric_row_copy(const MetricRow *row);
/* Puts what `from` has, of the same scope, into `row`; with `absent_only` where that has nothing yet. Whether that
 * changed anything. */
bool metric_row_merge(MetricRow *row, const MetricRow *from, bool absent_only);

/* `m` must be of the row's scope and of the kind in the function's name; that is checked (g_assert). */

/* Number of the metric's value within its row. */
static inline guint row_slot(const MetricRow *row, Metric m)
{
    g_assert(m < N_METRICS && metric_info[m].scope == row->scope);
    return (guint)(m - metric_first(row->scope));
}

static inline bool row_has(const MetricRow *row, Metric m)
{
    guint i = row_slot(row, m);
    return row->present[i / 64] >> (i % 64) & 1;
}

/* false where absent, ret_value untouched */
static inline bool row_get_u64(const MetricRow *row, Metric m, guint64 *ret_value)
{
    g_assert(metric_info[m].kind <= KIND_GAUGE);
    if (!row_has(row, m))
        return false;
    *ret_value = row->value[row_slot(row, m)].u;
    return true;
}

guint64 row_u64(const MetricRow *row, Metric m);      /* 0 where absent */
double row_real(const MetricRow *row, Metric m);      /* 0 where absent */
const char *row_text(const MetricRow *row, Metric m); /* NULL where absent */
void row_set_u64(MetricRow *row, Metric m, guint64 value);
void row_set_real(MetricRow *row, Metric m, double value);     /* NaN and infinity are not stored: absent */
void row_set_text(MetricRow *row, Metric m, const char *text); /* copies; NULL: absent */
void row_unset(MetricRow *row, Metric m);

/* Who served a group of figures. */
typedef enum {
    SERVED_NOT,     /* nobody, or it is not known */
    SERVED_BULK,    /* libvirt's bulk statistics */
    SERVED_DISK,    /* libvirt's statistics of one disk */
    SERVED_PROC,    /* /proc of the QEMU process */
    SERVED_CGROUP,  /* CPU time by the domain's cgroup, the rest by /proc */
    SERVED_EARLIER, /* carried over from the sample before: it changes rarely, or it was not its turn */
    SERVED_XML,     /* the domain's XML */
    N_SERVED
} Served;

typedef struct {
    char *name;         /* libvirt's domain name, "one-83" */
    guint64 vm_id;      /* OpenNebula's id, 83 */
    char *uuid;         /* NULL where unknown (statistics recorded by virsh) */
    gint64 domain_id;   /* libvirt's id of this run of the domain; -1 unknown */
    gint64 boottime_ns; /* when these figures were read, CLOCK_BOOTTIME; 0 unknown */
    char *xml_devices;  /* names of the devices whose MAC and bridge were read from the XML, see gather/libvirt.c; NULL:
                           not yet */
    char *sent_keys;    /* OpenNebula keys sent so far, see encode/one_record.h; NULL: none */
    char **extras;      /* keys and values by turns that OpenNebula's record has besides the metrics', see
                           encode/one_record.h; NULL: none. Not part of the text form */
    char **forecasts;   /* likewise, from OpenNebula's forecaster */
    char *shape;        /* of the domain's XML, see gather/plan.h; NULL unknown */
    char *mark;         /* of the file that libvirt keeps of the domain's live XML, likewise; NULL unknown */
    char *process;      /* its QEMU's in /proc, see gather/processes.h; NULL unknown */
    Served served[N_GROUPS];
    gint64 group_ns[N_GROUPS]; /* CLOCK_BOOTTIME when the group was read, where that is not boottime_ns; 0: it is */
    bool held;        /* a fast sample: what needs QEMU's monitor is of the sample before, with the time it was read */
    bool ran;         /* has been seen in a state other than paused since the domain started here */
    MetricRow *row;   /* SCOPE_VM */
    GPtrArray *vcpus; /* of MetricRow, in libvirt's order; likewise the next two */
    GPtrArray *nics;
    GPtrArray *disks;
} VmSample;

/* Takes "one-<number>", whole match, number at most 2^31 - 1. */
bool vm_id_from_name(const char *name, guint64 *ret_id);

VmSample *vm_sample_new(const char *name);
void vm_sample_free(VmSample *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmSample, vm_sample_free)
VmSample *vm_sample_copy(const VmSample *vm);
/* When that group was read, CLOCK_BOOTTIME; 0 unknown. */
gint64 vm_sample_group_ns(const VmSample *vm, Group group);
/* The same of a figure in a row of it. */
gint64 vm_sample_row_ns(const VmSample *vm, const MetricRow *row, Group group);
/* Of a figure of that VM: it is of an earlier sample, for it was not its turn in a fast one. */
bool vm_sample_holds(const VmSample *vm, Metric m);
/* Of a figure in a row of it: that, or it is of the sample in which a removable disk was found idle. */
bool vm_sample_keeps(const VmSample *vm, const MetricRow *row, Metric m);
/* The figures are those of a domain that a job holds: with NOWAIT libvirt then leaves out what needs QEMU's monitor. */
bool vm_sample_looks_locked(const VmSample *vm);
bool vm_sample_has_disk_counters(const VmSample *vm);
/* In which of its periods a time is, for this VM: each has its own moments, so that what is due once a period is not
 * due for all in the same cycle. Multiplying by the golden ratio's fraction of 2^64 spreads ids that follow each other,
 * and any others, over the period. */
guint64 vm_period(guint64 vm_id, gint64 time_ns, gint64 period_ns);

/* The row of that scope with that index, made where there is none yet. NULL above SAMPLE_DEVICES_MAX of a kind. */
#define SAMPLE_DEVICES_MAX 4096
MetricRow *vm_sample_row(VmSample *vm, Scope scope, guint index);
GPtrArray *vm_sample_rows(const VmSample *vm, Scope scope); /* SCOPE_VCPU, SCOPE_NIC or SCOPE_DISK */

/* The device's name (NIC, disk), or NULL. */
const char *row_device_name(const MetricRow *row);

/* The row of the same device in another sample's rows of that scope: of a vCPU by its number, else by its name, and of
 * NICs not one with another MAC. It is looked for first at `place`, where it nearly always is. NULL: there is none. */
const MetricRow *metric_rows_find_same(const GPtrArray *rows, guint place, const MetricRow *row);

/* What became of the batches for one sink. */
typedef struct {
    char *name;
    MetricRow *row; /* SCOPE_SINK */
} SinkSample;

typedef struct {
    gint64 realtime_ns;  /* CLOCK_REALTIME of the collection: the time stamp of its points; 0 unknown */
    gint64 boottime_ns;  /* CLOCK_BOOTTIME then; 0 unknown */
    char *boot_id;       /* the kernel's id of this boot: boottimes of two boots can't be compared. NULL unknown */
    char *host;          /* the host's name in OpenNebula, else the machine's. NULL unknown */
    guint64 cycle;       /* collections since the state file was begun */
    guint sent_tier;     /* highest tier of OpenNebula keys that its message had room for */
    guint left_out;      /* domains whose name is no VM's; known of our own collection alone, and not kept */
    guint spool_trouble; /* what kept it from its sinks, as a number that tells one reason from another; 0: nothing */
    GPtrArray *vms;      /* of VmSample */
    MetricRow *row;      /* SCOPE_HOST */
    GPtrArray *sinks;    /* of SinkSample; not part of the text form */
} Sample;

Sample *sample_new(void);
void sample_free(Sample *sample);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sample, sample_free)
Sample *sample_copy(const Sample *sample);

/* Adds a sink. Owned by the sample; the row to be filled. */
MetricRow *sample_add_sink(Sample *sample, const char *name);

void sample_sort(Sample *sample); /* by vm_id */

/* The same domain in another sample: by uuid, else by name. NULL where there is none. `sample` may be NULL. */
VmSample *sample_find(const Sample *sample, const VmSample *vm);

/* The same run of the same domain: as sample_find, and libvirt's domain id is the same, so it was not restarted. */
VmSample *sample_find_run(const Sample *sample, const VmSample *vm);

/* Brings a freshly read sample into shape, and must be called once before rates_derive:
 * - a VM that only arrives (live migration: paused as migrating or starting up, never seen running here) is left out:
 *   it exists on two hosts, and until it runs here its source speaks for it;
 * - of entries of one disk name (backing chain) the first, the active layer, stays;
 * - domain.locked is set where the figures that need QEMU's monitor are absent though the others are there;
 * - VMs are sorted by id; DOMAINS and LOCKED of the host row are counted. */
void sample_finish(Sample *sample, const Sample *previous);
