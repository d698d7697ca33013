/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/event_moment.h"

#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)
#define FILE_BYTES 128     /* more than a checksum and a time take */
#define LOCK_POLL_US 10000 /* between two looks whether the other one is done */
#define OPEN_TRIES 10      /* each is of another process that has just removed the file */

/* --- the file --- */

static int open_dir(const char *state_dir, GError **error)
{
    FILE_AUTO_CLOSE int parent = file_open_private_dir(state_dir, error);
    g_autofree char *path = g_build_filename(state_dir, "events", NULL);
    return parent >= 0 ? file_open_private_dir(path, error) : -1;
}

static bool lock(int fd)
{
    const gint64 until_us = g_get_monotonic_time() + (gint64)EVENT_MOMENT_LOCK_MS * 1000;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || g_get_monotonic_time() > until_us)
            return false;
        g_usleep(LOCK_POLL_US);
    }
    return true;
}

/* The VM's file, locked; -1: errno says why not. One that was removed while we waited for it is nobody's. */
static int open_locked(int dir, const char *name)
{
    for (guint i = 0; i < OPEN_TRIES; i++) {
        struct stat status;
        int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        if (fd < 0)
            return -1;
        if (!lock(fd) || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
            close(fd);
            errno = EBUSY;
            return -1;
        }
        if (status.st_nlink > 0)
            return fd;
        close(fd);
    }
    errno = EBUSY;
    return -1;
}

/* --- what it says --- */

/* "CHECKSUM NANOSECONDS\n". 0: it is not of this document, or too old, or cut off. */
static gint64 read_moment(int fd, const char *checksum, gint64 now_ns)
{
    char text[FILE_BYTES + 1];
    guint64 time_ns;
    const gssize got = pread(fd, text, FILE_BYTES, 0);
    if (got <= 0 || text[got - 1] != '\n')
        return 0;
    text[got - 1] = '\0';
    const gsize length = strlen(checksum);
    if (strncmp(text, checksum, length) != 0 || text[length] != ' ' || !text_read_u64(text + length + 1, &time_ns) ||
        time_ns > (guint64)now_ns || now_ns - (gint64)time_ns > EVENT_MOMENT_MAX_AGE_S * NS_PER_SECOND)
        return 0;
    return (gint64)time_ns;
}

static bool write_moment(int fd, const char *checksum, gint64 time_ns)
{
    g_autofree char *text = g_strdup_printf("%s %" G_GINT64_FORMAT "\n", checksum, time_ns);
    const gsize length = strlen(text);
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, length, 0) == (gssize)length;
}

gint64 event_moment_of(const char *state_dir, guint64 vm_id, const char *document, gsize length, gint64 now_ns,
                       GError **error)
{
    g_autofree char *name = g_strdup_printf("%" G_GUINT64_FORMAT, vm_id);
    g_autofree char *checksum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)document, length);
    FILE_AUTO_CLOSE int dir = open_dir(state_dir, error);
    if (dir < 0)
        return now_ns;
    FILE_AUTO_CLOSE int fd = open_locked(dir, name);
    const gint64 before_ns = fd >= 0 ? read_moment(fd, checksum, now_ns) : 0;
    if (fd < 0 || (before_ns == 0 && !write_moment(fd, checksum, now_ns)))
        g_set_error(error, FILE_ERROR, FILE_ERROR_IO, "%s/events/%s: %s", state_dir, name, g_strerror(errno));
    return before_ns ? before_ns : now_ns;
}

void event_moment_forget(const char *state_dir, guint64 vm_id)
{
    g_autofree char *name = g_strdup_printf("%" G_GUINT64_FORMAT, vm_id);
    FILE_AUTO_CLOSE int dir = open_dir(state_dir, NULL);
    if (dir >= 0)
        unlinkat(dir, name, 0);
}
