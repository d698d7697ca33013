/* SPDX-License-Identifier: Apache-2.0
 * What waits for the sinks, and whether they would take it. */
#include "base/file.h"
#include "deliver/answer_text.h"
#include "deliver/spool_place.h"
#include "deliver/status.h"
#include "doctor/checks.h"
#include "doctor/command.h"
#include "doctor/doctor.h"
#include "doctor/judges.h"
#include "doctor/systemd.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOCKS "/proc/locks"
#define LOCKS_MAX (16 * 1024 * 1024)
#define FRONT_END_FORWARDER "hooks/telemetry/forward"
#define ASK_MS 20000    /* for all sinks together */
#define STARTER_MS 5000 /* for systemctl, or crontab */
#define CRON_FILE "/etc/cron.d/one-telemetry"
#define CRONTAB_MAX 65536

/* --- the forwarder --- */

/* Owned by the caller. */
static char *forwarder_of(const Facts *facts, const ConfigFile *file)
{
    const char *set = config_text(file->config, CONFIG_forward_program);
    return *set ? g_strdup(set) : facts_in_tree(facts, FRONT_END_FORWARDER);
}

static char *flush_command(const Facts *facts, const ConfigFile *file)
{
    g_autofree char *program = forwarder_of(facts, file);
    const char *words[] = {program, "--config", file->exists ? file->path : NULL, NULL};
    g_autofree char *typed =
        g_strjoin(" ", words[0], file->exists ? words[1] : "", file->exists ? words[2] : "", "--flush", NULL);
    return facts_as_user(facts, typed);
}

static void check_forwarder(const Facts *facts, const ConfigFile *file, Report *to)
{
    g_autofree char *program = forwarder_of(facts, file), *sync = facts_sync(facts);
    g_autofree char *mode = judge_mend_file(facts->place, facts->tree, facts->options->user, "chmod 755", program);
    if (!g_file_test(program, G_FILE_TEST_IS_REGULAR))
        report(to, finding_new(
                       VERDICT_ERROR,
                       facts->place == PLACE_HOST
                           ? sync
                           : "# install one-telemetry again: install.sh, which a package calls one-telemetry-install",
                       "there is no forwarder %s: what is queued is not sent", program));
    else if (!g_file_test(program, G_FILE_TEST_IS_EXECUTABLE))
        report(to, finding_new(VERDICT_ERROR, mode, "the forwarder %s may not be executed: what is queued is not sent",
                               program));
}

static void check_lock(const char *spool, Report *to)
{
    struct stat status;
    gsize length;
    g_autofree char *path = g_build_filename(spool, "lock", NULL), *locks = NULL;
    if (stat(path, &status) != 0 || !file_read(LOCKS, LOCKS_MAX, &locks, &length, NULL))
        return;
    gint64 pid = judge_lock_holder(locks, status.st_ino);
    if (pid == 0)
        return;
    g_autofree char *name = g_strdup_printf("/proc/%" G_GINT64_FORMAT "/comm", pid), *command = NULL;
    g_autofree char *look = g_strdup_printf("ps -fp %" G_GINT64_FORMAT, pid);
    if (file_read(name, LOCKS_MAX, &command, &length, NULL))
        g_strchomp(command);
    bool known = g_strcmp0(command, "forward") == 0;
    report(to, finding_new(known ? VERDICT_OK : VERDICT_WARNING, known ? NULL : look,
                           "%s is held by process %" G_GINT64_FORMAT " (%s)", path, pid,
                           command ? command : "name unknown"));
}

/* --- the spool --- */

static guint64 wanted_bytes(const GPtrArray *sinks)
{
    guint64 sum = 0;
    for (guint i = 0; i < sinks->len; i++)
        sum += ((const SinkSettings *)g_ptr_array_index(sinks, i))->limits.max_bytes;
    return sum;
}

/* The directory itself, or the nearest above it that is there. */
static void look_at_disk(const char *path, SpoolFacts *facts)
{
    struct statvfs disk;
    g_autofree char *at = g_strdup(path);
    while (statvfs(at, &disk) != 0) {
        if (strcmp(at, "/") == 0 || strcmp(at, ".") == 0)
            return;
        char *above = g_path_get_dirname(at);
        g_free(at);
        at = above;
    }
    facts->free_bytes = (guint64)disk.f_bavail * disk.f_frsize;
    facts->disk_bytes = (guint64)disk.f_blocks * disk.f_frsize;
}

static void check_spool_of(const Facts *facts, const ConfigFile *file, Report *to)
{
    struct stat status;
    const char *user = facts->options->user;
    uid_t user_id = doctor_user_id(user);
    g_autofree char *path = facts_spool_dir(file);
    SpoolFacts spool = {.path = path,
                        .user = user,
                        .user_id = user_id == NO_USER ? geteuid() : user_id,
                        .wanted_bytes = wanted_bytes(file->sinks)};
    if (lstat(path, &status) == 0) {
        spool.exists = true;
        spool.is_dir = S_ISDIR(status.st_mode);
        spool.owner = status.st_uid;
        spool.mode = status.st_mode;
    }
    look_at_disk(path, &spool);
    report(to, judge_spool(&spool));
    check_forwarder(facts, file, to);
    if (spool.exists)
        check_lock(path, to);
}

/* Of both files those that name sinks. */
static bool has_sinks(const ConfigFile *file)
{
    return file->sinks && file->sinks->len > 0;
}

static void each_with_sinks(const Facts *facts, Report *to,
                            void (*check)(const Facts *facts, const ConfigFile *file, Report *to))
{
    ConfigFiles files = facts_files(facts);
    guint found = 0;
    for (const ConfigFile *const *file = files.file; *file; file++) {
        if (!(*file)->sinks)
            report(to, finding_new(VERDICT_NOT_CHECKED, NULL, "the sinks of %s, which has an error", (*file)->path));
        else if (has_sinks(*file))
            check(facts, *file, to);
        found += !(*file)->sinks || has_sinks(*file);
    }
    if (found == 0)
        report(to, finding_ok("no sink is configured: nothing is queued, nothing is sent"));
}

static void check_shared(const Facts *facts, Report *to)
{
    if (!facts->server.path || !has_sinks(&facts->probe) || !has_sinks(&facts->server))
        return;
    g_autofree char *hooks = facts_spool_dir(&facts->probe), *telemetryd = facts_spool_dir(&facts->server);
    Finding *finding = judge_shared_spool(hooks, telemetryd, facts->server.path);
    if (finding)
        report(to, finding);
}

void examine_spool(const Facts *facts, Report *to)
{
    each_with_sinks(facts, to, check_spool_of);
    check_shared(facts, to);
}

/* --- a forwarder for what hooks have queued --- */

/* In the system's own table, or in that of the user whom hooks run as. */
static bool cron_starts(const Facts *facts, const char *forwarder)
{
    g_autofree char *path = g_strconcat(facts->options->root, CRON_FILE, NULL), *table = NULL;
    if (g_file_get_contents(path, &table, NULL, NULL) && strstr(table, forwarder))
        return true;
    const char *words[] = {"crontab", "-l", NULL};
    const Command command = {words, NULL, NULL, facts_limit_ms(facts, STARTER_MS), CRONTAB_MAX};
    g_autoptr(CommandResult) result = command_run(&command);
    return command_succeeded(result) && strstr(result->out->str, forwarder);
}

void examine_resend(const Facts *facts, Report *to)
{
    g_autofree char *forwarder = facts_in_tree(facts, FRONT_END_FORWARDER);
    const bool has_systemd = systemd_runs();
    const ResendFacts resend = {
        .has_sinks = has_sinks(&facts->probe) || has_sinks(&facts->server),
        .has_systemd = has_systemd,
        .timer_active = has_systemd && systemd_says("is-active", RESEND_TIMER, facts_limit_ms(facts, STARTER_MS)),
        .cron = cron_starts(facts, forwarder),
        .forwarder = forwarder,
        .user = facts->options->user};
    report(to, judge_resend(&resend));
}

/* --- queues --- */

static void check_queue(Spool *spool, const SinkSettings *sink, const char *flush, const char *look, Report *to)
{
    g_autoptr(GError) error = NULL;
    Ledger ledger = {0};
    SpoolWaiting waiting = {0};
    bool damaged = false;
    if (spool && !spool_count(spool, sink->name, &waiting, &error)) {
        report(to, finding_new(VERDICT_ERROR, look, "%s: %s", sink->name, error->message));
        return;
    }
    if (spool)
        ledger_load(spool, sink->name, &ledger, &damaged);
    const QueueFacts queue = {sink, &ledger, &waiting, flush, g_get_real_time() * 1000};
    report(to, judge_queue(&queue));
    if (damaged)
        report(to, finding_new(VERDICT_WARNING, NULL, "%s: its counts were damaged and begin anew", sink->name));
}

/* A sink that was renamed or taken out, with something in its queue. */
static void check_strange(Spool *spool, const ConfigFile *file, Report *to)
{
    g_autofree char *text = status_strange(spool, file->sinks, NULL);
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (char **line = lines; *line; line++)
        if (**line)
            report(to,
                   finding_new(VERDICT_WARNING, "# give the [sink] its name back, or remove its directory in the spool",
                               "%s", *line));
}

static void check_queues_of(const Facts *facts, const ConfigFile *file, Report *to)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = facts_spool_dir(file), *flush = flush_command(facts, file);
    g_autoptr(Spool) spool = spool_open_existing(path, &error);
    if (error) {
        report(to, finding_new(VERDICT_NOT_CHECKED, NULL, "the queues: %s", error->message));
        return;
    }
    g_autofree char *word = finding_shell_word(path);
    g_autofree char *look = g_strdup_printf("sudo ls -la %s    # move aside what is no directory of %s's alone", word,
                                            facts->options->user);
    for (guint i = 0; i < file->sinks->len; i++)
        check_queue(spool, g_ptr_array_index(file->sinks, i), flush, look, to);
    if (spool)
        check_strange(spool, file, to);
}

void examine_queues(const Facts *facts, Report *to)
{
    each_with_sinks(facts, to, check_queues_of);
}

/* --- the sinks themselves --- */

static Finding *judge_skew_of(const SinkCheck *check)
{
    gint64 date_ms = check->reply ? answer_text_wait_ms(check->reply->date, 0) : 0; /* from 1970 on */
    gint64 middle_ms = check->begin_ms + check->ms / 2;
    /* It says full seconds, which have begun when it says so. */
    return date_ms > 0 ? judge_skew(check->settings->name, date_ms + 500 - middle_ms, 500 + check->ms / 2) : NULL;
}

static void report_sink(const SinkCheck *check, void *to)
{
    Finding *skew = judge_skew_of(check);
    report(to, judge_sink(check));
    if (skew)
        report(to, skew);
}

static void check_sinks_of(const Facts *facts, const ConfigFile *file, Report *to)
{
    check_sinks(file->sinks, facts_limit_ms(facts, ASK_MS), report_sink, to);
}

void examine_sinks(const Facts *facts, Report *to)
{
    each_with_sinks(facts, to, check_sinks_of);
}
