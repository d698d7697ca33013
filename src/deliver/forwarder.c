/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/forwarder.h"
#include "base/log.h"
#include "deliver/answer.h"
#include "deliver/drain.h"
#include "deliver/limits.h"
#include "deliver/sink.h"

#include <poll.h>
#include <string.h>

#define NS_PER_US 1000
#define NS_PER_S G_GINT64_CONSTANT(1000000000)
#define LOOK_US G_USEC_PER_SEC /* between two looks at the queues while there is nothing to do */

typedef struct {
    const SinkSettings *settings;
    Drain *drain;
    Sink *sink;     /* NULL: it can't be used */
    char *unusable; /* why */
    char *broken;   /* why its queue can't be read; NULL: it can */
    DrainStep step;
    gint64 look_us; /* monotonic: the queue was empty, and is not looked at before */
} Lane;

struct Forwarder {
    Spool *spool;
    const GPtrArray *sinks;
    SinkPool *pool;
    GArray *lanes; /* of Lane */
};

static gint64 realtime_ns(void)
{
    return g_get_real_time() * NS_PER_US;
}

static void clear_lane(gpointer data)
{
    Lane *lane = data;
    sink_free(lane->sink);
    drain_free(lane->drain);
    g_free(lane->unusable);
    g_free(lane->broken);
}

static Lane *lane_at(const Forwarder *forwarder, guint i)
{
    return &g_array_index(forwarder->lanes, Lane, i);
}

Forwarder *forwarder_new(Spool *spool, const GPtrArray *sinks)
{
    Forwarder *forwarder = g_new0(Forwarder, 1);
    forwarder->spool = spool;
    forwarder->sinks = sinks;
    forwarder->pool = sink_pool_new();
    forwarder->lanes = g_array_new(FALSE, TRUE, sizeof(Lane));
    g_array_set_clear_func(forwarder->lanes, clear_lane);
    for (guint i = 0; i < sinks->len; i++) {
        g_autoptr(GError) error = NULL;
        Lane lane = {.settings = g_ptr_array_index(sinks, i)};
        lane.drain = drain_new(spool, lane.settings);
        lane.sink = sink_new(forwarder->pool, lane.settings, &error);
        lane.unusable = lane.sink ? NULL : g_strdup(error->message);
        g_array_append_val(forwarder->lanes, lane);
    }
    return forwarder;
}

void forwarder_free(Forwarder *forwarder)
{
    if (!forwarder)
        return;
    g_array_unref(forwarder->lanes);
    sink_pool_free(forwarder->pool);
    g_free(forwarder);
}

/* --- one sink --- */

static void answered(const Lane *lane, const Answer *answer)
{
    drain_answered(lane->drain, answer, realtime_ns(), g_random_double());
}

/* In the place of an answer: the sink would not let us in either. */
static void answer_unusable(const Lane *lane)
{
    Answer answer = {.kind = ANSWER_DENIED,
                     .lines = g_array_new(FALSE, FALSE, sizeof(guint)),
                     .texts = g_ptr_array_new(),
                     .wait_ms = -1,
                     .message = lane->unusable};
    answered(lane, &answer);
    g_array_unref(answer.lines);
    g_ptr_array_unref(answer.texts);
}

/* Sends the next body where there is one. */
static void advance(Lane *lane)
{
    g_autoptr(GError) error = NULL;
    DrainBody body;
    lane->step = drain_next(lane->drain, realtime_ns(), &body, &error);
    if (lane->step == DRAIN_STOP) {
        log_error("sink %s: its queue can't be read: %s", lane->settings->name, error->message);
        lane->broken = g_strdup(error->message);
    } else if (lane->step == DRAIN_SEND && lane->sink) {
        sink_set_via(lane->sink, body.via);
        sink_send(lane->sink, body.data, body.length, lane->settings->gzip);
    } else if (lane->step == DRAIN_SEND) {
        answer_unusable(lane);
        lane->step = DRAIN_WAIT;
    }
    lane->look_us = lane->step == DRAIN_DONE ? g_get_monotonic_time() + LOOK_US : 0;
}

static void take_reply(Lane *lane)
{
    g_autoptr(SinkReply) reply = lane->sink ? sink_take_reply(lane->sink) : NULL;
    if (!reply)
        return;
    g_autoptr(Answer) answer = answer_read(lane->settings->type, reply, g_get_real_time() / 1000);
    answered(lane, answer);
    advance(lane);
}

static bool is_sending(const Lane *lane)
{
    return lane->sink && sink_is_busy(lane->sink);
}

/* --- all of them --- */

/* Of sinks that are no longer configured the longest age that any has. */
static void tidy(const Forwarder *forwarder)
{
    g_autoptr(GPtrArray) names = sinks_names(forwarder->sinks);
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < forwarder->lanes->len; i++)
        limits_keep(forwarder->spool, lane_at(forwarder, i)->settings, LIMITS_KEEP);
    if (!spool_clean(forwarder->spool, (const char *const *)names->pdata, sinks_max_age_s(forwarder->sinks), &error))
        log_warning("cannot tidy the spool: %s", error->message);
}

static bool is_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    return fd >= 0 && poll(&poll_fd, 1, 0) > 0;
}

/* What keeps it from being sent; NULL: nothing. */
static const char *problem_of(const Lane *lane)
{
    const Ledger *ledger = drain_ledger(lane->drain);
    if (lane->broken)
        return lane->broken;
    return ledger->failures > 0 && *ledger->last_error ? ledger->last_error : NULL;
}

/* Until the sink is tried again; 0: at once, or this run does not. */
static gint64 seconds_until_next(const Lane *lane)
{
    if (lane->step != DRAIN_WAIT || drain_retry_at(lane->drain) == 0 || drain_needs_help(lane->drain))
        return 0;
    gint64 wait_ns = MAX(drain_retry_at(lane->drain) - realtime_ns(), 0);
    return (wait_ns + NS_PER_S - 1) / NS_PER_S;
}

static void report(const Forwarder *forwarder, const ForwarderOptions *options, bool goes_on)
{
    if (!options->progress)
        return;
    g_autofree ForwarderSink *sinks = g_new0(ForwarderSink, forwarder->lanes->len);
    for (guint i = 0; i < forwarder->lanes->len; i++) {
        const Lane *lane = lane_at(forwarder, i);
        sinks[i] = (ForwarderSink){.name = lane->settings->name,
                                   .ledger = drain_ledger(lane->drain),
                                   .waiting = drain_waiting(lane->drain),
                                   .done = lane->step == DRAIN_DONE,
                                   .next_s = goes_on ? seconds_until_next(lane) : 0,
                                   .problem = problem_of(lane)};
    }
    options->progress(sinks, forwarder->lanes->len, options->progress_data);
}

/* Monotonic time when a lane that waits is due; another than that: G_MAXINT64. */
static gint64 due_us(const Lane *lane)
{
    if (lane->step != DRAIN_WAIT)
        return G_MAXINT64;
    gint64 wait_us = (drain_retry_at(lane->drain) - realtime_ns()) / NS_PER_US + 1;
    return g_get_monotonic_time() + MAX(wait_us, 0);
}

/* Nobody is sending: whether going on, until `end_us` at the latest, can bring anything. */
static bool is_worth_waiting(const Forwarder *forwarder, const ForwarderOptions *options, gint64 end_us)
{
    bool all_done = true, hope = false;
    for (guint i = 0; i < forwarder->lanes->len; i++) {
        const Lane *lane = lane_at(forwarder, i);
        if (lane->step == DRAIN_WAIT && drain_retry_at(lane->drain) == 0)
            return true; /* it wants to be asked again */
        all_done &= lane->step == DRAIN_DONE || lane->step == DRAIN_STOP;
        hope |= lane->step == DRAIN_WAIT && (options->flush ? !drain_needs_help(lane->drain) : due_us(lane) <= end_us);
    }
    if (options->flush)
        return hope;
    return (hope || all_done) && g_get_monotonic_time() < end_us;
}

/* Moves every lane on that can be; whether any is sending. */
static bool move_on(Forwarder *forwarder)
{
    bool sending = false;
    for (guint i = 0; i < forwarder->lanes->len; i++) {
        Lane *lane = lane_at(forwarder, i);
        if (is_sending(lane))
            take_reply(lane);
        else if (lane->step != DRAIN_STOP && g_get_monotonic_time() >= lane->look_us)
            advance(lane);
        sending |= is_sending(lane);
    }
    return sending;
}

/* Attempts at a sink in trouble are no reason to stay longer, but when the next process would have to begin anew. */
static bool is_sending_well(const Forwarder *forwarder)
{
    for (guint i = 0; i < forwarder->lanes->len; i++) {
        const Lane *lane = lane_at(forwarder, i);
        if (is_sending(lane) && (drain_ledger(lane->drain)->failures == 0 || drain_is_in_parts(lane->drain)))
            return true;
    }
    return false;
}

/* While the sinks are at work on what they have got. */
static void prepare(const Forwarder *forwarder)
{
    sink_pool_run(forwarder->pool, -1, g_get_monotonic_time()); /* first let it go out */
    for (guint i = 0; i < forwarder->lanes->len; i++)
        if (is_sending(lane_at(forwarder, i)))
            drain_prepare(lane_at(forwarder, i)->drain);
}

static gint64 next_look(const Forwarder *forwarder, gint64 now_us)
{
    gint64 look = now_us + LOOK_US;
    for (guint i = 0; i < forwarder->lanes->len; i++)
        look = MIN(look, due_us(lane_at(forwarder, i)));
    return look;
}

bool forwarder_run(Forwarder *forwarder, const ForwarderOptions *options)
{
    gint64 active_us = g_get_monotonic_time(), reported_us = active_us;
    tidy(forwarder);
    for (guint i = 0; options->flush && i < forwarder->lanes->len; i++)
        drain_hurry(lane_at(forwarder, i)->drain);

    for (;;) {
        bool sending = move_on(forwarder);
        if (sending)
            prepare(forwarder);
        gint64 now_us = g_get_monotonic_time();
        if (is_sending_well(forwarder))
            active_us = now_us;
        if (now_us - reported_us >= LOOK_US) {
            report(forwarder, options, true);
            reported_us = now_us;
        }
        if (is_readable(options->stop_fd) || (options->until_us && now_us >= options->until_us) ||
            (!sending && !is_worth_waiting(forwarder, options, active_us + options->linger_ms * 1000)))
            break;
        gint64 look = next_look(forwarder, now_us);
        sink_pool_run(forwarder->pool, options->stop_fd, options->until_us ? MIN(look, options->until_us) : look);
    }
    report(forwarder, options, false);

    bool all_done = true;
    for (guint i = 0; i < forwarder->lanes->len; i++) {
        all_done &= lane_at(forwarder, i)->step == DRAIN_DONE;
        drain_save(lane_at(forwarder, i)->drain);
        limits_keep(forwarder->spool, lane_at(forwarder, i)->settings, LIMITS_NOTE);
    }
    return all_done;
}

static bool has_work(const Forwarder *forwarder, const Lane *lane)
{
    if (lane->step == DRAIN_STOP || drain_due_ns(drain_ledger(lane->drain), realtime_ns()) != 0)
        return false;
    SpoolWaiting waiting;
    return spool_count(forwarder->spool, lane->settings->name, &waiting, NULL) && waiting.count.batches > 0;
}

bool forwarder_has_work(const Forwarder *forwarder)
{
    for (guint i = 0; i < forwarder->lanes->len; i++)
        if (has_work(forwarder, lane_at(forwarder, i)))
            return true;
    return false;
}
