/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/start.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT_FD 3 /* in the child: the pipe on which it says that it could not become the program */
#define DESCRIPTORS "/proc/self/fd"

/* --- in the child, where only async-signal-safe calls are allowed: other threads may have held any lock --- */

/* What getdents64 gives. */
typedef struct {
    guint64 inode;
    gint64 offset;
    guint16 length;
    guint8 type;
    char name[];
} Entry;

static int number_of(const char *name)
{
    int number = 0;
    if (*name < '0' || *name > '9')
        return -1;
    for (; *name >= '0' && *name <= '9'; name++)
        number = number * 10 + (*name - '0');
    return number;
}

/* Closes what one look at the list shows from `first` on. Returns how many that were. */
static guint close_listed(int list, int first)
{
    _Alignas(Entry) char buffer[2048];
    guint closed = 0;
    for (long got; (got = syscall(SYS_getdents64, list, buffer, sizeof buffer)) > 0;) {
        for (const char *at = buffer; at < buffer + got; at += ((const Entry *)(const void *)at)->length) {
            int fd = number_of(((const Entry *)(const void *)at)->name);
            if (fd >= first && fd != list && close(fd) == 0)
                closed++;
        }
    }
    return closed;
}

/* Kernels before 5.9 have no close_range. Up to the limit on descriptors it would be a thousand million calls on some
 * systems, so the kernel's own list is read, again as long as there was something on it. */
static void close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0)
        return;
#endif
    int list = open(DESCRIPTORS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (list >= 0 && close_listed(list, first) > 0)
        lseek(list, 0, SEEK_SET);
    close(list);
}

static void reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL); /* fails for SIGKILL and SIGSTOP */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* `report` is above the standard descriptors. Returns errno; not at all when all goes well. */
static int become(const char *program, char *const *words, int *report)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
        return errno;
    if (*report != REPORT_FD && dup3(*report, REPORT_FD, O_CLOEXEC) < 0)
        return errno;
    *report = REPORT_FD;
    close_from(REPORT_FD + 1);
    if (setsid() < 0 || chdir("/") < 0)
        return errno;
    reset_signals();
    execv(program, words);
    return errno;
}

G_GNUC_NORETURN static void run_child(const char *program, char *const *words, int report)
{
    int number = become(program, words, &report);
    gssize ignored = write(report, &number, sizeof number);
    (void)ignored;
    _exit(127);
}

/* --- in the parent --- */

static bool fail(GError **error, const char *program, int number)
{
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(number), "cannot start %s: %s", program,
                g_strerror(number));
    return false;
}

/* A pipe whose ends are above the standard descriptors, even where the caller has closed these. */
static bool make_pipe(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) < 0)
        return false;
    for (guint i = 0; i < 2; i++) {
        if (fds[i] > STDERR_FILENO)
            continue;
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(fds[i]);
        fds[i] = fd;
    }
    return fds[0] >= 0 && fds[1] >= 0;
}

/* What the child reported; 0: it has become the program, which closed its end of the pipe. */
static int read_report(int fd)
{
    int number = 0;
    gssize got;
    do
        got = read(fd, &number, sizeof number);
    while (got < 0 && errno == EINTR);
    return got == (gssize)sizeof number ? number : 0;
}

bool start_detached(const char *program, const char *const *arguments, GError **error)
{
    guint n = g_strv_length((char **)(guintptr)arguments);
    g_autofree char **words = g_new0(char *, n + 2); /* made here: the child may not allocate */
    words[0] = (char *)(guintptr)program;
    memcpy(words + 1, arguments, n * sizeof *words);

    int fds[2] = {-1, -1};
    bool piped = make_pipe(fds);
    int number = errno;
    FILE_AUTO_CLOSE int reading = fds[0];
    FILE_AUTO_CLOSE int writing = fds[1];
    if (!piped)
        return fail(error, program, number);
    pid_t pid = fork();
    if (pid == 0)
        run_child(program, words, writing);
    if (pid < 0)
        return fail(error, program, errno);
    close(writing);
    writing = -1; /* NOLINT(clang-analyzer-deadcode.DeadStores): seen by the cleanup */
    number = read_report(reading);
    if (number == 0)
        return true;
    waitpid(pid, NULL, 0);
    return fail(error, program, number);
}
