/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's database of its state probe, status_kvm_<HOST_ID>.db, read and written as that does: the same tables,
 * the same contents. One transaction from opening to commit, which keeps others out. */
#pragma once

#include "model/status.h"

#define STATUS_DB_ERROR status_db_error_quark()
GQuark status_db_error_quark(void);
typedef enum {
    STATUS_DB_ERROR_BUSY,    /* another program holds it for longer than we wait */
    STATUS_DB_ERROR_DAMAGED, /* no SQLite file, a broken one, or with other tables of these names */
    STATUS_DB_ERROR_FAILED,  /* everything else: it can't be opened or written, the disk is full */
} StatusDbErrorCode;

typedef struct StatusDb StatusDb;

/* Makes the file and its tables where there are none, unless `read_only`: then one that is not there, or is empty, has
 * no rows, and nothing is locked for longer than it takes to read. Waits some seconds for others. */
StatusDb *status_db_open(const char *path, bool read_only, GError **error);

/* rows: of StatusRow, owned by the caller; *ret_last_full_s: 0 where there was none. */
GPtrArray *status_db_read(StatusDb *db, gint64 *ret_last_full_s, GError **error);

/* Writes what the report changes, and when a full one was made; for others it is there after the commit alone. */
bool status_db_write(StatusDb *db, const StatusReport *report, gint64 now_s, GError **error);
bool status_db_commit(StatusDb *db, GError **error);

/* What is not committed is undone. */
void status_db_close(StatusDb *db);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StatusDb, status_db_close)

/* Renames a damaged one to "<path>.damaged", in the place of an earlier one, so that the next opening begins anew. */
bool status_db_set_aside(const char *path, GError **error);
