/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/spooling.h"
#include "base/log.h"
#include "base/remotes.h"
#include "deliver/enqueue.h"
#include "deliver/ledger.h"
#include "deliver/spool_place.h"
#include "deliver/start.h"
#include "encode/line_protocol.h"

#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)

G_DEFINE_QUARK(one_telemetry_spooling, spooling_error)

static char *choose_forwarder(const Config *config, const char *program)
{
    const char *set = config_text(config, CONFIG_forward_program);
    if (*set)
        return g_strdup(set);
    return program ? remotes_forwarder(program) : NULL;
}

Spooling *spooling_new(const Config *config, const char *config_file, const char *program, GError **error)
{
    g_autoptr(GPtrArray) sinks = sinks_from_config(config, error);
    if (!sinks)
        g_prefix_error(error, "nothing is queued for the sinks: ");
    if (!sinks || sinks->len == 0)
        return NULL;
    const char *dir = config_text(config, CONFIG_spool_dir);
    Spooling *spooling = g_new(Spooling, 1);
    *spooling = (Spooling){
        .sinks = g_steal_pointer(&sinks),
        .path = *dir ? g_strdup(dir) : spool_default_path(),
        .forwarder = choose_forwarder(config, program),
        .config_file = g_strdup(config_file),
    };
    return spooling;
}

void spooling_free(Spooling *spooling)
{
    g_ptr_array_unref(spooling->sinks);
    g_free(spooling->path);
    g_free(spooling->forwarder);
    g_free(spooling->host);
    g_free(spooling->config_file);
    g_free(spooling);
}

/* --- figures --- */

/* A time that is still to come is of a clock that was set back since. */
static guint64 seconds_since(gint64 time_ns, gint64 now_ns)
{
    return (guint64)(MAX(now_ns - time_ns, 0) / NS_PER_SECOND);
}

static void set_figures(MetricRow *row, const Ledger *ledger, gint64 now_ns)
{
    if (ledger->counted_ns != 0) {
        row_set_u64(row, METRIC_SINK_QUEUED_BATCHES, ledger->queued_batches);
        row_set_u64(row, METRIC_SINK_QUEUED_BYTES, ledger->queued_bytes);
        row_set_u64(row, METRIC_SINK_OLDEST_AGE, ledger->queued_batches ? seconds_since(ledger->oldest_ns, now_ns) : 0);
    }
    row_set_u64(row, METRIC_SINK_SENT_LINES, ledger->sent_lines);
    row_set_u64(row, METRIC_SINK_RETRIED, ledger->retried);
    row_set_u64(row, METRIC_SINK_REJECTED_LINES, ledger->rejected_lines);
    row_set_u64(row, METRIC_SINK_DROPPED_BATCHES, ledger->dropped_batches);
    row_set_u64(row, METRIC_SINK_DROPPED_BYTES, ledger->dropped_bytes);
    row_set_u64(row, METRIC_SINK_BAD_BATCHES, ledger->bad_batches);
    row_set_u64(row, METRIC_SINK_FAILURES, ledger->failures);
    if (ledger->last_success_ns != 0)
        row_set_u64(row, METRIC_SINK_LAST_SUCCESS_AGE, seconds_since(ledger->last_success_ns, now_ns));
}

void spooling_add_figures(const Spooling *spooling, Sample *sample, gint64 now_ns)
{
    guint64 batches = 0, bytes = 0;
    g_autoptr(Spool) spool = spool_open_existing(spooling->path, NULL);
    g_ptr_array_set_size(sample->sinks, 0);
    for (guint i = 0; i < spooling->sinks->len; i++) {
        const SinkSettings *sink = g_ptr_array_index(spooling->sinks, i);
        Ledger ledger = {0};
        bool damaged = false;
        if (spool)
            ledger_load(spool, sink->name, &ledger, &damaged);
        MetricRow *row = sample_add_sink(sample, sink->name);
        if (!damaged)
            set_figures(row, &ledger, now_ns);
        batches += ledger.queued_batches;
        bytes += ledger.queued_bytes;
    }
    row_set_u64(sample->row, METRIC_HOST_SPOOL_BATCHES, batches);
    row_set_u64(sample->row, METRIC_HOST_SPOOL_BYTES, bytes);
}

/* --- lines --- */

static bool queue_lines(const Spooling *spooling, const Sample *sample, const Sample *previous, GError **error)
{
    g_autoptr(GString) text = line_protocol_write_next(sample, previous);
    const char *host = spooling->host ? spooling->host : sample->host;
    bool queued = enqueue_lines(spooling->path, spooling->sinks, host ? host : "", sample->realtime_ns, text->str,
                                text->len, error);
    if (!queued)
        g_prefix_error(error, "nothing is queued for the sinks: ");
    return queued;
}

bool spooling_has_forwarder(const Spooling *spooling, GError **error)
{
    const char *program = spooling->forwarder;
    if (program && g_file_test(program, G_FILE_TEST_IS_REGULAR) && g_file_test(program, G_FILE_TEST_IS_EXECUTABLE))
        return true;
    g_set_error(error, SPOOLING_ERROR, SPOOLING_ERROR_NO_FORWARDER,
                "what is queued for the sinks is not sent: there is no forwarder %s",
                program ? program : "beside a probe outside of a remotes tree: set program in [forward]");
    return false;
}

bool spooling_queue(const Spooling *spooling, Sample *sample, const Sample *previous, GError **error)
{
    g_autoptr(GError) reason = NULL;
    spooling_add_figures(spooling, sample, sample->realtime_ns);
    if (queue_lines(spooling, sample, previous, &reason))
        return spooling_has_forwarder(spooling, error);
    bool is_full = g_error_matches(reason, SPOOL_ERROR, SPOOL_ERROR_FULL);
    g_propagate_error(error, g_steal_pointer(&reason));
    return is_full && spooling_has_forwarder(spooling, NULL);
}

/* Messages of one error may differ in a file's name. Never 0. */
static guint number_of(const GError *error)
{
    g_autofree char *text = error->domain == CONFIG_ERROR
                                ? g_strdup(error->message)
                                : g_strdup_printf("%s %d", g_quark_to_string(error->domain), error->code);
    return MAX(g_str_hash(text), 1);
}

void spooling_report(Sample *sample, const Sample *previous, const GError *error)
{
    guint before = previous ? previous->spool_trouble : 0;
    sample->spool_trouble = error ? number_of(error) : 0;
    if (error && (sample->spool_trouble != before || sample->cycle % LOG_REMIND_CYCLES == 0))
        log_error("%s", error->message);
    else if (!error && before != 0)
        log_info("the sinks get what is collected again");
}

/* --- the forwarder --- */

bool spooling_start_forwarder(const Spooling *spooling, GError **error)
{
    const char *const arguments[] = {"--config", spooling->config_file, NULL}, *const none[] = {NULL};
    g_autoptr(GError) reason = NULL;
    g_autoptr(Spool) spool = spool_open_place(spooling->path, &reason);
    if (spool && (!spool_is_idle(spool) ||
                  start_detached(spooling->forwarder, spooling->config_file ? arguments : none, &reason)))
        return true;
    g_propagate_prefixed_error(error, g_steal_pointer(&reason), "what is queued for the sinks is not sent: ");
    return false;
}
