/* SPDX-License-Identifier: Apache-2.0
 * What the collection needs of a hypervisor: a seam, so that collect.c can be tested with calls that hang or fail at
 * will. libvirt.c is the real one. Every call may block without limit; collect.c runs them in threads. */
#pragma once

#include "model/sample.h"

typedef struct Hypervisor Hypervisor;

/* Groups of statistics, to be or'ed. All but the free ones cost round trips to each QEMU's monitor. */
typedef enum {
    HYPERVISOR_STATE = 1 << 0,
    HYPERVISOR_CPU = 1 << 1,
    HYPERVISOR_VCPU = 1 << 2,
    HYPERVISOR_BALLOON = 1 << 3,
    HYPERVISOR_BLOCK = 1 << 4,
    HYPERVISOR_INTERFACE = 1 << 5,
    HYPERVISOR_FREE_GROUPS = HYPERVISOR_STATE | HYPERVISOR_INTERFACE, /* answered without asking QEMU */
    HYPERVISOR_ALL_GROUPS = (1 << 6) - 1,
} HypervisorGroups;

typedef struct {
    char *name; /* "one-83" */
    char *uuid;
    gint64 id;
    int state, reason;  /* libvirt's numbers; -1: it did not say */
    gint64 boottime_ns; /* CLOCK_BOOTTIME when it was in that state */
} HypervisorDomain;

typedef struct {
    char *name, *uuid;
    int state, reason; /* libvirt's numbers; -1: it did not say */
} HypervisorState;

typedef struct {
    /* A read-only connection and the list of its active domains named one-<number>, with their states; wild ones are
     * left out. NULL: error. */
    Hypervisor *(*open)(const char *uri, GError **error);
    void (*close)(Hypervisor *hypervisor);
    /* The list anew, over the same connection, once nobody asks over it. false: error, and it is only to be closed. */
    bool (*list_again)(Hypervisor *hypervisor, GError **error);
    /* Of HypervisorDomain; belongs to the connection. */
    const GPtrArray *(*domains)(const Hypervisor *hypervisor);
    /* Statistics of the domains with these uuids, in one call; array of VmSample, owned by the caller. A domain that
     * has ended is not in it; one that holds a job is there in part (NOWAIT). NULL: error. Thread-safe. */
    GPtrArray *(*stats)(Hypervisor *hypervisor, const char *const *uuids, guint count, HypervisorGroups groups,
                        GError **error);
    /* The counters of one disk (by its target, "vda") into its row, with one monitor round trip less than the group of
     * all. It waits while a job holds the domain. false: error; there is no such disk, the domain has ended. NULL: not
     * to be had. Thread-safe. */
    bool (*disk)(Hypervisor *hypervisor, const char *uuid, const char *target, MetricRow *row, GError **error);
    /* The domain's XML, or NULL where it has ended. Owned by the caller. Thread-safe. */
    char *(*xml)(Hypervisor *hypervisor, const char *uuid);
    /* How many active domains were left out because of their names. NULL: it can't tell. */
    guint (*left_out)(const Hypervisor *hypervisor);
    /* The states of all active domains, whatever their names, of HypervisorState, by one call over a connection of its
     * own that asks no QEMU. Owned by the caller; NULL: error, and never a list that lacks one. */
    GPtrArray *(*states)(const char *uri, GError **error);
} HypervisorApi;

void hypervisor_state_free(HypervisorState *state);

/* Who it is, and no figure yet. Owned by the caller. */
VmSample *hypervisor_vm_new(const HypervisorDomain *domain);

extern const HypervisorApi libvirt_api;
