/* SPDX-License-Identifier: Apache-2.0
 * A program that is started for what it prints, and waited for no longer than may be. */
#pragma once

#include <glib.h>

#define CHILD_ERROR child_error_quark()
GQuark child_error_quark(void);
typedef enum {
    CHILD_ERROR_START,
    CHILD_ERROR_TIME,     /* it took too long */
    CHILD_ERROR_TOO_MUCH, /* it printed too much */
    CHILD_ERROR_FAILED,   /* it did not end with 0 */
} ChildErrorCode;

typedef struct {
    const char *const *words;       /* the program's path first; NULL-terminated */
    const char *const *environment; /* NULL: ours */
    const char *input;              /* on its standard input, up to CHILD_INPUT_MAX bytes; NULL: none */
    gint64 limit_ms;
    gsize most; /* bytes on its standard output */
    int nice;   /* more than ours */
} ChildOptions;
#define CHILD_INPUT_MAX (64 * 1024) /* what a pipe holds, so that writing all of it first can't block */

/* Its standard output. One that takes too long or prints too much is killed, with what it has started. The error says
 * what of it went wrong, and ends with the last line of its standard error, quoted, where it has one; *ret_last, when
 * asked for, is that line in any case, NULL where there is none; owned by the caller, as the text is. The calling
 * process ignores SIGPIPE. */
char *child_run(const ChildOptions *options, char **ret_last, GError **error);
