/* SPDX-License-Identifier: Apache-2.0
 * A database in memory that takes line protocol and answers as the real ones do: what the drain's tests send to. */
#pragma once

#include "deliver/answer.h"

typedef enum {
    FAKE_PLAIN,        /* as the newest build of its kind */
    FAKE_NO_DETAIL,    /* refuses without saying which line */
    FAKE_WRONG_DETAIL, /* InfluxDB 2: always blames line 1 */
    FAKE_SCHEMA_500,   /* InfluxDB 2: 500 for a type conflict, nothing stored */
} FakeStyle;

/* A line that holds "poison" is malformed for it, one that holds "conflict" has a field of another type. */
typedef struct {
    SinkType type;
    FakeStyle style;
    bool gzip;
    guint max_lines;    /* 413 for more; 0: takes any */
    gsize max_line;     /* 413 where one line is longer; 0: takes any */
    GHashTable *points; /* series and time -> fields */
    guint requests;
    guint64 lines; /* all that came */
    guint largest; /* lines of a request that was not too large */
    guint odd;     /* requests whose body was empty, no gzip, or held what is no point */
} FakeSink;

FakeSink *fake_sink_new(SinkType type, FakeStyle style, bool gzip);
void fake_sink_free(FakeSink *sink);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeSink, fake_sink_free)

SinkReply *fake_sink_post(FakeSink *sink, const char *data, gsize length);

/* Replies that no line is the cause of. */
SinkReply *fake_reply(long status, const char *retry_after);
SinkReply *fake_transport(Transport transport);

/* The stored fields of a line's series and time; NULL: it is not there. */
const char *fake_sink_find(const FakeSink *sink, const char *line);
