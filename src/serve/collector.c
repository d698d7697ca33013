/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/collector.h"

#include "base/log.h"
#include "gather/host.h"
#include "gather/proc.h"
#include "model/rates.h"

#include <string.h>

/* Threads that may hang in libvirt, of collections that were given up: above that none is begun. Of one URI, so that it
 * holds up no other; and of all, since a reload begins to count a URI's anew. */
#define THREADS_OF_URI_MAX 64
#define THREADS_MAX 1024
#define FULL_FIRST 2 /* so that there are rates of disks soon after the start */
#define LOOPS_MAX 64 /* of all URIs, also those that end */
#define REMIND_US                                                                                                      \
    (G_GINT64_CONSTANT(3600) * G_USEC_PER_SEC) /* between two words to the log about trouble that lasts                \
                                                */

G_DEFINE_QUARK(one_telemetry_collector, collector_error)

/* One URI. */
typedef struct {
    char *uri, *host;
    CollectCount *threads;
    bool ok;
    char *error;    /* NULL: the last collection went well, or there was none */
    gint64 told_us; /* monotonic: when the log last heard of the trouble; 0: there is none */
    gint64 last_ns; /* realtime */
    guint vms, left_out;
    double collect_ms;
    guint64 collections, errors;
} Target;

struct Collector {
    CollectorOptions options;
    char **uris;
    GMutex lock; /* for all that follows */
    GCond changed;
    GPtrArray *targets; /* of Target */
    GPtrArray *loops;   /* of Loop: running, or not yet joined */
    guint generation;   /* of starts: a loop of another one ends */
    bool running;
    gint64 started_ns;
};

/* A thread that collects from one URI, from a start to the next stop. */
typedef struct {
    Collector *collector;
    Target *target;
    KeptConnection *connection;
    guint generation;
    gint64 monitor_us; /* monotonic: when QEMU's monitors were last asked */
    guint full;        /* collections that asked them, up to FULL_FIRST */
    GThread *thread;
    bool done;
} Loop;

/* --- names --- */

/* The host in a URI like qemu+ssh://user@host:port/system; "" of a local one. Owned by the caller. */
static char *host_of_uri(const char *uri)
{
    const char *begin = strstr(uri, "://");
    if (!begin)
        return g_strdup("");
    begin += 3;
    gsize length = strcspn(begin, "/?");
    g_autofree char *authority = g_strndup(begin, length);
    const char *at = strrchr(authority, '@'), *host = at ? at + 1 : authority;
    if (*host == '[')
        return g_strndup(host + 1, strcspn(host + 1, "]"));
    return g_strndup(host, strcspn(host, ":"));
}

static char *host_of(const CollectorOptions *options, const char *uri)
{
    g_autofree char *remote = host_of_uri(uri);
    if (*remote)
        return g_steal_pointer(&remote);
    return *options->host ? g_strdup(options->host) : host_name();
}

/* --- making it --- */

static void target_free(gpointer data)
{
    Target *target = data;
    g_free(target->uri);
    g_free(target->host);
    collect_count_unref(target->threads);
    g_free(target->error);
    g_free(target);
}

Collector *collector_new(const CollectorOptions *options)
{
    Collector *collector = g_new0(Collector, 1);
    collector->options = *options;
    collector->uris = g_strdupv((char **)(guintptr)options->uris);
    collector->options.uris = NULL;
    collector->options.host = NULL;
    g_mutex_init(&collector->lock);
    g_cond_init(&collector->changed);
    collector->targets = g_ptr_array_new_with_free_func(target_free);
    collector->loops = g_ptr_array_new_with_free_func(g_free);
    for (char **uri = collector->uris; *uri; uri++) {
        Target *target = g_new0(Target, 1);
        target->uri = g_strdup(*uri);
        target->host = host_of(options, *uri);
        target->threads = collect_count_new();
        g_ptr_array_add(collector->targets, target);
    }
    return collector;
}

/* --- one collection --- */

/* The message stays the same while it lasts, so that the log hears of it once. */
static bool may_collect(const Target *target, GError **error)
{
    const bool hangs = collect_count_threads(target->threads) > THREADS_OF_URI_MAX;
    if (!hangs && collect_threads() <= THREADS_MAX)
        return true;
    g_set_error(error, COLLECTOR_ERROR, 0,
                "libvirt at %s: %s have not come back, so no more are made until they do: is libvirtd hanging?",
                target->uri, hangs ? "too many calls" : "too many calls, of all connections together,");
    return false;
}

/* `fast`: without what needs QEMU's monitor. */
static Sample *collect(const Loop *loop, const Sample *previous, bool fast, GError **error)
{
    const Collector *collector = loop->collector;
    const Target *target = loop->target;
    if (!may_collect(target, error))
        return NULL;
    g_autoptr(Processes) processes = collector->options.libvirt_alone ? NULL : proc_processes(target->uri);
    const CollectOptions options = {
        .api = collector->options.api,
        .uri = target->uri,
        .deadline_ms = collector->options.deadline_ms,
        .workers = collector->options.workers,
        .previous = previous,
        .processes = processes,
        .slow_ms = collector->options.slow_ms,
        .fast = fast,
        .count = target->threads,
        .kept = loop->connection,
    };
    Sample *sample = collect_sample(&options, NULL, error);
    if (!sample)
        return NULL;
    sample->host = g_strdup(target->host);
    sample->cycle = previous ? previous->cycle + 1 : 0;
    row_set_text(sample->row, METRIC_HOST_VERSION, ONE_TELEMETRY_VERSION);
    if (proc_serves_uri(target->uri))
        proc_add_swap(sample, "/proc");
    sample_finish(sample, previous);
    rates_derive(sample, previous);
    return sample;
}

/* With the lock held. */
static bool is_wanted(const Loop *loop)
{
    return loop->collector->running && loop->collector->generation == loop->generation;
}

/* With the lock held. */
static void tell_of_trouble(Target *target, const char *message)
{
    const gint64 now_us = g_get_monotonic_time();
    const bool is_new = target->told_us == 0 || g_strcmp0(target->error, message) != 0;
    if (!is_new && now_us - target->told_us < REMIND_US)
        return;
    target->told_us = now_us;
    log_error("nothing is collected: %s", message); /* which names the URI */
}

/* With the lock held. */
static void note_failure(Target *target, const GError *error)
{
    target->errors++;
    target->ok = false;
    tell_of_trouble(target, error->message);
    g_free(target->error);
    target->error = g_strdup(error->message);
}

/* With the lock held. */
static void note_success(Target *target, const Sample *sample)
{
    if (target->told_us != 0)
        log_info("%s: is collected from again", target->uri);
    target->told_us = 0;
    g_clear_pointer(&target->error, g_free);
    target->ok = true;
    target->collections++;
    target->last_ns = sample->realtime_ns;
    target->vms = sample->vms->len;
    target->left_out = sample->left_out;
    target->collect_ms = row_real(sample->row, METRIC_HOST_COLLECT_MS);
}

/* A collection comes a little sooner or later than its moment. */
static bool is_monitors_turn(const Loop *loop, gint64 now_us)
{
    const CollectorOptions *options = &loop->collector->options;
    const gint64 tolerance_us = options->interval_ms * 1000 / 2;
    return options->libvirt_alone || loop->full < FULL_FIRST ||
           now_us - loop->monitor_us >= options->monitor_ms * 1000 - tolerance_us;
}

/* false: the loop is no longer wanted. Takes the sample over, and returns the one to go on from. */
static bool run_once(Loop *loop, Sample **previous)
{
    Collector *collector = loop->collector;
    g_autoptr(GError) error = NULL;
    const gint64 now_us = g_get_monotonic_time();
    const bool full = is_monitors_turn(loop, now_us);
    g_autoptr(Sample) sample = collect(loop, *previous, !full, &error);
    if (full && sample) {
        loop->monitor_us = now_us;
        loop->full = MIN(loop->full + 1, FULL_FIRST);
    }
    g_mutex_lock(&collector->lock);
    const bool wanted = is_wanted(loop);
    if (wanted && sample)
        note_success(loop->target, sample);
    else if (wanted)
        note_failure(loop->target, error);
    g_mutex_unlock(&collector->lock);
    if (!wanted)
        return false;
    if (!sample) {
        collector->options.fail(loop->target->uri, error, collector->options.data);
        return true;
    }
    collector->options.take(loop->target->uri, sample, *previous, collector->options.data);
    sample_free(*previous);
    *previous = g_steal_pointer(&sample);
    return true;
}

/* The next of the moments that lie whole intervals behind the first; those that went by meanwhile are left out. */
static gint64 next_due(gint64 due_us, gint64 interval_us)
{
    const gint64 late_us = g_get_monotonic_time() - due_us;
    return due_us + (late_us > 0 ? late_us / interval_us + 1 : 1) * interval_us;
}

static gpointer run_loop(gpointer data)
{
    Loop *loop = data;
    Collector *collector = loop->collector;
    const gint64 interval_us = collector->options.interval_ms * 1000;
    Sample *previous = NULL;
    gint64 due_us = g_get_monotonic_time();
    while (run_once(loop, &previous)) {
        due_us = next_due(due_us, interval_us);
        g_mutex_lock(&collector->lock);
        while (is_wanted(loop) && g_get_monotonic_time() < due_us)
            g_cond_wait_until(&collector->changed, &collector->lock, due_us);
        const bool wanted = is_wanted(loop);
        g_mutex_unlock(&collector->lock);
        if (!wanted)
            break;
    }
    sample_free(previous);
    g_clear_pointer(&loop->connection, kept_connection_unref);
    g_mutex_lock(&collector->lock);
    loop->done = true;
    g_cond_broadcast(&collector->changed);
    g_mutex_unlock(&collector->lock);
    return NULL;
}

/* --- start and stop --- */

/* With the lock held. */
static void reap(Collector *collector)
{
    for (guint i = collector->loops->len; i-- > 0;) {
        Loop *loop = g_ptr_array_index(collector->loops, i);
        if (!loop->done)
            continue;
        g_thread_join(loop->thread); /* it has nothing left to do */
        g_ptr_array_remove_index_fast(collector->loops, i);
    }
}

/* With the lock held. Whoever stops and starts over and over while a hypervisor hangs gets no more threads than this:
 * waits for loops that were stopped, each of which ends at its deadline. */
static void make_room(Collector *collector)
{
    reap(collector);
    while (collector->loops->len > 0 && collector->loops->len + collector->targets->len > LOOPS_MAX) {
        g_cond_wait(&collector->changed, &collector->lock);
        reap(collector);
    }
}

bool collector_start(Collector *collector)
{
    g_mutex_lock(&collector->lock);
    const bool starts = !collector->running;
    if (starts) {
        make_room(collector);
        collector->running = true;
        collector->generation++;
        collector->started_ns = host_realtime_ns();
        for (guint i = 0; i < collector->targets->len; i++) {
            Loop *loop = g_new0(Loop, 1);
            *loop = (Loop){.collector = collector,
                           .target = g_ptr_array_index(collector->targets, i),
                           .connection = kept_connection_new(collector->options.api),
                           .generation = collector->generation};
            g_ptr_array_add(collector->loops, loop);
            loop->thread = g_thread_new("collector", run_loop, loop);
        }
    }
    g_mutex_unlock(&collector->lock);
    return starts;
}

bool collector_stop(Collector *collector)
{
    g_mutex_lock(&collector->lock);
    const bool stops = collector->running;
    collector->running = false;
    collector->started_ns = 0;
    g_cond_broadcast(&collector->changed);
    g_mutex_unlock(&collector->lock);
    return stops;
}

bool collector_is_running(Collector *collector)
{
    g_mutex_lock(&collector->lock);
    const bool running = collector->running;
    g_mutex_unlock(&collector->lock);
    return running;
}

void collector_free(Collector *collector)
{
    if (!collector)
        return;
    collector_stop(collector);
    for (guint i = 0; i < collector->loops->len; i++)
        g_thread_join(((Loop *)g_ptr_array_index(collector->loops, i))->thread);
    g_ptr_array_unref(collector->loops);
    g_ptr_array_unref(collector->targets);
    g_strfreev(collector->uris);
    g_mutex_clear(&collector->lock);
    g_cond_clear(&collector->changed);
    g_free(collector);
}

/* --- status --- */

static void uri_free(gpointer data)
{
    CollectorUri *uri = data;
    g_free(uri->uri);
    g_free(uri->error);
    g_free(uri);
}

static CollectorUri *uri_of(const Target *target)
{
    CollectorUri *uri = g_new(CollectorUri, 1);
    *uri = (CollectorUri){
        .uri = g_strdup(target->uri),
        .ok = target->ok,
        .error = g_strdup(target->error),
        .last_ns = target->last_ns,
        .vms = target->vms,
        .left_out = target->left_out,
        .collect_ms = target->collect_ms,
        .collections = target->collections,
        .errors = target->errors,
    };
    return uri;
}

void collector_status(Collector *collector, CollectorStatus *ret_status)
{
    g_mutex_lock(&collector->lock);
    *ret_status = (CollectorStatus){.running = collector->running,
                                    .started_ns = collector->started_ns,
                                    .uris = g_ptr_array_new_with_free_func(uri_free)};
    for (guint i = 0; i < collector->targets->len; i++) {
        const Target *target = g_ptr_array_index(collector->targets, i);
        ret_status->collections += target->collections;
        ret_status->errors += target->errors;
        ret_status->last_ns = MAX(ret_status->last_ns, target->last_ns);
        g_ptr_array_add(ret_status->uris, uri_of(target));
    }
    g_mutex_unlock(&collector->lock);
}

void collector_status_clear(CollectorStatus *status)
{
    g_ptr_array_unref(status->uris);
}
