/* SPDX-License-Identifier: Apache-2.0
 * Whatever happens on the way: each point that was added is stored, once by its key and with its own fields, or is one
 * that the sink refuses, and counted; or was in a batch that was dropped or damaged. */
#include "test_drain.h"

typedef struct {
    SinkType type;
    FakeStyle style;
    const char *kind; /* of the lines that it refuses; "" none */
} Api;

static const Api apis[] = {
    {SINK_INFLUXDB1, FAKE_PLAIN, "poison"},        {SINK_INFLUXDB1, FAKE_PLAIN, "conflict"},
    {SINK_INFLUXDB2, FAKE_PLAIN, "poison"},        {SINK_INFLUXDB2, FAKE_NO_DETAIL, "poison"},
    {SINK_INFLUXDB2, FAKE_WRONG_DETAIL, "poison"}, {SINK_INFLUXDB2, FAKE_PLAIN, "conflict"},
    {SINK_INFLUXDB2, FAKE_SCHEMA_500, "conflict"}, {SINK_INFLUXDB3, FAKE_PLAIN, "poison"},
    {SINK_INFLUXDB3, FAKE_NO_DETAIL, "poison"},    {SINK_VICTORIAMETRICS, FAKE_PLAIN, ""},
    {SINK_TELEMETRYD, FAKE_PLAIN, "conflict"},
};

typedef enum { LINE_GOOD, LINE_REFUSED, LINE_INVALID } Fate;

typedef struct {
    char *text;
    Fate fate;
    guint batch;
} Line;

typedef struct {
    Rig rig;
    GRand *random;
    const Api *api;
    GArray *lines;    /* of Line */
    GHashTable *lost; /* numbers of batches that were dropped or damaged */
    guint64 damaged;
    bool kills, killed;
} Course;

static void clear_line(gpointer data)
{
    Line *line = data;
    g_free(line->text);
}

static bool one_in(Course *course, gint n)
{
    return g_rand_int_range(course->random, 0, n) == 0;
}

static void add_line(Course *course, GString *text, gint poison_in)
{
    Line line = {.batch = course->rig.n_batches, .fate = LINE_GOOD};
    if (one_in(course, 40)) {
        line.fate = LINE_INVALID;
        line.text = g_strdup_printf("m%u no=fields=here %" G_GUINT64_FORMAT, line.batch, course->rig.points++);
    } else {
        line.fate = *course->api->kind && one_in(course, poison_in) ? LINE_REFUSED : LINE_GOOD;
        line.text = make_line(&course->rig, line.fate == LINE_REFUSED ? course->api->kind : "");
    }
    g_string_append_printf(text, "%s\n%s", line.text, one_in(course, 50) ? "# a comment\n" : "");
    g_array_append_val(course->lines, line);
}

static void add_batch(Course *course)
{
    g_autoptr(GString) text = g_string_new(NULL);
    gint n = g_rand_int_range(course->random, 0, 40), poison_in = one_in(course, 20) ? 1 : 30;
    gsize length;
    for (gint i = 0; i < n; i++)
        add_line(course, text, poison_in);
    g_autofree char *packed = spool_compress(text->str, text->len, &length);
    if (one_in(course, 25)) {
        g_hash_table_add(course->lost, GUINT_TO_POINTER(course->rig.n_batches));
        course->damaged++;
        length -= 3;
    }
    add_stored(&course->rig, packed, length);
}

/* Some batch goes, as by the spool's limits. */
static void drop_batch(Course *course)
{
    g_autoptr(GPtrArray) batches = list(course->rig.place, SINK);
    if (batches->len == 0)
        return;
    const SpoolBatch *batch = nth(batches, (guint)g_rand_int_range(course->random, 0, (gint)batches->len));
    g_hash_table_add(course->lost, GUINT_TO_POINTER((guint)(batch->time_ns - START_NS)));
    assert_true(spool_remove(course->rig.place->spool, SINK, batch->name, NULL));
}

/* What may go wrong with a request, before or after the sink has had it. */
static SinkReply *trouble(Course *course, const DrainBody *body)
{
    static const long statuses[] = {401, 403, 404, 408, 429, 500, 502, 503, 504, 302, 507};
    static const Transport transports[] = {TRANSPORT_UNREACHABLE, TRANSPORT_TIMEOUT, TRANSPORT_CUT, TRANSPORT_TLS};
    static const char *const waits[] = {NULL, "7", "100000", "soon", "Wed, 15 Nov 2023 22:13:20 GMT"};
    FakeSink *sink = course->rig.sink;
    if (one_in(course, 3))
        sink_reply_free(fake_sink_post(sink, body->data, body->length)); /* nobody hears of it */
    if (one_in(course, 4))
        return fake_transport(transports[g_rand_int_range(course->random, 0, G_N_ELEMENTS(transports))]);
    return fake_reply(statuses[g_rand_int_range(course->random, 0, G_N_ELEMENTS(statuses))],
                      waits[g_rand_int_range(course->random, 0, G_N_ELEMENTS(waits))]);
}

static void step(Course *course, bool calm)
{
    Rig *rig = &course->rig;
    DrainBody body;
    switch (next(rig, &body)) {
    case DRAIN_SEND:
        assert_true(body.lines > 0);
        if (one_in(course, 2))
            drain_prepare(rig->drain);
        answer_with(rig, calm || !one_in(course, 4) ? fake_sink_post(rig->sink, body.data, body.length)
                                                    : trouble(course, &body));
        break;
    case DRAIN_WAIT:
        if (one_in(course, 3))
            drain_hurry(rig->drain);
        else if (one_in(course, 5))
            rig->now_ns -= 5000 * NS_PER_SECOND;
        else
            wait_for_it(rig);
        break;
    default:
        break;
    }
}

/* A process that is killed saves nothing more. */
static void kill_it(Course *course)
{
    g_autofree char *path = path_of(course->rig.place, SINK "/state"), *saved = NULL;
    gsize length;
    bool was_there = g_file_get_contents(path, &saved, &length, NULL);
    g_clear_pointer(&course->rig.drain, drain_free);
    if (was_there)
        assert_true(g_file_set_contents(path, saved, (gssize)length, NULL));
    else
        unlink(path);
    restart(&course->rig);
    course->killed = true;
}

/* A process that ends at any point: what it did not save is lost, its requests are sent again. */
static void go_wild(Course *course, bool drops)
{
    for (guint i = 0; i < 60; i++) {
        add_batch(course);
        for (gint steps = g_rand_int_range(course->random, 0, 12); steps > 0; steps--)
            step(course, false);
        if (one_in(course, 8))
            course->rig.sink->max_lines = (guint)g_rand_int_range(course->random, 1, 200);
        if (drops && one_in(course, 6))
            drop_batch(course);
        if (one_in(course, 6))
            restart(&course->rig);
        if (course->kills && one_in(course, 6))
            kill_it(course);
        course->rig.now_ns += g_rand_int_range(course->random, 0, 2000000000);
    }
}

static guint count_in_text(const char *text, const char *line)
{
    guint n = 0;
    g_autofree char *whole = g_strdup_printf("%s\n", line);
    for (const char *at = text; (at = strstr(at, whole)); at++)
        n += at == text || at[-1] == '\n';
    return n;
}

static void check_line(const Course *course, const Line *line, const char *bad)
{
    bool is_lost = g_hash_table_contains(course->lost, GUINT_TO_POINTER(line->batch));
    const char *stored = line->fate == LINE_GOOD ? fake_sink_find(course->rig.sink, line->text) : NULL;
    if (line->fate == LINE_GOOD && !stored && !is_lost)
        fail_msg("\"%s\" was lost", line->text);
    if (stored && !strstr(line->text, stored))
        fail_msg("\"%s\" is stored as %s", line->text, stored);
    guint kept = count_in_text(bad, line->text);
    if (kept > (line->fate != LINE_GOOD))
        fail_msg("\"%s\" is %u times in bad/", line->text, kept);
    if (line->fate == LINE_INVALID && kept == 0 && !is_lost)
        fail_msg("\"%s\" is not in bad/", line->text);
}

static void check_counts(const Course *course)
{
    Ledger ledger = stored_ledger(&course->rig);
    guint64 good = 0, refused = 0;
    for (guint i = 0; i < course->lines->len; i++) {
        const Line *line = &g_array_index(course->lines, Line, i);
        bool is_lost = g_hash_table_contains(course->lost, GUINT_TO_POINTER(line->batch));
        good += line->fate == LINE_GOOD && !is_lost;
        refused += line->fate != LINE_GOOD && !is_lost;
    }
    assert_int_equal(ledger.bad_batches, course->damaged);
    if (course->killed)
        assert_in_range(ledger.sent_lines, 0, good);
    else
        assert_int_equal(ledger.sent_lines, good);
    assert_int_equal(ledger.rejected_lines, refused);
    assert_int_equal(g_hash_table_size(course->rig.sink->points), good);
}

static void run_course(Place *place, guint32 seed, const Api *api, bool drops, bool kills)
{
    Course course = {
        .rig = rig_new(place, api->type, api->style), .random = g_rand_new_with_seed(seed), .api = api, .kills = kills};
    course.rig.settings.lines = (guint)g_rand_int_range(course.random, 1, 300);
    course.rig.settings.gzip = course.rig.sink->gzip = seed % 2;
    course.lines = g_array_new(FALSE, FALSE, sizeof(Line));
    g_array_set_clear_func(course.lines, clear_line);
    course.lost = g_hash_table_new(NULL, NULL);
    restart(&course.rig);
    go_wild(&course, drops);
    course.rig.sink->max_lines = 0;
    go_on(&course.rig);
    assert_int_equal(waiting(&course.rig), 0);
    assert_int_equal(drain_waiting(course.rig.drain).batches, 0);

    g_autofree char *bad = read_bad(place);
    for (guint i = 0; i < course.lines->len; i++)
        check_line(&course, &g_array_index(course.lines, Line, i), bad);
    if (!drops)
        check_counts(&course);
    g_array_unref(course.lines);
    g_hash_table_unref(course.lost);
    g_rand_free(course.random);
    rig_clear(&course.rig);
}

static void run_courses(bool drops, bool kills)
{
    const char *rounds = g_getenv("DRAIN_ROUNDS");
    guint n = rounds ? (guint)g_ascii_strtoull(rounds, NULL, 10) : 2;
    for (guint32 seed = 0; seed < n * G_N_ELEMENTS(apis); seed++) {
        void *place;
        print_message("seed %u\n", seed);
        assert_int_equal(setup_memory_place(&place), 0);
        run_course(place, seed, &apis[seed % G_N_ELEMENTS(apis)], drops, kills);
        assert_int_equal(teardown_place(&place), 0);
    }
}

static void test_nothing_is_lost(void **state)
{
    (void)state;
    run_courses(false, false);
}

static void test_only_what_was_dropped_is_lost(void **state)
{
    (void)state;
    run_courses(true, true);
}

static void test_killed(void **state)
{
    (void)state;
    run_courses(false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_only_what_was_dropped_is_lost),
        cmocka_unit_test(test_killed),
    };
    log_init("test_drain_random", 0, LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
