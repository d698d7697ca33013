/* SPDX-License-Identifier: Apache-2.0
 * New files of the spool: written and synced under a name in tmp/, then linked to where they are seen. Internal to the
 * spool. */
#pragma once

#include "deliver/spool.h"

/* A whole file in tmp/, locked as long as it is open, which keeps spool_clean off. */
typedef struct {
    int dir_fd, fd; /* of tmp/ and of the file */
    char *name;
} SpoolTemporary;
#define SPOOL_TEMPORARY_INIT                                                                                           \
    {                                                                                                                  \
        -1, -1, NULL                                                                                                   \
    }

/* `temporary` is SPOOL_TEMPORARY_INIT. When this returns true the bytes are on the disk. After a failure nothing is
 * left. */
bool spool_temporary_write(SpoolTemporary *temporary, const Spool *spool, const void *data, gsize length,
                           GError **error);
/* Takes the name in tmp/ away; what was linked stays. */
void spool_temporary_clear(SpoolTemporary *temporary);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SpoolTemporary, spool_temporary_clear)

/* Another name for it in directory `fd`; never in the place of what is there. false: errno is set. */
bool spool_temporary_link(const SpoolTemporary *temporary, int fd, const char *name);

/* Unlinks what is no longer used of tmp/. */
bool spool_clean_temporaries(const Spool *spool, GError **error);
