/* SPDX-License-Identifier: Apache-2.0
 * The state probe's database, against what OpenNebula's own writes and reads: its schema, by the numbers of the
 * columns, is here in its own form, and so are the statements that it uses. */
#include "probe/status_db.h"
#include "gather_helpers.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UUID_A "34190a2e-0000-4000-8000-000000000001"
#define UUID_B "34190a2e-0000-4000-8000-000000000002"
#define NOW 1700000000

typedef struct {
    char *dir, *path;
} Place;

static void open_place(Place *place)
{
    place->dir = make_temporary_dir();
    place->path = g_build_filename(place->dir, "status_kvm_0.db", NULL);
}

static void close_place(Place *place)
{
    remove_tree(place->dir);
    g_free(place->dir);
    g_free(place->path);
}

/* As OpenNebula's: a connection without a transaction. */
static void execute(const char *path, const char *sql)
{
    sqlite3 *db;
    char *message = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(db);
}

static int add_line(void *data, int columns, char **values, char **names)
{
    GString *text = data;
    (void)names;
    for (int i = 0; i < columns; i++)
        g_string_append_printf(text, "%s%s", i ? "|" : "", values[i] ? values[i] : "NULL");
    g_string_append_c(text, '\n');
    return 0;
}

static char *ask(const char *path, const char *sql)
{
    sqlite3 *db;
    GString *text = g_string_new(NULL);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    if (sqlite3_exec(db, sql, add_line, text, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
    return g_string_free(text, FALSE);
}

static void check_ask(const char *path, const char *sql, const char *want)
{
    g_autofree char *got = ask(path, sql);
    CHECK_TEXT(got, want, sql);
}

#define STATES                                                                                                         \
    "CREATE TABLE IF NOT EXISTS states(uuid VARCHAR(128) PRIMARY KEY, id INTEGER, name VARCHAR(128), "                 \
    "deploy_id VARCHAR(128), timestamp INTEGER, missing INTEGER, state VARCHAR(128), hyperv VARCHAR(128));"
#define SETTINGS "CREATE TABLE IF NOT EXISTS settings(key VARCHAR(128) PRIMARY KEY, value VARCHAR(128));"

/* What OpenNebula's probe leaves behind: two VMs, one of them missing, and a domain of another name. */
static void make_stock(const Place *place)
{
    execute(place->path, STATES SETTINGS
            "INSERT INTO states VALUES ('" UUID_A "', 83, 'one-83', '" UUID_A "', 1699999990, 0, 'RUNNING', 'kvm');"
            "INSERT INTO states VALUES ('" UUID_B "', 84, 'one-84', '" UUID_B "', 1699999990, 2, 'SUSPENDED', 'kvm');"
            "INSERT INTO states VALUES ('w', -1, 'web', 'w', 1699999990, 0, NULL, 'kvm');"
            "REPLACE INTO settings VALUES ('LAST_SYNC', 1699999900)");
}

static StatusReport *new_report(bool full)
{
    StatusReport *report = g_new0(StatusReport, 1);
    report->text = g_string_new(NULL);
    report->put = g_ptr_array_new_with_free_func((GDestroyNotify)status_row_free);
    report->dropped = g_array_new(FALSE, FALSE, sizeof(gint64));
    report->full = full;
    return report;
}

static void put(StatusReport *report, gint64 row, gint64 id, const char *uuid, const char *state, gint64 missing)
{
    g_autofree char *name = g_strdup_printf("one-%" G_GINT64_FORMAT, id);
    StatusRow *made = status_row_new(id, name, uuid, state);
    made->row = row;
    made->written_s = NOW;
    made->missing = missing;
    g_ptr_array_add(report->put, made);
}

static StatusDb *open_db(const Place *place, bool read_only)
{
    g_autoptr(GError) error = NULL;
    StatusDb *db = status_db_open(place->path, read_only, &error);
    CHECK(db, "%s", error->message);
    return db;
}

static void write_report(const Place *place, const StatusReport *report)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StatusDb) db = open_db(place, false);
    bool good = status_db_write(db, report, NOW, &error) && status_db_commit(db, &error);
    CHECK(good, "%s", error->message);
}

static void test_reads_theirs(void **state)
{
    (void)state;
    Place place;
    open_place(&place);
    make_stock(&place);
    for (int read_only = 0; read_only < 2; read_only++) {
        gint64 last;
        g_autoptr(GError) error = NULL;
        g_autoptr(StatusDb) db = open_db(&place, read_only);
        g_autoptr(GPtrArray) rows = status_db_read(db, &last, &error);
        CHECK(rows, "%s", error->message);
        assert_int_equal(last, 1699999900);
        assert_int_equal(rows->len, 3);
        const StatusRow *second = g_ptr_array_index(rows, 1), *wild = g_ptr_array_index(rows, 2);
        assert_int_equal(second->row, 2);
        assert_int_equal(second->id, 84);
        CHECK_TEXT(second->name, "one-84", "name");
        CHECK_TEXT(second->uuid, UUID_B, "uuid");
        CHECK_TEXT(second->deploy_id, UUID_B, "deploy id");
        CHECK_TEXT(second->state, "SUSPENDED", "state");
        assert_int_equal(second->written_s, 1699999990);
        assert_int_equal(second->missing, 2);
        assert_int_equal(wild->id, -1);
        assert_null(wild->state);
    }
    close_place(&place);
}

/* The same table, byte for byte, as OpenNebula's statements would have made it. */
static void test_writes_like_theirs(void **state)
{
    (void)state;
    Place ours, theirs;
    open_place(&ours);
    open_place(&theirs);
    make_stock(&theirs);
    g_autoptr(StatusReport) report = new_report(true);
    put(report, 0, 83, UUID_A, "RUNNING", 0);
    put(report, 0, 84, UUID_B, "SUSPENDED", 2);
    write_report(&ours, report);
    execute(theirs.path, "DELETE FROM states WHERE id = -1; UPDATE states SET timestamp = 1700000000;"
                         "REPLACE INTO settings VALUES ('LAST_SYNC', 1700000000)");
    static const char *const questions[] = {
        "SELECT * FROM states ORDER BY id",
        "SELECT * FROM settings",
        "SELECT typeof(uuid), typeof(id), typeof(name), typeof(deploy_id), typeof(timestamp), typeof(missing), "
        "typeof(state), typeof(hyperv) FROM states",
        "SELECT typeof(key), typeof(value) FROM settings",
        "SELECT * FROM pragma_table_info('states')",
        "SELECT * FROM pragma_table_info('settings')",
        "PRAGMA journal_mode",
        "PRAGMA user_version",
        "PRAGMA encoding"};
    for (guint i = 0; i < G_N_ELEMENTS(questions); i++) {
        g_autofree char *want = ask(theirs.path, questions[i]);
        check_ask(ours.path, questions[i], want);
    }
    close_place(&ours);
    close_place(&theirs);
}

/* Its statements go on with what we left. */
static void test_they_go_on(void **state)
{
    (void)state;
    Place place;
    open_place(&place);
    g_autoptr(StatusReport) report = new_report(true);
    put(report, 0, 83, UUID_A, "RUNNING", 0);
    put(report, 0, 84, UUID_B, "SUSPENDED", 2);
    write_report(&place, report);
    execute(place.path, STATES SETTINGS "DELETE FROM states WHERE timestamp < 1699956800");
    check_ask(place.path, "SELECT value FROM settings WHERE key = 'LAST_SYNC'", "1700000000\n");
    check_ask(place.path, "SELECT * FROM states WHERE id = '83' OR uuid = '" UUID_A "'",
              UUID_A "|83|one-83|" UUID_A "|1700000000|0|RUNNING|kvm\n");
    execute(place.path, "UPDATE states SET state = 'SUSPENDED', missing = 0, timestamp = 1700000005, uuid = '" UUID_A
                        "', deploy_id = '" UUID_A "' WHERE id = '83' OR uuid = '" UUID_A "';"
                        "UPDATE states SET timestamp = 1700000005, missing = 3 WHERE uuid = '" UUID_B "'");
    gint64 last;
    g_autoptr(StatusDb) db = open_db(&place, false);
    g_autoptr(GPtrArray) rows = status_db_read(db, &last, NULL);
    assert_int_equal(last, NOW);
    CHECK_TEXT(((StatusRow *)g_ptr_array_index(rows, 0))->state, "SUSPENDED", "state");
    assert_int_equal(((StatusRow *)g_ptr_array_index(rows, 1))->missing, 3);
    close_place(&place);
}

static void test_changes(void **state)
{
    (void)state;
    Place place;
    open_place(&place);
    make_stock(&place);
    g_autoptr(StatusReport) report = new_report(false);
    const gint64 wild = 3;
    g_array_append_val(report->dropped, wild);
    put(report, 1, 83, UUID_B, "RUNNING", 0); /* the two exchange their uuids */
    put(report, 2, 84, UUID_A, "RUNNING", 0);
    put(report, 0, 85, "w", "FAILURE", 0); /* and a new one has that of a row which goes */
    write_report(&place, report);
    check_ask(place.path, "SELECT * FROM states ORDER BY id",
              UUID_B "|83|one-83|" UUID_B "|1700000000|0|RUNNING|kvm\n" UUID_A "|84|one-84|" UUID_A
                     "|1700000000|0|RUNNING|kvm\nw|85|one-85|w|1700000000|0|FAILURE|kvm\n");
    check_ask(place.path, "SELECT value FROM settings", "1699999900\n");
    g_autoptr(StatusReport) second = new_report(false);
    put(second, 1, 83, "fresh", "RUNNING", 0); /* a row that gets a uuid nobody has is still the same row */
    write_report(&place, second);
    check_ask(place.path, "SELECT count(*), count(DISTINCT id) FROM states", "3|3\n");
    close_place(&place);
}

/* From opening to closing others can't write: who read before us would take our news for its own. */
static void test_keeps_others_out(void **state)
{
    (void)state;
    Place place;
    sqlite3 *other;
    open_place(&place);
    make_stock(&place);
    assert_int_equal(sqlite3_open(place.path, &other), SQLITE_OK);
    StatusDb *db = open_db(&place, false);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_BUSY);
    status_db_close(db);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE; ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    close_place(&place);
}

static void test_undone(void **state)
{
    (void)state;
    Place place;
    open_place(&place);
    make_stock(&place);
    g_autofree char *before = ask(place.path, "SELECT * FROM states");
    g_autoptr(StatusReport) report = new_report(true);
    put(report, 1, 83, UUID_A, "FAILURE", 0);
    StatusDb *db = open_db(&place, false);
    assert_true(status_db_write(db, report, NOW, NULL));
    check_ask(place.path, "SELECT * FROM states", before); /* others see nothing of it yet */
    status_db_close(db);
    check_ask(place.path, "SELECT * FROM states", before);
    check_ask(place.path, "SELECT value FROM settings", "1699999900\n");
    close_place(&place);
}

static void test_nothing_to_write(void **state)
{
    (void)state;
    Place place;
    struct stat before, after;
    open_place(&place);
    make_stock(&place);
    execute(place.path, "VACUUM");
    assert_int_equal(stat(place.path, &before), 0);
    g_usleep(20000);
    g_autoptr(StatusReport) report = new_report(false);
    write_report(&place, report);
    assert_int_equal(stat(place.path, &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
    close_place(&place);
}

/* --- what can be wrong with a file --- */

static void make_text(const Place *place)
{
    assert_true(g_file_set_contents(place->path, "this is no database, though it is longer than a header of one is …",
                                    -1, NULL));
}

static void make_other_columns(const Place *place)
{
    execute(place->path, "CREATE TABLE states(uuid, id, name, timestamp, missing, state, hyperv);" SETTINGS);
}

static void make_other_settings(const Place *place)
{
    execute(place->path, STATES "CREATE TABLE settings(a, b);");
}

static void make_scratched(const Place *place)
{
    make_stock(place);
    char *content;
    gsize length;
    assert_true(g_file_get_contents(place->path, &content, &length, NULL));
    memset(content + 4096, 0xA5, length - 4096);
    assert_true(g_file_set_contents(place->path, content, (gssize)length, NULL));
    g_free(content);
}

static void make_cut(const Place *place)
{
    make_stock(place);
    assert_int_equal(truncate(place->path, 5000), 0);
}

static const struct {
    const char *name;
    void (*make)(const Place *place);
} damages[] = {{"text", make_text},
               {"other columns", make_other_columns},
               {"other settings", make_other_settings},
               {"scratched", make_scratched},
               {"cut", make_cut}};

/* Opens, reads, and writes a row; the first error. */
static GError *use(const Place *place)
{
    GError *error = NULL;
    gint64 last;
    g_autoptr(StatusReport) report = new_report(true);
    put(report, 0, 90, "u90", "RUNNING", 0);
    g_autoptr(StatusDb) db = status_db_open(place->path, false, &error);
    g_autoptr(GPtrArray) rows = db ? status_db_read(db, &last, &error) : NULL;
    if (rows && status_db_write(db, report, NOW, &error))
        status_db_commit(db, &error);
    return error;
}

static void test_damaged(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(damages); i++) {
        Place place;
        g_autoptr(GError) wrong = NULL;
        open_place(&place);
        damages[i].make(&place);
        g_autoptr(GError) error = use(&place);
        CHECK(error && error->code == STATUS_DB_ERROR_DAMAGED, "%s: %s", damages[i].name, error ? error->message : "");
        CHECK(g_str_has_prefix(error->message, place.path), "%s: %s", damages[i].name, error->message);
        g_autofree char *journal = g_strconcat(place.path, "-journal", NULL); /* of the damaged one alone */
        assert_true(g_file_set_contents(journal, "left behind", -1, NULL));
        CHECK(status_db_set_aside(place.path, &wrong), "%s", wrong->message);
        assert_false(g_file_test(journal, G_FILE_TEST_EXISTS));
        g_autofree char *aside = g_strconcat(place.path, ".damaged", NULL);
        assert_true(g_file_test(aside, G_FILE_TEST_EXISTS));
        g_autoptr(GError) again = use(&place);
        CHECK(!again, "%s: %s", damages[i].name, again->message);
        close_place(&place);
    }
}

/* Killed before its commit, with all of it written. */
static void test_killed(void **state)
{
    (void)state;
    Place place;
    open_place(&place);
    make_stock(&place);
    g_autofree char *before = ask(place.path, "SELECT * FROM states");
    pid_t child = fork();
    if (child == 0) {
        g_autoptr(StatusReport) report = new_report(true);
        put(report, 1, 83, UUID_A, "FAILURE", 0);
        StatusDb *db = status_db_open(place.path, false, NULL);
        _exit(db && status_db_write(db, report, NOW, NULL) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    gint64 last;
    StatusDb *db = open_db(&place, true); /* somebody who looks is not hindered by what was left */
    g_autoptr(GPtrArray) rows = status_db_read(db, &last, NULL);
    assert_int_equal(rows->len, 3);
    assert_int_equal(last, 1699999900);
    status_db_close(db);
    check_ask(place.path, "SELECT * FROM states", before);
    g_autoptr(GError) error = use(&place);
    CHECK(!error, "%s", error->message);
    close_place(&place);
}

static void test_empty_file(void **state)
{
    (void)state;
    Place place;
    open_place(&place);
    assert_true(g_file_set_contents(place.path, "", 0, NULL));
    g_autoptr(GError) error = use(&place);
    CHECK(!error, "%s", error->message);
    check_ask(place.path, "SELECT id FROM states", "90\n");
    close_place(&place);
}

static void test_locked(void **state)
{
    (void)state;
    Place place;
    sqlite3 *other;
    open_place(&place);
    make_stock(&place);
    assert_int_equal(sqlite3_open(place.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
    g_autoptr(GError) error = use(&place);
    assert_non_null(error);
    assert_int_equal(error->code, STATUS_DB_ERROR_BUSY);
    g_autofree char *want = g_strdup_printf("%s: another program holds it locked", place.path);
    CHECK_TEXT(error->message, want, "message");
    sqlite3_close(other);
    g_autoptr(GError) again = use(&place);
    CHECK(!again, "%s", again->message);
    close_place(&place);
}

static void test_no_place(void **state)
{
    (void)state;
    Place place;
    open_place(&place);
    assert_int_equal(g_mkdir(place.path, 0700), 0); /* a directory is in its place */
    g_autoptr(GError) error = use(&place);
    assert_int_equal(error->code, STATUS_DB_ERROR_FAILED);
    close_place(&place);
    char directory[] = "/nonexistent", path[] = "/nonexistent/status_kvm_0.db";
    const Place gone = {directory, path};
    g_autoptr(GError) second = use(&gone);
    assert_int_equal(second->code, STATUS_DB_ERROR_FAILED);
    CHECK_TEXT(second->message, "/nonexistent/status_kvm_0.db: unable to open database file", "message");
}

/* A full disk, as a limit on the size of files has it: nothing of the report is there afterwards. */
static void test_full_disk(void **state)
{
    (void)state;
    Place place;
    struct rlimit before, limit;
    open_place(&place);
    make_stock(&place);
    g_autofree char *rows = ask(place.path, "SELECT * FROM states");
    g_autoptr(StatusReport) report = new_report(true);
    for (int i = 0; i < 500; i++) {
        g_autofree char *uuid = g_strdup_printf("34190a2e-0000-4000-8000-%012d", i + 100);
        put(report, 0, i + 100, uuid, "RUNNING", 0);
    }
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 30000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    g_autoptr(GError) error = NULL;
    StatusDb *db = status_db_open(place.path, false, &error);
    bool good = db && status_db_write(db, report, NOW, &error) && status_db_commit(db, &error);
    if (db)
        status_db_close(db);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_false(good);
    assert_int_equal(error->code, STATUS_DB_ERROR_FAILED);
    check_ask(place.path, "SELECT * FROM states", rows);
    close_place(&place);
}

static void test_read_only(void **state)
{
    (void)state;
    Place place;
    gint64 last;
    open_place(&place);
    StatusDb *db = open_db(&place, true);
    g_autoptr(GPtrArray) rows = status_db_read(db, &last, NULL);
    assert_int_equal(rows->len, 0);
    assert_int_equal(last, 0);
    status_db_close(db);
    assert_false(g_file_test(place.path, G_FILE_TEST_EXISTS));
    assert_true(g_file_set_contents(place.path, "", 0, NULL));
    db = open_db(&place, true);
    g_autoptr(GPtrArray) none = status_db_read(db, &last, NULL);
    assert_int_equal(none->len, 0);
    status_db_close(db);
    close_place(&place);
}

static void test_odd_contents(void **state)
{
    (void)state;
    Place place;
    gint64 last;
    open_place(&place);
    execute(place.path,
            STATES SETTINGS "INSERT INTO states VALUES (NULL, 'x', 7, NULL, 'soon', 'often', x'ff00', NULL);"
                            "INSERT INTO states VALUES ('u', '83', NULL, 'd', 1e3, 2.9, 5, 'lxc');"
                            "INSERT INTO settings VALUES ('LAST_SYNC', 'yesterday')");
    g_autoptr(StatusDb) db = open_db(&place, false);
    g_autoptr(GPtrArray) rows = status_db_read(db, &last, NULL);
    assert_int_equal(last, 0);
    assert_int_equal(rows->len, 2);
    const StatusRow *first = g_ptr_array_index(rows, 0), *second = g_ptr_array_index(rows, 1);
    assert_null(first->uuid);
    assert_int_equal(first->id, -1);
    assert_int_equal(first->written_s, 0);
    assert_int_equal(second->id, 83);
    assert_int_equal(second->written_s, 1000);
    assert_int_equal(second->missing, 2);
    CHECK_TEXT(second->state, "5", "state");
    close_place(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_theirs),     cmocka_unit_test(test_writes_like_theirs),
        cmocka_unit_test(test_they_go_on),       cmocka_unit_test(test_changes),
        cmocka_unit_test(test_keeps_others_out), cmocka_unit_test(test_undone),
        cmocka_unit_test(test_nothing_to_write), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_killed),           cmocka_unit_test(test_empty_file),
        cmocka_unit_test(test_locked),           cmocka_unit_test(test_no_place),
        cmocka_unit_test(test_full_disk),        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_odd_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
