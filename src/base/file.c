/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LEFTOVER_AGE_S 60 /* no writer needs that long, so a temporary file of this age belongs to none */
#define FIRST_READ 4096   /* bytes; files in /proc say that they have none */

/* O_NONBLOCK: a FIFO put where a file should be must not hold us; on a regular file it changes nothing. */
#define OPEN_ANY (O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

G_DEFINE_QUARK(one_telemetry_file_error, file_error)

void file_close_at_end(const int *fd)
{
    int errno_before = errno;
    if (*fd >= 0)
        close(*fd);
    errno = errno_before;
}

/* --- errors --- */

/* Where a person finds `name` of that directory. Owned by the caller. */
static char *path_in(int dir_fd, const char *name)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", dir_fd);
    g_autofree char *directory = g_file_read_link(link, NULL);
    return directory ? g_build_filename(directory, name, NULL) : g_strdup(name);
}

static bool fail_errno(GError **error, const char *path, int number)
{
    FileErrorCode code = FILE_ERROR_IO;
    const char *reason = g_strerror(number);
    if (number == ENOENT) {
        code = FILE_ERROR_MISSING;
    } else if (number == ENXIO || number == EISDIR) { /* a socket, a FIFO without reader; a directory */
        code = FILE_ERROR_UNSAFE;
        reason = "is not a regular file";
    }
    g_set_error(error, FILE_ERROR, code, "%s: %s", path, reason);
    return false;
}

/* O_NOFOLLOW has met something that it refuses; which errno that gives depends on O_DIRECTORY. */
static bool fail_open_nofollow(GError **error, int dir_fd, const char *name, const char *path, int number)
{
    struct stat status;
    bool is_link = fstatat(dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
    if (number != ELOOP && number != ENOTDIR)
        return fail_errno(error, path, number);
    g_set_error(error, FILE_ERROR, FILE_ERROR_UNSAFE, "%s: %s", path,
                is_link ? "is a symbolic link" : g_strerror(number));
    return false;
}

static bool fail_too_large(GError **error, const char *path, gsize limit)
{
    g_set_error(error, FILE_ERROR, FILE_ERROR_TOO_LARGE, "%s: larger than %" G_GSIZE_FORMAT " bytes", path, limit);
    return false;
}

/* --- what an open descriptor is: asked of itself, as what a path leads to can change in between --- */

static bool check_kind(int fd, mode_t kind, const char *path, struct stat *ret_status, GError **error)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return fail_errno(error, path, errno);
    if ((status.st_mode & S_IFMT) != kind) {
        g_set_error(error, FILE_ERROR, FILE_ERROR_UNSAFE, "%s: is not a %s", path,
                    kind == S_IFDIR ? "directory" : "regular file");
        return false;
    }
    *ret_status = status;
    return true;
}

static bool check_private(int fd, mode_t kind, const char *path, struct stat *ret_status, GError **error)
{
    struct stat status;
    if (!check_kind(fd, kind, path, &status, error))
        return false;
    if (status.st_uid != geteuid()) {
        g_set_error(error, FILE_ERROR, FILE_ERROR_UNSAFE, "%s: belongs to user %u, not to user %u", path,
                    (guint)status.st_uid, (guint)geteuid());
        return false;
    }
    if (status.st_mode & (S_IWGRP | S_IWOTH)) {
        g_set_error(error, FILE_ERROR, FILE_ERROR_UNSAFE, "%s: others may write to it (mode %04o)", path,
                    (guint)(status.st_mode & 07777));
        return false;
    }
    *ret_status = status;
    return true;
}

int file_open_private_dir_at(int dir_fd, const char *name, GError **error)
{
    int opened = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | OPEN_ANY);
    int number = errno;
    FILE_AUTO_CLOSE int fd = opened;
    g_autofree char *path = path_in(dir_fd, name);
    struct stat status;
    if (fd < 0) {
        fail_open_nofollow(error, dir_fd, name, path, number);
        return -1;
    }
    if (!check_private(fd, S_IFDIR, path, &status, error))
        return -1;
    fd = -1; /* the caller's now */ /* NOLINT(clang-analyzer-deadcode.DeadStores): seen by the cleanup */
    return opened;
}

int file_open_private_dir(const char *path, GError **error)
{
    /* A slash at the end would follow the link that it stands behind. */
    g_autofree char *plain = g_strdup(path);
    for (gsize length = strlen(plain); length > 1 && plain[length - 1] == '/'; length--)
        plain[length - 1] = '\0';

    g_autoptr(GError) reason = NULL;
    int fd = file_open_private_dir_at(AT_FDCWD, plain, &reason);
    if (g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING)) {
        g_clear_error(&reason);
        if (mkdir(plain, 0700) < 0 && errno != EEXIST)
            fail_errno(&reason, plain, errno);
        else
            fd = file_open_private_dir_at(AT_FDCWD, plain, &reason);
    }
    if (fd < 0)
        g_propagate_error(error, g_steal_pointer(&reason));
    return fd;
}

/* --- reading --- */

static gssize read_some(int fd, char *buffer, gsize room)
{
    gssize got;
    do
        got = read(fd, buffer, room);
    while (got < 0 && errno == EINTR);
    return got;
}

/* The file may grow, or have said nothing of its size: what is read counts. */
static bool read_all(int fd, const struct stat *status, gsize limit, const char *path, char **ret_content,
                     gsize *ret_length, GError **error)
{
    if ((guint64)status->st_size > limit)
        return fail_too_large(error, path, limit);

    gsize room = MAX((gsize)status->st_size + 2, (gsize)FIRST_READ), length = 0;
    g_autofree char *content = g_malloc(room);
    for (;;) {
        if (length + 1 == room) {
            room *= 2;
            content = g_realloc(content, room);
        }
        gssize got = read_some(fd, content + length, room - length - 1);
        if (got < 0)
            return fail_errno(error, path, errno);
        if (got == 0)
            break;
        length += (gsize)got;
        if (length > limit)
            return fail_too_large(error, path, limit);
    }
    content[length] = '\0';
    *ret_content = g_steal_pointer(&content);
    *ret_length = length;
    return true;
}

bool file_read_private(int dir_fd, const char *name, gsize limit, char **ret_content, gsize *ret_length, GError **error)
{
    g_assert(!strchr(name, '/'));
    FILE_AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | OPEN_ANY);
    int number = errno;
    g_autofree char *path = path_in(dir_fd, name);
    struct stat status;
    if (fd < 0)
        return fail_open_nofollow(error, dir_fd, name, path, number);
    return check_private(fd, S_IFREG, path, &status, error) &&
           read_all(fd, &status, limit, path, ret_content, ret_length, error);
}

bool file_read(const char *path, gsize limit, char **ret_content, gsize *ret_length, GError **error)
{
    FILE_AUTO_CLOSE int fd = open(path, O_RDONLY | OPEN_ANY);
    struct stat status;
    if (fd < 0)
        return fail_errno(error, path, errno);
    return check_kind(fd, S_IFREG, path, &status, error) &&
           read_all(fd, &status, limit, path, ret_content, ret_length, error);
}

static bool check_secret(int fd, const char *path, struct stat *ret_status, GError **error)
{
    struct stat status;
    if (!check_kind(fd, S_IFREG, path, &status, error))
        return false;
    bool is_ours = status.st_uid == geteuid();
    if (!is_ours && status.st_uid != 0) {
        g_set_error(error, FILE_ERROR, FILE_ERROR_UNSAFE,
                    "%s: belongs to user %u, not to user %u: run as that user, or chown %u %s", path,
                    (guint)status.st_uid, (guint)geteuid(), (guint)geteuid(), path);
        return false;
    }
    mode_t nobodys = is_ours ? S_IRWXG | S_IRWXO : S_IWGRP | S_IXGRP | S_IRWXO;
    if (status.st_mode & nobodys) {
        g_set_error(error, FILE_ERROR, FILE_ERROR_UNSAFE, "%s: others may read or change it (mode %04o): chmod %s %s",
                    path, (guint)(status.st_mode & 07777), is_ours ? "600" : "640", path);
        return false;
    }
    *ret_status = status;
    return true;
}

bool file_read_secret(const char *path, gsize limit, char **ret_content, gsize *ret_length, GError **error)
{
    FILE_AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | OPEN_ANY);
    int number = errno;
    struct stat status;
    if (fd < 0)
        return fail_open_nofollow(error, AT_FDCWD, path, path, number);
    return check_secret(fd, path, &status, error) && read_all(fd, &status, limit, path, ret_content, ret_length, error);
}

/* --- writing --- */

bool file_write_all(int fd, const char *content, gsize length)
{
    while (length > 0) {
        gssize written = write(fd, content, length);
        if (written > 0) {
            content += written;
            length -= (gsize)written;
        } else if (written == 0) {
            errno = EIO;
            return false;
        } else if (errno == EAGAIN) { /* standard output may be a pipe that our parent made non-blocking */
            struct pollfd ready = {.fd = fd, .events = POLLOUT};
            if (poll(&ready, 1, -1) < 0 && errno != EINTR)
                return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

bool file_append(const char *path, const char *content, gsize length, GError **error)
{
    FILE_AUTO_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | OPEN_ANY, 0644);
    struct stat status;
    if (fd < 0)
        return fail_errno(error, path, errno);
    if (!check_kind(fd, S_IFREG, path, &status, error))
        return false;
    return file_write_all(fd, content, length) || fail_errno(error, path, errno);
}

static bool is_temporary_of(const char *name, const char *entry)
{
    gsize length = strlen(name);
    const char *mark = ".tmp-";
    if (strncmp(entry, name, length) != 0 || !g_str_has_prefix(entry + length, mark))
        return false;
    const char *pid = entry + length + strlen(mark);
    return *pid && pid[strspn(pid, "0123456789")] == '\0';
}

/* Processes killed while they wrote leave their temporary files. Age decides and not whether the process is there:
 * after a restart of the machine its number is another's. */
static void remove_leftovers(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        file_close_at_end(&fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct stat status;
        if (is_temporary_of(name, entry->d_name) && fstatat(dir_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            ABS(time(NULL) - status.st_mtime) > LEFTOVER_AGE_S)
            unlinkat(dir_fd, entry->d_name, 0);
    }
    closedir(directory);
}

/* false: errno is set. */
static bool write_new(int dir_fd, const char *name, const char *content, gsize length)
{
    FILE_AUTO_CLOSE int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd >= 0 && fchmod(fd, 0600) == 0 && file_write_all(fd, content, length) && fsync(fd) == 0;
}

bool file_write_private(int dir_fd, const char *name, const char *content, gsize length, GError **error)
{
    g_assert(!strchr(name, '/'));
    g_autofree char *temporary = g_strdup_printf("%s.tmp-%d", name, (int)getpid());
    remove_leftovers(dir_fd, name);
    unlinkat(dir_fd, temporary, 0); /* of an earlier process with our number */

    bool replaced = write_new(dir_fd, temporary, content, length) && renameat(dir_fd, temporary, dir_fd, name) == 0;
    int number = errno;
    if (!replaced)
        unlinkat(dir_fd, temporary, 0);
    else if (fsync(dir_fd) == 0 || errno == EINVAL) /* EINVAL: a file system without that */
        return true;
    else
        number = errno;

    g_autofree char *path = path_in(dir_fd, name);
    return fail_errno(error, path, number);
}
