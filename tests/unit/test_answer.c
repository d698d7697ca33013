/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "deliver/answer.h"

#include <string.h>

#define NOW_MS G_GINT64_CONSTANT(784111777000) /* Sun, 06 Nov 1994 08:49:37 GMT */

enum { V1 = 1, V2 = 2, V3 = 4, VM = 8, TD = 16, LIKE_V1 = V1 | VM | TD, ALL = 31 };
static const SinkType types[] = {SINK_INFLUXDB1, SINK_INFLUXDB2, SINK_INFLUXDB3, SINK_VICTORIAMETRICS, SINK_TELEMETRYD};

typedef struct {
    guint of; /* the types for which it holds */
    long status;
    const char *body, *header; /* NULL: none */
    AnswerKind kind;
    const char *lines, *texts; /* "2 3"; texts joined by | */
    guint64 dropped;
    bool of_lines;
    const char *message;
} Case;

static SinkReply *reply_new(long status, const char *body, const char *header)
{
    SinkReply *reply = g_new0(SinkReply, 1);
    reply->status = status;
    reply->influx_error = g_strdup(header);
    reply->body = body ? g_string_new(body) : NULL;
    return reply;
}

static char *join_numbers(const GArray *numbers)
{
    GString *all = g_string_new(NULL);
    for (guint i = 0; i < numbers->len; i++)
        g_string_append_printf(all, "%s%u", i ? " " : "", g_array_index(numbers, guint, i));
    return g_string_free(all, FALSE);
}

static char *join_texts(const GPtrArray *texts)
{
    GString *all = g_string_new(NULL);
    for (guint i = 0; i < texts->len; i++)
        g_string_append_printf(all, "%s%s", i ? "|" : "", (const char *)g_ptr_array_index(texts, i));
    return g_string_free(all, FALSE);
}

static void check(const Case *c, SinkType type)
{
    g_autoptr(SinkReply) reply = reply_new(c->status, c->body, c->header);
    g_autoptr(Answer) answer = answer_read(type, reply, NOW_MS);
    g_autofree char *lines = join_numbers(answer->lines), *texts = join_texts(answer->texts);
    if (answer->kind != c->kind || strcmp(lines, c->lines ? c->lines : "") != 0 ||
        strcmp(texts, c->texts ? c->texts : "") != 0 || answer->dropped != c->dropped ||
        answer->of_lines != c->of_lines || (c->message && strcmp(answer->message, c->message) != 0))
        fail_msg("type %d, %ld %s: kind %d, lines %s, texts %s, dropped %" G_GUINT64_FORMAT ", of lines %d, \"%s\"",
                 type, c->status, c->body, answer->kind, lines, texts, answer->dropped, answer->of_lines,
                 answer->message);
    assert_int_equal(answer->wait_ms, -1);
}

#define CONFLICT                                                                                                       \
    "field type conflict: input field \\\"x\\\" on measurement \\\"m\\\" is type string, already exists as type float"
#define CONFLICT_TEXT                                                                                                  \
    "field type conflict: input field \"x\" on measurement \"m\" is type string, already exists as type float"

static const Case cases[] = {
    /* stored */
    {ALL, 204, NULL, NULL, ANSWER_STORED, .message = ""},
    {ALL, 200, "{\"error\":\"partial write: dropped=3\"}", NULL, ANSWER_STORED, .of_lines = true, .message = ""},
    {ALL, 202, "", NULL, .kind = ANSWER_STORED},
    {ALL, 299, NULL, NULL, .kind = ANSWER_STORED},

    /* 400 of InfluxDB 1 and what answers like it */
    {LIKE_V1, 400, "{\"error\":\"partial write: unable to parse 'm,x y': missing fields dropped=0\"}\n", NULL,
     ANSWER_PARTIAL, NULL, "m,x y", 1, true,
     "400 Bad Request: partial write: unable to parse 'm,x y': missing fields dropped=0"},
    {LIKE_V1, 400, "{\"error\":\"partial write: unable to parse 'a b': r\\nunable to parse 'c d': r2 dropped=0\"}",
     NULL, ANSWER_PARTIAL, NULL, "a b|c d", 2, true, NULL},
    {LIKE_V1, 400, "{\"error\":\"unable to parse 'a b': bad timestamp\\nunable to parse 'c': missing fields\"}", NULL,
     ANSWER_PARTIAL, NULL, "a b|c", 2, true, NULL},
    {LIKE_V1, 400, "{\"error\":\"unable to parse 'a s=\\\"it's': here\\\"': bad\"}", NULL, ANSWER_PARTIAL, NULL,
     "a s=\"it's': here\"", 1, true, NULL},
    {LIKE_V1, 400, "{\"error\":\"partial write: " CONFLICT " dropped=1\"}", NULL, ANSWER_PARTIAL, NULL, NULL, 1, true,
     "400 Bad Request: partial write: " CONFLICT_TEXT " dropped=1"},
    {LIKE_V1, 400, "{\"error\":\"partial write: points beyond retention policy dropped=77\"}", NULL, ANSWER_PARTIAL,
     NULL, NULL, 77, true, NULL},
    {LIKE_V1, 400, "{\"error\":\"partial write: x dropped=2 for database: d for retention policy: r\"}", NULL,
     ANSWER_PARTIAL, NULL, NULL, 2, true, NULL},
    {LIKE_V1, 400, "{\"error\":\"partial write: x dropped=99999999999999999999999\"}", NULL, ANSWER_PARTIAL, NULL, NULL,
     G_MAXUINT64, true, NULL},
    {LIKE_V1, 400, "{\"error\":\"partial write: x dropped=0\"}", NULL, ANSWER_PARTIAL, NULL, NULL, 0, true, NULL},
    {LIKE_V1, 400, "{\"error\":\"partial write: of how many nobody says\"}", NULL, ANSWER_REFUSED, NULL, NULL, 0, true,
     NULL},
    {LIKE_V1, 400, "{\"error\":\"partial write: dropped=\"}", NULL, ANSWER_REFUSED, NULL, NULL, 0, true, NULL},
    {LIKE_V1, 400, "{\"error\":\"" CONFLICT "\"}", NULL, ANSWER_REFUSED, NULL, NULL, 0, true, NULL},
    /* a line can quote what a sink says */
    {LIKE_V1, 400, "{\"error\":\"unable to parse 'm s=\\\"partial write: x dropped=5\\\" z': bad\"}", NULL,
     ANSWER_PARTIAL, NULL, "m s=\"partial write: x dropped=5\" z", 1, true, NULL},
    {V2, 400, "{\"code\":\"invalid\",\"message\":\"unable to parse 'm s=\\\"partial write: x dropped=5\\\" z': bad\"}",
     NULL, ANSWER_REFUSED, NULL, "m s=\"partial write: x dropped=5\" z", 0, true, NULL},
    /* not of lines */
    {LIKE_V1, 400, "{\"error\":\"database is required\"}", NULL, ANSWER_DENIED,
     .message = "400 Bad Request: database is required"},
    {ALL, 400, "{\"error\":\"gzip: invalid header\"}", NULL, .kind = ANSWER_DENIED},
    {ALL, 400, "{\"error\":\"unexpected EOF\"}", NULL, .kind = ANSWER_DENIED},
    {ALL, 400, "{\"error\":\"something else\"}", NULL, .kind = ANSWER_REFUSED},
    {ALL, 400, NULL, NULL, ANSWER_REFUSED, .message = "400 Bad Request"},
    {ALL, 400, "<html>\r\n<b>no</b>", NULL, ANSWER_REFUSED, .message = "400 Bad Request: <html>\\x0D\\n<b>no</b>"},
    {ALL, 400, "unable to parse 'x': in plain text", NULL, ANSWER_REFUSED, .of_lines = true},
    {ALL, 400, "{\"error\":\"partial write: unable to parse 'x': r dropped=0\"} trailing", NULL, ANSWER_REFUSED,
     .of_lines = true},
    {ALL, 400, "{\"error\":\"partial write: x dropp", NULL, ANSWER_REFUSED, .of_lines = true},
    {ALL, 400, "[\"partial write: x dropped=1\"]", NULL, ANSWER_REFUSED, .of_lines = true},
    {ALL, 400, "{\"error\":7,\"message\":[]}", NULL, .kind = ANSWER_REFUSED},
    /* the header has the words where no body has them; several quoted lines can't be told apart there */
    {LIKE_V1, 400, NULL, "partial write: points beyond retention policy dropped=4", ANSWER_PARTIAL, NULL, NULL, 4, true,
     "400 Bad Request: partial write: points beyond retention policy dropped=4"},
    {LIKE_V1, 400, "<html>", "partial write: x dropped=4", ANSWER_PARTIAL, NULL, NULL, 4, true, NULL},
    {LIKE_V1, 400, NULL, "partial write: unable to parse 'a': r unable to parse 'b': r dropped=0", ANSWER_REFUSED,
     .of_lines = true},
    {LIKE_V1, 400, "{\"error\":\"partial write: x dropped=1\"}", "partial write: x dropped=4", ANSWER_PARTIAL, NULL,
     NULL, 1, true, NULL},
    {LIKE_V1, 400, NULL, "database is required", .kind = ANSWER_DENIED},

    /* InfluxDB 2 */
    {V2, 400, "{\"code\":\"invalid\",\"message\":\"unable to parse 'm x': bad\",\"line\":3}", NULL, ANSWER_REFUSED, "3",
     "m x", 0, true, "400 Bad Request: unable to parse 'm x': bad"},
    {V2, 400, "{\"code\":\"invalid\",\"message\":\"no\",\"line\":4294967295}", NULL, ANSWER_REFUSED, "4294967295", NULL,
     0, true, NULL},
    {V2, 400, "{\"code\":\"invalid\",\"message\":\"no\",\"line\":0}", NULL, .kind = ANSWER_REFUSED},
    {V2, 400, "{\"code\":\"invalid\",\"message\":\"no\",\"line\":-1}", NULL, .kind = ANSWER_REFUSED},
    {V2, 400, "{\"code\":\"invalid\",\"message\":\"no\",\"line\":2.5}", NULL, .kind = ANSWER_REFUSED},
    {V2, 400, "{\"code\":\"invalid\",\"message\":\"no\",\"line\":\"2\"}", NULL, .kind = ANSWER_REFUSED},
    {V2, 400, "{\"code\":\"invalid\",\"message\":\"no\",\"line\":1e300}", NULL, .kind = ANSWER_REFUSED},
    {V2, 400, "{\"code\":\"invalid\",\"message\":\"no\",\"line\":4294967296}", NULL, .kind = ANSWER_REFUSED},
    {V2, 422,
     "{\"code\":\"unprocessable entity\",\"message\":\"failure writing points to database: partial write: " CONFLICT
     " dropped=2\"}",
     NULL, ANSWER_PARTIAL, NULL, NULL, 2, true,
     "422 Unprocessable Content: failure writing points to database: partial write: " CONFLICT_TEXT " dropped=2"},
    {V2, 422, "{\"code\":\"unprocessable entity\",\"message\":\"" CONFLICT "\"}", NULL, ANSWER_REFUSED,
     .of_lines = true},
    {V2, 422, NULL, NULL, .kind = ANSWER_REFUSED},
    {V1 | V3 | VM | TD, 422, "{\"error\":\"partial write: x dropped=2\"}", NULL, ANSWER_DENIED, .of_lines = true},
    {V2, 500,
     "{\"code\":\"internal error\",\"message\":\"unexpected error writing points to database: partial write: " CONFLICT
     " dropped=5\"}",
     NULL, ANSWER_PARTIAL, NULL, NULL, 5, true, NULL},
    {V2, 500, "{\"code\":\"internal error\",\"message\":\"timeout\"}", NULL, .kind = ANSWER_FAILED},
    {V2, 500, "{\"code\":\"internal error\",\"message\":\"" CONFLICT "\"}", NULL, ANSWER_FAILED, .of_lines = true},

    /* InfluxDB 3, and telemetryd */
    {V3 | TD, 400,
     "{\"error\":\"partial write of line protocol occurred\",\"data\":[{\"original_line\":\"m "
     "x\",\"line_number\":2,\"error_message\":\"no fields\"}]}",
     NULL, ANSWER_PARTIAL, "2", NULL, 0, true, "400 Bad Request: partial write of line protocol occurred: no fields"},
    {V3 | TD, 400,
     "{\"error\":\"partial write of line protocol "
     "occurred\",\"data\":[{\"line_number\":9},{\"line_number\":2},{\"line_number\":9}]}",
     NULL, ANSWER_PARTIAL, "2 9", NULL, 0, true, NULL},
    {V3 | TD, 400, "{\"error\":\"partial write of line protocol occurred\",\"data\":[{\"original_line\":\"m x\"}]}",
     NULL, ANSWER_PARTIAL, NULL, "m x", 0, true, NULL},
    {V3 | TD, 400,
     "{\"error\":\"partial write of line protocol occurred\",\"data\":[{\"line_number\":9},{\"line_number\":0}]}", NULL,
     ANSWER_REFUSED, "9", NULL, 0, true, NULL},
    {V3 | TD, 400, "{\"error\":\"partial write of line protocol occurred\",\"data\":[{\"line_number\":9},7]}", NULL,
     ANSWER_REFUSED, "9", NULL, 0, true, NULL},
    {V3 | TD, 400, "{\"error\":\"partial write of line protocol occurred\",\"data\":[]}", NULL, ANSWER_REFUSED, NULL,
     NULL, 0, true, NULL},
    {V3 | TD, 400, "{\"error\":\"partial write of line protocol occurred\",\"data\":null}", NULL, ANSWER_REFUSED, NULL,
     NULL, 0, true, NULL},
    {V3, 400, "{\"error\":\"partial write of line protocol occurred\"}", NULL, ANSWER_REFUSED, NULL, NULL, 0, true,
     NULL},
    {V3 | TD, 400,
     "{\"error\":\"parsing failed for write_lp endpoint\",\"data\":{\"original_line\":\"m "
     "x\",\"line_number\":2,\"error_message\":\"no fields\"}}",
     NULL, ANSWER_REFUSED, "2", NULL, 0, true, "400 Bad Request: parsing failed for write_lp endpoint: no fields"},
    {V3 | TD, 400, "{\"error\":\"parsing failed\",\"data\":[{\"line_number\":2}]}", NULL, ANSWER_REFUSED, "2", NULL, 0,
     true, NULL},

    /* the rest of the table */
    {ALL, 401, "{\"error\":\"authorization failed\"}", NULL, ANSWER_DENIED,
     .message = "401 Unauthorized: authorization failed"},
    {ALL, 401, "{\"code\":\"unauthorized\",\"message\":\"unauthorized access\"}", NULL, ANSWER_DENIED,
     .message = "401 Unauthorized: unauthorized access"},
    {ALL, 403, NULL, NULL, ANSWER_DENIED, .message = "403 Forbidden"},
    {ALL, 404, "{\"error\":\"database not found: \\\"x\\\"\"}", NULL, ANSWER_DENIED,
     .message = "404 Not Found: database not found: \"x\""},
    {ALL, 405, NULL, NULL, .kind = ANSWER_DENIED},
    {ALL, 409, NULL, NULL, .kind = ANSWER_DENIED},
    {ALL, 499, NULL, NULL, ANSWER_DENIED, .message = "499"},
    {ALL, 300, NULL, NULL, .kind = ANSWER_DENIED},
    {ALL, 302, NULL, NULL, ANSWER_DENIED, .message = "302 Found"},
    {ALL, 408, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 413, "<html>", NULL, ANSWER_TOO_LARGE, .message = "413 Content Too Large: <html>"},
    {ALL, 429, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 500, NULL, NULL, .kind = ANSWER_FAILED},
    {ALL, 500, "{\"error\":\"disk full\"}", NULL, ANSWER_FAILED, .message = "500 Internal Server Error: disk full"},
    {LIKE_V1 | V3, 500, "{\"error\":\"timeout\"}", NULL, .kind = ANSWER_BUSY},
    {ALL, 200, "\n<!DOCTYPE html><title>Log in</title>", NULL, ANSWER_DENIED,
     .message = "200, but with a page for people: is the URL a database's?"},
    {LIKE_V1, 500, "{\"error\":\"retention policy not found: x\"}", NULL, .kind = ANSWER_DENIED},
    {LIKE_V1 | V3, 500, "{\"error\":\"partial write: x dropped=1\"}", NULL, ANSWER_FAILED, .of_lines = true},
    {ALL, 501, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 502, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 503, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 504, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 507, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 599, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 0, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 100, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 199, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, 600, NULL, NULL, .kind = ANSWER_BUSY},
    {ALL, -1, NULL, NULL, .kind = ANSWER_BUSY},
};

static void test_table(void **state)
{
    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        for (gsize t = 0; t < G_N_ELEMENTS(types); t++)
            if (cases[i].of & 1u << t)
                check(&cases[i], types[t]);
}

/* What it says comes first, not its status. */
static void test_transport(void **state)
{
    (void)state;
    static const struct {
        Transport transport;
        const char *problem;
        AnswerKind kind;
        const char *message;
    } ways[] = {
        {TRANSPORT_UNREACHABLE, "connection refused", ANSWER_BUSY, "connection refused"},
        {TRANSPORT_TIMEOUT, NULL, ANSWER_BUSY, "no answer in time"},
        {TRANSPORT_CUT, "", ANSWER_BUSY, "the connection ended within the answer"},
        {TRANSPORT_TLS, "no\nway", ANSWER_DENIED, "no\\nway"},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(ways); i++) {
        for (gsize t = 0; t < G_N_ELEMENTS(types); t++) {
            g_autoptr(SinkReply) reply = reply_new(204, NULL, NULL);
            reply->transport = ways[i].transport;
            reply->problem = g_strdup(ways[i].problem);
            g_autoptr(Answer) answer = answer_read(types[t], reply, NOW_MS);
            assert_int_equal(answer->kind, ways[i].kind);
            assert_string_equal(answer->message, ways[i].message);
            assert_int_equal(answer->lines->len + answer->texts->len, 0);
        }
    }
}

static void test_retry_after(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        gint64 wait_ms;
    } waits[] = {
        {NULL, -1},
        {"", -1},
        {"0", 0},
        {"1", 1000},
        {" 120 ", 120000},
        {"007", 7000},
        {"9223372036854775", G_GINT64_CONSTANT(9223372036854775000)},
        {"9223372036854776", G_MAXINT64},
        {"999999999999999999999999999999", G_MAXINT64},
        {"-1", -1},
        {"+1", -1},
        {"1.5", -1},
        {"1s", -1},
        {"soon", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0},
        {"Sun, 06 Nov 1994 08:50:37 GMT", 60000},
        {"Mon, 07 Nov 1994 08:49:37 GMT", 86400000},
        {"Sun, 06 Nov 1994 08:49:00 GMT", 0},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Sat, 31 Dec 1994 23:59:60 GMT", G_GINT64_CONSTANT(4806622000) - 0},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT+1", -1},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 30 Feb 1995 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:49:37 GMT", -1},
        {"Sun, 06 Nov 0000 08:49:37 GMT", -1},
        {"Xxx, 06 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Xxx 1994 08:49:37 GMT", -1},
        {"Sunday, 06-Nov-94 08:49:37 GMT", -1},
        {"Sun Nov  6 08:49:37 1994", -1},
        {"1994-11-06T08:49:37Z", -1},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(waits); i++) {
        g_autoptr(SinkReply) reply = reply_new(503, NULL, NULL);
        reply->retry_after = g_strdup(waits[i].text);
        g_autoptr(Answer) answer = answer_read(SINK_INFLUXDB2, reply, NOW_MS);
        if (answer->wait_ms != waits[i].wait_ms)
            fail_msg("\"%s\": %" G_GINT64_FORMAT, waits[i].text, answer->wait_ms);
    }
}

/* Whatever a server says is one line that can be shown, and no more than that. */
static void test_message(void **state)
{
    (void)state;
    g_autofree char *long_text = g_strnfill(SINK_ANSWER_MAX - 20, 'x');
    g_autofree char *long_body = g_strdup_printf("{\"error\":\"%s\"}", long_text);
    const char *bodies[] = {long_body, long_text, "{\"error\":\"\\u001b[31m\\nred\"}", "\x1b[31m\xff"};
    for (gsize i = 0; i < G_N_ELEMENTS(bodies); i++) {
        g_autoptr(SinkReply) reply = reply_new(500, bodies[i], NULL);
        g_autoptr(Answer) answer = answer_read(SINK_INFLUXDB1, reply, NOW_MS);
        assert_true(g_str_has_prefix(answer->message, "500 Internal Server Error: "));
        assert_true(strlen(answer->message) <= 400);
        assert_true(g_utf8_validate(answer->message, -1, NULL));
        for (const char *c = answer->message; *c; c++)
            assert_true((guchar)*c >= 0x20);
    }
}

static void test_nul_in_body(void **state)
{
    (void)state;
    g_autoptr(SinkReply) reply = reply_new(400, "{\"error\":\"partial write: x dropped=1\"}", NULL);
    g_string_append_len(reply->body, "\0", 1);
    g_autoptr(Answer) answer = answer_read(SINK_INFLUXDB1, reply, NOW_MS);
    assert_int_equal(answer->kind, ANSWER_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),   cmocka_unit_test(test_transport),   cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_message), cmocka_unit_test(test_nul_in_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
