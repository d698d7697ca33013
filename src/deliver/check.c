/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/check.h"
#include "deliver/sink.h"

#include <string.h>

/* A write without a point: the credentials and the database are looked at as for any other, and nothing is stored. */
#define NO_POINTS "# one-telemetry asks whether it may write\n"

typedef struct {
    SinkCheck check;
    Sink *sink;      /* NULL: it could not be asked */
    gint64 begin_us; /* monotonic */
} Asked;

/* InfluxDB 2 and 3 miss the points, when all the rest was right. A page is of something that is no database. */
static bool would_take(const Answer *answer)
{
    return answer->kind == ANSWER_STORED || answer->kind == ANSWER_PARTIAL ||
           (answer->kind == ANSWER_REFUSED && !strchr(answer->message, '<'));
}

/* InfluxDB 3 makes a database that is written to: there its health is asked for, which needs our token too. */
static void ask(Asked *asked, SinkPool *pool, const SinkSettings *settings)
{
    g_autoptr(GError) error = NULL;
    asked->check.settings = settings;
    asked->check.begin_ms = g_get_real_time() / 1000;
    asked->begin_us = g_get_monotonic_time();
    asked->sink = sink_new(pool, settings, &error);
    if (!asked->sink)
        asked->check.problem = g_strdup(error->message);
    else if (settings->type == SINK_INFLUXDB3)
        sink_ask(asked->sink, "/health", NULL);
    else
        sink_send(asked->sink, NO_POINTS, strlen(NO_POINTS), false);
}

static bool waits(const Asked *asked)
{
    return asked->sink && !asked->check.reply;
}

static void take_reply(Asked *asked)
{
    SinkCheck *check = &asked->check;
    if (!waits(asked))
        return;
    check->ms = (g_get_monotonic_time() - asked->begin_us) / 1000;
    check->reply = sink_take_reply(asked->sink);
    if (!check->reply)
        return;
    check->answer = answer_read(check->settings->type, check->reply, g_get_real_time() / 1000);
    check->takes = would_take(check->answer);
}

static void asked_clear(Asked *asked)
{
    sink_free(asked->sink);
    sink_reply_free(asked->check.reply);
    answer_free(asked->check.answer);
    g_free(asked->check.problem);
}

/* libcurl holds each request to its sink's timeout, and the names' look-up to connect_timeout. */
void check_sinks(const GPtrArray *sinks, gint64 limit_ms, SinkCheckTake take, void *data)
{
    const gint64 until_us = limit_ms ? g_get_monotonic_time() + limit_ms * 1000 : G_MAXINT64;
    g_autoptr(SinkPool) pool = sink_pool_new();
    g_autofree Asked *asked = g_new0(Asked, sinks->len);
    for (guint i = 0; i < sinks->len; i++)
        ask(&asked[i], pool, g_ptr_array_index(sinks, i));
    for (guint i = 0; i < sinks->len; i++) {
        while (waits(&asked[i]) && g_get_monotonic_time() < until_us) {
            sink_pool_run(pool, -1, until_us);
            for (guint k = i; k < sinks->len; k++)
                take_reply(&asked[k]);
        }
        take(&asked[i].check, data);
    }
    for (guint i = 0; i < sinks->len; i++)
        asked_clear(&asked[i]);
}

/* What to look at. */
static const char *mend_of(const SinkSettings *settings, const Answer *answer)
{
    if (answer->kind != ANSWER_DENIED)
        return "does it run, and is url its address, as seen from here?";
    return *settings->token_file      ? "look at token_file, and at what its token may do"
           : *settings->password_file ? "look at user, password_file, and at what that user may do"
                                      : "look at url and database, and whether it wants a token or a user";
}

char *check_describe(const SinkCheck *check)
{
    const SinkSettings *settings = check->settings;
    g_autoptr(GString) problem = g_string_new(check->takes     ? "ok"
                                              : check->problem ? check->problem
                                                               : "no answer in time");
    if (check->answer && !check->takes)
        g_string_printf(problem, "%s; %s", *check->answer->message ? check->answer->message : "no usable answer",
                        mend_of(settings, check->answer));
    return g_strdup_printf("%s  %s at %s: %s", settings->name, sink_type_name(settings->type), settings->url,
                           problem->str);
}
