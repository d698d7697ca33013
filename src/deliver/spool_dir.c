/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/spool_dir.h"
#include "base/file.h"
#include "deliver/spool_name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 3 /* another process may make the directory, and spool_clean remove it, between our calls */

G_DEFINE_QUARK(one_telemetry_spool_error, spool_error)

/* --- errors --- */

bool spool_fail(const Spool *spool, const char *dir, const char *name, int number, GError **error)
{
    SpoolErrorCode code = SPOOL_ERROR_IO;
    const char *reason = g_strerror(number);
    if (number == ENOSPC || number == EDQUOT) {
        code = SPOOL_ERROR_FULL;
    } else if (number == ELOOP) { /* what O_NOFOLLOW says */
        code = SPOOL_ERROR_UNSAFE;
        reason = "is a symbolic link";
    }
    g_autofree char *path = g_build_filename(spool->path, dir ? dir : name, dir ? name : NULL, NULL);
    g_set_error(error, SPOOL_ERROR, code, "%s: %s", path, reason);
    return false;
}

bool spool_fail_file(GError *reason, GError **error)
{
    SpoolErrorCode code = SPOOL_ERROR_IO;
    if (g_error_matches(reason, FILE_ERROR, FILE_ERROR_UNSAFE))
        code = SPOOL_ERROR_UNSAFE;
    else if (g_error_matches(reason, FILE_ERROR, FILE_ERROR_TOO_LARGE))
        code = SPOOL_ERROR_TOO_LARGE;
    g_set_error_literal(error, SPOOL_ERROR, code, reason->message);
    g_error_free(reason);
    return false;
}

/* --- directories --- */

bool spool_sync_dir(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL; /* EINVAL: a file system without that */
}

/* A directory that was just made is only there for good when its parent is on the disk. One that may be entered but not
 * read can't be synced by us. */
static bool sync_parent(int dir_fd, int fd)
{
    if (dir_fd != AT_FDCWD)
        return spool_sync_dir(dir_fd);
    FILE_AUTO_CLOSE int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return parent < 0 ? errno == EACCES : spool_sync_dir(parent);
}

static bool is_closed_to_others(const Spool *spool, const char *name, int fd, GError **error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return spool_fail(spool, name, NULL, errno, error);
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return true;
    g_autofree char *path = g_build_filename(spool->path, name, NULL);
    g_set_error(error, SPOOL_ERROR, SPOOL_ERROR_UNSAFE, "%s: is open to others (mode %04o instead of 0700)", path,
                (guint)(status.st_mode & 07777));
    return false;
}

/* As file_open_private_dir_at, but made where it is missing. `spool` is for messages alone. */
static int open_or_make(const Spool *spool, int dir_fd, const char *name, GError **error)
{
    for (guint tries = 1;; tries++) {
        g_autoptr(GError) reason = NULL;
        int fd = file_open_private_dir_at(dir_fd, name, &reason);
        if (fd >= 0)
            return fd;
        if (!g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING) || tries == TRIES) {
            spool_fail_file(g_steal_pointer(&reason), error);
            return -1;
        }
        if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST) {
            spool_fail(spool, dir_fd == AT_FDCWD ? NULL : name, NULL, errno, error);
            return -1;
        }
    }
}

static int open_dir(const Spool *spool, int dir_fd, const char *name, SpoolDirUse use, GError **error)
{
    g_autoptr(GError) reason = NULL;
    bool made = false;
    int opened = file_open_private_dir_at(dir_fd, name, &reason);
    if (g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING)) {
        if (use == SPOOL_DIR_EXISTING)
            return -1;
        opened = open_or_make(spool, dir_fd, name, error);
        made = true; /* if not by us, then by another just now, who may not have synced it */
    } else if (opened < 0) {
        spool_fail_file(g_steal_pointer(&reason), error);
    }
    FILE_AUTO_CLOSE int fd = opened;
    if (fd < 0 || !is_closed_to_others(spool, dir_fd == AT_FDCWD ? NULL : name, fd, error))
        return -1;
    if (made && !sync_parent(dir_fd, fd)) {
        spool_fail(spool, dir_fd == AT_FDCWD ? NULL : name, NULL, errno, error);
        return -1;
    }
    fd = -1; /* the caller's now */ /* NOLINT(clang-analyzer-deadcode.DeadStores): seen by the cleanup */
    return opened;
}

int spool_open_top(const char *path, GError **error)
{
    const Spool spool = {.path = (char *)(guintptr)path, .fd = -1};
    return open_dir(&spool, AT_FDCWD, path, SPOOL_DIR_MAKE, error);
}

int spool_open_dir(const Spool *spool, const char *name, SpoolDirUse use, GError **error)
{
    return open_dir(spool, spool->fd, name, use, error);
}

int spool_open_sink(const Spool *spool, const char *sink, SpoolDirUse use, GError **error)
{
    if (!spool_is_sink_name(sink)) {
        g_set_error(error, SPOOL_ERROR, SPOOL_ERROR_UNSAFE, "\"%s\" can't be the name of a sink", sink);
        return -1;
    }
    return open_dir(spool, spool->fd, sink, use, error);
}

DIR *spool_read_dir(int fd)
{
    FILE_AUTO_CLOSE int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    if (dir)
        again = -1; /* NOLINT(clang-analyzer-deadcode.DeadStores): seen by the cleanup */
    return dir;
}

int spool_open_lock(const Spool *spool, int dir_fd, const char *dir, const char *name, GError **error)
{
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (fd < 0)
        spool_fail(spool, dir, name, errno, error);
    return fd;
}
