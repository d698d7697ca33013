/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define STRANGER 54321 /* a user other than whoever runs this */
#define EXIT_SKIP 77

/* A directory for one test, and a descriptor of "private" in it. */
typedef struct {
    char *dir;
    int fd;
    guint descriptors; /* open before the test */
} Place;

static guint count_entries(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    guint n = 0;
    while (dir && g_dir_read_name(dir))
        n++;
    return n;
}

static int setup(void **state)
{
    Place *place = g_new0(Place, 1);
    place->descriptors = count_entries("/proc/self/fd");
    place->dir = g_dir_make_tmp("one-telemetry-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(place->dir, "private", NULL);
    place->fd = file_open_private_dir(path, NULL);
    *state = place;
    return place->fd < 0;
}

static int teardown(void **state)
{
    Place *place = *state;
    const char *command[] = {"rm", "-rf", place->dir, NULL};
    g_spawn_sync(NULL, (char **)(guintptr)command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    close(place->fd);
    bool leaks = count_entries("/proc/self/fd") != place->descriptors;
    if (leaks)
        print_error("a descriptor was left open\n");
    g_free(place->dir);
    g_free(place);
    return leaks;
}

static char *path_of(const Place *place, const char *name)
{
    return g_build_filename(place->dir, name, NULL);
}

static void put(const Place *place, const char *name, const char *content)
{
    g_autofree char *path = path_of(place, name);
    assert_true(g_file_set_contents(path, content, -1, NULL));
    assert_int_equal(g_chmod(path, 0600), 0);
}

/* The message begins with the path, so that an operator finds it. */
static void assert_failed(const Place *place, const GError *error, FileErrorCode code, const char *name,
                          const char *reason)
{
    g_autofree char *message = g_strdup_printf("%s/%s: %s", place->dir, name, reason);
    assert_non_null(error);
    assert_string_equal(error->message, message);
    assert_true(error->domain == FILE_ERROR);
    assert_int_equal(error->code, code);
}

static void assert_content(int dir_fd, const char *name, const char *content)
{
    g_autofree char *found = NULL;
    g_autoptr(GError) error = NULL;
    gsize length;
    if (!file_read_private(dir_fd, name, 1 << 20, &found, &length, &error))
        fail_msg("%s", error->message);
    assert_int_equal(length, strlen(content));
    assert_string_equal(found, content);
}

/* --- directories --- */

static void test_private_dir_is_made(void **state)
{
    const Place *place = *state;
    g_autofree char *path = path_of(place, "new///");
    struct stat status;
    int fd = file_open_private_dir(path, NULL);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_mode, S_IFDIR | 0700);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);

    fd = file_open_private_dir(path, NULL);
    assert_true(fd >= 0);
    close(fd);
}

typedef struct {
    const char *name; /* in the place */
    FileErrorCode code;
    const char *reason;
} Refused;

static void check_refused_dirs(const Place *place, const Refused *refused, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        g_autofree char *path = path_of(place, refused[i].name), *plain = g_strdup(refused[i].name);
        g_autoptr(GError) error = NULL;
        assert_int_equal(file_open_private_dir(path, &error), -1);
        if (g_str_has_suffix(plain, "/"))
            plain[strlen(plain) - 1] = '\0';
        assert_failed(place, error, refused[i].code, plain, refused[i].reason);
    }
}

static void test_refused_dirs(void **state)
{
    const Place *place = *state;
    static const Refused refused[] = {
        {"link", FILE_ERROR_UNSAFE, "is a symbolic link"},
        {"link/", FILE_ERROR_UNSAFE, "is a symbolic link"},
        {"dangling", FILE_ERROR_UNSAFE, "is a symbolic link"},
        {"file", FILE_ERROR_UNSAFE, "Not a directory"},
        {"fifo", FILE_ERROR_UNSAFE, "Not a directory"},
        {"group", FILE_ERROR_UNSAFE, "others may write to it (mode 0770)"},
        {"sticky", FILE_ERROR_UNSAFE, "others may write to it (mode 1777)"},
        {"nowhere/new", FILE_ERROR_MISSING, "No such file or directory"},
    };
    g_autofree char *link = path_of(place, "link"), *dangling = path_of(place, "dangling"),
                    *fifo = path_of(place, "fifo");
    g_autofree char *group = path_of(place, "group"), *sticky = path_of(place, "sticky"),
                    *lost = path_of(place, "lost");
    assert_int_equal(symlink("private", link), 0);
    assert_int_equal(symlink("lost", dangling), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    put(place, "file", "");
    assert_int_equal(g_mkdir(group, 0700), 0);
    assert_int_equal(g_chmod(group, 0770), 0);
    assert_int_equal(g_mkdir(sticky, 0700), 0);
    assert_int_equal(g_chmod(sticky, 01777), 0);
    check_refused_dirs(place, refused, G_N_ELEMENTS(refused));
    assert_false(g_file_test(lost, G_FILE_TEST_EXISTS)); /* a dangling link makes nothing elsewhere */
}

static void test_dir_that_others_read_is_taken(void **state)
{
    const Place *place = *state;
    g_autofree char *path = path_of(place, "private");
    assert_int_equal(g_chmod(path, 0755), 0);
    int fd = file_open_private_dir(path, NULL);
    assert_true(fd >= 0);
    close(fd);
}

static void test_strangers_are_refused(void **state)
{
    const Place *place = *state;
    if (geteuid() != 0)
        skip();
    g_autoptr(GError) error = NULL;
    g_autofree char *dir = path_of(place, "private"), *file = path_of(place, "private/f"), *content = NULL;
    gsize length;
    put(place, "private/f", "x");
    assert_int_equal(chown(file, STRANGER, 0), 0);
    assert_false(file_read_private(place->fd, "f", 10, &content, &length, &error));
    assert_failed(place, error, FILE_ERROR_UNSAFE, "private/f", "belongs to user 54321, not to user 0");
    g_clear_error(&error);
    assert_int_equal(chown(dir, STRANGER, 0), 0);
    assert_int_equal(file_open_private_dir(dir, &error), -1);
    assert_failed(place, error, FILE_ERROR_UNSAFE, "private", "belongs to user 54321, not to user 0");
}

/* --- reading --- */

static void test_read_private(void **state)
{
    const Place *place = *state;
    static const gsize sizes[] = {0, 1, 4094, 4095, 4096, 4097, 8191, 100000};
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *content = g_strnfill(sizes[i], 'x');
        put(place, "private/f", content);
        assert_content(place->fd, "f", content);
    }
}

static void test_limit(void **state)
{
    const Place *place = *state;
    g_autoptr(GError) error = NULL;
    char *content = NULL;
    gsize length = 99;
    put(place, "private/f", "12345");
    assert_false(file_read_private(place->fd, "f", 4, &content, &length, &error));
    assert_failed(place, error, FILE_ERROR_TOO_LARGE, "private/f", "larger than 4 bytes");
    assert_null(content);
    assert_int_equal(length, 99);
    assert_true(file_read_private(place->fd, "f", 5, &content, &length, NULL));
    assert_int_equal(length, 5);
    g_free(content);
}

/* Files in /proc say that they have no bytes. */
static void test_limit_of_a_file_without_size(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autofree char *content = NULL;
    gsize length;
    assert_false(file_read("/proc/self/smaps", 100, &content, &length, &error));
    assert_string_equal(error->message, "/proc/self/smaps: larger than 100 bytes");
    assert_int_equal(error->code, FILE_ERROR_TOO_LARGE);
    assert_true(file_read("/proc/self/smaps", 1 << 24, &content, &length, NULL));
    assert_in_range(length, 5000, 1 << 24);
    assert_int_equal(strlen(content), length);
}

static void make_socket(const Place *place, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", place->dir, name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static void test_refused_files(void **state)
{
    const Place *place = *state;
    static const Refused refused[] = {
        {"missing", FILE_ERROR_MISSING, "No such file or directory"},
        {"link", FILE_ERROR_UNSAFE, "is a symbolic link"},
        {"dangling", FILE_ERROR_UNSAFE, "is a symbolic link"},
        {"fifo", FILE_ERROR_UNSAFE, "is not a regular file"},
        {"socket", FILE_ERROR_UNSAFE, "is not a regular file"},
        {"dir", FILE_ERROR_UNSAFE, "is not a regular file"},
        {"group", FILE_ERROR_UNSAFE, "others may write to it (mode 0620)"},
        {"other", FILE_ERROR_UNSAFE, "others may write to it (mode 0602)"},
    };
    put(place, "private/f", "x");
    put(place, "private/group", "x");
    put(place, "private/other", "x");
    assert_int_equal(symlinkat("f", place->fd, "link"), 0);
    assert_int_equal(symlinkat("nowhere", place->fd, "dangling"), 0);
    assert_int_equal(mkfifoat(place->fd, "fifo", 0600), 0);
    assert_int_equal(mkdirat(place->fd, "dir", 0700), 0);
    assert_int_equal(fchmodat(place->fd, "group", 0620, 0), 0);
    assert_int_equal(fchmodat(place->fd, "other", 0602, 0), 0);
    make_socket(place, "private/socket");
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *name = g_build_filename("private", refused[i].name, NULL);
        char *content = NULL;
        gsize length;
        assert_false(file_read_private(place->fd, refused[i].name, 10, &content, &length, &error));
        assert_failed(place, error, refused[i].code, name, refused[i].reason);
        assert_null(content);
    }
}

static void test_read_ordinary(void **state)
{
    const Place *place = *state;
    g_autofree char *path = path_of(place, "link"), *dir = path_of(place, "private"), *fifo = path_of(place, "fifo");
    g_autofree char *content = NULL;
    g_autoptr(GError) error = NULL;
    gsize length;
    put(place, "file", "abc");
    assert_int_equal(symlink("file", path), 0);
    assert_true(file_read(path, 3, &content, &length, NULL));
    assert_string_equal(content, "abc");

    assert_false(file_read(dir, 3, &content, &length, &error));
    assert_failed(place, error, FILE_ERROR_UNSAFE, "private", "is not a regular file");
    g_clear_error(&error);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_false(file_read(fifo, 3, &content, &length, &error));
    assert_failed(place, error, FILE_ERROR_UNSAFE, "fifo", "is not a regular file");
}

/* --- writing --- */

static void test_write_private(void **state)
{
    const Place *place = *state;
    g_autofree char *path = path_of(place, "private"), *file = path_of(place, "private/f"),
                    *outside = path_of(place, "o");
    struct stat status;
    mode_t mask = umask(0277);
    assert_true(file_write_private(place->fd, "f", "one", 3, NULL));
    umask(mask);
    assert_content(place->fd, "f", "one");
    assert_int_equal(g_lstat(file, &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
    assert_true(file_write_private(place->fd, "f", "", 0, NULL));
    assert_content(place->fd, "f", "");

    /* A link in its place is replaced, not followed. */
    put(place, "o", "outside");
    assert_int_equal(g_unlink(file), 0);
    assert_int_equal(symlink(outside, file), 0);
    assert_true(file_write_private(place->fd, "f", "two", 3, NULL));
    assert_content(place->fd, "f", "two");
    g_autofree char *content = NULL;
    assert_true(g_file_get_contents(outside, &content, NULL, NULL));
    assert_string_equal(content, "outside");
    assert_int_equal(count_entries(path), 1);
}

static void test_failed_rename_leaves_nothing(void **state)
{
    const Place *place = *state;
    g_autofree char *path = path_of(place, "private");
    g_autoptr(GError) error = NULL;
    assert_int_equal(mkdirat(place->fd, "f", 0700), 0);
    assert_false(file_write_private(place->fd, "f", "x", 1, &error));
    assert_failed(place, error, FILE_ERROR_UNSAFE, "private/f", "is not a regular file");
    assert_int_equal(count_entries(path), 1);
}

static void make_leftover(const Place *place, const char *name, gint64 age_s)
{
    struct timespec times[2] = {{.tv_sec = g_get_real_time() / G_USEC_PER_SEC - age_s}};
    times[1] = times[0];
    int fd = openat(place->fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static void test_leftovers(void **state)
{
    const Place *place = *state;
    static const struct {
        const char *name;
        gint64 age_s;
        bool stays;
    } files[] = {
        {"f.tmp-1", 120, false},    {"f.tmp-999999", 86400, false},
        {"f.tmp-5", -86400, false}, /* the clock was set back since */
        {"f.tmp-2", 5, true},       /* somebody may be writing it */
        {"f.tmp-", 120, true},      {"f.tmp-1x", 120, true},
        {"f.tmp", 120, true},       {"g.tmp-1", 120, true},
        {"ff.tmp-1", 120, true},    {"f", 120, true},
    };
    g_autofree char *own = g_strdup_printf("f.tmp-%d", (int)getpid());
    make_leftover(place, own, 0); /* of a process that had our number: it is in the way, however young */
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++)
        make_leftover(place, files[i].name, files[i].age_s);
    assert_true(file_write_private(place->fd, "f", "new", 3, NULL));
    assert_content(place->fd, "f", "new");
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++)
        if ((faccessat(place->fd, files[i].name, F_OK, 0) == 0) != files[i].stays)
            fail_msg("%s is %s", files[i].name, files[i].stays ? "gone" : "still there");
    assert_int_not_equal(faccessat(place->fd, own, F_OK, 0), 0);
}

/* Runs `work` in a process of its own and passes its verdict on. It may not use cmocka's assertions, which would jump
 * into the parent's code. */
static void in_child(const Place *place, int (*work)(const Place *place))
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

/* 0, or the number of what went wrong. */
static int check_failed_write(const char *dir, const char *reason)
{
    g_autofree char *large = g_strnfill(1 << 20, 'y'), *content = NULL,
                    *message = g_strdup_printf("%s/f: %s", dir, reason);
    g_autoptr(GError) error = NULL;
    gsize length;
    int fd = file_open_private_dir(dir, NULL);
    if (fd < 0 || !file_write_private(fd, "f", "old", 3, NULL))
        return 1;
    if (file_write_private(fd, "f", large, 1 << 20, &error))
        return 2;
    if (!g_error_matches(error, FILE_ERROR, FILE_ERROR_IO) || strcmp(error->message, message) != 0) {
        g_printerr("%s\n", error->message);
        return 3;
    }
    if (!file_read_private(fd, "f", 100, &content, &length, NULL) || strcmp(content, "old") != 0)
        return 4;
    if (count_entries(dir) != 1)
        return 5;
    return file_write_private(fd, "f", "new", 3, NULL) ? 0 : 6;
}

static int write_to_full_disk(const Place *place)
{
    g_autofree char *dir = path_of(place, "private");
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", dir, "tmpfs", 0, "size=64k,mode=0700") < 0)
        return EXIT_SKIP;
    return check_failed_write(dir, "No space left on device");
}

static void test_full_disk(void **state)
{
    in_child(*state, write_to_full_disk);
}

static int write_above_limit(const Place *place)
{
    g_autofree char *dir = path_of(place, "private");
    struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        return EXIT_SKIP;
    return check_failed_write(dir, "File too large");
}

static void test_file_size_limit(void **state)
{
    in_child(*state, write_above_limit);
}

static void test_append(void **state)
{
    const Place *place = *state;
    g_autofree char *path = path_of(place, "log"), *link = path_of(place, "link"), *fifo = path_of(place, "fifo");
    g_autofree char *dir = path_of(place, "private"), *content = NULL;
    g_autoptr(GError) error = NULL;
    struct stat status;
    mode_t mask = umask(022);
    assert_true(file_append(path, "a", 1, NULL));
    umask(mask);
    assert_int_equal(symlink("log", link), 0);
    assert_true(file_append(link, "bc", 2, NULL));
    assert_int_equal(g_stat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0644);
    assert_true(g_file_get_contents(path, &content, NULL, NULL));
    assert_string_equal(content, "abc");

    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_false(file_append(fifo, "x", 1, &error));
    assert_failed(place, error, FILE_ERROR_UNSAFE, "fifo", "is not a regular file");
    g_clear_error(&error);
    assert_false(file_append(dir, "x", 1, &error));
    assert_failed(place, error, FILE_ERROR_UNSAFE, "private", "is not a regular file");
    g_clear_error(&error);
    assert_false(file_append("/dev/full", "x", 1, &error));
    assert_string_equal(error->message, "/dev/full: is not a regular file");
}

/* --- a descriptor --- */

static gpointer drain(gpointer data)
{
    int fd = GPOINTER_TO_INT(data);
    char buffer[1000];
    gssize got;
    guint64 sum = 0;
    g_usleep(50000); /* the pipe gets full first */
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        for (gssize i = 0; i < got; i++)
            sum += (guchar)buffer[i];
    return GSIZE_TO_POINTER(sum);
}

static void check_pipe(int flags)
{
    enum { LENGTH = 1 << 20 };
    g_autofree char *content = g_strnfill(LENGTH, 'x');
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, flags), 0);
    GThread *reader = g_thread_new("drain", drain, GINT_TO_POINTER(ends[0]));
    bool written = file_write_all(ends[1], content, LENGTH);
    close(ends[1]);
    gsize sum = GPOINTER_TO_SIZE(g_thread_join(reader));
    close(ends[0]);
    assert_true(written);
    assert_int_equal(sum, (gsize)LENGTH * 'x');
}

static void test_write_all(void **state)
{
    (void)state;
    check_pipe(0);
    check_pipe(O_NONBLOCK);
    assert_true(file_write_all(-1, "", 0));
    assert_false(file_write_all(-1, "x", 1));
    assert_int_equal(errno, EBADF);
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_false(file_write_all(fd, "x", 1));
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_private_dir_is_made),
        IN_PLACE(test_refused_dirs),
        IN_PLACE(test_dir_that_others_read_is_taken),
        IN_PLACE(test_strangers_are_refused),
        IN_PLACE(test_read_private),
        IN_PLACE(test_limit),
        cmocka_unit_test(test_limit_of_a_file_without_size),
        IN_PLACE(test_refused_files),
        IN_PLACE(test_read_ordinary),
        IN_PLACE(test_write_private),
        IN_PLACE(test_failed_rename_leaves_nothing),
        IN_PLACE(test_leftovers),
        IN_PLACE(test_full_disk),
        IN_PLACE(test_file_size_limit),
        IN_PLACE(test_append),
        cmocka_unit_test(test_write_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
