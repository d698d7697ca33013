/* SPDX-License-Identifier: Apache-2.0
 * The history's connections to SQLite and its statements. Internal to history*.c. A connection belongs to one thread at
 * a time. Errors: HISTORY_ERROR. */
#pragma once

#include "store/history.h"

typedef struct sqlite3_stmt sqlite3_stmt;
typedef struct HistoryDb HistoryDb;

/* Those of a tier stand three in a row: SQL_PUT + tier. Times of the tiers are in their own unit, history_tier_unit. */
typedef enum {
    SQL_PUT,
    SQL_ONE = SQL_PUT + N_TIERS,
    SQL_RANGE = SQL_ONE + N_TIERS,
    SQL_COUNT = SQL_RANGE + N_TIERS,
    SQL_OLDEST = SQL_COUNT + N_TIERS,
    SQL_NEWEST = SQL_OLDEST + N_TIERS,
    SQL_DELETE = SQL_NEWEST + N_TIERS,
    SQL_BEGIN = SQL_DELETE + N_TIERS,
    SQL_BEGIN_READ,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_JOURNAL_ADD,
    SQL_JOURNAL_ALL,
    SQL_JOURNAL_FIRST,
    SQL_JOURNAL_TRIM,
    SQL_SETTLED_ONE,
    SQL_SETTLED_PUT,
    SQL_SETTLED_AFTER,
    SQL_SETTLED_DELETE,
    SQL_SETTLED_TOTAL,
    SQL_SIZE_ALL,
    SQL_SIZE_PUT,
    SQL_METRIC_ALL,
    SQL_METRIC_ADD,
    SQL_META_GET,
    SQL_META_PUT,
    SQL_EVENT_ADD,
    SQL_EVENT_LIST,
    SQL_EVENT_LIST_VM,
    SQL_EVENT_TRIM,
    SQL_VM_PUT,
    SQL_VM_ALL,
    SQL_VM_KNOWN,
    SQL_VM_TRIM,
    SQL_PAGES_USED,
    SQL_PAGES_FREE,
    SQL_GIVE_BACK,
    N_SQL
} Sql;

#define HISTORY_NS_PER_S G_GINT64_CONSTANT(1000000000)
gint64 history_tier_step(HistoryTier tier); /* ns; 0 of TIER_RAW */
gint64 history_tier_unit(HistoryTier tier); /* ns that a time in its table counts: 1 of TIER_RAW, else a second's */

/* The writer's connection: makes the file and its tables where there are none. HISTORY_ERROR_DAMAGED: what is there is
 * no history of ours, or not a sound one. `names` (of char *): the metrics' names by number; an empty array is filled
 * from the file, else the file, which must be new, is given these. */
HistoryDb *history_db_open(const char *path, GPtrArray *names, GError **error);
HistoryDb *history_db_open_reader(const char *path, GError **error);
/* `clean`: it need not be checked when it is opened again. */
void history_db_close(HistoryDb *db, bool clean);

/* A statement with its parameters bound: of each the type in `types`: i gint64, t text (may be NULL), b (const guint8
 * *, gsize). It stays the connection's. */
sqlite3_stmt *history_db_bind(HistoryDb *db, Sql sql, const char *types, ...);
/* true: the next row is there. false: there is none, or *error is set; the statement is then done. */
bool history_db_next(HistoryDb *db, sqlite3_stmt *statement, GError **error);
/* Executes a statement that gives no rows. */
bool history_db_run(HistoryDb *db, GError **error, Sql sql, const char *types, ...);
/* Its first column of the first row; `otherwise` where there is no row, or it is NULL. */
bool history_db_number(HistoryDb *db, gint64 otherwise, gint64 *ret_number, GError **error, Sql sql, const char *types,
                       ...);
/* Puts what is in the log into the file and gives the log's room back, unless somebody reads. */
void history_db_checkpoint(HistoryDb *db);
guint history_db_changes(HistoryDb *db); /* rows that the last statement changed */

gint64 history_db_i64(sqlite3_stmt *statement, int column);
const char *history_db_text(sqlite3_stmt *statement, int column); /* NULL: it has none */
/* Valid until the next row. */
const guint8 *history_db_blob(sqlite3_stmt *statement, int column, gsize *ret_length);
