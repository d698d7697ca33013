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

G_DEFINE_QUARK(one_telemetry_guest_filter, guest_filter_error)

/* In the child: a group of its own, so that what it starts can be ended too. */
static void set_up(gpointer data)
{
    (void)data;
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
}

/* Reads to the end. false: it took too long, or is too much. */
static bool read_all(int fd, GString *out)
{
    const gint64 until = g_get_monotonic_time() + GUEST_FILTER_MS * 1000;
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

char *guest_filter_run(const char *filter, const char *answer, GError **error)
{
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
    bool complete = read_all(out, text);
    close(out);
    if (!complete)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (complete && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return g_string_free(g_steal_pointer(&text), FALSE);
    g_set_error(error, GUEST_FILTER_ERROR, complete ? GUEST_FILTER_ERROR_FAILED : GUEST_FILTER_ERROR_TIME,
                complete ? "what stands behind the | has failed"
                         : "what stands behind the | takes too long, or says too much");
    return NULL;
}
