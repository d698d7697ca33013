/* SPDX-License-Identifier: Apache-2.0
 * Where the spool is that a user has when nothing else is configured: in a directory of that user's below /var/tmp. */
#pragma once

#include "deliver/spool.h"

#define SPOOL_PLACES "/var/tmp" /* where every user's is */

/* The effective user's: /var/tmp/one-telemetry-<uid>/spool. Owned by the caller. */
char *spool_default_path(void);

/* Opens the spool, made where it is missing; of the default one also the directory it is in. That one is checked as the
 * spool is: anybody may put a link in its place. */
Spool *spool_open_place(const char *path, GError **error);

/* The same, but nothing is made. NULL and no error: there is none. Whatever else keeps us from it is an error. */
Spool *spool_open_existing(const char *path, GError **error);

/* A user who has a directory for the default spool, by the name or, where that is unknown, the number. */
typedef struct {
    char *path; /* of the spool, which may be missing where it is not ours to look */
    char *user;
} SpoolPlace;

void spool_place_free(SpoolPlace *place);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SpoolPlace, spool_place_free)

/* The name of user `uid`, or the number. Owned by the caller. */
char *spool_user_name(guint uid);

/* Of other users than the effective one, in the order of their paths: of SpoolPlace. What is not owned by whom its name
 * says is none. */
GPtrArray *spool_other_places(void);
