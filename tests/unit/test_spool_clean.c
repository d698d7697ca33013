/* SPDX-License-Identifier: Apache-2.0 */
#include "test_spool.h"

#include "deliver/ledger.h"

#include <sys/file.h>

#define BATCH "1700000000000000000-h-1-0000.lp.gz"
#define LATER "1700000000000000001-h-1-0000.lp.gz"
#define BLOCK 4096
#define OLD (2 * SPOOL_TMP_MAX_AGE_S)

static void clean(const Place *place, const char *const *sinks, gint64 max_age_s)
{
    g_autoptr(GError) error = NULL;
    if (!spool_clean(place->spool, sinks, max_age_s, &error))
        fail_msg("%s", error->message);
}

/* --- tmp/ --- */

static void test_leftovers(void **state)
{
    static const struct {
        const char *name;
        gint64 age_s;
        bool stays;
    } files[] = {
        {"tmp/1-0", SPOOL_TMP_MAX_AGE_S + 5, false},
        {"tmp/1-1", OLD, false},
        {"tmp/whatever", OLD, false},
        {"tmp/1-2", -OLD, false}, /* the clock was set back since */
        {"tmp/1-3", SPOOL_TMP_MAX_AGE_S - 60, true},
        {"tmp/1-4", 0, true},
        {"tmp/1-5", -60, true},
    };
    const Place *place = *state;
    const char *const none[] = {NULL};
    g_autofree char *link = path_of(place, "tmp/link"), *victim = g_build_filename(place->dir, "victim", NULL);
    make_dir(place, "tmp");
    assert_true(g_file_set_contents(victim, "x", 1, NULL));
    assert_int_equal(symlink(victim, link), 0);
    set_age(place, "tmp/link", OLD);
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        put(place, files[i].name, 10);
        set_age(place, files[i].name, files[i].age_s);
    }
    clean(place, none, 0);
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++)
        if (exists(place, files[i].name) != files[i].stays)
            fail_msg("%s is %s", files[i].name, files[i].stays ? "gone" : "still there");
    assert_false(exists(place, "tmp/link"));
    assert_true(g_file_test(victim, G_FILE_TEST_EXISTS));
}

/* A writer that was stopped for hours goes on where it was. */
static void test_living_writer(void **state)
{
    const Place *place = *state;
    const char *const none[] = {NULL};
    g_autofree char *path = path_of(place, "tmp/1-0");
    make_dir(place, "tmp");
    put(place, "tmp/1-0", 10);
    set_age(place, "tmp/1-0", OLD);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    clean(place, none, 0);
    assert_true(exists(place, "tmp/1-0"));
    close(fd);
    clean(place, none, 0);
    assert_false(exists(place, "tmp/1-0"));
}

/* Killed between its links and the end: the batch is whole in one sink, and stays. */
static void test_leftover_that_was_linked(void **state)
{
    const Place *place = *state;
    const char *const sinks[] = {"a", NULL};
    g_autofree char *temporary = path_of(place, "tmp/1-0"), *batch = path_of(place, "a/" BATCH);
    make_dir(place, "tmp");
    make_dir(place, "a");
    assert_true(g_file_set_contents(temporary, "whole", 5, NULL));
    assert_int_equal(chmod(temporary, 0600), 0);
    set_age(place, "tmp/1-0", OLD);
    assert_int_equal(link(temporary, batch), 0);
    clean(place, sinks, 1);
    assert_int_equal(count_in(place, "tmp"), 0);
    assert_contents(place, "a", "whole");
}

/* --- queues of sinks that are no longer configured --- */

static void test_queues_of_others(void **state)
{
    const Place *place = *state;
    const char *const sinks[] = {"kept", "kept-too", NULL};
    const char *const both[] = {"kept", "gone", NULL}, *const gone[] = {"gone", NULL};
    add(place, both, seconds_ago(7200), "old");
    add(place, gone, seconds_ago(60), "young");
    make_dir(place, "kept-too");
    make_dir(place, "empty");
    assert_true(ledger_add_dropped(place->spool, "gone", (SpoolCount){1, 1}, NULL));
    put(place, "gone/state.tmp-77", 1);
    put(place, "note", 1);
    make_dir(place, "just-made");
    set_age(place, "empty", OLD);
    set_age(place, "gone", OLD);

    clean(place, sinks, 0);
    assert_false(exists(place, "empty"));
    assert_true(exists(place, "just-made")); /* by somebody who is about to add to it */
    assert_contents(place, "gone", "old young");
    assert_true(exists(place, "gone/state"));
    clean(place, sinks, 3600);
    assert_contents(place, "gone", "young");
    assert_true(exists(place, "gone/state"));
    clean(place, sinks, 30);
    assert_true(exists(place, "gone/state"));
    set_age(place, "gone", OLD);
    clean(place, sinks, 30);
    assert_false(exists(place, "gone"));
    assert_contents(place, "kept", "old");
    assert_true(exists(place, "kept-too"));
    assert_true(exists(place, "tmp"));
    assert_true(exists(place, "note"));
}

static void test_what_is_not_ours_stays(void **state)
{
    const Place *place = *state;
    const char *const none[] = {NULL};
    make_dir(place, "strange");
    put(place, "strange/README", 1);
    set_age(place, "strange", OLD);
    make_dir(place, "bad");
    put(place, "bad/a-" BATCH, 1);
    put(place, "lock", 0);
    clean(place, none, 1);
    assert_true(exists(place, "strange/README"));
    assert_true(exists(place, "bad/a-" BATCH));
    assert_true(exists(place, "lock"));
}

/* One part that fails does not keep the others. */
static void test_clean_goes_on(void **state)
{
    const Place *place = *state;
    const char *const none[] = {NULL};
    const char *const dirs[] = {"w", "x", "y", NULL};
    g_autofree char *open_to_all = path_of(place, "x");
    g_autoptr(GError) error = NULL;
    put(place, "tmp", 0); /* no directory */
    for (guint i = 0; dirs[i]; i++)
        make_dir(place, dirs[i]);
    assert_int_equal(chmod(open_to_all, 0755), 0);
    for (guint i = 0; dirs[i]; i++)
        set_age(place, dirs[i], OLD);
    assert_false(spool_clean(place->spool, none, 1, &error));
    assert_failed(place, error, SPOOL_ERROR_UNSAFE, "tmp", "Not a directory");
    assert_false(exists(place, "w"));
    assert_true(exists(place, "x"));
    assert_false(exists(place, "y"));
}

/* --- bad/ --- */

static void set_aside(const Place *place, const char *sink, const char *name)
{
    g_autoptr(GError) error = NULL;
    if (!spool_set_aside(place->spool, sink, name, &error))
        fail_msg("%s", error->message);
}

static void keep_bad(const Place *place, const char *name, const char *data, gsize length)
{
    g_autoptr(GError) error = NULL;
    if (!spool_keep_bad(place->spool, "a", name, data, length, &error))
        fail_msg("%s", error->message);
}

static void assert_bad(const Place *place, const char *name, const char *content)
{
    g_autofree char *path = g_build_filename(place->path, "bad", name, NULL), *found = NULL;
    if (!g_file_get_contents(path, &found, NULL, NULL))
        fail_msg("%s is missing", path);
    assert_string_equal(found, content);
}

static void test_set_aside(void **state)
{
    const Place *place = *state;
    const char *const both[] = {"a", "b", NULL};
    add(place, both, seconds_ago(2), "one");
    add(place, both, seconds_ago(1), "two");
    g_autoptr(GPtrArray) batches = list(place, "a");
    g_autofree char *bad = g_strconcat("a-", nth(batches, 0)->name, NULL);
    set_aside(place, "a", nth(batches, 0)->name);
    set_aside(place, "a", nth(batches, 0)->name); /* gone: no error */
    set_aside(place, "nowhere", BATCH);
    assert_contents(place, "a", "two");
    assert_contents(place, "b", "one two");
    assert_bad(place, bad, "one");
    assert_int_equal(count_in(place, "bad"), 1);
}

static void test_set_aside_a_link(void **state)
{
    const Place *place = *state;
    g_autofree char *link = path_of(place, "a/" BATCH), *victim = g_build_filename(place->dir, "victim", NULL);
    make_dir(place, "a");
    assert_int_equal(symlink(victim, link), 0);
    set_aside(place, "a", BATCH);
    assert_false(exists(place, "a/" BATCH));
    assert_true(exists(place, "bad/a-" BATCH));
    keep_bad(place, BATCH, "x", 1);
    assert_bad(place, "a-" BATCH ".2", "x"); /* beside it, not through it */
    assert_false(g_file_test(victim, G_FILE_TEST_EXISTS));
}

static void test_keep_bad(void **state)
{
    const Place *place = *state;
    keep_bad(place, BATCH, "poison", 6);
    assert_bad(place, "a-" BATCH, "poison");
    assert_int_equal(count_in(place, "tmp"), 0);

    static const char *const names[] = {"", "x/y", "../lock", "/"};
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(spool_keep_bad(place->spool, "a", names[i], "x", 1, &error));
        assert_int_equal(error->code, SPOOL_ERROR_UNSAFE);
    }
    g_autoptr(GError) error = NULL;
    assert_false(spool_keep_bad(place->spool, "..", "x", "x", 1, &error));
    assert_int_equal(error->code, SPOOL_ERROR_UNSAFE);
    assert_int_equal(count_in(place, "bad"), 1);
}

/* Several lines of one batch, the batch itself, and another one of the same name. */
static void test_nothing_bad_is_overwritten(void **state)
{
    const Place *place = *state;
    make_dir(place, "a");
    keep_bad(place, BATCH, "one", 3);
    keep_bad(place, BATCH, "two", 3);
    put(place, "a/" BATCH, 0);
    set_aside(place, "a", BATCH);
    keep_bad(place, BATCH, "three", 5);
    assert_bad(place, "a-" BATCH, "one");
    assert_bad(place, "a-" BATCH ".2", "two");
    assert_bad(place, "a-" BATCH ".3", "");
    assert_bad(place, "a-" BATCH ".4", "three");
}

static void test_bad_is_bounded(void **state)
{
    const Place *place = *state;
    const gsize quarter = SPOOL_BAD_MAX_BYTES / 4;
    make_dir(place, "bad");
    make_dir(place, "a");
    put(place, "bad/z-oldest", quarter); /* the oldest by its time, not by its name */
    set_age(place, "bad/z-oldest", 400);
    put(place, "bad/a-older", quarter);
    set_age(place, "bad/a-older", 300);
    put(place, "bad/m-old", quarter);
    set_age(place, "bad/m-old", 200);
    put(place, "a/" BATCH, quarter);
    set_aside(place, "a", BATCH);
    assert_int_equal(count_in(place, "bad"), 4);

    keep_bad(place, "more", "x", 1);
    assert_false(exists(place, "bad/z-oldest"));
    assert_int_equal(count_in(place, "bad"), 4);
    put(place, "a/" LATER, quarter + 1);
    set_aside(place, "a", LATER);
    assert_false(exists(place, "bad/a-older"));
    assert_true(exists(place, "bad/m-old"));
    assert_int_equal(count_in(place, "bad"), 4);
}

static void test_many_small_bad_files(void **state)
{
    const Place *place = *state;
    const guint most = SPOOL_BAD_MAX_BYTES / BLOCK;
    make_dir(place, "bad");
    for (guint i = 0; i < most; i++) {
        g_autofree char *name = g_strdup_printf("bad/b-%05u", i);
        put(place, name, 1);
    }
    set_age(place, "bad/b-00007", 100);
    keep_bad(place, "last", "x", 1);
    assert_int_equal(count_in(place, "bad"), most);
    assert_false(exists(place, "bad/b-00007"));
    assert_bad(place, "a-last", "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_leftovers),
        IN_PLACE(test_living_writer),
        IN_PLACE(test_leftover_that_was_linked),
        IN_PLACE(test_queues_of_others),
        IN_PLACE(test_what_is_not_ours_stays),
        IN_PLACE(test_clean_goes_on),
        IN_PLACE(test_set_aside),
        IN_PLACE(test_set_aside_a_link),
        IN_PLACE(test_keep_bad),
        IN_PLACE(test_nothing_bad_is_overwritten),
        IN_PLACE(test_bad_is_bounded),
        IN_PLACE(test_many_small_bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
