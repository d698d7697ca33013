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
#define ALL (G_MAXUINT / 2)
#define TRIM_MAX 16384  /* batches that are dropped at a time; their names are in memory */
#define ROUNDS_MAX 1000 /* of those, so that a queue which grows as fast holds up nobody */

void spool_batch_free(SpoolBatch *batch)
{
    g_free(batch->name);
    g_free(batch);
}

/* --- reading a directory --- */

/* One look at all entries of a queue, however many there are: some of the batches are kept, the rest is counted. */
typedef struct {
    const SpoolLimits *limits; /* those too old are removed on the way; NULL: none are */
    gint64 now;
    guint max;         /* batches to keep, the first in order */
    gint64 horizon;    /* those named later than it come first in order; else by name */
    GPtrArray *first;  /* of SpoolBatch, those kept; up to twice the maximum on the way */
    bool more;         /* there are others besides them */
    SpoolWaiting left; /* all that was not removed */
    SpoolCount dropped;
} Scan;

/* By name as by strcmp, but most differ in their time already. */
static gint compare(const SpoolBatch *left, const SpoolBatch *right, gint64 horizon)
{
    bool left_later = left->time_ns > horizon, right_later = right->time_ns > horizon;
    if (left_later != right_later)
        return left_later ? -1 : 1;
    if (left->time_ns != right->time_ns)
        return left->time_ns < right->time_ns ? -1 : 1;
    return strcmp(left->name, right->name);
}

static gint in_order(gconstpointer a, gconstpointer b, gpointer scan)
{
    return compare(*(const SpoolBatch *const *)a, *(const SpoolBatch *const *)b, ((const Scan *)scan)->horizon);
}

static void sort_and_cut(Scan *scan)
{
    g_ptr_array_sort_with_data(scan->first, in_order, scan);
    if (scan->first->len <= scan->max)
        return;
    g_ptr_array_remove_range(scan->first, scan->max, scan->first->len - scan->max);
    scan->more = true;
}

/* What comes behind the last of those that a cut has left is none of the first. */
static void keep_if_first(Scan *scan, const SpoolBatch *batch)
{
    GPtrArray *first = scan->first;
    if (scan->max == 0 || (scan->more && compare(batch, g_ptr_array_index(first, scan->max - 1), scan->horizon) > 0))
        return;
    SpoolBatch *kept = g_new(SpoolBatch, 1);
    *kept = *batch;
    kept->name = g_strdup(batch->name);
    g_ptr_array_add(first, kept);
    if (first->len == 2 * scan->max)
        sort_and_cut(scan);
}

static void count(Scan *scan, const SpoolBatch *batch)
{
    SpoolWaiting *left = &scan->left;
    left->oldest_ns = left->count.batches ? MIN(left->oldest_ns, batch->time_ns) : batch->time_ns;
    left->count.batches++;
    left->count.bytes += batch->bytes;
}

static bool is_too_old(const Scan *scan, const SpoolBatch *batch)
{
    return scan->limits && scan->limits->max_age_s > 0 &&
           (scan->now - batch->time_ns) / NS_PER_SECOND >= scan->limits->max_age_s;
}

/* One that is gone was delivered meanwhile, or dropped and counted by another. false: errno is set. */
static bool drop(int fd, const SpoolBatch *batch, SpoolCount *dropped)
{
    if (unlinkat(fd, batch->name, 0) < 0)
        return errno == ENOENT;
    dropped->batches++;
    dropped->bytes += batch->bytes;
    return true;
}

/* Whether a directory entry is a batch, and which; the name stays the entry's. */
static bool read_entry(int fd, char *name, SpoolBatch *ret_batch)
{
    struct stat status;
    *ret_batch = (SpoolBatch){.name = name};
    if (!spool_name_parse(name, &ret_batch->time_ns) || fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(status.st_mode))
        return false;
    ret_batch->bytes = (guint64)status.st_size;
    return true;
}

static bool scan_entries(const Spool *spool, const char *sink, int fd, DIR *dir, Scan *scan, GError **error)
{
    errno = 0; /* readdir tells the end from an error by it; of a directory that was removed it says the end */
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0) {
        SpoolBatch batch;
        if (!read_entry(fd, entry->d_name, &batch))
            continue;
        if (is_too_old(scan, &batch)) {
            if (!drop(fd, &batch, &scan->dropped))
                return spool_fail(spool, sink, batch.name, errno, error);
            continue;
        }
        count(scan, &batch);
        keep_if_first(scan, &batch);
    }
    return errno == 0 || spool_fail(spool, sink, NULL, errno, error);
}

/* Those kept, in order; NULL: an error. */
static GPtrArray *scan_queue(const Spool *spool, const char *sink, int fd, Scan *scan, GError **error)
{
    g_autoptr(DIR) dir = spool_read_dir(fd);
    if (!dir) {
        spool_fail(spool, sink, NULL, errno, error);
        return NULL;
    }
    g_autoptr(GPtrArray) first = g_ptr_array_new_with_free_func((GDestroyNotify)spool_batch_free);
    scan->first = first;
    if (!scan_entries(spool, sink, fd, dir, scan, error))
        return NULL;
    sort_and_cut(scan);
    return g_steal_pointer(&first);
}

bool spool_queue_is_empty(const Spool *spool, const char *sink, int fd, bool *ret_empty, GError **error)
{
    Scan scan = {.max = 0};
    g_autoptr(GPtrArray) none = scan_queue(spool, sink, fd, &scan, error);
    *ret_empty = scan.left.count.batches == 0;
    return none != NULL;
}

GPtrArray *spool_list_oldest(Spool *spool, const char *sink, guint max, SpoolWaiting *ret_waiting, GError **error)
{
    g_autoptr(GError) reason = NULL;
    Scan scan = {.max = MIN(max, ALL), .horizon = G_MAXINT64};
    FILE_AUTO_CLOSE int fd = spool_open_sink(spool, sink, SPOOL_DIR_EXISTING, &reason);
    if (reason) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return NULL;
    }
    GPtrArray *first = fd >= 0 ? scan_queue(spool, sink, fd, &scan, error)
                               : g_ptr_array_new_with_free_func((GDestroyNotify)spool_batch_free);
    if (first && ret_waiting)
        *ret_waiting = scan.left;
    return first;
}

GPtrArray *spool_list(Spool *spool, const char *sink, GError **error)
{
    return spool_list_oldest(spool, sink, ALL, NULL, error);
}

bool spool_count(Spool *spool, const char *sink, SpoolWaiting *ret_waiting, GError **error)
{
    g_autoptr(GPtrArray) none = spool_list_oldest(spool, sink, 0, ret_waiting, error);
    return none != NULL;
}

/* --- limits --- */

/* Drops the first of those that a scan has kept until there is room. Returns how many are gone, or -1: an error. */
static gint make_room(const Spool *spool, const SpoolTarget *target, int fd, const char *keep, const GPtrArray *first,
                      Scan *scan, GError **error)
{
    guint64 bytes = scan->left.count.bytes;
    gint gone = 0;
    for (guint i = 0; i < first->len && bytes > target->limits.max_bytes; i++) {
        const SpoolBatch *batch = g_ptr_array_index(first, i);
        if (g_strcmp0(batch->name, keep) == 0)
            continue;
        if (!drop(fd, batch, &scan->dropped)) {
            spool_fail(spool, target->sink, batch->name, errno, error);
            return -1;
        }
        bytes -= batch->bytes;
        gone++;
    }
    return gone;
}

/* Dropping begins with what is named later than now: it was there before the clock was set back, so before everything
 * that was added since. When room was made for those counted, they are counted anew. */
bool spool_queue_trim(const Spool *spool, const SpoolTarget *target, int fd, const char *keep, SpoolCount *ret_dropped,
                      SpoolWaiting *ret_waiting, GError **error)
{
    const SpoolLimits *limits = &target->limits;
    const gint64 now = g_get_real_time() * 1000;
    Scan scan = {.limits = limits, .now = now, .max = limits->max_bytes > 0 ? TRIM_MAX : 0, .horizon = now + SLACK_NS};
    bool again = ret_waiting || limits->max_bytes > 0 || limits->max_age_s > 0;
    for (guint rounds = 0; again && rounds < ROUNDS_MAX; rounds++) {
        scan.left = (SpoolWaiting){0};
        scan.more = false;
        g_autoptr(GPtrArray) first = scan_queue(spool, target->sink, fd, &scan, error);
        gint gone = first && limits->max_bytes > 0 ? make_room(spool, target, fd, keep, first, &scan, error) : 0;
        if (!first || gone < 0)
            return false;
        again = gone > 0 && (scan.more || ret_waiting);
    }
    *ret_dropped = scan.dropped;
    if (ret_waiting)
        *ret_waiting = scan.left;
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
