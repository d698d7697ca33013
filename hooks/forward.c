/* SPDX-License-Identifier: Apache-2.0
 * The forwarder: sends what waits in the spool to every sink. A probe starts it when it has added a batch; a person
 * asks it how things stand, or has it flush. One works at a time, the others leave at once. */
#include "base/config.h"
#include "base/log.h"
#include "base/program.h"
#include "base/remotes.h"
#include "base/text.h"
#include "deliver/check.h"
#include "deliver/forwarder.h"
#include "deliver/spool_place.h"
#include "deliver/status.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_TROUBLE = 3 };

#define ROUNDS_MAX 1000    /* runs one behind the other, for batches that came while the lock was let go of */
#define POLL_US 200000     /* between two looks whether another forwarder has ended */
#define QUIET_PROGRESS_S 5 /* between two lines of progress where no terminal is */

typedef struct {
    char *config_path, *linger;
    gboolean once, dry_run, status, json, flush, check;
    gint timeout; /* s; 0: none */
} Arguments;

typedef struct {
    Arguments arguments;
    Config *config;
    GPtrArray *sinks;
    Spool *spool; /* NULL: there is none, so nothing waits */
    char *spool_dir;
    int stop_fd;
    gint64 until_us; /* monotonic; 0: no limit */
} Forward;

/* --- arguments and configuration --- */

/* Sends nothing that waits. */
static bool only_tells(const Arguments *arguments)
{
    return arguments->status || arguments->dry_run || arguments->check;
}

static bool check_arguments(const Arguments *arguments, GError **error)
{
    if (arguments->dry_run + arguments->status + arguments->flush + arguments->once + arguments->check > 1)
        return program_usage(error, "--once, --flush, --status, --check and --dry-run do not go together");
    if (arguments->json && !arguments->status)
        return program_usage(error, "--json goes with --status");
    if (arguments->timeout < 0 || (arguments->timeout && !arguments->flush))
        return program_usage(error, "--timeout takes a number of seconds and goes with --flush");
    if (arguments->linger && (only_tells(arguments) || arguments->flush || arguments->once))
        return program_usage(error, "--linger goes with none of --once, --flush, --status, --check, --dry-run");
    return true;
}

static bool parse_arguments(Arguments *arguments, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config_path,
         "configuration file (default: telemetry.conf of the tree the forwarder is in, else /etc/one/telemetry.conf)",
         "FILE"},
        {"once", '1', 0, G_OPTION_ARG_NONE, &arguments->once,
         "send what is due and leave, without waiting for another attempt", NULL},
        {"linger", 'l', 0, G_OPTION_ARG_STRING, &arguments->linger,
         "with nothing to send, wait so long for more (default: linger of [forward])", "SECONDS"},
        {"flush", 'F', 0, G_OPTION_ARG_NONE, &arguments->flush,
         "attempt at once, show progress, and end when everything is sent or only a person can help", NULL},
        {"timeout", 't', 0, G_OPTION_ARG_INT, &arguments->timeout, "with --flush: give up after that", "SECONDS"},
        {"status", 's', 0, G_OPTION_ARG_NONE, &arguments->status, "what waits, and how each sink does", NULL},
        {"json", 'j', 0, G_OPTION_ARG_NONE, &arguments->json, "with --status: for scripts", NULL},
        {"check", 'C', 0, G_OPTION_ARG_NONE, &arguments->check,
         "ask each sink whether we may write there; writes nothing", NULL},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &arguments->dry_run, "what would be sent where; sends nothing", NULL},
        {.long_name = NULL},
    };
    const ProgramOptions options = {
        .name = "forward",
        .summary = "Sends the line protocol that waits in the spool to every sink configured.",
        .description = "Exit status: 0 done (also: another forwarder is at it), 1 it failed, or --flush could not send "
                       "everything,\n2 "
                       "wrong usage or configuration, 3 --status, --check: a sink is in trouble. More: man 1 forward\n",
        .entries = entries,
    };
    return program_parse(&options, argc, argv, error) && check_arguments(arguments, error);
}

static char *find_config(const Arguments *arguments)
{
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *tree = program ? remotes_hook_config_file(program) : NULL;
    const char *const standard[] = {tree ? tree : REMOTES_FRONT_END_CONFIG, tree ? REMOTES_FRONT_END_CONFIG : NULL,
                                    NULL};
    return config_find(arguments->config_path, standard);
}

static bool load_config(Forward *forward, GError **error)
{
    const char *linger = forward->arguments.linger;
    g_autofree char *path = find_config(&forward->arguments);
    if (path && !config_load(forward->config, path, error))
        return false;
    if (linger && !config_set(forward->config, CONFIG_forward_linger, linger, "--linger", error))
        return false;
    forward->sinks = sinks_from_config(forward->config, error);
    return forward->sinks != NULL;
}

/* false: there is a spool, but it can't be used. */
static bool open_spool(Forward *forward, GError **error)
{
    const char *set = config_text(forward->config, CONFIG_spool_dir);
    forward->spool_dir = *set ? g_strdup(set) : spool_default_path();
    g_autoptr(GError) reason = NULL;
    forward->spool = spool_open_existing(forward->spool_dir, &reason);
    if (!reason)
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

/* Whoever calls it as another user than the probe looks in the wrong place. */
static char *describe_missing(const Forward *forward)
{
    GString *text = g_string_new(NULL);
    g_string_printf(text, "There is no spool %s", forward->spool_dir);
    bool is_standard = *config_text(forward->config, CONFIG_spool_dir) == '\0';
    g_autofree char *user = spool_user_name((guint)geteuid());
    if (is_standard)
        g_string_append_printf(text, ", which would be that of user %s", user);
    g_string_append(text, ": nothing was queued yet.\n");
    if (!is_standard)
        return g_string_free(text, FALSE);
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    g_autoptr(GPtrArray) others = spool_other_places();
    for (guint i = 0; i < others->len; i++) {
        const SpoolPlace *place = g_ptr_array_index(others, i);
        g_string_append_printf(text, "User %s has %s; to see it: sudo -u %s %s --status\n", place->user, place->path,
                               place->user, program ? program : "forward");
    }
    return g_string_free(text, FALSE);
}

/* --- progress --- */

typedef struct {
    gint64 shown_us;
    bool terminal;
    char *line; /* the last that there was; NULL: none yet */
    bool shown; /* it */
} Progress;

static char *describe(const ForwarderSink *sink)
{
    g_autofree char *bytes = text_bytes(sink->waiting.bytes);
    if (sink->done)
        return g_strdup_printf("%s: all sent", sink->name);
    g_autofree char *batches = text_count(sink->waiting.batches, "batch waits", "batches wait");
    g_autofree char *wait = text_span(sink->next_s);
    return g_strdup_printf("%s: %s, %s%s%s%s%s", sink->name, batches, bytes, sink->problem ? "; " : "",
                           sink->problem ? sink->problem : "", sink->next_s > 0 ? "; next attempt in " : "",
                           sink->next_s > 0 ? wait : "");
}

static void print_progress(Progress *progress)
{
    fprintf(stderr, progress->terminal ? "\r\033[K%s" : "%s\n", progress->line);
    progress->shown = true;
    progress->shown_us = g_get_monotonic_time();
}

/* How it ended, which is said whenever it was. */
static void end_progress(Progress *progress)
{
    if (progress->line && !progress->shown)
        print_progress(progress);
    if (progress->line && progress->terminal)
        fputc('\n', stderr);
    g_clear_pointer(&progress->line, g_free);
}

/* On a terminal one line that is written over; else a line now and then. */
static void show_progress(const ForwarderSink *sinks, guint n_sinks, void *data)
{
    Progress *progress = data;
    g_autoptr(GString) line = g_string_new(NULL);
    for (guint i = 0; i < n_sinks; i++) {
        g_autofree char *text = describe(&sinks[i]);
        g_string_append_printf(line, "%s%s", i ? " | " : "", text);
    }
    if (!progress->line || strcmp(progress->line, line->str) != 0)
        progress->shown = false;
    g_free(progress->line);
    progress->line = g_strdup(line->str);
    bool due =
        progress->shown_us == 0 || g_get_monotonic_time() - progress->shown_us >= QUIET_PROGRESS_S * G_USEC_PER_SEC;
    if (progress->terminal || due)
        print_progress(progress);
}

/* --- running --- */

static bool is_late(const Forward *forward)
{
    return forward->until_us && g_get_monotonic_time() >= forward->until_us;
}

static bool is_stopped(const Forward *forward)
{
    struct signalfd_siginfo info;
    return read(forward->stop_fd, &info, sizeof info) == (ssize_t)sizeof info || is_late(forward);
}

/* The spool's lock. -1 and no error: another forwarder has it; a flush waits for that one to end. */
static int take_lock(const Forward *forward, GError **error)
{
    g_autoptr(GError) reason = NULL;
    int lock;
    bool told = false;
    while ((lock = spool_lock(forward->spool, &reason)) < 0 && !reason && forward->arguments.flush &&
           !is_stopped(forward)) {
        if (!told)
            fprintf(stderr, "another forwarder is at work; waiting for it\n");
        told = true;
        g_usleep(POLL_US);
    }
    if (reason)
        g_propagate_error(error, g_steal_pointer(&reason));
    return lock;
}

/* What a flush will not send. */
static bool announce_flush(const Forward *forward, GError **error)
{
    g_autofree char *strange = status_strange(forward->spool, forward->sinks, error);
    if (!strange)
        return false;
    if (forward->sinks->len == 0)
        puts("No sink is configured: nothing is sent.");
    fputs(strange, stderr);
    return true;
}

/* Once more for what was added at the last moment, while others were told that a forwarder is at work. */
static int run(const Forward *forward, GError **error)
{
    if (forward->arguments.flush && !announce_flush(forward, error))
        return EXIT_FAILED;
    Progress progress = {.terminal = isatty(STDERR_FILENO)};
    const Arguments *arguments = &forward->arguments;
    const ForwarderOptions options = {
        .linger_ms = arguments->once ? 0 : (gint64)(1000 * config_seconds(forward->config, CONFIG_forward_linger)),
        .flush = arguments->flush,
        .until_us = forward->until_us,
        .stop_fd = forward->stop_fd,
        .progress = arguments->flush && forward->sinks->len > 0 ? show_progress : NULL,
        .progress_data = &progress,
    };
    bool all_sent = false;
    for (guint round = 0; round < ROUNDS_MAX; round++) {
        int lock = take_lock(forward, error);
        if (lock < 0) {
            if (arguments->flush && !*error)
                fputs("gave up: the other forwarder is still at work\n", stderr);
            end_progress(&progress);
            return *error || arguments->flush ? EXIT_FAILED : EXIT_DONE;
        }
        g_autoptr(Forwarder) forwarder = forwarder_new(forward->spool, forward->sinks);
        all_sent = forwarder_run(forwarder, &options);
        close(lock);
        if (is_stopped(forward) || !forwarder_has_work(forwarder))
            break;
    }
    end_progress(&progress);
    if (!all_sent && arguments->flush && is_late(forward))
        fprintf(stderr, "gave up after %d s (--timeout)\n", arguments->timeout);
    return all_sent || !arguments->flush ? EXIT_DONE : EXIT_FAILED;
}

static int tell(const Forward *forward, GError **error)
{
    const Arguments *arguments = &forward->arguments;
    StatusSum sum = {0};
    gint64 now_ns = g_get_real_time() * 1000;
    g_autofree char *text = arguments->dry_run ? status_dry_run(forward->spool, forward->sinks, error)
                            : arguments->json  ? status_json(forward->spool, forward->sinks, now_ns, &sum, error)
                                               : status_text(forward->spool, forward->sinks, now_ns, &sum, error);
    if (!text)
        return EXIT_FAILED;
    fputs(text, stdout);
    return sum.trouble ? EXIT_TROUBLE : EXIT_DONE;
}

static void print_check(const SinkCheck *check, void *data)
{
    guint *failed = data;
    g_autofree char *line = check_describe(check);
    puts(line);
    *failed += !check->takes;
}

static int check(const Forward *forward)
{
    guint failed = 0;
    check_sinks(forward->sinks, 0, print_check, &failed);
    if (forward->sinks->len == 0)
        puts("No sink is configured: there is nothing to check.");
    return failed ? EXIT_TROUBLE : EXIT_DONE;
}

static int work(Forward *forward, GError **error)
{
    const Arguments *arguments = &forward->arguments;
    if (arguments->check)
        return check(forward);
    if (!open_spool(forward, error))
        return EXIT_FAILED;
    if (!forward->spool && (arguments->status || arguments->dry_run || arguments->flush)) {
        g_autofree char *text = describe_missing(forward);
        fputs(text, arguments->json ? stderr : stdout);
    }
    if (arguments->status || arguments->dry_run)
        return tell(forward, error);
    if (!forward->spool)
        return EXIT_DONE;
    if (arguments->timeout)
        forward->until_us = g_get_monotonic_time() + (gint64)arguments->timeout * G_USEC_PER_SEC;
    return run(forward, error);
}

/* To be asked to end is no reason to leave a ledger unsaved. A request that is on its way is given up, and sent again
 * by the next forwarder. */
static int watch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int start(Forward *forward, int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    log_init("forward", LOG_TO_STDERR, LOG_LEVEL_INFO);
    if (!parse_arguments(&forward->arguments, &argc, &argv, &error)) {
        log_error("%s", error->message);
        return EXIT_USAGE;
    }
    const Arguments *arguments = &forward->arguments;
    LogTarget targets = LOG_TO_SYSLOG | (arguments->flush || isatty(STDERR_FILENO) ? LOG_TO_STDERR : 0);
    if (only_tells(arguments))
        targets = LOG_TO_STDERR;
    bool loaded = load_config(forward, &error);
    log_init("forward", targets, (LogLevel)config_integer(forward->config, CONFIG_log_level));
    int status = loaded ? work(forward, &error) : EXIT_USAGE;
    if (!error)
        return status;
    log_init("forward", targets | LOG_TO_STDERR,
             LOG_LEVEL_ERROR); /* whoever called it by hand, or from cron, sees it */
    log_error("%s", error->message);
    return status;
}

int main(int argc, char **argv)
{
    program_begin();
    mallopt(M_ARENA_MAX, 1);
    umask(077);
    Forward forward = {.config = config_new(), .stop_fd = watch_signals()};
    int status = start(&forward, argc, argv);
    if (forward.spool)
        spool_close(forward.spool);
    if (forward.sinks)
        g_ptr_array_unref(forward.sinks);
    close(forward.stop_fd);
    config_free(forward.config);
    g_free(forward.spool_dir);
    g_free(forward.arguments.config_path);
    g_free(forward.arguments.linger);
    return status;
}
