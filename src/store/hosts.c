/* SPDX-License-Identifier: Apache-2.0 */
#include "store/hosts.h"

#include <string.h>

#define NS_PER_MS G_GINT64_CONSTANT(1000000)
#define HOST_AHEAD_NS (G_GINT64_CONSTANT(300) * 1000000000)
#define LAGS 16 /* samples that the skew of a clock is judged by */

struct Host {
    char *host, *origin;
    gint64 time_ns;             /* of its last sample, by its own clock */
    gint64 whole_ns, before_ns; /* of its last two whole ones; 0: there was none */
    gint64 received_ns;         /* realtime */
    gint64 received_mono_ns;
    gint64 interval_ms;
    gint64 lags_ms[LAGS];
    guint n_lags;
    bool failing;
    MetricRow *row;
    GPtrArray *sinks; /* of SinkSample */
};

struct Hosts {
    GHashTable *table; /* of Host, by "origin host" */
};

static void sink_free(gpointer data)
{
    SinkSample *sink = data;
    g_free(sink->name);
    metric_row_free(sink->row);
    g_free(sink);
}

static void host_free(gpointer data)
{
    Host *host = data;
    g_free(host->host);
    g_free(host->origin);
    metric_row_free(host->row);
    g_ptr_array_unref(host->sinks);
    g_free(host);
}

Hosts *hosts_new(void)
{
    Hosts *hosts = g_new(Hosts, 1);
    hosts->table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, host_free);
    return hosts;
}

void hosts_free(Hosts *hosts)
{
    if (!hosts)
        return;
    g_hash_table_unref(hosts->table);
    g_free(hosts);
}

static Host *find_or_make(Hosts *hosts, const char *name, const char *origin)
{
    g_autofree char *key = g_strdup_printf("%s %s", origin ? origin : "", name);
    Host *host = g_hash_table_lookup(hosts->table, key);
    if (host || g_hash_table_size(hosts->table) >= HOSTS_MAX)
        return host;
    host = g_new0(Host, 1);
    host->host = g_strdup(name);
    host->origin = g_strdup(origin);
    host->row = metric_row_new(SCOPE_HOST, 0);
    host->sinks = g_ptr_array_new_with_free_func(sink_free);
    g_hash_table_insert(hosts->table, g_steal_pointer(&key), host);
    return host;
}

static GPtrArray *copy_sinks(const GPtrArray *sinks)
{
    GPtrArray *copies = g_ptr_array_new_with_free_func(sink_free);
    for (guint i = 0; i < sinks->len; i++) {
        const SinkSample *sink = g_ptr_array_index(sinks, i);
        SinkSample *copy = g_new(SinkSample, 1);
        *copy = (SinkSample){.name = g_strdup(sink->name), .row = metric_row_copy(sink->row)};
        g_ptr_array_add(copies, copy);
    }
    return copies;
}

/* What it says of itself. */
static void note_figures(Host *host, const Sample *sample)
{
    metric_row_free(host->row);
    host->row = metric_row_copy(sample->row);
    if (sample->sinks->len == 0)
        return;
    g_ptr_array_unref(host->sinks);
    host->sinks = copy_sinks(sample->sinks);
}

static void note_time(Host *host, gint64 time_ns, StoreClock now)
{
    if (host->time_ns != 0)
        host->interval_ms = (time_ns - host->time_ns) / NS_PER_MS;
    host->time_ns = time_ns;
    host->received_ns = now.real_ns;
    host->received_mono_ns = now.mono_ns;
    host->lags_ms[host->n_lags++ % LAGS] = (now.real_ns - time_ns) / NS_PER_MS;
}

Host *hosts_note(Hosts *hosts, const Sample *sample, const char *origin, bool whole, StoreClock now)
{
    Host *host = find_or_make(hosts, sample->host ? sample->host : "", origin);
    if (!host)
        return NULL;
    host->failing = false;
    if (host->time_ns > now.real_ns + HOST_AHEAD_NS && sample->realtime_ns <= now.real_ns + HOST_AHEAD_NS)
        host->time_ns = host->whole_ns = host->before_ns = 0; /* its clock was ahead, and was set back */
    if (sample->realtime_ns > host->time_ns)
        note_time(host, sample->realtime_ns, now);
    if (!whole || sample->realtime_ns < host->whole_ns)
        return host;
    if (sample->realtime_ns > host->whole_ns) {
        host->before_ns = host->whole_ns;
        host->whole_ns = sample->realtime_ns;
    }
    note_figures(host, sample);
    return host;
}

bool host_misses_figures(const Host *host)
{
    return row_u64(host->row, METRIC_HOST_MISSING) > 0;
}

gint64 host_absent_before_ns(const Host *host)
{
    return host_misses_figures(host) ? 0 : host->before_ns;
}

bool hosts_fail(Hosts *hosts, const char *origin)
{
    bool changed = false;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, hosts->table);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Host *host = value;
        if (g_strcmp0(host->origin, origin) != 0 || host->failing)
            continue;
        host->failing = true;
        changed = true;
    }
    return changed;
}

/* --- views --- */

void host_view_free(HostView *view)
{
    if (!view)
        return;
    g_free(view->host);
    g_free(view->origin);
    metric_row_free(view->row);
    g_ptr_array_unref(view->sinks);
    g_free(view);
}

static gint64 least_lag_ms(const Host *host)
{
    gint64 least = host->lags_ms[0];
    for (guint i = 1; i < MIN(host->n_lags, LAGS); i++)
        least = MIN(least, host->lags_ms[i]);
    return least;
}

static gint64 age_ms(const Host *host, StoreClock now)
{
    return (now.mono_ns - host->received_mono_ns + MAX(host->received_ns - host->time_ns, 0)) / NS_PER_MS;
}

static HostView *view_of(const Host *host, StoreClock now)
{
    HostView *view = g_new(HostView, 1);
    *view = (HostView){
        .host = g_strdup(host->host),
        .origin = g_strdup(host->origin),
        .source = host->origin ? SOURCE_COLLECTOR : SOURCE_PROBES,
        .time_ns = host->time_ns,
        .received_ns = host->received_ns,
        .age_ms = age_ms(host, now),
        .interval_ms = host->interval_ms,
        .skew_ms = least_lag_ms(host),
        .failing = host->failing,
        .row = metric_row_copy(host->row),
        .sinks = copy_sinks(host->sinks),
    };
    return view;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    const HostView *left = *(const HostView *const *)a, *right = *(const HostView *const *)b;
    gint order = strcmp(left->host, right->host);
    return order ? order : (gint)left->source - (gint)right->source;
}

GPtrArray *hosts_views(Hosts *hosts, StoreClock now, gint64 forget_after_ms)
{
    GPtrArray *views = g_ptr_array_new_with_free_func((GDestroyNotify)host_view_free);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, hosts->table);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Host *host = value;
        if ((now.mono_ns - host->received_mono_ns) / NS_PER_MS > forget_after_ms)
            g_hash_table_iter_remove(&iter);
        else
            g_ptr_array_add(views, view_of(host, now));
    }
    g_ptr_array_sort(views, by_name);
    return views;
}
