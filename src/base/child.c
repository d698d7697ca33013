/* SPDX-License-Identifier: Apache-2.0 */
#include "base/child.h"

#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAST_LINE_MAX 200 /* bytes shown */
#define END_PAUSE_US 2000

G_DEFINE_QUARK(one_telemetry_child, child_error)

enum { OUTPUT, ERRORS, N_PIPES };

typedef struct {
    const ChildOptions *options;
    GPid pid;
    gint64 until;         /* monotonic us */
    int in, out[N_PIPES]; /* -1: closed */
    GString *text[N_PIPES];
} Child;

/* In the child: a group of its own, so that what it starts can be ended too. */
static void set_up(gpointer data)
{
    const ChildOptions *options = data;
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    if (options->nice && nice(options->nice) < 0)
        errno = 0; /* then it is as urgent as we are */
}

static bool start(Child *child, GError **error)
{
    g_autoptr(GError) reason = NULL;
    const ChildOptions *options = child->options;
    if (g_spawn_async_with_pipes("/", (char **)(guintptr)options->words, (char **)(guintptr)options->environment,
                                 G_SPAWN_DO_NOT_REAP_CHILD, set_up, (gpointer)(guintptr)options, &child->pid,
                                 &child->in, &child->out[OUTPUT], &child->out[ERRORS], &reason))
        return true;
    g_set_error_literal(error, CHILD_ERROR, CHILD_ERROR_START, reason->message);
    return false;
}

/* Only the end of what stands on standard error is of interest. */
static void take(Child *child, guint pipe, const char *bytes, gsize length)
{
    GString *text = child->text[pipe];
    g_string_append_len(text, bytes, (gssize)length);
    if (pipe == ERRORS && text->len > 4 * LAST_LINE_MAX)
        g_string_erase(text, 0, (gssize)(text->len - 2 * LAST_LINE_MAX));
}

static void read_some(Child *child, guint pipe)
{
    char buffer[4096];
    gssize got = read(child->out[pipe], buffer, sizeof buffer);
    if (got > 0) {
        take(child, pipe, buffer, (gsize)got);
    } else if (got == 0 || errno != EINTR) {
        close(child->out[pipe]);
        child->out[pipe] = -1;
    }
}

/* Reads both to the end. 0, or what was too much. */
static int read_all(Child *child)
{
    while (child->out[OUTPUT] >= 0 || child->out[ERRORS] >= 0) {
        struct pollfd entries[N_PIPES];
        gint64 left_ms = (child->until - g_get_monotonic_time() + 999) / 1000;
        for (guint i = 0; i < N_PIPES; i++)
            entries[i] = (struct pollfd){.fd = child->out[i], .events = POLLIN};
        if (left_ms <= 0 || poll(entries, N_PIPES, (int)MIN(left_ms, G_MAXINT)) == 0)
            return CHILD_ERROR_TIME;
        for (guint i = 0; i < N_PIPES; i++)
            if (entries[i].revents)
                read_some(child, i);
        if (child->text[OUTPUT]->len > child->options->most)
            return CHILD_ERROR_TOO_MUCH;
    }
    return 0;
}

/* Owned by the caller; NULL: it is silent. */
static char *last_line(const GString *text)
{
    g_autofree char *copy = g_strndup(text->str, text->len);
    g_strchomp(copy);
    const char *line = strrchr(copy, '\n') ? strrchr(copy, '\n') + 1 : copy;
    return *line ? log_quote(line, strlen(line), LAST_LINE_MAX) : NULL;
}

/* NULL: nothing. Owned by the caller. */
static char *what_went_wrong(const Child *child, int trouble, int status)
{
    const ChildOptions *options = child->options;
    if (trouble == CHILD_ERROR_TIME)
        return g_strdup_printf("not done after %.3g s", (double)options->limit_ms / 1000);
    if (trouble == CHILD_ERROR_TOO_MUCH)
        return g_strdup_printf("it prints more than %" G_GSIZE_FORMAT " bytes", options->most);
    if (WIFSIGNALED(status))
        return g_strdup_printf("ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status) == 0 ? NULL : g_strdup_printf("exit status %d", WEXITSTATUS(status));
}

/* It may go on after it has closed what it prints to. Returns `trouble`, or that. */
static int wait_for_end(const Child *child, int trouble, int *ret_status)
{
    pid_t ended = 0;
    while (!trouble && (ended = waitpid(child->pid, ret_status, WNOHANG)) == 0) {
        if (g_get_monotonic_time() >= child->until)
            trouble = CHILD_ERROR_TIME;
        else
            g_usleep(END_PAUSE_US);
    }
    if (trouble)
        kill(-child->pid, SIGKILL);
    while (ended == 0 && waitpid(child->pid, ret_status, 0) < 0 && errno == EINTR)
        ;
    return trouble;
}

static bool finish(Child *child, int trouble, char **ret_last, GError **error)
{
    int status = 0;
    for (guint i = 0; i < N_PIPES; i++)
        if (child->out[i] >= 0)
            close(child->out[i]);
    trouble = wait_for_end(child, trouble, &status);
    g_autofree char *last = last_line(child->text[ERRORS]);
    g_autofree char *wrong = what_went_wrong(child, trouble, status);
    if (wrong)
        g_set_error(error, CHILD_ERROR, trouble ? trouble : CHILD_ERROR_FAILED, "%s%s%s%s", wrong,
                    last ? "; it said \"" : "", last ? last : "", last ? "\"" : "");
    if (ret_last)
        *ret_last = g_steal_pointer(&last);
    return !wrong;
}

char *child_run(const ChildOptions *options, char **ret_last, GError **error)
{
    Child child = {.options = options, .until = g_get_monotonic_time() + options->limit_ms * 1000};
    if (ret_last)
        *ret_last = NULL;
    if (!start(&child, error))
        return NULL;
    for (guint i = 0; i < N_PIPES; i++)
        child.text[i] = g_string_new(NULL);
    if (options->input)
        file_write_all(child.in, options->input, strlen(options->input)); /* it need not read all of it */
    close(child.in);
    bool done = finish(&child, read_all(&child), ret_last, error);
    g_string_free(child.text[ERRORS], TRUE);
    return g_string_free(child.text[OUTPUT], !done);
}
