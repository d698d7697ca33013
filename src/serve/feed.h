/* SPDX-License-Identifier: Apache-2.0
 * Where samples and events go that come in: into the store, and from there to the history, the stream and, by the
 * spool, to our own sinks. Everything that feeds telemetryd calls this, from any thread. */
#pragma once

#include "encode/line_samples.h"
#include "probe/spooling.h"
#include "serve/answers.h"
#include "serve/stream.h"
#include "store/history.h"
#include "store/store.h"

typedef struct Feed Feed;

/* Borrowed but for the spooling; history may be NULL: none is kept. */
Feed *feed_new(Store *store, History *history, Stream *stream);
void feed_free(Feed *feed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Feed, feed_free)

/* What a reload may change: our own sinks (taken over; NULL: none), and how rates are shown. */
void feed_set(Feed *feed, Spooling *spooling, const AnswerOptions *answers);
AnswerOptions feed_answers(Feed *feed);
/* Calls `use` with the spooling (NULL: none), which stays as it is until it returns. */
void feed_use_spooling(Feed *feed, void (*use)(const Spooling *spooling, gpointer data), gpointer data);

/* Of our collector: its lines go onto the spool as the probe's do; sinks' figures are added to the sample. */
void feed_sample(Feed *feed, const char *uri, Sample *sample, const Sample *previous);
void feed_failure(Feed *feed, const char *uri);

/* Of a writer: what was read of its text; the samples in it are taken over. The good lines are relayed as they stand,
 * each with its time in ns; but not the vm_ series of VMs that our own collector speaks for. false: a sink is
 * configured and the lines could not be queued: then the writer is to keep them (503), and what the store took does no
 * harm. `via` (NULL: nothing): what they have come through (via.h). Not relayed, and no error, are those that have come
 * through this endpoint before, and those that have come through VIA_MAX others. */
bool feed_lines(Feed *feed, LineSamples *read, const char *text, gsize length, gint64 unit_ns, const char *via,
                GError **error);

void feed_tick(Feed *feed); /* once a second */

/* Since the start. */
typedef struct {
    guint64 samples, vm_samples, events;         /* taken in */
    guint64 lines, refused_lines, foreign_lines; /* by writers */
    guint64 relayed_lines, relay_failures;
    guint64 returned_lines; /* not relayed, as a loop of sinks has brought them back */
    guint64 late, doubled, refused_vms;
    gint64 last_ns; /* realtime of the last sample; 0 none */
} FeedStatus;
void feed_status(Feed *feed, FeedStatus *ret_status);

/* What goes wrong on the way to our own sinks: lines can't be queued, the forwarder can't be started. */
typedef enum { FEED_QUEUE, FEED_FORWARDER, N_FEED_TROUBLES } FeedTrouble;
/* As of the last attempt; NULL: it went well, or there was none. Owned by the caller. */
char *feed_trouble(Feed *feed, FeedTrouble which);
