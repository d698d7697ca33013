/* SPDX-License-Identifier: Apache-2.0
 * The history's tables and statements; history_db.c alone includes this.
 *
 * Samples go to `journal` first, in the order in which they come: one VM's rows of a tier lie side by side, so to put
 * every sample into its place at once would write one page for each. From there a VM's samples are settled into the
 * tiers together, minutes later; `settled` says up to which journal row that was done. */
#pragma once

#define APPLICATION_ID "827019348" /* 0x314B5454 */
#define SCHEMA_VERSION "1"

#define TIER_TABLE(name)                                                                                               \
    "CREATE TABLE " name " (vm_id INTEGER NOT NULL, time INTEGER NOT NULL, figures BLOB NOT NULL,"                     \
    " PRIMARY KEY (vm_id, time)) WITHOUT ROWID;"

/* clang-format off */
static const char schema[] =
    "PRAGMA application_id = " APPLICATION_ID "; PRAGMA user_version = " SCHEMA_VERSION ";"
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE metrics (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    TIER_TABLE("raw") TIER_TABLE("minutes") TIER_TABLE("quarters")
    "CREATE TABLE sizes (tier INTEGER PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL);"
    "CREATE TABLE journal (seq INTEGER PRIMARY KEY, vm_id INTEGER NOT NULL, time INTEGER NOT NULL,"
    " figures BLOB NOT NULL);"
    "CREATE TABLE settled (vm_id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, time INTEGER NOT NULL);"
    "CREATE TABLE events (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, vm_id INTEGER NOT NULL,"
    " source INTEGER NOT NULL, host TEXT, state TEXT, lcm_state TEXT, vm_name TEXT, owner TEXT, previous_state TEXT,"
    " previous_lcm_state TEXT, reason TEXT);"
    "CREATE INDEX events_time ON events (time);"
    "CREATE INDEX events_vm ON events (vm_id, time);"
    "CREATE TABLE vms (vm_id INTEGER PRIMARY KEY, name TEXT, uuid TEXT, host TEXT, source INTEGER NOT NULL,"
    " first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, ended INTEGER NOT NULL, one_state TEXT,"
    " one_lcm_state TEXT, texts BLOB);";

#define EACH_TIER(sql, before, after)                                                                                  \
    [(sql) + TIER_RAW] = before "raw" after, [(sql) + TIER_MINUTE] = before "minutes" after,                          \
    [(sql) + TIER_QUARTER] = before "quarters" after

#define TIER_DELETE(name)                                                                                              \
    "DELETE FROM " name " WHERE vm_id = ?1 AND time < ifnull((SELECT time FROM " name                                  \
    " WHERE vm_id = ?1 AND time < ?2 ORDER BY time LIMIT 1 OFFSET ?3), ?2)"

#define EVENT_COLUMNS                                                                                                  \
    "time, vm_id, source, host, state, lcm_state, vm_name, owner, previous_state, previous_lcm_state, reason"

/* Deletions are bounded, so that none keeps the writer for long. */
static const char *const statements[N_SQL] = {
    EACH_TIER(SQL_PUT, "INSERT OR REPLACE INTO ", " (vm_id, time, figures) VALUES (?, ?, ?)"),
    EACH_TIER(SQL_ONE, "SELECT figures FROM ", " WHERE vm_id = ? AND time = ?"),
    EACH_TIER(SQL_RANGE, "SELECT time, figures FROM ",
              " WHERE vm_id = ? AND time >= ? AND time < ? ORDER BY time"),
    EACH_TIER(SQL_COUNT, "SELECT count(*) FROM (SELECT 1 FROM ",
              " WHERE vm_id = ? AND time >= ? AND time < ? LIMIT ?)"),
    EACH_TIER(SQL_OLDEST, "SELECT min(time) FROM ", " WHERE vm_id = ?"),
    EACH_TIER(SQL_NEWEST, "SELECT max(time) FROM ", " WHERE vm_id = ?"),
    [SQL_DELETE + TIER_RAW] = TIER_DELETE("raw"),
    [SQL_DELETE + TIER_MINUTE] = TIER_DELETE("minutes"),
    [SQL_DELETE + TIER_QUARTER] = TIER_DELETE("quarters"),
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_JOURNAL_ADD] = "INSERT INTO journal (seq, vm_id, time, figures) VALUES (?, ?, ?, ?)",
    [SQL_JOURNAL_ALL] = "SELECT seq, vm_id, time, figures FROM journal ORDER BY seq",
    [SQL_JOURNAL_FIRST] = "SELECT min(seq) FROM journal",
    [SQL_JOURNAL_TRIM] = "DELETE FROM journal WHERE seq < ?",
    [SQL_SETTLED_ONE] = "SELECT seq, time FROM settled WHERE vm_id = ?",
    [SQL_SETTLED_PUT] = "INSERT OR REPLACE INTO settled (vm_id, seq, time) VALUES (?, ?, ?)",
    [SQL_SETTLED_AFTER] = "SELECT vm_id, time FROM settled WHERE vm_id > ? ORDER BY vm_id LIMIT 1",
    [SQL_SETTLED_DELETE] = "DELETE FROM settled WHERE vm_id = ?",
    [SQL_SETTLED_TOTAL] = "SELECT count(*), max(seq) FROM settled",
    [SQL_SIZE_ALL] = "SELECT tier, rows, bytes FROM sizes",
    [SQL_SIZE_PUT] = "INSERT OR REPLACE INTO sizes (tier, rows, bytes) VALUES (?, ?, ?)",
    [SQL_METRIC_ALL] = "SELECT number, name FROM metrics ORDER BY number",
    [SQL_METRIC_ADD] = "INSERT INTO metrics (number, name) VALUES (?, ?)",
    [SQL_META_GET] = "SELECT value FROM meta WHERE name = ?",
    [SQL_META_PUT] = "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)",
    [SQL_EVENT_ADD] = "INSERT INTO events (" EVENT_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_EVENT_LIST] = "SELECT " EVENT_COLUMNS " FROM events WHERE time >= ? AND time < ?"
                       " ORDER BY time DESC, id DESC LIMIT ?",
    [SQL_EVENT_LIST_VM] = "SELECT " EVENT_COLUMNS " FROM events WHERE vm_id = ? AND time >= ? AND time < ?"
                          " ORDER BY time DESC, id DESC LIMIT ?",
    [SQL_EVENT_TRIM] = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE time < ?1 ORDER BY time LIMIT 1000)"
                       " OR id <= (SELECT max(id) FROM events) - ?2",
    [SQL_VM_PUT] = "INSERT OR REPLACE INTO vms (vm_id, name, uuid, host, source, first_seen, last_seen, ended,"
                   " one_state, one_lcm_state, texts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_VM_ALL] = "SELECT vms.vm_id, name, uuid, host, source, first_seen,"
                   " CASE ended WHEN 0 THEN max(last_seen, ifnull(settled.time, 0)) ELSE last_seen END, ended, one_state,"
                   " one_lcm_state, texts FROM vms LEFT JOIN settled ON settled.vm_id = vms.vm_id ORDER BY vms.vm_id",
    [SQL_VM_KNOWN] = "SELECT EXISTS (SELECT 1 FROM vms WHERE vm_id = ?1)"
                     " OR EXISTS (SELECT 1 FROM settled WHERE vm_id = ?1)",
    [SQL_VM_TRIM] = "DELETE FROM vms WHERE max(last_seen, ended) < ?"
                    " AND NOT EXISTS (SELECT 1 FROM settled WHERE settled.vm_id = vms.vm_id)",
    [SQL_PAGES_USED] = "SELECT (page_count - freelist_count) * page_size"
                       " FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    [SQL_PAGES_FREE] = "SELECT freelist_count FROM pragma_freelist_count",
    [SQL_GIVE_BACK] = "PRAGMA incremental_vacuum(256)",
};
/* clang-format on */
