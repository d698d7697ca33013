/* SPDX-License-Identifier: Apache-2.0
 * What nobody needs any more: leftovers of killed writers, and queues of sinks that were taken out of the
 * configuration. */
#include "base/file.h"
#include "base/log.h"
#include "deliver/spool_dir.h"
#include "deliver/spool_queue.h"
#include "deliver/spool_write.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A writer with another configuration may be about to add to it; that changes its time. */
static bool is_in_use(int fd)
{
    struct stat status;
    return fstat(fd, &status) < 0 || ABS(time(NULL) - status.st_mtime) <= SPOOL_TMP_MAX_AGE_S;
}

/* The sink's directory and the ledger in it. One that got a batch meanwhile, or holds what is not ours, stays. */
static bool remove_queue(const Spool *spool, const char *sink, int fd, GError **error)
{
    g_autoptr(DIR) dir = spool_read_dir(fd);
    if (!dir)
        return spool_fail(spool, sink, NULL, errno, error);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (g_str_has_prefix(entry->d_name, SPOOL_LEDGER))
            unlinkat(fd, entry->d_name, 0);
    return unlinkat(spool->fd, sink, AT_REMOVEDIR) == 0 || errno == ENOTEMPTY || errno == EEXIST || errno == ENOENT ||
           spool_fail(spool, sink, NULL, errno, error);
}

static bool clean_queue(Spool *spool, const char *sink, gint64 max_age_s, GError **error)
{
    const SpoolTarget target = {.sink = sink, .limits = {.max_age_s = max_age_s}};
    SpoolCount dropped;
    FILE_AUTO_CLOSE int fd = spool_open_sink(spool, sink, SPOOL_DIR_EXISTING, error);
    if (fd < 0 || !spool_queue_trim(spool, &target, fd, NULL, &dropped, NULL, error))
        return false;
    if (dropped.batches > 0) /* its ledger goes with it, so this is the only word on them */
        log_warning("sink %s is no longer configured: old batches dropped: %" G_GUINT64_FORMAT, sink, dropped.batches);
    bool empty;
    return spool_queue_is_empty(spool, sink, fd, &empty, error) &&
           (!empty || is_in_use(fd) || remove_queue(spool, sink, fd, error));
}

static bool is_queue(const Spool *spool, const char *name)
{
    struct stat status;
    return spool_is_sink_name(name) && fstatat(spool->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(status.st_mode);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *spool_strange_queues(Spool *spool, const char *const *sinks, GError **error)
{
    g_autoptr(DIR) dir = spool_read_dir(spool->fd);
    if (!dir) {
        spool_fail(spool, NULL, NULL, errno, error);
        return NULL;
    }
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (is_queue(spool, entry->d_name) && !g_strv_contains(sinks, entry->d_name))
            g_ptr_array_add(names, g_strdup(entry->d_name));
    g_ptr_array_sort(names, by_name);
    return names;
}

bool spool_clean(Spool *spool, const char *const *sinks, gint64 max_age_s, GError **error)
{
    g_autoptr(GError) first = NULL;
    spool_clean_temporaries(spool, &first);
    g_autoptr(GPtrArray) names = spool_strange_queues(spool, sinks, first ? NULL : &first);
    for (guint i = 0; names && i < names->len; i++)
        clean_queue(spool, g_ptr_array_index(names, i), max_age_s, first ? NULL : &first);
    if (!first)
        return true;
    g_propagate_error(error, g_steal_pointer(&first));
    return false;
}
