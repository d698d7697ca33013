/* SPDX-License-Identifier: Apache-2.0
 * The events of GET /stream, kept for those who come back: a ring, bounded in events and bytes, that all clients read
 * from, each at its own pace. One that falls behind the ring gets everything anew. Thread-safe, knows nothing of HTTP.
 *
 *   id: 5f3a9c-1042
 *   event: sample
 *   data: {"host":"kvm1","timestamp":"…","vms":[…]}      the VMs that are new in it, as vm-telemetry has them
 *
 * Other events: snapshot (all of vm-telemetry: to begin with, and after a gap), ended ({"vm_id",…}), event (a change of
 * state, as /events has it), and comments as heartbeats. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define STREAM_EVENTS_MAX 1024
#define STREAM_BYTES_MAX (32 * 1024 * 1024)
#define STREAM_HEARTBEAT_S 15

typedef struct Stream Stream;

Stream *stream_new(void);
void stream_free(Stream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Stream, stream_free)

/* `on_news` is called, without any lock held, after each stream_add; one subscriber: the server. When this returns the
 * one before (NULL: none is wanted any more) is not called, nor still being called. Not from within on_news. */
void stream_set_listener(Stream *stream, void (*on_news)(gpointer data), gpointer data);

/* Whether anybody reads: else nothing need be rendered. Counted by readers below, and for a minute after the last left.
 */
bool stream_is_wanted(Stream *stream);

/* Takes the data over: one line of JSON. */
void stream_add(Stream *stream, const char *event, GString *data);

/* Where a reader stands. */
typedef struct {
    guint64 next; /* number of the next event; 0: it needs a snapshot first */
} StreamPlace;

/* From Last-Event-ID (NULL, or anything: none, of another life of ours, too old: a snapshot comes first). Pure but for
 * looking at the ring. */
StreamPlace stream_place(Stream *stream, const char *last_event_id);
void stream_reader_begin(Stream *stream);
void stream_reader_end(Stream *stream);

typedef enum { STREAM_EVENT, STREAM_NOTHING, STREAM_GAP } StreamStep;
/* The next event as text to be sent, and moves on; NOTHING: up to date; GAP: the ring no longer has it (or next is 0):
 * send a snapshot, made after stream_skip. */
StreamStep stream_next(Stream *stream, StreamPlace *place, GBytes **ret_text);
/* Moves to the end of the ring, and returns the id for the snapshot event that stands for all before. Owned by the
 * caller. */
char *stream_skip(Stream *stream, StreamPlace *place);

/* An event as the wire has it: id (NULL: none), name, data, empty line. */
GBytes *stream_format(const char *id, const char *event, const char *data, gsize length);
