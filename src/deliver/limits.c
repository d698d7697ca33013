/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "deliver/ledger.h"

static void tell(const SinkSettings *sink, SpoolCount dropped, const char *reason)
{
    if (dropped.batches == 0)
        return;
    g_autofree char *batches = text_count(dropped.batches, "batch", "batches");
    log_warning("sink %s: %s (%" G_GUINT64_FORMAT " bytes) dropped, the oldest: %s", sink->name, batches, dropped.bytes,
                reason);
}

bool limits_keep(Spool *spool, const SinkSettings *sink, LimitsUse use)
{
    const SpoolTarget target = {.sink = sink->name, .limits = sink->limits};
    g_autoptr(GError) error = NULL;
    SpoolCount dropped = {0};
    bool kept = use == LIMITS_NOTE ? ledger_trim(spool, &target, &dropped, &error)
                                   : spool_trim(spool, &target, &dropped, &error) &&
                                         ledger_add_dropped(spool, sink->name, dropped, &error);
    if (!kept)
        log_warning("sink %s: cannot bound its queue: %s", sink->name, error->message);
    tell(sink, dropped, "above its limits (max_size, max_age)");
    return kept;
}

void limits_count(Spool *spool, const SinkSettings *sink, SpoolCount dropped, const char *reason)
{
    g_autoptr(GError) error = NULL;
    if (!ledger_add_dropped(spool, sink->name, dropped, &error))
        log_warning("sink %s: what was dropped is not counted: %s", sink->name, error->message);
    if (reason)
        tell(sink, dropped, reason);
}
