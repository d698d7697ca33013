/* SPDX-License-Identifier: Apache-2.0
 * A drain, its spool and the database it sends to: what the drain's tests share. Header only: other tests have no use
 * for it. */
#pragma once

#include "test_spool.h"

#include "base/log.h"
#include "deliver/drain.h"
#include "fake_sink.h"
#include "gather_helpers.h"

#define SINK "influx"
#define START_NS G_GINT64_CONSTANT(1700000000000000000)
#define STEPS_MAX 100000

typedef struct {
    Place *place;
    SinkSettings settings;
    FakeSink *sink;
    Drain *drain;
    gint64 now_ns;
    guint n_batches;
    guint waits;
    guint64 points;   /* numbers them */
    const char *host; /* of the batches that are added */
} Rig;

static inline Rig rig_new(Place *place, SinkType type, FakeStyle style)
{
    static char name[] = SINK;
    Rig rig = {.place = place,
               .settings = {.name = name, .type = type, .gzip = true, .lines = 5000},
               .sink = fake_sink_new(type, style, true),
               .now_ns = START_NS,
               .host = "h"};
    return rig;
}

static inline void rig_clear(Rig *rig)
{
    drain_free(rig->drain);
    fake_sink_free(rig->sink);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Rig, rig_clear)

static inline void restart(Rig *rig)
{
    drain_free(rig->drain);
    rig->drain = drain_new(rig->place->spool, &rig->settings);
}

/* --- batches --- */

/* As it is stored, whatever it is. */
static inline void add_stored(Rig *rig, const void *data, gsize length)
{
    const SpoolNewBatch batch = {
        .host = rig->host, .time_ns = START_NS + rig->n_batches++, .data = data, .length = length};
    const SpoolTarget target = {.sink = SINK};
    g_autoptr(GError) error = NULL;
    if (!spool_add(rig->place->spool, &batch, &target, 1, NULL, &error))
        fail_msg("%s", error->message);
}

static inline void add_lines(Rig *rig, const char *text)
{
    gsize length;
    g_autofree char *packed = spool_compress(text, strlen(text), &length);
    add_stored(rig, packed, length);
}

/* A point of its own; `kind` "" or "poison", "conflict". Owned by the caller. */
static inline char *make_line(Rig *rig, const char *kind)
{
    guint64 n = rig->points++;
    return g_strdup_printf("vm_totals,VMID=%" G_GUINT64_FORMAT ",k=%s f=%" G_GUINT64_FORMAT "i %" G_GUINT64_FORMAT,
                           n % 50, *kind ? kind : "good", n, n / 50 + 1);
}

/* `n` good points; line `special` (from 0; -1: none) is of `kind`. */
static inline void add_points(Rig *rig, guint n, gint special, const char *kind)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < n; i++) {
        g_autofree char *line = make_line(rig, (gint)i == special ? kind : "");
        g_string_append_printf(text, "%s\n", line);
    }
    add_lines(rig, text->str);
}

/* --- going on --- */

static inline void answer_with(Rig *rig, SinkReply *reply)
{
    g_autoptr(Answer) answer = answer_read(rig->settings.type, reply, rig->now_ns / 1000000);
    drain_answered(rig->drain, answer, rig->now_ns, 0.5);
    sink_reply_free(reply);
}

static inline DrainStep next(Rig *rig, DrainBody *ret_body)
{
    g_autoptr(GError) error = NULL;
    DrainStep step = drain_next(rig->drain, rig->now_ns, ret_body, &error);
    if (step == DRAIN_STOP)
        fail_msg("%s", error->message);
    assert_null(error);
    return step;
}

/* The next body goes to the sink. */
static inline DrainStep go(Rig *rig)
{
    DrainBody body;
    DrainStep step = next(rig, &body);
    if (step == DRAIN_SEND)
        answer_with(rig, fake_sink_post(rig->sink, body.data, body.length));
    return step;
}

static inline void wait_for_it(Rig *rig)
{
    gint64 retry_at = drain_retry_at(rig->drain);
    assert_true(retry_at > rig->now_ns);
    assert_true(retry_at - rig->now_ns <= DRAIN_ASKED_MAX_MS * G_GINT64_CONSTANT(1000000));
    rig->now_ns = retry_at;
    rig->waits++;
}

/* Until nothing waits. */
static inline void go_on(Rig *rig)
{
    if (!rig->drain)
        restart(rig);
    for (guint i = 0;; i++) {
        DrainStep step = go(rig);
        if (step == DRAIN_DONE)
            break;
        if (step == DRAIN_WAIT)
            wait_for_it(rig);
        assert_true(i < STEPS_MAX);
    }
    assert_int_equal(rig->sink->odd, 0);
}

/* --- what is there --- */

/* All that bad/ holds, expanded where it is gzip, in no order. Owned by the caller. */
static inline char *read_bad(const Place *place)
{
    g_autofree char *path = path_of(place, "bad");
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    GString *all = g_string_new(NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *file = g_build_filename(path, name, NULL), *data = NULL;
        gsize length, text_length;
        assert_true(g_file_get_contents(file, &data, &length, NULL));
        g_autofree char *text = spool_expand(data, length, 1 << 26, &text_length, NULL);
        g_string_append(all, text ? text : "damaged\n");
    }
    return g_string_free(all, FALSE);
}

static inline Ledger stored_ledger(const Rig *rig)
{
    Ledger ledger;
    bool damaged;
    ledger_load(rig->place->spool, SINK, &ledger, &damaged);
    assert_false(damaged);
    return ledger;
}

static inline guint waiting(const Rig *rig)
{
    g_autoptr(GPtrArray) batches = list(rig->place, SINK);
    return batches->len;
}
