/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/influx_query.h"

#include <string.h>

#define S G_GINT64_CONSTANT(1000000000)
#define FROM (1700000000 * S)

static const Metric two[] = {METRIC_VM_CPU_USAGE_PERCENT, METRIC_VM_NET_RX_BYTES_RATE};
static const HistoryQuery query = {
    .vm_id = 83, .metrics = two, .n_metrics = 2, .from_ns = FROM, .to_ns = FROM + 3600 * S, .step_ns = 60 * S};

static char database[] = "o'n\"e &x", empty[] = "", policy[] = "week";

static void what_is_asked(void **state)
{
    (void)state;
    SinkSettings sink = {.type = SINK_INFLUXDB1, .database = database, .retention_policy = policy};
    InfluxQuestion question = {0};
    assert_true(influx_question(&sink, &query, &question, NULL));
    assert_null(question.body);
    CHECK_TEXT(
        question.path,
        "/query?db=o%27n%22e%20%26x&rp=week&epoch=ns&q=SELECT%20mean%28%22cpu_usage_percent%22%29%2Cmin%28%22cpu_"
        "usage_percent%22%29%2Cmax%28%22cpu_usage_percent%22%29%2Cmean%28%22net_rxbytes_per_sec%22%29%2Cmin%28%"
        "22net_rxbytes_per_sec%22%29%2Cmax%28%22net_rxbytes_per_sec%22%29%20FROM%20%22vm_totals%22%20WHERE%20%"
        "22VMID%22%20%3D%20%24vm%20AND%20time%20%3E%3D%201700000000000000000%20AND%20time%20%3C%"
        "201700003600000000000%20GROUP%20BY%20time%2860s%29%20fill%28none%29&params=%7B%22vm%22%3A%2283%22%7D",
        "v1");
    influx_question_clear(&question);
    sink.type = SINK_INFLUXDB3;
    sink.retention_policy = empty;
    assert_true(influx_question(&sink, &query, &question, NULL));
    CHECK_TEXT(question.path, "/api/v3/query_sql", "v3");
    CHECK_TEXT(
        question.body,
        "{\"db\":\"o'n\\\"e &x\",\"q\":\"SELECT date_bin(INTERVAL '60 seconds', time) AS t, "
        "avg(\\\"cpu_usage_percent\\\") AS a0, min(\\\"cpu_usage_percent\\\") AS b0, "
        "max(\\\"cpu_usage_percent\\\") AS c0, avg(\\\"net_rxbytes_per_sec\\\") AS a1, "
        "min(\\\"net_rxbytes_per_sec\\\") AS b1, max(\\\"net_rxbytes_per_sec\\\") AS c1 FROM vm_totals WHERE "
        "\\\"VMID\\\" = $vm AND time >= '2023-11-14T22:13:20.000Z' AND time < '2023-11-14T23:13:20.000Z' GROUP BY "
        "t ORDER BY t\",\"params\":{\"vm\":\"83\"},\"format\":\"json\"}",
        "v3");
    influx_question_clear(&question);
    g_autoptr(GError) error = NULL;
    sink.type = SINK_INFLUXDB2;
    assert_false(influx_question(&sink, &query, &question, &error));
    assert_non_null(strstr(error->message, "influxdb2"));
}

static void steps(void **state)
{
    (void)state;
    HistoryQuery other = query;
    other.step_ns = 0;
    assert_true(influx_step_ns(&other) == 4 * S); /* an hour, a thousand points */
    other.to_ns = FROM + 30 * 86400 * S;
    assert_true(influx_step_ns(&other) == 2593 * S);
    other.step_ns = S; /* would be 2.6 million points */
    assert_true(influx_step_ns(&other) * HISTORY_POINTS_MAX / 2 >= 30 * 86400 * S);
}

static const struct {
    const char *label;
    SinkType type;
    const char *body;
    guint points[2];   /* of each series */
    const char *error; /* part of it; NULL: it is an answer */
} rows[] = {
    {"v1",
     SINK_INFLUXDB1,
     "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"vm_totals\",\"columns\":[\"time\",\"mean\",\"min\","
     "\"max\","
     "\"mean_1\",\"min_1\",\"max_1\"],\"values\":[[1700000040000000000,1.5,1,2,null,null,null],"
     "[1700000100000000000,3,3,3,7,6,8]]}]}]}",
     {2, 1},
     NULL},
    {"v1, nothing", SINK_INFLUXDB1, "{\"results\":[{\"statement_id\":0}]}\n", {0, 0}, NULL},
    {"v1, an error", SINK_INFLUXDB1, "{\"results\":[{\"error\":\"shard is away\"}]}", {0, 0}, "shard is away"},
    {"v1, refused", SINK_INFLUXDB1, "{\"error\":\"database not found: x\"}", {0, 0}, "database not found"},
    {"v1, a short row",
     SINK_INFLUXDB1,
     "{\"results\":[{\"series\":[{\"values\":[[1700000040000000000,1,1]]}]}]}",
     {0, 0},
     "row"},
    {"v1, no time", SINK_INFLUXDB1, "{\"results\":[{\"series\":[{\"values\":[[\"x\",1,1,1,1,1,1]]}]}]}", {0, 0}, "row"},
    {"v1, something else", SINK_INFLUXDB1, "[1,2]", {0, 0}, "none of InfluxDB's"},
    {"no JSON", SINK_INFLUXDB1, "<html>", {0, 0}, "no JSON"},
    {"trailing", SINK_INFLUXDB1, "{\"results\":[{}]}x", {0, 0}, "no JSON"},
    {"empty", SINK_INFLUXDB3, "", {0, 0}, "no JSON"},
    {"v3",
     SINK_INFLUXDB3,
     "[{\"t\":\"2023-11-14T22:14:00\",\"a0\":1.5,\"b0\":1,\"c0\":2},{\"t\":\"2023-11-14T22:15:00Z\",\"a0\":3,\"b0\":3,"
     "\"c0\":3,\"a1\":7,\"b1\":6,\"c1\":8}]",
     {2, 1},
     NULL},
    {"v3, nothing", SINK_INFLUXDB3, "[]", {0, 0}, NULL},
    {"v3, an error", SINK_INFLUXDB3, "{\"error\":\"no such table\"}", {0, 0}, "no such table"},
    {"v3, a bad time", SINK_INFLUXDB3, "[{\"t\":\"then\",\"a0\":1,\"b0\":1,\"c0\":1}]", {0, 0}, "row"},
};

static void answers_are_read(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(HistoryAnswer) answer =
            influx_read_answer(rows[i].type, &query, rows[i].body, strlen(rows[i].body), &error);
        CHECK((answer != NULL) == (rows[i].error == NULL), "%s: %s", rows[i].label, error ? error->message : "taken");
        CHECK(!rows[i].error || strstr(error->message, rows[i].error), "%s: %s", rows[i].label, error->message);
        for (guint k = 0; answer && k < 2; k++)
            CHECK(answer->series[k]->len == rows[i].points[k], "%s: series %u has %u", rows[i].label, k,
                  answer->series[k]->len);
        if (!answer || rows[i].points[0] == 0)
            continue;
        const HistoryPoint *point = &g_array_index(answer->series[0], HistoryPoint, 0);
        CHECK(point->time_ns == FROM + 40 * S && point->mean == 1.5 && point->min == 1 && point->max == 2, "%s",
              rows[i].label);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked),
        cmocka_unit_test(steps),
        cmocka_unit_test(answers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
