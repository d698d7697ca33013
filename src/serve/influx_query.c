/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/influx_query.h"

#include "base/log.h"
#include "encode/json.h"
#include "encode/json_writer.h"
#include "serve/time_range.h"

#include <cJSON.h>
#include <math.h>
#include <string.h>

#define NS_PER_S G_GINT64_CONSTANT(1000000000)
#define WORDS_MAX 300 /* bytes of the database's own words */
#define COLUMNS 3     /* mean, min, max of each metric */
/* Commas and brackets of an answer: what stands between them takes a hundred bytes of memory each when it is read. A
 * row, its time and three columns for every point that may be asked for, and some around. */
#define ITEMS_MAX (5 * (HISTORY_POINTS_MAX + HISTORY_POINTS_WANTED))

G_DEFINE_QUARK(one_telemetry_influx_query, influx_query_error)

void influx_question_clear(InfluxQuestion *question)
{
    g_free(question->path);
    g_free(question->body);
    *question = (InfluxQuestion){0};
}

gint64 influx_step_ns(const HistoryQuery *query)
{
    const gint64 span_ns = query->to_ns - query->from_ns;
    const gint64 seconds = query->step_ns / NS_PER_S;
    const gint64 least = span_ns / NS_PER_S / HISTORY_POINTS_WANTED + 1;
    const gint64 most = HISTORY_POINTS_MAX / (gint64)MAX(query->n_metrics, 1);
    if (seconds == 0)
        return least * NS_PER_S;
    return MAX(seconds, span_ns / NS_PER_S / most + 1) * NS_PER_S;
}

/* All that came with the request: $vm, and from $from up to $to. InfluxDB 1 takes times as numbers of nanoseconds, 3 as
 * texts in the place of its timestamp literals; where an interval or a field's name stands neither takes a parameter.
 */
static char *parameters_of(const HistoryQuery *query, SinkType type)
{
    JsonWriter json = {.out = g_string_new(NULL)};
    g_autofree char *vm = g_strdup_printf("%" G_GUINT64_FORMAT, query->vm_id);
    g_autofree char *from = json_timestamp(query->from_ns), *to = json_timestamp(query->to_ns);
    json_begin(&json, '{');
    json_text_member(&json, "vm", vm); /* a tag is text */
    if (type == SINK_INFLUXDB1) {
        json_i64_member(&json, "from", query->from_ns);
        json_i64_member(&json, "to", query->to_ns);
    } else {
        json_text_member(&json, "from", from);
        json_text_member(&json, "to", to);
    }
    json_end(&json, '}');
    return g_string_free(json.out, FALSE);
}

/* --- InfluxDB 1 --- */

static char *influxql(const HistoryQuery *query)
{
    GString *text = g_string_new("SELECT ");
    for (guint i = 0; i < query->n_metrics; i++) {
        const char *field = metric_info[query->metrics[i]].line;
        g_string_append_printf(text, "%smean(\"%s\"),min(\"%s\"),max(\"%s\")", i ? "," : "", field, field, field);
    }
    g_string_append_printf(text,
                           " FROM \"vm_totals\" WHERE \"VMID\" = $vm AND time >= $from AND time < $to"
                           " GROUP BY time(%" G_GINT64_FORMAT "s) fill(none)",
                           influx_step_ns(query) / NS_PER_S);
    return g_string_free(text, FALSE);
}

static void append_parameter(GString *path, const char *name, const char *value)
{
    g_autofree char *escaped = g_uri_escape_string(value, NULL, FALSE);
    g_string_append_printf(path, "%c%s=%s", strchr(path->str, '?') ? '&' : '?', name, escaped);
}

static void question_v1(const SinkSettings *sink, const HistoryQuery *query, InfluxQuestion *ret)
{
    g_autofree char *text = influxql(query), *parameters = parameters_of(query, sink->type);
    GString *path = g_string_new("/query");
    append_parameter(path, "db", sink->database);
    if (*sink->retention_policy)
        append_parameter(path, "rp", sink->retention_policy);
    append_parameter(path, "epoch", "ns");
    append_parameter(path, "q", text);
    append_parameter(path, "params", parameters);
    ret->path = g_string_free(path, FALSE);
    ret->body = NULL;
}

/* --- InfluxDB 3 --- */

static char *sql(const HistoryQuery *query)
{
    GString *text = g_string_new(NULL);
    g_string_printf(text, "SELECT date_bin(INTERVAL '%" G_GINT64_FORMAT " seconds', time) AS t",
                    influx_step_ns(query) / NS_PER_S);
    for (guint i = 0; i < query->n_metrics; i++) {
        const char *field = metric_info[query->metrics[i]].line;
        g_string_append_printf(text, ", avg(\"%s\") AS a%u, min(\"%s\") AS b%u, max(\"%s\") AS c%u", field, i, field, i,
                               field, i);
    }
    g_string_append(text,
                    " FROM vm_totals WHERE \"VMID\" = $vm AND time >= $from AND time < $to GROUP BY t ORDER BY t");
    return g_string_free(text, FALSE);
}

static void question_v3(const SinkSettings *sink, const HistoryQuery *query, InfluxQuestion *ret)
{
    g_autofree char *text = sql(query), *parameters = parameters_of(query, sink->type);
    JsonWriter json = {.out = g_string_new(NULL)};
    json_begin(&json, '{');
    json_text_member(&json, "db", sink->database);
    json_text_member(&json, "q", text);
    json_next_member(&json, "params");
    g_string_append(json.out, parameters);
    json_text_member(&json, "format", "json");
    json_end(&json, '}');
    ret->path = g_strdup("/api/v3/query_sql");
    ret->body = g_string_free(json.out, FALSE);
}

bool influx_can_be_asked(SinkType type)
{
    return type == SINK_INFLUXDB1 || type == SINK_INFLUXDB3;
}

bool influx_question(const SinkSettings *sink, const HistoryQuery *query, InfluxQuestion *ret_question, GError **error)
{
    if (sink->type == SINK_INFLUXDB1) {
        question_v1(sink, query, ret_question);
    } else if (sink->type == SINK_INFLUXDB3) {
        question_v3(sink, query, ret_question);
    } else {
        g_set_error(error, INFLUX_QUERY_ERROR, INFLUX_QUERY_ERROR_TYPE,
                    "history can be asked of InfluxDB 1 and 3, and it is of type %s", sink_type_name(sink->type));
        return false;
    }
    return true;
}

/* --- answers --- */

static HistoryAnswer *answer_new(const HistoryQuery *query)
{
    HistoryAnswer *answer = g_new0(HistoryAnswer, 1);
    answer->step_ns = influx_step_ns(query);
    answer->n_series = query->n_metrics;
    answer->series = g_new0(GArray *, query->n_metrics);
    for (guint i = 0; i < query->n_metrics; i++)
        answer->series[i] = g_array_new(FALSE, FALSE, sizeof(HistoryPoint));
    return answer;
}

static bool refuse(GError **error, const char *words)
{
    g_autofree char *quoted = log_quote(words, strlen(words), WORDS_MAX);
    g_set_error(error, INFLUX_QUERY_ERROR, INFLUX_QUERY_ERROR_ANSWER, "%s", quoted);
    return false;
}

/* Mean, min and max; a metric that has nothing there has null. Answers may hold no more points than were asked for. */
static void add_point(GArray *series, gint64 time_ns, const cJSON *const *columns)
{
    for (guint i = 0; i < COLUMNS; i++)
        if (!cJSON_IsNumber(columns[i]) || !isfinite(columns[i]->valuedouble))
            return;
    if (series->len >= HISTORY_POINTS_MAX)
        return;
    const HistoryPoint point = {.time_ns = time_ns,
                                .mean = columns[0]->valuedouble,
                                .min = columns[1]->valuedouble,
                                .max = columns[2]->valuedouble,
                                .count = 1};
    g_array_append_val(series, point);
}

/* [time, mean, min, max, mean_1, …]; the time is in nanoseconds, of which a double keeps enough: steps are seconds. */
static bool take_row_v1(HistoryAnswer *answer, const cJSON *row)
{
    const cJSON *cell = cJSON_IsArray(row) ? row->child : NULL;
    if (!cell || !cJSON_IsNumber(cell) || !(cell->valuedouble >= 0 && cell->valuedouble <= 7e18))
        return false;
    const gint64 time_ns = (gint64)(round(cell->valuedouble / 1e9) * 1e9);
    for (guint i = 0; i < answer->n_series; i++) {
        const cJSON *columns[COLUMNS];
        for (guint k = 0; k < COLUMNS; k++) {
            cell = cell->next;
            if (!cell)
                return false;
            columns[k] = cell;
        }
        add_point(answer->series[i], time_ns, columns);
    }
    return true;
}

static bool take_v1(HistoryAnswer *answer, const cJSON *json, GError **error)
{
    const cJSON *result = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "results"), 0);
    const cJSON *problem = cJSON_GetObjectItemCaseSensitive(cJSON_IsObject(result) ? result : json, "error");
    if (cJSON_IsString(problem))
        return refuse(error, problem->valuestring);
    if (!cJSON_IsObject(result))
        return refuse(error, "the answer is none of InfluxDB's");
    const cJSON *series = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(result, "series"), 0);
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(series, "values"), *row;
    cJSON_ArrayForEach(row, rows)
    {
        if (!take_row_v1(answer, row))
            return refuse(error, "the answer has a row that is none");
    }
    return true;
}

/* {"t":"2026-11-26T08:00:00","a0":…,"b0":…,"c0":…}; times are UTC. */
static bool take_row_v3(HistoryAnswer *answer, const cJSON *row)
{
    const cJSON *time = cJSON_GetObjectItemCaseSensitive(row, "t");
    gint64 time_ns;
    if (!cJSON_IsString(time) || strlen(time->valuestring) > 32)
        return false;
    const char *text = time->valuestring;
    g_autofree char *zoned = g_strconcat(text, g_str_has_suffix(text, "Z") ? "" : "Z", NULL);
    if (!time_range_moment(zoned, 0, &time_ns))
        return false;
    for (guint i = 0; i < answer->n_series; i++) {
        const cJSON *columns[COLUMNS];
        for (guint k = 0; k < COLUMNS; k++) {
            char name[16];
            g_snprintf(name, sizeof name, "%c%u", "abc"[k], i);
            columns[k] = cJSON_GetObjectItemCaseSensitive(row, name);
        }
        add_point(answer->series[i], time_ns, columns);
    }
    return true;
}

static bool take_v3(HistoryAnswer *answer, const cJSON *json, GError **error)
{
    const cJSON *row, *problem = cJSON_GetObjectItemCaseSensitive(json, "error");
    if (cJSON_IsString(problem))
        return refuse(error, problem->valuestring);
    if (!cJSON_IsArray(json))
        return refuse(error, "the answer is none of InfluxDB's");
    cJSON_ArrayForEach(row, json)
    {
        if (!take_row_v3(answer, row))
            return refuse(error, "the answer has a row that is none");
    }
    return true;
}

static bool is_too_much(const char *text)
{
    guint items = 0;
    for (; *text; text++)
        items += *text == ',' || *text == '[' || *text == '{';
    return items > ITEMS_MAX;
}

HistoryAnswer *influx_read_answer(SinkType type, const HistoryQuery *query, const char *body, gsize length,
                                  GError **error)
{
    g_autofree char *text = g_strndup(body, length);
    if (is_too_much(text)) {
        refuse(error, "the answer has more points than were asked for");
        return NULL;
    }
    cJSON *json = cJSON_ParseWithOpts(text, NULL, 1);
    g_autoptr(HistoryAnswer) answer = answer_new(query);
    bool taken = json ? (type == SINK_INFLUXDB3 ? take_v3(answer, json, error) : take_v1(answer, json, error))
                      : refuse(error, "the answer is no JSON");
    cJSON_Delete(json);
    return taken ? g_steal_pointer(&answer) : NULL;
}
