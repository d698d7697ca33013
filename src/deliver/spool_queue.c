/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/spool_queue.h"
#include "base/file.h"
#include "deliver/spool_dir.h"
#include "deliver/spool_name.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)
/* By that much a name may be ahead of the clock without the clock having been set back: time is slewed, and threads
 * that read it one after the other add in any order. */
#define SLACK_NS (60 * NS_PER_SECOND)

void spool_batch_free(SpoolBatch *batch)
{
    g_free(batch->name);
    g_free(batch);
}

/* As by strcmp, but most differ in their time already. */
static gint by_name(gconstpointer a, gconstpointer b)
{
    const SpoolBatch *left = *(const SpoolBatch *const *)a, *right = *(const SpoolBatch *const *)b;
    if (left->time_ns != right->time_ns)
        return left->time_ns < right->time_ns ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* The batch that a directory entry is, or NULL: it is none, or gone. */
static SpoolBatch *read_entry(int fd, const char *name)
{
    struct stat status;
    gint64 time_ns;
    if (!spool_name_parse(name, &time_ns) || fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(status.st_mode))
        return NULL;
    SpoolBatch *batch = g_new(SpoolBatch, 1);
    *batch = (SpoolBatch){.name = g_strdup(name), .bytes = (guint64)status.st_size, .time_ns = time_ns};
    return batch;
}

GPtrArray *spool_queue_read(const Spool *spool, const char *sink, int fd, GError **error)
{
    g_autoptr(GPtrArray) waiting = g_ptr_array_new_with_free_func((GDestroyNotify)spool_batch_free);
    g_autoptr(DIR) dir = spool_read_dir(fd);
    if (!dir) {
        spool_fail(spool, sink, NULL, errno, error);
        return NULL;
    }
    errno = 0; /* readdir tells the end from an error by it; of a directory that was removed it says the end */
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0) {
        SpoolBatch *batch = read_entry(fd, entry->d_name);
        if (batch)
            g_ptr_array_add(waiting, batch);
    }
    if (errno != 0) {
        spool_fail(spool, sink, NULL, errno, error);
        return NULL;
    }
    g_ptr_array_sort(waiting, by_name);
    return g_steal_pointer(&waiting);
}

GPtrArray *spool_list(Spool *spool, const char *sink, GError **error)
{
    g_autoptr(GError) reason = NULL;
    FILE_AUTO_CLOSE int fd = spool_open_sink(spool, sink, SPOOL_DIR_EXISTING, &reason);
    if (fd >= 0)
        return spool_queue_read(spool, sink, fd, error);
    if (!reason)
        return g_ptr_array_new_with_free_func((GDestroyNotify)spool_batch_free);
    g_propagate_error(error, g_steal_pointer(&reason));
    return NULL;
}

/* --- limits --- */

/* Where dropping begins, and from where it goes round: what is named later than now was there before the clock was set
 * back, so before everything that was added since. */
static guint first_to_go(const GPtrArray *batches, gint64 now)
{
    guint first = batches->len;
    while (first > 0 && ((const SpoolBatch *)g_ptr_array_index(batches, first - 1))->time_ns > now + SLACK_NS)
        first--;
    return first;
}

static bool is_too_old(const SpoolBatch *batch, const SpoolLimits *limits, gint64 now)
{
    return limits->max_age_s > 0 && (now - batch->time_ns) / NS_PER_SECOND >= limits->max_age_s;
}

static guint64 sum_bytes(const GPtrArray *batches)
{
    guint64 bytes = 0;
    for (guint i = 0; i < batches->len; i++)
        bytes += ((const SpoolBatch *)g_ptr_array_index(batches, i))->bytes;
    return bytes;
}

static void count_waiting(SpoolWaiting *waiting, const SpoolBatch *batch)
{
    waiting->oldest_ns = waiting->count.batches ? MIN(waiting->oldest_ns, batch->time_ns) : batch->time_ns;
    waiting->count.batches++;
    waiting->count.bytes += batch->bytes;
}

bool spool_queue_trim(const Spool *spool, const SpoolTarget *target, int fd, const char *keep, SpoolCount *ret_dropped,
                      SpoolWaiting *ret_waiting, GError **error)
{
    const SpoolLimits *limits = &target->limits;
    SpoolCount dropped = {0};
    SpoolWaiting left = {0};
    if (!ret_waiting && limits->max_bytes == 0 && limits->max_age_s == 0) {
        *ret_dropped = dropped;
        return true;
    }
    g_autoptr(GPtrArray) waiting = spool_queue_read(spool, target->sink, fd, error);
    if (!waiting)
        return false;

    gint64 now = g_get_real_time() * 1000;
    guint64 bytes = sum_bytes(waiting);
    guint first = first_to_go(waiting, now);
    for (guint i = 0; i < waiting->len; i++) {
        const SpoolBatch *batch = g_ptr_array_index(waiting, (first + i) % waiting->len);
        bool too_many = limits->max_bytes > 0 && bytes > limits->max_bytes && g_strcmp0(batch->name, keep) != 0;
        if (!too_many && !is_too_old(batch, limits, now)) {
            count_waiting(&left, batch);
            continue;
        }
        bytes -= batch->bytes;
        if (unlinkat(fd, batch->name, 0) == 0) {
            dropped.batches++;
            dropped.bytes += batch->bytes;
        } else if (errno != ENOENT) { /* ENOENT: delivered meanwhile, or dropped and counted by another */
            return spool_fail(spool, target->sink, batch->name, errno, error);
        }
    }
    *ret_dropped = dropped;
    if (ret_waiting)
        *ret_waiting = left;
    return true;
}

static bool trim(Spool *spool, const SpoolTarget *target, SpoolCount *ret_dropped, SpoolWaiting *ret_waiting,
                 GError **error)
{
    g_autoptr(GError) reason = NULL;
    SpoolCount dropped = {0};
    SpoolWaiting waiting = {0};
    FILE_AUTO_CLOSE int fd = spool_open_sink(spool, target->sink, SPOOL_DIR_EXISTING, &reason);
    if (reason) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    if (fd >= 0 && !spool_queue_trim(spool, target, fd, NULL, &dropped, ret_waiting ? &waiting : NULL, error))
        return false;
    *ret_dropped = dropped;
    if (ret_waiting)
        *ret_waiting = waiting;
    return true;
}

bool spool_trim(Spool *spool, const SpoolTarget *target, SpoolCount *ret_dropped, GError **error)
{
    return trim(spool, target, ret_dropped, NULL, error);
}

bool spool_trim_and_count(Spool *spool, const SpoolTarget *target, SpoolCount *ret_dropped, SpoolWaiting *ret_waiting,
                          GError **error)
{
    return trim(spool, target, ret_dropped, ret_waiting, error);
}
