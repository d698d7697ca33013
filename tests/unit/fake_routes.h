/* SPDX-License-Identifier: Apache-2.0
 * A server whose routes are answered by this: what the server does with them is tested, not what they say. */
#pragma once

#include "serve/server.h"

#define FAKE_PACKED "packed beforehand"
#define FAKE_POLICY "default-src 'none'; script-src 'self'"

typedef struct {
    Service service; /* first: handlers are given it */
    Server *server;
    guint port;
    ServerOptions options; /* change them, then fake_start */

    guint64 version;                /* atomic */
    gsize size;                     /* bytes of a snapshot */
    gulong cost_us;                 /* of rendering it */
    gint renderings, reads, writes; /* calls; atomic */
    GMutex lock;
    GCond change;
    bool is_held;      /* workers wait; under lock */
    guint held;        /* how many do */
    gsize last_length; /* of a body; under lock */
    char *last_body;
} Fake;

/* On a port of its own, with one token for each, "reader" and "writer", unless they are taken out. */
Fake *fake_new(void);
void fake_start(Fake *fake);
void fake_free(Fake *fake); /* stops it */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fake, fake_free)

void fake_change(Fake *fake); /* a new version of what the snapshots show */
void fake_hold(Fake *fake, bool held);
void fake_wait_held(Fake *fake, guint n);

#define READER "Authorization: Bearer reader\r\n"
#define WRITER "Authorization: Bearer writer\r\n"
