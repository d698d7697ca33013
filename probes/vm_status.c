/* SPDX-License-Identifier: Apache-2.0
 * The state probe, in the place of OpenNebula's own (vm/status/state.rb): tells which VMs have changed their state, and
 * now and then the states of all. What it does not name then is powered off by OpenNebula, so whatever it can't find
 * out for certain is a failure: an exit status, one line, nothing on standard output, and nothing kept. */
#include "base/config.h"
#include "base/file.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/program.h"
#include "base/remotes.h"
#include "gather/monitor_configuration.h"
#include "gather/probe_db_conf.h"
#include "gather/states.h"
#include "probe/probe_settings.h"
#include "probe/status_db.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Whatever libvirt or a disk does, the guard ends a run this long after the deadline. */
#define GUARD_GRACE_MS 8000 /* above what is waited for the configuration and for the database's lock */
#define NOTHING_TOLD "OpenNebula is told nothing of its VMs' states in this cycle"

#define INPUT_WAIT_MS 2000 /* for OpenNebula's configuration */
#define READ_BYTES 16384
#define STOCK_PROBE "state.rb"
#define HOST_ID_DIGITS 10

typedef struct {
    char *config_path, *uri, *database, *deadline;
    char **positional;
    gboolean dry_run, dump_config;
    bool by_opennebula; /* called with OpenNebula's arguments: it knows a host, and so has a memory */
} Arguments;

typedef struct {
    Arguments arguments;
    Config *config;
    char *program;        /* the probe's own file, links resolved; NULL unknown */
    char *uri, *database; /* NULL: of no host, and nothing is kept */
    gint64 deadline_ms;
    guint64 sync_s, times_missing, obsolete_s;
    GPtrArray *complaints; /* settings that are not as they should be */
    bool to_syslog;        /* and standard error has the one line that OpenNebula reads */
} Probe;

/* --- arguments and settings --- */

/* OpenNebula's are numbers; it becomes part of a file's name. */
static bool is_host_id(const char *word)
{
    gsize length = strlen(word);
    return length > 0 && length <= HOST_ID_DIGITS && strspn(word, G_CSET_DIGITS) == length;
}

static bool check_arguments(Arguments *arguments, GError **error)
{
    guint words = arguments->positional ? g_strv_length(arguments->positional) : 0;
    if (words == 1)
        return program_usage(error, PROBE_WORDS_WRONG);
    arguments->by_opennebula = words > 1;
    if (words > 1 && !is_host_id(arguments->positional[words - 2]))
        return program_usage(error, "expected HOST_ID, a number, as the last argument but one");
    if (arguments->database && words == 0)
        return program_usage(error,
                             "--database goes with HOST_ID and HOST_NAME: without them nothing is known or kept");
    return true;
}

static bool parse_arguments(Arguments *arguments, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"uri", 'u', 0, G_OPTION_ARG_STRING, &arguments->uri, PROBE_URI_HELP, "URI"},
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config_path, PROBE_CONFIG_HELP, "FILE"},
        {"database", 0, 0, G_OPTION_ARG_FILENAME, &arguments->database,
         "what was told before (default: im/status_kvm_HOST_ID.db of the tree the probe is in, as OpenNebula's own)",
         "FILE"},
        {"deadline", 'd', 0, G_OPTION_ARG_STRING, &arguments->deadline, "give libvirt up by then (default: 10)",
         "SECONDS"},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &arguments->dry_run,
         "print what would be told, and leave the database as it is", NULL},
        {"dump-config", 0, 0, G_OPTION_ARG_NONE, &arguments->dump_config,
         "print the options in effect and where they come from", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments->positional, NULL, PROBE_WORDS_HELP},
        {.long_name = NULL},
    };
    const ProgramOptions options = {
        .name = "vm_status",
        .summary =
            "Tells OpenNebula the states of the VMs (domains one-<ID>) of this KVM host, in the place of state.rb.",
        .description =
            "With HOST_ID and HOST_NAME it reads OpenNebula's configuration on standard input, prints what has "
            "changed\n"
            "since the run before, and sends messages to syslog. Without them it prints the states of all and keeps\n"
            "nothing. Exit status: 0 done; 1 libvirt or the database could not be asked, and nothing is said; 2 wrong\n"
            "usage or configuration. More: man 1 vm_status\n",
        .entries = entries,
    };
    return program_parse(&options, argc, argv, error) && check_arguments(arguments, error);
}

static bool load_config(Probe *probe, GError **error)
{
    const Arguments *arguments = &probe->arguments;
    return probe_settings_load(probe->config, arguments->config_path, probe->program, NULL, error) &&
           probe_settings_set(probe->config, CONFIG_probe_uri, arguments->uri, "--uri", error) &&
           probe_settings_set(probe->config, CONFIG_probe_deadline, arguments->deadline, "--deadline", error);
}

static bool choose_database(Probe *probe, const char *base_path, GError **error)
{
    const Arguments *arguments = &probe->arguments;
    if (!arguments->by_opennebula)
        return true;
    g_autofree char *root = probe->program ? remotes_root(probe->program) : NULL;
    const char *host_id = arguments->positional[g_strv_length(arguments->positional) - 2];
    g_autofree char *name = g_strdup_printf("status_kvm_%s.db", host_id);
    if (arguments->database)
        probe->database = g_strdup(arguments->database);
    else if (base_path)
        probe->database = g_build_filename(base_path, name, NULL);
    else if (root)
        probe->database = g_build_filename(root, "im", name, NULL);
    return probe->database ||
           program_usage(error, "this probe stands in no tree of OpenNebula's, so --database is needed");
}

static bool settle(Probe *probe, GError **error)
{
    g_autoptr(ProbeDbConf) conf = probe_db_conf_load(probe->program, probe->complaints);
    probe->times_missing = conf->times_missing;
    probe->obsolete_s = conf->obsolete_s;
    probe->sync_s = STATUS_SYNC_S;
    probe->deadline_ms = (gint64)(1000 * config_seconds(probe->config, CONFIG_probe_deadline));
    /* Another libvirt than OpenNebula's would know nothing of its VMs, and all of them would be powered off. */
    probe->uri = probe_settings_uri_or_fail(probe->config, probe->program, error);
    return probe->uri && choose_database(probe, conf->base_path, error);
}

/* --- OpenNebula's configuration --- */

/* What has come to the end of it, or until nothing more did for too long. Owned by the caller. */
static GString *read_input(void)
{
    GString *text = g_string_new(NULL);
    g_autofree char *buffer = g_malloc(READ_BYTES);
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    gssize got = 1;
    while (got > 0 && text->len <= MONITOR_CONFIGURATION_MAX && poll(&input, 1, INPUT_WAIT_MS) > 0) {
        got = read(STDIN_FILENO, buffer, READ_BYTES);
        g_string_append_len(text, buffer, MAX(got, 0));
    }
    return text;
}

static void read_configuration(Probe *probe)
{
    g_autoptr(GString) text = isatty(STDIN_FILENO) ? g_string_new(NULL) : read_input();
    char *complaint;
    probe->sync_s = monitor_configuration_sync_s(text->str, text->len, &complaint);
    if (complaint)
        g_ptr_array_add(probe->complaints, complaint);
}

/* A run every few seconds must not fill the log: with a full report only. */
static void report_complaints(const Probe *probe, bool full)
{
    if (!full && !probe->arguments.dry_run)
        return;
    for (guint i = 0; i < probe->complaints->len; i++)
        log_warning("%s", (const char *)g_ptr_array_index(probe->complaints, i));
}

/* --- the report --- */

static bool print(const GString *text, GError **error)
{
    if (file_write_all(STDOUT_FILENO, text->str, text->len))
        return true;
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(errno), "cannot write to standard output: %s",
                g_strerror(errno));
    return false;
}

static StatusReport *make_report(const Probe *probe, const GPtrArray *vms, const GPtrArray *rows, gint64 last_full_s)
{
    const StatusOptions options = {
        .now_s = g_get_real_time() / G_USEC_PER_SEC,
        .last_full_s = last_full_s,
        .sync_s = probe->sync_s,
        .times_missing = probe->times_missing,
        .obsolete_s = probe->obsolete_s,
    };
    StatusReport *report = status_report(vms, rows, &options);
    report_complaints(probe, report->full);
    return report;
}

/* Between the commit and the exit status, by which OpenNebula takes the report or not, nobody shall come. */
static void hold_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
}

/* The report is printed when it is written but for the commit: if either fails, or we are killed in between, it has not
 * been told, and is made again. */
static bool tell_and_keep(const Probe *probe, const GPtrArray *vms, GError **error)
{
    gint64 last_full_s;
    g_autoptr(StatusDb) db = status_db_open(probe->database, probe->arguments.dry_run, error);
    g_autoptr(GPtrArray) rows = db ? status_db_read(db, &last_full_s, error) : NULL;
    if (!rows)
        return false;
    g_autoptr(StatusReport) report = make_report(probe, vms, rows, last_full_s);
    if (probe->arguments.dry_run)
        return print(report->text, error);
    if (!status_db_write(db, report, g_get_real_time() / G_USEC_PER_SEC, error) || !print(report->text, error))
        return false;
    hold_signals();
    if (!status_db_commit(db, error))
        return false;
    program_leave(EXIT_DONE);
    return true;
}

/* A damaged database would stop all reports until somebody comes. Without it the next report is a full one, as it is
 * after every onehost sync. */
static bool tell_with_memory(const Probe *probe, const GPtrArray *vms, GError **error)
{
    g_autoptr(GError) reason = NULL;
    bool done = tell_and_keep(probe, vms, &reason);
    if (!done && !probe->arguments.dry_run && g_error_matches(reason, STATUS_DB_ERROR, STATUS_DB_ERROR_DAMAGED)) {
        log_warning("%s; it is kept as %s.damaged, and begun anew", reason->message, probe->database);
        g_clear_error(&reason);
        done = status_db_set_aside(probe->database, &reason) && tell_and_keep(probe, vms, &reason);
    }
    if (!done)
        g_propagate_error(error, g_steal_pointer(&reason));
    return done;
}

static bool tell_all(const Probe *probe, const GPtrArray *vms, GError **error)
{
    g_autoptr(GPtrArray) nothing = g_ptr_array_new();
    g_autoptr(StatusReport) report = make_report(probe, vms, nothing, 0);
    return print(report->text, error);
}

/* --- the run --- */

static bool run(Probe *probe, bool *ret_abandoned, GError **error)
{
    if (probe->arguments.by_opennebula)
        read_configuration(probe);
    g_autoptr(GPtrArray) vms = states_collect(&libvirt_api, probe->uri, probe->deadline_ms, ret_abandoned, error);
    if (!vms)
        return false;
    return probe->database ? tell_with_memory(probe, vms, error) : tell_all(probe, vms, error);
}

static int fail(const Probe *probe, const GError *error, int status)
{
    log_error("%s", error->message);
    if (probe->to_syslog) { /* libvirt's own words may be of several lines */
        g_autofree char *line = log_quote(error->message, strlen(error->message), LOG_LINE_MAX);
        fprintf(stderr, "one-telemetry: %s\n", line);
    }
    return status;
}

static int run_and_report(Probe *probe)
{
    bool abandoned = false;
    g_autoptr(GError) error = NULL;
    int status = run(probe, &abandoned, &error) ? EXIT_DONE : fail(probe, error, EXIT_FAILED);
    if (abandoned) /* a thread is blocked in libvirt: nothing may be torn down under it */
        _exit(status);
    return status;
}

/* Both would count how often a VM is missing, and each would take news from the other. */
static bool stock_probe_is_here(const Probe *probe)
{
    return probe->arguments.by_opennebula && !probe->arguments.dry_run && probe->program &&
           remotes_has_status_probe(probe->program, STOCK_PROBE);
}

static void dump_config(const Probe *probe)
{
    g_autofree char *text = config_dump(probe->config);
    printf("# In effect: libvirt at %s, what was told before in %s;\n"
           "# a VM is gone when it was missing more than %" G_GUINT64_FORMAT
           " times, a row is believed for %" G_GUINT64_FORMAT " min\n\n%s",
           probe->uri, probe->database ? probe->database : "no file", probe->times_missing, probe->obsolete_s / 60,
           text);
}

static int start(Probe *probe, int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    log_init("vm_status", LOG_TO_STDERR, LOG_LEVEL_INFO);
    if (!parse_arguments(&probe->arguments, &argc, &argv, &error))
        return fail(probe, error, EXIT_USAGE);
    bool loaded = load_config(probe, &error);
    probe->to_syslog = probe->arguments.by_opennebula && !probe->arguments.dry_run;
    log_init("vm_status", probe->to_syslog ? LOG_TO_SYSLOG : LOG_TO_STDERR,
             (LogLevel)config_integer(probe->config, CONFIG_log_level));
    guard_arm(EXIT_FAILED, (gint64)(1000 * config_seconds(probe->config, CONFIG_probe_deadline)) + GUARD_GRACE_MS,
              NOTHING_TOLD);
    if (!loaded || !settle(probe, &error))
        return fail(probe, error, EXIT_USAGE);
    if (probe->arguments.dump_config) {
        dump_config(probe);
        report_complaints(probe, true);
        return EXIT_DONE;
    }
    if (stock_probe_is_here(probe)) {
        log_warning(STOCK_PROBE " is in the same directory and can be executed, so this probe leaves the work to it; "
                                "take one of them out");
        return EXIT_DONE;
    }
    return run_and_report(probe);
}

static void probe_clear(Probe *probe)
{
    Arguments *arguments = &probe->arguments;
    char *texts[] = {arguments->config_path, arguments->uri, arguments->database, arguments->deadline,
                     probe->program,         probe->uri,     probe->database};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_strfreev(arguments->positional);
    g_ptr_array_unref(probe->complaints);
    config_free(probe->config);
}

int main(int argc, char **argv)
{
    program_begin();
    mallopt(M_ARENA_MAX, 1); /* one thread beside this one, which allocates little */
    Probe probe = {.config = config_new(),
                   .program = g_file_read_link("/proc/self/exe", NULL),
                   .complaints = g_ptr_array_new_with_free_func(g_free)};
    int status = start(&probe, argc, argv);
    probe_clear(&probe);
    return status;
}
