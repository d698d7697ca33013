/* SPDX-License-Identifier: Apache-2.0
 * The probe that OpenNebula runs on a host every MONITOR_VM seconds, and a person by hand: collects the statistics of
 * all one-<ID> domains and prints OpenNebula's monitoring records. */
#include "base/config.h"
#include "base/file.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/program.h"
#include "encode/explain.h"
#include "encode/json.h"
#include "encode/line_protocol.h"
#include "encode/prometheus.h"
#include "gather/collect.h"
#include "gather/domstats.h"
#include "gather/host.h"
#include "gather/proc.h"
#include "gather/recording.h"
#include "gather/state.h"
#include "model/rates.h"
#include "probe/forecasting.h"
#include "probe/guest_asking.h"
#include "probe/guests.h"
#include "probe/monitor_arguments.h"
#include "probe/monitor_records.h"
#include "probe/probe_settings.h"
#include "probe/spooling.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Whatever libvirt or a disk does, the guard ends a run this long after the deadline. */
#define GUARD_GRACE_MS 5000
/* What it says of a run that it ends. */
#define NOTHING_SENT "nothing is sent in this cycle"
#define RECORDS_SENT "OpenNebula has its records, but this sample may not be kept or queued"

typedef struct {
    MonitorArguments arguments;
    Config *config;
    char *program;     /* the probe's own file, links resolved; NULL unknown */
    char *config_file; /* that was read, absolute; NULL: none */
    char *host_id, *host;
    char *uri;
    char *state_dir, *state_name;
} Probe;

/* --- configuration --- */

static bool load_config(Probe *probe, GError **error)
{
    const MonitorArguments *arguments = &probe->arguments;
    Config *config = probe->config;
    return probe_settings_load(config, arguments->config_path, probe->program, &probe->config_file, error) &&
           probe_settings_set(config, CONFIG_probe_uri, arguments->uri, "--uri", error) &&
           probe_settings_set(config, CONFIG_probe_state_dir, arguments->state_dir, "--state-dir", error) &&
           probe_settings_set(config, CONFIG_probe_deadline, arguments->deadline, "--deadline", error);
}

static void settle(Probe *probe)
{
    char **words = probe->arguments.positional;
    guint n = words ? g_strv_length(words) : 0;
    probe->host_id = g_strdup(n > 1 ? words[n - 2] : "by-hand");
    probe->host = n > 1 ? g_strdup(words[n - 1]) : host_name();
    probe->uri = probe_settings_uri(probe->config, probe->program);
    probe->state_dir = probe_settings_state_dir(probe->config);
    probe->state_name = state_file_name(probe->host_id);
}

/* --- the sample --- */

/* *ret_complaint: what the log was told of it; NULL: nothing. Owned by the caller. */
static Sample *load_previous(const Probe *probe, char **ret_complaint)
{
    g_autofree char *boot_id = host_boot_id();
    const StateContext context = {.host = probe->host, .boot_id = boot_id, .boottime_ns = host_boottime_ns()};
    g_autoptr(GError) error = NULL;
    Sample *previous = state_load(probe->state_dir, probe->state_name, &context, &error);
    if (error)
        log_message(error->code == STATE_ERROR_UNUSABLE ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
                    "%s; going on as on a first run", error->message);
    *ret_complaint = error ? g_strdup(error->message) : NULL;
    return previous;
}

static void report_locked(const Sample *now, const Sample *previous)
{
    for (guint i = 0; i < now->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(now->vms, i), *before = sample_find_run(previous, vm);
        bool was = before && row_u64(before->row, METRIC_VM_LOCKED), is = row_u64(vm->row, METRIC_VM_LOCKED);
        if (is && !was)
            log_warning("%s is held by a job or its QEMU does not answer: disk and guest memory figures are missing",
                        vm->name);
        else if (was && !is)
            log_info("%s answers again", vm->name);
    }
}

static Sample *collect_now(const Probe *probe, const Sample *previous, bool *ret_abandoned, GError **error)
{
    const bool kernel = config_integer(probe->config, CONFIG_probe_sources) == SOURCES_AUTO;
    g_autoptr(Processes) processes = kernel ? proc_processes(probe->uri) : NULL;
    const CollectOptions options = {
        .api = &libvirt_api,
        .uri = probe->uri,
        .deadline_ms = (gint64)(1000 * config_seconds(probe->config, CONFIG_probe_deadline)),
        .workers = (guint)config_integer(probe->config, CONFIG_probe_workers),
        .previous = previous,
        .processes = processes,
        .slow_ms = 1000 * config_integer(probe->config, CONFIG_probe_slow_interval),
    };
    Sample *now = collect_sample(&options, ret_abandoned, error);
    if (!now)
        return NULL;
    now->host = g_strdup(probe->host);
    now->cycle = previous ? previous->cycle + 1 : 0;
    if (proc_serves_uri(probe->uri))
        proc_add_swap(now, "/proc");
    return now;
}

/* --- output --- */

/* The records are made in any case: the host's figures and the state tell of them. */
static GString *encode(const Probe *probe, Sample *now, const Sample *previous)
{
    GString *records = monitor_records(probe->config, probe->program, now, previous, probe->arguments.dry_run);
    if (probe->arguments.format == FORMAT_ONE)
        return records;
    g_string_free(records, TRUE);
    if (probe->arguments.format == FORMAT_LINE)
        return line_protocol_write(now, SERIES_ALL);
    if (probe->arguments.format == FORMAT_JSON)
        return json_write(now, isatty(STDOUT_FILENO));
    if (probe->arguments.format == FORMAT_EXPLAIN)
        return explain_write(now, host_boottime_ns());
    if (probe->arguments.format == FORMAT_PROMETHEUS)
        return prometheus_write((const Sample *const[]){now}, 1);
    GString *text = g_string_new(NULL);
    domstats_write(now, text);
    return text;
}

/* Called by OpenNebula beside poll.rb: a failure would cost the data of all probes in the directory. */
static bool must_not_fail(const Probe *probe)
{
    const MonitorArguments *arguments = &probe->arguments;
    return arguments->by_opennebula && !arguments->dry_run &&
           config_integer(probe->config, CONFIG_probe_mode) != MODE_REPLACE;
}

/* A crash in mid-write leaves half a record, which would put the host into ERROR: then rather no output at all. */
static bool print(const Probe *probe, const GString *text, GError **error)
{
    guard_change(EXIT_FAILED, NOTHING_SENT);
    if (file_write_all(STDOUT_FILENO, text->str, text->len)) {
        guard_change(EXIT_DONE, RECORDS_SENT); /* OpenNebula would discard them if a disk that hangs made us fail */
        return true;
    }
    guard_change(must_not_fail(probe) ? EXIT_DONE : EXIT_FAILED, NOTHING_SENT);
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "cannot write to standard output: %s",
                g_strerror(errno));
    return false;
}

/* --- the sinks --- */

/* Runs by hand, and those that OpenNebula does not make, leave the sinks' series alone. */
static bool must_spool(const Probe *probe)
{
    const MonitorArguments *arguments = &probe->arguments;
    bool leaves = config_integer(probe->config, CONFIG_probe_mode) == MODE_LEAVE || arguments->dry_run;
    return arguments->spool || (arguments->by_opennebula && arguments->format == FORMAT_ONE && !leaves);
}

static Spooling *new_spooling(const Probe *probe, GError **error)
{
    return spooling_new(probe->config, probe->config_file, probe->program, error);
}

/* For a person who looks at the pipeline's own figures. */
static void show_sinks(const Probe *probe, Sample *now)
{
    g_autoptr(Spooling) spooling = new_spooling(probe, NULL);
    if (spooling)
        spooling_add_figures(spooling, now, now->realtime_ns);
}

/* Returns what the forwarder is to be started by when all is kept; NULL: it is not to be. */
static Spooling *spool(const Probe *probe, Sample *now, const Sample *previous)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Spooling) spooling = new_spooling(probe, &error);
    if (!spooling && !error && probe->arguments.spool)
        log_warning("--spool: no sink is configured, so nothing is queued");
    bool startable = spooling && spooling_queue(spooling, now, previous, &error);
    spooling_report(now, previous, error);
    return startable ? g_steal_pointer(&spooling) : NULL;
}

static void start_forwarder(const Spooling *spooling)
{
    g_autoptr(GError) error = NULL;
    if (!spooling_start_forwarder(spooling, &error))
        log_error("%s", error->message);
}

/* --- in poll.rb's place --- */

static bool stands_in(const Probe *probe)
{
    const MonitorArguments *arguments = &probe->arguments;
    return config_integer(probe->config, CONFIG_probe_mode) == MODE_REPLACE && arguments->by_opennebula &&
           arguments->format == FORMAT_ONE;
}

static GuestsPlace guests_place(const Probe *probe)
{
    return (GuestsPlace){.config = probe->config,
                         .program = probe->program,
                         .uri = probe->uri,
                         .state_dir = probe->state_dir,
                         .state_name = probe->state_name,
                         .config_file = probe->config_file,
                         .host_id = probe->host_id,
                         .host = probe->host};
}

static ForecastingPlace forecasting_place(const Probe *probe)
{
    return (ForecastingPlace){.config = probe->config,
                              .program = probe->program,
                              .state_dir = probe->state_dir,
                              .state_name = probe->state_name};
}

/* NULL: guests' agents are not for us to ask. */
static Guests *load_guests(const Probe *probe)
{
    const GuestsPlace place = guests_place(probe);
    return stands_in(probe) ? guests_load(&place) : NULL;
}

/* What was found out aside of earlier cycles. */
static void attach(const Probe *probe, Sample *now, const Guests *guests)
{
    const ForecastingPlace place = forecasting_place(probe);
    if (guests)
        guest_asking_attach(now, guests->book, guests->commands);
    if (stands_in(probe))
        forecasting_attach(now, &place);
}

/* What else poll.rb does, in processes of their own, which neither the records nor this process wait for. */
static void stand_in(const Probe *probe, const Sample *now, const Guests *guests)
{
    g_autoptr(GError) asking_error = NULL, forecasting_error = NULL;
    const GuestsPlace place = guests_place(probe);
    const ForecastingPlace forecasts = forecasting_place(probe);
    if (!stands_in(probe) || probe->arguments.dry_run)
        return;
    if (guests)
        guests_start_asking(guests, &place, now, &asking_error);
    if (forecasting_wanted(&forecasts))
        forecasting_start(&forecasts, now, &forecasting_error);
    if (asking_error)
        log_warning("guests' agents are not asked: %s", asking_error->message);
    if (forecasting_error)
        log_warning("OpenNebula's forecaster lacks this sample: %s", forecasting_error->message);
}

/* That other process. Its log has been told what went wrong. */
static bool run_asking(const Probe *probe, bool *ret_stuck, GError **error)
{
    g_autofree char *complaint = NULL;
    g_autoptr(GError) reason = NULL;
    g_autoptr(Sample) sample = load_previous(probe, &complaint);
    const GuestsPlace place = guests_place(probe);
    g_autoptr(Guests) guests = guests_load(&place);
    if (guests && sample)
        guests_ask(guests, &place, sample, ret_stuck, &reason);
    else
        g_set_error(&reason, GUESTS_ERROR, GUESTS_ERROR_STATE, "no guest is asked: %s",
                    guests ? complaint : "[guests] ask is no");
    if (probe->arguments.by_opennebula || !reason)
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

/* --- the run --- */

static bool encode_and_print(const Probe *probe, Sample *now, const Sample *previous, GError **error)
{
    g_autoptr(GString) text = encode(probe, now, previous);
    return print(probe, text, error);
}

static bool run_replay(const Probe *probe, GError **error)
{
    g_autoptr(GPtrArray) samples = recording_replay(probe->arguments.replay, error);
    if (!samples)
        return false;
    Sample *now = g_ptr_array_index(samples, samples->len - 1);
    const Sample *previous = samples->len > 1 ? g_ptr_array_index(samples, samples->len - 2) : NULL;
    const bool done = encode_and_print(probe, now, previous, error);
    if (done)
        program_leave(EXIT_DONE);
    return done;
}

/* After the records are out, so that no trouble with a disk can lose them. What the log was told when the state
 * was loaded (a directory that is not ours) is not said again. */
static bool keep(const Probe *probe, const Sample *now, const char *complaint, GError **ret_error)
{
    g_autoptr(GError) error = NULL;
    if (!state_save(probe->state_dir, probe->state_name, now, &error) &&
        !(complaint && g_str_has_suffix(complaint, error->message)))
        log_warning("this sample is not kept, so the next run has no rates: %s", error->message);
    return !probe->arguments.record || recording_append(probe->arguments.record, now, ret_error);
}

static bool run(const Probe *probe, bool *ret_abandoned, GError **error)
{
    if (probe->arguments.replay)
        return run_replay(probe, error);
    if (probe->arguments.ask_guests)
        return run_asking(probe, ret_abandoned, error);
    g_autoptr(Guests) guests = load_guests(probe);
    g_autofree char *complaint = NULL;
    g_autoptr(Sample) previous = load_previous(probe, &complaint);
    g_autoptr(Sample) now = collect_now(probe, previous, ret_abandoned, error);
    if (!now)
        return false;
    sample_finish(now, previous);
    rates_derive(now, previous);
    report_locked(now, previous);
    attach(probe, now, guests);
    if (probe->arguments.format != FORMAT_ONE)
        show_sinks(probe, now);
    bool printed = encode_and_print(probe, now, previous, error);
    g_autoptr(Spooling) spooling = must_spool(probe) ? spool(probe, now, previous) : NULL;
    bool done = printed && probe->arguments.dry_run;
    if (!probe->arguments.dry_run)
        done = keep(probe, now, complaint, printed ? error : NULL) && printed;
    if (spooling)
        start_forwarder(spooling);
    if (printed)
        stand_in(probe, now, guests);
    if (done)
        program_leave(EXIT_DONE);
    return done;
}

static int run_and_report(const Probe *probe)
{
    bool abandoned = false;
    g_autoptr(GError) error = NULL;
    bool done = run(probe, &abandoned, &error);
    if (!done) {
        log_error("%s", error->message);
        if (probe->arguments.by_opennebula && !probe->arguments.dry_run)
            fprintf(stderr, "one-telemetry: %s\n", error->message);
    }
    int status = done || must_not_fail(probe) ? EXIT_DONE : EXIT_FAILED;
    if (abandoned) /* threads are blocked in libvirt: nothing may be torn down under them */
        _exit(status);
    return status;
}

/* OpenNebula discards the output of all probes of this directory when one fails or crashes, and waits without limit for
 * one that hangs. */
static void guard(const Probe *probe)
{
    gint64 limit = (gint64)(1000 * config_seconds(probe->config, CONFIG_probe_deadline)) + GUARD_GRACE_MS;
    if (probe->arguments.ask_guests)
        limit = GUESTS_LIMIT_MS + GUARD_GRACE_MS;
    guard_arm(must_not_fail(probe) ? EXIT_DONE : EXIT_FAILED, limit, NOTHING_SENT);
}

static int refuse(const Probe *probe, const GError *error)
{
    log_error("%s", error->message);
    if (!probe->arguments.by_opennebula)
        return EXIT_USAGE;
    fprintf(stderr, "one-telemetry: %s\n", error->message);
    return must_not_fail(probe) ? EXIT_DONE : EXIT_USAGE;
}

static int start(Probe *probe, int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    log_init("vm_monitor", LOG_TO_STDERR, LOG_LEVEL_INFO);
    if (!monitor_arguments_parse(&probe->arguments, &argc, &argv, &error))
        return refuse(probe, error);
    if (probe->arguments.by_opennebula) /* what is known so far; again below */
        guard(probe);
    bool loaded = load_config(probe, &error);
    bool to_syslog = probe->arguments.by_opennebula && !probe->arguments.dry_run;
    LogTarget target = to_syslog ? LOG_TO_SYSLOG : LOG_TO_STDERR;
    LogLevel level = (LogLevel)config_integer(probe->config, CONFIG_log_level);
    log_init("vm_monitor", target, probe->arguments.dry_run ? MIN(level, LOG_LEVEL_WARNING) : level);
    if (!loaded)
        return refuse(probe, error);
    settle(probe);
    if (probe->arguments.dump_config) {
        g_autofree char *text = config_dump(probe->config);
        printf("# In effect: libvirt at %s, the previous sample in %s/%s\n\n%s", probe->uri, probe->state_dir,
               probe->state_name, text);
        return EXIT_DONE;
    }
    if (probe->arguments.by_opennebula)
        guard(probe);
    return run_and_report(probe);
}

static void probe_clear(Probe *probe)
{
    char *texts[] = {probe->config_file, probe->program,   probe->host_id,   probe->host,
                     probe->uri,         probe->state_dir, probe->state_name};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    monitor_arguments_clear(&probe->arguments);
    config_free(probe->config);
}

int main(int argc, char **argv)
{
    program_begin();
    /* The workers allocate little and free nearly all: arenas of their own cost more in system calls than they save. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TOP_PAD, 1024 * 1024);
    Probe probe = {.config = config_new(), .program = g_file_read_link("/proc/self/exe", NULL)};
    int status = start(&probe, argc, argv);
    probe_clear(&probe);
    return status;
}
