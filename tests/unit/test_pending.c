/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gather/pending.h"
#include "probe/said.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- process ids --- */

static const struct {
    const char *text;
    gint64 pid; /* 0: FILE; -1: EMPTY */
} contents[] = {
    {"1", 1},
    {"1234\n", 1234},
    {" \t1234 \r\n", 1234},
    {"9223372036854775807", G_MAXINT64},
    {"0012", 12},
    {"", -1},
    {" \n", -1},
    {"0", 0},
    {"-1", 0},
    {"+1", 0},
    {"9223372036854775808", 0},
    {"99999999999999999999999999", 0},
    {"12 34", 0},
    {"12a", 0},
    {"0x12", 0},
    {"1.5", 0},
    {"garbage", 0},
    {"1\0002", 1}, /* as a C string; the whole of it below */
};

static void test_process_ids(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(contents); i++) {
        g_autoptr(GError) error = NULL;
        gint64 pid = 0;
        bool good = pending_read_pid(contents[i].text, strlen(contents[i].text), &pid, &error);
        if (!good)
            pid = error->code == PENDING_ERROR_EMPTY ? -1 : 0;
        if (pid != contents[i].pid)
            fail_msg("%s: %" G_GINT64_FORMAT, contents[i].text, pid);
    }
    gint64 pid;
    assert_false(pending_read_pid("1\0002", 3, &pid, NULL));
    g_autofree char *zeros = g_strnfill(PENDING_FILE_MAX + 1, '0');
    assert_false(pending_read_pid(zeros, PENDING_FILE_MAX + 1, &pid, NULL));
}

/* --- the directory --- */

typedef struct {
    char *dir;
    GPtrArray *complaints;
} Place;

static int setup(void **state)
{
    Place *place = g_new0(Place, 1);
    place->dir = g_dir_make_tmp("one-telemetry-test-XXXXXX", NULL);
    place->complaints = g_ptr_array_new_with_free_func(g_free);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    Place *place = *state;
    const char *command[] = {"rm", "-rf", place->dir, NULL};
    g_spawn_sync(NULL, (char **)(guintptr)command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    g_ptr_array_unref(place->complaints);
    g_free(place->dir);
    g_free(place);
    return 0;
}

static char *path_of(const Place *place, const char *name)
{
    return g_build_filename(place->dir, name, NULL);
}

static void put(const Place *place, const char *name, const char *content, int mode)
{
    g_autofree char *path = path_of(place, name);
    assert_true(g_file_set_contents(path, content, -1, NULL));
    assert_int_equal(g_chmod(path, mode), 0);
}

static bool exists(const Place *place, const char *name)
{
    g_autofree char *path = path_of(place, name);
    struct stat status;
    return lstat(path, &status) == 0;
}

static GPtrArray *list(Place *place)
{
    g_autoptr(GError) error = NULL;
    g_ptr_array_set_size(place->complaints, 0);
    GPtrArray *found = pending_list(place->dir, place->complaints, &error);
    assert_non_null(found);
    return found;
}

static void test_list(void **state)
{
    Place *place = *state;
    put(place, "one-100", "7\n", 0644);
    put(place, "one-9", "12", 0664);
    /* other names are none of ours, whatever they hold */
    const char *const others[] = {"one-007",        "one-9~", "one-",     "one-9.tmp", "xone-1",
                                  "one-2147483648", "one--1", "oned.pid", "one-1 ",    ".exec-lock"};
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        put(place, others[i], "1", 0666);
    g_autoptr(GPtrArray) found = list(place);
    assert_int_equal(place->complaints->len, 0);
    assert_int_equal(found->len, 2);
    const Pending *first = found->pdata[0], *second = found->pdata[1];
    assert_string_equal(first->name, "one-9");
    assert_int_equal(first->vm_id, 9);
    assert_int_equal(first->pid, 12);
    assert_string_equal(second->name, "one-100");
}

static void test_traps(void **state)
{
    Place *place = *state;
    static const char *const said[] = {
        "one-1: the file is a symbolic link",           "one-2: the file is a symbolic link",
        "one-3: the file is not a regular file",        "one-4: the file is not a regular file",
        "one-5: the file is too long for a process id", "one-6: the file may be written by everybody",
        "one-7: the file holds no process id",
    };
    g_autofree char *target = path_of(place, "target"), *first = path_of(place, "one-1"),
                    *second = path_of(place, "one-2"), *third = path_of(place, "one-3"),
                    *fourth = path_of(place, "one-4"), *fifth = path_of(place, "one-5");
    put(place, "target", "1", 0644);
    assert_int_equal(symlink(target, first), 0);
    assert_int_equal(symlink("nowhere", second), 0);
    assert_int_equal(mkfifo(third, 0644), 0);
    assert_int_equal(g_mkdir(fourth, 0755), 0);
    put(place, "one-5", "1", 0644);
    assert_int_equal(truncate(fifth, 1024 * 1024 * 1024), 0); /* sparse */
    put(place, "one-6", "1", 0666);
    put(place, "one-7", "what?", 0644);
    put(place, "one-8", "", 0644);   /* just being written: nothing to say */
    put(place, "one-9", "11", 0644); /* the others don't harm it */
    g_autoptr(GPtrArray) found = list(place);
    assert_int_equal(found->len, 1);
    assert_int_equal(((Pending *)found->pdata[0])->vm_id, 9);
    assert_int_equal(place->complaints->len, G_N_ELEMENTS(said));
    for (guint i = 0; i < G_N_ELEMENTS(said); i++)
        assert_string_equal(place->complaints->pdata[i], said[i]);
}

static void test_no_directory(void **state)
{
    Place *place = *state;
    g_autofree char *missing = path_of(place, "missing"), *file = path_of(place, "file");
    g_autoptr(GPtrArray) none = pending_list(missing, place->complaints, NULL);
    assert_non_null(none);
    assert_int_equal(none->len, 0);
    put(place, "file", "", 0644);
    g_autoptr(GError) error = NULL;
    assert_null(pending_list(file, place->complaints, &error));
    assert_true(g_error_matches(error, PENDING_ERROR, PENDING_ERROR_DIRECTORY));
    assert_true(g_str_has_prefix(error->message, file));
}

/* Only the very file that was read is removed. */
static void test_removing(void **state)
{
    Place *place = *state;
    put(place, "one-1", "5", 0644);
    g_autoptr(GPtrArray) found = list(place);
    const Pending *pending = found->pdata[0];
    assert_true(pending_is_there(place->dir, pending));

    put(place, "one-1", "6", 0644); /* another command: a new file */
    assert_false(pending_is_there(place->dir, pending));
    assert_true(pending_remove(place->dir, pending, NULL));
    assert_true(exists(place, "one-1"));

    put(place, "one-1", "5", 0644); /* the same number: another file all the same */
    assert_false(pending_is_there(place->dir, pending));
    assert_true(pending_remove(place->dir, pending, NULL));
    assert_true(exists(place, "one-1"));

    g_autoptr(GPtrArray) again = list(place);
    assert_true(pending_remove(place->dir, again->pdata[0], NULL));
    assert_false(exists(place, "one-1"));
    assert_false(pending_is_there(place->dir, again->pdata[0]));
    assert_true(pending_remove(place->dir, again->pdata[0], NULL)); /* gone already */
}

static void test_lock(void **state)
{
    Place *place = *state;
    int fd = pending_lock(place->dir, 1000, NULL);
    assert_true(fd >= 0);
    g_autoptr(GError) error = NULL;
    assert_int_equal(pending_lock(place->dir, 50, &error), -1);
    assert_string_equal(error->message, "another program holds it");
    close(fd);
    /* what OpenNebula's driver takes is the same lock */
    g_autofree char *path = path_of(place, PENDING_LOCK);
    int theirs = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(flock(theirs, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(pending_lock(place->dir, 50, NULL), -1);
    close(theirs);
    fd = pending_lock(place->dir, 0, NULL);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("elsewhere", path), 0);
    assert_int_equal(pending_lock(place->dir, 50, NULL), -1);
    assert_false(exists(place, "elsewhere"));
}

/* --- what was said --- */

static void test_said(void **state)
{
    Place *place = *state;
    g_autofree char *dir = path_of(place, "state"), *file = g_build_filename(dir, "x.said", NULL);
    Said *said = said_open(dir, "x.said", 1000);
    assert_false(said_before(said, "one-1: "));
    assert_true(said_is_due(said, "one-1: silent"));
    assert_true(said_is_due(said, "libvirt"));
    said_close(said);

    said = said_open(dir, "x.said", 1000 + SAID_AGAIN_S - 1);
    assert_true(said_before(said, "one-1: "));
    assert_false(said_before(said, "one-2: "));
    assert_false(said_is_due(said, "one-1: silent"));
    assert_true(said_is_due(said, "one-2: silent"));
    said_close(said);

    said = said_open(dir, "x.said", 1000 + SAID_AGAIN_S); /* counted from when it was logged */
    assert_true(said_is_due(said, "one-1: silent"));
    assert_false(said_is_due(said, "one-2: silent"));
    assert_true(said_is_due(said, "libvirt")); /* it was over in between */
    said_close(said);

    said = said_open(dir, "x.said", 500); /* the clock was set back */
    assert_true(said_is_due(said, "one-1: silent"));
    said_close(said);

    assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    said_close(said_open(dir, "x.said", 600)); /* nothing to say: no file either */
    assert_false(g_file_test(file, G_FILE_TEST_EXISTS));

    assert_true(g_file_set_contents(file, "garbage\n\n12\n -5 x\n99999999999999999999 y\n7 z\n7 ", -1, NULL));
    g_chmod(file, 0600);
    said = said_open(dir, "x.said", 8);
    assert_false(said_is_due(said, "z"));
    assert_true(said_is_due(said, "x"));
    assert_true(said_is_due(said, "y"));
    said_close(said);

    said = said_open("/nowhere/at/all", "x.said", 8); /* no place: everything is said */
    assert_true(said_is_due(said, "z"));
    said_close(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process_ids),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
