/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/stream.h"

#include <string.h>

static void add(Stream *stream, const char *text)
{
    stream_add(stream, "sample", g_string_new(text));
}

/* What comes next: its text, "(nothing)" or "(gap)". Owned by the caller. */
static char *next(Stream *stream, StreamPlace *place)
{
    GBytes *text = NULL;
    switch (stream_next(stream, place, &text)) {
    case STREAM_EVENT:
        break;
    case STREAM_NOTHING:
        return g_strdup("(nothing)");
    case STREAM_GAP:
        return g_strdup("(gap)");
    }
    gsize length;
    const char *data = g_bytes_get_data(text, &length);
    g_autofree char *whole = g_strndup(data, length);
    g_bytes_unref(text);
    char *event = strstr(whole, "event: ");
    assert_non_null(event);
    return g_strdup(event);
}

static void check_next(Stream *stream, StreamPlace *place, const char *want)
{
    g_autofree char *got = next(stream, place);
    CHECK_TEXT(got, want, "next");
}

static void readers_go_at_their_own_pace(void **state)
{
    (void)state;
    g_autoptr(Stream) stream = stream_new();
    StreamPlace place = stream_place(stream, NULL);
    check_next(stream, &place, "(gap)");
    g_autofree char *id = stream_skip(stream, &place);
    check_next(stream, &place, "(nothing)");
    add(stream, "{1}\n");
    add(stream, "{2}");
    assert_true(stream_place(stream, id).next == 0); /* it has seen a snapshot of nothing: it gets another */
    check_next(stream, &place, "event: sample\ndata: {1}\n\n");
    check_next(stream, &place, "event: sample\ndata: {2}\n\n");
    check_next(stream, &place, "(nothing)");
}

static void places_by_id(void **state)
{
    (void)state;
    g_autoptr(Stream) stream = stream_new();
    for (guint i = 1; i <= 3; i++)
        add(stream, "{}");
    StreamPlace place = {0};
    g_autofree char *last = stream_skip(stream, &place);
    g_auto(GStrv) parts = g_strsplit(last, "-", 2);
    static const struct {
        const char *format; /* of the life */
        guint64 next;
    } cases[] = {
        {"%s-1", 2},  {"%s-3", 4},  {"%s-4", 0},  {"%s-0", 0},  {"%s--1", 0},
        {"%s-", 0},   {"%s", 0},    {"%s-1x", 0}, {"x%s-1", 0}, {"%s-99999999999999999999", 0},
        {"%s- 1", 0}, {"%s-+1", 0},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(GStrv) around = g_strsplit(cases[i].format, "%s", 2);
        g_autofree char *id = g_strconcat(around[0], parts[0], around[1], NULL);
        CHECK(stream_place(stream, id).next == cases[i].next, "%s", id);
    }
    assert_true(stream_place(stream, "").next == 0);
    assert_true(stream_place(stream, NULL).next == 0);
    g_autoptr(Stream) other = stream_new(); /* of another life */
    add(other, "{}");
    add(other, "{}");
    g_autofree char *of_this = g_strconcat(parts[0], "-1", NULL);
    assert_true(stream_place(other, of_this).next == 0);
}

static void who_falls_behind_gets_everything_anew(void **state)
{
    (void)state;
    g_autoptr(Stream) stream = stream_new();
    StreamPlace place = {0};
    g_free(stream_skip(stream, &place));
    for (guint i = 0; i < STREAM_EVENTS_MAX; i++)
        add(stream, "{}");
    StreamPlace kept = place;
    check_next(stream, &kept, "event: sample\ndata: {}\n\n");
    add(stream, "{}");
    check_next(stream, &place, "(gap)");
    g_free(stream_skip(stream, &place));
    check_next(stream, &place, "(nothing)");
}

static void bytes_are_bounded_too(void **state)
{
    (void)state;
    g_autoptr(Stream) stream = stream_new();
    StreamPlace place = {0};
    g_free(stream_skip(stream, &place));
    for (guint i = 0; i < 3; i++) {
        GString *large = g_string_sized_new(STREAM_BYTES_MAX / 2);
        g_string_set_size(large, STREAM_BYTES_MAX / 2);
        memset(large->str, 'x', large->len);
        stream_add(stream, "sample", large);
    }
    check_next(stream, &place, "(gap)"); /* the first went */
}

static void it_is_wanted_while_somebody_reads(void **state)
{
    (void)state;
    g_autoptr(Stream) stream = stream_new();
    assert_false(stream_is_wanted(stream));
    stream_reader_begin(stream);
    assert_true(stream_is_wanted(stream));
    stream_reader_end(stream);
    assert_true(stream_is_wanted(stream)); /* one that went may come back */
}

static void count_news(gpointer data)
{
    g_atomic_int_inc((gint *)data);
}

#define WRITERS 2
#define READERS 3
#define EACH 2000 /* events of a writer: more than the ring holds */

typedef struct {
    Stream *stream;
    guint64 last;     /* number of the last event or snapshot */
    guint events;     /* that came one by one */
    bool out_of_turn; /* an event was not the one after the last */
} Reader;

static gpointer write_on(gpointer stream)
{
    for (guint i = 0; i < EACH; i++)
        add(stream, "{}");
    return NULL;
}

/* The number in "LIFE-NUMBER". */
static guint64 number_in(const char *id)
{
    return g_ascii_strtoull(strchr(id, '-') + 1, NULL, 10);
}

/* Until it has seen the last that is written; each event has to be the one after that before, or after a snapshot. */
static gpointer read_on(gpointer data)
{
    Reader *reader = data;
    StreamPlace place = {0};
    while (reader->last < WRITERS * EACH) {
        GBytes *text = NULL;
        StreamStep step = stream_next(reader->stream, &place, &text);
        if (step == STREAM_GAP) {
            g_autofree char *id = stream_skip(reader->stream, &place);
            reader->last = number_in(id);
        } else if (step == STREAM_EVENT) {
            const guint64 number = number_in(g_bytes_get_data(text, NULL));
            reader->out_of_turn |= number != reader->last + 1;
            reader->last = number;
            reader->events++;
            g_bytes_unref(text);
        } else {
            g_thread_yield();
        }
    }
    return NULL;
}

static void writers_and_readers_at_once(void **state)
{
    (void)state;
    gint news = 0;
    g_autoptr(Stream) stream = stream_new();
    stream_set_listener(stream, count_news, &news);
    Reader readers[READERS] = {{0}};
    GThread *threads[READERS + WRITERS];
    for (guint i = 0; i < READERS; i++) {
        readers[i].stream = stream;
        threads[i] = g_thread_new("reader", read_on, &readers[i]);
    }
    for (guint i = 0; i < WRITERS; i++)
        threads[READERS + i] = g_thread_new("writer", write_on, stream);
    for (guint i = 0; i < READERS + WRITERS; i++)
        g_thread_join(threads[i]);
    assert_int_equal(news, WRITERS * EACH);
    for (guint i = 0; i < READERS; i++)
        CHECK(!readers[i].out_of_turn && readers[i].last == WRITERS * EACH, "reader %u, %u events", i,
              readers[i].events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_go_at_their_own_pace),          cmocka_unit_test(places_by_id),
        cmocka_unit_test(who_falls_behind_gets_everything_anew), cmocka_unit_test(bytes_are_bounded_too),
        cmocka_unit_test(it_is_wanted_while_somebody_reads),     cmocka_unit_test(writers_and_readers_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
