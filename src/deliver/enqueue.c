/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/enqueue.h"
#include "base/log.h"
#include "deliver/ledger.h"
#include "deliver/limits.h"
#include "deliver/spool_place.h"

#include <string.h>

#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)
#define BLOCK 4096         /* what files are counted in on a disk, about */
#define MAKE_ROOM_MAX 4096 /* batches of a queue that may go at once */
#define SPARE (16 * BLOCK) /* room to make besides the batch: its names, ledgers, directories */

static const SinkSettings *sink_at(const GPtrArray *sinks, guint i)
{
    return g_ptr_array_index(sinks, i);
}

/* --- limits --- */

/* A count of the future is of a clock that was set back. */
static bool is_trim_due(Spool *spool, const SinkSettings *sink, gint64 now_ns)
{
    Ledger ledger;
    ledger_load(spool, sink->name, &ledger, NULL);
    return ledger.counted_ns > now_ns || now_ns - ledger.counted_ns >= ENQUEUE_TRIM_S * NS_PER_SECOND;
}

/* Ends at the first failure: where somebody sits on the ledgers' locks, each of them would be waited for. */
static void trim_where_due(Spool *spool, const GPtrArray *sinks)
{
    gint64 now_ns = g_get_real_time() * 1000;
    for (guint i = 0; i < sinks->len; i++)
        if (is_trim_due(spool, sink_at(sinks, i), now_ns) && !limits_keep(spool, sink_at(sinks, i), LIMITS_NOTE))
            return;
}

/* --- a full disk --- */

/* What waits for each sink. Of GPtrArray of SpoolBatch; one that can't be read has none. */
static GPtrArray *list_all(Spool *spool, const GPtrArray *sinks)
{
    GPtrArray *queues = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
    for (guint i = 0; i < sinks->len; i++) {
        GPtrArray *batches = spool_list_oldest(spool, sink_at(sinks, i)->name, MAKE_ROOM_MAX, NULL, NULL);
        g_ptr_array_add(queues, batches ? batches : g_ptr_array_new());
    }
    return queues;
}

static gint by_time(gconstpointer a, gconstpointer b)
{
    const SpoolBatch *left = *(const SpoolBatch *const *)a, *right = *(const SpoolBatch *const *)b;
    return (left->time_ns > right->time_ns) - (left->time_ns < right->time_ns);
}

/* When all that is as old as this, or older, has gone from all queues, `bytes` are free. A batch that several sinks
 * wait for is there once. G_MININT64: nothing waits. */
static gint64 find_cutoff(const GPtrArray *queues, guint64 bytes)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    for (guint i = 0; i < queues->len; i++) {
        const GPtrArray *batches = g_ptr_array_index(queues, i);
        for (guint k = 0; k < batches->len; k++) {
            SpoolBatch *batch = g_ptr_array_index(batches, k);
            if (g_hash_table_add(seen, batch->name))
                g_ptr_array_add(all, batch);
        }
    }
    g_ptr_array_sort(all, by_time);
    gint64 cutoff = G_MININT64;
    guint64 freed = 0;
    for (guint i = 0; i < all->len && freed < bytes; i++) {
        const SpoolBatch *batch = g_ptr_array_index(all, i);
        cutoff = batch->time_ns;
        freed += (batch->bytes + BLOCK - 1) / BLOCK * BLOCK;
    }
    return cutoff;
}

static guint64 bytes_after(const GPtrArray *batches, gint64 cutoff)
{
    guint64 bytes = 0;
    for (guint i = 0; i < batches->len; i++) {
        const SpoolBatch *batch = g_ptr_array_index(batches, i);
        bytes += batch->time_ns > cutoff ? batch->bytes : 0;
    }
    return bytes;
}

static SpoolCount drop_until(Spool *spool, const SinkSettings *sink, const GPtrArray *batches, gint64 cutoff)
{
    const SpoolTarget target = {.sink = sink->name, .limits.max_bytes = MAX(bytes_after(batches, cutoff), 1)};
    g_autoptr(GError) error = NULL;
    SpoolCount dropped = {0};
    if (!spool_trim(spool, &target, &dropped, &error))
        log_warning("cannot make room in the spool: %s", error->message);
    return dropped;
}

/* Drops what is oldest over all queues. false: there is nothing to drop. */
static bool make_room(Spool *spool, const GPtrArray *sinks, guint64 bytes)
{
    g_autoptr(GPtrArray) queues = list_all(spool, sinks);
    g_autofree SpoolCount *dropped = g_new0(SpoolCount, sinks->len);
    gint64 cutoff = find_cutoff(queues, bytes);
    if (cutoff == G_MININT64)
        return false;
    for (guint i = 0; i < sinks->len; i++)
        dropped[i] = drop_until(spool, sink_at(sinks, i), g_ptr_array_index(queues, i), cutoff);
    for (guint i = 0; i < sinks->len; i++) /* only now is there room for ledgers */
        limits_count(spool, sink_at(sinks, i), dropped[i], "the disk is full");
    return true;
}

/* --- adding --- */

static bool add(Spool *spool, const GPtrArray *sinks, const SpoolNewBatch *batch, GError **error)
{
    g_autofree SpoolTarget *targets = g_new(SpoolTarget, sinks->len);
    g_autofree SpoolCount *dropped = g_new0(SpoolCount, sinks->len);
    for (guint i = 0; i < sinks->len; i++)
        targets[i] = (SpoolTarget){.sink = sink_at(sinks, i)->name, .limits = sink_at(sinks, i)->limits};
    if (!spool_add(spool, batch, targets, sinks->len, dropped, error))
        return false;
    for (guint i = 0; i < sinks->len; i++) {
        if (dropped[i].batches > 0)
            log_warning("sink %s: a batch of %" G_GSIZE_FORMAT " bytes was dropped: it is above the limit (max_size)",
                        targets[i].sink, batch->length);
        limits_count(spool, sink_at(sinks, i), dropped[i], NULL);
    }
    return true;
}

static bool add_making_room(Spool *spool, const GPtrArray *sinks, const SpoolNewBatch *batch, GError **error)
{
    g_autoptr(GError) reason = NULL;
    if (add(spool, sinks, batch, &reason))
        return true;
    if (g_error_matches(reason, SPOOL_ERROR, SPOOL_ERROR_FULL) && make_room(spool, sinks, batch->length + SPARE))
        return add(spool, sinks, batch, error);
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

/* Bytes of the next batch: whole lines, at least one. */
static gsize cut(const char *text, gsize length)
{
    if (length <= ENQUEUE_BATCH_BYTES)
        return length;
    const char *end = memrchr(text, '\n', ENQUEUE_BATCH_BYTES);
    if (!end)
        end = memchr(text + ENQUEUE_BATCH_BYTES, '\n', length - ENQUEUE_BATCH_BYTES);
    return end ? (gsize)(end - text) + 1 : length;
}

bool enqueue_lines(const char *spool_path, const GPtrArray *sinks, const char *host, gint64 time_ns, const char *text,
                   gsize length, GError **error)
{
    if (sinks->len == 0 || length == 0)
        return true;
    g_autoptr(Spool) spool = spool_open_place(spool_path, error);
    if (!spool)
        return false;
    for (gsize at = 0, piece; at < length; at += piece) {
        SpoolNewBatch batch = {.host = host, .time_ns = time_ns, .trim_later = true};
        piece = cut(text + at, length - at);
        g_autofree char *data = spool_compress(text + at, piece, &batch.length);
        batch.data = data;
        if (!add_making_room(spool, sinks, &batch, error))
            return false;
    }
    trim_where_due(spool, sinks);
    return true;
}
