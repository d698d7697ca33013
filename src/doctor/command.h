/* SPDX-License-Identifier: Apache-2.0
 * Other programs, run for their output: without a shell, with a time limit, with a limit on what is kept of the output.
 * For a process with one thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
    const char *const *words; /* NULL-terminated; the first one without a / is looked for in PATH */
    const char *input;        /* for its standard input; NULL: /dev/null */
    const char *dir;          /* to be run in; NULL: ours */
    gint64 limit_ms;          /* then it is killed */
    gsize output_max;         /* bytes that are kept, of each of its two outputs */
} Command;

typedef enum {
    COMMAND_ENDED,   /* `status` says how */
    COMMAND_KILLED,  /* by signal `status`, not ours */
    COMMAND_MISSING, /* there is no such program, or it is none: `status` is errno */
    COMMAND_LATE,    /* by the time limit */
} CommandEnd;

typedef struct {
    CommandEnd end;
    int status;
    GString *out, *err;      /* as bytes */
    bool out_cut;            /* there was more of it */
    gint64 begin_us, end_us; /* monotonic */
    gint64 begin_ns, end_ns; /* realtime */
} CommandResult;

void command_result_free(CommandResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CommandResult, command_result_free)

/* Ended with status 0. */
bool command_succeeded(const CommandResult *result);

/* How it ended where it did not succeed: "exit status 1: text", "not done within 5.0 s", "No such file or directory".
 * The text is the last line of its standard error, else of its output. Owned by the caller. */
char *command_problem(const Command *command, const CommandResult *result);

/* Its end is awaited, or its limit; what it has started by itself and left behind is not. */
CommandResult *command_run(const Command *command);

/* All of them, at most `side_by_side` at a time: array of CommandResult, in their order. */
GPtrArray *command_run_all(const Command *commands, guint count, guint side_by_side);

/* The words as one would type them. Owned by the caller. */
char *command_text(const char *const *words);
