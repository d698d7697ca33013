/* SPDX-License-Identifier: Apache-2.0
 * What OpenNebula's commands print with -x: hooks, a hook's executions, hosts. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define POOL_MAX (64 * 1024 * 1024) /* bytes of such a document */

typedef struct {
    guint64 id;
    char *name; /* texts are "" where there is none */
    char *type, *resource, *command, *arguments, *arguments_stdin;
} Hook;

typedef struct {
    guint64 id;
    gint64 time_s; /* Unix time */
    gint64 code;   /* exit status */
    bool retry;    /* it repeats an earlier one */
    char *said;    /* the last line of its standard error */
} HookRun;

/* In OpenNebula's numbers. */
typedef enum {
    HOST_INIT,
    HOST_MONITORING_MONITORED,
    HOST_MONITORED,
    HOST_ERROR,
    HOST_DISABLED,
    HOST_MONITORING_ERROR,
    HOST_MONITORING_INIT,
    HOST_MONITORING_DISABLED,
    HOST_OFFLINE,
} HostState;

typedef struct {
    guint64 id;
    char *name, *im_mad;
    guint64 state;
} CloudHost;

/* Arrays of these, in the document's order; what has no number for its ID is passed over. NULL: it is none of what is
 * expected. Errors: XML_READ_ERROR, G_MARKUP_ERROR. */
GPtrArray *pool_hooks(const char *text, gsize length, GError **error);
GPtrArray *pool_hook_runs(const char *text, gsize length, GError **error); /* of `onehook show`: the latest last */
GPtrArray *pool_hosts(const char *text, gsize length, GError **error);
