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

static char *span_since(gint64 since_ns, gint64 now_ns)
{
    return text_span((now_ns - since_ns) / NS_PER_S);
}

void drain_trouble_goes_on(Ledger *ledger, const SinkSettings *settings, const Answer *answer, gint64 wait_ms,
                           guint64 waiting, gint64 now_ns)
{
    LedgerTrouble trouble = answer->kind == ANSWER_DENIED ? LEDGER_TROUBLE_DENIED : LEDGER_TROUBLE_BUSY;
    bool changed = ledger->trouble != trouble;
    if (ledger->trouble == LEDGER_NO_TROUBLE)
        ledger->trouble_since_ns = now_ns;
    ledger->trouble = trouble;
    if (!changed && !is_due(ledger->trouble_told_ns, now_ns))
        return;
    ledger->trouble_told_ns = now_ns;
    g_autofree char *wait = text_span((wait_ms + 999) / 1000);
    g_autofree char *since = span_since(ledger->trouble_since_ns, now_ns);
    g_autofree char *batches = text_count(waiting, "batch waits", "batches wait");
    log_message(trouble == LEDGER_TROUBLE_DENIED ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
                "sink %s does not take data%s%s: %s; %s, next attempt in %s", settings->name, changed ? "" : " for ",
                changed ? "" : since, answer->message, batches, wait);
}

void drain_trouble_is_over(Ledger *ledger, const SinkSettings *settings, guint64 waiting, gint64 now_ns)
{
    if (ledger->trouble == LEDGER_NO_TROUBLE)
        return;
    g_autofree char *span = span_since(ledger->trouble_since_ns, now_ns);
    g_autofree char *batches = text_count(waiting, "batch waits", "batches wait");
    log_info("sink %s takes data again after %s; %s", settings->name, span, batches);
    ledger->trouble = LEDGER_NO_TROUBLE;
    ledger->trouble_since_ns = ledger->trouble_told_ns = 0;
}

void drain_trouble_rejected(Ledger *ledger, const SinkSettings *settings, guint64 lines, const char *message,
                            gint64 now_ns)
{
    ledger->rejected_untold += lines;
    if (ledger->rejected_told_ns != 0 && !is_due(ledger->rejected_told_ns, now_ns))
        return;
    g_autofree char *refused = text_count(ledger->rejected_untold, "line", "lines");
    log_warning("sink %s: %s refused for good, kept in bad/ where it is known which: %s", settings->name, refused,
                message);
    ledger->rejected_told_ns = now_ns;
    ledger->rejected_untold = 0;
}
