/* SPDX-License-Identifier: Apache-2.0
 * What can go wrong at each system call: it fails, the process is killed, the power goes. The calls go through this
 * program's own functions, which the library finds before libc's. */
#include "test_spool.h"

#include <signal.h>
#include <sys/syscall.h>

typedef enum { FAULT_NONE, FAULT_FAIL, FAULT_KILL, FAULT_PAUSE } FaultKind;

static struct {
    FaultKind kind;
    guint at;   /* the call, from 1 */
    int number; /* errno */
    guint calls, syncs;
    const char *failed;                 /* the call that it hit */
    void (*meanwhile)(const char *tmp); /* what is done in a pause, before the call */
    const char *tmp;
} fault;

static void set_fault(FaultKind kind, guint at, int number)
{
    fault.kind = kind;
    fault.at = at;
    fault.number = number;
    fault.calls = fault.syncs = 0;
    fault.failed = NULL;
}

/* Which files have data, and which directories names, that a power loss would take away. */
static struct {
    bool watching;
    GHashTable *unsynced; /* inode numbers */
    const char *broken;   /* the rule */
} power;

static ino_t inode_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static void mark(int fd, bool unsynced)
{
    if (fd == AT_FDCWD)
        return;
    if (power.watching && unsynced)
        g_hash_table_add(power.unsynced, GSIZE_TO_POINTER(inode_of(fd)));
    else if (power.watching)
        g_hash_table_remove(power.unsynced, GSIZE_TO_POINTER(inode_of(fd)));
}

static bool is_unsynced(ino_t inode)
{
    return power.watching && g_hash_table_contains(power.unsynced, GSIZE_TO_POINTER(inode));
}

/* true: the call is to fail; errno is set. */
static bool is_hit(const char *call)
{
    if (fault.kind == FAULT_NONE || ++fault.calls != fault.at)
        return false;
    if (fault.kind == FAULT_KILL)
        raise(SIGKILL);
    if (fault.kind == FAULT_PAUSE) {
        fault.kind = FAULT_NONE;
        fault.meanwhile(fault.tmp);
        return false;
    }
    fault.failed = call;
    errno = fault.number;
    return true;
}

ssize_t write(int fd, const void *data, size_t length)
{
    if (fd > STDERR_FILENO && is_hit("write"))
        return -1;
    if (fd > STDERR_FILENO)
        mark(fd, true);
    return syscall(SYS_write, fd, data, length);
}

int fsync(int fd)
{
    if (is_hit("fsync"))
        return -1;
    mark(fd, false);
    fault.syncs++;
    return (int)syscall(SYS_fsync, fd);
}

/* Only a place to pause at. */
int fstat(int fd, struct stat *status)
{
    if (fault.kind == FAULT_PAUSE)
        is_hit("fstat");
    return fstatat(fd, "", status, AT_EMPTY_PATH);
}

int mkdirat(int fd, const char *name, mode_t mode)
{
    if (is_hit("mkdirat"))
        return -1;
    mark(fd, true);
    if (fd == AT_FDCWD && power.watching) {
        struct stat status;
        g_autofree char *parent = g_path_get_dirname(name);
        if (stat(parent, &status) == 0)
            g_hash_table_add(power.unsynced, GSIZE_TO_POINTER(status.st_ino));
    }
    return (int)syscall(SYS_mkdirat, fd, name, mode);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    struct stat status;
    if (is_hit("linkat"))
        return -1;
    if (fstatat(from_fd, from, &status, AT_SYMLINK_NOFOLLOW) == 0 && is_unsynced(status.st_ino))
        power.broken = "a name before its data";
    mark(to_fd, true);
    return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

int unlinkat(int fd, const char *name, int flags)
{
    if (is_hit("unlinkat"))
        return -1;
    return (int)syscall(SYS_unlinkat, fd, name, flags);
}

static const char *const two_sinks[] = {"a", "b", NULL};
static const char *const one_sink[] = {"a", NULL};

/* --- power loss: what was reported as added is on the disk, name and data --- */

static void test_order_of_syncs(void **state)
{
    const Place *place = *state;
    struct stat before;
    assert_int_equal(stat(place->path, &before), 0);
    power.unsynced = g_hash_table_new(NULL, NULL);
    power.watching = true;
    for (guint i = 0; i < 3; i++) { /* first with new directories, then without */
        add(place, two_sinks, seconds_ago(0), "x");
        assert_null(power.broken);
        /* tmp/ has no name that matters, and so is not counted; nothing was left unsynced anywhere else. */
        assert_int_equal(g_hash_table_size(power.unsynced), 0);
    }
    assert_true(spool_keep_bad(place->spool, "a", "poison", "x", 1, NULL));
    assert_int_equal(g_hash_table_size(power.unsynced), 0);
    g_autofree char *path = g_build_filename(place->dir, "new", NULL);
    Spool *spool = spool_open(path, NULL);
    assert_int_equal(g_hash_table_size(power.unsynced), 0);
    power.watching = false;
    g_hash_table_destroy(power.unsynced);
    spool_close(spool);
}

/* What makes adding slow: one sync of the data and one of each directory, whatever waits there. */
static void test_count_of_syncs(void **state)
{
    const Place *place = *state;
    static const guint waiting[] = {0, 1, 30};
    const SpoolTarget targets[] = {{"a", {.max_bytes = 3}}, {"b", {.max_bytes = 3}}};
    add(place, two_sinks, 1, "x"); /* makes the directories */
    for (guint i = 0; i < G_N_ELEMENTS(waiting); i++) {
        for (guint n = 0; n < waiting[i]; n++)
            add(place, two_sinks, 2, "x");
        const SpoolNewBatch batch = {.host = "h", .time_ns = 3 + i, .data = "x", .length = 1, .trim_later = true};
        set_fault(FAULT_FAIL, 0, 0); /* none fails */
        assert_true(spool_add(place->spool, &batch, targets, 2, NULL, NULL));
        fault.kind = FAULT_NONE;
        assert_int_equal(fault.syncs, 3);
        assert_int_equal(fault.calls, 1 + 3 + 2 + 1); /* write, fsync, linkat, unlinkat */
    }
}

/* --- every call fails once --- */

static void check_failed_add(const Place *place, const GError *error, int number)
{
    assert_true(
        g_error_matches(error, SPOOL_ERROR, number == ENOSPC || number == EDQUOT ? SPOOL_ERROR_FULL : SPOOL_ERROR_IO));
    assert_true(g_str_has_prefix(error->message, place->path));
    assert_true(g_str_has_suffix(error->message, g_strerror(number)));
    assert_contents(place, "a", "before");
    assert_contents(place, "b", "before");
    assert_int_equal(count_in(place, "tmp"), 0);
}

/* The new batch and its limits: adding it drops the one before. */
static bool add_dropping(const Place *place, SpoolCount *dropped, GError **error)
{
    const SpoolNewBatch batch = {.host = "h", .time_ns = seconds_ago(0), .data = "after", .length = 5};
    const SpoolTarget targets[] = {{"a", {.max_bytes = 5}}, {"b", {.max_bytes = 5}}};
    return spool_add(place->spool, &batch, targets, 2, dropped, error);
}

/* The add is done, and only something after it failed: a name in tmp/ is left, or what is too much for now. */
static void check_late_failure(const Place *place, const SpoolCount *dropped)
{
    guint n = 0;
    assert_string_equal(fault.failed, "unlinkat");
    for (guint i = 0; two_sinks[i]; i++) {
        g_autofree char *found = contents(place, two_sinks[i]);
        n += g_str_equal(found, "before after");
        assert_true(g_str_equal(found, "before after") || g_str_equal(found, "after"));
        assert_int_equal(dropped[i].batches, g_str_equal(found, "after"));
    }
    assert_int_equal(n + count_in(place, "tmp"), 1);
}

static void remove_all(const Place *place)
{
    static const char *const dirs[] = {"a", "b", "tmp", "bad"};
    for (guint i = 0; i < G_N_ELEMENTS(dirs); i++) {
        g_autofree char *path = path_of(place, dirs[i]);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        for (const char *name; dir && (name = g_dir_read_name(dir));) {
            g_autofree char *file = g_build_filename(path, name, NULL);
            assert_int_equal(unlink(file), 0);
        }
        rmdir(path);
    }
}

static void check_every_call(const Place *place, int number)
{
    for (guint at = 1;; at++) {
        g_autoptr(GError) error = NULL;
        SpoolCount dropped[2];
        add(place, two_sinks, seconds_ago(9), "before");
        set_fault(FAULT_FAIL, at, number);
        bool added = add_dropping(place, dropped, &error);
        fault.kind = FAULT_NONE;
        if (!fault.failed) {
            assert_true(added);
            assert_true(at > 8); /* write, 3 fsync, 2 linkat, 3 unlinkat: all were there */
            break;
        }
        if (added)
            check_late_failure(place, dropped);
        else
            check_failed_add(place, error, number);
        remove_all(place);
    }
}

static void test_every_call_fails(void **state)
{
    static const int numbers[] = {EIO, ENOSPC, EDQUOT, EROFS};
    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        check_every_call(*state, numbers[i]);
        remove_all(*state);
    }
}

/* Where the directories are missing as well: nothing but empty ones may be left. */
static void test_first_add_fails(void **state)
{
    const Place *place = *state;
    for (guint at = 1;; at++) {
        g_autoptr(GError) error = NULL;
        set_fault(FAULT_FAIL, at, ENOSPC);
        bool added = add_text(place->spool, two_sinks, seconds_ago(0), "x", &error);
        fault.kind = FAULT_NONE;
        if (!fault.failed) {
            assert_true(at > 12); /* three mkdirat and their fsync besides */
            break;
        }
        if (!added) {
            assert_true(g_error_matches(error, SPOOL_ERROR, SPOOL_ERROR_FULL));
            assert_int_equal(count_in(place, "a") + count_in(place, "b") + count_in(place, "tmp"), 0);
        }
        remove_all(place);
    }
    assert_contents(place, "a", "x");
}

static void test_keep_bad_fails(void **state)
{
    const Place *place = *state;
    for (guint at = 1;; at++) {
        g_autoptr(GError) error = NULL;
        set_fault(FAULT_FAIL, at, ENOSPC);
        bool kept = spool_keep_bad(place->spool, "a", "x", "x", 1, &error);
        fault.kind = FAULT_NONE;
        if (!fault.failed)
            break;
        if (!kept)
            assert_true(g_error_matches(error, SPOOL_ERROR, SPOOL_ERROR_FULL));
        assert_int_equal(count_in(place, "tmp"), kept); /* only the last unlinkat does not matter */
        remove_all(place);
    }
    assert_int_equal(count_in(place, "bad"), 1);
}

static void test_remove_and_trim_fail(void **state)
{
    const Place *place = *state;
    const SpoolTarget target = {.sink = "a", .limits = {.max_age_s = 1}};
    g_autoptr(GError) of_remove = NULL, of_trim = NULL;
    SpoolCount dropped = {77, 77};
    add(place, one_sink, 1, "x");
    g_autoptr(GPtrArray) batches = list(place, "a");
    g_autofree char *name = g_build_filename("a", nth(batches, 0)->name, NULL);
    set_fault(FAULT_FAIL, 1, EIO);
    assert_false(spool_remove(place->spool, "a", nth(batches, 0)->name, &of_remove));
    assert_failed(place, of_remove, SPOOL_ERROR_IO, name, g_strerror(EIO));
    set_fault(FAULT_FAIL, 1, EROFS);
    assert_false(spool_trim(place->spool, &target, &dropped, &of_trim));
    assert_failed(place, of_trim, SPOOL_ERROR_IO, name, g_strerror(EROFS));
    assert_int_equal(dropped.batches, 77);
    fault.kind = FAULT_NONE;
    assert_contents(place, "a", "x");
}

/* Another dropped the oldest between our looking and our doing: it has counted it, and no younger one goes for it. */
static void test_dropped_by_another(void **state)
{
    const Place *place = *state;
    const SpoolTarget target = {.sink = "a", .limits = {.max_bytes = 2}};
    SpoolCount dropped;
    for (guint i = 1; i <= 4; i++)
        add(place, one_sink, i, "x");
    set_fault(FAULT_FAIL, 1, ENOENT);
    assert_true(spool_trim(place->spool, &target, &dropped, NULL));
    fault.kind = FAULT_NONE;
    assert_int_equal(dropped.batches, 1);
    assert_int_equal(dropped.bytes, 1);
    assert_contents(place, "a", "x x x"); /* the one that only seemed to be gone, and two */
}

/* --- stopped at every call, for so long that its file in tmp/ looks like a leftover --- */

static void clean_meanwhile(const char *tmp)
{
    g_autofree char *path = g_path_get_dirname(tmp);
    g_autoptr(Spool) spool = spool_open(path, NULL);
    g_autoptr(GDir) dir = g_dir_open(tmp, 0, NULL);
    const struct timespec long_ago[2] = {{0}, {0}};
    for (const char *name; (name = g_dir_read_name(dir));) {
        g_autofree char *file = g_build_filename(tmp, name, NULL);
        assert_int_equal(utimensat(AT_FDCWD, file, long_ago, 0), 0);
    }
    assert_true(spool_clean(spool, two_sinks, 0, NULL));
}

static void test_stopped_at_every_call(void **state)
{
    const Place *place = *state;
    g_autofree char *tmp = path_of(place, "tmp");
    make_dir(place, "tmp");
    for (guint at = 1;; at++) {
        g_autoptr(GError) error = NULL;
        SpoolCount dropped[2];
        add(place, two_sinks, seconds_ago(9), "before");
        set_fault(FAULT_PAUSE, at, 0);
        fault.meanwhile = clean_meanwhile;
        fault.tmp = tmp;
        bool added = add_dropping(place, dropped, &error);
        if (!added)
            fail_msg("call %u: %s", at, error->message);
        assert_contents(place, "a", "after");
        assert_contents(place, "b", "after");
        if (fault.kind != FAULT_NONE)
            break;
        remove_all(place);
    }
    fault.kind = FAULT_NONE;
}

/* --- what another process does between two calls, at each of them --- */

static void make_directories(const char *tmp)
{
    g_autofree char *spool = g_path_get_dirname(tmp);
    static const char *const names[] = {"a", "b", "tmp"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(spool, names[i], NULL);
        (void)mkdir(path, 0700);
    }
}

static void test_directories_made_by_another(void **state)
{
    const Place *place = *state;
    g_autofree char *tmp = path_of(place, "tmp");
    for (guint at = 1;; at++) {
        set_fault(FAULT_PAUSE, at, 0);
        fault.meanwhile = make_directories;
        fault.tmp = tmp;
        add(place, two_sinks, 1, "x");
        assert_contents(place, "b", "x");
        if (fault.kind != FAULT_NONE)
            break;
        remove_all(place);
    }
    fault.kind = FAULT_NONE;
}

static void remove_queue(const char *tmp)
{
    g_autofree char *spool = g_path_get_dirname(tmp), *path = g_build_filename(spool, "a", NULL);
    assert_int_equal(rmdir(path), 0);
}

static void test_queue_removed_by_another(void **state)
{
    const Place *place = *state;
    g_autofree char *tmp = path_of(place, "tmp");
    for (guint at = 1;; at++) {
        make_dir(place, "a");
        set_fault(FAULT_PAUSE, at, 0);
        fault.meanwhile = remove_queue;
        fault.tmp = tmp;
        assert_contents(place, "a", "");
        if (fault.kind != FAULT_NONE)
            break;
    }
    fault.kind = FAULT_NONE;
}

/* --- killed at every call --- */

static void test_killed_at_every_call(void **state)
{
    const Place *place = *state;
    const char *const sinks[] = {"a", "b", NULL};
    for (guint at = 1;; at++) {
        add(place, two_sinks, seconds_ago(9), "before");
        pid_t pid = fork();
        if (pid == 0) {
            SpoolCount dropped[2];
            set_fault(FAULT_KILL, at, 0);
            _exit(!add_dropping(place, dropped, NULL));
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        for (guint i = 0; sinks[i]; i++) {
            g_autofree char *found = contents(place, sinks[i]);
            assert_true(g_str_equal(found, "before") || g_str_equal(found, "before after") ||
                        g_str_equal(found, "after"));
        }
        g_autofree char *tmp = path_of(place, "tmp");
        g_autoptr(GDir) dir = g_dir_open(tmp, 0, NULL);
        for (const char *name; (name = g_dir_read_name(dir));) {
            g_autofree char *leftover = g_build_filename("tmp", name, NULL);
            set_age(place, leftover, 2 * SPOOL_TMP_MAX_AGE_S);
        }
        assert_true(spool_clean(place->spool, sinks, 1, NULL));
        assert_int_equal(count_entries(tmp), 0);
        bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        remove_all(place);
        if (done)
            break;
        assert_true(WIFSIGNALED(status));
    }
}

/* --- disks --- */

static bool mount_over(const char *path, const char *options)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", path, "tmpfs", 0, options) == 0;
}

/* 0, or what was not as it should be. */
static int check_full(Spool *spool, const char *path, const char *large)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *tmp = g_build_filename(path, "tmp", NULL);
    for (guint i = 0; i < 5; i++) {
        g_clear_error(&error);
        if (add_text(spool, two_sinks, seconds_ago(0), large, &error))
            return 10;
        if (!g_error_matches(error, SPOOL_ERROR, SPOOL_ERROR_FULL) ||
            !g_str_has_suffix(error->message, "No space left on device")) {
            g_printerr("%s\n", error->message);
            return 11;
        }
        if (count_entries(tmp) != 0)
            return 12;
        for (guint s = 0; two_sinks[s]; s++) {
            g_autoptr(GPtrArray) batches = spool_list(spool, two_sinks[s], NULL);
            if (!batches || batches->len != 1 || nth(batches, 0)->bytes != 6)
                return 13;
        }
    }
    return 0;
}

static int on_full_disk(const Place *place)
{
    g_autofree char *path = g_build_filename(place->dir, "full", NULL), *large = g_strnfill(1 << 20, 'x');
    if (mkdir(path, 0700) < 0 || !mount_over(path, "size=128k,mode=0700"))
        return EXIT_SKIP;
    g_autoptr(Spool) spool = spool_open(path, NULL);
    if (!spool || !add_text(spool, two_sinks, 1, "before", NULL))
        return 1;
    int verdict = check_full(spool, path, large);
    /* What fits still does. */
    return verdict ? verdict : !add_text(spool, two_sinks, 2, "after", NULL);
}

static void test_full_disk(void **state)
{
    in_child(*state, on_full_disk);
}

/* tmpfs takes an inode for each link: the first batch takes itself and two more, of which one comes back. So `spare` is
 * what a second one may have besides its file in tmp/. */
static int without_inodes(const Place *place, guint spare)
{
    g_autofree char *path = g_build_filename(place->dir, "full", NULL);
    g_autofree char *options = g_strdup_printf("nr_inodes=%u,mode=0700", 7 + spare); /* itself, a, b, tmp */
    if (mkdir(path, 0700) < 0 || !mount_over(path, options))
        return EXIT_SKIP;
    g_autoptr(Spool) spool = spool_open(path, NULL);
    if (!spool || !add_text(spool, two_sinks, 1, "before", NULL))
        return 1;
    return check_full(spool, path, "x");
}

static int without_first_link(const Place *place)
{
    return without_inodes(place, 0);
}

static int without_second_link(const Place *place)
{
    return without_inodes(place, 1);
}

static void test_no_inode_for_a_link(void **state)
{
    const Place *place = *state;
    g_autofree char *path = g_build_filename(place->dir, "full", NULL);
    in_child(place, without_first_link);
    assert_int_equal(rmdir(path), 0);
    in_child(place, without_second_link);
}

static int on_read_only(const Place *place)
{
    g_autofree char *path = g_build_filename(place->dir, "read-only", NULL);
    const SpoolTarget target = {.sink = "a", .limits = {.max_bytes = 1}};
    if (mkdir(path, 0700) < 0 || !mount_over(path, "mode=0700"))
        return EXIT_SKIP;
    Spool *spool = spool_open(path, NULL);
    if (!spool || !add_text(spool, two_sinks, 1, "before", NULL))
        return 1;
    spool_close(spool);
    if (mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
        return EXIT_SKIP;

    spool = spool_open(path, NULL);
    g_autoptr(GError) of_add = NULL, of_trim = NULL, of_lock = NULL;
    g_autoptr(GPtrArray) batches = spool ? spool_list(spool, "a", NULL) : NULL;
    SpoolCount dropped;
    if (!batches || batches->len != 1)
        return 2;
    if (add_text(spool, two_sinks, 2, "x", &of_add) || !g_error_matches(of_add, SPOOL_ERROR, SPOOL_ERROR_IO) ||
        !strstr(of_add->message, "Read-only file system"))
        return 3;
    if (spool_trim(spool, &target, &dropped, &of_trim) || !strstr(of_trim->message, "Read-only file system"))
        return 4;
    if (spool_lock(spool, &of_lock) >= 0 || !strstr(of_lock->message, "Read-only file system"))
        return 5;
    if (!spool_is_idle(spool))
        return 6;
    spool_close(spool);
    return 0;
}

static void test_read_only(void **state)
{
    in_child(*state, on_read_only);
}

/* The spool's directory was put away while it is open, and another stands in its place: the open one is meant. */
static void test_directory_exchanged(void **state)
{
    const Place *place = *state;
    g_autofree char *away = g_build_filename(place->dir, "away", NULL), *in_a = g_build_filename(away, "a", NULL);
    add(place, one_sink, 1, "x");
    assert_int_equal(rename(place->path, away), 0);
    assert_int_equal(symlink("elsewhere", place->path), 0);
    add(place, one_sink, 2, "y");
    assert_int_equal(count_entries(in_a), 2);

    g_autoptr(GError) error = NULL;
    assert_null(spool_open(place->path, &error));
    assert_failed(place, error, SPOOL_ERROR_UNSAFE, NULL, "is a symbolic link");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_order_of_syncs),
        IN_PLACE(test_count_of_syncs),
        IN_PLACE(test_every_call_fails),
        IN_PLACE(test_first_add_fails),
        IN_PLACE(test_keep_bad_fails),
        IN_PLACE(test_remove_and_trim_fail),
        IN_PLACE(test_dropped_by_another),
        IN_PLACE(test_stopped_at_every_call),
        IN_PLACE(test_directories_made_by_another),
        IN_PLACE(test_queue_removed_by_another),
        IN_PLACE(test_killed_at_every_call),
        IN_PLACE(test_full_disk),
        IN_PLACE(test_no_inode_for_a_link),
        IN_PLACE(test_read_only),
        IN_PLACE(test_directory_exchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
