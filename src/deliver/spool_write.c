/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/spool_write.h"
#include "base/file.h"
#include "deliver/spool_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAMES_TRIED 1000 /* leftovers of earlier processes with our number, and our own threads */

static void unlink_keeping_errno(int dir_fd, const char *name)
{
    int number = errno;
    unlinkat(dir_fd, name, 0);
    errno = number;
}

void spool_temporary_clear(SpoolTemporary *temporary)
{
    if (temporary->fd >= 0)
        unlink_keeping_errno(temporary->dir_fd, temporary->name);
    file_close_at_end(&temporary->fd);
    file_close_at_end(&temporary->dir_fd);
    g_free(temporary->name);
    *temporary = (SpoolTemporary)SPOOL_TEMPORARY_INIT;
}

/* false: errno is set. */
static bool create(SpoolTemporary *temporary)
{
    for (guint n = 0; n < NAMES_TRIED; n++) {
        g_free(temporary->name);
        temporary->name = g_strdup_printf("%d-%u", (int)getpid(), n);
        temporary->fd =
            openat(temporary->dir_fd, temporary->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (temporary->fd >= 0 || errno != EEXIST)
            break;
    }
    return temporary->fd >= 0;
}

bool spool_temporary_write(SpoolTemporary *temporary, const Spool *spool, const void *data, gsize length,
                           GError **error)
{
    temporary->dir_fd = spool_open_dir(spool, SPOOL_TMP, SPOOL_DIR_MAKE, error);
    if (temporary->dir_fd < 0)
        return false;
    if (create(temporary)) {
        /* On a file system without locks its age alone protects the file, so that is no error. */
        (void)flock(temporary->fd, LOCK_EX | LOCK_NB);
        if (file_write_all(temporary->fd, data, length) && fsync(temporary->fd) == 0)
            return true;
    }
    spool_fail(spool, SPOOL_TMP, temporary->name, errno, error);
    spool_temporary_clear(temporary);
    return false;
}

bool spool_temporary_link(const SpoolTemporary *temporary, int fd, const char *name)
{
    return linkat(temporary->dir_fd, temporary->name, fd, name, 0) == 0;
}

/* --- leftovers --- */

/* Whoever wrote it has ended: a lock goes with its process, whatever number that had, and is kept by one that was only
 * stopped. */
static bool has_no_writer(int dir_fd, const char *name)
{
    FILE_AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

/* Age counts in both directions: a time in the future means that the clock was set back. */
static bool is_leftover(int dir_fd, const char *name)
{
    struct stat status;
    return fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(status.st_mode) &&
           ABS(time(NULL) - status.st_mtime) > SPOOL_TMP_MAX_AGE_S && has_no_writer(dir_fd, name);
}

bool spool_clean_temporaries(const Spool *spool, GError **error)
{
    g_autoptr(GError) reason = NULL;
    FILE_AUTO_CLOSE int fd = spool_open_dir(spool, SPOOL_TMP, SPOOL_DIR_EXISTING, &reason);
    if (reason) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    if (fd < 0)
        return true;
    g_autoptr(DIR) dir = spool_read_dir(fd);
    if (!dir)
        return spool_fail(spool, SPOOL_TMP, NULL, errno, error);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (is_leftover(fd, entry->d_name) && unlinkat(fd, entry->d_name, 0) < 0 && errno != ENOENT)
            return spool_fail(spool, SPOOL_TMP, entry->d_name, errno, error);
    return true;
}
