/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/stream.h"

#include <string.h>

#define WANTED_AFTER_US (60 * G_USEC_PER_SEC) /* a client that went may come back, and resume */

typedef struct {
    guint64 number;
    GBytes *text;
} Event;

struct Stream {
    GMutex lock; /* for all of it */
    guint32 life;
    guint64 last;  /* number of the newest event; 0: there was none */
    GQueue events; /* of Event, oldest first, their numbers without gaps */
    gsize bytes;
    guint readers;
    gint64 left_us; /* monotonic: when the last reader went; 0: there was none */
    void (*on_news)(gpointer data);
    gpointer data;
    guint calls; /* of on_news, under way */
    GCond called;
};

static void event_free(Event *event)
{
    g_bytes_unref(event->text);
    g_free(event);
}

Stream *stream_new(void)
{
    Stream *stream = g_new0(Stream, 1);
    g_mutex_init(&stream->lock);
    g_cond_init(&stream->called);
    g_queue_init(&stream->events);
    stream->life = g_random_int();
    return stream;
}

void stream_free(Stream *stream)
{
    if (!stream)
        return;
    Event *event;
    while ((event = g_queue_pop_head(&stream->events)))
        event_free(event);
    g_mutex_clear(&stream->lock);
    g_cond_clear(&stream->called);
    g_free(stream);
}

void stream_set_listener(Stream *stream, void (*on_news)(gpointer data), gpointer data)
{
    g_mutex_lock(&stream->lock);
    stream->on_news = on_news;
    stream->data = data;
    while (stream->calls > 0)
        g_cond_wait(&stream->called, &stream->lock);
    g_mutex_unlock(&stream->lock);
}

/* --- readers --- */

bool stream_is_wanted(Stream *stream)
{
    g_mutex_lock(&stream->lock);
    bool wanted =
        stream->readers > 0 || (stream->left_us != 0 && g_get_monotonic_time() - stream->left_us < WANTED_AFTER_US);
    g_mutex_unlock(&stream->lock);
    return wanted;
}

void stream_reader_begin(Stream *stream)
{
    g_mutex_lock(&stream->lock);
    stream->readers++;
    g_mutex_unlock(&stream->lock);
}

void stream_reader_end(Stream *stream)
{
    g_mutex_lock(&stream->lock);
    g_assert(stream->readers > 0);
    if (--stream->readers == 0)
        stream->left_us = g_get_monotonic_time();
    g_mutex_unlock(&stream->lock);
}

/* --- events --- */

static char *id_of(const Stream *stream, guint64 number)
{
    return g_strdup_printf("%08x-%" G_GUINT64_FORMAT, stream->life, number);
}

/* As large as it has to be: many are kept, and a GString is up to twice what is in it. */
GBytes *stream_format(const char *id, const char *event, const char *data, gsize length)
{
    g_autofree char *head =
        id ? g_strdup_printf("id: %s\nevent: %s\ndata: ", id, event) : g_strdup_printf("event: %s\ndata: ", event);
    while (length > 0 && data[length - 1] == '\n')
        length--;
    char *text = g_strdup_printf("%s%.*s\n\n", head, (int)length, data);
    return g_bytes_new_take(text, strlen(text));
}

/* Forgets the oldest above the limits; the newest stays whatever its size. */
static void bound(Stream *stream)
{
    while (g_queue_get_length(&stream->events) > 1 &&
           (g_queue_get_length(&stream->events) > STREAM_EVENTS_MAX || stream->bytes > STREAM_BYTES_MAX)) {
        Event *oldest = g_queue_pop_head(&stream->events);
        stream->bytes -= g_bytes_get_size(oldest->text);
        event_free(oldest);
    }
}

void stream_add(Stream *stream, const char *event, GString *data)
{
    g_mutex_lock(&stream->lock);
    Event *added = g_new(Event, 1);
    added->number = ++stream->last;
    g_autofree char *id = id_of(stream, added->number);
    added->text = stream_format(id, event, data->str, data->len);
    stream->bytes += g_bytes_get_size(added->text);
    g_queue_push_tail(&stream->events, added);
    bound(stream);
    void (*on_news)(gpointer) = stream->on_news;
    gpointer listener = stream->data;
    stream->calls += on_news != NULL;
    g_mutex_unlock(&stream->lock);
    g_string_free(data, TRUE);
    if (!on_news)
        return;
    on_news(listener);
    g_mutex_lock(&stream->lock);
    stream->calls--;
    g_cond_broadcast(&stream->called);
    g_mutex_unlock(&stream->lock);
}

/* --- places --- */

static guint64 oldest_number(Stream *stream)
{
    return stream->last - g_queue_get_length(&stream->events) + 1;
}

/* The number in an id of this life of ours; 0: it is none. */
static guint64 number_of(const Stream *stream, const char *id)
{
    g_autofree char *life = g_strdup_printf("%08x-", stream->life);
    if (!id || !g_str_has_prefix(id, life))
        return 0;
    const char *digits = id + strlen(life);
    gsize length = strlen(digits);
    if (length == 0 || length > 18 || strspn(digits, "0123456789") != length)
        return 0;
    return g_ascii_strtoull(digits, NULL, 10);
}

StreamPlace stream_place(Stream *stream, const char *last_event_id)
{
    StreamPlace place = {0};
    g_mutex_lock(&stream->lock);
    guint64 number = number_of(stream, last_event_id);
    if (number > 0 && number <= stream->last && number + 1 >= oldest_number(stream))
        place.next = number + 1;
    g_mutex_unlock(&stream->lock);
    return place;
}

StreamStep stream_next(Stream *stream, StreamPlace *place, GBytes **ret_text)
{
    StreamStep step = STREAM_EVENT;
    g_mutex_lock(&stream->lock);
    if (place->next == 0 || place->next < oldest_number(stream)) {
        step = STREAM_GAP;
    } else if (place->next > stream->last) {
        step = STREAM_NOTHING;
    } else {
        const Event *event = g_queue_peek_nth(&stream->events, (guint)(place->next - oldest_number(stream)));
        *ret_text = g_bytes_ref(event->text);
        place->next++;
    }
    g_mutex_unlock(&stream->lock);
    return step;
}

char *stream_skip(Stream *stream, StreamPlace *place)
{
    g_mutex_lock(&stream->lock);
    place->next = stream->last + 1;
    char *id = id_of(stream, stream->last);
    g_mutex_unlock(&stream->lock);
    return id;
}
