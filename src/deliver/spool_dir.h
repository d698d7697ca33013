/* SPDX-License-Identifier: Apache-2.0
 * The directories of a spool, opened and checked. For the spool's own files and the ledger. */
#pragma once

#include "deliver/spool.h"

#include <dirent.h>

#define SPOOL_TMP "tmp"
#define SPOOL_BAD "bad"
#define SPOOL_LOCK "lock"
#define SPOOL_LEDGER "state" /* in a sink's directory; the name of its lock begins with it too */

struct Spool {
    char *path;
    int fd;
};

/* Sets the error for errno `number` at SPOOL/`dir`/`name` (`name`, or both, may be NULL). Always false. */
bool spool_fail(const Spool *spool, const char *dir, const char *name, int number, GError **error);
/* The same for an error of base/file.h, which is consumed. */
bool spool_fail_file(GError *reason, GError **error);

/* The spool itself: `path` with nothing behind its last name. A descriptor or -1. */
int spool_open_top(const char *path, GError **error);

/* Directory `name` of the spool. -1 and no error: it is missing and was not to be made. */
typedef enum { SPOOL_DIR_EXISTING, SPOOL_DIR_MAKE } SpoolDirUse;
int spool_open_dir(const Spool *spool, const char *name, SpoolDirUse use, GError **error);
/* The same of a sink, whose name is checked. */
int spool_open_sink(const Spool *spool, const char *sink, SpoolDirUse use, GError **error);

/* For reading the names in a directory from its beginning; the descriptor stays open and where it is. NULL: errno. */
DIR *spool_read_dir(int fd);
static inline void spool_close_read_dir(DIR *dir)
{
    closedir(dir);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DIR, spool_close_read_dir)

/* Makes the names in a directory durable. false: errno is set. */
bool spool_sync_dir(int fd);

/* Opens SPOOL/`dir`/`name` (`dir` may be NULL), made where it is missing, for a lock. A descriptor or -1. */
int spool_open_lock(const Spool *spool, int dir_fd, const char *dir, const char *name, GError **error);
