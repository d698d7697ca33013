/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/status_strange.h"
#include "base/text.h"
#include "deliver/status.h"
#include "encode/json.h"

#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)

typedef struct {
    char *name;
    SpoolWaiting queue;
} Strange;

static void free_strange(gpointer data)
{
    Strange *strange = data;
    g_free(strange->name);
    g_free(strange);
}

/* Of Strange. */
static GPtrArray *look(Spool *spool, const GPtrArray *sinks, GError **error)
{
    g_autoptr(GPtrArray) configured = sinks_names(sinks);
    g_autoptr(GPtrArray) names = spool_strange_queues(spool, (const char *const *)configured->pdata, error);
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(free_strange);
    for (guint i = 0; names && i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        SpoolWaiting queue;
        if (!spool_count(spool, name, &queue, error))
            return NULL;
        if (queue.count.batches == 0)
            continue;
        Strange *strange = g_new(Strange, 1);
        *strange = (Strange){.name = g_strdup(name), .queue = queue};
        g_ptr_array_add(found, strange);
    }
    return names ? g_steal_pointer(&found) : NULL;
}

char *status_describe_queue(const SpoolWaiting *queue, gint64 now_ns)
{
    g_autofree char *batches = text_count(queue->count.batches, "batch", "batches");
    g_autofree char *bytes = text_bytes(queue->count.bytes);
    g_autofree char *age = text_span((now_ns - queue->oldest_ns) / NS_PER_SECOND);
    return queue->oldest_ns ? g_strdup_printf("%s, %s, the oldest %s old", batches, bytes, age)
                            : g_strdup_printf("%s, %s", batches, bytes);
}

/* When they are lost: the forwarder drops them by the other sinks' limit, and where there are none, none runs. */
static char *describe_end(const GPtrArray *sinks)
{
    g_autofree char *longest = text_span(sinks_max_age_s(sinks));
    return sinks->len > 0 ? g_strdup_printf("dropped when older than %s", longest)
                          : g_strdup("kept as long as no sink is configured");
}

bool status_append_strange(GString *out, Spool *spool, const GPtrArray *sinks, gint64 now_ns, GError **error)
{
    g_autoptr(GPtrArray) found = look(spool, sinks, error);
    g_autofree char *end = describe_end(sinks);
    for (guint i = 0; found && i < found->len; i++) {
        const Strange *strange = g_ptr_array_index(found, i);
        g_autofree char *queue = status_describe_queue(&strange->queue, now_ns);
        g_string_append_printf(out, "\n%s  not configured: nothing of it is sent\n", strange->name);
        g_string_append_printf(out, "  %-13s %s (%s)\n", "queued", queue, end);
        g_string_append_printf(out, "  %-13s give the sink that name again, enabled\n", "to send it");
    }
    return found != NULL;
}

bool status_append_strange_objects(GString *out, Spool *spool, const GPtrArray *sinks, gint64 now_ns, GError **error)
{
    g_autoptr(GPtrArray) found = look(spool, sinks, error);
    for (guint i = 0; found && i < found->len; i++) {
        const Strange *strange = g_ptr_array_index(found, i);
        gint64 age_s = MAX(now_ns - strange->queue.oldest_ns, 0) / NS_PER_SECOND;
        g_string_append(out, i ? ",{\"name\":" : "{\"name\":");
        json_append_string(out, strange->name);
        g_string_append_printf(out,
                               ",\"queued_batches\":%" G_GUINT64_FORMAT ",\"queued_bytes\":%" G_GUINT64_FORMAT
                               ",\"oldest_age_seconds\":%" G_GINT64_FORMAT ",\"dropped_at_age_seconds\":",
                               strange->queue.count.batches, strange->queue.count.bytes, age_s);
        if (sinks->len > 0)
            g_string_append_printf(out, "%" G_GINT64_FORMAT "}", sinks_max_age_s(sinks));
        else
            g_string_append(out, "null}");
    }
    return found != NULL;
}

char *status_strange(Spool *spool, const GPtrArray *sinks, GError **error)
{
    g_autoptr(GPtrArray) found = look(spool, sinks, error);
    g_autofree char *end = describe_end(sinks);
    if (!found)
        return NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    for (guint i = 0; i < found->len; i++) {
        const Strange *strange = g_ptr_array_index(found, i);
        g_autofree char *batches = text_count(strange->queue.count.batches, "batch", "batches");
        g_autofree char *bytes = text_bytes(strange->queue.count.bytes);
        g_string_append_printf(out, "%s: %s, %s, not sent: no such sink is configured; %s\n", strange->name, batches,
                               bytes, end);
    }
    return g_strdup(out->str);
}
