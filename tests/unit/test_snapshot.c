/* SPDX-License-Identifier: Apache-2.0
 * Renderings by a clock that the test moves. */
#include "gather_helpers.h"
#include "serve/snapshot.h"

#include <string.h>

#define MS G_GINT64_CONSTANT(1000)

typedef struct {
    gint64 now_us; /* atomic, like the rest */
    guint64 version;
    gint64 cost_us; /* by which a rendering moves the clock */
    gsize size;
    guint renderings;
    guint status;
    gint detached;
    gint inside; /* renderings under way */
} Source;

static gint64 now_us(gpointer data)
{
    return __atomic_load_n(&((Source *)data)->now_us, __ATOMIC_SEQ_CST);
}

static void pass(Source *source, gint64 us)
{
    __atomic_add_fetch(&source->now_us, us, __ATOMIC_SEQ_CST);
}

static guint64 version_of(gpointer data)
{
    return __atomic_load_n(&((Source *)data)->version, __ATOMIC_SEQ_CST);
}

static void change(Source *source)
{
    __atomic_add_fetch(&source->version, 1, __ATOMIC_SEQ_CST);
}

static guint renderings(Source *source)
{
    return __atomic_load_n(&source->renderings, __ATOMIC_SEQ_CST);
}

static Reply *render(gpointer data)
{
    Source *source = data;
    gint64 cost_us = __atomic_load_n(&source->cost_us, __ATOMIC_SEQ_CST);
    assert_int_equal(g_atomic_int_add(&source->inside, 1), 0); /* never two at a time */
    GString *text = g_string_new(NULL);
    g_string_printf(text, "version %" G_GUINT64_FORMAT " ", version_of(source));
    while (text->len < source->size)
        g_string_append_c(text, 'x');
    pass(source, cost_us);
    __atomic_add_fetch(&source->renderings, 1, __ATOMIC_SEQ_CST);
    g_thread_yield();
    g_atomic_int_add(&source->inside, -1);
    return reply_json(source->status ? source->status : 200, text);
}

static void begin(Source *source)
{
    *source = (Source){.now_us = 1000 * MS, .version = 1, .size = 100};
}

static gint *detached;

static void detach(gpointer attached)
{
    (void)attached;
    g_atomic_int_inc(detached);
}

static Snapshot *make(Source *source)
{
    detached = &source->detached;
    return snapshot_new(&(SnapshotSource){.render = render,
                                          .version = version_of,
                                          .now_us = now_us,
                                          .data = source,
                                          .life = "life",
                                          .n_attached = 2,
                                          .detach = detach});
}

static void check_version(Rendering *rendering, guint64 version)
{
    g_autofree char *text = g_strdup_printf("version %" G_GUINT64_FORMAT " ", version);
    g_autofree char *etag = g_strdup_printf("W/\"life-%" G_GUINT64_FORMAT "\"", version);
    assert_non_null(rendering);
    CHECK(g_str_has_prefix(g_bytes_get_data(rendering->reply->body, NULL), text), "%s",
          (const char *)g_bytes_get_data(rendering->reply->body, NULL));
    CHECK_TEXT(rendering->reply->etag, etag, text);
    rendering_unref(rendering);
}

/* Rendered once for each version and second. */
static void test_cheap(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    g_autoptr(Snapshot) snapshot = make(&source);
    for (guint i = 0; i < 3; i++)
        check_version(snapshot_get(snapshot), 1);
    assert_int_equal(source.renderings, 1);
    change(&source);
    check_version(snapshot_get(snapshot), 2); /* a read after a write sees it */
    check_version(snapshot_get_current(snapshot), 2);
    assert_int_equal(source.renderings, 2);
    pass(&source, (SNAPSHOT_AGE_MS - 1) * MS);
    check_version(snapshot_get(snapshot), 2);
    assert_int_equal(source.renderings, 2);
    pass(&source, MS);
    check_version(snapshot_get(snapshot), 2);
    assert_int_equal(source.renderings, 3);
    assert_int_equal(snapshot_renderings(snapshot), 3);
}

/* Costly ones: who asks gets the one before. */
static void test_costly(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    source.cost_us = 50 * MS;
    g_autoptr(Snapshot) snapshot = make(&source);
    check_version(snapshot_get(snapshot), 1); /* what it costs is not yet known */
    change(&source);
    check_version(snapshot_get(snapshot), 1);
    assert_null(snapshot_get_current(snapshot));
    assert_int_equal(renderings(&source), 1);
    /* Once it has rested the thread renders it, for as long as it is wanted. */
    pass(&source, 9 * 50 * MS);
    while (renderings(&source) < 2)
        g_usleep(1000);
    Rendering *rendering;
    while (!(rendering = snapshot_get_current(snapshot)))
        g_usleep(1000);
    check_version(rendering, 2);
}

static void test_costly_and_long_ago(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    source.cost_us = 50 * MS;
    g_autoptr(Snapshot) snapshot = make(&source);
    check_version(snapshot_get(snapshot), 1);
    pass(&source, 3600 * 1000 * MS);
    assert_null(snapshot_get(snapshot)); /* an hour old is not to be served */
    Rendering *again;
    while (!(again = snapshot_get_current(snapshot))) /* the thread, as it is wanted now */
        g_usleep(1000);
    check_version(again, 1);
    pass(&source, 9 * 50 * MS);
    change(&source);
    check_version(snapshot_wait(snapshot), 2);
    check_version(snapshot_get(snapshot), 2);
}

/* However often it changes: a tenth of the time. */
static void test_share(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    source.cost_us = 20 * MS;
    g_autoptr(Snapshot) snapshot = make(&source);
    gint64 begun_us = now_us(&source);
    check_version(snapshot_get(snapshot), 1);
    for (guint i = 0; i < 300 || renderings(&source) < 3; i++) {
        Rendering *rendering = snapshot_get(snapshot);
        assert_non_null(rendering);
        rendering_unref(rendering);
        change(&source);
        pass(&source, 2 * MS); /* about as fast as real time, by which the thread looks */
        g_usleep(2000);
    }
    gint64 spent_us = (gint64)renderings(&source) * source.cost_us, all_us = now_us(&source) - begun_us;
    CHECK(spent_us <= all_us / SNAPSHOT_SHARE + 2 * source.cost_us, "%u renderings in %" G_GINT64_FORMAT " ms",
          renderings(&source), all_us / MS);
}

/* What has become cheap again is rendered by who asks. */
static void test_cheap_again(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    source.cost_us = 50 * MS;
    g_autoptr(Snapshot) snapshot = make(&source);
    check_version(snapshot_get(snapshot), 1);
    __atomic_store_n(&source.cost_us, 0, __ATOMIC_SEQ_CST);
    pass(&source, 3600 * 1000 * MS);
    check_version(snapshot_wait(snapshot), 1);
    change(&source);
    check_version(snapshot_get(snapshot), 2);
}

static void test_packed(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    g_autoptr(Snapshot) snapshot = make(&source);
    g_autoptr(Rendering) small = snapshot_get(snapshot);
    assert_null(snapshot_packed(snapshot, small));
    source.size = 100000;
    change(&source);
    g_autoptr(Rendering) middle = snapshot_get(snapshot);
    GBytes *packed = snapshot_packed(snapshot, middle);
    assert_non_null(packed);
    assert_true(packed == snapshot_packed(snapshot, middle));
    assert_true(g_bytes_get_size(packed) < 2000);
    /* A large one is packed where it is rendered; who asks first gets it plain. */
    pass(&source, (SNAPSHOT_GZIP_MS + 1) * MS);
    source.size = SNAPSHOT_GZIP_NOW + 1;
    change(&source);
    g_autoptr(Rendering) large = snapshot_get(snapshot);
    assert_null(snapshot_packed(snapshot, large));
    change(&source);
    g_autoptr(Rendering) next = snapshot_get(snapshot);
    assert_non_null(snapshot_packed(snapshot, next));
}

/* Whatever is held is held on to, and no longer. */
static void test_lives(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    gsize before = snapshot_bytes();
    Snapshot *snapshot = make(&source);
    Rendering *held = snapshot_get(snapshot);
    held->attached[1] = &source;
    change(&source);
    check_version(snapshot_get(snapshot), 2);
    assert_int_equal(snapshot_bytes() - before, 200);
    snapshot_free(snapshot);
    assert_int_equal(snapshot_bytes() - before, 100);
    assert_int_equal(source.detached, 0);
    check_version(held, 1);
    assert_int_equal(source.detached, 1);
    assert_int_equal(snapshot_bytes(), before);
}

/* A large body is there once, in a file; whoever holds but a part of it, as a stream does, holds all. */
static void test_large(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    gsize before = snapshot_bytes();
    source.size = 200000;
    g_autoptr(Snapshot) snapshot = make(&source);
    Rendering *large = snapshot_get(snapshot);
    assert_true(large->reply->body_fd >= 0);
    assert_int_equal(snapshot_bytes() - before, 200000);
    GBytes *slice = g_bytes_new_from_bytes(large->reply->body, 0, 9);
    rendering_unref(large);
    change(&source);
    source.size = 100;
    check_version(snapshot_get(snapshot), 2);
    assert_int_equal(snapshot_bytes() - before, 200100);
    assert_memory_equal(g_bytes_get_data(slice, NULL), "version 1", 9);
    g_bytes_unref(slice);
    assert_int_equal(snapshot_bytes() - before, 100);
}

/* What is too old to be served is not kept: not once nobody asks, and not beside the one that replaces it. */
static void test_old_goes(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    gsize before = snapshot_bytes();
    source.cost_us = 50 * MS;
    g_autoptr(Snapshot) snapshot = make(&source);
    check_version(snapshot_wait(snapshot), 1);
    pass(&source, 1000 * MS);
    check_version(snapshot_wait(snapshot), 1); /* the thread is there by now */
    check_version(snapshot_get(snapshot), 1);
    assert_int_equal(snapshot_bytes() - before, 100);
    pass(&source, 3600 * 1000 * MS);
    for (guint i = 0; i < 10000 && snapshot_bytes() != before; i++)
        g_usleep(1000);
    assert_int_equal(snapshot_bytes(), before);
    assert_null(snapshot_get(snapshot));
    check_version(snapshot_wait(snapshot), 1);
}

static gsize bytes_meanwhile;

static Reply *render_and_look(gpointer data)
{
    bytes_meanwhile = snapshot_bytes();
    return render(data);
}

static void test_old_goes_first(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    gsize before = snapshot_bytes();
    g_autoptr(Snapshot) snapshot = snapshot_new(&(SnapshotSource){
        .render = render_and_look, .version = version_of, .now_us = now_us, .data = &source, .life = "life"});
    check_version(snapshot_get(snapshot), 1);
    change(&source);
    check_version(snapshot_get(snapshot), 2);
    assert_int_equal(bytes_meanwhile - before, 100); /* it was served meanwhile */
    pass(&source, 3600 * 1000 * MS);
    check_version(snapshot_get(snapshot), 2);
    assert_int_equal(bytes_meanwhile, before);
}

static void test_failed(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    source.status = 503;
    g_autoptr(Snapshot) snapshot = make(&source);
    g_autoptr(Rendering) failed = snapshot_get(snapshot);
    assert_int_equal(failed->reply->status, 503);
    assert_null(failed->reply->etag);
    assert_false(failed->reply->cacheable);
}

/* --- many at once --- */

static gpointer ask_often(gpointer data)
{
    Snapshot *snapshot = data;
    for (guint i = 0; i < 2000; i++) {
        Rendering *rendering = i % 16 ? snapshot_get(snapshot) : snapshot_wait(snapshot);
        if (rendering) {
            snapshot_packed(snapshot, rendering);
            rendering_unref(rendering);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    Source source;
    begin(&source);
    source.size = 2000;
    g_autoptr(Snapshot) snapshot = make(&source);
    GThread *threads[4];
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("ask", ask_often, snapshot);
    for (guint i = 0; i < 500; i++) {
        change(&source);
        pass(&source, 10); /* so little that none seems costly */
        guint64 version = version_of(&source);
        g_autoptr(Rendering) rendering = snapshot_get(snapshot);
        CHECK(rendering->version >= version, "%u", i);
    }
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cheap),
        cmocka_unit_test(test_costly),
        cmocka_unit_test(test_costly_and_long_ago),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_cheap_again),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_old_goes),
        cmocka_unit_test(test_old_goes_first),
        cmocka_unit_test(test_failed),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
