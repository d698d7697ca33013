/* SPDX-License-Identifier: Apache-2.0 */
#include "base/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_child(int output, int complaint, int (*work)(void *data), void *data) G_GNUC_NORETURN;
static void run_child(int output, int complaint, int (*work)(void *data), void *data)
{
    if (dup2(output, STDOUT_FILENO) < 0 || dup2(complaint, STDERR_FILENO) < 0)
        _exit(127);
    _exit(work(data));
}

/* The child alone holds the other end of the pipe, so its end is seen as end of file. false: time is up. */
static bool wait_end(int pipe_end, gint64 limit_ms)
{
    gint64 end = g_get_monotonic_time() + limit_ms * 1000;
    for (;;) {
        gint64 left = (end - g_get_monotonic_time()) / 1000;
        struct pollfd one = {.fd = pipe_end, .events = POLLIN};
        int n = left > 0 ? poll(&one, 1, (int)MIN(left, G_MAXINT)) : 0;
        if (n > 0 || (n < 0 && errno != EINTR))
            return true;
        if (n == 0)
            return false;
    }
}

/* A child stuck in the kernel does not even die of SIGKILL: it gets a moment, and is left to init after that. */
static bool reap(pid_t child, int *ret_status)
{
    for (int i = 0; i < 50; i++) {
        pid_t found = waitpid(child, ret_status, WNOHANG);
        if (found == child || (found < 0 && errno != EINTR))
            return found == child;
        g_usleep(10 * 1000);
    }
    return false;
}

static char *content(int fd, gsize *ret_length)
{
    off_t size = lseek(fd, 0, SEEK_END);
    gsize length = 0, limit = size > 0 ? MIN((gsize)size, GUARD_OUTPUT_MAX) : 0;
    char *text = g_malloc(limit + 1);
    while (length < limit) {
        ssize_t n = pread(fd, text + length, limit - length, (off_t)length);
        if (n <= 0)
            break;
        length += (gsize)n;
    }
    text[length] = '\0';
    if (ret_length)
        *ret_length = length;
    return text;
}

static void supervise(pid_t child, int pipe_end, gint64 limit_ms, GuardResult *result)
{
    int status = 0;
    bool in_time = wait_end(pipe_end, limit_ms);
    if (!in_time)
        kill(child, SIGKILL);
    bool reaped = reap(child, &status);
    if (in_time && reaped && WIFSIGNALED(status))
        result->signal = WTERMSIG(status);
    result->finished = in_time && reaped && WIFEXITED(status);
    if (result->finished)
        result->status = WEXITSTATUS(status);
}

bool guard_run(int (*work)(void *data), void *data, gint64 limit_ms, GuardResult *ret_result)
{
    int alive[2] = {-1, -1};
    int output = memfd_create("output", MFD_CLOEXEC), complaint = memfd_create("complaint", MFD_CLOEXEC);
    pid_t child = output >= 0 && complaint >= 0 && pipe2(alive, O_CLOEXEC) == 0 ? fork() : -1;
    int problem = errno;
    if (child == 0) {
        close(alive[0]);
        run_child(output, complaint, work, data);
    }
    if (alive[1] >= 0)
        close(alive[1]);
    if (child > 0) {
        GuardResult result = {.finished = false};
        supervise(child, alive[0], limit_ms, &result);
        result.output = content(output, &result.length);
        result.complaint = content(complaint, NULL);
        *ret_result = result;
    }
    const int fds[] = {alive[0], output, complaint};
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    errno = problem;
    return child > 0;
}

void guard_result_clear(GuardResult *result)
{
    g_clear_pointer(&result->output, g_free);
    g_clear_pointer(&result->complaint, g_free);
}
