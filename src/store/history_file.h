/* SPDX-License-Identifier: Apache-2.0
 * Where the history's file lies: its directory, that nobody else writes to it, and putting it aside. Internal to
 * history*.c. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
    char *path;
    char *name; /* within the directory */
    int dir_fd, lock_fd;
} HistoryFile;

/* Makes the directory where it is missing, and takes the file's lock ("NAME.lock"): one process writes a history.
 * Errors: HISTORY_ERROR_OPEN, HISTORY_ERROR_BUSY. */
bool history_file_open(HistoryFile *file, const char *path, GError **error);
void history_file_close(HistoryFile *file);

/* false, with *ret_problem (owned by the caller): it is there, and is no regular file, or others can write to it. To be
 * called while SQLite has it open nowhere in this process: closing any descriptor of a file drops SQLite's locks. */
bool history_file_is_safe(const HistoryFile *file, char **ret_problem);

/* Renames it, with its -wal and -shm, to NAME.damaged-TIME; of such the last HISTORY_DAMAGED_MAX stay. Its path, owned
 * by the caller. */
#define HISTORY_DAMAGED_MAX 3
char *history_file_set_aside(const HistoryFile *file, GError **error);

bool history_file_is_there(const HistoryFile *file);
guint64 history_file_bytes(const HistoryFile *file); /* and of its log */
