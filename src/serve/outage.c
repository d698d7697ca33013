/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/outage.h"

#include "base/text.h"

#define RETRY_S 5

/* The first connection's trouble; NULL: one answers, or was not yet asked, or none is to be. */
static char *trouble_of_all(const CollectorStatus *status)
{
    const char *trouble = NULL;
    for (guint i = 0; i < status->uris->len; i++) {
        const CollectorUri *uri = g_ptr_array_index(status->uris, i);
        if (!status->running || !uri->error)
            return NULL;
        trouble = trouble ? trouble : uri->error;
    }
    return trouble ? text_without_users(trouble) : NULL;
}

/* One whose probes have fallen silent is no better than none. */
static bool is_fed(Service *service, StoreClock now)
{
    g_autoptr(GPtrArray) hosts = store_hosts(service->store, now);
    for (guint i = 0; i < hosts->len; i++) {
        const HostView *host = g_ptr_array_index(hosts, i);
        if (host->source == SOURCE_PROBES && !host->stale)
            return true;
    }
    return false;
}

char *outage_cause(Service *service, const GArray *live, StoreClock now)
{
    if (live->len > 0)
        return NULL;
    CollectorStatus status;
    g_rw_lock_reader_lock(&service->lock);
    collector_status(service->collector, &status);
    g_rw_lock_reader_unlock(&service->lock);
    g_autofree char *trouble = trouble_of_all(&status);
    collector_status_clear(&status);
    return trouble && !is_fed(service, now) ? g_steal_pointer(&trouble) : NULL;
}

Reply *outage_reply(const char *cause)
{
    Reply *reply = reply_error(503, "nothing is known of any VM, since no libvirt connection answers: %s", cause);
    reply->retry_after_s = RETRY_S;
    return reply;
}
