/* SPDX-License-Identifier: Apache-2.0
 * What writers send, from the request to the store and the answer, without a socket. */
#include "deliver/answer.h"
#include "deliver/spool.h"
#include "gather_helpers.h"
#include "serve/routes.h"

#include <string.h>

typedef struct {
    Service service;
    const char *coding; /* Content-Encoding */
} Case;

static const char *header_of(gconstpointer connection, const char *name)
{
    const Case *c = connection;
    return g_ascii_strcasecmp(name, "Content-Encoding") == 0 ? c->coding : NULL;
}

static int set_up(void **state)
{
    static const StoreOptions options = {90000, 3600000, 7200000, 100, 0};
    Case *c = g_new0(Case, 1);
    g_rw_lock_init(&c->service.lock);
    c->service.store = store_new(&options);
    c->service.stream = stream_new();
    c->service.feed = feed_new(c->service.store, NULL, c->service.stream);
    c->service.max_body_plain = 4096;
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    Case *c = *state;
    feed_free(c->service.feed);
    stream_free(c->service.stream);
    store_free(c->service.store);
    g_rw_lock_clear(&c->service.lock);
    g_free(c);
    return 0;
}

static Reply *write_to(Case *c, RouteHandler handler, const char *target, const char *body, gsize length)
{
    g_autoptr(Target) parsed = target_parse(target, NULL);
    assert_non_null(parsed);
    const Request request = {
        .method = "POST", .target = parsed, .header = header_of, .connection = c, .body = body, .length = length};
    return handler(&c->service, &request);
}

static bool says(const Reply *reply, const char *words)
{
    gsize length;
    const char *data = reply->body ? g_bytes_get_data(reply->body, &length) : NULL;
    g_autofree char *text = data ? g_strndup(data, length) : g_strdup("");
    return strstr(text, words) != NULL;
}

#define GOOD "vm_totals,VMID=83,host=h cputime=5i 1700000000\n"

static const struct {
    const char *label, *target, *coding, *body;
    RouteHandler handler;
    guint status;
    const char *words; /* of the answer */
} rows[] = {
    {"good", "/write?precision=s", NULL, GOOD, route_write_v1, 204, ""},
    {"identity", "/write?precision=s", "identity", GOOD, route_write_v1, 204, ""},
    {"nothing", "/write", NULL, "", route_write_v1, 204, ""},
    {"none of v1's", "/write?precision=second", NULL, GOOD, route_write_v1, 400, "ns, u, ms, s, m or h"},
    {"none of v2's", "/api/v2/write?precision=u", NULL, GOOD, route_write_v2, 400, "ns, us, ms or s"},
    {"v2", "/api/v2/write?precision=s", NULL, GOOD, route_write_v2, 204, ""},
    {"v3", "/api/v3/write_lp?precision=second", NULL, GOOD, route_write_v3, 204, ""},
    {"v3, by its size", "/api/v3/write_lp", NULL, GOOD, route_write_v3, 204, ""},
    {"none of v3's", "/api/v3/write_lp?precision=h", NULL, GOOD, route_write_v3, 400, "auto, nanosecond"},
    {"a bad line", "/write?precision=s", NULL, GOOD "bad\n", route_write_v1, 400,
     "partial write: unable to parse 'bad'"},
    {"its number", "/api/v2/write?precision=s", NULL, GOOD "bad\n", route_write_v2, 400, "\"line\":2"},
    {"v3's words", "/api/v3/write_lp", NULL, "bad\n", route_write_v3, 400, "partial write of line protocol occurred"},
    {"all", "/api/v3/write_lp?accept_partial=true", NULL, GOOD "bad\n", route_write_v3, 400, "partial write"},
    {"or nothing", "/api/v3/write_lp?accept_partial=false", NULL, "vm_totals,VMID=84 cputime=5i\nbad\n", route_write_v3,
     400, "parsing failed for write_lp endpoint"},
    {"neither", "/api/v3/write_lp?accept_partial=maybe", NULL, GOOD, route_write_v3, 400, "expected true or false"},
    {"v1 has no such thing", "/write?accept_partial=maybe", NULL, GOOD, route_write_v1, 204, ""},
    {"nothing but bad lines", "/write", NULL, "bad\nworse\n", route_write_v1, 400, "dropped=2"},
    {"no gzip", "/write", "gzip", "text", route_write_v1, 400, "damaged"},
    {"another coding", "/write", "br", "text", route_write_v1, 415, "expected gzip"},
};

static void requests_and_answers(void **state)
{
    Case *c = *state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        c->coding = rows[i].coding;
        Reply *reply = write_to(c, rows[i].handler, rows[i].target, rows[i].body, strlen(rows[i].body));
        CHECK(reply->status == rows[i].status, "%s: %u", rows[i].label, reply->status);
        CHECK(says(reply, rows[i].words), "%s", rows[i].label);
        CHECK(reply->status == 204 || (says(reply, "\"error\":") && says(reply, "\"detail\":")), "%s", rows[i].label);
        reply_free(reply);
    }
    VmView view;
    assert_true(store_find(c->service.store, 83, service_clock(), &view));
    assert_true(view.record->time_ns == G_GINT64_CONSTANT(1700000000000000000));
    vm_record_unref(view.record);
    assert_false(store_find(c->service.store, 84, service_clock(), &view)); /* of "or nothing" */
    FeedStatus status;
    feed_status(c->service.feed, &status);
    assert_true(status.refused_lines == 6 && status.lines == 9);
}

static void unpacked_it_may_be_too_large(void **state)
{
    Case *c = *state;
    gsize length;
    g_autofree char *large = g_strnfill(5000, '#');
    g_autofree char *packed = spool_compress(large, 5000, &length);
    c->coding = "gzip";
    Reply *reply = write_to(c, route_write_v1, "/write", packed, length);
    assert_int_equal(reply->status, 413);
    assert_true(says(reply, "max_lines_size"));
    reply_free(reply);
}

/* Two gzip members in a row, as a forwarder sends what it has stored; and one of nothing. */
static void members_are_one_body(void **state)
{
    Case *c = *state;
    static const char first[] = "vm_totals,VMID=1 cputime=5i 1\n", second[] = "vm_totals,VMID=2 cputime=5i 1\n";
    gsize first_length, second_length, nothing_length;
    g_autofree char *a = spool_compress(first, strlen(first), &first_length);
    g_autofree char *b = spool_compress(second, strlen(second), &second_length);
    g_autofree char *nothing = spool_compress("", 0, &nothing_length);
    g_autoptr(GString) body = g_string_new_len(a, (gssize)first_length);
    g_string_append_len(body, b, (gssize)second_length);
    c->coding = "GZIP";
    g_autoptr(Reply) both = write_to(c, route_write_v1, "/write", body->str, body->len);
    assert_int_equal(both->status, 204);
    g_autoptr(Reply) of_nothing = write_to(c, route_write_v1, "/write", nothing, nothing_length);
    assert_int_equal(of_nothing->status, 204);
    g_autoptr(Reply) cut = write_to(c, route_write_v1, "/write", body->str, body->len - 1);
    assert_int_equal(cut->status, 400);
    FeedStatus status;
    feed_status(c->service.feed, &status);
    assert_true(status.lines == 2 && status.vm_samples == 2);
}

/* A body that would take far more memory than its bytes: nothing of it is taken, the sender is to send less at once. */
static void too_many_things_are_refused_as_a_whole(void **state)
{
    Case *c = *state;
    g_autoptr(GString) text = g_string_new("vm_totals,VMID=1 cputime=5i 1\n");
    for (guint i = 0; i < LINE_THINGS_MAX; i++)
        g_string_append(text, "vm_events,VMID=1 a=1 1\n");
    g_autoptr(Reply) reply = write_to(c, route_write_v1, "/write", text->str, text->len);
    assert_int_equal(reply->status, 413);
    assert_true(says(reply, "send fewer at once"));
    FeedStatus status;
    feed_status(c->service.feed, &status);
    assert_true(status.lines == 0 && status.samples == 0 && status.events == 0);
}

/* --- what our forwarder makes of it --- */

static const struct {
    const char *label, *target;
    RouteHandler handler;
    SinkType type; /* that a sender takes us for */
    bool numbers;  /* its answers name lines by their numbers, else by their texts */
} senders[] = {
    {"telemetryd", "/write?precision=ns", route_write_v1, SINK_TELEMETRYD, true},
    {"InfluxDB 1", "/write?precision=ns", route_write_v1, SINK_INFLUXDB1, false},
    {"InfluxDB 2", "/api/v2/write?precision=ns", route_write_v2, SINK_INFLUXDB2, true},
    {"InfluxDB 3", "/api/v3/write_lp?precision=nanosecond", route_write_v3, SINK_INFLUXDB3, true},
};

/* Owned by the caller. */
static Answer *read_as(const Reply *reply, SinkType type)
{
    gsize length = 0;
    const char *data = reply->body ? g_bytes_get_data(reply->body, &length) : "";
    SinkReply got = {.status = (long)reply->status, .body = g_string_new_len(data, (gssize)length)};
    got.influx_error = reply->error_header;
    Answer *answer = answer_read(type, &got, 0);
    g_string_free(got.body, TRUE);
    return answer;
}

static void senders_find_which_lines_were_not_taken(void **state)
{
    Case *c = *state;
    static const char body[] = "vm_totals,VMID=1 cputime=5i 1\n\nbad\nvm_totals,VMID=2 cputime=5i 1\nworse\n";
    for (guint i = 0; i < G_N_ELEMENTS(senders); i++) {
        const char *label = senders[i].label;
        g_autoptr(Reply) good = write_to(c, senders[i].handler, senders[i].target, body, strcspn(body, "\n"));
        g_autoptr(Answer) stored = read_as(good, senders[i].type);
        CHECK(stored->kind == ANSWER_STORED, "%s: %s", label, stored->message);

        g_autoptr(Reply) reply = write_to(c, senders[i].handler, senders[i].target, body, strlen(body));
        g_autoptr(Answer) answer = read_as(reply, senders[i].type);
        CHECK(answer->kind == ANSWER_PARTIAL && answer->of_lines, "%s: %d, %s", label, answer->kind, answer->message);
        if (senders[i].numbers)
            CHECK(answer->lines->len > 0 && g_array_index(answer->lines, guint, 0) == 3, "%s", label);
        else
            CHECK(answer->texts->len > 0 && strcmp(answer->texts->pdata[0], "bad") == 0, "%s", label);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_and_answers),
        TEST(unpacked_it_may_be_too_large),
        TEST(members_are_one_body),
        TEST(too_many_things_are_refused_as_a_whole),
        TEST(senders_find_which_lines_were_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
