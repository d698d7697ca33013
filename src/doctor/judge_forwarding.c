/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/judges.h"
#include "base/text.h"

#include <string.h>
#include <sys/stat.h>

#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)
#define FREE_ERROR (16 * 1024 * 1024) /* bytes of the disk */
#define FREE_WARNING (512 * 1024 * 1024)
#define WAITING_LONG_S 600 /* with no failure: then nobody sends */
#define DOWN_LONG_S 3600   /* a sink that fails for longer is an error */
#define NEARLY_FULL 80     /* percent of a queue */

/* --- the spool --- */

Finding *judge_spool(const SpoolFacts *facts)
{
    g_autofree char *word = finding_shell_word(facts->path), *parent = g_path_get_dirname(facts->path);
    g_autofree char *own = g_strdup_printf("sudo chown -R %s: %s && sudo chmod 700 %s", facts->user, word, word);
    g_autofree char *look = g_strdup_printf("df -h %s", parent);
    g_autofree char *free = text_bytes(facts->free_bytes), *wanted = text_bytes(facts->wanted_bytes);
    if (facts->exists && !facts->is_dir)
        return finding_new(VERDICT_ERROR, own, "%s is no directory of its own: nothing is queued", facts->path);
    if (facts->exists && (facts->owner != facts->user_id || facts->mode & 077))
        return finding_new(VERDICT_ERROR, own,
                           "%s belongs to user %u, with mode %04o: it has to be %s's alone (0700), nothing is queued",
                           facts->path, (guint)facts->owner, (guint)(facts->mode & 07777), facts->user);
    if (facts->disk_bytes && facts->free_bytes < FREE_ERROR)
        return finding_new(VERDICT_ERROR, look, "the disk of %s is full: %s are free", facts->path, free);
    if (facts->disk_bytes && facts->free_bytes < FREE_WARNING && facts->free_bytes < facts->wanted_bytes)
        return finding_new(VERDICT_WARNING, look, "%s are free on the disk of %s; the queues may take %s (max_size)",
                           free, facts->path, wanted);
    return finding_ok("%s%s; %s are free there", facts->path, facts->exists ? "" : " is made with the first batch",
                      free);
}

Finding *judge_shared_spool(const char *hooks_spool, const char *telemetryd_spool, const char *telemetryd_conf)
{
    if (strcmp(hooks_spool, telemetryd_spool) != 0)
        return NULL;
    g_autofree char *mend = g_strdup_printf(
        "# in %s: [spool] dir = /var/lib/one-telemetry/spool; then\nsudo systemctl restart one-telemetryd",
        telemetryd_conf);
    return finding_new(VERDICT_WARNING, mend,
                       "hooks and telemetryd share %s: while the forwarder of one is at work, the other's queue waits",
                       hooks_spool);
}

Finding *judge_resend(const ResendFacts *facts)
{
    if (!facts->has_sinks)
        return finding_ok("hooks have no sink, so nothing of theirs waits");
    if (facts->timer_active || facts->cron)
        return finding_ok("%s starts a forwarder", facts->timer_active ? RESEND_TIMER : "cron");
    g_autofree char *cron =
        g_strdup_printf("sudo crontab -u %s -e    # */2 * * * * %s --once", facts->user, facts->forwarder);
    return finding_new(
        VERDICT_WARNING,
        facts->has_systemd ? "sudo systemctl enable --now " RESEND_TIMER "    # install.sh brings it" : cron,
        "neither a timer nor cron starts a forwarder: an event that a sink was down for waits for the next one");
}

/* "1: FLOCK  ADVISORY  WRITE 1234 08:01:131090 0 EOF" */
static bool read_lock(const char *line, guint64 inode, gint64 *ret_pid)
{
    g_auto(GStrv) words = g_strsplit_set(line, " \t", -1);
    const char *fields[6] = {NULL};
    guint n = 0;
    for (char **word = words; *word && n < G_N_ELEMENTS(fields); word++)
        if (**word)
            fields[n++] = *word;
    if (n < G_N_ELEMENTS(fields) || strcmp(fields[1], "FLOCK") != 0)
        return false;
    const char *number = strrchr(fields[5], ':');
    guint64 found;
    if (!number || !text_read_u64(number + 1, &found) || found != inode)
        return false;
    *ret_pid = g_ascii_strtoll(fields[4], NULL, 10);
    return *ret_pid > 0;
}

gint64 judge_lock_holder(const char *locks, guint64 inode)
{
    gint64 pid = 0;
    g_auto(GStrv) lines = g_strsplit(locks, "\n", -1);
    for (char **line = lines; *line && pid == 0; line++)
        if (!read_lock(*line, inode, &pid))
            pid = 0;
    return pid;
}

/* --- queues --- */

static Finding *judge_trouble(const QueueFacts *facts, const char *queue)
{
    const Ledger *ledger = facts->ledger;
    gint64 since_ns = ledger->last_success_ns ? ledger->last_success_ns : ledger->trouble_since_ns;
    gint64 down_s = since_ns ? (facts->now_ns - since_ns) / NS_PER_SECOND : 0;
    bool denied = ledger->trouble == LEDGER_TROUBLE_DENIED;
    g_autofree char *down = text_span(down_s);
    g_autofree char *failures = text_count(ledger->failures, "attempt", "attempts");
    g_autofree char *mend = g_strdup_printf("# %s\n%s",
                                            denied ? "mend what it says, in [sink] of telemetry.conf or at "
                                                     "the sink; then"
                                                   : "when the sink is back, all that waits is sent; at once:",
                                            facts->flush);
    return finding_new(denied || down_s > DOWN_LONG_S ? VERDICT_ERROR : VERDICT_WARNING, mend,
                       "%s: %s failed in a row, nothing stored for %s: %s; %s", facts->sink->name, failures, down,
                       *ledger->last_error ? ledger->last_error : "no reason is known", queue);
}

Finding *judge_queue(const QueueFacts *facts)
{
    const Ledger *ledger = facts->ledger;
    const SpoolWaiting *waiting = facts->waiting;
    const SpoolLimits *limits = &facts->sink->limits;
    gint64 age_s = waiting->oldest_ns ? (facts->now_ns - waiting->oldest_ns) / NS_PER_SECOND : 0;
    g_autofree char *batches = text_count(waiting->count.batches, "batch", "batches");
    g_autofree char *bytes = text_bytes(waiting->count.bytes), *age = text_span(age_s);
    g_autofree char *queue = waiting->count.batches
                                 ? g_strdup_printf("%s wait, %s, the oldest %s old", batches, bytes, age)
                                 : g_strdup("nothing waits");
    if (ledger->failures > 0)
        return judge_trouble(facts, queue);
    if (age_s > WAITING_LONG_S)
        return finding_new(VERDICT_ERROR, facts->flush, "%s: %s, and nobody sends it: is there a forwarder?",
                           facts->sink->name, queue);
    if (limits->max_bytes && waiting->count.bytes > limits->max_bytes / 100 * NEARLY_FULL)
        return finding_new(VERDICT_WARNING, facts->flush,
                           "%s: %s: its queue is nearly full, then the oldest is dropped", facts->sink->name, queue);
    g_autofree char *lost = ledger->dropped_batches || ledger->rejected_lines
                                ? g_strdup_printf("; since the queue was made %" G_GUINT64_FORMAT
                                                  " batches were dropped, %" G_GUINT64_FORMAT " lines refused",
                                                  ledger->dropped_batches, ledger->rejected_lines)
                                : g_strdup("");
    return finding_ok("%s: %s, %" G_GUINT64_FORMAT " lines sent%s", facts->sink->name, queue, ledger->sent_lines, lost);
}

/* --- a sink that was asked --- */

/* What to look at, by the answer. */
static char *mend_of(const SinkSettings *sink, const SinkReply *reply)
{
    g_autofree char *url = finding_shell_word(sink->url);
    if (reply->transport == TRANSPORT_TLS)
        return g_strdup_printf("curl -v %s    # what its certificate is; ca_file in [sink %s]", url, sink->name);
    if (reply->transport != TRANSPORT_DONE)
        return g_strdup_printf("curl -v %s    # does it run, does a firewall let us? url in [sink %s]", url,
                               sink->name);
    if (reply->status == 401 || reply->status == 403)
        return g_strdup_printf("# token_file, or user and password_file, of [sink %s]; may that user write there?",
                               sink->name);
    return g_strdup_printf("# url, database or bucket of [sink %s]: is it there?", sink->name);
}

Finding *judge_sink(const SinkCheck *check)
{
    const SinkSettings *sink = check->settings;
    const char *type = sink_type_name(sink->type);
    if (check->problem)
        return finding_new(VERDICT_ERROR, "one-telemetry doctor --check secrets", "%s", check->problem);
    if (!check->reply)
        return finding_new(VERDICT_ERROR, "# does it hang? see its log", "%s: %s has not answered within %.1f s",
                           sink->name, sink->url, (double)check->ms / 1000);
    if (check->takes)
        return finding_ok("%s: %s at %s takes what we send, answers in %" G_GINT64_FORMAT " ms", sink->name, type,
                          sink->url, check->ms);
    g_autofree char *mend = mend_of(sink, check->reply);
    const bool denied = check->answer->kind == ANSWER_DENIED;
    return finding_new(!denied && check->reply->transport == TRANSPORT_DONE ? VERDICT_WARNING : VERDICT_ERROR, mend,
                       "%s: %s at %s%s: %s", sink->name, type, sink->url, denied ? " refuses us" : "",
                       check->answer->message);
}
