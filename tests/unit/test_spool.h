/* SPDX-License-Identifier: Apache-2.0
 * A spool of its own for each test, and what the spool's tests share. Header only: other tests have no use for it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "deliver/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)
#define STRANGER 54321 /* a user other than whoever runs this */
#define EXIT_SKIP 77

typedef struct {
    char *dir;  /* for the test */
    char *path; /* of the spool in it */
    Spool *spool;
    guint descriptors; /* open before the test */
} Place;

static inline guint count_entries(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    guint n = 0;
    while (dir && g_dir_read_name(dir))
        n++;
    return n;
}

static inline int setup_in(void **state, char *dir)
{
    Place *place = g_new0(Place, 1);
    place->descriptors = count_entries("/proc/self/fd");
    place->dir = dir;
    place->path = g_build_filename(place->dir, "spool", NULL);
    place->spool = spool_open(place->path, NULL);
    *state = place;
    return place->spool ? 0 : 1;
}

static inline int setup_place(void **state)
{
    return setup_in(state, g_dir_make_tmp("one-telemetry-test-XXXXXX", NULL));
}

/* Where syncing costs nothing, for tests that add a lot. */
static inline int setup_memory_place(void **state)
{
    char *dir = g_strdup("/dev/shm/one-telemetry-test-XXXXXX");
    if (g_mkdtemp(dir))
        return setup_in(state, dir);
    g_free(dir);
    return setup_place(state);
}

static inline int teardown_place(void **state)
{
    Place *place = *state;
    const char *command[] = {"rm", "-rf", place->dir, NULL};
    g_spawn_sync(NULL, (char **)(guintptr)command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    spool_close(place->spool);
    bool leaks = count_entries("/proc/self/fd") != place->descriptors;
    if (leaks)
        print_error("a descriptor was left open\n");
    g_free(place->dir);
    g_free(place->path);
    g_free(place);
    return leaks;
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, setup_place, teardown_place)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, setup_memory_place, teardown_place)

static inline char *path_of(const Place *place, const char *name)
{
    return g_build_filename(place->path, name, NULL);
}

/* A file in the spool, of that many bytes (a hole). */
static inline void put(const Place *place, const char *name, gsize bytes)
{
    g_autofree char *path = path_of(place, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    close(fd);
}

static inline void make_dir(const Place *place, const char *name)
{
    g_autofree char *path = path_of(place, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static inline bool exists(const Place *place, const char *name)
{
    g_autofree char *path = path_of(place, name);
    struct stat status;
    return lstat(path, &status) == 0;
}

static inline void set_age(const Place *place, const char *name, gint64 age_s)
{
    g_autofree char *path = path_of(place, name);
    struct timespec times[2] = {{.tv_sec = g_get_real_time() / G_USEC_PER_SEC - age_s}};
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static inline gint64 seconds_ago(gint64 seconds)
{
    return g_get_real_time() * 1000 - seconds * NS_PER_SECOND;
}

/* --- adding: without assertions, so for children too --- */

/* Adds `text` as it is (the spool does not look into it) to sinks without limits. */
static inline bool add_text(Spool *spool, const char *const *sinks, gint64 time_ns, const char *text, GError **error)
{
    const SpoolNewBatch batch = {.host = "host", .time_ns = time_ns, .data = text, .length = strlen(text)};
    SpoolTarget targets[8] = {{0}};
    guint n = 0;
    for (; sinks[n]; n++)
        targets[n].sink = sinks[n];
    return spool_add(spool, &batch, targets, n, NULL, error);
}

static inline void add(const Place *place, const char *const *sinks, gint64 time_ns, const char *text)
{
    g_autoptr(GError) error = NULL;
    if (!add_text(place->spool, sinks, time_ns, text, &error))
        fail_msg("%s", error->message);
}

/* --- what is there --- */

static inline GPtrArray *list(const Place *place, const char *sink)
{
    g_autoptr(GError) error = NULL;
    GPtrArray *batches = spool_list(place->spool, sink, &error);
    if (!batches)
        fail_msg("%s", error->message);
    return batches;
}

static inline const SpoolBatch *nth(const GPtrArray *batches, guint i)
{
    return g_ptr_array_index(batches, i);
}

/* The contents of a sink's batches in their order, joined by spaces. Owned by the caller. */
static inline char *contents(const Place *place, const char *sink)
{
    g_autoptr(GPtrArray) batches = list(place, sink);
    GString *all = g_string_new(NULL);
    for (guint i = 0; i < batches->len; i++) {
        g_autoptr(GError) error = NULL;
        gsize length;
        g_autofree char *data = spool_read(place->spool, sink, nth(batches, i)->name, &length, &error);
        if (!data)
            fail_msg("%s: %s", nth(batches, i)->name, error ? error->message : "gone");
        assert_int_equal(length, nth(batches, i)->bytes);
        g_string_append_printf(all, "%s%s", i ? " " : "", data);
    }
    return g_string_free(all, FALSE);
}

#define assert_contents(place, sink, expected)                                                                         \
    do {                                                                                                               \
        g_autofree char *found_ = contents(place, sink);                                                               \
        assert_string_equal(found_, expected);                                                                         \
    } while (0)

static inline guint count_in(const Place *place, const char *dir)
{
    g_autofree char *path = path_of(place, dir);
    return count_entries(path);
}

/* The message begins with the path, so that an operator finds it; `name` NULL: the spool itself. */
static inline void assert_failed(const Place *place, const GError *error, SpoolErrorCode code, const char *name,
                                 const char *reason)
{
    assert_non_null(error);
    g_autofree char *path = g_build_filename(place->path, name, NULL);
    g_autofree char *message = g_strdup_printf("%s: %s", path, reason);
    assert_string_equal(error->message, message);
    assert_true(error->domain == SPOOL_ERROR);
    assert_int_equal(error->code, code);
}

/* --- children --- */

/* Runs `work` in a process of its own and passes its verdict on. It may not use cmocka's assertions, which would jump
 * into the parent's code. */
static inline void in_child(const Place *place, int (*work)(const Place *place))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(work(place));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == EXIT_SKIP)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}
