/* SPDX-License-Identifier: Apache-2.0
 * What processes that work aside of the probe have in common: one of a kind at a time, and trouble that lasts is told
 * the log once, not in each cycle; and what they find out is kept for the cycles that follow. */
#pragma once

#include "gather/vm_book.h"

/* Locks the file of that name in the probe's directory. -1: another process has it, or the directory is not ours, which
 * the state's own errors tell of. Given back by closing it, or by the process's end. */
int aside_lock(const char *state_dir, const char *name);

/* Tells the log "`subject`: `trouble`" when trouble begins, changes, and once an hour while it lasts, and that it is
 * over; NULL: there is none. What was told is kept in the locked file. */
void aside_report(int lock_fd, const char *subject, const char *trouble);

/* Trouble that has been told less than an hour ago, and is not over. */
bool aside_has_told(int lock_fd);

/* What is kept beside the state file of that name, of that kind ("guests"). An empty one where there is none, or it is
 * damaged: all is asked anew then. */
VmBook *aside_load_book(const char *state_dir, const char *kind, const char *state_name);

/* For who has the lock of that kind. Errors: FILE_ERROR. */
bool aside_save_book(const VmBook *book, const char *state_dir, const char *kind, const char *state_name,
                     GError **error);
