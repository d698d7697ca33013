/* SPDX-License-Identifier: Apache-2.0
 * One response for each reader, whose content comes from the ring of events (stream.h) piece by piece. A reader that is
 * up to date is suspended, and resumed when there is news or its heartbeat is due. */
#include "serve/server_internal.h"

#include "serve/stream.h"

#include <string.h>

#define HEARTBEAT ":\n\n"
#define SNAPSHOT_ROUTE ROUTE_vm_telemetry
#define BLOCK_BYTES 32768 /* of a response's buffer, where libmicrohttpd uses one */

/* What is being sent: three pieces, so that a snapshot is shared by all who get it. */
#define N_PIECES 3

struct StreamReader {
    Exchange *exchange;
    GList link; /* of the server's readers */
    StreamPlace place;
    GBytes *pieces[N_PIECES]; /* NULL: empty */
    gsize offset;             /* into the first that is not empty */
    gint64 sent_ms;           /* when the last event was begun; likewise */
    bool is_suspended;        /* under readers_lock */
    bool is_lost;             /* there is no snapshot to be had */
};

/* --- pieces --- */

static bool has_pieces(const StreamReader *reader)
{
    for (guint i = 0; i < N_PIECES; i++)
        if (reader->pieces[i])
            return true;
    return false;
}

static void drop_pieces(StreamReader *reader)
{
    for (guint i = 0; i < N_PIECES; i++)
        g_clear_pointer(&reader->pieces[i], g_bytes_unref);
    reader->offset = 0;
}

static gsize take_from_pieces(StreamReader *reader, char *buffer, gsize room)
{
    gsize taken = 0;
    for (guint i = 0; i < N_PIECES && taken < room; i++) {
        gsize length;
        const char *data = reader->pieces[i] ? g_bytes_get_data(reader->pieces[i], &length) : NULL;
        if (!data) {
            g_clear_pointer(&reader->pieces[i], g_bytes_unref);
            continue;
        }
        gsize n = MIN(length - reader->offset, room - taken);
        memcpy(buffer + taken, data + reader->offset, n);
        taken += n;
        reader->offset += n;
        if (reader->offset == length) {
            g_clear_pointer(&reader->pieces[i], g_bytes_unref);
            reader->offset = 0;
        }
    }
    return taken;
}

/* The snapshot, and the id that stands for all events before it. Takes `id` over. */
static void put_snapshot(StreamReader *reader, Rendering *rendering, char *id)
{
    GBytes *body = rendering->reply->body;
    gsize length = g_bytes_get_size(body);
    const char *data = g_bytes_get_data(body, NULL);
    while (length > 0 && data[length - 1] == '\n')
        length--;
    char *head = g_strdup_printf("id: %s\nevent: snapshot\ndata: ", id);
    reader->pieces[0] = g_bytes_new_take(head, strlen(head));
    reader->pieces[1] = g_bytes_new_from_bytes(body, 0, length);
    reader->pieces[2] = g_bytes_new_static("\n\n", 2);
    reader->offset = 0;
    g_free(id);
}

/* --- what comes next --- */

static Server *server_of(const StreamReader *reader)
{
    return reader->exchange->client->server;
}

static Stream *stream_of(const StreamReader *reader)
{
    return server_of(reader)->service->stream;
}

static bool put_snapshot_of(StreamReader *reader, Rendering *(*get)(Snapshot *snapshot))
{
    char *id = stream_skip(stream_of(reader), &reader->place); /* first: what comes in meanwhile is sent behind it */
    g_autoptr(Rendering) rendering = get(server_of(reader)->snapshots[SNAPSHOT_ROUTE]);
    if (!rendering || rendering->reply->status != 200) {
        reader->place = (StreamPlace){0};
        g_free(id);
        return false;
    }
    put_snapshot(reader, rendering, id);
    return true;
}

/* In a worker. */
static void wait_for_snapshot(Exchange *exchange)
{
    exchange->reader->is_lost = !put_snapshot_of(exchange->reader, snapshot_wait);
    exchange->reader->sent_ms = server_now_ms();
    client_set_phase(exchange->client, PHASE_STREAMING);
}

typedef enum { NEXT_PIECES, NEXT_NOTHING_YET, NEXT_END } Next;

/* Under readers_lock, so that no news gets lost between looking and being suspended. */
static Next wait_for_news(StreamReader *reader, gint64 now_ms)
{
    if (now_ms - reader->sent_ms >= STREAM_HEARTBEAT_S * 1000) {
        reader->pieces[0] = g_bytes_new_static(HEARTBEAT, strlen(HEARTBEAT));
        return NEXT_PIECES;
    }
    reader->is_suspended = true;
    MHD_suspend_connection(reader->exchange->client->connection);
    return NEXT_NOTHING_YET;
}

static Next look_for_next(StreamReader *reader, gint64 now_ms)
{
    Server *server = server_of(reader);
    Next next = NEXT_END;
    StreamStep step = STREAM_NOTHING;
    g_mutex_lock(&server->readers_lock);
    if (!reader->is_lost && !server_is_stopping(server)) {
        step = stream_next(stream_of(reader), &reader->place, &reader->pieces[0]);
        next = step == STREAM_NOTHING ? wait_for_news(reader, now_ms) : NEXT_PIECES;
    }
    g_mutex_unlock(&server->readers_lock);
    if (step != STREAM_GAP || next == NEXT_END || put_snapshot_of(reader, snapshot_get_current))
        return next;
    return server_work(reader->exchange, wait_for_snapshot) ? NEXT_NOTHING_YET : NEXT_END;
}

/* libmicrohttpd has room to send. */
static ssize_t read_stream(void *data, uint64_t position, char *buffer, size_t room)
{
    StreamReader *reader = data;
    (void)position;
    if (!has_pieces(reader)) {
        gint64 now_ms = server_now_ms();
        Next next = look_for_next(reader, now_ms);
        if (next == NEXT_NOTHING_YET)
            return 0;
        if (next == NEXT_END)
            return MHD_CONTENT_READER_END_OF_STREAM;
        reader->sent_ms = now_ms;
        client_set_phase(reader->exchange->client, PHASE_STREAMING);
    }
    return (ssize_t)take_from_pieces(reader, buffer, room);
}

/* --- readers --- */

static bool begin_reader(Exchange *exchange)
{
    Server *server = exchange->client->server;
    StreamReader *reader = g_new0(StreamReader, 1);
    reader->exchange = exchange;
    reader->link.data = reader;
    reader->sent_ms = server_now_ms();
    g_mutex_lock(&server->readers_lock);
    bool admitted = server->readers.length < server->options.streams && !server_is_stopping(server);
    if (admitted)
        g_queue_push_tail_link(&server->readers, &reader->link);
    g_mutex_unlock(&server->readers_lock);
    if (!admitted) {
        g_free(reader);
        return false;
    }
    exchange->reader = reader;
    return true;
}

void server_stream_end(Exchange *exchange)
{
    StreamReader *reader = g_steal_pointer(&exchange->reader);
    Server *server = exchange->client->server;
    g_mutex_lock(&server->readers_lock);
    g_queue_unlink(&server->readers, &reader->link);
    g_mutex_unlock(&server->readers_lock);
    stream_reader_end(server->service->stream);
    drop_pieces(reader);
    g_free(reader);
}

MhdResult server_send_stream(Exchange *exchange)
{
    Server *server = exchange->client->server;
    if (!begin_reader(exchange)) {
        exchange->reply =
            reply_error(503, "%u clients read the stream, which is all that may (streams)", server->options.streams);
        exchange->reply->retry_after_s = BUSY_RETRY_S;
        return server_send_reply(exchange);
    }
    const char *last = exchange->head.last_event_id;
    stream_reader_begin(server->service->stream);
    exchange->reader->place =
        stream_place(server->service->stream, last ? last : target_parameter(exchange->target, "last_event_id"));
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, exchange->reader, NULL);
    server_add_headers(server, response, NULL, access_origin(server->access, exchange->head.origin));
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream; charset=utf-8");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* or nginx in front would keep events back */
    MhdResult result = server_send_response(exchange, 200, response);
    MHD_destroy_response(response);
    return result;
}

/* --- waking --- */

static void wake(StreamReader *reader)
{
    reader->is_suspended = false;
    MHD_resume_connection(reader->exchange->client->connection);
}

static void on_news(gpointer data)
{
    Server *server = data;
    g_mutex_lock(&server->readers_lock);
    for (GList *at = server->readers.head; at; at = at->next) {
        StreamReader *reader = at->data;
        if (reader->is_suspended)
            wake(reader);
    }
    g_mutex_unlock(&server->readers_lock);
}

void server_streams_wake(Server *server, gint64 now_ms)
{
    bool all = server_is_stopping(server);
    g_mutex_lock(&server->readers_lock);
    for (GList *at = server->readers.head; at; at = at->next) {
        StreamReader *reader = at->data;
        if (reader->is_suspended && (all || now_ms - reader->sent_ms >= STREAM_HEARTBEAT_S * 1000))
            wake(reader);
    }
    g_mutex_unlock(&server->readers_lock);
}

void server_streams_start(Server *server)
{
    if (server->service->stream)
        stream_set_listener(server->service->stream, on_news, server);
}

void server_streams_stop(Server *server)
{
    if (server->service->stream)
        stream_set_listener(server->service->stream, NULL, NULL);
}

guint server_n_streams(Server *server)
{
    g_mutex_lock(&server->readers_lock);
    guint n = server->readers.length;
    g_mutex_unlock(&server->readers_lock);
    return n;
}
