/* SPDX-License-Identifier: Apache-2.0
 * What a sink's answer to a write means, for each of the APIs. Pure; never fails: an answer that nobody understands
 * keeps the data. */
#pragma once

#include "deliver/sinks.h"

/* How the exchange itself went. */
typedef enum {
    TRANSPORT_DONE,        /* a whole answer came; else `status` says nothing */
    TRANSPORT_UNREACHABLE, /* no such host, connection refused, proxy gone … */
    TRANSPORT_TIMEOUT,
    TRANSPORT_CUT, /* the connection ended within the answer, or its length is wrong: it may be stored or not */
    TRANSPORT_TLS, /* certificates do not fit: a person has to look */
} Transport;

/* An answer as it came. */
typedef struct {
    Transport transport;
    char *problem;      /* of the transport, one line; NULL when DONE */
    long status;        /* HTTP's */
    char *retry_after;  /* header's text; NULL: none. Likewise the next */
    char *influx_error; /* X-Influxdb-Error */
    char *date;         /* the server's clock, in full seconds */
    GString *body;      /* at most SINK_ANSWER_MAX bytes of it */
} SinkReply;

#define SINK_ANSWER_MAX (256 * 1024)
void sink_reply_free(SinkReply *reply);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SinkReply, sink_reply_free)

typedef enum {
    ANSWER_STORED,    /* all of it */
    ANSWER_PARTIAL,   /* the good lines are stored, `lines` or `dropped` of them are not, and won't be */
    ANSWER_REFUSED,   /* nothing need be stored because of some line: find it, send the others. `lines` may name it */
    ANSWER_TOO_LARGE, /* send less at once */
    ANSWER_DENIED,    /* credentials, database, certificates, a URL that is none of a database's: keep all, try seldom,
                         tell a person */
    ANSWER_BUSY,      /* keep all, try later */
    ANSWER_FAILED,    /* as BUSY; after ANSWER_FAILED_TRIES of the same lines in a row as REFUSED, since some servers
                         answer 500 to a type conflict */
} AnswerKind;

#define ANSWER_FAILED_TRIES 4

typedef struct {
    AnswerKind kind;
    GArray *lines;    /* of guint: numbers of the refused lines in the body, from 1, ascending, each once; never NULL */
    GPtrArray *texts; /* of char *: refused lines as InfluxDB 1 quotes them, whole; never NULL */
    guint64 dropped;  /* how many points the sink says it did not store; 0 where it does not say */
    bool of_lines;    /* REFUSED, FAILED: its words are about lines; else it may refuse whatever is sent */
    gint64 wait_ms;   /* Retry-After, seconds or date; -1: none. Not capped */
    char *message; /* one line for people: status and the sink's own words; "" when STORED. Holds no secret of ours */
} Answer;

/* `now_ms`: realtime, for a Retry-After that is a date. */
Answer *answer_read(SinkType type, const SinkReply *reply, gint64 now_ms);
void answer_free(Answer *answer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Answer, answer_free)
