/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/status.h"
#include "base/text.h"
#include "deliver/drain.h"
#include "deliver/drain_batch.h"
#include "deliver/sink.h"
#include "deliver/status_strange.h"
#include "encode/json.h"

#include <string.h>

#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)

/* What both forms tell of one sink. */
typedef struct {
    const SinkSettings *settings;
    Ledger ledger;
    bool damaged; /* the ledger */
    SpoolWaiting queue;
    gint64 next_ns; /* of the next attempt; 0: at once */
} Picture;

static bool look(Spool *spool, const SinkSettings *settings, gint64 now_ns, Picture *ret_picture, GError **error)
{
    Picture picture = {.settings = settings};
    if (spool && !spool_count(spool, settings->name, &picture.queue, error))
        return false;
    if (spool)
        ledger_load(spool, settings->name, &picture.ledger, &picture.damaged);
    picture.next_ns = drain_due_ns(&picture.ledger, now_ns);
    *ret_picture = picture;
    return true;
}

static void sum_up(StatusSum *sum, const Picture *picture)
{
    sum->trouble |= picture->ledger.failures > 0;
    sum->has_succeeded |= picture->ledger.last_success_ns != 0;
    sum->batches += picture->queue.count.batches;
}

static char *date(gint64 time_ns)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(time_ns / NS_PER_SECOND);
    return time ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S UTC") : g_strdup("an impossible time");
}

/* --- for people --- */

static void append_dated(GString *out, const char *label, gint64 time_ns, gint64 now_ns, const char *text)
{
    g_string_append_printf(out, "  %-13s ", label);
    if (time_ns == 0) {
        g_string_append(out, "never\n");
        return;
    }
    g_autofree char *when = date(time_ns), *age = text_span((now_ns - time_ns) / NS_PER_SECOND);
    g_string_append_printf(out, "%s, %s ago%s%s\n", when, age, *text ? ": " : "", text);
}

/* Where no forwarder runs the next one makes the attempt, which the probe starts with its next batch. */
static void append_next(GString *out, const Picture *picture, bool runs, gint64 now_ns)
{
    g_autofree char *span = text_span((picture->next_ns - now_ns + NS_PER_SECOND - 1) / NS_PER_SECOND);
    if (picture->next_ns && runs)
        g_string_append_printf(out, "next attempt in %s", span);
    else if (picture->next_ns)
        g_string_append_printf(out, "next attempt when the probe runs, not before %s from now", span);
    else
        g_string_append(out, runs ? "next attempt is due" : "next attempt is due, when the probe runs");
}

static void append_state(GString *out, const Picture *picture, bool runs, gint64 now_ns)
{
    const Ledger *ledger = &picture->ledger;
    g_string_append_printf(out, "  %-13s ", "state");
    if (ledger->failures == 0) {
        g_string_append(out, picture->queue.count.batches ? "well, something waits" : "well, nothing waits");
    } else {
        g_string_append_printf(out, "IN TROUBLE, %u attempt%s failed in a row; ", ledger->failures,
                               ledger->failures == 1 ? "" : "s");
        append_next(out, picture, runs, now_ns);
    }
    g_string_append_c(out, '\n');
}

static void append_queue(GString *out, const Picture *picture, gint64 now_ns)
{
    g_autofree char *limit = text_bytes(picture->settings->limits.max_bytes);
    g_autofree char *longest = text_span(picture->settings->limits.max_age_s);
    g_autofree char *queue = status_describe_queue(&picture->queue, now_ns);
    g_string_append_printf(out, "  %-13s %s (at most %s, %s)\n", "queued", queue, limit, longest);
}

static void append_sent(GString *out, const Ledger *ledger)
{
    g_autofree char *batches = text_count(ledger->sent_batches, "batch", "batches");
    g_autofree char *lines = text_count(ledger->sent_lines, "line", "lines");
    g_autofree char *bytes = text_bytes(ledger->sent_bytes);
    g_autofree char *retried = text_count(ledger->retried, "request", "requests");
    g_string_append_printf(out, "  %-13s %s, %s, %s\n  %-13s %s\n", "sent", batches, lines, bytes, "retried", retried);
}

/* And where to look for it. */
static void append_lost(GString *out, const Ledger *ledger, const Spool *spool)
{
    g_autofree char *batches = text_count(ledger->dropped_batches, "batch", "batches");
    g_autofree char *bytes = text_bytes(ledger->dropped_bytes);
    g_autofree char *lines = text_count(ledger->rejected_lines, "line", "lines");
    g_autofree char *damaged = text_count(ledger->bad_batches, "batch was", "batches were");
    bool any = ledger->rejected_lines > 0 || ledger->bad_batches > 0;
    g_string_append_printf(out, "  %-13s %s, %s, by the queue's limits\n", "dropped", batches, bytes);
    g_string_append_printf(out, "  %-13s %s by the sink; %s damaged%s%s%s\n", "rejected", lines, damaged,
                           any ? "; see " : "", any ? spool_path(spool) : "", any ? "/bad" : "");
}

static void append_picture(GString *out, const Picture *picture, const Spool *spool, bool runs, gint64 now_ns)
{
    const Ledger *ledger = &picture->ledger;
    g_string_append_printf(out, "\n%s  %s at %s\n", picture->settings->name, sink_type_name(picture->settings->type),
                           picture->settings->url);
    if (picture->damaged)
        g_string_append_printf(out, "  %-13s damaged: times and counts begin anew\n", "ledger");
    append_state(out, picture, runs, now_ns);
    append_queue(out, picture, now_ns);
    append_dated(out, "last success", ledger->last_success_ns, now_ns, "");
    append_dated(out, "last error", ledger->last_error_ns, now_ns, ledger->last_error);
    append_sent(out, ledger);
    append_lost(out, ledger, spool);
}

char *status_text(Spool *spool, const GPtrArray *sinks, gint64 now_ns, StatusSum *ret_sum, GError **error)
{
    g_autoptr(GString) out = g_string_new(NULL);
    bool runs = spool && !spool_is_idle(spool);
    *ret_sum = (StatusSum){0};
    if (spool)
        g_string_append_printf(out, "spool %s, %s\n", spool_path(spool),
                               runs ? "a forwarder runs" : "no forwarder runs now");
    for (guint i = 0; i < sinks->len; i++) {
        Picture picture;
        if (!look(spool, g_ptr_array_index(sinks, i), now_ns, &picture, error))
            return NULL;
        append_picture(out, &picture, spool, runs, now_ns);
        sum_up(ret_sum, &picture);
    }
    if (sinks->len == 0)
        g_string_append(out, "\nNo sink is configured: nothing is queued, nothing is sent.\n");
    if (spool && !status_append_strange(out, spool, sinks, now_ns, error))
        return NULL;
    return g_strdup(out->str);
}

/* --- for scripts --- */

static void append_member(GString *out, const char *name, const char *text)
{
    g_string_append_printf(out, ",\"%s\":", name);
    json_append_string(out, text);
}

static void append_number(GString *out, const char *name, guint64 number)
{
    g_string_append_printf(out, ",\"%s\":%" G_GUINT64_FORMAT, name, number);
}

static void append_time(GString *out, const char *name, gint64 time_ns)
{
    g_autofree char *text = time_ns ? json_timestamp(time_ns) : NULL;
    g_string_append_printf(out, ",\"%s\":%s%s%s", name, text ? "\"" : "", text ? text : "null", text ? "\"" : "");
}

static void append_seconds(GString *out, const char *name, gint64 from_ns, gint64 to_ns)
{
    if (from_ns == 0 || to_ns == 0)
        g_string_append_printf(out, ",\"%s\":null", name);
    else
        append_number(out, name, (guint64)(MAX(to_ns - from_ns, 0) / NS_PER_SECOND));
}

static void append_verdict(GString *out, const Ledger *ledger)
{
    append_member(out, "status", ledger->failures > 0 ? "error" : "ok");
    if (ledger->failures > 0)
        append_member(out, "error", ledger->last_error);
    else
        g_string_append(out, ",\"error\":null");
}

static void append_object(GString *out, const Picture *picture, gint64 now_ns)
{
    const Ledger *ledger = &picture->ledger;
    g_string_append(out, "{\"name\":");
    json_append_string(out, picture->settings->name);
    append_member(out, "type", sink_type_name(picture->settings->type));
    append_member(out, "url", picture->settings->url);
    append_verdict(out, ledger);
    append_number(out, "queued_batches", picture->queue.count.batches);
    append_number(out, "queued_bytes", picture->queue.count.bytes);
    append_seconds(out, "oldest_age_seconds", picture->queue.oldest_ns, now_ns);
    append_time(out, "last_success", ledger->last_success_ns);
    append_time(out, "last_error_at", ledger->last_error_ns);
    append_member(out, "last_error", ledger->last_error);
    append_number(out, "failures", ledger->failures);
    append_seconds(out, "next_attempt_seconds", now_ns, picture->next_ns);
    append_number(out, "sent_batches", ledger->sent_batches);
    append_number(out, "sent_lines", ledger->sent_lines);
    append_number(out, "sent_bytes", ledger->sent_bytes);
    append_number(out, "retried", ledger->retried);
    append_number(out, "rejected_lines", ledger->rejected_lines);
    append_number(out, "dropped_batches", ledger->dropped_batches);
    append_number(out, "dropped_bytes", ledger->dropped_bytes);
    append_number(out, "bad_batches", ledger->bad_batches);
    g_string_append_c(out, '}');
}

char *status_json(Spool *spool, const GPtrArray *sinks, gint64 now_ns, StatusSum *ret_sum, GError **error)
{
    g_autoptr(GString) out = g_string_new("{\"spool\":");
    *ret_sum = (StatusSum){0};
    if (spool)
        json_append_string(out, spool_path(spool));
    else
        g_string_append(out, "null");
    g_string_append_printf(out, ",\"running\":%s,\"sinks\":[", !spool || spool_is_idle(spool) ? "false" : "true");
    for (guint i = 0; i < sinks->len; i++) {
        Picture picture;
        if (!look(spool, g_ptr_array_index(sinks, i), now_ns, &picture, error))
            return NULL;
        g_string_append(out, i ? "," : "");
        append_object(out, &picture, now_ns);
        sum_up(ret_sum, &picture);
    }
    g_string_append(out, "],\"not_configured\":[");
    if (spool && !status_append_strange_objects(out, spool, sinks, now_ns, error))
        return NULL;
    g_string_append(out, "]}\n");
    return g_strdup(out->str);
}

/* --- what would be done --- */

/* Lines of a batch; damaged ones have none. */
static guint64 count_lines(Spool *spool, const char *sink, const char *name, bool *ret_damaged)
{
    gsize length = 0, text_length = 0;
    guint64 lines = 0;
    g_autofree char *data = spool_read(spool, sink, name, &length, NULL);
    g_autofree char *text = data ? spool_expand(data, length, DRAIN_TEXT_MAX, &text_length, NULL) : NULL;
    *ret_damaged = data && !text;
    for (const char *at = text; at && (at = memchr(at, '\n', (gsize)(text + text_length - at))); at++)
        lines++;
    return lines;
}

static bool append_plan(GString *out, Spool *spool, const SinkSettings *settings, GError **error)
{
    g_autoptr(GPtrArray) batches = spool ? spool_list(spool, settings->name, error) : g_ptr_array_new();
    g_autofree char *url = sink_write_url(settings);
    guint64 lines = 0, bytes = 0;
    guint damaged = 0;
    if (!batches)
        return false;
    for (guint i = 0; i < batches->len; i++) {
        const SpoolBatch *batch = g_ptr_array_index(batches, i);
        bool is_damaged;
        lines += count_lines(spool, settings->name, batch->name, &is_damaged);
        damaged += is_damaged;
        bytes += batch->bytes;
    }
    g_autofree char *size = text_bytes(bytes);
    g_autofree char *many = text_count(batches->len, "batch", "batches");
    g_autofree char *in_all = text_count(lines, "line", "lines");
    g_autofree char *requests = text_count((lines + settings->lines - 1) / settings->lines, "request", "requests");
    g_string_append_printf(out, "%s: %s, %s, %s, in about %s, to %s\n", settings->name, many, in_all, size, requests,
                           url);
    if (damaged)
        g_string_append_printf(out, "%s: %u of them are damaged and would be set aside\n", settings->name, damaged);
    return true;
}

char *status_dry_run(Spool *spool, const GPtrArray *sinks, GError **error)
{
    g_autoptr(GString) out = g_string_new(NULL);
    for (guint i = 0; i < sinks->len; i++)
        if (!append_plan(out, spool, g_ptr_array_index(sinks, i), error))
            return NULL;
    if (sinks->len == 0)
        g_string_append(out, "No sink is configured: nothing would be sent.\n");
    g_autofree char *strange = spool ? status_strange(spool, sinks, error) : g_strdup("");
    if (!strange)
        return NULL;
    g_string_append(out, strange);
    return g_strdup(out->str);
}
