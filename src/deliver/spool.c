/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/spool.h"
#include "base/file.h"
#include "deliver/spool_dir.h"
#include "deliver/spool_name.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* spool_is_idle of another process holds the lock for an instant; that must not look like a forwarder. */
#define LOCK_TRIES 5
#define LOCK_PAUSE_US 10000

Spool *spool_open(const char *path, GError **error)
{
    /* A slash at the end would follow the link that it stands behind. */
    g_autofree char *plain = g_strdup(path);
    for (gsize length = strlen(plain); length > 1 && plain[length - 1] == '/'; length--)
        plain[length - 1] = '\0';
    int fd = spool_open_top(plain, error);
    if (fd < 0)
        return NULL;
    Spool *spool = g_new(Spool, 1);
    *spool = (Spool){.path = g_steal_pointer(&plain), .fd = fd};
    return spool;
}

void spool_close(Spool *spool)
{
    close(spool->fd);
    g_free(spool->path);
    g_free(spool);
}

const char *spool_path(const Spool *spool)
{
    return spool->path;
}

/* --- single batches --- */

/* The sink's directory when it is there and `name` can be a batch in it. -1 and no error: it is missing. */
static int open_for(const Spool *spool, const char *sink, const char *name, GError **error)
{
    gint64 time_ns;
    if (spool_name_parse(name, &time_ns))
        return spool_open_sink(spool, sink, SPOOL_DIR_EXISTING, error);
    g_set_error(error, SPOOL_ERROR, SPOOL_ERROR_UNSAFE, "\"%s\" is not the name of a batch", name);
    return -1;
}

char *spool_read(Spool *spool, const char *sink, const char *name, gsize *ret_length, GError **error)
{
    FILE_AUTO_CLOSE int fd = open_for(spool, sink, name, error);
    g_autoptr(GError) reason = NULL;
    char *data = NULL;
    if (fd < 0 || file_read_private(fd, name, SPOOL_BATCH_MAX, &data, ret_length, &reason))
        return data;
    if (!g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING))
        spool_fail_file(g_steal_pointer(&reason), error);
    return NULL;
}

bool spool_remove(Spool *spool, const char *sink, const char *name, GError **error)
{
    g_autoptr(GError) reason = NULL;
    FILE_AUTO_CLOSE int fd = open_for(spool, sink, name, &reason);
    if (reason) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    return fd < 0 || unlinkat(fd, name, 0) == 0 || errno == ENOENT || spool_fail(spool, sink, name, errno, error);
}

/* --- the forwarder's lock --- */

int spool_lock(Spool *spool, GError **error)
{
    int fd = spool_open_lock(spool, spool->fd, NULL, SPOOL_LOCK, error);
    if (fd < 0)
        return -1;
    for (guint tries = 1; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (errno != EWOULDBLOCK || tries == LOCK_TRIES) {
            if (errno != EWOULDBLOCK)
                spool_fail(spool, NULL, SPOOL_LOCK, errno, error);
            close(fd);
            return -1;
        }
        g_usleep(LOCK_PAUSE_US);
    }
    return fd;
}

bool spool_is_idle(Spool *spool)
{
    FILE_AUTO_CLOSE int fd = openat(spool->fd, SPOOL_LOCK, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0;
}
