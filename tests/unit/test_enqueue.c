/* SPDX-License-Identifier: Apache-2.0 */
#include "test_spool.h"

#include "deliver/enqueue.h"
#include "deliver/ledger.h"

#define PAGE 4096

static GPtrArray *sinks_with(const char *const *names, SpoolLimits limits)
{
    GPtrArray *sinks = g_ptr_array_new_with_free_func(g_free);
    for (; *names; names++) {
        SinkSettings *sink = g_new0(SinkSettings, 1);
        sink->name = (char *)(guintptr)*names;
        sink->limits = limits;
        g_ptr_array_add(sinks, sink);
    }
    return sinks;
}

static const char *const one_name[] = {"a", NULL};
static const char *const two_names[] = {"a", "b", NULL};

static void enqueue(const Place *place, const GPtrArray *sinks, gint64 time_ns, const char *text, gsize length)
{
    g_autoptr(GError) error = NULL;
    if (!enqueue_lines(place->path, sinks, "host", time_ns, text, length, &error))
        fail_msg("%s", error->message);
}

/* The text of every batch. Of char *. */
static GPtrArray *texts(const Place *place, const char *sink)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) batches = list(place, sink);
    for (guint i = 0; i < batches->len; i++) {
        gsize length;
        g_autofree char *data = spool_read(place->spool, sink, nth(batches, i)->name, &length, NULL);
        assert_non_null(data);
        char *text = spool_expand(data, length, 64 << 20, &length, NULL);
        assert_non_null(text);
        g_ptr_array_add(all, text);
    }
    return all;
}

static Ledger ledger_of(const Place *place, const char *sink)
{
    Ledger ledger;
    bool damaged;
    ledger_load(place->spool, sink, &ledger, &damaged);
    assert_false(damaged);
    return ledger;
}

/* --- what is added --- */

static void nothing_to_do(void **state)
{
    const Place *place = *state;
    g_autofree char *path = g_build_filename(place->dir, "other", NULL);
    g_autoptr(GPtrArray) none = g_ptr_array_new(), sinks = sinks_with(one_name, (SpoolLimits){0});
    assert_true(enqueue_lines(path, none, "host", 1, "x\n", 2, NULL));
    assert_true(enqueue_lines(path, sinks, "host", 1, "", 0, NULL));
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void one_batch_for_all(void **state)
{
    const Place *place = *state;
    g_autoptr(GPtrArray) sinks = sinks_with(two_names, (SpoolLimits){0});
    enqueue(place, sinks, 77, "one\ntwo\n", 8);
    for (guint i = 0; two_names[i]; i++) {
        g_autoptr(GPtrArray) found = texts(place, two_names[i]);
        assert_int_equal(found->len, 1);
        assert_string_equal(g_ptr_array_index(found, 0), "one\ntwo\n");
        g_autoptr(GPtrArray) batches = list(place, two_names[i]);
        assert_true(nth(batches, 0)->time_ns == 77);
    }
}

/* Lines of any length come out as they went in, in batches of whole lines that keep the limit where a line does. */
static void check_cut(const Place *place, GRand *random, gint longest)
{
    g_autoptr(GPtrArray) sinks = sinks_with(one_name, (SpoolLimits){0});
    g_autoptr(GString) text = g_string_new(NULL), again = g_string_new(NULL);
    while (text->len < 4 * ENQUEUE_BATCH_BYTES) {
        gint length = g_rand_int_range(random, 0, longest);
        gsize before = text->len;
        g_string_set_size(text, before + (gsize)length);
        memset(text->str + before, 'a' + length % 26, (gsize)length);
        g_string_append_c(text, '\n');
    }
    enqueue(place, sinks, seconds_ago(0), text->str, text->len);
    g_autoptr(GPtrArray) found = texts(place, "a");
    for (guint i = 0; i < found->len; i++) {
        const char *batch = g_ptr_array_index(found, i);
        gsize length = strlen(batch);
        assert_true(batch[length - 1] == '\n');
        assert_true(length <= ENQUEUE_BATCH_BYTES || strchr(batch, '\n') == batch + length - 1);
        g_string_append(again, batch);
        if (longest < 1000 && i + 1 < found->len)
            assert_true(length > ENQUEUE_BATCH_BYTES - 1000); /* and no smaller than need be */
    }
    assert_true(g_string_equal(text, again));
    assert_true(found->len >= 4);
    g_autoptr(GPtrArray) batches = list(place, "a");
    for (guint i = 0; i < batches->len; i++)
        assert_true(spool_remove(place->spool, "a", nth(batches, i)->name, NULL));
}

static void long_text_is_cut(void **state)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(5);
    check_cut(*state, random, 600);
    check_cut(*state, random, 200000);
    check_cut(*state, random, 3 * ENQUEUE_BATCH_BYTES); /* lines above the limit among them */
}

/* A batch has the limit's bytes, but none more. */
static void cut_at_the_limit(void **state)
{
    const Place *place = *state;
    static const struct {
        gsize second; /* bytes of two lines together */
        gsize batch;  /* the first batch */
    } cases[] = {{ENQUEUE_BATCH_BYTES - 1, ENQUEUE_BATCH_BYTES - 1},
                 {ENQUEUE_BATCH_BYTES, ENQUEUE_BATCH_BYTES},
                 {ENQUEUE_BATCH_BYTES + 1, 10}};
    g_autoptr(GPtrArray) sinks = sinks_with(one_name, (SpoolLimits){0});
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strnfill(2 * ENQUEUE_BATCH_BYTES, 'x');
        text[9] = text[cases[i].second - 1] = text[2 * ENQUEUE_BATCH_BYTES - 1] = '\n';
        enqueue(place, sinks, 1, text, 2 * ENQUEUE_BATCH_BYTES);
        g_autoptr(GPtrArray) found = texts(place, "a"), batches = list(place, "a");
        assert_int_equal(strlen(g_ptr_array_index(found, 0)), cases[i].batch);
        for (guint k = 0; k < batches->len; k++)
            assert_true(spool_remove(place->spool, "a", nth(batches, k)->name, NULL));
    }
}

static void last_line_without_an_end(void **state)
{
    const Place *place = *state;
    g_autoptr(GPtrArray) sinks = sinks_with(one_name, (SpoolLimits){0});
    enqueue(place, sinks, 1, "one\ntwo", 7);
    g_autoptr(GPtrArray) found = texts(place, "a");
    assert_string_equal(g_ptr_array_index(found, 0), "one\ntwo");
}

static void spool_cannot_be_used(void **state)
{
    const Place *place = *state;
    g_autoptr(GPtrArray) sinks = sinks_with(one_name, (SpoolLimits){0});
    g_autoptr(GError) error = NULL;
    assert_int_equal(chmod(place->path, 0777), 0);
    assert_false(enqueue_lines(place->path, sinks, "host", 1, "x\n", 2, &error));
    assert_true(g_error_matches(error, SPOOL_ERROR, SPOOL_ERROR_UNSAFE));
    assert_true(g_str_has_prefix(error->message, place->path));
    assert_int_equal(chmod(place->path, 0700), 0);
    assert_contents(place, "a", "");
}

/* --- limits --- */

/* The first add counts the queue; after that the queue is left alone until nobody has counted it for long. */
static void trimmed_now_and_then(void **state)
{
    const Place *place = *state;
    g_autoptr(GPtrArray) sinks = sinks_with(one_name, (SpoolLimits){.max_bytes = 100});
    enqueue(place, sinks, seconds_ago(900), "x\n", 2);
    Ledger first = ledger_of(place, "a");
    assert_int_equal(first.queued_batches, 1);
    assert_in_range(first.counted_ns, seconds_ago(60), seconds_ago(0));
    for (guint i = 0; i < 9; i++)
        enqueue(place, sinks, seconds_ago(800 - i), "x\n", 2);
    g_autoptr(GPtrArray) grown = list(place, "a");
    assert_int_equal(grown->len, 10);
    Ledger ledger = ledger_of(place, "a");
    assert_int_equal(ledger.counted_ns, first.counted_ns);

    g_autofree char *path = path_of(place, "a/state"); /* as if it had been counted long ago */
    ledger.counted_ns = seconds_ago(ENQUEUE_TRIM_S);
    assert_int_equal(unlink(path), 0);
    assert_true(ledger_save(place->spool, "a", &ledger, NULL));
    enqueue(place, sinks, seconds_ago(700), "x\n", 2);
    g_autoptr(GPtrArray) trimmed = list(place, "a");
    ledger = ledger_of(place, "a");
    assert_in_range(trimmed->len, 1, 5);
    assert_int_equal(ledger.queued_batches, trimmed->len);
    assert_int_equal(ledger.dropped_batches, 11 - trimmed->len);
    assert_true(ledger.queued_bytes <= 100);
}

/* A count of the future is of a clock that was set back: it puts trimming off for nobody. */
static void counted_in_the_future(void **state)
{
    const Place *place = *state;
    g_autoptr(GPtrArray) sinks = sinks_with(one_name, (SpoolLimits){0});
    const Ledger future = {.queued_batches = 99, .counted_ns = seconds_ago(-100000)};
    assert_true(ledger_save(place->spool, "a", &future, NULL));
    enqueue(place, sinks, 1, "x\n", 2);
    Ledger ledger = ledger_of(place, "a");
    assert_int_equal(ledger.queued_batches, 1);
}

static void too_large_for_a_sink(void **state)
{
    const Place *place = *state;
    g_autoptr(GPtrArray) sinks = sinks_with(two_names, (SpoolLimits){0});
    ((SinkSettings *)g_ptr_array_index(sinks, 1))->limits.max_bytes = 5;
    enqueue(place, sinks, 1, "x\n", 2);
    assert_int_equal(count_in(place, "a"), 3); /* the batch, state, state.lock */
    Ledger of_a = ledger_of(place, "a"), of_b = ledger_of(place, "b");
    assert_int_equal(of_a.dropped_batches, 0);
    assert_int_equal(of_b.dropped_batches, 1);
    assert_int_equal(of_b.queued_batches, 0);
}

/* --- a full disk --- */

static char *random_lines(GRand *random, gsize length)
{
    char *text = g_malloc(length + 1);
    for (gsize i = 0; i < length; i++)
        text[i] = (char)g_rand_int_range(random, ' ', 127);
    text[length - 1] = '\n';
    text[length] = '\0';
    return text;
}

static bool mount_small(const Place *place)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", place->path, "tmpfs", 0, "size=512k,mode=0700") == 0;
}

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

/* Twice as much as the disk holds: what is oldest goes, of both sinks, and what is newest stays. */
static int fill_disk(const Place *place)
{
    enum { N = 40, BYTES = 30000 };
    if (!mount_small(place))
        return EXIT_SKIP;
    g_autoptr(Spool) spool = spool_open(place->path, NULL);
    g_autoptr(GPtrArray) sinks = sinks_with(two_names, (SpoolLimits){0});
    g_autoptr(GPtrArray) only_a = sinks_with(one_name, (SpoolLimits){0});
    g_autoptr(GRand) random = g_rand_new_with_seed(9);
    REQUIRE(spool);
    for (guint i = 0; i < N; i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text = random_lines(random, BYTES);
        if (!enqueue_lines(place->path, i % 2 ? only_a : sinks, "h", seconds_ago(N - i), text, BYTES, &error)) {
            print_error("add %u: %s\n", i, error->message);
            return 1;
        }
    }
    for (guint s = 0; two_names[s]; s++) {
        g_autoptr(GPtrArray) batches = spool_list(spool, two_names[s], NULL);
        Ledger ledger;
        ledger_load(spool, two_names[s], &ledger, NULL);
        REQUIRE(batches && batches->len >= (s == 0 ? 8 : 4));
        REQUIRE(batches->len + ledger.dropped_batches == (s == 0 ? N : N / 2));
        REQUIRE(nth(batches, batches->len - 1)->time_ns > seconds_ago(N / 2));         /* the newest is there */
        gint64 gone = (gint64)ledger.dropped_batches * (s == 0 ? 1 : 2);               /* b gets every other */
        REQUIRE(gone > N / 4 && nth(batches, 0)->time_ns > seconds_ago(N - gone + 5)); /* the oldest are not */
    }
    return 0;
}

static void full_disk(void **state)
{
    in_child(*state, fill_disk);
}

/* Full of what is not ours: there is nothing to drop, and that is said. */
static int fill_by_others(const Place *place)
{
    if (!mount_small(place))
        return EXIT_SKIP;
    g_autoptr(GPtrArray) sinks = sinks_with(two_names, (SpoolLimits){0});
    g_autoptr(GError) error = NULL;
    g_autofree char *path = path_of(place, "filler"), *page = g_malloc0(PAGE);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, page, PAGE) > 0)
        ;
    close(fd);
    REQUIRE(!enqueue_lines(place->path, sinks, "h", 1, "x\n", 2, &error));
    REQUIRE(g_error_matches(error, SPOOL_ERROR, SPOOL_ERROR_FULL));
    REQUIRE(unlink(path) == 0);
    REQUIRE(enqueue_lines(place->path, sinks, "h", 1, "x\n", 2, NULL));
    return 0;
}

/* What several sinks wait for is free only when all have let go of it, and until then no ledger can be written. */
static int fill_to_the_last_byte(const Place *place)
{
    enum { BATCH = 12 * 1024 };
    if (!mount_small(place))
        return EXIT_SKIP;
    g_autoptr(Spool) spool = spool_open(place->path, NULL);
    g_autoptr(GPtrArray) sinks = sinks_with(two_names, (SpoolLimits){0});
    g_autoptr(GRand) random = g_rand_new_with_seed(10);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = random_lines(random, BATCH), *path = path_of(place, "filler"), *page = g_malloc0(PAGE);
    for (gint64 i = 0; i < 9; i++)
        REQUIRE(enqueue_lines(place->path, sinks, "h", seconds_ago(9 - i), text, BATCH, NULL));
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, page, PAGE) > 0)
        ;
    close(fd);
    REQUIRE(enqueue_lines(place->path, sinks, "h", seconds_ago(0), text, BATCH, &error));
    for (guint s = 0; two_names[s]; s++) {
        g_autoptr(GPtrArray) batches = spool_list(spool, two_names[s], NULL);
        Ledger ledger;
        ledger_load(spool, two_names[s], &ledger, NULL);
        REQUIRE(batches->len < 10 && batches->len > 1);
        REQUIRE(ledger.dropped_batches == 10 - batches->len);
    }
    return 0;
}

static void full_to_the_last_byte(void **state)
{
    in_child(*state, fill_to_the_last_byte);
}

static void full_of_others(void **state)
{
    in_child(*state, fill_by_others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(nothing_to_do),
        IN_PLACE(one_batch_for_all),
        IN_MEMORY(long_text_is_cut),
        IN_MEMORY(cut_at_the_limit),
        IN_PLACE(last_line_without_an_end),
        IN_PLACE(spool_cannot_be_used),
        IN_MEMORY(trimmed_now_and_then),
        IN_PLACE(counted_in_the_future),
        IN_PLACE(too_large_for_a_sink),
        IN_PLACE(full_disk),
        IN_PLACE(full_to_the_last_byte),
        IN_PLACE(full_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
