/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/pending.h"
#include "base/file.h"
#include "base/text.h"
#include "model/sample.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_RETRY_US 20000

G_DEFINE_QUARK(one_telemetry_pending, pending_error)

void pending_free(Pending *pending)
{
    if (!pending)
        return;
    g_free(pending->name);
    g_free(pending);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pending, pending_free)

static bool fail(GError **error, PendingErrorCode code, const char *reason)
{
    g_set_error_literal(error, PENDING_ERROR, (gint)code, reason);
    return false;
}

/* --- what is in a file --- */

bool pending_read_pid(const char *text, gsize length, gint64 *ret_pid, GError **error)
{
    while (length > 0 && g_ascii_isspace(text[length - 1]))
        length--;
    while (length > 0 && g_ascii_isspace(*text)) {
        text++;
        length--;
    }
    if (length == 0)
        return fail(error, PENDING_ERROR_EMPTY, "is empty");
    g_autofree char *digits = g_strndup(text, MIN(length, PENDING_FILE_MAX));
    guint64 pid;
    if (length > PENDING_FILE_MAX || strlen(digits) != length || !text_read_u64(digits, &pid) || pid == 0 ||
        pid > G_MAXINT64)
        return fail(error, PENDING_ERROR_FILE, "holds no process id");
    *ret_pid = (gint64)pid;
    return true;
}

/* --- files --- */

/* Of ours or root's, or we are root; not open to everybody. OpenNebula's are 0644, or 0664 where its user's umask is
 * 002. */
static bool check_status(const struct stat *status, GError **error)
{
    if (!S_ISREG(status->st_mode))
        return fail(error, PENDING_ERROR_FILE, "is not a regular file");
    if (status->st_uid != geteuid() && status->st_uid != 0 && geteuid() != 0)
        return fail(error, PENDING_ERROR_FILE, "belongs to another user");
    if (status->st_mode & S_IWOTH)
        return fail(error, PENDING_ERROR_FILE, "may be written by everybody");
    return status->st_size <= PENDING_FILE_MAX || fail(error, PENDING_ERROR_FILE, "is too long for a process id");
}

static bool fail_to_open(GError **error, int number)
{
    if (number == ENOENT)
        return fail(error, PENDING_ERROR_GONE, "is gone");
    /* ENXIO: a socket, or a pipe without a writer */
    return fail(error, PENDING_ERROR_FILE,
                number == ELOOP   ? "is a symbolic link"
                : number == ENXIO ? "is not a regular file"
                                  : g_strerror(number));
}

static Pending *read_pending(int dir_fd, const char *name, guint64 vm_id, GError **error)
{
    FILE_AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) {
        fail_to_open(error, errno);
        return NULL;
    }
    if (!check_status(&status, error))
        return NULL;
    char text[PENDING_FILE_MAX + 1];
    gssize length = read(fd, text, sizeof text);
    if (length < 0) {
        fail(error, PENDING_ERROR_FILE, g_strerror(errno));
        return NULL;
    }
    gint64 pid;
    if (!pending_read_pid(text, (gsize)length, &pid, error))
        return NULL;
    Pending *pending = g_new0(Pending, 1);
    pending->vm_id = vm_id;
    pending->name = g_strdup(name);
    pending->pid = pid;
    pending->device = status.st_dev;
    pending->inode = status.st_ino;
    pending->mtime_ns = status.st_mtim.tv_sec * G_GINT64_CONSTANT(1000000000) + status.st_mtim.tv_nsec;
    return pending;
}

/* --- the directory --- */

static int open_directory(const char *directory)
{
    return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static gint compare(gconstpointer a, gconstpointer b)
{
    guint64 left = (*(const Pending *const *)a)->vm_id, right = (*(const Pending *const *)b)->vm_id;
    return left < right ? -1 : left > right;
}

static gint compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void read_entry(int dir_fd, const char *name, GPtrArray *found, GPtrArray *complaints)
{
    guint64 vm_id;
    if (!vm_id_from_name(name, &vm_id))
        return;
    g_autoptr(GError) error = NULL;
    Pending *pending = read_pending(dir_fd, name, vm_id, &error);
    if (pending)
        g_ptr_array_add(found, pending);
    else if (error->code == PENDING_ERROR_FILE)
        g_ptr_array_add(complaints, g_strdup_printf("%s: the file %s", name, error->message));
}

GPtrArray *pending_list(const char *directory, GPtrArray *complaints, GError **error)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify)pending_free);
    DIR *stream = opendir(directory);
    if (!stream && errno == ENOENT)
        return g_steal_pointer(&found);
    if (!stream) {
        g_set_error(error, PENDING_ERROR, PENDING_ERROR_DIRECTORY, "%s: %s", directory, g_strerror(errno));
        return NULL;
    }
    for (struct dirent *entry; (entry = readdir(stream));)
        read_entry(dirfd(stream), entry->d_name, found, complaints);
    closedir(stream);
    g_ptr_array_sort(found, compare);
    g_ptr_array_sort(complaints, compare_texts);
    return g_steal_pointer(&found);
}

static bool is_there(int dir_fd, const Pending *pending)
{
    g_autoptr(Pending) now = read_pending(dir_fd, pending->name, pending->vm_id, NULL);
    return now && now->pid == pending->pid && now->device == pending->device && now->inode == pending->inode &&
           now->mtime_ns == pending->mtime_ns;
}

bool pending_is_there(const char *directory, const Pending *pending)
{
    FILE_AUTO_CLOSE int dir_fd = open_directory(directory);
    return dir_fd >= 0 && is_there(dir_fd, pending);
}

bool pending_remove(const char *directory, const Pending *pending, GError **error)
{
    FILE_AUTO_CLOSE int dir_fd = open_directory(directory);
    /* One that was put in its place meanwhile is of another command. */
    if (dir_fd < 0 || !is_there(dir_fd, pending) || unlinkat(dir_fd, pending->name, 0) == 0 || errno == ENOENT)
        return true;
    return fail(error, PENDING_ERROR_FILE, g_strerror(errno));
}

int pending_lock(const char *directory, gint64 limit_ms, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + limit_ms * 1000;
    FILE_AUTO_CLOSE int dir_fd = open_directory(directory);
    int fd = dir_fd < 0 ? -1
                        : openat(dir_fd, PENDING_LOCK,
                                 O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        bool wait = errno == EWOULDBLOCK || errno == EINTR;
        if (wait && g_get_monotonic_time() < deadline) {
            g_usleep(LOCK_RETRY_US);
            continue;
        }
        file_close_at_end(&fd);
        fd = -1;
        errno = wait ? ETIMEDOUT : errno;
    }
    if (fd < 0)
        fail(error, PENDING_ERROR_FILE, errno == ETIMEDOUT ? "another program holds it" : g_strerror(errno));
    return fd;
}
