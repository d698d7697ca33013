/* SPDX-License-Identifier: Apache-2.0
 * The probe run as OpenNebula's agent runs it, but that it keeps and queues nothing. */
#include "base/file.h"
#include "base/text.h"
#include "doctor/checks.h"
#include "doctor/command.h"
#include "doctor/judges.h"
#include "encode/one_record.h"
#include "encode/one_size.h"
#include "gather/domstats.h"
#include "gather/host.h"
#include "gather/state.h"
#include "probe/probe_settings.h"

#include <string.h>
#include <sys/stat.h>

#define OUTPUT_MAX (64 * 1024 * 1024)
#define GRACE_MS 8000 /* over the probe's own deadline */
#define VERSION_MS 5000
#define STOCK_MS 20000 /* for one of OpenNebula's */
#define VERSION_MAX 4096

/* Its standard input, as far as a probe may look at it. */
static const char monitor_configuration[] =
    "<MONITOR_CONFIGURATION><PROBES_PERIOD><MONITOR_VM>30</MONITOR_VM></PROBES_PERIOD><HOST_ID>0</HOST_ID>"
    "</MONITOR_CONFIGURATION>";

/* Whom OpenNebula takes this host for: the last arguments of the probe, as the newest state file has them. */
typedef struct {
    char *id, *name;
} Identity;

static void identity_clear(Identity *identity)
{
    g_free(identity->id);
    g_free(identity->name);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Identity, identity_clear)

/* "state-12.domstats" */
static char *id_of(const char *name)
{
    static const char front[] = "state-", back[] = ".domstats";
    if (!g_str_has_prefix(name, front) || !g_str_has_suffix(name, back))
        return NULL;
    g_autofree char *id = g_strndup(name + strlen(front), strlen(name) - strlen(front) - strlen(back));
    return *id && id[strspn(id, "0123456789")] == '\0' ? g_steal_pointer(&id) : NULL;
}

/* NULL: it can't be read, or does not say. Owned by the caller. */
static char *host_of(const char *path)
{
    gsize length;
    g_autofree char *text = NULL;
    if (!file_read(path, STATE_FILE_MAX, &text, &length, NULL))
        return NULL;
    g_autoptr(GPtrArray) samples = domstats_read(text, length, NULL);
    return samples ? g_strdup(((const Sample *)g_ptr_array_index(samples, 0))->host) : NULL;
}

static Identity find_identity(const Facts *facts)
{
    Identity identity = {NULL, NULL};
    g_autofree char *directory = probe_settings_state_dir(facts->probe.config), *newest = NULL;
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    time_t time = 0;
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        struct stat status;
        g_autofree char *id = id_of(name), *path = g_build_filename(directory, name, NULL);
        if (!id || stat(path, &status) != 0 || status.st_mtime < time)
            continue;
        time = status.st_mtime;
        g_free(newest);
        newest = g_steal_pointer(&path);
        g_free(identity.id);
        identity.id = g_steal_pointer(&id);
    }
    identity.name = newest ? host_of(newest) : NULL;
    if (!identity.id)
        identity.id = g_strdup("0");
    if (!identity.name)
        identity.name = host_name();
    return identity;
}

static guint count_keys(const GPtrArray *records)
{
    guint keys = 0;
    for (guint i = 0; i < records->len; i++)
        keys += ((const OneRecord *)g_ptr_array_index(records, i))->keys->len;
    return keys;
}

static gsize message_of(const GString *text)
{
    return text->len ? one_message_size(text->str, text->len) + ONE_MESSAGE_HEADER : 0;
}

/* --- ours --- */

/* false: it is no use to go on. */
static bool judge_failure(const Facts *facts, const Command *command, const CommandResult *result, const char *typed,
                          Report *to)
{
    g_autofree char *sync = facts_sync(facts);
    g_autofree char *problem = command_problem(command, result);
    if (strstr(result->err->str, "Unknown option --dry-run"))
        report(to, finding_new(VERDICT_WARNING, sync, "the probe here is older than this program: it was not run"));
    else if (!command_succeeded(result))
        report(to, finding_new(VERDICT_ERROR, typed, "the probe failed: %s", problem));
    else
        return true;
    return false;
}

static void judge_output(const Facts *facts, const CommandResult *result, const char *typed, Report *to)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) records = one_records_read(result->out->str, result->out->len, &error);
    if (!records) {
        report(to, finding_new(VERDICT_ERROR, typed,
                               "what the probe prints is no record, which puts the host into "
                               "ERROR: %s",
                               error->message));
        return;
    }
    const RunFacts run = {.command = typed,
                          .seconds = (double)(result->end_us - result->begin_us) / G_USEC_PER_SEC,
                          .bytes = result->out->len,
                          .records = records->len,
                          .keys = count_keys(records),
                          .message = message_of(result->out),
                          .limit = (gsize)config_integer(facts->probe.config, CONFIG_probe_message_limit),
                          .deadline = config_seconds(facts->probe.config, CONFIG_probe_deadline),
                          .replace = config_integer(facts->probe.config, CONFIG_probe_mode) == MODE_REPLACE,
                          .complaints = result->err->str};
    report_all(to, judge_run(&run));
}

static void check_version(const Facts *facts, const char *probe, Report *to)
{
    const char *words[] = {probe, "--version", NULL};
    const Command command = {words, NULL, NULL, facts_limit_ms(facts, VERSION_MS), VERSION_MAX};
    g_autoptr(CommandResult) result = command_run(&command);
    const char *version = command_succeeded(result) ? strrchr(g_strchomp(result->out->str), ' ') : NULL;
    g_autofree char *sync = facts_sync(facts), *problem = command_problem(&command, result);
    if (!command_succeeded(result)) /* OpenNebula is told nothing of that, and gets nothing */
        report(to, finding_new(VERDICT_ERROR,
                               "# install.sh --build brings builds for other hosts; or install the libraries it needs",
                               "the probe does not run here: %s", problem));
    if (version && strcmp(version + 1, ONE_TELEMETRY_VERSION) != 0)
        report(to, finding_new(VERDICT_WARNING, sync, "the probe has version %s, this program " ONE_TELEMETRY_VERSION,
                               version + 1));
}

/* --- OpenNebula's own --- */

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All that are executed, in the order of their names. */
static GPtrArray *list_probes(const char *directory)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR) && g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
            g_ptr_array_add(names, g_steal_pointer(&path));
    }
    g_ptr_array_sort(names, compare_names);
    return names;
}

/* Another probe's part of the message. */
static bool run_stock(const Facts *facts, const char *path, const Identity *identity, const char *dir, GString *message,
                      Report *to)
{
    const char *words[] = {path, "kvm", identity->id, identity->name, NULL};
    const Command command = {words, monitor_configuration, dir, facts_limit_ms(facts, STOCK_MS), OUTPUT_MAX};
    g_autofree char *typed = command_text(words), *as_user = facts_as_user(facts, typed);
    report_doing(to, as_user, "%s does not end", path);
    g_autoptr(CommandResult) result = command_run(&command);
    g_string_append_len(message, result->out->str, (gssize)result->out->len);
    if (command_succeeded(result))
        return true;
    g_autofree char *problem = command_problem(&command, result);
    report(to, finding_new(VERDICT_ERROR, as_user, "%s failed, and with it all probes of its directory: %s", path,
                           problem));
    return false;
}

static void check_message(const Facts *facts, const char *probe, const Identity *identity, const GString *ours,
                          Report *to)
{
    g_autofree char *directory = g_path_get_dirname(probe), *dir = facts_in_tree(facts, "im/kvm.d");
    const char *work = g_file_test(dir, G_FILE_TEST_IS_DIR) ? dir : directory;
    g_autoptr(GPtrArray) probes = list_probes(directory);
    g_autoptr(GString) message = g_string_new(NULL);
    bool all_ran = true;
    g_autofree char *others = text_count(probes->len - 1, "other probe", "other probes");
    if (!facts->options->deep && probes->len > 1) {
        report(to, finding_new(VERDICT_NOT_CHECKED, "one-telemetry doctor --host --check run --deep",
                               "the message with the %s of the directory: that takes seconds to run", others));
        return;
    }
    for (guint i = 0; i < probes->len; i++) {
        const char *path = g_ptr_array_index(probes, i);
        if (strcmp(path, probe) == 0)
            g_string_append_len(message, ours->str, (gssize)ours->len);
        else
            all_ran &= run_stock(facts, path, identity, work, message, to);
    }
    report(to, judge_message(message_of(message), probes->len, all_ran));
}

void examine_run(const Facts *facts, Report *to)
{
    g_autofree char *probe = facts_probe(facts, "kvm"), *dir = facts_in_tree(facts, "im/kvm.d");
    g_auto(Identity) identity = find_identity(facts);
    const char *config = facts->options->config;
    const char *words[] = {probe,  "--dry-run", "kvm", identity.id, identity.name, config ? "--config" : NULL,
                           config, NULL};
    gint64 limit_ms = (gint64)(1000 * config_seconds(facts->probe.config, CONFIG_probe_deadline)) + GRACE_MS;
    const Command command = {words, monitor_configuration, g_file_test(dir, G_FILE_TEST_IS_DIR) ? dir : NULL,
                             facts_limit_ms(facts, limit_ms), OUTPUT_MAX};
    g_autofree char *typed = command_text(words), *as_user = facts_as_user(facts, typed);
    report_doing(to, as_user, "the probe %s does not end", probe);
    if (!g_file_test(probe, G_FILE_TEST_IS_EXECUTABLE)) {
        report(to, finding_new(VERDICT_NOT_CHECKED, NULL, "there is no probe %s to be run", probe));
        return;
    }
    g_autoptr(CommandResult) result = command_run(&command);
    if (!judge_failure(facts, &command, result, as_user, to))
        return;
    judge_output(facts, result, as_user, to);
    check_version(facts, probe, to);
    check_message(facts, probe, &identity, result->out, to);
}
