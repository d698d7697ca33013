/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/status_db.h"
#include "base/text.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 3000 /* for another program's lock */
#define HYPERVISOR "kvm"
#define LAST_FULL "LAST_SYNC"

G_DEFINE_QUARK(one_telemetry_status_db, status_db_error)

struct StatusDb {
    sqlite3 *handle;
    char *path;
    bool read_only;
};

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sqlite3_stmt, sqlite3_finalize)

/* --- statements --- */

/* Always false. A statement that SQLite does not understand (SQLITE_ERROR) meets other tables than it should. */
static bool fail(const StatusDb *db, int code, GError **error)
{
    StatusDbErrorCode ours = STATUS_DB_ERROR_FAILED;
    code &= 0xFF;
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_ERROR || code == SQLITE_CONSTRAINT ||
        code == SQLITE_MISMATCH)
        ours = STATUS_DB_ERROR_DAMAGED;
    else if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        ours = STATUS_DB_ERROR_BUSY;
    g_set_error(error, STATUS_DB_ERROR, ours, "%s: %s", db->path,
                ours == STATUS_DB_ERROR_BUSY ? "another program holds it locked"
                                             : (db->handle ? sqlite3_errmsg(db->handle) : "no memory"));
    return false;
}

static sqlite3_stmt *prepare(const StatusDb *db, const char *sql, GError **error)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL);
    if (code != SQLITE_OK)
        fail(db, code, error);
    return statement;
}

/* true: there is a row. false: there is none, or *error is set. */
static bool next(const StatusDb *db, sqlite3_stmt *statement, GError **error)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        fail(db, code, error);
    return false;
}

static bool execute(const StatusDb *db, const char *sql, GError **error)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK || fail(db, code, error);
}

/* --- opening --- */

/* The same columns in the same order as OpenNebula makes them: it reads them by their numbers. */
static bool make_tables(const StatusDb *db, GError **error)
{
    return execute(db,
                   "CREATE TABLE IF NOT EXISTS states (uuid VARCHAR(128) PRIMARY KEY, id INTEGER, name VARCHAR(128), "
                   "deploy_id VARCHAR(128), timestamp INTEGER, missing INTEGER, state VARCHAR(128), "
                   "hyperv VARCHAR(128));"
                   "CREATE TABLE IF NOT EXISTS settings (key VARCHAR(128) PRIMARY KEY, value VARCHAR(128))",
                   error);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

StatusDb *status_db_open(const char *path, bool read_only, GError **error)
{
    g_autoptr(StatusDb) db = g_new0(StatusDb, 1);
    db->path = g_strdup(path);
    db->read_only = read_only;
    const bool in_memory = read_only && !is_there(path);
    const int flags = read_only && !in_memory ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int code = sqlite3_open_v2(in_memory ? ":memory:" : path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) {
        fail(db, code, error);
        return NULL;
    }
    if (!read_only && sqlite3_db_readonly(db->handle, "main") == 1) { /* what SQLite makes of one without permission */
        g_set_error(error, STATUS_DB_ERROR, STATUS_DB_ERROR_FAILED, "%s: it can't be written", path);
        return NULL;
    }
    sqlite3_busy_timeout(db->handle, WAIT_MS);
    /* A power cut may then damage the file, once in a very long while: it is begun anew, and no guest has outlived it.
     */
    if (!read_only && !execute(db, "PRAGMA synchronous = NORMAL", error))
        return NULL;
    if (!execute(db, read_only ? "BEGIN" : "BEGIN IMMEDIATE", error) || (!read_only && !make_tables(db, error)))
        return NULL;
    return g_steal_pointer(&db);
}

void status_db_close(StatusDb *db)
{
    sqlite3_close(db->handle);
    g_free(db->path);
    g_free(db);
}

/* --- reading --- */

static char *text_at(sqlite3_stmt *statement, int column)
{
    return g_strdup((const char *)sqlite3_column_text(statement, column));
}

static StatusRow *row_from(sqlite3_stmt *statement)
{
    StatusRow *row = g_new0(StatusRow, 1);
    row->row = sqlite3_column_int64(statement, 0);
    row->uuid = text_at(statement, 1);
    row->id = sqlite3_column_type(statement, 2) == SQLITE_INTEGER ? sqlite3_column_int64(statement, 2) : -1;
    row->name = text_at(statement, 3);
    row->deploy_id = text_at(statement, 4);
    row->written_s = sqlite3_column_int64(statement, 5);
    row->missing = sqlite3_column_int64(statement, 6);
    row->state = text_at(statement, 7);
    return row;
}

/* One that was opened for reading alone may have no tables yet. */
static bool has_table(const StatusDb *db, const char *name, bool *ret_there, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(sqlite3_stmt) statement = prepare(db, "SELECT 1 FROM sqlite_master WHERE name = ?", error);
    if (!statement)
        return false;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    *ret_there = next(db, statement, &reason);
    if (!reason)
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

static bool read_rows(const StatusDb *db, GPtrArray *rows, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(sqlite3_stmt) statement =
        prepare(db, "SELECT rowid, uuid, id, name, deploy_id, timestamp, missing, state, hyperv FROM states", &reason);
    while (statement && next(db, statement, &reason))
        g_ptr_array_add(rows, row_from(statement));
    if (!reason)
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

static bool read_last_full(const StatusDb *db, gint64 *ret_last_full_s, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(sqlite3_stmt) statement = prepare(db, "SELECT value FROM settings WHERE key = '" LAST_FULL "'", &reason);
    guint64 value = 0;
    if (statement && next(db, statement, &reason)) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (!text || !text_read_u64(text, &value) || value > G_MAXINT64)
            value = 0;
    }
    *ret_last_full_s = (gint64)value;
    if (!reason)
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

GPtrArray *status_db_read(StatusDb *db, gint64 *ret_last_full_s, GError **error)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func((GDestroyNotify)status_row_free);
    bool states = true, settings = true;
    *ret_last_full_s = 0;
    if (db->read_only && (!has_table(db, "states", &states, error) || !has_table(db, "settings", &settings, error)))
        return NULL;
    if ((states && !read_rows(db, rows, error)) || (settings && !read_last_full(db, ret_last_full_s, error)))
        return NULL;
    return g_steal_pointer(&rows);
}

/* --- writing --- */

static bool delete_row(const StatusDb *db, sqlite3_stmt *statement, gint64 row, GError **error)
{
    g_autoptr(GError) reason = NULL;
    sqlite3_reset(statement);
    sqlite3_bind_int64(statement, 1, row);
    next(db, statement, &reason);
    if (!reason)
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

/* Those that are written anew as well: a uuid may go from one row to another. */
static bool delete_rows(const StatusDb *db, const StatusReport *report, GError **error)
{
    g_autoptr(sqlite3_stmt) statement = prepare(db, "DELETE FROM states WHERE rowid = ?", error);
    bool good = statement != NULL;
    for (guint i = 0; good && i < report->dropped->len; i++)
        good = delete_row(db, statement, g_array_index(report->dropped, gint64, i), error);
    for (guint i = 0; good && i < report->put->len; i++) {
        const StatusRow *row = g_ptr_array_index(report->put, i);
        good = row->row == 0 || delete_row(db, statement, row->row, error);
    }
    return good;
}

static bool insert_row(const StatusDb *db, sqlite3_stmt *statement, const StatusRow *row, GError **error)
{
    g_autoptr(GError) reason = NULL;
    const char *const texts[] = {[1] = row->uuid, [3] = row->name, [4] = row->deploy_id, [7] = row->state};
    sqlite3_reset(statement);
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        if (texts[i])
            sqlite3_bind_text(statement, (int)i, texts[i], -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, row->id);
    sqlite3_bind_int64(statement, 5, row->written_s);
    sqlite3_bind_int64(statement, 6, row->missing);
    next(db, statement, &reason);
    sqlite3_clear_bindings(statement);
    if (!reason)
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

static bool insert_rows(const StatusDb *db, const StatusReport *report, GError **error)
{
    g_autoptr(sqlite3_stmt) statement =
        prepare(db, "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?, ?, ?, '" HYPERVISOR "')", error);
    bool good = statement != NULL;
    for (guint i = 0; good && i < report->put->len; i++)
        good = insert_row(db, statement, g_ptr_array_index(report->put, i), error);
    return good;
}

static bool write_last_full(const StatusDb *db, gint64 now_s, GError **error)
{
    g_autofree char *sql =
        g_strdup_printf("REPLACE INTO settings VALUES ('" LAST_FULL "', '%" G_GINT64_FORMAT "')", now_s);
    return execute(db, sql, error);
}

bool status_db_write(StatusDb *db, const StatusReport *report, gint64 now_s, GError **error)
{
    if (!report->put->len && !report->dropped->len && !report->full)
        return true;
    return delete_rows(db, report, error) && insert_rows(db, report, error) &&
           (!report->full || write_last_full(db, now_s, error));
}

bool status_db_commit(StatusDb *db, GError **error)
{
    return execute(db, "COMMIT", error);
}

/* --- damaged files --- */

bool status_db_set_aside(const char *path, GError **error)
{
    g_autofree char *aside = g_strconcat(path, ".damaged", NULL);
    g_autofree char *journal = g_strconcat(path, "-journal", NULL);
    if (rename(path, aside) < 0) {
        g_set_error(error, STATUS_DB_ERROR, STATUS_DB_ERROR_FAILED, "%s: it can't be set aside: %s", path,
                    g_strerror(errno));
        return false;
    }
    unlink(journal); /* a new file would be rolled back by it */
    return true;
}
