/* SPDX-License-Identifier: Apache-2.0
 * Several processes and threads at once, and some that are killed. */
#include "test_spool.h"

#include <signal.h>
#include <sys/prctl.h>

static const char *const two_sinks[] = {"a", "b", NULL};

/* A process that runs `work` on a spool of its own. */
static pid_t start(const Place *place, int (*work)(Spool *spool, guint nth, int report), guint nth, int report)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves none behind */
        g_autoptr(Spool) spool = spool_open(place->path, NULL);
        _exit(spool ? work(spool, nth, report) : 100);
    }
    assert_true(pid > 0);
    return pid;
}

static void assert_ends_well(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* --- each batch knows itself: text that follows from two numbers, gzip'd --- */

static char *batch_text(guint writer, guint nth)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < 200; i++)
        g_string_append_printf(text, "writer %u batch %u line %u\n", writer, nth, i);
    return g_string_free(text, FALSE);
}

static bool add_numbered(Spool *spool, guint writer, guint nth, gint64 time_ns)
{
    const SpoolTarget targets[] = {{"a", {0}}, {"b", {0}}};
    gsize length;
    g_autofree char *text = batch_text(writer, nth);
    g_autofree char *data = spool_compress(text, strlen(text), &length);
    const SpoolNewBatch batch = {.host = "node1", .time_ns = time_ns, .data = data, .length = length};
    g_autoptr(GError) error = NULL;
    if (!spool_add(spool, &batch, targets, 2, NULL, &error))
        g_printerr("%s\n", error->message);
    return !error;
}

/* How often each batch is in the queue, by [writer * per_writer + nth]; every file there is whole. */
static guint *count_numbered(const Place *place, const char *sink, guint writers, guint per_writer)
{
    guint *seen = g_new0(guint, (gsize)writers * per_writer);
    g_autoptr(GPtrArray) batches = list(place, sink);
    for (guint i = 0; i < batches->len; i++) {
        gsize stored, length;
        guint writer, number;
        g_autofree char *data = spool_read(place->spool, sink, nth(batches, i)->name, &stored, NULL);
        assert_non_null(data);
        g_autofree char *text = spool_expand(data, stored, 1 << 20, &length, NULL);
        assert_non_null(text);
        assert_int_equal(sscanf(text, "writer %u batch %u", &writer, &number), 2);
        assert_in_range(writer, 0, writers - 1);
        assert_in_range(number, 0, per_writer - 1);
        g_autofree char *expected = batch_text(writer, number);
        assert_string_equal(text, expected);
        seen[writer * per_writer + number]++;
    }
    return seen;
}

/* --- adding at once --- */

enum { EACH = 15 };

static int add_some(Spool *spool, guint writer, int report)
{
    (void)report;
    for (guint i = 0; i < EACH; i++)
        if (!add_numbered(spool, writer, i, seconds_ago(0)))
            return 1;
    return 0;
}

static void check_writers(const Place *place, guint writers)
{
    pid_t pids[8];
    for (guint i = 0; i < writers; i++)
        pids[i] = start(place, add_some, i, -1);
    for (guint i = 0; i < writers; i++)
        assert_ends_well(pids[i]);
    for (guint s = 0; two_sinks[s]; s++) {
        g_autofree guint *seen = count_numbered(place, two_sinks[s], writers, EACH);
        for (guint i = 0; i < writers * EACH; i++)
            assert_int_equal(seen[i], 1);
    }
    assert_int_equal(count_in(place, "tmp"), 0);
}

static void test_two_writers(void **state)
{
    check_writers(*state, 2);
}

static void test_eight_writers(void **state)
{
    check_writers(*state, 8);
}

/* Threads of one process at one time: only the last part of their names tells their batches apart. */
typedef struct {
    Spool *spool;
    guint nth;
} Thread;

enum { THREADS = 6 };

static gpointer add_in_thread(gpointer data)
{
    const Thread *thread = data;
    for (guint i = 0; i < EACH; i++)
        if (!add_numbered(thread->spool, thread->nth, i, 1700000000000000000))
            return data;
    return NULL;
}

static void test_threads(void **state)
{
    const Place *place = *state;
    Thread threads[THREADS];
    GThread *running[THREADS];
    for (guint i = 0; i < THREADS; i++) {
        threads[i] = (Thread){place->spool, i};
        running[i] = g_thread_new("add", add_in_thread, &threads[i]);
    }
    for (guint i = 0; i < THREADS; i++)
        assert_null(g_thread_join(running[i]));
    for (guint s = 0; two_sinks[s]; s++) {
        g_autofree guint *seen = count_numbered(place, two_sinks[s], THREADS, EACH);
        for (guint i = 0; i < THREADS * EACH; i++)
            assert_int_equal(seen[i], 1);
    }
}

/* --- dropping at once: what is not there any more was counted once --- */

enum { DROPPERS = 4, BATCH_BYTES = 100, KEPT = 5 };

static int add_and_drop(Spool *spool, guint nth, int report)
{
    char data[BATCH_BYTES] = {0};
    const SpoolTarget target = {.sink = "a", .limits = {.max_bytes = KEPT * BATCH_BYTES}};
    SpoolCount all = {0};
    (void)nth;
    for (guint i = 0; i < EACH; i++) {
        const SpoolNewBatch batch = {.host = "h", .time_ns = seconds_ago(0), .data = data, .length = sizeof data};
        SpoolCount dropped;
        if (!spool_add(spool, &batch, &target, 1, &dropped, NULL))
            return 1;
        all.batches += dropped.batches;
        all.bytes += dropped.bytes;
    }
    return write(report, &all, sizeof all) != sizeof all;
}

static void test_drops_are_counted_once(void **state)
{
    const Place *place = *state;
    pid_t pids[DROPPERS];
    int report[2];
    SpoolCount all = {0};
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    for (guint i = 0; i < DROPPERS; i++)
        pids[i] = start(place, add_and_drop, i, report[1]);
    for (guint i = 0; i < DROPPERS; i++) {
        SpoolCount one;
        assert_ends_well(pids[i]);
        assert_int_equal(read(report[0], &one, sizeof one), sizeof one);
        all.batches += one.batches;
        all.bytes += one.bytes;
    }
    close(report[0]);
    close(report[1]);
    g_autoptr(GPtrArray) batches = list(place, "a");
    assert_int_equal(all.batches + batches->len, DROPPERS * EACH);
    assert_int_equal(all.bytes, all.batches * BATCH_BYTES);
    assert_int_equal(batches->len, KEPT);
}

/* --- one cleans while another adds to a sink that the first does not know --- */

/* So that the cleaner takes it away whenever it is empty. */
static void make_unused(const Place *place, const char *sink)
{
    g_autofree char *path = path_of(place, sink);
    const struct timespec long_ago[2] = {{0}, {0}};
    utimensat(AT_FDCWD, path, long_ago, 0); /* it may be gone */
}

static int clean_again_and_again(Spool *spool, guint nth, int report)
{
    const char *const none[] = {NULL};
    const struct timespec pause = {.tv_nsec = 200000};
    (void)nth;
    (void)report;
    for (;; nanosleep(&pause, NULL))
        if (!spool_clean(spool, none, 0, NULL))
            return 1;
}

static void test_cleaner_and_writer(void **state)
{
    const Place *place = *state;
    pid_t cleaner = start(place, clean_again_and_again, 0, -1);
    for (guint i = 0; i < 40; i++) {
        add(place, two_sinks, seconds_ago(0), "x");
        for (guint s = 0; two_sinks[s]; s++) {
            assert_contents(place, two_sinks[s], "x");
            g_autoptr(GPtrArray) batches = list(place, two_sinks[s]);
            assert_true(spool_remove(place->spool, two_sinks[s], nth(batches, 0)->name, NULL));
        }
        for (guint s = 0; two_sinks[s]; s++)
            make_unused(place, two_sinks[s]);
        for (guint looks = 0; looks < 20; looks++) { /* while it goes */
            g_autoptr(GPtrArray) batches = list(place, "a");
            assert_int_equal(batches->len, 0);
        }
    }
    int status;
    assert_int_equal(kill(cleaner, SIGKILL), 0);
    assert_int_equal(waitpid(cleaner, &status, 0), cleaner);
    assert_true(WIFSIGNALED(status));
}

/* --- kill -9 --- */

enum { KILLS = 30, MOST = 400 };

/* Adds until it is killed; reports each batch that it was told was added. */
static int add_and_report(Spool *spool, guint writer, int report)
{
    for (guint i = 0; i < MOST; i++)
        if (!add_numbered(spool, writer, i, seconds_ago(0)) || write(report, &i, sizeof i) != sizeof i)
            return 1;
    return 0;
}

/* Kills it that long after its `first`th report. Returns how many batches it had reported. */
static guint kill_a_writer(const Place *place, guint writer, guint first, gulong after_us)
{
    int report[2], status;
    guint reported = 0, number;
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    pid_t pid = start(place, add_and_report, writer, report[1]);
    close(report[1]);
    for (; reported < first; reported++)
        assert_int_equal(read(report[0], &number, sizeof number), sizeof number);
    g_usleep(after_us);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(report[0], &number, sizeof number) == sizeof number)
        assert_int_equal(number, reported++);
    close(report[0]);
    return reported;
}

static void make_leftovers_old(const Place *place)
{
    g_autofree char *path = path_of(place, "tmp");
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *leftover = g_build_filename("tmp", name, NULL);
        set_age(place, leftover, 2 * SPOOL_TMP_MAX_AGE_S);
    }
}

static void test_killed_writers(void **state)
{
    const Place *place = *state;
    guint reported[KILLS], all = 0;
    GRand *random = g_rand_new();
    for (guint writer = 0; writer < KILLS; writer++)
        all += reported[writer] = kill_a_writer(place, writer, writer % 2, (gulong)g_rand_int_range(random, 0, 15000));
    g_rand_free(random);
    print_message("%u kills, %u batches reported, %u leftovers\n", KILLS, all, count_in(place, "tmp"));

    for (guint s = 0; two_sinks[s]; s++) {
        g_autofree guint *seen = count_numbered(place, two_sinks[s], KILLS, MOST);
        for (guint writer = 0; writer < KILLS; writer++)
            for (guint i = 0; i < MOST; i++) {
                guint times = seen[writer * MOST + i];
                /* The one that it was at when it was killed may be there or not. */
                if (i < reported[writer] ? times != 1 : times > (i == reported[writer]))
                    fail_msg("%s: batch %u of writer %u is there %u times", two_sinks[s], i, writer, times);
            }
    }
    make_leftovers_old(place);
    assert_true(spool_clean(place->spool, two_sinks, 1, NULL));
    assert_int_equal(count_in(place, "tmp"), 0);
}

/* --- the lock --- */

enum { FORWARDERS = 8 };

static int take_lock(Spool *spool, guint nth, int report)
{
    (void)nth;
    int lock = spool_lock(spool, NULL);
    pid_t holder = lock >= 0 ? getpid() : 0;
    if (write(report, &holder, sizeof holder) != sizeof holder)
        return 1;
    while (lock >= 0)
        pause();
    return 0;
}

static void test_one_forwarder(void **state)
{
    const Place *place = *state;
    pid_t pids[FORWARDERS], holder = 0, one;
    int report[2], status;
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    for (guint i = 0; i < FORWARDERS; i++)
        pids[i] = start(place, take_lock, i, report[1]);
    for (guint i = 0; i < FORWARDERS; i++) {
        assert_int_equal(read(report[0], &one, sizeof one), sizeof one);
        assert_true(one == 0 || holder == 0);
        holder = one ? one : holder;
    }
    close(report[0]);
    close(report[1]);
    assert_true(holder > 0);
    assert_false(spool_is_idle(place->spool));
    assert_int_equal(kill(holder, SIGKILL), 0); /* the lock goes with it */
    for (guint i = 0; i < FORWARDERS; i++)
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    assert_true(spool_is_idle(place->spool));
    int lock = spool_lock(place->spool, NULL);
    assert_true(lock >= 0);
    close(lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_two_writers),
        IN_MEMORY(test_eight_writers),
        IN_MEMORY(test_threads),
        IN_MEMORY(test_drops_are_counted_once),
        IN_MEMORY(test_cleaner_and_writer),
        IN_PLACE(test_killed_writers),
        IN_MEMORY(test_killed_writers),
        IN_PLACE(test_one_forwarder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
