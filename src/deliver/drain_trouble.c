/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/drain_trouble.h"
#include "base/log.h"
#include "base/text.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

/* After the clock was set back, too. */
static bool is_due(gint64 told_ns, gint64 now_ns)
{
    return now_ns < told_ns || now_ns - told_ns >= DRAIN_REMIND_S * NS_PER_S;
}

void drain_trouble_goes_on(DrainTrouble *trouble, const SinkSettings *settings, const Answer *answer, gint64 wait_ms,
                           guint64 waiting, gint64 now_ns)
{
    AnswerKind kind = answer->kind == ANSWER_FAILED ? ANSWER_BUSY : answer->kind;
    bool changed = !trouble->lasts || trouble->kind != kind;
    if (!trouble->lasts)
        trouble->since_ns = now_ns;
    trouble->lasts = true;
    trouble->kind = kind;
    if (!changed && !is_due(trouble->told_ns, now_ns))
        return;
    trouble->told_ns = now_ns;
    g_autofree char *wait = text_span((wait_ms + 999) / 1000);
    g_autofree char *since = text_span((now_ns - trouble->since_ns) / NS_PER_S);
    g_autofree char *batches = text_count(waiting, "batch waits", "batches wait");
    log_message(kind == ANSWER_DENIED ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
                "sink %s does not take data%s%s: %s; %s, next attempt in %s", settings->name, changed ? "" : " for ",
                changed ? "" : since, answer->message, batches, wait);
}

void drain_trouble_is_over(DrainTrouble *trouble, const SinkSettings *settings, guint64 waiting, gint64 now_ns)
{
    if (!trouble->lasts)
        return;
    trouble->lasts = false;
    g_autofree char *span = text_span((now_ns - trouble->since_ns) / NS_PER_S);
    g_autofree char *batches = text_count(waiting, "batch waits", "batches wait");
    log_info("sink %s takes data again after %s; %s", settings->name, span, batches);
}

void drain_trouble_rejected(DrainTrouble *trouble, const SinkSettings *settings, guint64 lines, const char *message,
                            gint64 now_ns)
{
    trouble->rejected += lines;
    if (trouble->told_rejected && !is_due(trouble->told_rejected_ns, now_ns))
        return;
    g_autofree char *refused = text_count(trouble->rejected, "line", "lines");
    log_warning("sink %s: %s refused for good, kept in bad/ where it is known which: %s", settings->name, refused,
                message);
    trouble->told_rejected = true;
    trouble->told_rejected_ns = now_ns;
    trouble->rejected = 0;
}
