/* SPDX-License-Identifier: Apache-2.0 */
#include "test_spool.h"

#include "deliver/spool_place.h"

#include "deliver/spool_name.h"

#include <sys/file.h>

static const char *const two_sinks[] = {"a", "b", NULL};
static const char *const one_sink[] = {"a", NULL};

/* --- the spool's own directory --- */

static void test_open(void **state)
{
    const Place *place = *state;
    g_autofree char *path = g_build_filename(place->dir, "new", NULL), *slashes = g_strconcat(path, "//", NULL);
    struct stat status;
    for (guint i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Spool) spool = spool_open(slashes, &error);
        if (!spool)
            fail_msg("%s", error->message);
        assert_int_equal(lstat(path, &status), 0);
        assert_int_equal(status.st_mode, S_IFDIR | 0700);
    }
    assert_int_equal(count_entries(path), 0);
}

static void test_default_path(void **state)
{
    (void)state;
    g_autofree char *path = spool_default_path();
    g_autofree char *expected = g_strdup_printf("/var/tmp/one-telemetry-%u/spool", (guint)geteuid());
    assert_string_equal(path, expected);
}

#define SOME_BATCH "1700000000000000000-host-1-0000.lp.gz"

/* Looking makes nothing. */
static void test_nothing_there(void **state)
{
    const Place *place = *state;
    const SpoolTarget target = {.sink = "a", .limits = {1, 1}};
    const char *const none[] = {NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) batches = list(place, "a");
    SpoolCount dropped = {9, 9};
    gsize length;
    assert_int_equal(batches->len, 0);
    assert_null(spool_read(place->spool, "a", SOME_BATCH, &length, &error));
    assert_null(error);
    assert_true(spool_remove(place->spool, "a", SOME_BATCH, NULL));
    assert_true(spool_trim(place->spool, &target, &dropped, NULL));
    assert_int_equal(dropped.batches, 0);
    assert_int_equal(dropped.bytes, 0);
    assert_true(spool_clean(place->spool, none, 1, NULL));
    assert_true(spool_is_idle(place->spool));
    assert_int_equal(count_entries(place->path), 0);
}

/* --- names --- */

static void test_sink_names(void **state)
{
    const Place *place = *state;
    g_autofree char *longest = g_strnfill(64, 'x'), *too_long = g_strnfill(65, 'x');
    const char *const good[] = {"a", "influxdb-1", "A_b-9", "-", "_", "tmp1", "Bad", "state-", longest};
    const char *const bad[] = {"",    "tmp", "bad", "lock", "state", ".",   "..",     "a/b",  "../x",
                               "a b", "a.b", "ä",   "a\n",  "/",     "a\\", too_long, "a\tb", "bad/"};
    for (gsize i = 0; i < G_N_ELEMENTS(good); i++)
        assert_true(spool_is_sink_name(good[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        const char *const sinks[] = {bad[i], NULL};
        g_autoptr(GError) error = NULL;
        g_autofree char *message = g_strdup_printf("\"%s\" can't be the name of a sink", bad[i]);
        assert_false(spool_is_sink_name(bad[i]));
        assert_false(add_text(place->spool, sinks, 1, "x", &error));
        assert_string_equal(error->message, message);
        assert_int_equal(error->code, SPOOL_ERROR_UNSAFE);
    }
    assert_int_equal(count_entries(place->path), 0);
}

static void test_batch_names(void **state)
{
    (void)state;
    g_autofree char *long_host = g_strnfill(300, 'h'), *cut_host = g_strnfill(SPOOL_HOST_MAX, 'h');
    g_autofree char *long_name = g_strdup_printf("9223372036854775807-%s-4294967295-4294967295.lp.gz", cut_host);
    const struct {
        SpoolName parts;
        const char *expected;
    } names[] = {
        {{1700000000123456789, "node1", 4711, 0}, "1700000000123456789-node1-4711-0000.lp.gz"},
        {{1, "a-b.example_1", 1, 12345}, "0000000000000000001-a-b.example_1-1-12345.lp.gz"},
        {{0, "", 1, 1}, "0000000000000000000-_-1-0001.lp.gz"},
        {{-5, "../../x", 1, 1}, "0000000000000000000-.._.._x-1-0001.lp.gz"},
        {{2, "n\xc3\xb6 de\n/\\", 1, 1}, "0000000000000000002-n___de___-1-0001.lp.gz"},
        {{G_MAXINT64, long_host, G_MAXUINT, G_MAXUINT}, long_name},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *name = spool_name_make(&names[i].parts);
        gint64 time_ns = -1;
        assert_string_equal(name, names[i].expected);
        assert_true(strlen(name) <= SPOOL_NAME_MAX);
        assert_true(spool_name_parse(name, &time_ns));
        assert_int_equal(time_ns, MAX(names[i].parts.time_ns, 0));
    }
}

static void test_what_is_no_batch_name(void **state)
{
    (void)state;
    g_autofree char *long_host = g_strnfill(SPOOL_HOST_MAX + 1, 'h');
    g_autofree char *too_long = g_strdup_printf("1700000000123456789-%s-1-0.lp.gz", long_host);
    const char *const names[] = {"",
                                 "state",
                                 ".lp.gz",
                                 "1700000000123456789.lp.gz",
                                 "1700000000123456789-1-1.lp.gz",
                                 "1700000000123456789--1-1.lp.gz",
                                 "1700000000123456789-h-1-1.lp",
                                 "1700000000123456789-h-1-1.lp.gz.tmp-1",
                                 "1700000000123456789-h-1-.lp.gz",
                                 "1700000000123456789-h--1.lp.gz",
                                 "1700000000123456789-h-1.lp.gz",
                                 "1700000000123456789-h-x-1.lp.gz",
                                 "1700000000123456789-h-1-1x.lp.gz",
                                 "1700000000123456789-h-12345678901-1.lp.gz",
                                 "170000000012345678-h-1-1.lp.gz",
                                 "17000000001234567890-h-1-1.lp.gz",
                                 "9999999999999999999-h-1-1.lp.gz",
                                 "+700000000123456789-h-1-1.lp.gz",
                                 "-700000000123456789-h-1-1.lp.gz",
                                 " 700000000123456789-h-1-1.lp.gz",
                                 "\v700000000123456789-h-1-1.lp.gz",
                                 "1700000000123456789-h/h-1-1.lp.gz",
                                 "../1700000000123456789-h-1-1.lp.gz",
                                 "1700000000123456789-h h-1-1.lp.gz",
                                 "1700000000123456789-\xc3\xb6-1-1.lp.gz",
                                 too_long};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        gint64 time_ns = 77;
        if (spool_name_parse(names[i], &time_ns))
            fail_msg("\"%s\" is taken for a batch", names[i]);
        assert_int_equal(time_ns, 77);
    }
}

/* --- adding and taking --- */

static void test_add(void **state)
{
    const Place *place = *state;
    gint64 now = seconds_ago(0);
    add(place, two_sinks, now, "second");
    add(place, two_sinks, now - 1, "first");
    add(place, one_sink, now + 1, "third");
    assert_contents(place, "a", "first second third");
    assert_contents(place, "b", "first second");
    assert_int_equal(count_in(place, "tmp"), 0);

    g_autoptr(GPtrArray) of_a = list(place, "a"), of_b = list(place, "b");
    for (guint i = 0; i < 3; i++) {
        g_autofree char *in_a = g_build_filename(place->path, "a", nth(of_a, i)->name, NULL);
        struct stat a, b;
        assert_int_equal(nth(of_a, i)->time_ns, now - 1 + i);
        assert_int_equal(lstat(in_a, &a), 0);
        assert_int_equal(a.st_mode, S_IFREG | 0600);
        assert_int_equal(a.st_nlink, i < 2 ? 2 : 1); /* one copy of the data */
        if (i == 2)
            break;
        g_autofree char *in_b = g_build_filename(place->path, "b", nth(of_b, i)->name, NULL);
        assert_string_equal(nth(of_a, i)->name, nth(of_b, i)->name);
        assert_int_equal(lstat(in_b, &b), 0);
        assert_int_equal(a.st_ino, b.st_ino);
    }
}

static void test_add_nothing(void **state)
{
    const Place *place = *state;
    const char *const none[] = {NULL};
    add(place, none, 1, "x");
    add(place, one_sink, seconds_ago(0), "");
    assert_contents(place, "a", "");
    assert_int_equal(count_in(place, "a"), 1);
}

/* The same process, host and time, as after the clock was set back; and a sink that has had its batch already. */
static void test_names_are_never_taken_twice(void **state)
{
    const Place *place = *state;
    gint64 now = seconds_ago(0);
    add(place, one_sink, now, "0");
    add(place, two_sinks, now, "1");
    add(place, two_sinks, now, "2");
    assert_contents(place, "a", "0 1 2");
    assert_contents(place, "b", "1 2");
    g_autoptr(GPtrArray) of_a = list(place, "a"), of_b = list(place, "b");
    assert_string_equal(nth(of_a, 1)->name, nth(of_b, 0)->name);
    g_autofree char *link = g_build_filename(place->path, "a", nth(of_a, 1)->name, NULL);
    struct stat status;
    assert_int_equal(lstat(link, &status), 0);
    assert_int_equal(status.st_nlink, 2);
}

/* A leftover of a process that had our number. */
static void test_leftover_in_the_way(void **state)
{
    const Place *place = *state;
    make_dir(place, "tmp");
    for (guint i = 0; i < 3; i++) {
        g_autofree char *name = g_strdup_printf("tmp/%d-%u", (int)getpid(), i);
        put(place, name, 5);
    }
    add(place, one_sink, 1, "x");
    assert_contents(place, "a", "x");
    assert_int_equal(count_in(place, "tmp"), 3);
}

static void test_all_or_none(void **state)
{
    const Place *place = *state;
    const char *const sinks[] = {"a", "b", "file", NULL};
    g_autoptr(GError) error = NULL;
    add(place, two_sinks, 5, "before");
    put(place, "file", 0);
    assert_false(add_text(place->spool, sinks, 6, "x", &error));
    assert_failed(place, error, SPOOL_ERROR_UNSAFE, "file", "Not a directory");
    assert_contents(place, "a", "before");
    assert_contents(place, "b", "before");
    assert_int_equal(count_in(place, "tmp"), 0);
}

static void test_list_passes_over_the_rest(void **state)
{
    const Place *place = *state;
    g_autofree char *link = path_of(place, "a/1700000000000000001-h-1-0000.lp.gz");
    g_autofree char *fifo = path_of(place, "a/1700000000000000002-h-1-0000.lp.gz");
    make_dir(place, "a");
    make_dir(place, "a/1700000000000000003-h-1-0000.lp.gz");
    assert_int_equal(symlink("state", link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    put(place, "a/state", 3);
    put(place, "a/state.lock", 0);
    put(place, "a/state.tmp-17", 0);
    put(place, "a/1700000000000000004-h-1-0000.lp.gz.swp", 0);
    put(place, "a/1700000000000000005-h-1-0000.lp.gz", 7);
    g_autoptr(GPtrArray) batches = list(place, "a");
    assert_int_equal(batches->len, 1);
    assert_string_equal(nth(batches, 0)->name, "1700000000000000005-h-1-0000.lp.gz");
    assert_int_equal(nth(batches, 0)->bytes, 7);
    assert_int_equal(nth(batches, 0)->time_ns, 1700000000000000005);
}

static void test_list_of_a_thousand(void **state)
{
    enum { N = 1000 };
    const Place *place = *state;
    make_dir(place, "a");
    for (guint i = 0; i < N; i++) { /* 7 shares no factor with N, so each once */
        guint time = i * 7 % N;
        g_autofree char *name = g_strdup_printf("a/1700000000%09u-h%u-%u-0000.lp.gz", time, N - time, i % 3 * 1000);
        put(place, name, time);
    }
    g_autoptr(GPtrArray) batches = list(place, "a");
    assert_int_equal(batches->len, N);
    for (guint i = 0; i < N; i++) {
        assert_int_equal(nth(batches, i)->time_ns, 1700000000000000000 + i);
        assert_int_equal(nth(batches, i)->bytes, i);
    }
}

static void test_list_of_one_time(void **state)
{
    enum { N = 100 };
    const Place *place = *state;
    make_dir(place, "a");
    for (guint i = 0; i < N; i++) {
        g_autofree char *name = g_strdup_printf("a/1700000000000000000-h-1-%04u.lp.gz", i * 37 % N);
        put(place, name, 0);
    }
    g_autoptr(GPtrArray) batches = list(place, "a");
    assert_int_equal(batches->len, N);
    for (guint i = 1; i < N; i++)
        assert_true(strcmp(nth(batches, i - 1)->name, nth(batches, i)->name) < 0);
}

static void test_read_and_remove(void **state)
{
    const Place *place = *state;
    g_autoptr(GError) error = NULL;
    gsize length = 99;
    add(place, two_sinks, 1, "x");
    add(place, two_sinks, 2, "y");
    g_autoptr(GPtrArray) batches = list(place, "a");
    assert_true(spool_remove(place->spool, "a", nth(batches, 0)->name, &error));
    assert_contents(place, "a", "y");
    assert_contents(place, "b", "x y");
    assert_null(spool_read(place->spool, "a", nth(batches, 0)->name, &length, &error));
    assert_null(error);
    assert_int_equal(length, 99);
    assert_true(spool_remove(place->spool, "a", nth(batches, 0)->name, &error));
}

/* --- the lock --- */

static void test_lock(void **state)
{
    const Place *place = *state;
    g_autoptr(GError) error = NULL;
    g_autoptr(Spool) other = spool_open(place->path, NULL);
    assert_true(spool_is_idle(other));
    int lock = spool_lock(place->spool, &error);
    assert_true(lock >= 0);
    assert_int_equal(fcntl(lock, F_GETFD), FD_CLOEXEC);
    assert_false(spool_is_idle(other));
    assert_false(spool_is_idle(place->spool));
    assert_int_equal(spool_lock(other, &error), -1);
    assert_null(error);
    close(lock);
    assert_true(spool_is_idle(other));
    lock = spool_lock(other, &error);
    assert_true(lock >= 0);
    close(lock);
}

/* Somebody who only looks (spool_is_idle) is no forwarder: the lock is had in spite of it. */
static void test_lock_while_others_look(void **state)
{
    const Place *place = *state;
    g_autofree char *path = path_of(place, "lock");
    int ready[2];
    put(place, "lock", 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int looking = open(path, O_RDONLY | O_CLOEXEC);
        bool held = looking >= 0 && flock(looking, LOCK_SH) == 0 && write(ready[1], "", 1) == 1;
        g_usleep(15000);
        _exit(!held);
    }
    assert_true(pid > 0);
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    g_autoptr(GError) error = NULL;
    int lock = spool_lock(place->spool, &error);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(lock >= 0);
    close(lock);
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_open),
        cmocka_unit_test(test_default_path),
        IN_PLACE(test_nothing_there),
        IN_PLACE(test_sink_names),
        cmocka_unit_test(test_batch_names),
        cmocka_unit_test(test_what_is_no_batch_name),
        IN_PLACE(test_add),
        IN_PLACE(test_add_nothing),
        IN_PLACE(test_names_are_never_taken_twice),
        IN_PLACE(test_leftover_in_the_way),
        IN_PLACE(test_all_or_none),
        IN_PLACE(test_list_passes_over_the_rest),
        IN_PLACE(test_list_of_a_thousand),
        IN_PLACE(test_list_of_one_time),
        IN_PLACE(test_read_and_remove),
        IN_PLACE(test_lock),
        IN_PLACE(test_lock_while_others_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
