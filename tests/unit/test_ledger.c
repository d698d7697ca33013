/* SPDX-License-Identifier: Apache-2.0 */
#include "test_spool.h"

#include "deliver/ledger.h"

#include <sys/file.h>

static void save(const Place *place, const Ledger *ledger)
{
    g_autoptr(GError) error = NULL;
    if (!ledger_save(place->spool, "a", ledger, &error))
        fail_msg("%s", error->message);
}

static Ledger load(const Place *place, bool expect_damaged)
{
    Ledger ledger;
    bool damaged = !expect_damaged;
    memset(&ledger, 0x55, sizeof ledger);
    ledger_load(place->spool, "a", &ledger, &damaged);
    assert_int_equal(damaged, expect_damaged);
    ledger_load(place->spool, "a", &ledger, NULL);
    return ledger;
}

static void write_file(const Place *place, const char *text, gsize length)
{
    g_autofree char *path = path_of(place, "a/state");
    assert_true(g_file_set_contents(path, text, (gssize)length, NULL));
    assert_int_equal(chmod(path, 0600), 0);
}

/* Field by field, as between them there may be anything. */
static void assert_same(const Ledger *a, const Ledger *b)
{
    assert_int_equal(a->last_success_ns, b->last_success_ns);
    assert_int_equal(a->last_error_ns, b->last_error_ns);
    assert_int_equal(a->retry_at_ns, b->retry_at_ns);
    assert_int_equal(a->failures, b->failures);
    assert_int_equal(a->sent_batches, b->sent_batches);
    assert_int_equal(a->sent_lines, b->sent_lines);
    assert_int_equal(a->sent_bytes, b->sent_bytes);
    assert_int_equal(a->retried, b->retried);
    assert_int_equal(a->rejected_lines, b->rejected_lines);
    assert_int_equal(a->dropped_batches, b->dropped_batches);
    assert_int_equal(a->dropped_bytes, b->dropped_bytes);
    assert_int_equal(a->bad_batches, b->bad_batches);
    assert_int_equal(a->queued_batches, b->queued_batches);
    assert_int_equal(a->queued_bytes, b->queued_bytes);
    assert_int_equal(a->oldest_ns, b->oldest_ns);
    assert_int_equal(a->counted_ns, b->counted_ns);
    assert_int_equal(a->trouble, b->trouble);
    assert_int_equal(a->trouble_since_ns, b->trouble_since_ns);
    assert_int_equal(a->trouble_told_ns, b->trouble_told_ns);
    assert_int_equal(a->rejected_told_ns, b->rejected_told_ns);
    assert_int_equal(a->rejected_untold, b->rejected_untold);
    assert_string_equal(a->last_error, b->last_error);
}

static void test_missing(void **state)
{
    const Place *place = *state;
    const Ledger zeros = {0};
    Ledger ledger = load(place, false);
    assert_same(&ledger, &zeros);
    assert_int_equal(count_entries(place->path), 0);
    make_dir(place, "a");
    ledger = load(place, false);
    assert_same(&ledger, &zeros);
}

static const Ledger largest = {G_MAXINT64,  G_MAXINT64,  G_MAXINT64,  G_MAXUINT,   G_MAXUINT64, G_MAXUINT64,
                               G_MAXUINT64, G_MAXUINT64, G_MAXUINT64, G_MAXUINT64, G_MAXUINT64, G_MAXUINT64,
                               G_MAXUINT64, G_MAXUINT64, G_MAXINT64,  G_MAXINT64,  G_MAXUINT,   G_MAXINT64,
                               G_MAXINT64,  G_MAXINT64,  G_MAXUINT64, "largest"};

/* Every field differs from every other, so that none can stand in for another.  */
static const Ledger distinct = {
    1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
    12, 13, 14, 15, 16, 17, 18, 19, 20, 21, "influx: 503 Service Unavailable = \"later\", ä\\n"};

static void test_round_trip(void **state)
{
    const Place *place = *state;
    static const Ledger zeros = {0};
    const Ledger *const ledgers[] = {&zeros, &distinct, &largest};
    for (gsize i = 0; i < G_N_ELEMENTS(ledgers); i++) {
        save(place, ledgers[i]);
        Ledger found = load(place, false);
        assert_same(&found, ledgers[i]);
    }
    g_autofree char *path = path_of(place, "a/state");
    struct stat status;
    assert_int_equal(lstat(path, &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0600);
}

static void test_form(void **state)
{
    (void)state;
    g_autofree char *text = ledger_format(&distinct);
    assert_string_equal(text, "last_success_ns=1\nlast_error_ns=2\nretry_at_ns=3\nfailures=4\nsent_batches=5\n"
                              "sent_lines=6\nsent_bytes=7\nretried=8\nrejected_lines=9\ndropped_batches=10\n"
                              "dropped_bytes=11\nbad_batches=12\nqueued_batches=13\nqueued_bytes=14\n"
                              "oldest_ns=15\ncounted_ns=16\n"
                              "trouble=17\ntrouble_since_ns=18\ntrouble_told_ns=19\nrejected_told_ns=20\n"
                              "rejected_untold=21\n"
                              "last_error=influx: 503 Service Unavailable = \"later\", ä\\n\nend\n");
}

/* A server answers what it likes; in the ledger it is one line that can be shown, and stays the same from then on. */
static void test_error_texts(void **state)
{
    const Place *place = *state;
    g_autofree char *long_text = g_strnfill(LEDGER_ERROR_MAX, 'x');
    static const struct {
        const char *text, *kept;
    } cases[] = {
        {"one\ntwo", "one\\ntwo"},
        {"\x1b[31mred", "\\x1B[31mred"},
        {"\xff\xfe", "\\xFF\\xFE"},
        {"end", "end"},
        {"failures=7", "failures=7"},
        {" ", " "},
        {"a\\b", "a\\b"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Ledger ledger = {.failures = 1};
        g_strlcpy(ledger.last_error, cases[i].text, sizeof ledger.last_error);
        for (guint again = 0; again < 2; again++) {
            save(place, &ledger);
            ledger = load(place, false);
            assert_string_equal(ledger.last_error, cases[i].kept);
            assert_int_equal(ledger.failures, 1);
        }
    }
    Ledger ledger = {0};
    memset(ledger.last_error, '\n', LEDGER_ERROR_MAX); /* grows when it is escaped */
    save(place, &ledger);
    ledger = load(place, false);
    assert_in_range(strlen(ledger.last_error), LEDGER_ERROR_MAX - 4, LEDGER_ERROR_MAX);
    assert_true(g_str_has_suffix(ledger.last_error, "\\n…"));
    g_strlcpy(ledger.last_error, long_text, sizeof ledger.last_error);
    save(place, &ledger);
    ledger = load(place, false);
    assert_string_equal(ledger.last_error, long_text);
}

static void test_times_before_1970(void **state)
{
    const Place *place = *state;
    const Ledger ledger = {.last_success_ns = -1, .last_error_ns = G_MININT64};
    save(place, &ledger);
    Ledger found = load(place, false);
    assert_int_equal(found.last_success_ns, 0);
    assert_int_equal(found.last_error_ns, 0);
}

static void test_parse(void **state)
{
    (void)state;
    g_autofree char *long_error = g_strnfill(LEDGER_ERROR_MAX + 1, 'x');
    g_autofree char *too_long = g_strdup_printf("last_error=%s\nend\n", long_error);
    const struct {
        const char *text;
        bool whole;
    } cases[] = {
        {"end\n", true},
        {"failures=7\nend\n", true},
        {"retried=9\nfailures=7\nend\n", true},
        {"last_error=\nend\n", true},
        {"last_error=a=b\nend\n", true},
        {"retried=18446744073709551615\nend\n", true},
        {"", false},
        {"\n", false},
        {"end", false},
        {"end\nend\n", false},
        {"end\n\n", false},
        {"end\nfailures=1", false},
        {"\nend\n", false},
        {"failures=7\n", false},
        {"failures=7\nen", false},
        {"failures=7\r\nend\r\n", false},
        {"failures\nend\n", false},
        {"failures=\nend\n", false},
        {"failures=-1\nend\n", false},
        {"failures=+1\nend\n", false},
        {"failures= 1\nend\n", false},
        {"failures=1 \nend\n", false},
        {"failures=0x1\nend\n", false},
        {"failures=1.0\nend\n", false},
        {"failures=4294967296\nend\n", false},
        {"retried=18446744073709551616\nend\n", false},
        {"retry_at_ns=9223372036854775808\nend\n", false},
        {"failures=1\nfailures=1\nend\n", false},
        {"Failures=1\nend\n", false},
        {" failures=1\nend\n", false},
        {"unheard_of=1\nend\n", false},
        {"=1\nend\n", false},
        {"last_error=\x1b\nend\n", false},
        {"last_error=\xff\nend\n", false},
        {too_long, false},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Ledger ledger = {.sent_lines = 77};
        if (ledger_parse(cases[i].text, strlen(cases[i].text), &ledger) != cases[i].whole)
            fail_msg("\"%s\" is %s", cases[i].text, cases[i].whole ? "refused" : "taken");
        assert_int_equal(ledger.sent_lines, cases[i].whole ? 0 : 77);
    }
    Ledger ledger;
    assert_false(ledger_parse("end\n\0end\n", 9, &ledger));
}

/* Cut off at every length, each byte changed, and what is no file. */
static void test_damaged(void **state)
{
    const Place *place = *state;
    const Ledger zeros = {0};
    g_autofree char *text = ledger_format(&distinct), *path = path_of(place, "a/state");
    g_autofree char *large = g_strnfill(1 << 16, '\n');
    make_dir(place, "a");
    for (gsize i = 0; i < strlen(text); i++) {
        g_autofree char *changed = g_strdup(text);
        Ledger found;
        changed[i] = (char)(changed[i] ^ 0x80);
        if (ledger_parse(text, i, &found) || ledger_parse(changed, strlen(text), &found))
            fail_msg("byte %zu", i);
    }
    write_file(place, text, strlen(text) - 1);
    Ledger damaged = load(place, true);
    assert_same(&damaged, &zeros);
    write_file(place, large, 1 << 16);
    load(place, true);
    write_file(place, text, strlen(text));
    load(place, false);
    assert_int_equal(chmod(path, 0622), 0);
    load(place, true);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("elsewhere", path), 0);
    load(place, true);
    save(place, &distinct); /* in the place of the link */
    Ledger found = load(place, false);
    assert_same(&found, &distinct);
    assert_false(exists(place, "a/elsewhere"));
}

/* --- several processes --- */

static void test_dropped(void **state)
{
    const Place *place = *state;
    Ledger ours = {.failures = 2, .dropped_batches = 1, .dropped_bytes = 1000};
    assert_true(ledger_add_dropped(place->spool, "a", (SpoolCount){0, 0}, NULL));
    assert_int_equal(count_entries(place->path), 0);
    save(place, &ours);
    assert_true(ledger_add_dropped(place->spool, "a", (SpoolCount){3, 50}, NULL));
    assert_true(ledger_add_dropped(place->spool, "a", (SpoolCount){1, 7}, NULL));
    ours.failures = 5;
    save(place, &ours); /* knows nothing of those four */
    Ledger found = load(place, false);
    assert_int_equal(found.failures, 5);
    assert_int_equal(found.dropped_batches, 5);
    assert_int_equal(found.dropped_bytes, 1057);

    write_file(place, "garbage", 7);
    save(place, &found); /* of a damaged file nothing is left, of ours all */
    assert_true(ledger_add_dropped(place->spool, "a", (SpoolCount){1, 1}, NULL));
    found = load(place, false);
    assert_int_equal(found.dropped_batches, 6);
    assert_int_equal(found.failures, 5);
    write_file(place, "garbage", 7);
    assert_true(ledger_add_dropped(place->spool, "a", (SpoolCount){1, 1}, NULL));
    found = load(place, false);
    assert_int_equal(found.dropped_batches, 1);
}

/* --- what waits --- */

static void add_old(const Place *place, gint64 age_s)
{
    static const char *const sinks[] = {"a", NULL};
    add(place, sinks, seconds_ago(age_s), "12345");
}

static void test_trim(void **state)
{
    const Place *place = *state;
    const SpoolTarget target = {.sink = "a", .limits = {.max_bytes = 12}};
    SpoolCount dropped = {9, 9};
    assert_true(ledger_trim(place->spool, &target, &dropped, NULL));
    assert_int_equal(dropped.batches, 0);
    assert_int_equal(count_entries(place->path), 0); /* no queue is made for that */
    const Ledger before = {.sent_lines = 7, .dropped_batches = 1, .dropped_bytes = 1};
    save(place, &before);
    for (gint64 age_s = 4; age_s >= 1; age_s--)
        add_old(place, age_s);
    gint64 now = seconds_ago(0);
    assert_true(ledger_trim(place->spool, &target, &dropped, NULL));
    assert_int_equal(dropped.batches, 2);
    Ledger found = load(place, false);
    assert_int_equal(found.sent_lines, 7);
    assert_int_equal(found.dropped_batches, 3);
    assert_int_equal(found.dropped_bytes, 11);
    assert_int_equal(found.queued_batches, 2);
    assert_int_equal(found.queued_bytes, 10);
    assert_in_range(found.oldest_ns, now - 3 * NS_PER_SECOND, now - NS_PER_SECOND);
    assert_in_range(found.counted_ns, now, seconds_ago(0));
}

/* Of two counts the later one stands, whoever saves; one from the future is of a clock that was set back. */
static void test_later_count_stands(void **state)
{
    const Place *place = *state;
    const struct {
        gint64 stored_ns, given_ns;
        guint64 kept;
    } cases[] = {
        {0, 0, 2},
        {seconds_ago(60), 0, 1},
        {seconds_ago(60), seconds_ago(30), 2},
        {seconds_ago(30), seconds_ago(60), 1},
        {seconds_ago(-3600), seconds_ago(60), 2},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        Ledger stored = {.queued_batches = 1, .queued_bytes = 1, .oldest_ns = 1, .counted_ns = cases[i].stored_ns};
        Ledger given = {.queued_batches = 2, .queued_bytes = 2, .oldest_ns = 2, .counted_ns = cases[i].given_ns};
        const Ledger nothing = {0};
        g_autofree char *path = path_of(place, "a/state");
        unlink(path);
        save(place, &nothing);
        save(place, &stored);
        save(place, &given);
        Ledger found = load(place, false);
        assert_int_equal(found.queued_batches, cases[i].kept);
        assert_int_equal(found.queued_bytes, cases[i].kept);
        assert_int_equal(found.oldest_ns, cases[i].kept);
        assert_int_equal(found.counted_ns, cases[i].kept == 1 ? cases[i].stored_ns : cases[i].given_ns);
    }
}

enum { PROBES = 4, ROUNDS = 25 };

static int add_many(Spool *spool)
{
    for (guint i = 0; i < ROUNDS; i++)
        if (!ledger_add_dropped(spool, "a", (SpoolCount){1, 10}, NULL))
            return 1;
    return 0;
}

static void test_counts_of_all_survive(void **state)
{
    const Place *place = *state;
    pid_t pids[PROBES];
    Ledger ours = {0};
    for (guint i = 0; i < PROBES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            g_autoptr(Spool) spool = spool_open(place->path, NULL);
            _exit(spool ? add_many(spool) : 2);
        }
        assert_true(pids[i] > 0);
    }
    for (guint i = 1; i <= ROUNDS; i++) { /* the forwarder, at the same time */
        ours.sent_batches = i;
        save(place, &ours);
    }
    for (guint i = 0; i < PROBES; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    Ledger found = load(place, false);
    assert_int_equal(found.dropped_batches, PROBES * ROUNDS);
    assert_int_equal(found.dropped_bytes, PROBES * ROUNDS * 10);
    assert_int_equal(found.sent_batches, ROUNDS);
    g_autofree char *dir = path_of(place, "a");
    assert_int_equal(count_entries(dir), 2); /* state, state.lock */
}

/* One that was stopped while it held the lock holds nobody up for ever. */
static void test_somebody_sits_on_the_lock(void **state)
{
    const Place *place = *state;
    g_autofree char *path = path_of(place, "a/state.lock");
    g_autoptr(GError) error = NULL;
    make_dir(place, "a");
    put(place, "a/state.lock", 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_false(ledger_add_dropped(place->spool, "a", (SpoolCount){1, 1}, &error));
    assert_failed(place, error, SPOOL_ERROR_IO, "a/state.lock", "Device or resource busy");
    close(fd);
    assert_true(ledger_add_dropped(place->spool, "a", (SpoolCount){1, 1}, NULL));
}

static void test_lock_that_is_a_link(void **state)
{
    const Place *place = *state;
    g_autofree char *link = path_of(place, "a/state.lock");
    g_autoptr(GError) error = NULL;
    make_dir(place, "a");
    assert_int_equal(symlink("../victim", link), 0);
    assert_false(ledger_save(place->spool, "a", &distinct, &error));
    assert_failed(place, error, SPOOL_ERROR_UNSAFE, "a/state.lock", "is a symbolic link");
    assert_false(exists(place, "victim"));
    assert_false(exists(place, "a/state"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_missing),
        IN_PLACE(test_round_trip),
        cmocka_unit_test(test_form),
        IN_PLACE(test_error_texts),
        IN_PLACE(test_times_before_1970),
        cmocka_unit_test(test_parse),
        IN_PLACE(test_damaged),
        IN_PLACE(test_dropped),
        IN_PLACE(test_trim),
        IN_PLACE(test_later_count_stands),
        IN_MEMORY(test_counts_of_all_survive),
        IN_PLACE(test_somebody_sits_on_the_lock),
        IN_PLACE(test_lock_that_is_a_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
