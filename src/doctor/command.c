/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/command.h"
#include "doctor/finding.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE 16384 /* bytes of one read */
#define LOOK_MS 50  /* between two looks whether a process has ended that keeps its outputs open … */
#define CLOSED_MS 1 /* … and of one that has closed them */
#define PROBLEM_MAX 300

enum { PIPE_IN, PIPE_OUT, PIPE_ERR, PIPE_EXEC, N_PIPES }; /* EXEC: errno where the program can't be had */

typedef struct {
    const Command *command;
    CommandResult *result;
    pid_t pid;          /* 0: not started; -1: ended */
    int fd[N_PIPES];    /* our ends; -1: closed */
    gsize written;      /* of the input */
    gint64 deadline_us; /* monotonic */
} Child;

/* --- in the child --- */

static void become(const Command *command, const int theirs[N_PIPES])
{
    int number;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    if (dup2(theirs[PIPE_IN] >= 0 ? theirs[PIPE_IN] : null, STDIN_FILENO) >= 0 &&
        dup2(theirs[PIPE_OUT], STDOUT_FILENO) >= 0 && dup2(theirs[PIPE_ERR], STDERR_FILENO) >= 0 &&
        (!command->dir || chdir(command->dir) == 0))
        execvp(command->words[0], (char *const *)(gconstpointer)command->words);
    number = errno;
    gssize ignored = write(theirs[PIPE_EXEC], &number, sizeof number);
    (void)ignored;
    _exit(127);
}

/* --- one child --- */

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void close_all(int fd[N_PIPES])
{
    for (int i = 0; i < N_PIPES; i++)
        close_end(&fd[i]);
}

/* Of each pipe our end and the child's. false: errno. */
static bool make_pipes(const Command *command, int ours[N_PIPES], int theirs[N_PIPES])
{
    for (int i = 0; i < N_PIPES; i++) {
        int ends[2];
        if (i == PIPE_IN && !command->input)
            continue;
        if (pipe2(ends, O_CLOEXEC) != 0)
            return false;
        ours[i] = ends[i == PIPE_IN];
        theirs[i] = ends[i != PIPE_IN];
        fcntl(ours[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

static void start(Child *child, const Command *command)
{
    int theirs[N_PIPES] = {-1, -1, -1, -1};
    CommandResult *result = g_new0(CommandResult, 1);
    *result = (CommandResult){.out = g_string_new(NULL), .err = g_string_new(NULL)};
    result->begin_us = g_get_monotonic_time();
    result->begin_ns = g_get_real_time() * 1000;
    *child = (Child){.command = command, .result = result, .fd = {-1, -1, -1, -1}};
    child->deadline_us = result->begin_us + command->limit_ms * 1000;
    child->pid = make_pipes(command, child->fd, theirs) ? fork() : -1;
    if (child->pid == 0)
        become(command, theirs);
    if (child->pid < 0) {
        result->end = COMMAND_MISSING;
        result->status = errno;
        close_all(child->fd);
    }
    close_all(theirs);
}

/* false: it is at its end. */
static bool take(int fd, GString *into, gsize most, bool *ret_cut)
{
    char piece[PIECE];
    errno = 0;
    gssize got = read(fd, piece, sizeof piece);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    gsize room = most - into->len;
    g_string_append_len(into, piece, (gssize)MIN((gsize)got, room));
    if (ret_cut && (gsize)got > room)
        *ret_cut = true;
    return got > 0;
}

static bool give(Child *child)
{
    const char *input = child->command->input;
    gsize left = strlen(input) - child->written;
    gssize put = write(child->fd[PIPE_IN], input + child->written, left);
    if (put < 0)
        return errno == EAGAIN || errno == EINTR;
    child->written += (gsize)put;
    return (gsize)put < left;
}

static void take_errno(Child *child)
{
    int number = 0;
    if (read(child->fd[PIPE_EXEC], &number, sizeof number) == (gssize)sizeof number) {
        child->result->end = COMMAND_MISSING;
        child->result->status = number;
    }
}

static void serve(Child *child, int pipe)
{
    bool goes_on = false;
    if (pipe == PIPE_IN)
        goes_on = give(child);
    else if (pipe == PIPE_EXEC)
        take_errno(child);
    else
        goes_on = take(child->fd[pipe], pipe == PIPE_OUT ? child->result->out : child->result->err,
                       child->command->output_max, pipe == PIPE_OUT ? &child->result->out_cut : NULL);
    if (!goes_on)
        close_end(&child->fd[pipe]);
}

static void settle(Child *child, int status)
{
    CommandResult *result = child->result;
    child->pid = -1;
    result->end_us = g_get_monotonic_time();
    result->end_ns = g_get_real_time() * 1000;
    while (child->fd[PIPE_OUT] >= 0 && take(child->fd[PIPE_OUT], result->out, child->command->output_max, NULL) &&
           errno != EAGAIN)
        ;
    while (child->fd[PIPE_ERR] >= 0 && take(child->fd[PIPE_ERR], result->err, child->command->output_max, NULL) &&
           errno != EAGAIN)
        ;
    if (child->fd[PIPE_EXEC] >= 0)
        take_errno(child);
    close_all(child->fd);
    if (result->end == COMMAND_MISSING || result->end == COMMAND_LATE)
        return;
    result->end = WIFSIGNALED(status) ? COMMAND_KILLED : COMMAND_ENDED;
    result->status = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

/* Whether it has ended, by itself or by now. */
static bool end_if_due(Child *child)
{
    int status = 0;
    errno = 0;
    if (waitpid(child->pid, &status, WNOHANG) == child->pid) {
        settle(child, status);
        return true;
    }
    if (g_get_monotonic_time() < child->deadline_us)
        return false;
    kill(child->pid, SIGKILL);
    waitpid(child->pid, &status, 0);
    child->result->end = COMMAND_LATE;
    settle(child, status);
    return true;
}

/* --- all of them --- */

/* Waits until something can be done for one of them: `n` children, of which some have not begun or have ended. */
static void wait_and_serve(Child *children, guint n)
{
    g_autofree struct pollfd *polls = g_new0(struct pollfd, (gsize)n * N_PIPES);
    gint64 now_us = g_get_monotonic_time(), wait_us = G_USEC_PER_SEC;
    for (guint i = 0; i < n; i++) {
        bool any = false;
        for (int pipe = 0; pipe < N_PIPES; pipe++) {
            polls[i * N_PIPES + (guint)pipe] = (struct pollfd){.fd = children[i].pid > 0 ? children[i].fd[pipe] : -1,
                                                               .events = pipe == PIPE_IN ? POLLOUT : POLLIN};
            any |= children[i].fd[pipe] >= 0;
        }
        if (children[i].pid > 0)
            wait_us = MIN(wait_us, any ? children[i].deadline_us - now_us : CLOSED_MS * 1000);
    }
    poll(polls, (nfds_t)n * N_PIPES, (int)CLAMP((wait_us + 999) / 1000, 0, LOOK_MS));
    for (guint i = 0; i < n; i++)
        for (int pipe = 0; pipe < N_PIPES; pipe++)
            if (polls[i * N_PIPES + (guint)pipe].revents)
                serve(&children[i], pipe);
}

GPtrArray *command_run_all(const Command *commands, guint count, guint side_by_side)
{
    GPtrArray *results = g_ptr_array_new_with_free_func((GDestroyNotify)command_result_free);
    g_autofree Child *children = g_new0(Child, MAX(count, 1));
    guint started = 0, running = 0;
    signal(SIGPIPE, SIG_IGN);
    while (started < count || running > 0) {
        for (; started < count && running < side_by_side; started++) {
            start(&children[started], &commands[started]);
            running += children[started].pid > 0;
        }
        wait_and_serve(children, started);
        for (guint i = 0; i < started; i++)
            if (children[i].pid > 0 && end_if_due(&children[i]))
                running--;
    }
    for (guint i = 0; i < count; i++)
        g_ptr_array_add(results, children[i].result);
    return results;
}

CommandResult *command_run(const Command *command)
{
    g_autoptr(GPtrArray) results = command_run_all(command, 1, 1);
    return g_steal_pointer(&results->pdata[0]);
}

void command_result_free(CommandResult *result)
{
    if (!result)
        return;
    g_string_free(result->out, TRUE);
    g_string_free(result->err, TRUE);
    g_free(result);
}

bool command_succeeded(const CommandResult *result)
{
    return result->end == COMMAND_ENDED && result->status == 0;
}

/* The last line of it that is not blank; "": there is none. Owned by the caller. */
static char *last_line(const GString *text)
{
    g_autofree char *copy = g_strndup(text->str, text->len); /* up to a NUL */
    g_strchomp(copy);
    const char *newline = strrchr(copy, '\n');
    return g_strndup(newline ? newline + 1 : copy, PROBLEM_MAX);
}

char *command_problem(const Command *command, const CommandResult *result)
{
    g_autofree char *error = last_line(result->err), *said = *error ? NULL : last_line(result->out);
    const char *text = said ? said : error;
    switch (result->end) {
    case COMMAND_MISSING:
        return g_strdup(g_strerror(result->status));
    case COMMAND_LATE:
        return g_strdup_printf("not done within %.1f s", (double)command->limit_ms / 1000);
    case COMMAND_KILLED:
        return g_strdup_printf("ended by signal %d%s%s", result->status, *text ? ": " : "", text);
    default:
        return g_strdup_printf("exit status %d%s%s", result->status, *text ? ": " : "", text);
    }
}

char *command_text(const char *const *words)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; words[i]; i++) {
        g_autofree char *word = finding_shell_word(words[i]);
        g_string_append_printf(text, "%s%s", i ? " " : "", word);
    }
    return g_strdup(text->str);
}
