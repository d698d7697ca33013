/* SPDX-License-Identifier: Apache-2.0
 * From what was seen to what is to be said of it. Pure: what was seen comes in as facts. Each returns a Finding, or an
 * array of them, owned by the caller. */
#pragma once

#include "deliver/check.h"
#include "deliver/ledger.h"
#include "doctor/facts.h"
#include "doctor/finding.h"
#include "model/sample.h"

/* --- the machine (judge_machine.c) --- */

#define NO_USER ((uid_t)-1)
/* `called_by`: the effective user of the doctor; `user_id`: NO_USER where there is no `user`. */
Finding *judge_user(const char *user, uid_t user_id, uid_t called_by);

/* `version` ("7.4.0"): the first line of the tree's VERSION; NULL: there is none. */
Finding *judge_opennebula(const char *version);

/* What the kernel says of its clock: whether something keeps it right, and by how much it may be wrong. */
Finding *judge_clock(bool synchronised, gint64 max_error_us);

/* `skew_ms`: how far the clock of `whose` is ahead of ours, known to `within_ms`. NULL: near enough. */
#define SKEW_WARNING_MS 2000
#define SKEW_ERROR_MS 60000
Finding *judge_skew(const char *whose, gint64 skew_ms, gint64 within_ms);

/* --- the tree (judge_tree.c) --- */

/* How to change a file of `tree` so that it stays so: a host gets its tree from the front-end. `command` goes in front
 * of the file's path ("chmod 755"). Owned by the caller. */
char *judge_mend_file(Place place, const char *tree, const char *user, const char *command, const char *path);

/* Owner and mode of a configuration file; NULL: they are right. */
Finding *judge_file_access(const char *path, uid_t owner, mode_t mode, uid_t user_id, const char *user);

typedef struct {
    bool exists, executable; /* a regular file, which may be run */
} FileFact;

typedef struct {
    const char *tree;
    Place place;
    const char *user;
    bool has_qemu; /* the second tree is there */
    FileFact kvm, qemu;
    bool same; /* both have the same content */
} InstalledFacts;
Finding *judge_installed(const InstalledFacts *facts);

/* A file of the probes' directory that can't be meant to be run: a backup, an editor's or a package manager's leftover,
 * a hidden one, another copy of ours. */
bool judge_is_leftover(const char *name);

/* Of poll.rb beside our probe. */
Finding *judge_mode(const char *tree, const char *directory, bool replace, FileFact poll, const char *user,
                    Place place);

/* --- periods (judge_periods.c), in seconds --- */

typedef struct {
    double monitor_vm;    /* OpenNebula's */
    double deadline;      /* of a collection */
    double stale_after;   /* telemetryd's */
    gint64 least_max_age; /* of the sinks; 0: there is none */
    const char *monitord_conf, *probe_conf, *server_conf;
} PeriodFacts;
GPtrArray *judge_periods(const PeriodFacts *facts);

/* --- the hypervisor (judge_libvirt.c) --- */

/* `problem`: libvirt's words on a connection that failed. */
Finding *judge_libvirt_failure(const char *uri, const char *problem, const char *user);
Finding *judge_libvirt(const char *uri, double ms, guint domains, guint others);

/* What a domain's XML says of its balloon: the period of its statistics in seconds, 0 where it has none, or one of
 * these. */
#define BALLOON_UNKNOWN (-1)
#define BALLOON_NO_DEVICE (-2)
gint64 judge_balloon_period(const char *xml, gsize length);

/* Which guests say nothing of their memory. `periods`: a guint64 VM id's address to the address of a gint64 as above;
 * of a VM that is not in it the period is unknown. */
GPtrArray *judge_balloon(const char *uri, const Sample *sample, GHashTable *periods);

/* --- the probe by hand (judge_run.c) --- */

typedef struct {
    const char *command; /* as one would type it */
    double seconds;
    gsize bytes;         /* of records */
    guint records, keys; /* keys: of all of them */
    gsize message;       /* of our records, as OpenNebula compresses them */
    gsize limit;         /* message_limit */
    double deadline;
    bool replace;
    const char *complaints; /* lines of the probe's standard error; "": none */
} RunFacts;
GPtrArray *judge_run(const RunFacts *facts);

/* A message of all probes of the directory. */
Finding *judge_message(gsize bytes, guint probes, bool all_ran);

/* --- forwarding (judge_forwarding.c) --- */

typedef struct {
    const char *path;
    bool exists;
    uid_t owner, user_id;
    mode_t mode;
    bool is_dir;
    guint64 free_bytes, disk_bytes; /* of its disk; disk_bytes 0: not known */
    guint64 wanted_bytes;           /* what the sinks' queues may have */
    const char *user;
} SpoolFacts;
Finding *judge_spool(const SpoolFacts *facts);

/* Of the hooks' configuration and telemetryd's, which both name sinks: each forwarder sends to its own alone, and one
 * at a time may be at work in a spool. NULL: they have different ones. */
Finding *judge_shared_spool(const char *hooks_spool, const char *telemetryd_spool, const char *telemetryd_conf);

/* What starts a forwarder on a front-end when no event does. */
#define RESEND_TIMER "one-telemetry-forward.timer"
typedef struct {
    bool has_sinks; /* hooks have where to send */
    bool has_systemd, timer_active, cron;
    const char *forwarder, *user;
} ResendFacts;
Finding *judge_resend(const ResendFacts *facts);

typedef struct {
    const SinkSettings *sink;
    const Ledger *ledger;
    const SpoolWaiting *waiting;
    const char *flush; /* the command line that sends all now */
    gint64 now_ns;
} QueueFacts;
Finding *judge_queue(const QueueFacts *facts);

Finding *judge_sink(const SinkCheck *check);

/* Who holds the lock on the file with this inode, by the text of /proc/locks; 0: nobody. */
gint64 judge_lock_holder(const char *locks, guint64 inode);

/* --- telemetryd (judge_telemetryd.c) --- */

typedef struct {
    const char *url;
    const char *problem;  /* why there was no answer; NULL: there was */
    long status;          /* of /healthz */
    const char *said;     /* what it says when it is not well */
    const char *version;  /* NULL: it does not say */
    bool configured;      /* /etc/one/telemetry.conf is there */
    bool enabled, active; /* its unit */
    bool has_systemd;
} EndpointFacts;
GPtrArray *judge_endpoint(const EndpointFacts *facts);
