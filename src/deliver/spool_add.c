/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"
#include "base/log.h"
#include "deliver/spool_dir.h"
#include "deliver/spool_name.h"
#include "deliver/spool_queue.h"
#include "deliver/spool_write.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NAMES_TRIED 1000 /* threads that add at the same nanosecond, or a clock set back to one that was used */
#define DIRS_TRIED 3     /* spool_clean may remove an empty queue that nobody used for long; not the one made anew */

/* Where one target's link is made. */
typedef struct {
    const SpoolTarget *target;
    int fd; /* of its directory; -1: it does not take the batch */
    bool linked;
} Destination;

static void close_destination(gpointer data)
{
    Destination *destination = data;
    file_close_at_end(&destination->fd);
}

static bool is_too_large(gsize length, const SpoolLimits *limits)
{
    return length > SPOOL_BATCH_MAX || (limits->max_bytes > 0 && length > limits->max_bytes);
}

/* Of Destination. */
static GArray *open_destinations(const Spool *spool, gsize length, const SpoolTarget *targets, guint n_targets,
                                 GError **error)
{
    g_autoptr(GArray) destinations = g_array_sized_new(FALSE, TRUE, sizeof(Destination), n_targets);
    g_array_set_clear_func(destinations, close_destination);
    for (guint i = 0; i < n_targets; i++) {
        Destination destination = {.target = &targets[i], .fd = -1};
        if (!is_too_large(length, &targets[i].limits)) {
            destination.fd = spool_open_sink(spool, targets[i].sink, SPOOL_DIR_MAKE, error);
            if (destination.fd < 0)
                return NULL;
        }
        g_array_append_val(destinations, destination);
    }
    return g_steal_pointer(&destinations);
}

static bool is_wanted(const GArray *destinations)
{
    for (guint i = 0; i < destinations->len; i++)
        if (g_array_index(destinations, Destination, i).fd >= 0)
            return true;
    return false;
}

/* 0, or errno of the first failure; *ret_failed is where that was. */
static int link_all(const SpoolTemporary *temporary, GArray *destinations, const char *name,
                    const Destination **ret_failed)
{
    for (guint i = 0; i < destinations->len; i++) {
        Destination *destination = &g_array_index(destinations, Destination, i);
        *ret_failed = destination;
        if (destination->fd >= 0 && !spool_temporary_link(temporary, destination->fd, name))
            return errno;
        destination->linked = destination->fd >= 0;
    }
    for (guint i = 0; i < destinations->len; i++) {
        const Destination *destination = *ret_failed = &g_array_index(destinations, Destination, i);
        if (destination->fd >= 0 && !spool_sync_dir(destination->fd))
            return errno;
    }
    return 0;
}

static void unlink_all(GArray *destinations, const char *name)
{
    for (guint i = 0; i < destinations->len; i++) {
        Destination *destination = &g_array_index(destinations, Destination, i);
        if (destination->linked)
            unlinkat(destination->fd, name, 0);
        destination->linked = false;
    }
}

/* The same under the first free name, given to *ret_name. */
static int link_all_anew(const SpoolTemporary *temporary, const SpoolNewBatch *batch, GArray *destinations,
                         char **ret_name, const Destination **ret_failed)
{
    SpoolName parts = {.time_ns = batch->time_ns, .host = batch->host, .pid = (guint)getpid()};
    for (;; parts.n++) {
        g_autofree char *name = spool_name_make(&parts);
        int number = link_all(temporary, destinations, name, ret_failed);
        if (number == 0) {
            *ret_name = g_steal_pointer(&name);
            return 0;
        }
        unlink_all(destinations, name);
        if (number != EEXIST || parts.n == NAMES_TRIED)
            return number;
    }
}

/* The batch for all destinations, which are opened here. Its name goes to *ret_name; nothing when none takes it. */
static GArray *publish(const Spool *spool, const SpoolNewBatch *batch, const SpoolTarget *targets, guint n_targets,
                       char **ret_name, GError **error)
{
    g_auto(SpoolTemporary) temporary = SPOOL_TEMPORARY_INIT;
    for (guint tries = 1;; tries++) {
        const Destination *failed = NULL;
        g_autoptr(GArray) destinations = open_destinations(spool, batch->length, targets, n_targets, error);
        if (!destinations)
            return NULL;
        if (!is_wanted(destinations))
            return g_steal_pointer(&destinations);
        if (!temporary.name && !spool_temporary_write(&temporary, spool, batch->data, batch->length, error))
            return NULL;
        int number = link_all_anew(&temporary, batch, destinations, ret_name, &failed);
        if (number == 0)
            return g_steal_pointer(&destinations);
        if (number != ENOENT || tries == DIRS_TRIED) {
            spool_fail(spool, failed->target->sink, NULL, number, error);
            return NULL;
        }
    }
}

/* The batch is on its way, so a failure here is not the caller's: the next one trims again. */
static SpoolCount make_room(const Spool *spool, const Destination *destination, const SpoolNewBatch *batch,
                            const char *name)
{
    SpoolCount dropped = {.batches = 1, .bytes = batch->length};
    g_autoptr(GError) error = NULL;
    if (destination->fd < 0)
        return dropped;
    if (batch->trim_later)
        return (SpoolCount){0};
    if (!spool_queue_trim(spool, destination->target, destination->fd, name, &dropped, NULL, &error)) {
        log_warning("cannot trim the spool: %s", error->message);
        dropped = (SpoolCount){0};
    }
    return dropped;
}

bool spool_add(Spool *spool, const SpoolNewBatch *batch, const SpoolTarget *targets, guint n_targets,
               SpoolCount *ret_dropped, GError **error)
{
    g_autofree char *name = NULL;
    g_autoptr(GArray) destinations = publish(spool, batch, targets, n_targets, &name, error);
    if (!destinations)
        return false;
    for (guint i = 0; i < n_targets; i++) {
        const Destination *destination = &g_array_index(destinations, Destination, i);
        SpoolCount dropped = make_room(spool, destination, batch, name);
        if (ret_dropped)
            ret_dropped[i] = dropped;
    }
    return true;
}
