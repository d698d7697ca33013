/* SPDX-License-Identifier: Apache-2.0 */
#include "test_drain.h"

#include <stdlib.h>

#define MS G_GINT64_CONSTANT(1000000)

/* --- what is sent --- */

static void test_nothing(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    go_on(&rig);
    assert_int_equal(rig.sink->requests, 0);
    assert_int_equal(drain_waiting(rig.drain).batches, 0);
    assert_false(exists(*state, SINK)); /* nothing to save either */
    add_points(&rig, 1, -1, "");
    go_on(&rig);
    assert_int_equal(rig.sink->requests, 1);
}

static void test_coalescing(void **state)
{
    static const struct {
        guint batches, lines, per_request, requests, largest;
    } cases[] = {
        {1, 1, 5000, 1, 1},     {30, 1, 5000, 1, 30},   {10, 500, 5000, 1, 5000}, {11, 500, 5000, 2, 5000},
        {5, 300, 1000, 2, 900}, {3, 700, 1000, 3, 700}, {2, 3000, 1000, 2, 3000}, {4, 1, 1, 4, 1},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (guint gzip = 0; gzip < 2; gzip++) {
            g_auto(Rig) rig = rig_new(*state, SINK_VICTORIAMETRICS, FAKE_PLAIN);
            rig.settings.gzip = rig.sink->gzip = gzip;
            rig.settings.lines = cases[i].per_request;
            guint64 total = cases[i].batches * cases[i].lines;
            Ledger before = stored_ledger(&rig);
            for (guint b = 0; b < cases[i].batches; b++)
                add_points(&rig, cases[i].lines, -1, "");
            restart(&rig);
            assert_int_equal(drain_waiting(rig.drain).batches, cases[i].batches);
            guint64 bytes = drain_waiting(rig.drain).bytes;
            go_on(&rig);
            assert_int_equal(rig.sink->requests, cases[i].requests);
            assert_int_equal(rig.sink->largest, cases[i].largest);
            assert_int_equal(g_hash_table_size(rig.sink->points), total);
            assert_int_equal(waiting(&rig), 0);
            assert_int_equal(drain_waiting(rig.drain).batches, 0);
            assert_int_equal(drain_waiting(rig.drain).bytes, 0);
            Ledger after = stored_ledger(&rig); /* DONE saves it */
            assert_int_equal(after.sent_lines - before.sent_lines, total);
            assert_int_equal(after.sent_batches - before.sent_batches, cases[i].batches);
            assert_int_equal(after.sent_bytes - before.sent_bytes, bytes);
            assert_int_equal(after.rejected_lines, 0);
            assert_int_equal(after.last_success_ns, rig.now_ns);
        }
    }
}

/* Stored members stand one behind the other, byte by byte. */
/* A request says what its lines have come through: only what has come the same way goes together. */
static void test_ways(void **state)
{
    static const char *const hosts[] = {"_via.0000000a", "_via.0000000a", "kvm1", "_via.0000000a.0000000b",
                                        "_via.0000000a"};
    static const struct {
        const char *via;
        guint lines;
    } wanted[] = {{"0000000a", 2}, {NULL, 1}, {"0000000a.0000000b", 1}, {"0000000a", 1}};
    g_auto(Rig) rig = rig_new(*state, SINK_TELEMETRYD, FAKE_PLAIN);
    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++) {
        rig.host = hosts[i];
        add_points(&rig, 1, -1, "");
    }
    restart(&rig);
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++) {
        DrainBody body;
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        drain_prepare(rig.drain);
        CHECK_TEXT(body.via, wanted[i].via, "via");
        assert_int_equal(body.lines, wanted[i].lines);
        answer_with(&rig, fake_reply(503, NULL)); /* and the same when it is sent again */
        wait_for_it(&rig);
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        CHECK_TEXT(body.via, wanted[i].via, "again");
        answer_with(&rig, fake_reply(204, NULL));
    }
    assert_int_equal(waiting(&rig), 0);
}

static void test_sent_as_stored(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    static const char *const texts[] = {"m f=1 1\nm f=2 2\n", "m f=3 3\n"};
    g_autoptr(GString) expected = g_string_new(NULL);
    for (guint i = 0; i < 2; i++) {
        gsize length;
        g_autofree char *packed = spool_compress(texts[i], strlen(texts[i]), &length);
        add_stored(&rig, packed, length);
        g_string_append_len(expected, packed, (gssize)length);
    }
    DrainBody body;
    restart(&rig);
    for (guint again = 0; again < 2; again++) { /* until it is answered, the same */
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        assert_int_equal(body.length, expected->len);
        assert_memory_equal(body.data, expected->str, expected->len);
        assert_int_equal(body.lines, 3);
    }
}

/* Numbers of lines have to be right, and members must not run together. */
static void test_other_forms_are_mended(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB2, FAKE_PLAIN);
    rig.settings.gzip = rig.sink->gzip = false;
    add_lines(&rig, "# comment\n\nm f=1 1\r\n  \nm f=2 2");
    add_lines(&rig, "");
    add_lines(&rig, "\n\n");
    add_lines(&rig, "m s=\"two\nrows\" 3\n");
    add_lines(&rig, "m f=4 4\n");
    DrainBody body;
    restart(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_string_equal(body.data, "m f=1 1\nm f=2 2\nm s=\"two\nrows\" 3\nm f=4 4\n");
    assert_int_equal(body.lines, 4);
    /* row 5 is the fourth line */
    answer_with(&rig, fake_reply(503, NULL));
    wait_for_it(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    SinkReply *reply = fake_reply(400, NULL);
    reply->body = g_string_new("{\"code\":\"invalid\",\"message\":\"unable to parse\",\"line\":5}");
    answer_with(&rig, reply);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_string_equal(body.data, "m f=1 1\nm f=2 2\nm s=\"two\nrows\" 3\n");
    answer_with(&rig, fake_reply(204, NULL));
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_string_equal(body.data, "m f=4 4\n");
    answer_with(&rig, fake_reply(204, NULL));
    assert_int_equal(next(&rig, &body), DRAIN_DONE);
    assert_int_equal(waiting(&rig), 0);
    assert_int_equal(drain_ledger(rig.drain)->sent_lines, 4);
    assert_int_equal(drain_ledger(rig.drain)->sent_batches, 3);
    assert_false(exists(*state, "bad"));
}

/* VictoriaMetrics drops such lines without a word. */
static void test_invalid_lines_never_leave(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_VICTORIAMETRICS, FAKE_PLAIN);
    add_lines(&rig, "m f=1 1\nno fields\nm f=2 2\n_reserved f=1 1\n");
    add_lines(&rig, "m,k= f=1 1\n");
    add_points(&rig, 2, -1, "");
    go_on(&rig);
    g_autofree char *bad = read_bad(*state);
    assert_int_equal(rig.sink->requests, 1);
    assert_int_equal(g_hash_table_size(rig.sink->points), 4);
    assert_non_null(strstr(bad, "no fields\n_reserved f=1 1\n"));
    assert_non_null(strstr(bad, "m,k= f=1 1\n"));
    assert_int_equal(strlen(bad), strlen("no fields\n_reserved f=1 1\nm,k= f=1 1\n"));
    Ledger ledger = stored_ledger(&rig);
    assert_int_equal(ledger.rejected_lines, 3);
    assert_int_equal(ledger.sent_lines, 4);
    assert_int_equal(ledger.sent_batches, 2);
}

static void test_damaged_batches(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB3, FAKE_PLAIN);
    gsize length, huge_length, huge = 33 * 1024 * 1024;
    g_autofree char *packed = spool_compress("m f=1 1\n", 8, &length);
    g_autofree char *newlines = g_strnfill(huge, '\n');
    g_autofree char *packed_huge = spool_compress(newlines, huge, &huge_length);
    add_points(&rig, 2, -1, "");
    add_stored(&rig, "no gzip", 7);
    add_stored(&rig, packed, length - 1);
    add_stored(&rig, "", 0);
    add_points(&rig, 2, -1, "");
    add_stored(&rig, packed_huge, huge_length);
    go_on(&rig);
    assert_int_equal(rig.sink->requests, 1);
    assert_int_equal(g_hash_table_size(rig.sink->points), 4);
    assert_int_equal(stored_ledger(&rig).bad_batches, 4);
    assert_int_equal(stored_ledger(&rig).sent_batches, 2);
    assert_int_equal(count_in(*state, "bad"), 4);
    assert_int_equal(waiting(&rig), 0);
}

/* Where bad/ can't be made, a damaged batch goes all the same: the good one behind it does not wait. */
static void test_damaged_and_nowhere_to_keep(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    g_autofree char *bad = path_of(*state, "bad");
    assert_true(g_file_set_contents(bad, "in the way", -1, NULL));
    add_stored(&rig, "no gzip", strlen("no gzip"));
    add_points(&rig, 3, -1, "");
    go_on(&rig);
    assert_int_equal(g_hash_table_size(rig.sink->points), 3);
    assert_int_equal(waiting(&rig), 0);
    assert_int_equal(stored_ledger(&rig).bad_batches, 1);
}

static void test_batches_added_meanwhile(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    restart(&rig);
    add_points(&rig, 2, -1, "");
    assert_int_equal(go(&rig), DRAIN_SEND);
    add_points(&rig, 3, -1, "");
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(go(&rig), DRAIN_DONE);
    add_points(&rig, 4, -1, "");
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(go(&rig), DRAIN_DONE);
    assert_int_equal(g_hash_table_size(rig.sink->points), 9);
}

/* While the sink is at work. What comes of it is the same, in the same order. */
static void test_prepared(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    DrainBody body;
    rig.settings.lines = 10;
    restart(&rig);
    drain_prepare(rig.drain); /* of nothing */
    for (guint i = 1; i <= 5; i++)
        add_points(&rig, 10 + i, -1, "");
    for (guint i = 1; i <= 5; i++) {
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        assert_int_equal(body.lines, 10 + i);
        drain_prepare(rig.drain);
        drain_prepare(rig.drain);
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        assert_int_equal(body.lines, 10 + i);
        if (i == 2) {
            answer_with(&rig, fake_reply(503, NULL));
            drain_prepare(rig.drain);
            wait_for_it(&rig);
            assert_int_equal(next(&rig, &body), DRAIN_SEND);
            assert_int_equal(body.lines, 10 + i);
        }
        answer_with(&rig, fake_sink_post(rig.sink, body.data, body.length));
        assert_int_equal(waiting(&rig), 5 - i);
    }
    assert_int_equal(next(&rig, &body), DRAIN_DONE);
    assert_int_equal(g_hash_table_size(rig.sink->points), 65);
    assert_int_equal(rig.sink->odd, 0);
}

static void drop(const Rig *rig, guint i)
{
    g_autoptr(GPtrArray) batches = list(rig->place, SINK);
    assert_true(spool_remove(rig->place->spool, SINK, nth(batches, i)->name, NULL));
}

/* The spool's limits may take what is just being sent, or waits to be sent again. */
static void test_batches_dropped_meanwhile(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    DrainBody body;
    restart(&rig);
    for (guint i = 0; i < 4; i++)
        add_points(&rig, 10, -1, "");
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_int_equal(body.lines, 40);
    answer_with(&rig, fake_reply(503, NULL));
    drop(&rig, 1);
    wait_for_it(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_int_equal(body.lines, 30);
    drop(&rig, 0);
    answer_with(&rig, fake_reply(503, NULL));
    drop(&rig, 0);
    drop(&rig, 0);
    wait_for_it(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_DONE);
    assert_int_equal(drain_ledger(rig.drain)->sent_lines, 0);
    assert_int_equal(drain_ledger(rig.drain)->sent_batches, 0);
}

/* Two queues over the same data, one sink down: the other does not notice. */
static void test_each_sink_by_itself(void **state)
{
    static char second_name[] = "second";
    const Place *place = *state;
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    SinkSettings settings = rig.settings;
    settings.name = second_name;
    add_points(&rig, 3, -1, "");
    add(place, (const char *[]){second_name, NULL}, START_NS, "no gzip");
    g_autoptr(Drain) second = drain_new(place->spool, &settings);
    DrainBody body;
    assert_int_equal(drain_next(second, START_NS, &body, NULL), DRAIN_DONE);
    assert_int_equal(drain_ledger(second)->bad_batches, 1);
    go_on(&rig);
    assert_int_equal(stored_ledger(&rig).bad_batches, 0);
    assert_int_equal(stored_ledger(&rig).sent_lines, 3);
}

static void test_unsafe_queue_stops(void **state)
{
    const Place *place = *state;
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    g_autofree char *path = path_of(place, SINK);
    DrainBody body;
    add_points(&rig, 3, -1, "");
    restart(&rig);
    assert_int_equal(chmod(path, 0777), 0);
    g_autoptr(GError) error = NULL;
    assert_int_equal(drain_next(rig.drain, rig.now_ns, &body, &error), DRAIN_STOP);
    assert_true(g_error_matches(error, SPOOL_ERROR, SPOOL_ERROR_UNSAFE));
    assert_int_equal(chmod(path, 0700), 0);
    go_on(&rig);
    assert_int_equal(g_hash_table_size(rig.sink->points), 3);
}

/* --- lines that are refused --- */

typedef struct {
    SinkType type;
    FakeStyle style;
    const char *kind;
    guint requests; /* at most */
    bool kept;      /* it is known which */
} Refusal;

static const Refusal refusals[] = {
    {SINK_INFLUXDB1, FAKE_PLAIN, "poison", 1, true},       {SINK_INFLUXDB1, FAKE_PLAIN, "conflict", 1, false},
    {SINK_VICTORIAMETRICS, FAKE_PLAIN, "poison", 1, true}, {SINK_INFLUXDB2, FAKE_PLAIN, "poison", 4, true},
    {SINK_INFLUXDB2, FAKE_NO_DETAIL, "poison", 28, true},  {SINK_INFLUXDB2, FAKE_WRONG_DETAIL, "poison", 31, true},
    {SINK_INFLUXDB2, FAKE_PLAIN, "conflict", 1, false},    {SINK_INFLUXDB2, FAKE_SCHEMA_500, "conflict", 36, true},
    {SINK_INFLUXDB3, FAKE_PLAIN, "poison", 1, true},       {SINK_INFLUXDB3, FAKE_PLAIN, "conflict", 1, true},
    {SINK_INFLUXDB3, FAKE_NO_DETAIL, "poison", 28, true},  {SINK_TELEMETRYD, FAKE_PLAIN, "poison", 1, true},
};

static void check_refusal(Place *place, const Refusal *c, guint batches, guint lines, guint batch, gint at, bool gzip)
{
    g_auto(Rig) rig = rig_new(place, c->type, c->style);
    rig.settings.gzip = rig.sink->gzip = gzip;
    Ledger before = stored_ledger(&rig);
    g_autofree char *bad_before = read_bad(place);
    for (guint i = 0; i < batches; i++)
        add_points(&rig, lines, i == batch ? at : -1, c->kind);
    go_on(&rig);
    g_autofree char *bad = read_bad(place);
    Ledger after = stored_ledger(&rig);
    assert_int_equal(g_hash_table_size(rig.sink->points), batches * lines - 1);
    assert_int_equal(after.sent_lines - before.sent_lines, batches * lines - 1);
    assert_int_equal(after.rejected_lines - before.rejected_lines, 1);
    assert_int_equal(waiting(&rig), 0);
    if (rig.sink->requests > c->requests)
        fail_msg("%u requests for type %d, style %d", rig.sink->requests, c->type, c->style);
    g_autofree char *expected =
        g_strdup_printf("vm_totals,VMID=%u,k=%s f=%ui %u\n", (batch * lines + (guint)at) % 50, c->kind,
                        batch * lines + (guint)at, (batch * lines + (guint)at) / 50 + 1);
    assert_int_equal(strlen(bad) - strlen(bad_before), c->kept ? strlen(expected) : 0);
    assert_true(!c->kept || strstr(bad, expected));
}

static void test_one_poison_line(void **state)
{
    static const struct {
        guint batches, lines, batch;
        gint at;
    } places[] = {{1, 5000, 0, 2317}, {20, 50, 13, 17}, {1, 64, 0, 0}, {1, 64, 0, 63},
                  {8, 30, 0, 0},      {8, 30, 7, 29},   {2, 1, 1, 0}};
    for (gsize i = 0; i < G_N_ELEMENTS(refusals); i++)
        for (gsize p = 0; p < G_N_ELEMENTS(places); p++)
            check_refusal(*state, &refusals[i], places[p].batches, places[p].lines, places[p].batch, places[p].at,
                          p % 2);
}

static guint count_lines(const char *text)
{
    guint n = 0;
    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

/* What a sink says need not be true. */
static void test_claims(void **state)
{
    static const struct {
        SinkType type;
        const char *body;
        guint rejected, kept;
    } cases[] = {
        {SINK_INFLUXDB3, "{\"error\":\"partial write\",\"data\":[{\"line_number\":11}]}", 1, 0},
        {SINK_INFLUXDB3, "{\"error\":\"partial write\",\"data\":[{\"line_number\":4294967295},{\"line_number\":10}]}",
         2, 1},
        {SINK_INFLUXDB3, "{\"error\":\"partial write\",\"data\":[{\"original_line\":\"m x\"}]}", 1, 0},
        {SINK_INFLUXDB1, "{\"error\":\"partial write: x dropped=99999999999999999999\"}", 10, 0},
        {SINK_INFLUXDB1, "{\"error\":\"unable to parse 'm x': r\\nunable to parse 'm x': r\"}", 2, 0},
        {SINK_INFLUXDB2, "{\"message\":\"partial write: dropped=3\"}", 3, 0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(Rig) rig = rig_new(*state, cases[i].type, FAKE_PLAIN);
        DrainBody body;
        Ledger before = stored_ledger(&rig);
        g_autofree char *bad_before = read_bad(*state);
        add_points(&rig, 10, -1, "");
        restart(&rig);
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        SinkReply *reply = fake_reply(400, NULL);
        reply->body = g_string_new(cases[i].body);
        answer_with(&rig, reply);
        assert_int_equal(next(&rig, &body), DRAIN_DONE);
        Ledger after = stored_ledger(&rig);
        g_autofree char *bad = read_bad(*state);
        assert_int_equal(after.rejected_lines - before.rejected_lines, cases[i].rejected);
        assert_int_equal(after.sent_lines - before.sent_lines, 10 - cases[i].rejected);
        assert_int_equal(count_lines(bad) - count_lines(bad_before), cases[i].kept);
    }
}

/* InfluxDB 1 stores nothing where every line is malformed, and says so otherwise. */
static void test_all_poison(void **state)
{
    static const SinkType types[] = {SINK_INFLUXDB1, SINK_INFLUXDB2, SINK_INFLUXDB3, SINK_TELEMETRYD};
    for (gsize t = 0; t < G_N_ELEMENTS(types); t++) {
        g_auto(Rig) rig = rig_new(*state, types[t], FAKE_PLAIN);
        Ledger before = stored_ledger(&rig);
        for (guint i = 0; i < 30; i++)
            add_points(&rig, 1, 0, "poison");
        go_on(&rig);
        Ledger after = stored_ledger(&rig);
        assert_int_equal(after.rejected_lines - before.rejected_lines, 30);
        assert_int_equal(after.sent_batches - before.sent_batches, 0);
        assert_int_equal(rig.waits, 0);
        assert_int_equal(waiting(&rig), 0);
    }
}

/* bad/ first, then the count, then the batch goes: none of the lines is lost uncounted. */
static void test_order_of_the_end(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB2, FAKE_PLAIN);
    add_points(&rig, 3, -1, "");
    go_on(&rig); /* saves, so that it need not be saved soon */
    add_points(&rig, 3, 1, "poison");
    for (guint request = 0; request < 4; request++) {
        assert_false(exists(*state, "bad"));
        assert_int_equal(stored_ledger(&rig).rejected_lines, 0);
        assert_int_equal(waiting(&rig), 1);
        assert_int_equal(go(&rig), DRAIN_SEND);
    }
    assert_true(exists(*state, "bad"));
    assert_int_equal(stored_ledger(&rig).rejected_lines, 1);
    assert_int_equal(waiting(&rig), 0);
}

/* A sink that refuses whatever comes, and names no line: its data is kept. */
static void test_refusing_everything(void **state)
{
    static const struct {
        long status;
        const char *body;
    } ways[] = {
        {400, "{\"error\":\"bucket is not what it was\"}"}, {400, ""}, {413, ""}, {500, "{\"error\":\"disk full\"}"}};
    for (gsize w = 0; w < G_N_ELEMENTS(ways); w++) {
        g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB2, FAKE_PLAIN);
        add_points(&rig, 50, -1, "");
        add_points(&rig, 50, -1, "");
        restart(&rig);
        for (guint i = 0; rig.now_ns < START_NS + 20000 * NS_PER_SECOND; i++) {
            DrainBody body;
            if (next(&rig, &body) == DRAIN_WAIT) {
                wait_for_it(&rig);
                continue;
            }
            SinkReply *reply = fake_reply(ways[w].status, NULL);
            reply->body = g_string_new(ways[w].body);
            answer_with(&rig, reply);
            assert_true(i < 20000 / 150 * 30);
        }
        assert_int_equal(waiting(&rig), 2);
        assert_true(drain_ledger(rig.drain)->failures > 10);
        go_on(&rig);
        assert_int_equal(g_hash_table_size(rig.sink->points), 100);
        assert_int_equal(stored_ledger(&rig).rejected_lines, 0);
        assert_int_equal(stored_ledger(&rig).failures, 0);
        assert_false(exists(*state, "bad"));
    }
}

/* However long that lasts, and whatever was tried meanwhile: when it is over, all is stored. */
static void test_refusing_for_a_while(void **state)
{
    static const long statuses[] = {400, 413, 500};
    for (gsize s = 0; s < G_N_ELEMENTS(statuses); s++) {
        for (guint times = 1; times <= 70; times++) {
            g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
            DrainBody body;
            add_points(&rig, 9, -1, "");
            add_points(&rig, 3, -1, "");
            restart(&rig);
            for (guint i = 0; i < times;) {
                if (next(&rig, &body) == DRAIN_WAIT) {
                    wait_for_it(&rig);
                    continue;
                }
                answer_with(&rig, fake_reply(statuses[s], NULL));
                i++;
            }
            go_on(&rig);
            assert_int_equal(g_hash_table_size(rig.sink->points), 12);
            assert_int_equal(stored_ledger(&rig).rejected_lines, 0);
        }
    }
}

static void test_batch_that_stays(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    g_autofree char *path = path_of(*state, SINK);
    DrainBody body;
    g_autoptr(GError) error = NULL;
    add_points(&rig, 3, -1, "");
    restart(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_int_equal(chmod(path, 0777), 0);
    answer_with(&rig, fake_reply(204, NULL));
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(drain_next(rig.drain, rig.now_ns, &body, &error), DRAIN_STOP); /* not for ever the same again */
    assert_true(g_error_matches(error, SPOOL_ERROR, SPOOL_ERROR_UNSAFE));
    restart(&rig);
    go_on(&rig);
    assert_int_equal(waiting(&rig), 0);
}

/* Many lines of one kind are refused for no reason that is said, those of another kind are not: no sink is down. */
static void test_refusing_a_kind(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB3, FAKE_NO_DETAIL);
    g_autoptr(GString) text = g_string_new(NULL);
    restart(&rig);
    for (guint i = 0; i < 101; i++) {
        g_autofree char *line = make_line(&rig, i < 100 ? "poison" : "");
        g_string_append_printf(text, "%s\n", line);
    }
    add_lines(&rig, text->str);
    for (DrainBody body; next(&rig, &body) == DRAIN_SEND;) {
        g_autoptr(SinkReply) reply = fake_sink_post(rig.sink, body.data, body.length);
        if (reply->body)
            g_string_assign(reply->body, "{\"error\":\"no\"}");
        answer_with(&rig, g_steal_pointer(&reply));
    }
    assert_int_equal(waiting(&rig), 0);
    assert_int_equal(drain_ledger(rig.drain)->rejected_lines, 100);
    assert_int_equal(drain_ledger(rig.drain)->sent_lines, 1);
    assert_int_equal(g_hash_table_size(rig.sink->points), 1);
}

/* --- 413 --- */

static void test_too_large(void **state)
{
    static const guint limits[] = {1, 2, 7, 100, 400, 4999};
    enum { BATCHES = 200 };
    for (gsize i = 0; i < G_N_ELEMENTS(limits); i++) {
        g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
        guint lines = MIN(limits[i] * 20, 2000);
        rig.settings.lines = lines;
        rig.sink->max_lines = limits[i];
        for (guint b = 0; b < BATCHES; b++)
            add_points(&rig, lines / 20, -1, "");
        go_on(&rig);
        assert_int_equal(g_hash_table_size(rig.sink->points), lines / 20 * BATCHES);
        assert_int_equal(stored_ledger(&rig).rejected_lines, 0);
        assert_int_equal(rig.waits, 0);
        /* the limit is remembered: hardly any request is in vain */
        guint least = (lines / 20 * BATCHES + limits[i] - 1) / limits[i];
        if (rig.sink->requests > least + least / 4 + 40)
            fail_msg("limit %u: %u requests, %u would do", limits[i], rig.sink->requests, least);
    }
}

/* One line that is too long is not the others' fault, and does not make all later requests small. */
static void test_line_too_large(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    g_autofree char *value = g_strnfill(10000, 'x');
    g_autofree char *line = g_strdup_printf("m s=\"%s\" 1\n", value);
    rig.sink->max_line = 9999;
    add_points(&rig, 1000, -1, "");
    add_lines(&rig, line);
    for (guint i = 0; i < 30; i++)
        add_points(&rig, 1000, -1, "");
    go_on(&rig);
    g_autofree char *bad = read_bad(*state);
    assert_string_equal(bad, line);
    assert_int_equal(g_hash_table_size(rig.sink->points), 31000);
    assert_int_equal(stored_ledger(&rig).rejected_lines, 1);
    assert_true(rig.sink->requests < 35);
}

/* --- waiting --- */

static void test_backoff(void **state)
{
    (void)state;
    static const struct {
        AnswerKind kind;
        guint failures;
        gint64 asked_ms;
        double random;
        gint64 wait_ms;
    } cases[] = {
        {ANSWER_BUSY, 1, -1, 1, 1000},
        {ANSWER_BUSY, 1, -1, 0, 500},
        {ANSWER_BUSY, 1, -1, 0.5, 750},
        {ANSWER_FAILED, 1, -1, 1, 1000},
        {ANSWER_BUSY, 0, -1, 1, 1000},
        {ANSWER_BUSY, 2, -1, 1, 2000},
        {ANSWER_BUSY, 9, -1, 1, 256000},
        {ANSWER_BUSY, 10, -1, 1, 300000},
        {ANSWER_BUSY, 10, -1, 0, 150000},
        {ANSWER_BUSY, G_MAXUINT, -1, 1, 300000},
        {ANSWER_DENIED, 1, -1, 1, 60000},
        {ANSWER_DENIED, 1, -1, 0, 30000},
        {ANSWER_DENIED, 3, -1, 1, 240000},
        {ANSWER_DENIED, 4, -1, 1, 300000},
        {ANSWER_BUSY, 1, 0, 1, 1000},
        {ANSWER_BUSY, 1, 120000, 1, 120000},
        {ANSWER_BUSY, 9, 120000, 1, 256000},
        {ANSWER_BUSY, 1, 3600001, 1, 3600000},
        {ANSWER_BUSY, 1, G_MAXINT64, 1, 3600000},
        {ANSWER_BUSY, 1, -1, 7, 1000},
        {ANSWER_BUSY, 1, -1, -7, 500},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_int_equal(drain_backoff_ms(cases[i].kind, cases[i].failures, cases[i].asked_ms, cases[i].random),
                         cases[i].wait_ms);
    assert_int_equal(drain_backoff_ms(ANSWER_BUSY, 1, -1, strtod("nan", NULL)), 500);
}

/* The next process waits as long, and asks no sooner. */
static void test_backoff_over_processes(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    DrainBody body;
    add_points(&rig, 5, -1, "");
    for (guint failures = 1; failures <= 12; failures++) {
        restart(&rig);
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        answer_with(&rig, fake_reply(503, failures == 3 ? "77" : NULL));
        Ledger ledger = stored_ledger(&rig);
        gint64 wait_ms = drain_backoff_ms(ANSWER_BUSY, failures, failures == 3 ? 77000 : -1, 0.5);
        assert_int_equal(ledger.retry_at_ns, rig.now_ns + wait_ms * MS);
        assert_int_equal(ledger.failures, failures);
        assert_int_equal(ledger.retried, failures);
        assert_int_equal(ledger.last_error_ns, rig.now_ns);
        assert_string_equal(ledger.last_error, "503 Service Unavailable");
        restart(&rig);
        assert_int_equal(drain_retry_at(rig.drain), ledger.retry_at_ns);
        rig.now_ns = ledger.retry_at_ns - 1;
        assert_int_equal(next(&rig, &body), DRAIN_WAIT);
        rig.now_ns++;
    }
    go_on(&rig);
    assert_int_equal(stored_ledger(&rig).failures, 0);
    assert_int_equal(stored_ledger(&rig).retry_at_ns, 0);
    assert_int_equal(stored_ledger(&rig).sent_lines, 5);
}

static void test_nothing_to_wait_for(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    DrainBody body;
    add_points(&rig, 5, -1, "");
    restart(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    answer_with(&rig, fake_reply(401, NULL));
    drop(&rig, 0);
    restart(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_DONE);
}

static void test_hurry(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    DrainBody body;
    add_points(&rig, 5, -1, "");
    restart(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    answer_with(&rig, fake_reply(401, NULL));
    assert_int_equal(next(&rig, &body), DRAIN_WAIT);
    drain_hurry(rig.drain);
    assert_int_equal(drain_retry_at(rig.drain), 0);
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(go(&rig), DRAIN_DONE);
}

static void test_clock_set_back(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    DrainBody body;
    add_points(&rig, 5, -1, "");
    restart(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    answer_with(&rig, fake_reply(503, "3600"));
    assert_int_equal(next(&rig, &body), DRAIN_WAIT);
    rig.now_ns -= 1;
    restart(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_SEND); /* an hour and a bit */
    answer_with(&rig, fake_reply(503, NULL));
    rig.now_ns -= 86400 * NS_PER_SECOND;
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(go(&rig), DRAIN_DONE);
    assert_int_equal(stored_ledger(&rig).last_success_ns, rig.now_ns);
}

static void test_due(void **state)
{
    (void)state;
    const gint64 now_ns = 1000000 * NS_PER_SECOND, most_ns = DRAIN_ASKED_MAX_MS / 1000 * NS_PER_SECOND;
    const struct {
        gint64 retry_at_ns, due_ns;
    } cases[] = {
        {0, 0},
        {now_ns - 1, 0},
        {now_ns, 0},
        {now_ns + 1, now_ns + 1},
        {now_ns + most_ns, now_ns + most_ns},
        {now_ns + most_ns + 1, 0},
        {G_MAXINT64, 0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_int_equal(drain_due_ns(&(Ledger){.retry_at_ns = cases[i].retry_at_ns}, now_ns), cases[i].due_ns);
}

/* Who waits for it is not made to wait long, however long the sink was away, and it is asked often enough; what it asks
 * for is honoured, and one that needs a person is not pestered. */
static void test_hurry_after_an_outage(void **state)
{
    static const struct {
        long status;
        const char *retry_after;
        gint64 wait_ms; /* three quarters of the longest, as the rig draws no luck */
    } cases[] = {
        {503, NULL, 750},  {503, NULL, 1500},  {502, NULL, 3000}, {503, NULL, 5000},
        {503, NULL, 5000}, {429, "40", 40000}, {503, NULL, 5000}, {401, NULL, 225000},
        {503, NULL, 5000}, {204, NULL, 0},     {503, NULL, 750},
    };
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    rig.settings.lines = 5;
    add_points(&rig, 5, -1, "");
    add_points(&rig, 5, -1, "");
    const Ledger long_ago = {.failures = 30, .retry_at_ns = rig.now_ns + 200 * NS_PER_SECOND};
    assert_true(ledger_save(rig.place->spool, rig.settings.name, &long_ago, NULL));
    restart(&rig);
    drain_hurry(rig.drain);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        DrainBody body;
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        answer_with(&rig, fake_reply(cases[i].status, cases[i].retry_after));
        assert_int_equal(drain_retry_at(rig.drain) ? drain_retry_at(rig.drain) - rig.now_ns : 0, cases[i].wait_ms * MS);
        if (cases[i].wait_ms > 0)
            wait_for_it(&rig);
    }
}

/* Some servers say 500 to a poison line. That it is one takes several tries of one process, which does not live for
 * long, so after a long outage they must not be minutes apart. What the server asks for is honoured. */
static void test_tries_after_an_outage(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB2, FAKE_PLAIN);
    DrainBody body;
    add_points(&rig, 64, -1, "");
    restart(&rig);
    for (guint i = 0; i < 20; i++) {
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        answer_with(&rig, fake_reply(503, NULL));
        wait_for_it(&rig);
    }
    for (guint i = 1; i < ANSWER_FAILED_TRIES; i++) {
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        answer_with(&rig, fake_reply(500, i == 2 ? "30" : NULL));
        gint64 wait_ns = drain_retry_at(rig.drain) - rig.now_ns;
        assert_true(wait_ns <= (i == 2 ? 30 : 1 << (i - 1)) * NS_PER_SECOND);
        assert_true(wait_ns >= (i == 2 ? 30 * NS_PER_SECOND : NS_PER_SECOND / 2));
        wait_for_it(&rig);
    }
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_int_equal(body.lines, 64);
    answer_with(&rig, fake_reply(500, NULL));
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_int_equal(body.lines, 32);
}

static void test_needs_help(void **state)
{
    static const struct {
        long status;
        bool needs_help;
    } cases[] = {{503, false}, {401, true}, {503, false}, {404, true}};
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    DrainBody body;
    add_points(&rig, 1, -1, "");
    restart(&rig);
    assert_false(drain_needs_help(rig.drain));
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        drain_hurry(rig.drain);
        assert_int_equal(next(&rig, &body), DRAIN_SEND);
        answer_with(&rig, fake_reply(cases[i].status, NULL));
        assert_int_equal(drain_needs_help(rig.drain), cases[i].needs_help);
    }
    drain_hurry(rig.drain);
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_false(drain_needs_help(rig.drain));
}

/* In the middle of a search the same lines follow, not all of them again; a new process begins anew. */
static void test_backoff_within_a_search(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB2, FAKE_NO_DETAIL);
    DrainBody body;
    add_points(&rig, 64, 40, "poison");
    restart(&rig);
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(go(&rig), DRAIN_SEND); /* 0..31, stored */
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_int_equal(body.lines, 32);
    answer_with(&rig, fake_reply(429, "5"));
    assert_int_equal(next(&rig, &body), DRAIN_WAIT);
    wait_for_it(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_int_equal(body.lines, 32);
    restart(&rig);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_int_equal(body.lines, 64);
    answer_with(&rig, fake_sink_post(rig.sink, body.data, body.length));
    go_on(&rig);
    assert_int_equal(g_hash_table_size(rig.sink->points), 63);
    assert_int_equal(stored_ledger(&rig).rejected_lines, 1);
}

/* Processes that live for one attempt find the line in the end as well. */
static void test_failures_over_processes(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB2, FAKE_SCHEMA_500);
    DrainBody body;
    add_points(&rig, 64, 40, "conflict");
    for (guint failures = 1; failures < ANSWER_FAILED_TRIES; failures++) {
        restart(&rig);
        assert_int_equal(go(&rig), DRAIN_SEND);
        wait_for_it(&rig);
    }
    restart(&rig);
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(next(&rig, &body), DRAIN_SEND);
    assert_int_equal(body.lines, 32);
    go_on(&rig);
    assert_int_equal(g_hash_table_size(rig.sink->points), 63);
    assert_int_equal(stored_ledger(&rig).rejected_lines, 1);
}

/* --- the ledger --- */

/* While all goes well it is saved once a second; what is unsaved, at the end. */
static void test_saving(void **state)
{
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    rig.settings.lines = 10;
    for (guint i = 0; i < 8; i++)
        add_points(&rig, 10, -1, "");
    restart(&rig);
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(stored_ledger(&rig).sent_lines, 10);
    rig.now_ns += 500 * MS;
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(stored_ledger(&rig).sent_lines, 10);
    assert_int_equal(drain_ledger(rig.drain)->sent_lines, 20);
    rig.now_ns += 500 * MS;
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(stored_ledger(&rig).sent_lines, 30);
    rig.now_ns += MS;
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(stored_ledger(&rig).sent_lines, 30);
    rig.now_ns -= 2 * MS; /* set back */
    assert_int_equal(go(&rig), DRAIN_SEND);
    assert_int_equal(stored_ledger(&rig).sent_lines, 50);
    assert_int_equal(go(&rig), DRAIN_SEND);
    restart(&rig);
    assert_int_equal(stored_ledger(&rig).sent_lines, 60);
    go_on(&rig);
    assert_int_equal(stored_ledger(&rig).sent_lines, 80);
}

/* --- what the operator hears --- */

/* What was logged while `go` ran, without the rest of standard error. Owned by the caller. */
static char *logged_by(Rig *rig, SinkReply *reply)
{
    DrainBody body;
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    assert_true(file && saved >= 0);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    log_init("t", LOG_TO_STDERR, LOG_LEVEL_INFO);
    DrainStep step = next(rig, &body);
    answer_with(rig, reply);
    log_init("t", 0, LOG_LEVEL_ERROR);
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(step, DRAIN_SEND);
    char *text = g_malloc0(4096);
    rewind(file);
    assert_true(fread(text, 1, 4095, file) < 4095);
    fclose(file);
    return text;
}

/* As if the time of the next attempt had come; a process that is the first to try after it. */
static void be_the_next(Rig *rig)
{
    Ledger ledger = stored_ledger(rig);
    ledger.retry_at_ns = 0;
    assert_true(ledger_save(rig->place->spool, rig->settings.name, &ledger, NULL));
    restart(rig);
}

/* By one process, or by one for each attempt: that makes no difference. */
static void hear(void **state, bool over_processes)
{
    static const struct {
        gint64 later_s;
        long status;
        const char *log;
    } cases[] = {
        {0, 204, ""},
        {0, 503, "t: sink influx does not take data: 503 Service Unavailable; 8 batches wait, next attempt in 1 s\n"},
        {60, 503, ""},
        {60, 500, ""},
        {60, 401, "t: sink influx does not take data: 401 Unauthorized; 8 batches wait, next attempt in 3 min 45 s\n"},
        {599, 404, ""},
        {1, 404,
         "t: sink influx does not take data for 13 min: 404 Not Found; 8 batches wait, next attempt in 3 min 45 s\n"},
        {600, 502, "t: sink influx does not take data: 502 Bad Gateway; 8 batches wait, next attempt in 1 min 40 s\n"},
        {6000, 204, "t: sink influx takes data again after 2 h 3 min; 8 batches wait\n"},
        {0, 204, ""},
    };
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    rig.settings.lines = 10;
    for (guint i = 0; i < 9; i++)
        add_points(&rig, 10, -1, "");
    restart(&rig);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        rig.now_ns += cases[i].later_s * NS_PER_SECOND;
        if (over_processes)
            be_the_next(&rig);
        else
            drain_hurry(rig.drain);
        g_autofree char *log = logged_by(&rig, fake_reply(cases[i].status, cases[i].status == 502 ? "100" : NULL));
        assert_string_equal(log, cases[i].log);
    }
}

static void test_log(void **state)
{
    hear(state, false);
}

static void test_log_over_processes(void **state)
{
    hear(state, true);
}

static void test_log_of_refused_lines(void **state)
{
    static const struct {
        gint64 later_s;
        const char *log;
    } cases[] = {{0, "1 line"}, {1, NULL}, {598, NULL}, {1, "3 lines"}, {599, NULL}, {-700, "2 lines"}};
    g_auto(Rig) rig = rig_new(*state, SINK_INFLUXDB1, FAKE_PLAIN);
    rig.settings.lines = 1;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        add_points(&rig, 1, -1, "");
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        rig.now_ns += cases[i].later_s * NS_PER_SECOND;
        restart(&rig); /* each by a process of its own */
        g_autofree char *log = logged_by(&rig, fake_reply(400, NULL));
        g_autofree char *wanted = cases[i].log ? g_strdup_printf("t: sink influx: %s refused for good, kept in bad/ "
                                                                 "where it is known which: 400 Bad Request\n",
                                                                 cases[i].log)
                                               : g_strdup("");
        assert_string_equal(log, wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(test_nothing),
        IN_MEMORY(test_coalescing),
        IN_MEMORY(test_ways),
        IN_MEMORY(test_sent_as_stored),
        IN_MEMORY(test_other_forms_are_mended),
        IN_MEMORY(test_invalid_lines_never_leave),
        IN_MEMORY(test_damaged_batches),
        IN_MEMORY(test_damaged_and_nowhere_to_keep),
        IN_MEMORY(test_batches_added_meanwhile),
        IN_MEMORY(test_prepared),
        IN_MEMORY(test_batches_dropped_meanwhile),
        IN_MEMORY(test_each_sink_by_itself),
        IN_MEMORY(test_unsafe_queue_stops),
        IN_MEMORY(test_one_poison_line),
        IN_MEMORY(test_claims),
        IN_MEMORY(test_all_poison),
        IN_MEMORY(test_order_of_the_end),
        IN_MEMORY(test_refusing_everything),
        IN_MEMORY(test_refusing_for_a_while),
        IN_MEMORY(test_batch_that_stays),
        IN_MEMORY(test_refusing_a_kind),
        IN_MEMORY(test_too_large),
        IN_MEMORY(test_line_too_large),
        cmocka_unit_test(test_backoff),
        IN_MEMORY(test_backoff_over_processes),
        IN_MEMORY(test_nothing_to_wait_for),
        IN_MEMORY(test_hurry),
        IN_MEMORY(test_hurry_after_an_outage),
        IN_MEMORY(test_clock_set_back),
        cmocka_unit_test(test_due),
        IN_MEMORY(test_tries_after_an_outage),
        IN_MEMORY(test_needs_help),
        IN_MEMORY(test_backoff_within_a_search),
        IN_MEMORY(test_failures_over_processes),
        IN_MEMORY(test_saving),
        IN_MEMORY(test_log),
        IN_MEMORY(test_log_over_processes),
        IN_MEMORY(test_log_of_refused_lines),
    };
    log_init("test_drain", 0, LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
