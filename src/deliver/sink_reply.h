/* SPDX-License-Identifier: Apache-2.0
 * A reply while it comes in, line by line and piece by piece. Pure; takes any bytes. */
#pragma once

#include "deliver/answer.h"

#define SINK_HEADER_MAX 1024 /* bytes kept of a header's text */

typedef struct {
    SinkReply *reply;
    bool seen_status; /* a status line came: the other side speaks HTTP */
    bool seen_end;    /* of the headers of the answer itself, not of a 1xx before it */
    gsize limit;      /* bytes of the body that are kept */
    bool odd_length;  /* a 204 that announces a content: the server has lost count */
} SinkIncoming;

void sink_incoming_begin(SinkIncoming *incoming);
void sink_incoming_clear(SinkIncoming *incoming);

/* One header line, or status line, or the empty line behind them. */
void sink_incoming_header(SinkIncoming *incoming, const char *line, gsize length);

/* A piece of the body. What is above the limit, SINK_ANSWER_MAX unless another was set behind begin, is dropped. */
void sink_incoming_body(SinkIncoming *incoming, const char *data, gsize length);

/* Writes stars over `secret` (NULL: none) wherever the reply repeats it. */
void sink_reply_mask(SinkReply *reply, const char *secret);
