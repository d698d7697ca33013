/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/guest_filter.h"

#include "base/file.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOT_FOUND 127 /* a shell's exit status */
#define PAUSE_MIN_US 500
#define PAUSE_MAX_US 50000
#define KILLED_MS 1000 /* for one that was killed to be gone; the system has the last word on that */

G_DEFINE_QUARK(one_telemetry_guest_filter, guest_filter_error)

/* In the child: a group of its own, so that what it starts can be ended too. */
static void set_up(gpointer data)
{
    (void)data;
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
}

/* Reads to the end. false: it took too long, or is too much. */
static bool read_all(int fd, gint64 until, GString *out)
{
    for (;;) {
        char buffer[4096];
        gint64 left_ms = (until - g_get_monotonic_time()) / 1000;
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        if (left_ms <= 0 || poll(&entry, 1, (int)left_ms) == 0)
            return false;
        gssize got = read(fd, buffer, sizeof buffer);
        if (got == 0)
            return true;
        if (got < 0 && errno != EINTR)
            return false;
        g_string_append_len(out, buffer, MAX(got, 0));
        if (out->len > GUEST_FILTER_MAX)
            return false;
    }
}

/* Its output may have ended long before it does. false: it has not. */
static bool await_end(GPid pid, gint64 until, int *ret_status)
{
    for (gulong pause_us = PAUSE_MIN_US;; pause_us = MIN(2 * pause_us, PAUSE_MAX_US)) {
        pid_t ended = waitpid(pid, ret_status, WNOHANG);
        if (ended != 0 && !(ended < 0 && errno == EINTR))
            return ended == pid;
        if (g_get_monotonic_time() >= until)
            return false;
        g_usleep(pause_us);
    }
}

/* Both pipes hold as much as there may be, so that writing all first can't block. */
static bool start(const char *filter, GPid *ret_pid, int *ret_in, int *ret_out, GError **error)
{
    const char *words[] = {"/bin/sh", "-c", filter, NULL};
    g_autoptr(GError) reason = NULL;
    if (g_spawn_async_with_pipes("/", (char **)(guintptr)words, NULL,
                                 G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL, set_up, NULL, ret_pid, ret_in,
                                 ret_out, NULL, &reason))
        return true;
    g_set_error_literal(error, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_START, reason->message);
    return false;
}

char *guest_filter_run(const char *filter, const char *answer, gint64 limit_ms, GError **error)
{
    const gint64 until = g_get_monotonic_time() + limit_ms * 1000;
    GPid pid;
    int in, out, status = 0;
    g_autoptr(GString) text = g_string_new(NULL);
    if (strlen(answer) > GUEST_FILTER_MAX) {
        g_set_error(error, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_FAILED, "the answer is too long");
        return NULL;
    }
    if (!start(filter, &pid, &in, &out, error))
        return NULL;
    file_write_all(in, answer, strlen(answer)); /* it need not read all of it */
    close(in);
    bool complete = read_all(out, until, text);
    close(out);
    complete = complete && await_end(pid, until, &status);
    if (!complete) {
        kill(-pid, SIGKILL);
        await_end(pid, g_get_monotonic_time() + KILLED_MS * 1000, &status);
    }
    if (complete && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return g_string_free(g_steal_pointer(&text), FALSE);
    if (!complete)
        g_set_error(error, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_TIME,
                    "what stands behind the | takes too long, or says too much");
    else if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND)
        g_set_error(error, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_FAILED,
                    "a program that stands behind the | is not there");
    else
        g_set_error(error, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_FAILED, "what stands behind the | has failed");
    return NULL;
}
