/* SPDX-License-Identifier: Apache-2.0
 * What the programs begin with: what must not end them, their options, what they say of wrong ones. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* First of all. A closed standard descriptor is opened, so that no file of ours becomes it: to write there fails as
 * before. SIGPIPE and SIGXFSZ are ignored: the write fails instead. */
void program_begin(void);

typedef struct {
    const char *name;                  /* for --version, which it then has: "vm_event" */
    const char *summary, *description; /* for --help */
    const GOptionEntry *entries;       /* ended by one of zeros; words are taken where one is G_OPTION_REMAINING */
} ProgramOptions;

/* --help and --version print, and end the program. Errors: G_OPTION_ERROR, as of program_usage. */
bool program_parse(const ProgramOptions *options, int *argc, char ***argv, GError **error);

/* The error of wrong usage: what is formatted, and where to look. Returns false. */
bool program_usage(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* What the process holds goes with it: to free it all, and to run the exit handlers of the fifty libraries that libvirt
 * brings along, costs as much as a run's own work. Returns in sanitized builds alone, where leaks are looked for on the
 * usual way out. */
void program_leave(int status);
