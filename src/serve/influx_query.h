/* SPDX-License-Identifier: Apache-2.0
 * A VM's history as a question to InfluxDB 1 (InfluxQL) or 3 (SQL), and their answers. Names of fields are of our own
 * table, numbers are ours; what came with the request is bound as a parameter. Pure. */
#pragma once

#include "deliver/sinks.h"
#include "store/history.h"

#define INFLUX_QUERY_ERROR influx_query_error_quark()
GQuark influx_query_error_quark(void);
typedef enum {
    INFLUX_QUERY_ERROR_TYPE,   /* a database that can't be asked */
    INFLUX_QUERY_ERROR_ANSWER, /* it says that it can't, or what came is no answer */
} InfluxQueryErrorCode;

typedef struct {
    char *path; /* behind the sink's url, with its query */
    char *body; /* JSON to POST; NULL: GET */
} InfluxQuestion;
void influx_question_clear(InfluxQuestion *question);

/* The step that points are put together by: the query's, or where it has none (or a smaller one) what gives at most
 * HISTORY_POINTS_WANTED of them; whole seconds. */
gint64 influx_step_ns(const HistoryQuery *query);

bool influx_can_be_asked(SinkType type);
bool influx_question(const SinkSettings *sink, const HistoryQuery *query, InfluxQuestion *ret_question, GError **error);

/* The body of a good answer. NULL: error. Owned by the caller. */
HistoryAnswer *influx_read_answer(SinkType type, const HistoryQuery *query, const char *body, gsize length,
                                  GError **error);
