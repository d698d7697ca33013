/* SPDX-License-Identifier: Apache-2.0
 * An answer that is rendered once per change and served to all. Thread-safe, knows nothing of HTTP's wire.
 *
 * A rendering stands for a version of what it shows; it is made anew when the version has changed, or when it is older
 * than SNAPSHOT_AGE_MS, as ages move. What is cheap to render is rendered by whoever asks, so that a read after a write
 * sees it. What is costly is rendered by a thread of its own for as long as somebody asks, and takes at most a tenth of
 * that thread's time, however often the version changes; who asks gets the rendering before meanwhile. A costly one
 * that is too old to be served is let go. Bodies are in files where they are large (body.h). */
#pragma once

#include "serve/http.h"

#define SNAPSHOT_AGE_MS 1000
#define SNAPSHOT_CHEAP_US 2000   /* of rendering, gzip included where it is asked for */
#define SNAPSHOT_SHARE 10        /* a costly rendering takes one part in so many of the time */
#define SNAPSHOT_WANTED_MS 3000  /* one is kept up to date so long after somebody asked */
#define SNAPSHOT_GZIP_NOW 131072 /* bytes that whoever asks packs by himself; about a millisecond */
#define SNAPSHOT_GZIP_MS 60000   /* the packed form is made along so long after somebody asked for it */

typedef struct {
    Reply *(*render)(gpointer data);   /* from any thread, but never two at a time */
    guint64 (*version)(gpointer data); /* quick */
    gint64 (*now_us)(gpointer data);   /* monotonic; NULL: the clock */
    gpointer data;
    const char *life;      /* tells our ETags from those of other lives of the program; copied */
    guint n_attached;      /* places for what users keep with each rendering */
    GDestroyNotify detach; /* of what is kept there */
} SnapshotSource;

/* Constant once published, but for `packed` and `attached`, which are made when they are first asked for. */
typedef struct {
    gint references;
    Reply *reply; /* its ETag is made here: weak, as ages move under it */
    guint64 version;
    gint64 begun_us; /* monotonic */
    GMutex lock;     /* of the rest */
    Body packed;     /* gzip */
    GDestroyNotify detach;
    guint n_attached;
    gpointer attached[]; /* g_atomic_pointer; NULL: nothing yet */
} Rendering;

Rendering *rendering_ref(Rendering *rendering);
void rendering_unref(Rendering *rendering);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rendering, rendering_unref)

typedef struct Snapshot Snapshot;

Snapshot *snapshot_new(const SnapshotSource *source);
void snapshot_free(Snapshot *snapshot); /* nobody may ask any more; renderings that are held live on */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Snapshot, snapshot_free)

/* A reference. NULL: there is none that is recent enough, and making one is costly: snapshot_wait, in a thread that may
 * wait. */
Rendering *snapshot_get(Snapshot *snapshot);
/* Only one that is of the version as of now. NULL: as above. */
Rendering *snapshot_get_current(Snapshot *snapshot);
/* Waits for one that is of the version as of now. */
Rendering *snapshot_wait(Snapshot *snapshot);

/* The packed body, which stays the rendering's (`packed` has its file). NULL: too small, or not yet made (then later
 * renderings will have it).
 */
GBytes *snapshot_packed(Snapshot *snapshot, Rendering *rendering);

guint64 snapshot_renderings(Snapshot *snapshot); /* so far */
/* Bytes of all renderings that live, of all snapshots, in the heap and in files: those that slow clients still take
 * among them. */
gsize snapshot_bytes(void);
