/* SPDX-License-Identifier: Apache-2.0
 * The state probe's rules: what OpenNebula is told of the VMs' states, from what was known and what is now, and what is
 * to be known next time. They are those of OpenNebula's own probe, whose table it is. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* OpenNebula's word for a domain's state, by libvirt's numbers (virDomainState, and the reason of VIR_DOMAIN_PAUSED;
 * others' reasons do not count): RUNNING, SUSPENDED, FAILURE, or UNKNOWN, which it takes for "there, and no news". A
 * guest that arrives by migration, paused meanwhile, is RUNNING: OpenNebula disregards what a host says of a VM that it
 * has on another. */
const char *status_word(int state, int reason);

/* A domain of now. One that is no VM by its name may still be one: OpenNebula knows what it has imported by deploy id,
 * and powers it off if a full report does not name it. So it is new and missing by the same rules, but what
 * becomes of it otherwise is told in full reports alone. */
typedef struct {
    gint64 id; /* 83 of one-83; -1 of any other name */
    char *name, *uuid;
    const char *state; /* of status_word */
} StatusVm;

StatusVm *status_vm_new(gint64 id, const char *name, const char *uuid, const char *state);
void status_vm_free(StatusVm *vm);

/* A row of the table `states`. Its texts may be NULL, and its numbers anything: others write there as well. */
typedef struct {
    gint64 row; /* SQLite's number of it; 0: it has none yet */
    gint64 id;  /* of the VM; below 0 of a domain of another name, which its uuid tells from others */
    char *uuid, *name, *deploy_id, *state;
    gint64 written_s; /* column timestamp: seconds since 1970 */
    gint64 missing;   /* in how many runs, up to the last, it was not seen */
} StatusRow;

StatusRow *status_row_new(gint64 id, const char *name, const char *uuid, const char *state);
void status_row_free(StatusRow *row);

#define STATUS_SYNC_S 180               /* without SYNC_STATE_VM in OpenNebula's configuration */
#define STATUS_MISSING_STATE "POWEROFF" /* of a VM that is gone */

typedef struct {
    gint64 now_s, last_full_s; /* seconds since 1970; the last full report; 0: never */
    guint64 sync_s;            /* the next one is due when more than so many have gone by */
    guint64 times_missing;     /* a VM that was missing so often is gone when it is missing once more */
    guint64 obsolete_s;        /* a row that is older is no longer believed */
} StatusOptions;

typedef struct {
    GString *text;   /* for OpenNebula; empty: nothing has changed */
    bool full;       /* it names every VM, and OpenNebula powers off what it does not name */
    GPtrArray *put;  /* of StatusRow: rows to write; each takes the place of the row it has the number of */
    GArray *dropped; /* of gint64: numbers of rows to take out */
} StatusReport;

/* vms: of StatusVm, no name twice; rows: of StatusRow. What is neither in `put` nor `dropped` stays as it is, so that a
 * run in which nothing has changed writes nothing. */
StatusReport *status_report(const GPtrArray *vms, const GPtrArray *rows, const StatusOptions *options);
void status_report_free(StatusReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StatusReport, status_report_free)
