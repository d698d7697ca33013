/* SPDX-License-Identifier: Apache-2.0
 * What others can put in the spool's way: links, directories of theirs, names that lead elsewhere. */
#include "test_spool.h"

#include "deliver/ledger.h"
#include "deliver/spool_name.h"

#define SOME_BATCH "1700000000000000000-host-1-0000.lp.gz"

static const char *const one_sink[] = {"a", NULL};

/* What may stand where a directory should be. */
typedef struct {
    const char *what;
    const char *reason;
    SpoolErrorCode code;
    mode_t mode; /* 0: it is made by `what` */
} Trap;

static const Trap traps[] = {
    {"link", "is a symbolic link", SPOOL_ERROR_UNSAFE, 0},
    {"dangling", "is a symbolic link", SPOOL_ERROR_UNSAFE, 0},
    {"file", "Not a directory", SPOOL_ERROR_UNSAFE, 0},
    {"fifo", "Not a directory", SPOOL_ERROR_UNSAFE, 0},
    {"stranger", "belongs to user 54321, not to user 0", SPOOL_ERROR_UNSAFE, 0},
    {"group writes", "others may write to it (mode 0720)", SPOOL_ERROR_UNSAFE, 0720},
    {"others write", "others may write to it (mode 1777)", SPOOL_ERROR_UNSAFE, 01777},
    {"group reads", "is open to others (mode 0740 instead of 0700)", SPOOL_ERROR_UNSAFE, 0740},
    {"others read", "is open to others (mode 0704 instead of 0700)", SPOOL_ERROR_UNSAFE, 0704},
    {"others enter", "is open to others (mode 0711 instead of 0700)", SPOOL_ERROR_UNSAFE, 0711},
};

/* Puts it at `path`; a link leads to `elsewhere`. false: only root could. */
static bool set_trap(const Trap *trap, const char *path, const char *elsewhere)
{
    if (g_str_equal(trap->what, "link"))
        assert_int_equal(symlink(elsewhere, path), 0);
    else if (g_str_equal(trap->what, "dangling"))
        assert_int_equal(symlink("nowhere", path), 0);
    else if (g_str_equal(trap->what, "file"))
        assert_true(g_file_set_contents(path, "", 0, NULL));
    else if (g_str_equal(trap->what, "fifo"))
        assert_int_equal(mkfifo(path, 0600), 0);
    else
        assert_int_equal(mkdir(path, 0700), 0);
    if (trap->mode)
        assert_int_equal(chmod(path, trap->mode), 0);
    return !g_str_equal(trap->what, "stranger") || (geteuid() == 0 && chown(path, STRANGER, STRANGER) == 0);
}

static void test_open_refuses(void **state)
{
    const Place *place = *state;
    g_autofree char *elsewhere = g_build_filename(place->dir, "elsewhere", NULL);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    for (gsize i = 0; i < G_N_ELEMENTS(traps); i++) {
        Place there = {.path = g_strdup_printf("%s/trap%zu", place->dir, i)};
        g_autofree char *slash = g_strconcat(there.path, "/", NULL);
        if (set_trap(&traps[i], there.path, elsewhere)) {
            g_autoptr(GError) error = NULL, again = NULL;
            assert_null(spool_open(there.path, &error));
            assert_failed(&there, error, traps[i].code, NULL, traps[i].reason);
            assert_null(spool_open(slash, &again));
            assert_failed(&there, again, traps[i].code, NULL, traps[i].reason);
        }
        g_free(there.path);
    }
    assert_int_equal(count_entries(elsewhere), 0);

    g_autoptr(GError) error = NULL;
    Place lost = {.path = g_build_filename(place->dir, "nowhere", "spool", NULL)};
    assert_null(spool_open(lost.path, &error));
    assert_failed(&lost, error, SPOOL_ERROR_IO, NULL, "No such file or directory");
    g_free(lost.path);
}

/* --- its directories: every operation, every trap --- */

static bool do_add(Spool *spool, GError **error)
{
    return add_text(spool, one_sink, seconds_ago(0), "x", error);
}

static bool do_list(Spool *spool, GError **error)
{
    g_autoptr(GPtrArray) batches = spool_list(spool, "a", error);
    return batches != NULL;
}

static bool do_read(Spool *spool, GError **error)
{
    gsize length;
    g_autofree char *data = spool_read(spool, "a", SOME_BATCH, &length, error);
    return data != NULL;
}

static bool do_remove(Spool *spool, GError **error)
{
    return spool_remove(spool, "a", SOME_BATCH, error);
}

static bool do_trim(Spool *spool, GError **error)
{
    const SpoolTarget target = {.sink = "a", .limits = {.max_bytes = 1}};
    SpoolCount dropped;
    return spool_trim(spool, &target, &dropped, error);
}

static bool do_set_aside(Spool *spool, GError **error)
{
    return spool_set_aside(spool, "a", SOME_BATCH, error);
}

static bool do_keep_bad(Spool *spool, GError **error)
{
    return spool_keep_bad(spool, "a", "poison", "x", 1, error);
}

static bool do_clean(Spool *spool, GError **error)
{
    const char *const others[] = {"z", NULL};
    return spool_clean(spool, others, 1, error);
}

static bool do_ledger_save(Spool *spool, GError **error)
{
    const Ledger ledger = {.failures = 1};
    return ledger_save(spool, "a", &ledger, error);
}

static bool do_ledger_add(Spool *spool, GError **error)
{
    return ledger_add_dropped(spool, "a", (SpoolCount){1, 1}, error);
}

static const struct {
    const char *dir;
    bool (*work)(Spool *spool, GError **error);
    bool skips_strange; /* it passes over what is no directory */
} uses[] = {
    {"a", do_add, false},         {"tmp", do_add, false},      {"a", do_list, false},      {"a", do_read, false},
    {"a", do_remove, false},      {"a", do_trim, false},       {"a", do_set_aside, false}, {"bad", do_set_aside, false},
    {"bad", do_keep_bad, false},  {"tmp", do_keep_bad, false}, {"tmp", do_clean, false},   {"a", do_clean, true},
    {"a", do_ledger_save, false}, {"a", do_ledger_add, false},
};

static void check_trap(const Place *place, gsize use, const Trap *trap)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *elsewhere = g_build_filename(place->dir, "elsewhere", NULL), *path = path_of(place, uses[use].dir);
    g_autofree char *bait = g_build_filename(elsewhere, SOME_BATCH, NULL), *found = NULL;
    assert_true(g_file_set_contents(bait, "bait", 4, NULL));
    if (set_trap(trap, path, elsewhere) && !(uses[use].skips_strange && trap->mode == 0)) {
        if (uses[use].work(place->spool, &error))
            fail_msg("use %zu works on %s", use, trap->what);
        assert_failed(place, error, trap->code, uses[use].dir, trap->reason);
    }
    assert_int_equal(count_entries(elsewhere), 1);
    assert_true(g_file_get_contents(bait, &found, NULL, NULL));
    assert_string_equal(found, "bait");
    assert_int_equal(g_remove(path), 0);
    const char *const dirs[] = {"a", "bad", "tmp", NULL};
    for (guint i = 0; dirs[i]; i++) {
        g_autofree char *dir = path_of(place, dirs[i]);
        rmdir(dir);
    }
    assert_int_equal(count_entries(place->path), 0);
}

static void test_directories_refused(void **state)
{
    const Place *place = *state;
    g_autofree char *elsewhere = g_build_filename(place->dir, "elsewhere", NULL);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    for (gsize use = 0; use < G_N_ELEMENTS(uses); use++)
        for (gsize i = 0; i < G_N_ELEMENTS(traps); i++)
            check_trap(place, use, &traps[i]);
}

/* --- files --- */

/* Whatever is under that name already, a link too: it stays, and is not written through. */
static void test_add_beside_a_link(void **state)
{
    const Place *place = *state;
    const SpoolName parts = {.time_ns = 1700000000000000000, .host = "host", .pid = (guint)getpid()};
    g_autofree char *name = spool_name_make(&parts), *link = g_build_filename(place->path, "a", name, NULL);
    g_autofree char *victim = g_build_filename(place->dir, "victim", NULL), *found = NULL;
    make_dir(place, "a");
    assert_int_equal(symlink(victim, link), 0);
    add(place, one_sink, parts.time_ns, "x");
    assert_contents(place, "a", "x");
    assert_false(g_file_test(victim, G_FILE_TEST_EXISTS));
    assert_non_null(found = g_file_read_link(link, NULL));
}

static void check_name_refused(const Place *place, const char *name)
{
    g_autofree char *message = g_strdup_printf("\"%s\" is not the name of a batch", name);
    g_autoptr(GError) of_read = NULL, of_remove = NULL, of_set_aside = NULL;
    gsize length;
    assert_null(spool_read(place->spool, "a", name, &length, &of_read));
    assert_string_equal(of_read->message, message);
    assert_int_equal(of_read->code, SPOOL_ERROR_UNSAFE);
    assert_false(spool_remove(place->spool, "a", name, &of_remove));
    assert_string_equal(of_remove->message, message);
    assert_false(spool_set_aside(place->spool, "a", name, &of_set_aside));
    assert_string_equal(of_set_aside->message, message);
}

static void test_names_that_lead_elsewhere(void **state)
{
    const Place *place = *state;
    static const char *const names[] = {"state", "../b/" SOME_BATCH, "/etc/passwd", "..", "", "x/" SOME_BATCH};
    make_dir(place, "a");
    make_dir(place, "b");
    put(place, "a/state", 1);
    put(place, "b/" SOME_BATCH, 1);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        check_name_refused(place, names[i]);
    assert_true(exists(place, "a/state"));
    assert_true(exists(place, "b/" SOME_BATCH));
}

static void test_batches_that_are_not_read(void **state)
{
    const Place *place = *state;
    static const struct {
        const char *name, *reason;
        SpoolErrorCode code;
    } files[] = {
        {"a/1700000000000000001-h-1-0000.lp.gz", "is a symbolic link", SPOOL_ERROR_UNSAFE},
        {"a/1700000000000000002-h-1-0000.lp.gz", "is not a regular file", SPOOL_ERROR_UNSAFE},
        {"a/1700000000000000003-h-1-0000.lp.gz", "others may write to it (mode 0622)", SPOOL_ERROR_UNSAFE},
        {"a/1700000000000000004-h-1-0000.lp.gz", "larger than 5242880 bytes", SPOOL_ERROR_TOO_LARGE},
    };
    g_autofree char *link = path_of(place, files[0].name), *fifo = path_of(place, files[1].name);
    g_autofree char *open_to_all = path_of(place, files[2].name);
    make_dir(place, "a");
    put(place, "victim", 4);
    assert_int_equal(symlink("../victim", link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    put(place, files[2].name, 1);
    assert_int_equal(chmod(open_to_all, 0622), 0);
    put(place, files[3].name, SPOOL_BATCH_MAX + 1);
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(GError) error = NULL;
        gsize length;
        assert_null(spool_read(place->spool, "a", files[i].name + strlen("a/"), &length, &error));
        assert_failed(place, error, files[i].code, files[i].name, files[i].reason);
    }
}

static void test_lock_that_is_a_link(void **state)
{
    const Place *place = *state;
    g_autofree char *link = path_of(place, "lock"), *victim = g_build_filename(place->dir, "victim", NULL);
    g_autoptr(GError) error = NULL;
    assert_int_equal(symlink(victim, link), 0);
    assert_int_equal(spool_lock(place->spool, &error), -1);
    assert_failed(place, error, SPOOL_ERROR_UNSAFE, "lock", "is a symbolic link");
    assert_false(g_file_test(victim, G_FILE_TEST_EXISTS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_open_refuses),
        IN_PLACE(test_directories_refused),
        IN_PLACE(test_add_beside_a_link),
        IN_PLACE(test_names_that_lead_elsewhere),
        IN_PLACE(test_batches_that_are_not_read),
        IN_PLACE(test_lock_that_is_a_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
