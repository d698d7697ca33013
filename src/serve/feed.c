/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/feed.h"

#include "base/log.h"
#include "deliver/enqueue.h"
#include "deliver/sinks.h"
#include "deliver/spool_place.h"
#include "deliver/via.h"
#include "serve/relay_text.h"
#include "serve/service.h"

#include <string.h>

/* Between two words to the log about trouble that lasts, and two looks whether something waits for a sink. */
#define REMIND_US (G_GINT64_CONSTANT(600) * G_USEC_PER_SEC)
#define LOOK_US (G_GINT64_CONSTANT(15) * G_USEC_PER_SEC)

struct Feed {
    Store *store;
    History *history;
    Stream *stream;
    GRWLock lock; /* for the next two */
    Spooling *spooling;
    AnswerOptions answers;
    char *id;           /* of this run, by which it knows lines that come back */
    gint forwarder_due; /* atomic: something was queued, or waits */
    gint64 looked_us;   /* monotonic: when the queues were last looked at; of feed_tick alone */
    GMutex status_lock; /* for the rest */
    FeedStatus status;
    char *troubles[N_FEED_TROUBLES]; /* NULL: none */
    /* Monotonic: when the log last heard of trouble that lasts; 0: there is none. */
    gint64 relay_told_us, forwarder_told_us, returned_told_us;
};

StoreClock service_clock(void)
{
    return (StoreClock){.real_ns = g_get_real_time() * 1000, .mono_ns = g_get_monotonic_time() * 1000};
}

Feed *feed_new(Store *store, History *history, Stream *stream)
{
    Feed *feed = g_new0(Feed, 1);
    feed->store = store;
    feed->history = history;
    feed->stream = stream;
    feed->answers = (AnswerOptions){1, 1024 * 1024};
    feed->id = via_new_id();
    g_rw_lock_init(&feed->lock);
    g_mutex_init(&feed->status_lock);
    return feed;
}

static void free_spooling(Spooling *spooling)
{
    if (spooling)
        spooling_free(spooling);
}

void feed_free(Feed *feed)
{
    if (!feed)
        return;
    free_spooling(feed->spooling);
    for (guint i = 0; i < N_FEED_TROUBLES; i++)
        g_free(feed->troubles[i]);
    g_rw_lock_clear(&feed->lock);
    g_mutex_clear(&feed->status_lock);
    g_free(feed->id);
    g_free(feed);
}

static void note_trouble(Feed *feed, FeedTrouble which, const GError *error)
{
    g_mutex_lock(&feed->status_lock);
    g_free(feed->troubles[which]);
    feed->troubles[which] = error ? g_strdup(error->message) : NULL;
    g_mutex_unlock(&feed->status_lock);
}

char *feed_trouble(Feed *feed, FeedTrouble which)
{
    g_mutex_lock(&feed->status_lock);
    char *trouble = g_strdup(feed->troubles[which]);
    g_mutex_unlock(&feed->status_lock);
    return trouble;
}

void feed_set(Feed *feed, Spooling *spooling, const AnswerOptions *answers)
{
    if (spooling && !spooling->host)
        spooling->host = via_host(feed->id); /* what our collector says begins here as well */
    g_rw_lock_writer_lock(&feed->lock);
    Spooling *before = feed->spooling;
    feed->spooling = spooling;
    feed->answers = *answers;
    g_rw_lock_writer_unlock(&feed->lock);
    note_trouble(feed, FEED_QUEUE, NULL);
    note_trouble(feed, FEED_FORWARDER, NULL);
    g_atomic_int_set(&feed->forwarder_due, 1); /* something may wait from before */
    free_spooling(before);
}

AnswerOptions feed_answers(Feed *feed)
{
    g_rw_lock_reader_lock(&feed->lock);
    const AnswerOptions answers = feed->answers;
    g_rw_lock_reader_unlock(&feed->lock);
    return answers;
}

void feed_use_spooling(Feed *feed, void (*use)(const Spooling *spooling, gpointer data), gpointer data)
{
    g_rw_lock_reader_lock(&feed->lock);
    use(feed->spooling, data);
    g_rw_lock_reader_unlock(&feed->lock);
}

/* --- the stream --- */

static void append_views(Feed *feed, JsonWriter *json, const GPtrArray *records)
{
    const StoreClock now = service_clock();
    const AnswerOptions answers = feed_answers(feed);
    json_next_member(json, "vms");
    json_begin(json, '[');
    for (guint i = 0; i < records->len; i++) {
        const VmRecord *record = g_ptr_array_index(records, i);
        VmView view;
        if (!store_find(feed->store, record->vm_id, now, &view))
            continue;
        if (view.record->ended_ns == 0) {
            json_next_element(json);
            answer_append_vm(json, &view, &answers);
        }
        vm_record_unref(view.record);
    }
    json_end(json, ']');
}

static void stream_sample(Feed *feed, const char *host, gint64 time_ns, const GPtrArray *records)
{
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_text_or_null_member(&json, "host", host);
    json_time_member(&json, "timestamp", time_ns);
    append_views(feed, &json, records);
    json_end(&json, '}');
    stream_add(feed->stream, "sample", json.out);
}

static void stream_ended(Feed *feed, const VmRecord *record)
{
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_u64_member(&json, "vm_id", record->vm_id);
    json_text_member(&json, "name", record->name);
    json_text_or_null_member(&json, "host", record->host);
    json_time_member(&json, "ended", record->ended_ns);
    json_end(&json, '}');
    stream_add(feed->stream, "ended", json.out);
}

static void stream_event(Feed *feed, const VmEvent *event)
{
    JsonWriter json = {.out = g_string_new(NULL)};
    answer_append_event(&json, event);
    stream_add(feed->stream, "event", json.out);
}

/* Everything anew: what has changed is how old the figures are taken to be. */
static void stream_all(Feed *feed)
{
    const StoreClock now = service_clock();
    const AnswerOptions answers = feed_answers(feed);
    g_autoptr(GArray) views = store_list(feed->store, STORE_LIVE, now);
    BodyWriter all;
    body_begin_in_heap(&all);
    answer_vm_telemetry(&all, views, &answers, now.real_ns);
    stream_add(feed->stream, "snapshot", all.text);
}

static void stream_change(Feed *feed, const char *host, gint64 time_ns, const StoreChange *change)
{
    if (!stream_is_wanted(feed->stream))
        return;
    if (change->taken->len > 0)
        stream_sample(feed, host, time_ns, change->taken);
    else if (change->named->len > 0)
        stream_sample(feed, host, time_ns, change->named);
    for (guint i = 0; i < change->ended->len; i++)
        stream_ended(feed, g_ptr_array_index(change->ended, i));
    for (guint i = 0; i < change->events->len; i++)
        stream_event(feed, g_ptr_array_index(change->events, i));
}

/* --- where it goes --- */

static void keep(Feed *feed, const StoreChange *change)
{
    if (!feed->history)
        return;
    history_add(feed->history, change->taken);
    history_add(feed->history, change->late);
    history_add(feed->history, change->pieces); /* which adds to what it has of that time */
    history_add_events(feed->history, change->events);
    history_note_vms(feed->history, change->named);
    history_note_vms(feed->history, change->ended);
}

static void count(Feed *feed, const StoreChange *change, gint64 time_ns)
{
    g_mutex_lock(&feed->status_lock);
    FeedStatus *status = &feed->status;
    status->samples += change->taken->len + change->late->len > 0;
    status->vm_samples += change->taken->len;
    status->events += change->events->len;
    status->late += change->late->len;
    status->doubled += change->doubled;
    status->refused_vms += change->refused;
    if (change->taken->len > 0)
        status->last_ns = MAX(status->last_ns, time_ns);
    g_mutex_unlock(&feed->status_lock);
}

/* Takes the change over. */
static void hand_on(Feed *feed, StoreChange *change, const char *host, gint64 time_ns)
{
    keep(feed, change);
    stream_change(feed, host, time_ns, change);
    count(feed, change, time_ns);
    store_change_free(change);
}

/* Takes the sample over. */
static void take(Feed *feed, Sample *sample, StoreSource source, const char *origin, bool whole)
{
    g_autofree char *host = g_strdup(sample->host);
    const gint64 time_ns = sample->realtime_ns;
    hand_on(feed, store_take(feed->store, sample, source, origin, whole, service_clock()), host, time_ns);
}

/* --- the collector --- */

static void queue_sample(Feed *feed, Sample *sample, const Sample *previous)
{
    g_autoptr(GError) error = NULL;
    g_rw_lock_reader_lock(&feed->lock);
    if (feed->spooling && spooling_queue(feed->spooling, sample, previous, &error))
        g_atomic_int_set(&feed->forwarder_due, 1);
    if (feed->spooling)
        note_trouble(feed, FEED_QUEUE, error);
    g_rw_lock_reader_unlock(&feed->lock);
    spooling_report(sample, previous, error);
}

void feed_sample(Feed *feed, const char *uri, Sample *sample, const Sample *previous)
{
    queue_sample(feed, sample, previous);
    take(feed, sample_copy(sample), SOURCE_COLLECTOR, uri, true);
}

void feed_failure(Feed *feed, const char *uri)
{
    if (store_origin_failed(feed->store, uri, service_clock()) && stream_is_wanted(feed->stream))
        stream_all(feed);
}

/* --- writers --- */

/* Lines of one VM stand together, so the last answer nearly always does. */
typedef struct {
    Feed *feed;
    StoreClock now;
    guint64 vm_id;
    bool is_ours;
} Ours;

static bool is_ours(guint64 vm_id, gpointer data)
{
    Ours *ours = data;
    VmView view;
    if (ours->vm_id == vm_id)
        return ours->is_ours;
    ours->vm_id = vm_id;
    ours->is_ours = false;
    if (store_find(ours->feed->store, vm_id, ours->now, &view)) {
        ours->is_ours = view.record->source == SOURCE_COLLECTOR && view.record->ended_ns == 0 &&
                        (view.telemetry == TELEMETRY_OK || view.telemetry == TELEMETRY_WARMING_UP);
        vm_record_unref(view.record);
    }
    return ours->is_ours;
}

typedef struct {
    const char *text;
    gsize length;
    gint64 unit_ns;
    guint lines;
} Incoming;

static bool relay(Feed *feed, const Incoming *in, const char *via, guint64 *ret_lines, GError **error)
{
    g_autofree char *host = via_host(via);
    Ours ours = {.feed = feed, .now = service_clock(), .vm_id = G_MAXUINT64};
    g_autoptr(GString) lines =
        relay_text(in->text, in->length, in->unit_ns, ours.now.real_ns, is_ours, &ours, ret_lines);
    return enqueue_lines(feed->spooling->path, feed->spooling->sinks, host, ours.now.real_ns, lines->str, lines->len,
                         error);
}

/* When it begins, now and then while it lasts, and when it is over. */
static void tell(Feed *feed, gint64 *told_us, const GError *error, const char *trouble, const char *over)
{
    const gint64 now_us = g_get_monotonic_time();
    g_mutex_lock(&feed->status_lock);
    const bool is_due = error ? *told_us == 0 || now_us - *told_us > REMIND_US : *told_us != 0;
    if (is_due)
        *told_us = error ? now_us : 0;
    g_mutex_unlock(&feed->status_lock);
    if (is_due && error)
        log_error("%s: %s", trouble, error->message);
    else if (is_due)
        log_info("%s", over);
}

/* A loop of sinks. */
static void tell_returned(Feed *feed, const char *via)
{
    const gint64 now_us = g_get_monotonic_time();
    g_mutex_lock(&feed->status_lock);
    const bool is_due = feed->returned_told_us == 0 || now_us - feed->returned_told_us > REMIND_US;
    if (is_due)
        feed->returned_told_us = now_us;
    g_mutex_unlock(&feed->status_lock);
    if (is_due)
        log_warning("lines come in that have come through %s, and are not passed on again; "
                    "see that no [sink] leads back here",
                    via_has(via, feed->id) ? "this telemetryd before" : "too many telemetryds");
}

static bool relay_if_wanted(Feed *feed, const Incoming *in, const char *via, GError **error)
{
    bool relayed = true, wanted = false, returned = false;
    guint64 lines = 0;
    g_autoptr(GError) reason = NULL;
    g_autofree char *next = via_has(via, feed->id) ? NULL : via_add(via, feed->id);
    g_rw_lock_reader_lock(&feed->lock);
    if (feed->spooling) {
        wanted = next != NULL;
        returned = !wanted;
        relayed = !wanted || relay(feed, in, next, &lines, &reason);
        if (wanted)
            note_trouble(feed, FEED_QUEUE, reason);
        g_atomic_int_set(&feed->forwarder_due, 1); /* on a full disk it makes room */
    }
    g_rw_lock_reader_unlock(&feed->lock);
    if (wanted)
        tell(feed, &feed->relay_told_us, reason, "lines that come in can't be queued for the sinks, and are refused",
             "lines that come in are queued for the sinks again");
    if (returned)
        tell_returned(feed, via);
    g_mutex_lock(&feed->status_lock);
    feed->status.relayed_lines += relayed ? lines : 0;
    feed->status.relay_failures += !relayed;
    feed->status.returned_lines += returned ? in->lines : 0;
    g_mutex_unlock(&feed->status_lock);
    if (reason)
        g_propagate_error(error, g_steal_pointer(&reason));
    return relayed;
}

bool feed_lines(Feed *feed, LineSamples *read, const char *text, gsize length, gint64 unit_ns, const char *via,
                GError **error)
{
    const Incoming in = {text, length, unit_ns, read->points};
    const bool relayed = read->points == 0 || relay_if_wanted(feed, &in, via, error);
    for (guint i = 0; i < read->samples->len; i++) {
        Sample *sample = g_steal_pointer(&read->samples->pdata[i]);
        take(feed, sample, SOURCE_PROBES, NULL, line_samples_is_whole(sample));
    }
    g_ptr_array_set_size(read->samples, 0);
    for (guint i = 0; i < read->events->len; i++) {
        const VmEvent *event = g_ptr_array_index(read->events, i);
        hand_on(feed, store_take_event(feed->store, event, service_clock()), event->host, event->time_ns);
    }
    g_mutex_lock(&feed->status_lock);
    feed->status.lines += read->points;
    feed->status.refused_lines += read->refused;
    feed->status.foreign_lines += read->foreign;
    g_mutex_unlock(&feed->status_lock);
    return relayed;
}

/* --- time --- */

static bool something_waits(const Spooling *spooling)
{
    g_autoptr(Spool) spool = spool_open_existing(spooling->path, NULL);
    for (guint i = 0; spool && i < spooling->sinks->len; i++) {
        const SinkSettings *sink = g_ptr_array_index(spooling->sinks, i);
        SpoolWaiting waiting;
        if (spool_count(spool, sink->name, &waiting, NULL) && waiting.count.batches > 0)
            return true;
    }
    return false;
}

/* A forwarder leaves while its sink is away. Whoever queues starts the next; when nobody does, what waits is ours. */
static void look_at_queues(Feed *feed)
{
    const gint64 now_us = g_get_monotonic_time();
    if (now_us - feed->looked_us < LOOK_US)
        return;
    feed->looked_us = now_us;
    g_rw_lock_reader_lock(&feed->lock);
    if (feed->spooling && something_waits(feed->spooling))
        g_atomic_int_set(&feed->forwarder_due, 1);
    g_rw_lock_reader_unlock(&feed->lock);
}

static void start_forwarder(Feed *feed)
{
    g_autoptr(GError) error = NULL;
    if (!g_atomic_int_compare_and_exchange(&feed->forwarder_due, 1, 0))
        return;
    g_rw_lock_reader_lock(&feed->lock);
    if (feed->spooling)
        spooling_start_forwarder(feed->spooling, &error);
    note_trouble(feed, FEED_FORWARDER, error);
    g_rw_lock_reader_unlock(&feed->lock);
    tell(feed, &feed->forwarder_told_us, error, "the forwarder can't be started", "the forwarder can be started again");
}

void feed_tick(Feed *feed)
{
    StoreChange *change;
    store_tick(feed->store, service_clock(), &change);
    keep(feed, change);
    stream_change(feed, NULL, 0, change);
    if (change->aged && stream_is_wanted(feed->stream))
        stream_all(feed);
    store_change_free(change);
    look_at_queues(feed);
    start_forwarder(feed);
}

void feed_status(Feed *feed, FeedStatus *ret_status)
{
    g_mutex_lock(&feed->status_lock);
    *ret_status = feed->status;
    g_mutex_unlock(&feed->status_lock);
}
