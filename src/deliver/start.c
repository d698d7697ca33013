/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/start.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#define DESCRIPTORS "/proc/self/fd"

/* --- in the child, where only async-signal-safe calls are allowed, and nothing of ours may be changed --- */

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

/* Returns errno; 0: done. */
static int detach(void)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
        return errno;
    close_from(STDERR_FILENO + 1);
    if (setsid() < 0 || chdir("/") < 0)
        return errno;
    reset_signals();
    return 0;
}

/* Returns errno; not at all when all goes well. */
static int become(const char *program, char *const *words)
{
    int number = detach();
    if (number != 0)
        return number;
    execv(program, words);
    return errno;
}

/* --- in the parent --- */

/* In a process of its own that shares our memory until it has become the program: to copy the page tables of one that
 * has loaded libvirt, and pages as they are written, costs eight times as much. No handler may run in it, so signals
 * wait. Returns the process; *ret_number is errno where it could not become the program. */
static pid_t start(const char *program, char *const *words, volatile int *ret_number)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): that is why it is used with care */
    if (pid == 0) {
        *ret_number = become(program, words); /* NOLINT(clang-analyzer-unix.Vfork): system calls alone */
        _exit(127);
    }
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        *ret_number = number;
    return pid;
}

bool start_detached(const char *program, const char *const *arguments, GError **error)
{
    guint n = g_strv_length((char **)(guintptr)arguments);
    g_autofree char **words = g_new0(char *, n + 2); /* made here: the child may not allocate */
    words[0] = (char *)(guintptr)program;
    memcpy(words + 1, arguments, n * sizeof *words);

    volatile int number = 0;
    pid_t pid = start(program, words, &number);
    if (number == 0)
        return true;
    if (pid > 0)
        waitpid(pid, NULL, 0);
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(number), "cannot start %s: %s", program,
                g_strerror(number));
    return false;
}

pid_t start_fork(GError **error)
{
    pid_t pid = fork();
    if (pid < 0)
        g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "cannot start a process: %s",
                    g_strerror(errno));
    if (pid != 0)
        return pid;
    closelog(); /* else it goes on with a descriptor that is another file's then */
    if (detach() != 0)
        _exit(1);
    return 0;
}
