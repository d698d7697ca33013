/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/forwarding.h"

#include "deliver/spool_place.h"
#include "encode/json.h"
#include "serve/status.h"

/* --- reading --- */

static void read_spool(const Spooling *spooling, gpointer data)
{
    ForwardingStatus *status = data;
    g_autoptr(GError) error = NULL;
    if (!spooling)
        return;
    status->configured = true;
    g_autoptr(Spool) spool = spool_open_existing(spooling->path, &error);
    if (!error)
        status->json = status_json(spool, spooling->sinks, g_get_real_time() * 1000, &status->sum, &error);
    if (status->json)
        g_strchomp(status->json);
    status->spool_error = error ? g_strdup(error->message) : NULL;
}

void forwarding_read(Feed *feed, ForwardingStatus *ret_status)
{
    *ret_status = (ForwardingStatus){0};
    feed_use_spooling(feed, read_spool, ret_status);
    if (!ret_status->configured)
        return;
    g_autofree char *queue_error = feed_trouble(feed, FEED_QUEUE);
    if (!ret_status->spool_error)
        ret_status->spool_error = g_steal_pointer(&queue_error);
    ret_status->forwarder_error = feed_trouble(feed, FEED_FORWARDER);
}

void forwarding_clear(ForwardingStatus *status)
{
    g_free(status->json);
    g_free(status->spool_error);
    g_free(status->forwarder_error);
}

/* --- telling --- */

static const char advice_spool[] = "is the disk full, or [spool] dir not ours? writers hear 503 and keep their lines";
static const char advice_forwarder[] =
    "is [forward] program there, and may this user run it? what is queued waits; it is tried again every 15 s";

static void part(JsonWriter *json, const char *name, const ForwardingStatus *status, const char *error,
                 const char *advice)
{
    json_next_member(json, name);
    if (!status->configured) {
        g_string_append(json->out, "null");
        return;
    }
    json_begin(json, '{');
    status_verdict(json, error, advice);
    json_end(json, '}');
}

void forwarding_members(JsonWriter *json, const ForwardingStatus *status)
{
    json_next_member(json, "forwarding");
    g_string_append(json->out, status->json ? status->json : "null");
    part(json, "spool", status, status->spool_error, advice_spool);
    part(json, "forwarder", status, status->forwarder_error, advice_forwarder);
}

void forwarding_influx_member(JsonWriter *json, const ForwardingStatus *status)
{
    const char *problem = status->spool_error       ? status->spool_error
                          : status->forwarder_error ? status->forwarder_error
                          : status->sum.trouble     ? "a sink is in trouble, see forwarding"
                                                    : NULL;
    json_next_member(json, "influx");
    json_begin(json, '{');
    json_text_member(json, "status", problem ? "error" : status->sum.has_succeeded ? "connected" : "unknown");
    json_text_or_null_member(json, "error", problem);
    json_end(json, '}');
}
