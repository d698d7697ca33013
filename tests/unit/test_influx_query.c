/* SPDX-License-Identifier: Apache-2.0
 * What InfluxDB is asked, to the letter; what is made of its answers; and over a socket. */
#include "test_sink.h"

#include "serve/history_source.h"

#include <cJSON.h>
#include <sys/stat.h>
#include <unistd.h>

#define S G_GINT64_CONSTANT(1000000000)
#define FROM (1795680840 * S)

static const Metric two[] = {METRIC_VM_CPU_USAGE_PERCENT, METRIC_VM_NET_RX_BYTES_RATE};

static HistoryQuery query_of(guint n_metrics, gint64 span_s, gint64 step_s)
{
    return (HistoryQuery){83, two, n_metrics, FROM, FROM + span_s * S, step_s * S};
}

static SinkSettings sink_of(SinkType type, const char *url)
{
    SinkSettings sink = plain_settings(type, url);
    sink.database = (char *)(guintptr) "one & \"two\"";
    return sink;
}

/* --- questions --- */

static void test_question_v1(void **state)
{
    (void)state;
    SinkSettings sink = sink_of(SINK_INFLUXDB1, "http://h");
    const HistoryQuery query = query_of(2, 3600, 60);
    InfluxQuestion question;
    sink.retention_policy = (char *)(guintptr) "a/b";
    assert_true(influx_question(&sink, &query, &question, NULL));
    g_autofree char *plain = g_uri_unescape_string(question.path, NULL);
    assert_string_equal(
        plain,
        "/query?db=one & \"two\"&rp=a/b&epoch=ns&q=SELECT mean(\"cpu_usage_percent\"),min(\"cpu_usage_percent\"),"
        "max(\"cpu_usage_percent\"),mean(\"net_rxbytes_per_sec\"),min(\"net_rxbytes_per_sec\"),"
        "max(\"net_rxbytes_per_sec\") FROM \"vm_totals\" WHERE \"VMID\" = $vm AND time >= $from"
        " AND time < $to GROUP BY time(60s) fill(none)&params={\"vm\":\"83\",\"from\":1795680840000000000,"
        "\"to\":1795684440000000000}");
    assert_non_null(strstr(question.path, "db=one%20%26%20%22two%22&rp=a%2Fb&"));
    assert_null(question.body);
    influx_question_clear(&question);
}

static void test_question_v3(void **state)
{
    (void)state;
    const SinkSettings sink = sink_of(SINK_INFLUXDB3, "http://h");
    const HistoryQuery query = query_of(1, 3600, 60);
    InfluxQuestion question;
    assert_true(influx_question(&sink, &query, &question, NULL));
    assert_string_equal(question.path, "/api/v3/query_sql");
    cJSON *body = cJSON_ParseWithOpts(question.body, NULL, 1);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(body, "db")), "one & \"two\"");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(body, "format")), "json");
    const cJSON *parameters = cJSON_GetObjectItem(body, "params");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(parameters, "vm")), "83");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(parameters, "from")), "2026-11-26T08:14:00.000Z");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(parameters, "to")), "2026-11-26T09:14:00.000Z");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(body, "q")),
                        "SELECT date_bin(INTERVAL '60 seconds', time) AS t, avg(\"cpu_usage_percent\") AS a0,"
                        " min(\"cpu_usage_percent\") AS b0, max(\"cpu_usage_percent\") AS c0 FROM vm_totals WHERE"
                        " \"VMID\" = $vm AND time >= $from AND time < $to"
                        " GROUP BY t ORDER BY t");
    cJSON_Delete(body);
    influx_question_clear(&question);
}

static void test_others_are_not_asked(void **state)
{
    (void)state;
    static const SinkType types[] = {SINK_INFLUXDB2, SINK_VICTORIAMETRICS, SINK_TELEMETRYD};
    const HistoryQuery query = query_of(1, 3600, 60);
    for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
        const SinkSettings sink = sink_of(types[i], "http://h");
        g_autoptr(GError) error = NULL;
        InfluxQuestion question;
        CHECK(!influx_question(&sink, &query, &question, &error), "%u", i);
        CHECK(g_error_matches(error, INFLUX_QUERY_ERROR, INFLUX_QUERY_ERROR_TYPE), "%u", i);
    }
}

/* Whole seconds, and not more points than there may be. */
static void test_steps(void **state)
{
    (void)state;
    static const struct {
        guint n_metrics;
        gint64 span_s, step_s, want_s;
    } cases[] = {
        {1, 3600, 60, 60},  {1, 3600, 0, 4},    {1, 60, 0, 1},           {1, 86400, 0, 87},
        {1, 864000, 1, 18}, {2, 864000, 1, 35}, {2, 864000, 3600, 3600}, {1, 10, 1, 1},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const HistoryQuery query = query_of(cases[i].n_metrics, cases[i].span_s, cases[i].step_s);
        const gint64 step_ns = influx_step_ns(&query);
        CHECK(step_ns == cases[i].want_s * S, "case %u: %" G_GINT64_FORMAT, i, step_ns);
        CHECK(cases[i].span_s * S / step_ns * cases[i].n_metrics <= HISTORY_POINTS_MAX, "case %u", i);
    }
}

/* --- answers --- */

#define V1(rows)                                                                                                       \
    "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"vm_totals\",\"columns\":[],\"values\":[" rows "]}]}]}"

static const struct {
    const char *label;
    SinkType type;
    const char *body;
    gint points[2];    /* -1: it is refused */
    const char *words; /* in the error */
} answers[] = {
    {"rows",
     SINK_INFLUXDB1,
     V1("[1795680840000000000,2.5,1,4,7,7,7],[1795680900000000000,3,3,3,null,null,null]"),
     {2, 1},
     NULL},
    {"no series", SINK_INFLUXDB1, "{\"results\":[{\"statement_id\":0}]}\n", {0, 0}, NULL},
    {"no rows", SINK_INFLUXDB1, V1(""), {0, 0}, NULL},
    {"it says why",
     SINK_INFLUXDB1,
     "{\"results\":[{\"error\":\"database\\nnot found\"}]}",
     {-1, 0},
     "database\\nnot found"},
    {"it says why, in all", SINK_INFLUXDB1, "{\"error\":\"error parsing query\"}", {-1, 0}, "error parsing query"},
    {"short row", SINK_INFLUXDB1, V1("[1795680840000000000,2.5,1,4]"), {-1, 0}, "row"},
    {"no row", SINK_INFLUXDB1, V1("7"), {-1, 0}, "row"},
    {"time below 1970", SINK_INFLUXDB1, V1("[-1,2.5,1,4,7,7,7]"), {-1, 0}, "row"},
    {"time beyond all", SINK_INFLUXDB1, V1("[1e30,2.5,1,4,7,7,7]"), {-1, 0}, "row"},
    {"text for a number", SINK_INFLUXDB1, V1("[1795680840000000000,\"2\",1,4,7,7,7]"), {0, 1}, NULL},
    {"beyond a double", SINK_INFLUXDB1, V1("[1795680840000000000,1e999,1,4,7,7,7]"), {0, 1}, NULL},
    {"more behind", SINK_INFLUXDB1, V1("") "x", {-1, 0}, "no JSON"},
    {"empty", SINK_INFLUXDB1, "", {-1, 0}, "no JSON"},
    {"a list", SINK_INFLUXDB1, "[]", {-1, 0}, "none of InfluxDB's"},
    {"rows",
     SINK_INFLUXDB3,
     "[{\"t\":\"2026-11-26T08:14:00\",\"a0\":2.5,\"b0\":1.0,\"c0\":4.0,\"a1\":7,\"b1\":7,\"c1\":7},"
     "{\"c0\":3,\"b0\":3,\"a0\":3,\"t\":\"2026-11-26T08:15:00Z\"}]",
     {2, 1},
     NULL},
    {"nothing", SINK_INFLUXDB3, "[]", {0, 0}, NULL},
    {"it says why", SINK_INFLUXDB3, "{\"error\":\"table not found\"}", {-1, 0}, "table not found"},
    {"no time", SINK_INFLUXDB3, "[{\"a0\":1,\"b0\":1,\"c0\":1}]", {-1, 0}, "row"},
    {"a long time",
     SINK_INFLUXDB3,
     "[{\"t\":\"2026-11-26T08:14:00.0000000000000000000000000000000000\"}]",
     {-1, 0},
     "row"},
    {"no rows", SINK_INFLUXDB3, "[1,[]]", {-1, 0}, "row"},
    {"an object", SINK_INFLUXDB3, "{}", {-1, 0}, "none of InfluxDB's"},
};

static void test_answers(void **state)
{
    (void)state;
    const HistoryQuery query = query_of(2, 3600, 60);
    for (guint i = 0; i < G_N_ELEMENTS(answers); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(HistoryAnswer) answer =
            influx_read_answer(answers[i].type, &query, answers[i].body, strlen(answers[i].body), &error);
        CHECK((answer != NULL) == (answers[i].points[0] >= 0), "%s: %s", answers[i].label,
              error ? error->message : "-");
        CHECK(answer || strstr(error->message, answers[i].words), "%s: %s", answers[i].label, error->message);
        for (guint k = 0; answer && k < 2; k++)
            CHECK(answer->series[k]->len == (guint)answers[i].points[k], "%s: %u", answers[i].label,
                  answer->series[k]->len);
        if (!answer || answers[i].points[0] != 2)
            continue;
        const HistoryPoint *first = &g_array_index(answer->series[0], HistoryPoint, 0);
        CHECK(first->time_ns == FROM && first->mean == 2.5 && first->min == 1 && first->max == 4, "%s",
              answers[i].label);
        const HistoryPoint *last = &g_array_index(answer->series[0], HistoryPoint, 1);
        CHECK(last->time_ns == FROM + 60 * S && last->mean == 3, "%s", answers[i].label);
        CHECK(answer->step_ns == 60 * S, "%s", answers[i].label);
    }
}

/* As many points as there may be are read; more are refused before they take memory. */
static void test_ceiling(void **state)
{
    (void)state;
    const HistoryQuery query = query_of(1, 3600, 60);
    for (guint more = 0; more < 2; more++) {
        g_autoptr(GError) error = NULL;
        GString *body = g_string_new("{\"results\":[{\"series\":[{\"values\":[");
        const guint n = more ? HISTORY_POINTS_MAX * 2 : HISTORY_POINTS_MAX;
        for (guint i = 0; i < n; i++)
            g_string_append_printf(body, "%s[%u000000000,1,1,1]", i ? "," : "", i);
        g_string_append(body, "]}]}]}");
        g_autoptr(HistoryAnswer) answer = influx_read_answer(SINK_INFLUXDB1, &query, body->str, body->len, &error);
        assert_true((answer != NULL) == !more);
        if (answer)
            assert_int_equal(answer->series[0]->len, HISTORY_POINTS_MAX);
        g_string_free(body, TRUE);
    }
}

/* --- over a socket --- */

#define OK_BODY V1("[1795680840000000000,2.5,1,4]")

static char *http_answer(const char *status, const char *body)
{
    return g_strdup_printf("HTTP/1.1 %s\r\nContent-Length: %u\r\n\r\n%s", status, (guint)strlen(body), body);
}

static void test_asking(void **state)
{
    (void)state;
    static const struct {
        const char *label, *status, *body, *words; /* NULL: it is answered */
    } cases[] = {
        {"answered", "200 OK", OK_BODY, NULL},
        {"refused", "401 X", "{\"error\":\"authorization failed\"}",
         "status 401: {\"error\":\"authorization failed\"}"},
        {"broken", "500 X", "\x01", "status 500: \\x01"},
        {"no JSON", "200 OK", "<html>", "no JSON"},
    };
    for (SinkType type = SINK_INFLUXDB1; type <= SINK_INFLUXDB3; type += SINK_INFLUXDB3 - SINK_INFLUXDB1)
        for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
            if (type == SINK_INFLUXDB3 && i == 0)
                continue;
            g_autofree char *bytes = http_answer(cases[i].status, cases[i].body);
            const Canned canned = {bytes, 0, THEN_KEEP, false};
            g_autoptr(CannedServer) server = canned_server_new(&canned, 1);
            const SinkSettings sink = sink_of(type, canned_server_url(server));
            const HistoryQuery query = query_of(1, 3600, 60);
            g_autoptr(GError) error = NULL;
            g_autoptr(HistoryAnswer) answer = history_source_ask(&sink, &query, &error);
            CHECK((answer != NULL) == !cases[i].words, "%s: %s", cases[i].label, error ? error->message : "-");
            CHECK(answer || strstr(error->message, cases[i].words), "%s: %s", cases[i].label, error->message);
            const char *request = canned_server_request(server, 0)->str;
            CHECK(g_str_has_prefix(request,
                                   type == SINK_INFLUXDB1 ? "GET /query?db=" : "POST /api/v3/query_sql HTTP/1.1\r\n"),
                  "%s", request);
        }
}

/* The sink's own settings hold: credentials, and its time-out. */
static void test_settings_hold(void **state)
{
    (void)state;
    g_autofree char *dir = make_temporary_dir();
    g_autofree char *path = g_build_filename(dir, "token", NULL);
    g_autofree char *bytes = http_answer("200 OK", "[]");
    assert_true(g_file_set_contents(path, "secret-token", -1, NULL) && chmod(path, 0600) == 0);
    const Canned canned[] = {{bytes, 0, THEN_KEEP, false}, {NULL, 0, THEN_HANG, false}};
    g_autoptr(CannedServer) server = canned_server_new(canned, G_N_ELEMENTS(canned));
    SinkSettings sink = sink_of(SINK_INFLUXDB3, canned_server_url(server));
    const HistoryQuery query = query_of(1, 3600, 60);
    sink.token_file = path;
    sink.timeout_ms = 300;
    g_autoptr(HistoryAnswer) answer = history_source_ask(&sink, &query, NULL);
    assert_non_null(answer);
    assert_non_null(strstr(canned_server_request(server, 0)->str, "\r\nAuthorization: Bearer secret-token\r\n"));
    assert_non_null(strstr(canned_server_request(server, 0)->str, "\r\nContent-Type: application/json\r\n"));

    g_autoptr(GError) error = NULL;
    assert_null(history_source_ask(&sink, &query, &error));
    assert_true(g_error_matches(error, HISTORY_SOURCE_ERROR, HISTORY_SOURCE_ERROR_TIMEOUT));
    g_clear_error(&error);
    sink.token_file = (char *)(guintptr) "/nonexistent/token";
    assert_null(history_source_ask(&sink, &query, &error));
    assert_true(g_error_matches(error, SINK_ERROR, SINK_ERROR_SECRET));
    remove_tree(dir);
}

/* A port that nobody listens at: not a time-out. */
static void test_nobody_there(void **state)
{
    (void)state;
    g_autofree char *url = NULL;
    int fd = take_port(&url);
    const SinkSettings sink = sink_of(SINK_INFLUXDB1, url);
    const HistoryQuery query = query_of(1, 3600, 60);
    g_autoptr(GError) error = NULL;
    assert_null(history_source_ask(&sink, &query, &error));
    assert_true(g_error_matches(error, HISTORY_SOURCE_ERROR, HISTORY_SOURCE_ERROR_FAILED));
    assert_true(g_str_has_prefix(error->message, "cannot connect to"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_question_v1),
        cmocka_unit_test(test_question_v3),
        cmocka_unit_test(test_others_are_not_asked),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_asking),
        cmocka_unit_test(test_settings_hold),
        cmocka_unit_test(test_nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
