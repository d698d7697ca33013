/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/check.h"
#include "deliver/answer.h"
#include "deliver/sink.h"

#include <string.h>

/* A write without a point: the credentials and the database are looked at as for any other, and nothing is stored. */
#define NO_POINTS "# one-telemetry asks whether it may write\n"

/* NULL: it would take our lines. */
static char *problem_of(const SinkSettings *settings, const Answer *answer)
{
    const char *mend = "";
    if (answer->kind == ANSWER_STORED || answer->kind == ANSWER_PARTIAL)
        return NULL;
    /* InfluxDB 2 and 3 miss the points, when all the rest was right. A page is of something that is no database. */
    if (answer->kind == ANSWER_REFUSED && !strchr(answer->message, '<'))
        return NULL;
    if (answer->kind == ANSWER_DENIED)
        mend = *settings->token_file      ? "; look at token_file, and at what its token may do"
               : *settings->password_file ? "; look at user, password_file, and at what that user may do"
                                          : "; look at url and database, and whether it wants a token or a user";
    else
        mend = "; does it run, and is url its address, as seen from here?";
    return g_strdup_printf("%s%s", *answer->message ? answer->message : "no usable answer", mend);
}

static void append_result(GString *out, const SinkSettings *settings, const char *problem)
{
    g_string_append_printf(out, "%s  %s at %s: %s\n", settings->name, sink_type_name(settings->type), settings->url,
                           problem ? problem : "ok");
}

/* libcurl holds each request to its sink's timeout, and the names' look-up to connect_timeout. */
static SinkReply *ask(SinkPool *pool, Sink *sink)
{
    SinkReply *reply;
    while (!(reply = sink_take_reply(sink)))
        sink_pool_run(pool, -1, g_get_monotonic_time() + G_USEC_PER_SEC);
    return reply;
}

char *check_sinks(const GPtrArray *sinks, guint *ret_failed)
{
    g_autoptr(SinkPool) pool = sink_pool_new();
    g_autoptr(GPtrArray) made = g_ptr_array_new();
    g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func(g_free);
    GString *out = g_string_new(NULL);
    *ret_failed = 0;
    for (guint i = 0; i < sinks->len; i++) {
        g_autoptr(GError) error = NULL;
        Sink *sink = sink_new(pool, g_ptr_array_index(sinks, i), &error);
        if (sink)
            sink_send(sink, NO_POINTS, strlen(NO_POINTS), false);
        g_ptr_array_add(made, sink);
        g_ptr_array_add(errors, sink ? NULL : g_strdup(error->message));
    }
    for (guint i = 0; i < sinks->len; i++) {
        const SinkSettings *settings = g_ptr_array_index(sinks, i);
        Sink *sink = g_ptr_array_index(made, i);
        g_autofree char *problem = g_strdup(g_ptr_array_index(errors, i));
        if (sink) {
            g_autoptr(SinkReply) reply = ask(pool, sink);
            g_autoptr(Answer) answer = answer_read(settings->type, reply, g_get_real_time() / 1000);
            problem = problem_of(settings, answer);
            sink_free(sink);
        }
        append_result(out, settings, problem);
        *ret_failed += problem != NULL;
    }
    return g_string_free(out, FALSE);
}
