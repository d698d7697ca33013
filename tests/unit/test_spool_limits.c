/* SPDX-License-Identifier: Apache-2.0 */
#include "test_spool.h"

#include "deliver/spool_name.h"

#define HOUR 3600

/* Adds `bytes` bytes as of `time_ns` for one sink with limits. */
static SpoolCount add_limited(const Place *place, SpoolLimits limits, gint64 time_ns, gsize bytes)
{
    g_autofree char *data = g_strnfill(bytes, 'x');
    const SpoolNewBatch batch = {.host = "h", .time_ns = time_ns, .data = data, .length = bytes};
    const SpoolTarget target = {.sink = "a", .limits = limits};
    g_autoptr(GError) error = NULL;
    SpoolCount dropped = {99, 99};
    if (!spool_add(place->spool, &batch, &target, 1, &dropped, &error))
        fail_msg("%s", error->message);
    return dropped;
}

static SpoolCount trim(const Place *place, const char *sink, SpoolLimits limits)
{
    const SpoolTarget target = {.sink = sink, .limits = limits};
    g_autoptr(GError) error = NULL;
    SpoolCount dropped = {99, 99};
    if (!spool_trim(place->spool, &target, &dropped, &error))
        fail_msg("%s", error->message);
    return dropped;
}

static void assert_count(SpoolCount count, guint64 batches, guint64 bytes)
{
    assert_int_equal(count.batches, batches);
    assert_int_equal(count.bytes, bytes);
}

/* The sizes of what waits, in order, joined by spaces. */
static char *sizes(const Place *place, const char *sink)
{
    g_autoptr(GPtrArray) batches = list(place, sink);
    GString *all = g_string_new(NULL);
    for (guint i = 0; i < batches->len; i++)
        g_string_append_printf(all, "%s%" G_GUINT64_FORMAT, i ? " " : "", nth(batches, i)->bytes);
    return g_string_free(all, FALSE);
}

#define assert_sizes(place, sink, expected)                                                                            \
    do {                                                                                                               \
        g_autofree char *sizes_ = sizes(place, sink);                                                                  \
        assert_string_equal(sizes_, expected);                                                                         \
    } while (0)

/* A queue of 1, 2, 3, 4 bytes, oldest first; then one of 5 comes. */
static void test_bytes(void **state)
{
    static const struct {
        guint64 max_bytes;
        guint64 batches, bytes; /* dropped */
        const char *left;
    } cases[] = {
        {0, 0, 0, "1 2 3 4 5"},  {G_MAXUINT64, 0, 0, "1 2 3 4 5"},
        {15, 0, 0, "1 2 3 4 5"}, {14, 1, 1, "2 3 4 5"},
        {13, 2, 3, "3 4 5"},     {12, 2, 3, "3 4 5"},
        {11, 3, 6, "4 5"},       {9, 3, 6, "4 5"},
        {8, 4, 10, "5"},         {5, 4, 10, "5"},
        {4, 1, 5, "1 2 3 4"}, /* too large alone */
        {1, 1, 5, "1 2 3 4"},
    };
    const Place *place = *state;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (gsize bytes = 1; bytes <= 4; bytes++)
            assert_count(add_limited(place, (SpoolLimits){0}, seconds_ago(100 - (gint64)bytes), bytes), 0, 0);
        SpoolCount dropped = add_limited(place, (SpoolLimits){.max_bytes = cases[i].max_bytes}, seconds_ago(0), 5);
        assert_count(dropped, cases[i].batches, cases[i].bytes);
        assert_sizes(place, "a", cases[i].left);
        assert_int_equal(count_in(place, "tmp"), 0);
        dropped = trim(place, "a", (SpoolLimits){.max_bytes = 1});
        assert_true(dropped.batches >= 1);
        trim(place, "a", (SpoolLimits){.max_age_s = 1}); /* what of one byte is left */
        assert_sizes(place, "a", "");
    }
}

static void test_age(void **state)
{
    const Place *place = *state;
    const SpoolLimits limits = {.max_age_s = HOUR};
    add_limited(place, (SpoolLimits){0}, 0, 1); /* 1970 */
    add_limited(place, (SpoolLimits){0}, seconds_ago(HOUR + 1), 2);
    add_limited(place, (SpoolLimits){0}, seconds_ago(HOUR), 3);
    add_limited(place, (SpoolLimits){0}, seconds_ago(HOUR - 60), 4);
    assert_count(trim(place, "a", (SpoolLimits){0}), 0, 0);
    assert_count(trim(place, "a", (SpoolLimits){.max_age_s = G_MAXINT64}), 0, 0);
    assert_count(add_limited(place, limits, seconds_ago(0), 5), 3, 6);
    assert_sizes(place, "a", "4 5");
    assert_count(trim(place, "a", limits), 0, 0);
    assert_count(add_limited(place, limits, seconds_ago(HOUR + 1), 6), 1, 6); /* the new one counts as well */
    assert_sizes(place, "a", "4 5");
}

static void test_age_and_bytes(void **state)
{
    const Place *place = *state;
    for (gsize i = 0; i < 6; i++)
        add_limited(place, (SpoolLimits){0}, seconds_ago(600 - (gint64)i * 100), 10);
    /* 600 and 500 s are too old, two more too many. */
    assert_count(trim(place, "a", (SpoolLimits){.max_age_s = 450, .max_bytes = 25}), 4, 40);
    assert_sizes(place, "a", "10 10");
}

/* Every target has limits and counts of its own; what one can't take, the others get. */
static void test_targets_are_separate(void **state)
{
    const Place *place = *state;
    const SpoolTarget targets[] = {
        {"a", {.max_bytes = 10}}, {"b", {.max_bytes = 3}}, {"c", {0}}, {"d", {.max_age_s = 60}}};
    SpoolCount dropped[4];
    for (guint i = 0; i < 3; i++) {
        const SpoolNewBatch batch = {.host = "h", .time_ns = seconds_ago(120) + i, .data = "12345", .length = 5};
        assert_true(spool_add(place->spool, &batch, targets, 4, dropped, NULL));
        assert_count(dropped[0], i == 2, i == 2 ? 5 : 0);
        assert_count(dropped[1], 1, 5);
        assert_count(dropped[2], 0, 0);
        assert_count(dropped[3], 1, 5);
    }
    assert_sizes(place, "a", "5 5");
    assert_sizes(place, "b", "");
    assert_sizes(place, "c", "5 5 5");
    assert_sizes(place, "d", "");
    assert_count(trim(place, "c", (SpoolLimits){.max_bytes = 5}), 2, 10);
    assert_sizes(place, "a", "5 5"); /* the data was shared, the queue is not */
    assert_contents(place, "a", "12345 12345");
}

/* Larger than can be read back: no sink gets it. The memory behind it is never touched. */
static void test_larger_than_any_batch(void **state)
{
    const Place *place = *state;
    const SpoolNewBatch batch = {.host = "h", .time_ns = 1, .data = "", .length = (gsize)SPOOL_BATCH_MAX + 1};
    const SpoolTarget targets[] = {{"a", {0}}, {"b", {.max_bytes = G_MAXUINT64}}};
    SpoolCount dropped[2];
    assert_true(spool_add(place->spool, &batch, targets, 2, dropped, NULL));
    for (guint i = 0; i < 2; i++)
        assert_count(dropped[i], 1, (guint64)SPOOL_BATCH_MAX + 1);
    assert_int_equal(count_in(place, "tmp"), 0);
    assert_sizes(place, "a", "");
}

/* What waits is left alone by an add, and trimmed when it is asked for; what no queue can hold is dropped at once. */
static void test_trim_later(void **state)
{
    const Place *place = *state;
    const SpoolTarget targets[] = {{"a", {.max_bytes = 12}}, {"b", {.max_age_s = 60}}, {"c", {.max_bytes = 4}}};
    SpoolCount dropped[3];
    SpoolWaiting waiting;
    for (guint i = 0; i < 4; i++) {
        const SpoolNewBatch batch = {
            .host = "h", .time_ns = seconds_ago(120) + i, .data = "12345", .length = 5, .trim_later = true};
        assert_true(spool_add(place->spool, &batch, targets, 3, dropped, NULL));
        assert_count(dropped[0], 0, 0);
        assert_count(dropped[1], 0, 0);
        assert_count(dropped[2], 1, 5);
    }
    assert_sizes(place, "a", "5 5 5 5");
    assert_sizes(place, "b", "5 5 5 5");
    assert_true(spool_trim_and_count(place->spool, &targets[0], dropped, &waiting, NULL));
    assert_count(dropped[0], 2, 10);
    assert_count(waiting.count, 2, 10);
    g_autoptr(GPtrArray) left = list(place, "a");
    assert_true(waiting.oldest_ns == nth(left, 0)->time_ns);
    assert_true(spool_trim_and_count(place->spool, &targets[1], dropped, &waiting, NULL));
    assert_count(dropped[0], 4, 20);
    assert_count(waiting.count, 0, 0);
    assert_true(waiting.oldest_ns == 0);
    assert_sizes(place, "b", "");
}

/* Counting needs no limits, and a queue that is missing has nothing. */
static void test_count(void **state)
{
    const Place *place = *state;
    const SpoolTarget target = {.sink = "a"};
    SpoolCount dropped;
    SpoolWaiting waiting = {{7, 7}, 7};
    assert_true(spool_trim_and_count(place->spool, &target, &dropped, &waiting, NULL));
    assert_count(waiting.count, 0, 0);
    assert_true(waiting.oldest_ns == 0);
    add_limited(place, (SpoolLimits){0}, seconds_ago(5), 10);
    add_limited(place, (SpoolLimits){0}, seconds_ago(9), 20);
    assert_true(spool_trim_and_count(place->spool, &target, &dropped, &waiting, NULL));
    assert_count(dropped, 0, 0);
    assert_count(waiting.count, 2, 30);
    assert_in_range(waiting.oldest_ns, seconds_ago(20), seconds_ago(8));
}

/* An outage: whatever comes and goes, what was added is what is left and what was counted. */
static void test_nothing_goes_uncounted(void **state)
{
    const Place *place = *state;
    GRand *random = g_rand_new_with_seed(3);
    guint64 added = 0, dropped_bytes = 0, dropped_batches = 0, waiting = 0;
    enum { N = 60, MAX = 1000 };
    for (guint i = 0; i < N; i++) {
        gsize bytes = (gsize)g_rand_int_range(random, 0, MAX + 200);
        SpoolCount dropped = add_limited(place, (SpoolLimits){.max_bytes = MAX}, seconds_ago(N - i), bytes);
        added += bytes;
        dropped_batches += dropped.batches;
        dropped_bytes += dropped.bytes;
    }
    g_rand_free(random);
    g_autoptr(GPtrArray) batches = list(place, "a");
    for (guint i = 0; i < batches->len; i++)
        waiting += nth(batches, i)->bytes;
    assert_int_equal(batches->len + dropped_batches, N);
    assert_int_equal(waiting + dropped_bytes, added);
    assert_in_range(waiting, 1, MAX);
}

/* --- more than is kept in memory --- */

/* That many of `bytes` bytes each, a microsecond apart from `time_ns` on, but in no order: names of one file. */
static void add_many(const Place *place, guint n, gint64 time_ns, gsize bytes)
{
    g_autofree char *data = g_strnfill(bytes, 'x'), *file = path_of(place, "a/data");
    if (!exists(place, "a"))
        make_dir(place, "a");
    assert_true(g_file_set_contents(file, data, (gssize)bytes, NULL));
    for (guint i = 0; i < n; i++) {
        const SpoolName name = {.time_ns = time_ns + (gint64)(i * 7919ull % n) * 1000, .host = "h"};
        g_autofree char *text = spool_name_make(&name), *path = g_build_filename(place->path, "a", text, NULL);
        assert_int_equal(link(file, path), 0);
    }
    assert_int_equal(unlink(file), 0);
}

static void test_list_oldest(void **state)
{
    const Place *place = *state;
    enum { N = 301 }; /* a prime, for add_many */
    static const guint counts[] = {0, 1, 2, 3, 75, 100, 149, 150, 151, 299, 300, 301, 302, 1000, G_MAXUINT};
    add_many(place, N, 1000, 3);
    g_autoptr(GPtrArray) all = list(place, "a");
    assert_int_equal(all->len, N);
    for (gsize i = 0; i < G_N_ELEMENTS(counts); i++) {
        SpoolWaiting waiting;
        g_autoptr(GPtrArray) oldest = spool_list_oldest(place->spool, "a", counts[i], &waiting, NULL);
        assert_int_equal(oldest->len, MIN(counts[i], N));
        for (guint k = 0; k < oldest->len; k++)
            assert_string_equal(nth(oldest, k)->name, nth(all, k)->name);
        assert_count(waiting.count, N, 3 * N);
        assert_int_equal(waiting.oldest_ns, 1000);
    }
    SpoolWaiting none;
    assert_true(spool_count(place->spool, "b", &none, NULL));
    assert_count(none.count, 0, 0);
    assert_int_equal(none.oldest_ns, 0);
}

/* The oldest go, and those of before the clock was set back, however many they are. */
static void test_many_to_drop(void **state)
{
    const Place *place = *state;
    enum { FUTURE = 17977, PRESENT = 19997, OLD = 997, LEFT = 100 }; /* primes */
    const gint64 present = seconds_ago(1000);
    const SpoolTarget target = {.sink = "a", .limits = {.max_bytes = 2 * LEFT + 1, .max_age_s = HOUR}};
    add_many(place, FUTURE, seconds_ago(-HOUR), 2);
    add_many(place, PRESENT, present, 2);
    add_many(place, OLD, seconds_ago(2 * HOUR), 1);
    SpoolCount dropped;
    SpoolWaiting waiting;
    assert_true(spool_trim_and_count(place->spool, &target, &dropped, &waiting, NULL));
    assert_count(dropped, FUTURE + PRESENT - LEFT + OLD, 2 * (FUTURE + PRESENT - LEFT) + OLD);
    assert_count(waiting.count, LEFT, 2 * LEFT);
    g_autoptr(GPtrArray) left = list(place, "a");
    assert_int_equal(left->len, LEFT);
    for (guint i = 0; i < LEFT; i++)
        assert_int_equal(nth(left, i)->time_ns, present + (PRESENT - LEFT + i) * G_GINT64_CONSTANT(1000));
    assert_int_equal(waiting.oldest_ns, nth(left, 0)->time_ns);
}

/* --- the clock was set back: names are of a time that is still to come --- */

static void test_future_is_not_too_old(void **state)
{
    const Place *place = *state;
    const SpoolLimits limits = {.max_age_s = HOUR};
    add_limited(place, limits, seconds_ago(-30), 1);
    add_limited(place, limits, seconds_ago(-10 * HOUR), 2);
    add_limited(place, limits, G_MAXINT64, 3);
    assert_count(add_limited(place, limits, seconds_ago(0), 4), 0, 0);
    assert_sizes(place, "a", "4 1 2 3");
}

/* What has a later name was there earlier, so it goes first, and each new one stays. */
static void test_future_goes_first(void **state)
{
    const Place *place = *state;
    const SpoolLimits limits = {.max_bytes = 10};
    for (gsize i = 1; i <= 4; i++)
        assert_count(add_limited(place, limits, seconds_ago(-HOUR) + (gint64)i, i), 0, 0); /* 1 2 3 4 */
    assert_count(add_limited(place, limits, seconds_ago(30), 1), 1, 1);
    assert_count(add_limited(place, limits, seconds_ago(29), 1), 1, 2);
    assert_sizes(place, "a", "1 1 3 4");
    assert_count(add_limited(place, limits, seconds_ago(28), 5), 2, 7);
    assert_count(add_limited(place, limits, seconds_ago(27), 4), 1, 1); /* the future is gone: by name again */
    assert_sizes(place, "a", "1 5 4");
}

/* A name a little ahead is no clock set back. */
static void test_a_little_ahead(void **state)
{
    const Place *place = *state;
    const SpoolLimits limits = {.max_bytes = 10};
    add_limited(place, limits, seconds_ago(-30), 4);
    add_limited(place, limits, seconds_ago(10), 5);
    assert_count(add_limited(place, limits, seconds_ago(0), 6), 1, 5);
    assert_sizes(place, "a", "6 4");
}

/* Set back by less than a minute: that can't be told from threads adding in any order, but the new one stays. */
static void test_new_one_stays(void **state)
{
    const Place *place = *state;
    const SpoolLimits limits = {.max_bytes = 10};
    add_limited(place, limits, seconds_ago(-20), 5);
    add_limited(place, limits, seconds_ago(-19), 5);
    assert_count(add_limited(place, limits, seconds_ago(0), 4), 1, 5);
    assert_sizes(place, "a", "4 5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_bytes),
        IN_PLACE(test_age),
        IN_PLACE(test_age_and_bytes),
        IN_PLACE(test_targets_are_separate),
        IN_PLACE(test_larger_than_any_batch),
        IN_PLACE(test_trim_later),
        IN_PLACE(test_count),
        IN_PLACE(test_nothing_goes_uncounted),
        IN_PLACE(test_list_oldest),
        IN_PLACE(test_many_to_drop),
        IN_PLACE(test_future_is_not_too_old),
        IN_PLACE(test_future_goes_first),
        IN_PLACE(test_a_little_ahead),
        IN_PLACE(test_new_one_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
