/* SPDX-License-Identifier: Apache-2.0
 * The endpoint: takes in samples, keeps the latest of every VM and a bounded history, answers in JSON. This file:
 * the order of things at start, reload and end. */
#include "base/file.h"
#include "base/log.h"
#include "base/program.h"
#include "gather/host.h"
#include "serve/loaded.h"
#include "serve/notify.h"
#include "serve/running.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TICK_US G_USEC_PER_SEC
#define DRAIN_MS 5000  /* that requests under way have at the end */
#define NOTE_TICKS 300 /* between two notes of who was seen when, for a restart */

typedef struct {
    Arguments arguments;
    Config *config;
    Settings *settings;
    Spooling *spooling; /* until the feed has it */
    Service service;
    Server *server;
    int lock_fd, signal_fd;
    Settings *served; /* what the server goes by, where it could not be told of `settings`; NULL: of those */
    GThread *ending;  /* waits for the end of a collector that a reload has replaced; NULL: none does */
    guint64 ticks;
} Daemon;

/* --- the state directory --- */

static bool make_state_dir(const Settings *settings, GError **error)
{
    if (settings->state_parent) {
        FILE_AUTO_CLOSE int parent = file_open_private_dir(settings->state_parent, error);
        if (parent < 0)
            return false;
    }
    FILE_AUTO_CLOSE int dir = file_open_private_dir(settings->state_dir, error);
    return dir >= 0;
}

/* One process for each state directory. */
static int lock_state_dir(const char *path, GError **error)
{
    FILE_AUTO_CLOSE int dir = file_open_private_dir(path, error);
    if (dir < 0)
        return -1;
    int fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    const int number = errno;
    if (fd >= 0)
        close(fd);
    g_set_error(error, G_FILE_ERROR, (gint)g_file_error_from_errno(number), "%s: %s", path,
                number == EWOULDBLOCK
                    ? "another telemetryd works here: stop it, or give this one a --state-dir of its own"
                    : g_strerror(number));
    return -1;
}

/* --- the collector --- */

static void on_sample(const char *uri, Sample *sample, const Sample *previous, gpointer feed)
{
    feed_sample(feed, uri, sample, previous);
}

static void on_failure(const char *uri, const GError *error, gpointer feed)
{
    (void)error; /* the collector has it in its status and has told the log */
    feed_failure(feed, uri);
}

static Collector *new_collector(const Daemon *daemon, const Settings *settings)
{
    CollectorOptions options = settings->collector;
    options.api = &libvirt_api;
    options.take = on_sample;
    options.fail = on_failure;
    options.data = daemon->service.feed;
    return collector_new(&options);
}

static bool same_collector(const Settings *a, const Settings *b)
{
    const CollectorOptions *x = &a->collector, *y = &b->collector;
    g_autofree char *left = g_strjoinv(" ", a->uris), *right = g_strjoinv(" ", b->uris);
    return strcmp(left, right) == 0 && strcmp(a->host, b->host) == 0 && x->interval_ms == y->interval_ms &&
           x->monitor_ms == y->monitor_ms && x->libvirt_alone == y->libvirt_alone && x->slow_ms == y->slow_ms &&
           x->deadline_ms == y->deadline_ms && x->workers == y->workers;
}

static gpointer end_collector(gpointer collector)
{
    collector_free(collector);
    return NULL;
}

static void wait_for_ending(Daemon *daemon)
{
    if (daemon->ending)
        g_thread_join(daemon->ending);
    daemon->ending = NULL;
}

/* The old one may still be in a call to libvirt, which nobody waits for here. */
static void replace_collector(Daemon *daemon, const Settings *settings)
{
    Service *service = &daemon->service;
    Collector *collector = new_collector(daemon, settings);
    wait_for_ending(daemon);
    g_rw_lock_writer_lock(&service->lock);
    Collector *before = service->collector;
    service->collector = collector;
    if (collector_stop(before))
        collector_start(collector);
    g_rw_lock_writer_unlock(&service->lock);
    store_origins_anew(service->store);
    daemon->ending = g_thread_new("collector-end", end_collector, before);
}

/* --- start --- */

static void restore(Service *service)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) vms = history_load_vms(service->history, &error);
    g_autoptr(GPtrArray) events = vms ? history_load_events(service->history, STORE_EVENTS_MAX, &error) : NULL;
    for (guint i = 0; vms && i < vms->len; i++)
        store_restore(service->store, vm_record_ref(g_ptr_array_index(vms, i)), service_clock());
    for (guint i = 0; events && i < events->len; i++)
        store_restore_event(service->store, g_ptr_array_index(events, i));
    if (error)
        log_warning("which VMs there were is not known: %s", error->message);
    else if (vms && vms->len > 0)
        log_info("%u VMs are known from before", vms->len);
}

static bool open_history(Daemon *daemon, GError **error)
{
    const Settings *settings = daemon->settings;
    if (!settings->history_enabled)
        return true;
    daemon->service.history = history_open(settings->history_file, &settings->history, error);
    return daemon->service.history != NULL;
}

static bool start_service(Daemon *daemon, GError **error)
{
    Service *service = &daemon->service;
    const Settings *settings = daemon->settings;
    if (!make_state_dir(settings, error) || (daemon->lock_fd = lock_state_dir(settings->state_dir, error)) < 0 ||
        !open_history(daemon, error))
        return false;
    service->store = store_new(&settings->store);
    if (service->history)
        restore(service);
    service->stream = stream_new();
    service->feed = feed_new(service->store, service->history, service->stream);
    feed_set(service->feed, g_steal_pointer(&daemon->spooling), &settings->answers);
    service->collector = new_collector(daemon, settings);
    service->state_dir = g_strdup(settings->state_dir);
    service->max_body_plain = settings->max_body_plain;
    service->started_ns = host_realtime_ns();
    daemon->server = server_start(service, &settings->server, error);
    if (!daemon->server)
        return false;
    if (running_load(settings->state_dir, settings->collector_enabled))
        collector_start(service->collector);
    return true;
}

/* --- reload --- */

static void restart_server(Daemon *daemon, const Settings *settings)
{
    g_autoptr(GError) error = NULL;
    Settings *served = daemon->served ? daemon->served : daemon->settings;
    if (settings_same_server(served, settings)) {
        settings_free(g_steal_pointer(&daemon->served));
        return;
    }
    server_stop(daemon->server, DRAIN_MS);
    daemon->server = server_start(&daemon->service, &settings->server, &error);
    if (daemon->server) {
        settings_free(g_steal_pointer(&daemon->served));
        return;
    }
    daemon->served = served;
    log_error("%s; it goes on as before", error->message);
    g_clear_error(&error);
    daemon->server = server_start(&daemon->service, &served->server, &error);
    if (!daemon->server)
        log_error("nor can it go on as before: %s", error->message);
}

static void tell_of_what_waits(const Settings *before, const Settings *after)
{
    if (strcmp(before->state_dir, after->state_dir) != 0 || strcmp(before->history_file, after->history_file) != 0 ||
        before->history_enabled != after->history_enabled)
        log_warning("state_dir, and enabled and file of [history], take effect at the next start");
}

static void apply(Daemon *daemon, Loaded *loaded)
{
    Service *service = &daemon->service;
    Settings *before = daemon->settings, *after = g_steal_pointer(&loaded->settings);
    tell_of_what_waits(before, after);
    store_set_options(service->store, &after->store);
    if (service->history)
        history_set_options(service->history, &after->history);
    feed_set(service->feed, g_steal_pointer(&loaded->spooling), &after->answers);
    if (!same_collector(before, after))
        replace_collector(daemon, after);
    restart_server(daemon, after);
    g_rw_lock_writer_lock(&service->lock);
    Config *config = daemon->config;
    char *config_file = service->config_file;
    service->config = daemon->config = g_steal_pointer(&loaded->config);
    service->config_file = g_steal_pointer(&loaded->config_file);
    service->max_body_plain = after->max_body_plain;
    g_rw_lock_writer_unlock(&service->lock);
    daemon->settings = after;
    if (before != daemon->served)
        settings_free(before);
    config_free(config);
    g_free(config_file);
    log_info("the configuration was read again and is in effect%s",
             daemon->served ? ", but for the server's: see above" : "");
}

/* The one before stays where the new one is wrong. */
static void reload(Daemon *daemon)
{
    Loaded loaded = {0};
    g_autoptr(GError) error = NULL;
    notify_reloading();
    if (loaded_read(&daemon->arguments, &loaded, &error)) {
        loaded_warn(&loaded);
        apply(daemon, &loaded);
    } else {
        log_error("the configuration is wrong, so the one before stays in effect: %s", error->message);
    }
    loaded_clear(&loaded);
    notify_send("READY=1");
}

/* --- the run --- */

static void note_vms(const Service *service)
{
    if (!service->history)
        return;
    g_autoptr(GArray) views = store_list(service->store, STORE_ALL, service_clock());
    g_autoptr(GPtrArray) records = g_ptr_array_new();
    for (guint i = 0; i < views->len; i++)
        g_ptr_array_add(records, (gpointer)(guintptr)g_array_index(views, VmView, i).record);
    history_note_vms(service->history, records);
}

static void tick(Daemon *daemon)
{
    feed_tick(daemon->service.feed);
    if (++daemon->ticks % NOTE_TICKS == 0)
        note_vms(&daemon->service);
    if (notify_watchdog_ms() > 0)
        notify_send("WATCHDOG=1");
}

/* The signal that came, or 0 when it is time for a tick. */
static int wait_for_signal(const Daemon *daemon, gint64 until_us)
{
    struct pollfd ready = {.fd = daemon->signal_fd, .events = POLLIN};
    const gint64 wait_us = until_us - g_get_monotonic_time();
    struct signalfd_siginfo info;
    if (wait_us > 0 && poll(&ready, 1, (int)((wait_us + 999) / 1000)) <= 0)
        return 0;
    return read(daemon->signal_fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

static void run(Daemon *daemon)
{
    gint64 next_us = g_get_monotonic_time();
    for (;;) {
        const int number = wait_for_signal(daemon, next_us);
        if (number == SIGHUP)
            reload(daemon);
        else if (number != 0)
            return;
        if (!daemon->server)
            return;
        if (g_get_monotonic_time() >= next_us) {
            tick(daemon);
            next_us = MAX(next_us + TICK_US, g_get_monotonic_time());
        }
    }
}

/* A second signal ends the process at once. */
static void unblock_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void stop_service(Daemon *daemon)
{
    Service *service = &daemon->service;
    if (daemon->server)
        server_stop(daemon->server, DRAIN_MS);
    collector_free(service->collector);
    wait_for_ending(daemon);
    if (service->feed)
        feed_tick(service->feed); /* starts the forwarder for what was queued last */
    if (service->store)
        note_vms(service);
    feed_free(service->feed);
    stream_free(service->stream);
    store_free(service->store);
    history_close(service->history);
    if (daemon->lock_fd >= 0)
        close(daemon->lock_fd);
}

static int block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int serve(Daemon *daemon)
{
    g_autoptr(GError) error = NULL;
    daemon->signal_fd = block_signals();
    if (!start_service(daemon, &error)) {
        log_error("%s", error->message);
        stop_service(daemon);
        return EXIT_FAILED;
    }
    g_autofree char *status = g_strdup_printf("READY=1\nSTATUS=listens on %s port %u", daemon->settings->address,
                                              server_port(daemon->server));
    log_info("listens on %s port %u", daemon->settings->address, server_port(daemon->server));
    notify_send(status);
    run(daemon);
    const bool broken = daemon->server == NULL;
    notify_send("STOPPING=1");
    log_info("ends");
    unblock_signals();
    stop_service(daemon);
    return broken ? EXIT_FAILED : EXIT_DONE;
}

static int start(Daemon *daemon, int argc, char **argv)
{
    Loaded loaded = {0};
    g_autoptr(GError) error = NULL;
    log_init("telemetryd", LOG_TO_STDERR, LOG_LEVEL_INFO);
    if (!arguments_parse(&daemon->arguments, &argc, &argv, &error)) {
        log_error("%s", error->message);
        return EXIT_USAGE;
    }
    if (daemon->arguments.check_config)
        return loaded_check(&daemon->arguments);
    if (!loaded_read(&daemon->arguments, &loaded, &error)) {
        log_error("%s", error->message);
        loaded_clear(&loaded);
        return EXIT_USAGE;
    }
    int status = EXIT_DONE;
    if (daemon->arguments.dump_config) {
        g_autofree char *text = config_dump(loaded.config);
        printf("# In effect: state in %s\n\n%s", loaded.settings->state_dir, text);
    } else {
        LogTarget targets = g_getenv("JOURNAL_STREAM") ? LOG_TO_STDERR : LOG_TO_STDERR | LOG_TO_SYSLOG;
        log_init("telemetryd", targets, (LogLevel)config_integer(loaded.config, CONFIG_log_level));
        loaded_warn(&loaded);
        daemon->service.config = daemon->config = g_steal_pointer(&loaded.config);
        daemon->service.config_file = g_steal_pointer(&loaded.config_file);
        daemon->settings = g_steal_pointer(&loaded.settings);
        daemon->spooling = g_steal_pointer(&loaded.spooling);
        status = serve(daemon);
    }
    loaded_clear(&loaded);
    return status;
}

static void daemon_clear(Daemon *daemon)
{
    Arguments *arguments = &daemon->arguments;
    if (daemon->spooling)
        spooling_free(daemon->spooling);
    settings_free(daemon->settings);
    settings_free(daemon->served);
    config_free(daemon->config);
    g_rw_lock_clear(&daemon->service.lock);
    g_mutex_clear(&daemon->service.control_lock);
    char *texts[] = {arguments->config_path,   arguments->listen,  arguments->port,
                     arguments->state_dir,     arguments->program, daemon->service.config_file,
                     daemon->service.state_dir};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
}

int main(int argc, char **argv)
{
    program_begin();
    mallopt(M_ARENA_MAX, 4); /* one for each thread would hold on to what others could use */
    Daemon daemon = {.arguments.program = g_file_read_link("/proc/self/exe", NULL), .lock_fd = -1, .signal_fd = -1};
    g_rw_lock_init(&daemon.service.lock);
    g_mutex_init(&daemon.service.control_lock);
    int status = start(&daemon, argc, argv);
    daemon_clear(&daemon);
    return status;
}
