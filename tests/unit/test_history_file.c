/* SPDX-License-Identifier: Apache-2.0
 * Files that are damaged, of others, or gone; and what is in an old file. */
#include "test_history.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>

static void execute(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void write_text(const char *path, const char *text)
{
    assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A history with a settled hour of VM 7, closed. */
static void make_history(const Place *place)
{
    g_autoptr(History) history = open_history(place);
    add_many(history, 7, some_hours_ago(3), 10 * S, 360);
    history_flush(history, true);
}

/* From the second page on. */
static void scratch(const char *path)
{
    struct stat status;
    char garbage[4096];
    memset(garbage, 0xA5, sizeof garbage);
    int fd = open(path, O_WRONLY);
    assert_int_equal(fstat(fd, &status), 0);
    assert_true(status.st_size > 8 * (off_t)sizeof garbage);
    for (off_t at = sizeof garbage; at < status.st_size; at += sizeof garbage)
        assert_int_equal(pwrite(fd, garbage, sizeof garbage, at), sizeof garbage);
    close(fd);
}

/* --- what is no sound history of ours --- */

static void make_text(const Place *place)
{
    write_text(place->path, "this is no database\n");
}

static void make_foreign(const Place *place)
{
    execute(place->path, "CREATE TABLE raw (x); CREATE TABLE passwords (y)");
}

static void make_later(const Place *place)
{
    make_history(place);
    execute(place->path, "PRAGMA user_version = 2");
}

static void make_without_table(const Place *place)
{
    make_history(place);
    execute(place->path, "DROP TABLE minutes");
}

static void make_holes(const Place *place)
{
    make_history(place);
    execute(place->path, "UPDATE meta SET value = 0 WHERE name = 'clean'");
    scratch(place->path);
}

static void make_cut(const Place *place)
{
    make_history(place);
    assert_int_equal(truncate(place->path, 10000), 0);
}

static void make_misnumbered(const Place *place)
{
    make_history(place);
    execute(place->path, "DELETE FROM metrics WHERE number = 3");
}

static void make_link(const Place *place)
{
    g_autofree char *target = g_build_filename(place->dir, "target", NULL);
    write_text(target, "precious");
    assert_int_equal(symlink(target, place->path), 0);
}

static void make_fifo(const Place *place)
{
    assert_int_equal(mkfifo(place->path, 0600), 0);
}

static void make_open_to_others(const Place *place)
{
    make_history(place);
    assert_int_equal(chmod(place->path, 0666), 0);
}

static void make_log_a_link(const Place *place)
{
    g_autofree char *log = g_strconcat(place->path, "-wal", NULL);
    make_history(place);
    assert_int_equal(symlink("/nonexistent", log), 0);
}

static const struct {
    const char *label;
    void (*make)(const Place *place);
} unsound[] = {
    {"text", make_text},
    {"another program's", make_foreign},
    {"a later version's", make_later},
    {"a table is missing", make_without_table},
    {"holes", make_holes},
    {"cut", make_cut},
    {"metrics without a number", make_misnumbered},
    {"a symbolic link", make_link},
    {"a FIFO", make_fifo},
    {"open to others", make_open_to_others},
    {"its log is a link", make_log_a_link},
};

static void test_unsound(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(unsound); i++) {
        PLACE(place);
        unsound[i].make(&place);
        g_autoptr(History) history = open_history(&place);
        HistoryStatus status;
        history_status(history, &status);
        CHECK(status.set_aside && g_str_has_prefix(status.set_aside, place.path), "%s", unsound[i].label);
        CHECK(g_file_test(status.set_aside, G_FILE_TEST_EXISTS), "%s", unsound[i].label);
        history_status_clear(&status);

        const gint64 now = history_now_ns();
        add(history, 7, now - S, 5);
        history_flush(history, true);
        g_autoptr(HistoryAnswer) answer = ask(history, 7, now - 5 * HOUR, now, 0);
        CHECK(answer->series[0]->len == 1, "%s: %u points", unsound[i].label, answer->series[0]->len);
    }
}

static void test_target_of_link_stays(void **state)
{
    (void)state;
    PLACE(place);
    g_autofree char *target = g_build_filename(place.dir, "target", NULL);
    g_autofree char *content = NULL;
    make_link(&place);
    history_close(open_history(&place));
    assert_true(g_file_get_contents(target, &content, NULL, NULL));
    assert_string_equal(content, "precious");
}

/* A sound one is not set aside, whether it was closed or not, or is empty. */
static void test_sound(void **state)
{
    (void)state;
    PLACE(place);
    write_text(place.path, "");
    assert_int_equal(chmod(place.path, 0600), 0);
    make_history(&place);
    make_history(&place);
    execute(place.path, "UPDATE meta SET value = 0 WHERE name = 'clean'");
    make_history(&place);
    assert_int_equal(files_named(&place, "history.sqlite.damaged"), 0);
    struct stat status;
    assert_int_equal(stat(place.path, &status), 0);
    assert_int_equal(status.st_mode & 077, 0);
}

static void test_few_are_kept(void **state)
{
    (void)state;
    PLACE(place);
    for (guint i = 0; i < HISTORY_DAMAGED_MAX + 3; i++) {
        make_text(&place);
        history_close(open_history(&place));
    }
    assert_int_equal(files_named(&place, "history.sqlite.damaged"), HISTORY_DAMAGED_MAX);
}

static void test_places(void **state)
{
    (void)state;
    PLACE(place);
    g_autoptr(GError) error = NULL;
    g_autoptr(History) history = open_history(&place);
    assert_null(history_open(place.path, &keep_all, &error));
    assert_true(g_error_matches(error, HISTORY_ERROR, HISTORY_ERROR_BUSY));
    g_clear_error(&error);

    g_autofree char *deep = g_build_filename(place.dir, "a", "b", "history.sqlite", NULL);
    assert_null(history_open(deep, &keep_all, &error));
    assert_true(g_error_matches(error, HISTORY_ERROR, HISTORY_ERROR_OPEN));
    g_clear_error(&error);

    g_autofree char *open_dir = g_build_filename(place.dir, "open", NULL);
    g_autofree char *in_open = g_build_filename(open_dir, "history.sqlite", NULL);
    assert_int_equal(mkdir(open_dir, 0700), 0);
    assert_int_equal(chmod(open_dir, 0777), 0);
    assert_null(history_open(in_open, &keep_all, &error));
    assert_true(g_error_matches(error, HISTORY_ERROR, HISTORY_ERROR_OPEN));
}

/* Killed between settling a sample and taking it out of the journal: it does not count twice. There is no tier of
 * samples that could tell. */
static void test_settled_and_in_journal(void **state)
{
    (void)state;
    PLACE(place);
    const HistoryOptions buckets = {.keep_s = {0, 315360000, 315360000}, .flush_ms = 3600000};
    const gint64 quarter = some_hours_ago(3);
    for (guint round = 0; round < 3; round++) {
        g_autoptr(History) history = open_with(&place, &buckets);
        if (round == 0)
            add_many(history, 7, quarter, 10 * S, 3);
        history_flush(history, round > 0);
        g_autoptr(HistoryAnswer) minute = ask(history, 7, quarter, quarter + HOUR, MINUTE);
        check_point(minute, 0, (HistoryPoint){quarter, 0, 1, 2, 3});
        g_clear_pointer(&history, history_close);
        execute(place.path, round == 0 ? "CREATE TABLE kept AS SELECT * FROM journal"
                                       : "INSERT OR REPLACE INTO journal SELECT * FROM kept");
    }
}

/* --- while it runs --- */

static void test_damage_while_running(void **state)
{
    (void)state;
    PLACE(place);
    make_history(&place);
    g_autoptr(History) history = open_history(&place);
    const gint64 now = history_now_ns();
    static const Metric metric = METRIC_VM_CPU_USAGE_PERCENT;
    const HistoryQuery query = {7, &metric, 1, now - 5 * HOUR, now, 0};
    g_autoptr(GError) error = NULL;
    add(history, 8, now - 2 * S, 8); /* pending when it happens */
    history_flush(history, false);
    g_autofree char *log = g_strconcat(place.path, "-wal", NULL);
    scratch(place.path);
    assert_int_equal(truncate(log, 0), 0);
    assert_null(history_query(history, &query, &error));
    history_flush(history, false);
    add(history, 7, now - S, 7);
    history_flush(history, true);

    g_autoptr(HistoryAnswer) seven = ask(history, 7, now - 5 * HOUR, now, 0);
    assert_int_equal(seven->series[0]->len, 1);
    g_autoptr(HistoryAnswer) eight = ask(history, 8, now - 5 * HOUR, now, 0);
    assert_int_equal(eight->series[0]->len, 1);
    HistoryStatus status;
    history_status(history, &status);
    assert_non_null(status.set_aside);
    assert_null(status.error);
    history_status_clear(&status);
    assert_int_equal(files_named(&place, "history.sqlite.damaged"), 1);
}

/* Somebody has removed it: what is pending and what comes goes into a new one. */
static void test_gone_while_running(void **state)
{
    (void)state;
    PLACE(place);
    History *history = open_history(&place);
    const gint64 now = history_now_ns();
    add(history, 7, now - 2 * S, 1);
    history_flush(history, false);
    assert_int_equal(unlink(place.path), 0);
    add(history, 7, now - S, 2);
    history_flush(history, false);
    history_close(history);
    history = open_history(&place);
    g_autoptr(HistoryAnswer) answer = ask(history, 7, now - HOUR, now, 0);
    assert_int_equal(answer->series[0]->len, 2);
    assert_int_equal(files_named(&place, "history.sqlite.damaged"), 0);
    history_close(history);
}

/* --- an old file --- */

/* Its metrics have other numbers, and one is unknown by now: names decide. */
static void test_other_metrics(void **state)
{
    (void)state;
    PLACE(place);
    const gint64 quarter = some_hours_ago(3);
    {
        g_autoptr(History) history = open_history(&place);
        add(history, 7, quarter, 1);
        history_flush(history, true);
    }
    execute(place.path, "UPDATE metrics SET name = 'of_another_version' WHERE name = 'memrss';"
                        "UPDATE metrics SET name = 'x' WHERE name = 'cpu_usage_percent';"
                        "UPDATE metrics SET name = 'cpu_usage_percent' WHERE name = 'net_rxbytes_per_sec';"
                        "UPDATE metrics SET name = 'net_rxbytes_per_sec' WHERE name = 'x'");
    g_autoptr(History) history = open_history(&place);
    g_autoptr(HistoryAnswer) old = ask(history, 7, quarter, quarter + HOUR, 0);
    check_point(old, 0, (HistoryPoint){quarter, 1000, 1000, 1000, 1});
    assert_int_equal(old->series[1]->len, 0);
    add(history, 7, quarter + S, 2);
    for (guint round = 0; round < 2; round++) {
        history_flush(history, round == 1);
        g_autoptr(HistoryAnswer) both = ask(history, 7, quarter, quarter + HOUR, 0);
        check_point(both, 1, (HistoryPoint){quarter + S, 2, 2, 2, 1});
        assert_int_equal(both->series[1]->len, 1);
        assert_true(g_array_index(both->series[1], HistoryPoint, 0).time_ns == quarter + S);
    }
    g_autoptr(HistoryAnswer) minute = ask(history, 7, quarter, quarter + HOUR, MINUTE);
    check_point(minute, 0, (HistoryPoint){quarter, 2, 501, 1000, 2});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unsound),
        cmocka_unit_test(test_target_of_link_stays),
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_few_are_kept),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_settled_and_in_journal),
        cmocka_unit_test(test_damage_while_running),
        cmocka_unit_test(test_gone_while_running),
        cmocka_unit_test(test_other_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
