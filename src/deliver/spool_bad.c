/* SPDX-License-Identifier: Apache-2.0
 * bad/: what no sink takes, kept for people. One process works here at a time, the forwarder. */
#include "base/file.h"
#include "deliver/spool_dir.h"
#include "deliver/spool_name.h"
#include "deliver/spool_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 4096 /* so that many small files fill it up as well */
#define NAMES_TRIED 1000

typedef struct {
    char *name;
    guint64 bytes; /* in whole blocks */
    struct timespec written;
} BadFile;

static void bad_file_free(gpointer data)
{
    BadFile *file = data;
    g_free(file->name);
    g_free(file);
}

/* By time, as names begin with the sink's. */
static gint by_time(gconstpointer a, gconstpointer b)
{
    const BadFile *left = *(const BadFile *const *)a, *right = *(const BadFile *const *)b;
    if (left->written.tv_sec != right->written.tv_sec)
        return left->written.tv_sec < right->written.tv_sec ? -1 : 1;
    if (left->written.tv_nsec != right->written.tv_nsec)
        return left->written.tv_nsec < right->written.tv_nsec ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* Oldest first. NULL: errno is set. */
static GPtrArray *read_bad(int fd)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(bad_file_free);
    g_autoptr(DIR) dir = spool_read_dir(fd);
    if (!dir)
        return NULL;
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat status;
        if (fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(status.st_mode))
            continue;
        BadFile *file = g_new(BadFile, 1);
        *file = (BadFile){.name = g_strdup(entry->d_name),
                          .bytes = ((guint64)status.st_size + BLOCK - 1) / BLOCK * BLOCK,
                          .written = status.st_mtim};
        g_ptr_array_add(files, file);
    }
    g_ptr_array_sort(files, by_time);
    return g_steal_pointer(&files);
}

static bool bound_bad(const Spool *spool, int fd, GError **error)
{
    guint64 bytes = 0;
    g_autoptr(GPtrArray) files = read_bad(fd);
    if (!files)
        return spool_fail(spool, SPOOL_BAD, NULL, errno, error);
    for (guint i = 0; i < files->len; i++)
        bytes += ((const BadFile *)g_ptr_array_index(files, i))->bytes;
    for (guint i = 0; i < files->len && bytes > SPOOL_BAD_MAX_BYTES; i++) {
        const BadFile *file = g_ptr_array_index(files, i);
        if (unlinkat(fd, file->name, 0) < 0 && errno != ENOENT)
            return spool_fail(spool, SPOOL_BAD, file->name, errno, error);
        bytes -= file->bytes;
    }
    return true;
}

/* A free name there. Owned by the caller. */
static char *bad_name(int fd, const char *sink, const char *name)
{
    char *free_name = g_strdup_printf("%s-%s", sink, name);
    for (guint n = 2; n < NAMES_TRIED && faccessat(fd, free_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; n++) {
        g_free(free_name);
        free_name = g_strdup_printf("%s-%s.%u", sink, name, n);
    }
    return free_name;
}

bool spool_set_aside(Spool *spool, const char *sink, const char *name, GError **error)
{
    gint64 time_ns;
    if (!spool_name_parse(name, &time_ns)) {
        g_set_error(error, SPOOL_ERROR, SPOOL_ERROR_UNSAFE, "\"%s\" is not the name of a batch", name);
        return false;
    }
    g_autoptr(GError) reason = NULL;
    FILE_AUTO_CLOSE int from = spool_open_sink(spool, sink, SPOOL_DIR_EXISTING, &reason);
    FILE_AUTO_CLOSE int to = reason ? -1 : spool_open_dir(spool, SPOOL_BAD, SPOOL_DIR_MAKE, &reason);
    if (reason) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    g_autofree char *bad = bad_name(to, sink, name);
    if (from < 0)
        return true;
    if (renameat(from, name, to, bad) < 0)
        return errno == ENOENT || spool_fail(spool, sink, name, errno, error);
    return bound_bad(spool, to, error);
}

bool spool_keep_bad(Spool *spool, const char *sink, const char *name, const void *data, gsize length, GError **error)
{
    if (!spool_is_sink_name(sink) || *name == '\0' || strchr(name, '/')) {
        g_set_error(error, SPOOL_ERROR, SPOOL_ERROR_UNSAFE, "\"%s-%s\" can't be the name of a file", sink, name);
        return false;
    }
    g_auto(SpoolTemporary) temporary = SPOOL_TEMPORARY_INIT;
    FILE_AUTO_CLOSE int fd = spool_open_dir(spool, SPOOL_BAD, SPOOL_DIR_MAKE, error);
    if (fd < 0 || !spool_temporary_write(&temporary, spool, data, length, error))
        return false;
    g_autofree char *bad = bad_name(fd, sink, name);
    if (!spool_temporary_link(&temporary, fd, bad) || !spool_sync_dir(fd))
        return spool_fail(spool, SPOOL_BAD, bad, errno, error);
    return bound_bad(spool, fd, error);
}
