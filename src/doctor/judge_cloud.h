/* SPDX-License-Identifier: Apache-2.0
 * What is to be said of OpenNebula's hooks and hosts. Pure; see judges.h. */
#pragma once

#include "doctor/finding.h"
#include "doctor/pools.h"

/* --- hooks --- */

#define HOOK_PREFIX "telemetry-" /* ours are named so */

/* A hook that there should be. */
typedef struct {
    char *name, *command; /* command: NULL: not known. Likewise the next */
    char *path;           /* of its template */
} HookTemplate;
void hook_template_free(HookTemplate *template);

/* `templates`: of HookTemplate; none: it is not known which there should be. `hooks`: of Hook, all that are registered.
 * `sudo`: in front of OpenNebula's commands ("sudo -u oneadmin"). */
GPtrArray *judge_hooks(const GPtrArray *templates, const GPtrArray *hooks, const char *sudo);

/* The runs of one hook that OpenNebula keeps, the latest last. NULL: nothing to be said. */
#define HOOK_RUNS_RECENT_S 86400
Finding *judge_hook_runs(const Hook *hook, const GPtrArray *runs, gint64 now_s, const char *sudo);

/* --- hosts --- */

typedef struct {
    const char *name;
    guint64 state;           /* HostState */
    bool asked;              /* by ssh */
    const char *problem;     /* why that failed; NULL: it did not */
    const char *answer;      /* lines: its clock as seconds.nanoseconds, then the probe's --version or what it says */
    gint64 begin_ns, end_ns; /* of the asking, our realtime */
    const char *version;     /* that the front-end's probe has */
    const char *sudo;
    const char *tree; /* on hosts */
} HostFacts;

/* What is asked of a host's shell, where its tree is there. Owned by the caller. */
char *host_question(const char *tree);
/* Hosts that are out of use on purpose are not asked. */
bool host_is_to_be_asked(const CloudHost *host);
GPtrArray *judge_host(const HostFacts *facts);
