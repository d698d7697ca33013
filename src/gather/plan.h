/* SPDX-License-Identifier: Apache-2.0
 * What a VM is asked for in a cycle, so that it costs as little as it can: only what may have changed since the sample
 * before. (docs/cost.md has what each costs.) Pure. */
#pragma once

#include "gather/hypervisor.h"
#include "gather/netdev.h"

/* What the sample before knew of a VM: enough to plan, and no more, since threads keep it that outlive that sample. */
typedef struct {
    bool seen;     /* the same run of the domain was in it */
    bool complete; /* with all its figures */
    bool locked;   /* held by a job */
    gint64 domain_id;
    bool reports; /* the guest's balloon driver has reported lately */
    guint disks;  /* whose counters are asked for each time: not those of an empty drive, or of a CD-ROM that is idle */
    char *disk;   /* the target of the one there is; NULL: none, or several */
    guint row;    /* libvirt's number of that disk */
    GArray *nics; /* of NetdevNic: all of them, where all are taps; NULL: the kernel does not serve them */
    char *shape;  /* NULL unknown */
    char *mark;   /* likewise */
    char *process;  /* likewise */
    gint64 slow_ns; /* CLOCK_BOOTTIME when the slow figures were read; 0 never */
} VmKnown;

/* Of the VM in the sample before, which was taken at that realtime; NULL: it was not in it. */
void vm_known_set(VmKnown *known, const VmSample *before, gint64 realtime_ns);
void vm_known_clear(VmKnown *known);

/* A fingerprint of a domain's XML. While it stays the same, so do the domain's disks, memory and vCPUs, and what is
 * carried over of them is of now. What of the XML the plan needs stands behind it. `known` is the one before, or NULL;
 * most XML is as it was, and need not be read then. Owned by the caller. */
char *plan_shape(const char *xml, const char *known);

/* Where libvirt's system daemon keeps a file of each running domain's live XML, NAME.xml, which it writes anew whenever
 * something of it changes, and one with its QEMU's pid, NAME.pid: /run/libvirt/qemu, or beside the socket that the URI
 * names. NULL: the URI is another's. Owned by the caller. */
char *plan_status_dir(const char *uri);

/* Each VM has its own moments in the period, spread evenly, so that not all are read slowly in the same cycle. */
bool plan_slow_due(guint64 vm_id, gint64 before_ns, gint64 now_ns, gint64 period_ns);

typedef struct {
    bool fast;         /* nothing that needs QEMU's monitor, but of a VM that is new */
    bool kernel;       /* /proc has served CPU, vCPUs and resident memory */
    bool nics;         /* the NICs' figures are there */
    const char *shape; /* of now; NULL: not known */
    bool slow;         /* the slow figures are due */
} PlanNow;

typedef struct {
    HypervisorGroups groups; /* to ask for by the bulk call; 0: none */
    bool disk;               /* the one disk's counters by a call of its own */
    bool slow;               /* the slow figures are among them */
} PlanNeeds;

/* Everything, of one of which nothing is known. */
extern const PlanNeeds plan_all;

PlanNeeds plan_needs(const VmKnown *known, const PlanNow *now);

/* Fills in what was not asked for: figures that change with the XML alone, or hardly, from the sample before (NULL:
 * none), and the counters of CD-ROMs that are idle; in a fast sample (`fast`) also the disks' and the guest's, whose
 * time stays theirs. Of one that a job holds the first alone. `vm` is the same run of the domain. */
void plan_carry(VmSample *vm, const VmSample *before, bool fast);
