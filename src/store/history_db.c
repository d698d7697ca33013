/* SPDX-License-Identifier: Apache-2.0 */
#include "store/history_db.h"
#include "store/history_sql.h"
#include "store/pack.h"

#include <sqlite3.h>
#include <string.h>

#define WRITER_CACHE "-8192" /* KiB, negative as SQLite wants it; a reader's below */
#define READER_CACHE "-1024"
#define WRITER_WAIT_MS 10000 /* for another program's lock: a backup's, somebody's sqlite3 */
#define READER_WAIT_MS 1000
#define CHECK_MAX_US (2 * G_USEC_PER_SEC) /* of a file that was not closed */
#define CHECK_STEPS 10000                 /* of SQLite's machine, between two looks at the clock */

struct HistoryDb {
    sqlite3 *handle;
    sqlite3_stmt *prepared[N_SQL]; /* as they are needed */
};

gint64 history_tier_step(HistoryTier tier)
{
    static const gint64 steps[N_TIERS] = {0, 60 * HISTORY_NS_PER_S, 900 * HISTORY_NS_PER_S};
    return steps[tier];
}

gint64 history_tier_unit(HistoryTier tier)
{
    return tier == TIER_RAW ? 1 : HISTORY_NS_PER_S;
}

/* Always false. */
static bool fail(const HistoryDb *db, int code, GError **error)
{
    HistoryErrorCode ours = HISTORY_ERROR_QUERY;
    if ((code & 0xFF) == SQLITE_CORRUPT || (code & 0xFF) == SQLITE_NOTADB)
        ours = HISTORY_ERROR_DAMAGED;
    else if ((code & 0xFF) == SQLITE_BUSY)
        ours = HISTORY_ERROR_BUSY;
    g_set_error(error, HISTORY_ERROR, ours, "SQLite: %s", db->handle ? sqlite3_errmsg(db->handle) : "no memory");
    return false;
}

/* --- statements --- */

static sqlite3_stmt *prepare(HistoryDb *db, Sql sql)
{
    if (!db->prepared[sql])
        sqlite3_prepare_v3(db->handle, statements[sql], -1, SQLITE_PREPARE_PERSISTENT, &db->prepared[sql], NULL);
    return db->prepared[sql];
}

/* The analyzer takes a va_list that is a parameter for one that nobody has begun. */
/* NOLINTBEGIN(clang-analyzer-valist.Uninitialized) */
static sqlite3_stmt *bind(HistoryDb *db, Sql sql, const char *types, va_list arguments)
{
    sqlite3_stmt *statement = prepare(db, sql);
    if (!statement)
        return NULL;
    sqlite3_reset(statement);
    for (int i = 1; *types; types++, i++) {
        if (*types == 'i') {
            sqlite3_bind_int64(statement, i, va_arg(arguments, gint64));
        } else if (*types == 't') {
            sqlite3_bind_text(statement, i, va_arg(arguments, const char *), -1, SQLITE_TRANSIENT);
        } else {
            const guint8 *data = va_arg(arguments, const guint8 *);
            sqlite3_bind_blob64(statement, i, data, va_arg(arguments, gsize), SQLITE_TRANSIENT);
        }
    }
    return statement;
}
/* NOLINTEND(clang-analyzer-valist.Uninitialized) */

sqlite3_stmt *history_db_bind(HistoryDb *db, Sql sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    sqlite3_stmt *statement = bind(db, sql, types, arguments);
    va_end(arguments);
    return statement;
}

bool history_db_next(HistoryDb *db, sqlite3_stmt *statement, GError **error)
{
    int code = statement ? sqlite3_step(statement) : sqlite3_extended_errcode(db->handle);
    if (code == SQLITE_ROW)
        return true;
    if (code != SQLITE_DONE)
        fail(db, code, error);
    if (statement)
        sqlite3_reset(statement);
    return false;
}

/* Goes through to its end. */
static bool finish(HistoryDb *db, sqlite3_stmt *statement, GError **error)
{
    g_autoptr(GError) reason = NULL;
    while (history_db_next(db, statement, &reason))
        ;
    if (!reason)
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

bool history_db_run(HistoryDb *db, GError **error, Sql sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    sqlite3_stmt *statement = bind(db, sql, types, arguments);
    va_end(arguments);
    return finish(db, statement, error);
}

bool history_db_number(HistoryDb *db, gint64 otherwise, gint64 *ret_number, GError **error, Sql sql, const char *types,
                       ...)
{
    g_autoptr(GError) reason = NULL;
    va_list arguments;
    va_start(arguments, types);
    sqlite3_stmt *statement = bind(db, sql, types, arguments);
    va_end(arguments);
    gint64 number = otherwise;
    if (history_db_next(db, statement, &reason)) {
        if (sqlite3_column_type(statement, 0) != SQLITE_NULL)
            number = sqlite3_column_int64(statement, 0);
        sqlite3_reset(statement);
    }
    if (reason) {
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    *ret_number = number;
    return true;
}

void history_db_checkpoint(HistoryDb *db)
{
    sqlite3_busy_timeout(db->handle, 0); /* readers are not waited for: it is done again at the next flush */
    sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(db->handle, WRITER_WAIT_MS);
}

guint history_db_changes(HistoryDb *db)
{
    return (guint)sqlite3_changes(db->handle);
}

gint64 history_db_i64(sqlite3_stmt *statement, int column)
{
    return sqlite3_column_int64(statement, column);
}

const char *history_db_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

const guint8 *history_db_blob(sqlite3_stmt *statement, int column, gsize *ret_length)
{
    const guint8 *data = sqlite3_column_blob(statement, column);
    *ret_length = data ? (gsize)sqlite3_column_bytes(statement, column) : 0;
    return data;
}

/* --- opening --- */

static bool execute(HistoryDb *db, const char *sql, GError **error)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK || fail(db, sqlite3_extended_errcode(db->handle), error);
}

/* A number that a pragma, or another statement that is used once, gives. */
static bool number_of(HistoryDb *db, const char *sql, gint64 *ret_number, GError **error)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        *ret_number = sqlite3_column_int64(statement, 0);
        code = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return code == SQLITE_OK || fail(db, sqlite3_extended_errcode(db->handle), error);
}

static HistoryDb *connect_to(const char *path, int flags, int wait_ms, GError **error)
{
    HistoryDb *db = g_new0(HistoryDb, 1);
    int code = sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK) {
        sqlite3_extended_result_codes(db->handle, 1);
        sqlite3_busy_timeout(db->handle, wait_ms);
        return db;
    }
    fail(db, code, error);
    history_db_close(db, false);
    return NULL;
}

/* Always false. */
G_GNUC_PRINTF(2, 3)
static bool fail_damaged(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *problem = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, HISTORY_ERROR, HISTORY_ERROR_DAMAGED, problem);
    return false;
}

/* Nothing of it is there yet, or all of it in this version. */
static bool check_schema(HistoryDb *db, bool *ret_new, GError **error)
{
    gint64 tables = 0, application = 0, version = 0;
    if (!number_of(db, "SELECT count(*) FROM sqlite_master", &tables, error) ||
        !number_of(db, "PRAGMA application_id", &application, error) ||
        !number_of(db, "PRAGMA user_version", &version, error))
        return false;
    *ret_new = tables == 0 && application == 0 && version == 0;
    if (*ret_new)
        return true;
    if (application != g_ascii_strtoll(APPLICATION_ID, NULL, 10))
        return fail_damaged(error, "it is a database of another program");
    if (version != g_ascii_strtoll(SCHEMA_VERSION, NULL, 10))
        return fail_damaged(error, "it is of version %" G_GINT64_FORMAT ", not " SCHEMA_VERSION, version);
    for (Sql sql = 0; sql < N_SQL; sql++) /* each names its tables and columns */
        if (!prepare(db, sql))
            return fail_damaged(error, "SQLite: %s", sqlite3_errmsg(db->handle));
    return true;
}

static int is_late(void *until_us)
{
    return g_get_monotonic_time() > *(gint64 *)until_us;
}

/* A file that is too large to be checked in time is taken for sound: damage is met when it is read. */
static bool check_content(HistoryDb *db, GError **error)
{
    gint64 clean = 0, until_us = g_get_monotonic_time() + CHECK_MAX_US;
    if (!history_db_number(db, 0, &clean, error, SQL_META_GET, "t", "clean"))
        return false;
    if (clean)
        return true;
    sqlite3_stmt *statement = NULL;
    g_autofree char *problem = NULL;
    sqlite3_progress_handler(db->handle, CHECK_STEPS, is_late, &until_us);
    int code = sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        problem = g_strdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_progress_handler(db->handle, 0, NULL, NULL);
    if (problem && strcmp(problem, "ok") != 0)
        return fail_damaged(error, "SQLite's check: %s", problem);
    return code == SQLITE_ROW || (code & 0xFF) == SQLITE_INTERRUPT || fail(db, code, error);
}

static bool put_names(HistoryDb *db, const GPtrArray *names, guint first, GError **error)
{
    for (guint i = first; i < names->len; i++)
        if (!history_db_run(db, error, SQL_METRIC_ADD, "it", (gint64)i, (const char *)g_ptr_array_index(names, i)))
            return false;
    return true;
}

static bool get_names(HistoryDb *db, GPtrArray *names, GError **error)
{
    g_autoptr(GError) reason = NULL;
    sqlite3_stmt *statement = history_db_bind(db, SQL_METRIC_ALL, "");
    while (history_db_next(db, statement, &reason)) {
        const char *name = history_db_text(statement, 1);
        if (!name || history_db_i64(statement, 0) != names->len || names->len >= PACK_NUMBERS_MAX) {
            sqlite3_reset(statement);
            return fail_damaged(error, "its metrics are not numbered one after another");
        }
        g_ptr_array_add(names, g_strdup(name));
    }
    if (!reason)
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

/* Names this version has and the file does not are given numbers. */
static bool add_names(HistoryDb *db, GPtrArray *names, GError **error)
{
    const guint known = names->len;
    for (Metric m = metric_first(SCOPE_VM); m < metric_first(SCOPE_VM + 1); m++) {
        bool there = !history_has_metric(m);
        for (guint i = 0; i < known && !there; i++)
            there = strcmp(g_ptr_array_index(names, i), metric_info[m].line) == 0;
        if (!there && names->len < PACK_NUMBERS_MAX)
            g_ptr_array_add(names, g_strdup(metric_info[m].line));
    }
    return put_names(db, names, known, error);
}

static bool set_up(HistoryDb *db, GPtrArray *names, GError **error)
{
    bool is_new;
    /* auto_vacuum is of use before the first table alone. */
    if (!execute(db,
                 "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                 "PRAGMA cache_size = " WRITER_CACHE "; PRAGMA wal_autocheckpoint = 4000;"
                 "PRAGMA journal_size_limit = 16777216; PRAGMA trusted_schema = OFF;",
                 error) ||
        !check_schema(db, &is_new, error))
        return false;
    if (!is_new && names->len > 0)
        return fail_damaged(error, "another program has made it meanwhile");
    if (!is_new && !check_content(db, error))
        return false;
    if (!history_db_run(db, error, SQL_BEGIN, ""))
        return false;
    if ((is_new && !execute(db, schema, error)) || (!is_new && !get_names(db, names, error)))
        return false;
    bool named = names->len > 0 && is_new ? put_names(db, names, 0, error) : add_names(db, names, error);
    return named && history_db_run(db, error, SQL_META_PUT, "ti", "clean", (gint64)0) &&
           history_db_run(db, error, SQL_COMMIT, "");
}

HistoryDb *history_db_open(const char *path, GPtrArray *names, GError **error)
{
    g_autoptr(GError) reason = NULL;
    HistoryDb *db = connect_to(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, WRITER_WAIT_MS, error);
    const guint known = names->len;
    if (!db || set_up(db, names, &reason))
        return db;
    g_propagate_error(error, g_steal_pointer(&reason));
    g_ptr_array_set_size(names, (gint)known);
    history_db_close(db, false);
    return NULL;
}

HistoryDb *history_db_open_reader(const char *path, GError **error)
{
    HistoryDb *db = connect_to(path, SQLITE_OPEN_READONLY, READER_WAIT_MS, error);
    if (db && !execute(db, "PRAGMA cache_size = " READER_CACHE "; PRAGMA trusted_schema = OFF", error)) {
        history_db_close(db, false);
        return NULL;
    }
    return db;
}

void history_db_close(HistoryDb *db, bool clean)
{
    if (!db)
        return;
    if (clean)
        history_db_run(db, NULL, SQL_META_PUT, "ti", "clean", (gint64)1);
    for (Sql sql = 0; sql < N_SQL; sql++)
        sqlite3_finalize(db->prepared[sql]);
    sqlite3_close(db->handle);
    g_free(db);
}
