/* SPDX-License-Identifier: Apache-2.0 */
#include "store/history_file.h"
#include "base/file.h"
#include "base/log.h"
#include "store/history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE_TRIES 100 /* names of one second */

/* SQLite's own, the file itself first. */
static const char *const companions[] = {"", "-wal", "-shm"};

/* --- directory and lock --- */

static bool take_lock(HistoryFile *file, GError **error)
{
    g_autofree char *name = g_strconcat(file->name, ".lock", NULL);
    file->lock_fd = openat(file->dir_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (file->lock_fd >= 0 && flock(file->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (file->lock_fd >= 0 && errno == EWOULDBLOCK)
        g_set_error(error, HISTORY_ERROR, HISTORY_ERROR_BUSY, "%s: another process writes this history", file->path);
    else
        g_set_error(error, HISTORY_ERROR, HISTORY_ERROR_OPEN, "%s.lock: %s", file->path, g_strerror(errno));
    return false;
}

bool history_file_open(HistoryFile *file, const char *path, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autofree char *directory = g_path_get_dirname(path);
    *file = (HistoryFile){.path = g_strdup(path), .name = g_path_get_basename(path), .dir_fd = -1, .lock_fd = -1};
    file->dir_fd = file_open_private_dir(directory, &reason);
    if (file->dir_fd < 0)
        g_set_error(error, HISTORY_ERROR, HISTORY_ERROR_OPEN, "history: %s", reason->message);
    if (file->dir_fd >= 0 && take_lock(file, error))
        return true;
    history_file_close(file);
    return false;
}

void history_file_close(HistoryFile *file)
{
    file_close_at_end(&file->lock_fd);
    file_close_at_end(&file->dir_fd);
    g_free(file->path);
    g_free(file->name);
    *file = (HistoryFile){.dir_fd = -1, .lock_fd = -1};
}

/* --- the file --- */

bool history_file_is_safe(const HistoryFile *file, char **ret_problem)
{
    for (guint i = 0; i < G_N_ELEMENTS(companions); i++) {
        struct stat status;
        const char *problem = NULL;
        g_autofree char *name = g_strconcat(file->name, companions[i], NULL);
        if (fstatat(file->dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (!S_ISREG(status.st_mode))
            problem = "is no regular file";
        else if (status.st_uid != geteuid())
            problem = "belongs to another user";
        else if (status.st_mode & (S_IWGRP | S_IWOTH))
            problem = "can be written to by others";
        if (problem) {
            *ret_problem = g_strdup_printf("%s %s", name, problem);
            return false;
        }
    }
    return true;
}

bool history_file_is_there(const HistoryFile *file)
{
    struct stat status;
    return fstatat(file->dir_fd, file->name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

guint64 history_file_bytes(const HistoryFile *file)
{
    guint64 bytes = 0;
    for (guint i = 0; i < 2; i++) {
        struct stat status;
        g_autofree char *name = g_strconcat(file->name, companions[i], NULL);
        if (fstatat(file->dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (guint64)status.st_size;
    }
    return bytes;
}

/* --- setting aside --- */

static void remove_aside(const HistoryFile *file, const char *aside)
{
    for (guint i = 0; i < G_N_ELEMENTS(companions); i++) {
        g_autofree char *name = g_strconcat(aside, companions[i], NULL);
        unlinkat(file->dir_fd, name, 0);
    }
    log_warning("history: removed %s: the last %d damaged files are kept", aside, HISTORY_DAMAGED_MAX);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The oldest go: their names sort by time. */
static void keep_few(const HistoryFile *file)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *prefix = g_strconcat(file->name, ".damaged-", NULL);
    int fd = openat(file->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        file_close_at_end(&fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));)
        if (g_str_has_prefix(entry->d_name, prefix) && !g_str_has_suffix(entry->d_name, "-wal") &&
            !g_str_has_suffix(entry->d_name, "-shm"))
            g_ptr_array_add(names, g_strdup(entry->d_name));
    closedir(directory);
    g_ptr_array_sort(names, by_name);
    for (guint i = 0; i + HISTORY_DAMAGED_MAX < names->len; i++)
        remove_aside(file, g_ptr_array_index(names, i));
}

/* A name that is not taken; NULL: all are. */
static char *aside_name(const HistoryFile *file)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y%m%dT%H%M%SZ");
    for (guint i = 0; i < ASIDE_TRIES; i++) {
        struct stat status;
        g_autofree char *name = g_strdup_printf("%s.damaged-%s-%02u", file->name, time, i);
        if (fstatat(file->dir_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
            return g_steal_pointer(&name);
    }
    return NULL;
}

/* The log goes first: without it, should we be killed in between, a damaged file is found again; a log whose file is
 * gone would be taken for the new one's. */
char *history_file_set_aside(const HistoryFile *file, GError **error)
{
    g_autofree char *aside = aside_name(file);
    for (guint i = 0; aside && i < G_N_ELEMENTS(companions); i++) {
        const char *companion = companions[G_N_ELEMENTS(companions) - 1 - i];
        g_autofree char *from = g_strconcat(file->name, companion, NULL);
        g_autofree char *to = g_strconcat(aside, companion, NULL);
        if (renameat(file->dir_fd, from, file->dir_fd, to) == 0 || errno == ENOENT)
            continue;
        g_set_error(error, HISTORY_ERROR, HISTORY_ERROR_OPEN, "%s: cannot be set aside: %s", file->path,
                    g_strerror(errno));
        return NULL;
    }
    if (!aside) {
        g_set_error(error, HISTORY_ERROR, HISTORY_ERROR_OPEN, "%s: cannot be set aside", file->path);
        return NULL;
    }
    keep_few(file);
    g_autofree char *directory = g_path_get_dirname(file->path);
    return g_build_filename(directory, aside, NULL);
}
