/* SPDX-License-Identifier: Apache-2.0
 * What a check has found: a verdict, one line, and the commands that mend it. Pure, but for what a Report writes. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* From good to bad; NOT_CHECKED is neither. */
typedef enum { VERDICT_OK, VERDICT_NOT_CHECKED, VERDICT_WARNING, VERDICT_ERROR, N_VERDICTS } Verdict;

/* "ok", "skipped", "warning", "error" */
const char *verdict_word(Verdict verdict);

#define FINDING_TEXT_MAX 600 /* bytes of a finding's line */

typedef struct {
    Verdict verdict;
    char *text; /* one line */
    char
        *mend; /* commands for a shell, one a line, and words as lines that begin with #; NULL: nothing is to be done */
} Finding;

/* What is formatted becomes one line that a terminal can show (log_quote). `mend` is copied; NULL: none. */
Finding *finding_new(Verdict verdict, const char *mend, const char *format, ...) G_GNUC_PRINTF(3, 4);
Finding *finding_ok(const char *format, ...) G_GNUC_PRINTF(1, 2);
void finding_free(Finding *finding);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Finding, finding_free)

/* Of Finding, which it owns. */
GPtrArray *findings_new(void);

/* `text` in single quotes where a shell would make something else of it. Owned by the caller. */
char *finding_shell_word(const char *text);

/* --- from the process of a check to the doctor's --- */

/* Every finding is written at once, so that those stay which a check had before it hung. */
typedef struct {
    int fd;
} Report;

/* Takes the finding over. */
void report(Report *to, Finding *finding);
/* All of them, in their order; the array is freed. */
void report_all(Report *to, GPtrArray *findings);

/* What the check is at: should its time run out, or should it crash, this is its finding, an error that says so of
 * "text". It stands until the next one, or the end. */
void report_doing(Report *to, const char *mend, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* What a report wrote, of which the end may be missing. Appends to `findings`; *ret_doing (owned by the caller): the
 * last thing that was begun, or NULL. false: that is no report. */
bool report_read(const char *data, gsize length, GPtrArray *findings, Finding **ret_doing);
