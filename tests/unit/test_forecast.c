/* SPDX-License-Identifier: Apache-2.0
 * The files of OpenNebula's forecaster: what is put there, as SQLite reads it; files that are new, old, damaged,
 * locked, in a directory that is none. */
#include "gather_helpers.h"

#include "encode/forecast.h"
#include "probe/forecast_db.h"

#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AT_S 1700000000 /* within 520 weeks of now */

static Sample *make_sample(gint64 seconds)
{
    Sample *sample = sample_new();
    sample->realtime_ns = seconds * 1000000000 + 999999999;
    VmSample *vm = add_vm(sample, "one-83", "u-83", 1);
    row_set_real(vm->row, METRIC_VM_CPU_CORE_PERCENT, 7.184);
    row_set_u64(vm->row, METRIC_VM_MEMORY_HOST, 41832);
    row_set_u64(vm->row, METRIC_VM_NET_RX_BYTES, 110);
    row_set_u64(vm->row, METRIC_VM_NET_TX_BYTES, 0);
    row_set_u64(vm->row, METRIC_VM_DISK_RD_BYTES, 592384);
    row_set_u64(vm->row, METRIC_VM_DISK_WR_BYTES, 591872);
    row_set_u64(vm->row, METRIC_VM_DISK_RD_REQS, 1157);
    row_set_u64(vm->row, METRIC_VM_DISK_WR_REQS, 1156);
    add_vm(sample, "one-84", "u-84", 2); /* of which nothing is known */
    return sample;
}

/* Rows of the statement, "a|b;" each; fails where the file can't be read. Owned by the caller. */
static char *ask(const char *dir, const char *name, const char *sql)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *uri = g_strdup_printf("file:%s?mode=ro", path); /* as the forecaster opens it */
    sqlite3 *db;
    sqlite3_stmt *statement;
    GString *out = g_string_new(NULL);
    assert_int_equal(sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++)
            g_string_append_printf(out, "%s%s", i ? "|" : "", (const char *)sqlite3_column_text(statement, i));
        g_string_append_c(out, ';');
    }
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return g_string_free(out, FALSE);
}

static void check(const char *dir, const char *name, const char *sql, const char *want)
{
    g_autofree char *got = ask(dir, name, sql);
    assert_string_equal(got, want);
}

static void put(const char *dir, gint64 seconds, guint weeks, guint written, guint mended)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Sample) sample = make_sample(seconds);
    const ForecastOptions options = {.dir = dir, .weeks = weeks};
    ForecastReport report;
    CHECK(forecast_db_put(sample, &options, &report, &error), "%s", error ? error->message : "");
    assert_int_equal(report.written, written);
    assert_int_equal(report.mended, mended);
}

#define TABLE(name) "virtualmachine_83_" name "_monitoring"
#define OF(name) "SELECT '" name "', * FROM " TABLE(name)
#define AND " UNION ALL "

static void test_new_files(void **state)
{
    g_autofree char *dir = g_build_filename(*state, "one_db", NULL), *other = g_build_filename(dir, "84.db", NULL);
    put(dir, AT_S, 520, 1, 0);
    check(dir, "83.db", OF("cpu") AND OF("memory") AND OF("netrx") AND OF("nettx"),
          "cpu|1700000000|7.18;memory|1700000000|41832.0;netrx|1700000000|110.0;nettx|1700000000|0.0;");
    check(dir, "83.db", OF("diskrdbytes") AND OF("diskwrbytes") AND OF("diskrdiops") AND OF("diskwriops"),
          "diskrdbytes|1700000000|592384.0;diskwrbytes|1700000000|591872.0;diskrdiops|1700000000|1157.0;"
          "diskwriops|1700000000|1156.0;");
    check(dir, "83.db", "SELECT name, type, \"notnull\", pk FROM pragma_table_info('" TABLE("cpu") "')",
          "TIMESTAMP|INTEGER|0|1;VALUE|REAL|1|0;");
    check(dir, "83.db", "SELECT count(*) FROM sqlite_master WHERE type = 'table'", "8;");
    check(dir, "83.db", "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '" TABLE("cpu") "'",
          "delete_old_records_" TABLE("cpu") ";");
    check(dir, "83.db", "PRAGMA journal_mode", "delete;"); /* the forecaster could not read another with mode=ro */
    assert_false(g_file_test(other, G_FILE_TEST_EXISTS));
    struct stat status;
    assert_int_equal(stat(dir, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0755);
}

static void test_goes_on(void **state)
{
    const char *dir = *state;
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    put(dir, now_s - 15 * 86400, 2, 1, 0); /* the trigger takes it away at once: it is older than two weeks */
    put(dir, now_s - 13 * 86400, 2, 1, 0);
    put(dir, now_s, 2, 1, 0);
    put(dir, now_s, 2, 1, 0); /* the same second */
    check(dir, "83.db", "SELECT count(*) FROM " TABLE("cpu"), "2;");
    check(dir, "83.db", "SELECT count(*) FROM " TABLE("diskwriops"), "2;");
}

/* Of a GPU, which the VM's agent was asked for; what is no number can't get into the statement. */
static void test_gpu(void **state)
{
    const char *dir = *state;
    g_autoptr(Sample) sample = make_sample(AT_S);
    const char *const extras[] = {
        "GPU_COUNT", "1", "GPU_UTILIZATION", "1); DROP TABLE x; --", "GPU_POWER_USAGE", "70.50", "GPU_MEMORY_FREE",
        "nan",       NULL};
    ((VmSample *)g_ptr_array_index(sample->vms, 0))->extras = g_strdupv((char **)(guintptr)extras);
    const ForecastOptions options = {.dir = dir, .weeks = 520};
    ForecastReport report;
    assert_true(forecast_db_put(sample, &options, &report, NULL));
    check(dir, "83.db", "SELECT * FROM " TABLE("gpupowerusage"), "1700000000|70.5;");
    check(dir, "83.db", "SELECT count(*) FROM sqlite_master WHERE type = 'table'", "9;");
}

/* What poll.rb has made stays as it is, and is gone on with. */
static void test_poll_rbs(void **state)
{
    const char *dir = *state;
    g_autofree char *path = g_build_filename(dir, "83.db", NULL);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "CREATE TABLE " TABLE(
                         "cpu") " (TIMESTAMP INTEGER PRIMARY KEY, VALUE REAL NOT NULL);"
                                "CREATE TRIGGER delete_old_records_" TABLE("cpu") " AFTER INSERT ON " TABLE(
                                    "cpu") " BEGIN DELETE FROM " TABLE("cpu") " WHERE TIMESTAMP < 1600000000; END;"
                                                                              "INSERT INTO " TABLE(
                                                                                  "cpu") " VALUES (1699999970, 3.5)",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    put(dir, AT_S, 520, 1, 0);
    check(dir, "83.db", "SELECT * FROM " TABLE("cpu"), "1699999970|3.5;1700000000|7.18;");
    check(dir, "83.db", "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'", "8;");
}

static void test_damaged(void **state)
{
    const char *dir = *state;
    g_autofree char *path = g_build_filename(dir, "83.db", NULL);
    assert_true(g_file_set_contents(path, "this is no database, and never was one", -1, NULL));
    put(dir, AT_S, 520, 1, 1);
    check(dir, "83.db", "SELECT count(*) FROM " TABLE("cpu"), "1;");
}

/* All of a VM's rows or none: here the last table can't be written. */
static void test_one_transaction(void **state)
{
    const char *dir = *state;
    g_autofree char *path = g_build_filename(dir, "83.db", NULL);
    sqlite3 *db;
    put(dir, AT_S, 520, 1, 0);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "CREATE TRIGGER no BEFORE INSERT ON " TABLE("diskwriops") " BEGIN SELECT RAISE(ABORT, 'no'); END",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    g_autoptr(GError) error = NULL;
    g_autoptr(Sample) sample = make_sample(AT_S + 30);
    const ForecastOptions options = {.dir = dir, .weeks = 2};
    ForecastReport report;
    assert_false(forecast_db_put(sample, &options, &report, &error));
    assert_true(g_error_matches(error, FORECAST_ERROR, FORECAST_ERROR_FILE));
    assert_non_null(strstr(error->message, "1 of 2 VMs: "));
    assert_non_null(strstr(error->message, "83.db: SQLite: no"));
    check(dir, "83.db", "SELECT count(*) FROM " TABLE("cpu"), "1;");
}

static void test_directories(void **state)
{
    const char *dir = *state;
    g_autoptr(Sample) sample = make_sample(AT_S);
    g_autofree char *link = g_build_filename(dir, "link", NULL), *open = g_build_filename(dir, "open", NULL);
    g_autofree char *none = g_build_filename(dir, "none", "one_db", NULL), *file = g_build_filename(dir, "file", NULL);
    assert_int_equal(symlink(dir, link), 0);
    assert_int_equal(mkdir(open, 0700), 0);
    assert_int_equal(chmod(open, 0777), 0);
    assert_true(g_file_set_contents(file, "", 0, NULL));
    const struct {
        const char *dir, *message;
    } cases[] = {{link, "is no directory"}, {open, "everybody may write"}, {none, "No such file"}, {file, "is no dir"}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        const ForecastOptions options = {.dir = cases[i].dir, .weeks = 2};
        ForecastReport report;
        assert_false(forecast_db_put(sample, &options, &report, &error));
        assert_true(g_error_matches(error, FORECAST_ERROR, FORECAST_ERROR_DIR));
        CHECK(strstr(error->message, cases[i].message), "%s", error->message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_files, set_up_directory, tear_down_directory),
        cmocka_unit_test_setup_teardown(test_goes_on, set_up_directory, tear_down_directory),
        cmocka_unit_test_setup_teardown(test_gpu, set_up_directory, tear_down_directory),
        cmocka_unit_test_setup_teardown(test_poll_rbs, set_up_directory, tear_down_directory),
        cmocka_unit_test_setup_teardown(test_damaged, set_up_directory, tear_down_directory),
        cmocka_unit_test_setup_teardown(test_one_transaction, set_up_directory, tear_down_directory),
        cmocka_unit_test_setup_teardown(test_directories, set_up_directory, tear_down_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
