/* SPDX-License-Identifier: Apache-2.0
 * What is too old or too much goes; a file that can't grow; kills; and everybody at once. */
#include "test_history.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Rounds of sweeping look at some VMs at each flush. */
static void flush_often(History *history, guint n)
{
    for (guint i = 0; i < n; i++)
        history_flush(history, true);
}

static HistoryStatus status_of(History *history)
{
    HistoryStatus status;
    history_status(history, &status);
    return status;
}

/* --- retention --- */

static void test_retention(void **state)
{
    (void)state;
    PLACE(place);
    const HistoryOptions short_ones = {.keep_s = {3600, 3 * 3600, 0}, .flush_ms = 3600000};
    const gint64 begin = some_hours_ago(5), now = history_now_ns();
    {
        g_autoptr(History) history = open_history(&place);
        for (guint vm = 1; vm <= 3; vm++)
            add_many(history, vm, begin, 10 * S, 5 * 360 - 10);
        flush_often(history, 1);
    }
    g_autoptr(History) history = open_with(&place, &short_ones);
    add(history, 1, now, 1);
    flush_often(history, 20);
    for (guint vm = 1; vm <= 3; vm++) {
        g_autoptr(HistoryAnswer) raw = ask(history, vm, now - HOUR, now, 10 * S);
        CHECK(raw->tier == TIER_RAW, "VM %u", vm);
        CHECK(raw->series[0]->len > 0 && point(raw, 0)->time_ns >= now - HOUR, "VM %u", vm);
        g_autoptr(HistoryAnswer) minutes = ask(history, vm, begin, now, MINUTE);
        CHECK(minutes->tier == TIER_MINUTE, "VM %u", vm);
        CHECK(point(minutes, 0)->time_ns >= now - 3 * HOUR - MINUTE, "VM %u", vm);
        CHECK(point(minutes, 0)->time_ns <= now - 3 * HOUR + 2 * MINUTE, "VM %u", vm);
    }
    HistoryStatus status = status_of(history);
    assert_int_equal(status.rows[TIER_QUARTER], 0);
    assert_in_range(status.rows[TIER_RAW], 3 * 200, 3 * 361);
    assert_true(status.oldest_ns[TIER_RAW] >= now - HOUR && status.oldest_ns[TIER_QUARTER] == 0);
    history_status_clear(&status);
}

/* A VM of which nothing is left, and that nobody has seen for as long, is forgotten. */
static void test_forgotten(void **state)
{
    (void)state;
    PLACE(place);
    const HistoryOptions day = {.keep_s = {60, 60, 86400}, .flush_ms = 3600000};
    const gint64 now = history_now_ns();
    History *history = open_history(&place);
    g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify)vm_record_unref);
    for (guint i = 0; i < 2; i++) {
        VmRecord *record = record_at(7 + i, now - (i ? 30 : 2) * 24 * HOUR, 1);
        record->last_seen_ns = i ? now - HOUR : record->time_ns;
        g_ptr_array_add(records, record);
    }
    history_add(history, records);
    history_note_vms(history, records);
    flush_often(history, 1);
    history_set_options(history, &day);
    flush_often(history, 10);
    assert_false(history_has_vm(history, 7));
    assert_true(history_has_vm(history, 8)); /* seen an hour ago */
    history_close(history);
    history = open_with(&place, &day);
    g_autoptr(GPtrArray) vms = history_load_vms(history, NULL);
    assert_int_equal(vms->len, 1);
    history_close(history);
}

/* --- size --- */

static void test_max_bytes(void **state)
{
    (void)state;
    PLACE(place);
    enum { VMS = 50, SAMPLES = 1500, MAX_BYTES = 2 * 1024 * 1024 };
    const HistoryOptions small = {.keep_s = {86400, 86400, 86400}, .max_bytes = MAX_BYTES, .flush_ms = 3600000};
    g_autoptr(History) history = open_with(&place, &small);
    const gint64 end = history_now_ns(), begin = end - SAMPLES * 10 * S;
    for (guint i = 0; i < SAMPLES; i++)
        for (guint vm = 1; vm <= VMS; vm++)
            add(history, vm, begin + i * 10 * S, 0.1 * i + vm);
    flush_often(history, 60);
    HistoryStatus status = status_of(history);
    assert_int_equal(status.written, VMS * SAMPLES);
    assert_int_equal(status.dropped, 0);
    assert_null(status.error);
    assert_in_range(status.rows[TIER_RAW], 1000, VMS * SAMPLES / 2); /* would be 3 MB */
    assert_true(status.oldest_ns[TIER_RAW] > begin);
    struct stat file;
    assert_int_equal(stat(place.path, &file), 0);
    assert_in_range(file.st_size, MAX_BYTES / 4, MAX_BYTES * 5 / 4);
    g_autoptr(HistoryAnswer) latest = ask(history, VMS, end - 20 * S, end, 0);
    assert_true(latest->series[0]->len >= 1);
    history_status_clear(&status);
}

/* The file can't grow: what came is kept in memory, and written when there is room again. */
static int grow_in_vain(const Place *place)
{
    History *history = open_history(place);
    const gint64 now = history_now_ns();
    struct rlimit limit = {0, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    add(history, 7, now - 3 * S, 1);
    history_flush(history, true);
    limit.rlim_cur = 64 * 1024;
    setrlimit(RLIMIT_FSIZE, &limit);
    add_many(history, 7, now - 2 * HOUR, S, 5000);
    history_flush(history, true);
    HistoryStatus status = status_of(history);
    if (!status.error || status.queued != 5000 || status.written != 1)
        return 1;
    history_status_clear(&status);
    g_autoptr(HistoryAnswer) before = ask(history, 7, now - 3 * HOUR, now, S);
    if (before->series[0]->len != 1)
        return 2;
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    history_flush(history, true);
    status = status_of(history);
    if (status.error || status.queued != 0 || status.written != 5001 || status.dropped != 0)
        return 3;
    history_status_clear(&status);
    g_autoptr(HistoryAnswer) after = ask(history, 7, now - 3 * HOUR, now, S);
    if (after->series[0]->len != 5001)
        return 4;
    history_close(history);
    return 0;
}

static pid_t start_child(void)
{
    pid_t pid = fork();
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves none behind */
    assert_true(pid >= 0);
    return pid;
}

static void test_no_room(void **state)
{
    (void)state;
    PLACE(place);
    pid_t pid = start_child();
    if (pid == 0)
        _exit(grow_in_vain(&place));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- kills --- */

#define KILLS 8

/* One sample each second of the past, value by its number, from `n` on; tells each that is flushed. */
static void write_until_killed(const Place *place, gint64 begin, guint n, int report)
{
    g_autoptr(GError) error = NULL;
    History *history = history_open(place->path, &keep_all, &error);
    for (; history; n++) {
        add(history, 7, begin + n * S, n);
        history_flush(history, n % 5 == 0);
        if (write(report, &n, sizeof n) != sizeof n)
            break;
    }
    _exit(1);
}

/* Kills it some time after it has told of at least one sample. The last number that it told. */
static guint write_and_kill(const Place *place, gint64 begin, guint n, gulong delay_us)
{
    int pipes[2];
    guint told = n;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = start_child();
    if (pid == 0)
        write_until_killed(place, begin, n, pipes[1]);
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &told, sizeof told), sizeof told);
    g_usleep(delay_us);
    kill(pid, SIGKILL);
    while (read(pipes[0], &n, sizeof n) == sizeof n)
        told = n;
    close(pipes[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return told;
}

static void test_kills(void **state)
{
    (void)state;
    PLACE(place);
    GRand *random = seeded_random();
    const gint64 begin = some_hours_ago(20);
    guint n = 0;
    for (guint round = 0; round < KILLS; round++) {
        n = write_and_kill(&place, begin, n, (gulong)g_rand_int_range(random, 0, 60000)) + 1;
        g_autoptr(History) history = open_history(&place);
        g_autoptr(HistoryAnswer) raw = ask(history, 7, begin, begin + 20 * HOUR, S);
        assert_true(raw->series[0]->len == n || raw->series[0]->len == n + 1); /* one may have been flushed, not told */
        for (guint i = 0; i < raw->series[0]->len; i++)
            check_point(raw, i, (HistoryPoint){begin + i * S, i, i, i, 1});
        guint counted = 0;
        g_autoptr(HistoryAnswer) minutes = ask(history, 7, begin, begin + 20 * HOUR, MINUTE);
        for (guint i = 0; i < minutes->series[0]->len; i++)
            counted += point(minutes, i)->count;
        assert_int_equal(counted, raw->series[0]->len); /* none twice */
        n = raw->series[0]->len;
    }
    assert_int_equal(files_named(&place, "history.sqlite.damaged"), 0);
    g_rand_free(random);
}

/* --- everybody at once --- */

#define WRITERS 2
#define ADDED 400

typedef struct {
    History *history;
    guint nth;
    gint64 begin;
    gint *left; /* writers; atomic */
} Worker;

static gpointer add_on(gpointer data)
{
    const Worker *worker = data;
    for (guint i = 0; i < ADDED; i++) {
        add(worker->history, 7 + i % 3, worker->begin + (i * WRITERS + worker->nth) * S, i);
        if (i % 50 == 0)
            history_flush(worker->history, i % 100 == 0);
    }
    g_atomic_int_add(worker->left, -1);
    return NULL;
}

static gpointer read_on(gpointer data)
{
    const Worker *worker = data;
    guint seen = 0;
    do {
        g_autoptr(HistoryAnswer) raw = ask(worker->history, 7, worker->begin, worker->begin + HOUR, S);
        g_autoptr(HistoryAnswer) minutes = ask(worker->history, 7, worker->begin, worker->begin + HOUR, MINUTE);
        guint counted = 0;
        for (guint i = 0; i < minutes->series[0]->len; i++)
            counted += point(minutes, i)->count;
        g_autoptr(HistoryAnswer) after = ask(worker->history, 7, worker->begin, worker->begin + HOUR, S);
        assert_true(raw->series[0]->len >= seen);
        assert_in_range(counted, raw->series[0]->len, after->series[0]->len); /* none is missed, none is seen twice */
        seen = raw->series[0]->len;
        HistoryStatus status = status_of(worker->history);
        history_status_clear(&status);
        history_set_options(worker->history, &keep_all);
    } while (g_atomic_int_get(worker->left) > 0);
    return NULL;
}

static void test_at_once(void **state)
{
    (void)state;
    PLACE(place);
    g_autoptr(History) history = open_history(&place);
    Worker workers[WRITERS + 2];
    GThread *threads[WRITERS + 2];
    gint left = WRITERS;
    for (guint i = 0; i < WRITERS + 2; i++) {
        workers[i] = (Worker){history, i, some_hours_ago(3), &left};
        threads[i] = g_thread_new("worker", i < WRITERS ? add_on : read_on, &workers[i]);
    }
    for (guint i = 0; i < WRITERS + 2; i++)
        g_thread_join(threads[i]);
    history_flush(history, true);
    guint points = 0;
    for (guint vm = 7; vm < 10; vm++) {
        g_autoptr(HistoryAnswer) raw = ask(history, vm, workers[0].begin, workers[0].begin + HOUR, S);
        points += raw->series[0]->len;
    }
    assert_int_equal(points, WRITERS * ADDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retention), cmocka_unit_test(test_forgotten), cmocka_unit_test(test_max_bytes),
        cmocka_unit_test(test_no_room),   cmocka_unit_test(test_kills),     cmocka_unit_test(test_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
