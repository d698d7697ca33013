/* SPDX-License-Identifier: Apache-2.0
 * What a detached program finds: this program itself, which writes into a file what it has been given. */
#include "deliver/start.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 3000 /* descriptors; more than one look at the list shows */
#define WAIT_US (20 * G_USEC_PER_SEC)

/* --- the program that is started --- */

static void report_descriptors(GString *text)
{
    for (int fd = 0; fd < 4096; fd++) {
        g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
        g_autofree char *target = fcntl(fd, F_GETFD) >= 0 ? g_file_read_link(link, NULL) : NULL;
        if (target)
            g_string_append_printf(text, "fd %d %s %d\n", fd, target, fcntl(fd, F_GETFL) & O_ACCMODE);
    }
}

static void report_signals(GString *text)
{
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            g_string_append_printf(text, "ignored %d\n", number);
        if (sigismember(&blocked, number) == 1)
            g_string_append_printf(text, "blocked %d\n", number);
    }
}

static int report(int argc, char **argv)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *here = g_get_current_dir(), *new = g_strconcat(argv[2], ".new", NULL);
    struct itimerval timer;
    report_descriptors(text);
    report_signals(text);
    getitimer(ITIMER_REAL, &timer);
    g_string_append_printf(text, "session %d\nin %s\ntimer %d\n", getsid(0) == getpid(), here,
                           timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0);
    g_string_append_printf(text, "parent %d\n", (int)getppid());
    for (int i = 3; i < argc; i++)
        g_string_append_printf(text, "word %s\n", argv[i]);
    g_string_append(text, "end\n");
    if (!g_file_set_contents(new, text->str, (gssize)text->len, NULL) || rename(new, argv[2]) != 0)
        _exit(1);
    _exit(0);
}

/* --- the tests --- */

typedef struct {
    char *dir, *file, *self;
} Place;

static int setup(void **state)
{
    Place *place = g_new0(Place, 1);
    place->dir = g_dir_make_tmp("one-telemetry-test-XXXXXX", NULL);
    place->file = g_build_filename(place->dir, "report", NULL);
    place->self = g_file_read_link("/proc/self/exe", NULL);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    Place *place = *state;
    unlink(place->file);
    int left = rmdir(place->dir);
    g_free(place->dir);
    g_free(place->file);
    g_free(place->self);
    g_free(place);
    return left;
}

/* NULL: it did not come. */
static char *read_report(const Place *place)
{
    char *text = NULL;
    for (gint64 until = g_get_monotonic_time() + WAIT_US; g_get_monotonic_time() < until; g_usleep(5000))
        if (g_file_get_contents(place->file, &text, NULL, NULL))
            return text;
    return NULL;
}

static char *start_and_read(const Place *place, const char *const *words)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    g_autoptr(GError) error = NULL;
    g_ptr_array_add(all, (char *)(guintptr) "report");
    g_ptr_array_add(all, place->file);
    for (; *words; words++)
        g_ptr_array_add(all, (char *)(guintptr)*words);
    g_ptr_array_add(all, NULL);
    if (!start_detached(place->self, (const char *const *)all->pdata, &error)) {
        print_error("%s\n", error->message);
        return NULL;
    }
    return read_report(place);
}

#define CLEAN "fd 0 /dev/null 2\nfd 1 /dev/null 2\nfd 2 /dev/null 2\nsession 1\nin /\ntimer 0\n"

/* The report, but for the parent's number. */
static bool is_clean(const char *text, const char *words)
{
    g_autofree char *ending = g_strconcat(words, "end\n", NULL);
    return text && g_str_has_prefix(text, CLEAN) && g_str_has_suffix(text, ending) &&
           strstr(text, "\nparent ") == text + strlen(CLEAN) - 1;
}

static void assert_clean(const char *text, const char *words)
{
    if (!is_clean(text, words))
        fail_msg("%s", text ? text : "nothing came");
}

static void ignore(int number)
{
    (void)number;
}

/* What the probe has open, handles, blocks and has armed stays behind. */
static void nothing_is_inherited(void **state)
{
    const Place *place = *state;
    static const char *const words[] = {"--config", "a b", "", NULL};
    int fds[2];
    assert_int_equal(pipe(fds), 0); /* without O_CLOEXEC */
    int high = fcntl(fds[1], F_DUPFD, 900);
    assert_true(high >= 900);
    sigset_t blocked, before;
    sigfillset(&blocked);
    sigprocmask(SIG_SETMASK, &blocked, &before);
    struct sigaction handled = {.sa_handler = ignore}, of_usr1;
    sigaction(SIGUSR1, &handled, &of_usr1);
    void (*of_pipe)(int) = signal(SIGPIPE, SIG_IGN), (*of_rt)(int) = signal(SIGRTMAX, SIG_IGN);
    const struct itimerval timer = {.it_value = {.tv_sec = 1000}}, off = {0};
    setitimer(ITIMER_REAL, &timer, NULL);

    g_autofree char *text = start_and_read(place, words);

    setitimer(ITIMER_REAL, &off, NULL);
    signal(SIGPIPE, of_pipe);
    signal(SIGRTMAX, of_rt);
    sigaction(SIGUSR1, &of_usr1, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(high);
    close(fds[0]);
    close(fds[1]);
    assert_clean(text, "word --config\nword a b\nword \n");
}

/* Runs `work` in a child that can't come back into cmocka. */
static void in_child(const Place *place, int (*work)(const Place *place))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(work(place));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static const char *const no_words[] = {NULL};

/* A caller without standard descriptors: the program's must be right all the same. */
static int start_with_all_closed(const Place *place)
{
    int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        close(fd);
    bool refused = !start_detached("/nonexistent/program", no_words, NULL);
    g_autofree char *text = start_and_read(place, no_words);
    bool clean = refused && is_clean(text, "");
    dup2(kept, STDERR_FILENO);
    if (!clean)
        print_error("%d %s\n", refused, text ? text : "nothing came");
    return !clean;
}

static void standard_descriptors_closed(void **state)
{
    in_child(*state, start_with_all_closed);
}

/* A kernel without close_range: that call, and no other, says ENOSYS. */
static bool forbid_close_range(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = G_N_ELEMENTS(rules), .filter = rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
           syscall(SYS_close_range, ~0U, ~0U, 0U) < 0 && errno == ENOSYS;
}

static int start_on_old_kernel(const Place *place)
{
    struct rlimit limit = {MANY + 200, MANY + 200};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || !forbid_close_range())
        return 2;
    for (int i = 0; i < MANY; i++)
        if (dup(STDERR_FILENO) < 0)
            return 3;
    g_autofree char *text = start_and_read(place, no_words);
    if (!is_clean(text, ""))
        print_error("%.2000s\n", text ? text : "nothing came");
    return !is_clean(text, "");
}

static void no_close_range(void **state)
{
    in_child(*state, start_on_old_kernel);
}

/* Whatever keeps the program from being started is told, and leaves neither process nor descriptor. */
static void program_cannot_be_started(void **state)
{
    const Place *place = *state;
    g_autofree char *empty = g_build_filename(place->dir, "empty", NULL);
    assert_true(g_file_set_contents(empty, "", 0, NULL));
    assert_int_equal(chmod(empty, 0600), 0);
    const struct {
        const char *program;
        int number;
    } cases[] = {{"/nonexistent/program", ENOENT}, {place->dir, EACCES}, {empty, EACCES}, {"/dev/null/x", ENOTDIR}};
    int before = dup(STDERR_FILENO);
    close(before);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(start_detached(cases[i].program, no_words, &error));
        g_autofree char *message =
            g_strdup_printf("cannot start %s: %s", cases[i].program, g_strerror(cases[i].number));
        assert_string_equal(error->message, message);
        assert_true(error->domain == G_FILE_ERROR);
    }
    assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
    int after = dup(STDERR_FILENO);
    close(after);
    assert_int_equal(after, before);
    unlink(empty);
}

static int start_without_descriptors(const Place *place)
{
    struct rlimit limit = {3, 3};
    g_autoptr(GError) error = NULL;
    setrlimit(RLIMIT_NOFILE, &limit);
    bool started = start_detached(place->self, no_words, &error);
    return started || !strstr(error->message, "Too many open files");
}

static void no_descriptors(void **state)
{
    in_child(*state, start_without_descriptors);
}

/* It goes on when whoever started it has ended. */
static int start_and_end(const Place *place)
{
    const char *const words[] = {"report", place->file, NULL};
    return !start_detached(place->self, words, NULL);
}

static void outlives_its_parent(void **state)
{
    const Place *place = *state;
    in_child(place, start_and_end);
    g_autofree char *text = read_report(place);
    assert_clean(text, "");
}

/* A copy of this process, with what it has in memory, and nothing else of it. */
static void fork_is_as_clean(void **state)
{
    const Place *place = *state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct sigaction handled = {.sa_handler = ignore}, of_usr1;
    sigaction(SIGUSR1, &handled, &of_usr1);
    g_autofree char *in_memory = g_strdup("of the caller");
    g_autoptr(GError) error = NULL;
    char *words[] = {(char *)(guintptr) "", (char *)(guintptr) "report", place->file, in_memory};
    pid_t pid = start_fork(&error);
    if (pid == 0)
        report(G_N_ELEMENTS(words), words);
    sigaction(SIGUSR1, &of_usr1, NULL);
    close(fds[0]);
    close(fds[1]);
    assert_true(pid > 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    g_autofree char *text = read_report(place);
    assert_clean(text, "word of the caller\n");
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "report") == 0)
        return report(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(program_cannot_be_started, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_inherited, setup, teardown),
        cmocka_unit_test_setup_teardown(standard_descriptors_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(no_close_range, setup, teardown),
        cmocka_unit_test_setup_teardown(no_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(outlives_its_parent, setup, teardown),
        cmocka_unit_test_setup_teardown(fork_is_as_clean, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
