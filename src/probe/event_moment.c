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

#define NS_PER_SECOND G_GUINT64_CONSTANT(1000000000)
#define FILE_BYTES 128     /* more than a checksum and two times take */
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

/* "CHECKSUM NANOSECONDS SECONDS\n": of the VM's last document, when it was first told, and its latest stamp. */
typedef struct {
    char *checksum; /* NULL: there was none, or it is cut off */
    guint64 time_ns, latest_s;
} Moment;

static Moment read_moment(int fd)
{
    char text[FILE_BYTES + 1];
    Moment moment = {0};
    const gssize got = pread(fd, text, FILE_BYTES, 0);
    if (got <= 0 || text[got - 1] != '\n')
        return moment;
    text[got - 1] = '\0';
    g_auto(GStrv) words = g_strsplit(text, " ", 4);
    if (g_strv_length(words) == 3 && text_read_u64(words[1], &moment.time_ns) &&
        text_read_u64(words[2], &moment.latest_s))
        moment.checksum = g_strdup(words[0]);
    return moment;
}

static bool write_moment(int fd, const Moment *moment)
{
    g_autofree char *text = g_strdup_printf("%s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", moment->checksum,
                                            moment->time_ns, moment->latest_s);
    const gsize length = strlen(text);
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, length, 0) == (gssize)length;
}

/* What lies ahead is of a clock that was set back since, and tells nothing. */
static bool is_old(const Moment *last, const Moment *now)
{
    return last->checksum && last->latest_s > now->latest_s && last->latest_s <= now->time_ns / NS_PER_SECOND;
}

static bool is_again(const Moment *last, const Moment *now)
{
    return last->checksum && strcmp(last->checksum, now->checksum) == 0 && last->time_ns <= now->time_ns &&
           now->time_ns - last->time_ns <= EVENT_MOMENT_MAX_AGE_S * NS_PER_SECOND;
}

/* false: errno. */
static bool settle(int fd, const Moment *now, gint64 *ret_time_ns)
{
    const Moment last = read_moment(fd);
    g_autofree char *checksum = last.checksum;
    *ret_time_ns = is_old(&last, now) ? 0 : (gint64)(is_again(&last, now) ? last.time_ns : now->time_ns);
    return *ret_time_ns != (gint64)now->time_ns || write_moment(fd, now);
}

gint64 event_moment_of(const char *state_dir, const EventTold *told, gint64 now_ns, GError **error)
{
    gint64 time_ns = now_ns;
    g_autofree char *name = g_strdup_printf("%" G_GUINT64_FORMAT, told->vm_id);
    g_autofree char *checksum =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)told->document, told->length);
    const Moment now = {checksum, (guint64)now_ns, (guint64)told->latest_s};
    FILE_AUTO_CLOSE int dir = open_dir(state_dir, error);
    if (dir < 0)
        return now_ns;
    FILE_AUTO_CLOSE int fd = open_locked(dir, name);
    if (fd < 0 || !settle(fd, &now, &time_ns))
        g_set_error(error, FILE_ERROR, FILE_ERROR_IO, "%s/events/%s: %s", state_dir, name, g_strerror(errno));
    return time_ns;
}

void event_moment_forget(const char *state_dir, guint64 vm_id)
{
    g_autofree char *name = g_strdup_printf("%" G_GUINT64_FORMAT, vm_id);
    FILE_AUTO_CLOSE int dir = open_dir(state_dir, NULL);
    if (dir >= 0)
        unlinkat(dir, name, 0);
}
