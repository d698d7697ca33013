/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/snapshot.h"

#include "serve/gzip.h"

#define US_PER_MS G_GINT64_CONSTANT(1000)
#define POLL_US (50 * US_PER_MS) /* between two looks at the version while a costly one is kept up to date */
#define LATE_MS 1000 /* a rendering that is wanted and kept up to date is never older than its own pace and this */

static gsize heap_bytes; /* of renderings that live; body_file_bytes() has what is in files */

struct Snapshot {
    SnapshotSource source;
    char *life;
    GMutex lock;
    GCond change; /* a rendering was published, or the thread has something to do */
    Rendering *current;
    bool is_rendering, stopping;
    gint64 cost_us, ended_us;         /* of the last rendering */
    gint64 wanted_us, gzip_wanted_us; /* when somebody last asked; 0: never */
    guint64 renderings;
    GThread *thread; /* NULL: no rendering was costly yet */
};

/* --- a rendering --- */

static gsize size_of(GBytes *bytes)
{
    return bytes ? g_bytes_get_size(bytes) : 0;
}

static gsize in_heap(GBytes *bytes, int fd)
{
    return fd < 0 ? size_of(bytes) : 0;
}

static gsize rendering_heap(const Rendering *rendering)
{
    return in_heap(rendering->reply->body, rendering->reply->body_fd) +
           in_heap(rendering->packed.bytes, rendering->packed.fd);
}

Rendering *rendering_ref(Rendering *rendering)
{
    g_atomic_int_inc(&rendering->references);
    return rendering;
}

void rendering_unref(Rendering *rendering)
{
    if (!g_atomic_int_dec_and_test(&rendering->references))
        return;
    for (guint i = 0; i < rendering->n_attached; i++)
        if (rendering->attached[i])
            rendering->detach(rendering->attached[i]);
    g_atomic_pointer_add(&heap_bytes, -(gssize)rendering_heap(rendering));
    if (rendering->packed.bytes)
        g_bytes_unref(rendering->packed.bytes);
    reply_free(rendering->reply);
    g_mutex_clear(&rendering->lock);
    g_free(rendering);
}

static void add_packed(Rendering *rendering)
{
    rendering->packed = rendering->reply->body ? gzip_pack(rendering->reply->body) : (Body){NULL, -1};
    g_atomic_pointer_add(&heap_bytes, (gssize)in_heap(rendering->packed.bytes, rendering->packed.fd));
}

/* Without any lock. */
static Rendering *render(Snapshot *snapshot, gint64 now_us, bool with_packed)
{
    const SnapshotSource *source = &snapshot->source;
    guint64 version = source->version(source->data); /* first: what comes in while it is rendered makes it old */
    Reply *reply = source->render(source->data);
    reply_keep_in_file(reply);
    Rendering *rendering = g_malloc0(sizeof *rendering + source->n_attached * sizeof rendering->attached[0]);
    rendering->references = 1;
    rendering->reply = reply;
    rendering->packed.fd = -1;
    rendering->version = version;
    rendering->begun_us = now_us;
    rendering->n_attached = source->n_attached;
    rendering->detach = source->detach;
    g_mutex_init(&rendering->lock);
    g_atomic_pointer_add(&heap_bytes, (gssize)rendering_heap(rendering));
    if (reply->status == 200) {
        g_free(reply->etag);
        reply->etag = g_strdup_printf("W/\"%s-%" G_GUINT64_FORMAT "\"", source->life, version);
        reply->cacheable = true;
    }
    if (with_packed)
        add_packed(rendering);
    return rendering;
}

/* --- when it is due (all under the snapshot's lock) --- */

static gint64 clock_us(Snapshot *snapshot)
{
    return snapshot->source.now_us ? snapshot->source.now_us(snapshot->source.data) : g_get_monotonic_time();
}

static guint64 version_of(Snapshot *snapshot)
{
    return snapshot->source.version(snapshot->source.data);
}

static bool is_costly(const Snapshot *snapshot)
{
    return snapshot->cost_us >= SNAPSHOT_CHEAP_US;
}

static bool is_within(gint64 since_us, gint64 now_us, gint64 ms)
{
    return since_us != 0 && now_us - since_us < ms * US_PER_MS;
}

/* Of this version or a later one, and its ages are right. */
static bool is_fresh(const Rendering *rendering, guint64 version, gint64 now_us)
{
    return rendering && rendering->version >= version && is_within(rendering->begun_us, now_us, SNAPSHOT_AGE_MS);
}

/* Old, but no older than one gets that is kept up to date. */
static bool is_recent(const Snapshot *snapshot, gint64 now_us)
{
    gint64 most_ms = SNAPSHOT_AGE_MS + LATE_MS + 2 * SNAPSHOT_SHARE * snapshot->cost_us / US_PER_MS;
    return snapshot->current && is_within(snapshot->current->begun_us, now_us, most_ms);
}

/* One that nobody gets any more only takes up memory. false: there is still one. */
static bool let_old_go(Snapshot *snapshot, gint64 now_us)
{
    if (snapshot->current && !is_recent(snapshot, now_us))
        g_clear_pointer(&snapshot->current, rendering_unref);
    return !snapshot->current;
}

/* Gives the lock away while it renders. */
static void render_and_publish(Snapshot *snapshot)
{
    gint64 begun_us = clock_us(snapshot);
    let_old_go(snapshot, begun_us);
    bool with_packed = is_within(snapshot->gzip_wanted_us, begun_us, SNAPSHOT_GZIP_MS);
    snapshot->is_rendering = true;
    g_mutex_unlock(&snapshot->lock);
    Rendering *made = render(snapshot, begun_us, with_packed);
    g_mutex_lock(&snapshot->lock);
    Rendering *before = snapshot->current;
    snapshot->current = made;
    snapshot->is_rendering = false;
    snapshot->ended_us = clock_us(snapshot);
    snapshot->cost_us = snapshot->ended_us - begun_us;
    snapshot->renderings++;
    g_cond_broadcast(&snapshot->change);
    if (before)
        rendering_unref(before);
}

/* --- the thread that renders what is costly --- */

/* A costly one has had its share of the time. */
static bool is_resting(const Snapshot *snapshot, gint64 now_us)
{
    return is_costly(snapshot) && now_us - snapshot->ended_us < (SNAPSHOT_SHARE - 1) * snapshot->cost_us;
}

static bool is_due(Snapshot *snapshot, gint64 now_us)
{
    return !snapshot->is_rendering && !is_resting(snapshot, now_us) &&
           !is_fresh(snapshot->current, version_of(snapshot), now_us);
}

static gpointer keep_rendering(gpointer data)
{
    Snapshot *snapshot = data;
    g_mutex_lock(&snapshot->lock);
    while (!snapshot->stopping) {
        gint64 now_us = clock_us(snapshot);
        bool is_wanted = is_costly(snapshot) && is_within(snapshot->wanted_us, now_us, SNAPSHOT_WANTED_MS);
        if (!is_wanted && (!is_costly(snapshot) || let_old_go(snapshot, now_us)))
            g_cond_wait(&snapshot->change, &snapshot->lock);
        else if (is_wanted && is_due(snapshot, now_us))
            render_and_publish(snapshot);
        else
            g_cond_wait_until(&snapshot->change, &snapshot->lock, g_get_monotonic_time() + POLL_US);
    }
    g_mutex_unlock(&snapshot->lock);
    return NULL;
}

/* Somebody asks: the thread is to keep it up to date from now on. */
static void want(Snapshot *snapshot, gint64 now_us)
{
    bool was_wanted = is_within(snapshot->wanted_us, now_us, SNAPSHOT_WANTED_MS);
    snapshot->wanted_us = now_us;
    if (!is_costly(snapshot))
        return;
    if (!snapshot->thread)
        snapshot->thread = g_thread_new("snapshot", keep_rendering, snapshot);
    else if (!was_wanted)
        g_cond_broadcast(&snapshot->change);
}

/* --- asking --- */

static Rendering *get(Snapshot *snapshot, bool current_only)
{
    Rendering *found = NULL;
    guint64 version = version_of(snapshot);
    g_mutex_lock(&snapshot->lock);
    gint64 now_us = clock_us(snapshot);
    want(snapshot, now_us);
    while (!is_fresh(snapshot->current, version, now_us) && !is_costly(snapshot)) {
        if (snapshot->is_rendering) /* cheap, so it is soon done; but it may have begun before our version */
            g_cond_wait(&snapshot->change, &snapshot->lock);
        else
            render_and_publish(snapshot);
    }
    if (is_fresh(snapshot->current, version, now_us) || (!current_only && is_recent(snapshot, now_us)))
        found = rendering_ref(snapshot->current);
    g_mutex_unlock(&snapshot->lock);
    return found;
}

Rendering *snapshot_get(Snapshot *snapshot)
{
    return get(snapshot, false);
}

Rendering *snapshot_get_current(Snapshot *snapshot)
{
    return get(snapshot, true);
}

Rendering *snapshot_wait(Snapshot *snapshot)
{
    guint64 version = version_of(snapshot);
    g_mutex_lock(&snapshot->lock);
    gint64 asked_us = clock_us(snapshot);
    while (!is_fresh(snapshot->current, version, asked_us)) {
        gint64 now_us = clock_us(snapshot);
        want(snapshot, now_us);
        if (snapshot->is_rendering || is_resting(snapshot, now_us))
            g_cond_wait_until(&snapshot->change, &snapshot->lock, g_get_monotonic_time() + POLL_US);
        else
            render_and_publish(snapshot);
    }
    Rendering *found = rendering_ref(snapshot->current);
    g_mutex_unlock(&snapshot->lock);
    return found;
}

/* --- the packed form --- */

GBytes *snapshot_packed(Snapshot *snapshot, Rendering *rendering)
{
    gsize length = size_of(rendering->reply->body);
    if (length < GZIP_WORTH)
        return NULL;
    g_mutex_lock(&snapshot->lock);
    snapshot->gzip_wanted_us = clock_us(snapshot);
    g_mutex_unlock(&snapshot->lock);
    g_mutex_lock(&rendering->lock);
    if (!rendering->packed.bytes && length <= SNAPSHOT_GZIP_NOW)
        add_packed(rendering);
    GBytes *packed = rendering->packed.bytes;
    g_mutex_unlock(&rendering->lock);
    return packed;
}

/* --- beginning, end, figures --- */

Snapshot *snapshot_new(const SnapshotSource *source)
{
    Snapshot *snapshot = g_new0(Snapshot, 1);
    snapshot->source = *source;
    snapshot->life = g_strdup(source->life);
    snapshot->source.life = snapshot->life;
    g_mutex_init(&snapshot->lock);
    g_cond_init(&snapshot->change);
    return snapshot;
}

void snapshot_free(Snapshot *snapshot)
{
    if (!snapshot)
        return;
    g_mutex_lock(&snapshot->lock);
    snapshot->stopping = true;
    g_cond_broadcast(&snapshot->change);
    g_mutex_unlock(&snapshot->lock);
    if (snapshot->thread)
        g_thread_join(snapshot->thread);
    if (snapshot->current)
        rendering_unref(snapshot->current);
    g_cond_clear(&snapshot->change);
    g_mutex_clear(&snapshot->lock);
    g_free(snapshot->life);
    g_free(snapshot);
}

guint64 snapshot_renderings(Snapshot *snapshot)
{
    g_mutex_lock(&snapshot->lock);
    guint64 renderings = snapshot->renderings;
    g_mutex_unlock(&snapshot->lock);
    return renderings;
}

gsize snapshot_bytes(void)
{
    return (gsize)g_atomic_pointer_get(&heap_bytes) + body_file_bytes();
}
