/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's side, on the front-end: its hooks, its hosts. */
#include "base/file.h"
#include "doctor/checks.h"
#include "doctor/judge_cloud.h"
#include "doctor/command.h"
#include "doctor/opennebula_conf.h"

#include <stdlib.h>
#include <string.h>

#define COMMAND_MS 20000 /* one of OpenNebula's, which ask its server */
#define SHOW_MS 10000
#define SSH_MS 9000 /* the connection may take 5 s of it */
#define VERSION_MS 5000
#define SHOWN_SIDE_BY_SIDE 4 /* each is a Ruby */
#define HOSTS_SIDE_BY_SIDE 16
#define ANSWER_MAX 4096
#define ENDING ".tmpl"

static char *sudo_of(const Facts *facts)
{
    return g_strdup_printf("sudo -u %s", facts->options->user);
}

/* One of OpenNebula's commands, for its output; NULL: it was reported why there is none. */
static GString *ask_opennebula(const Facts *facts, const char *const *words, Report *to)
{
    const Command command = {words, NULL, NULL, facts_limit_ms(facts, COMMAND_MS), POOL_MAX};
    g_autofree char *typed = command_text(words), *as_user = facts_as_user(facts, typed);
    report_doing(to, as_user, "%s does not answer", typed);
    g_autoptr(CommandResult) result = command_run(&command);
    if (command_succeeded(result))
        return g_string_new_len(result->out->str, (gssize)result->out->len);
    g_autofree char *problem = command_problem(&command, result);
    g_autofree char *mend = g_strdup_printf("%s\nsystemctl status opennebula", as_user);
    report(to, finding_new(VERDICT_ERROR, mend, "%s: %s", typed, problem));
    return NULL;
}

static void report_unreadable(const char *what, const GError *error, Report *to)
{
    report(to, finding_new(VERDICT_ERROR, what, "what `%s` prints can't be read: %s", what, error->message));
}

/* --- the templates that are installed --- */

/* Beside this program, and where packages put them. NULL: nowhere. Owned by the caller. */
static char *find_templates(void)
{
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *bin = program ? g_path_get_dirname(program) : g_strdup("/usr/local/bin");
    g_autofree char *beside = g_build_filename(bin, "..", "share", "one-telemetry", "hooks", NULL);
    const char *places[] = {beside, "/usr/local/share/one-telemetry/hooks", "/usr/share/one-telemetry/hooks"};
    for (guint i = 0; i < G_N_ELEMENTS(places); i++)
        if (g_file_test(places[i], G_FILE_TEST_IS_DIR))
            return realpath(places[i], NULL);
    return NULL;
}

static HookTemplate *read_template(const char *path)
{
    gsize length;
    g_autofree char *content = NULL;
    if (!file_read(path, OPENNEBULA_CONF_MAX, &content, &length, NULL))
        return NULL;
    g_autofree char *name = opennebula_conf_text(content, length, "NAME");
    if (!name)
        return NULL;
    HookTemplate *template = g_new(HookTemplate, 1);
    *template =
        (HookTemplate){g_steal_pointer(&name), opennebula_conf_text(content, length, "COMMAND"), g_strdup(path)};
    return template;
}

static gint compare_templates(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const HookTemplate *const *)a)->path, (*(const HookTemplate *const *)b)->path);
}

/* What install.sh has registered, which needs no templates on this machine: lines of its list, with a tab behind their
 * kind. */
static void read_installed(const Facts *facts, GPtrArray *templates)
{
    gsize length;
    g_autofree char *path = g_build_filename(facts->tree, "..", "one-telemetry", "installed", NULL), *content = NULL;
    if (!file_read(path, OPENNEBULA_CONF_MAX, &content, &length, NULL))
        return;
    g_auto(GStrv) lines = g_strsplit(content, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (!g_str_has_prefix(*line, "hook\t" HOOK_PREFIX))
            continue;
        HookTemplate *template = g_new0(HookTemplate, 1);
        template->name = g_strdup(*line + strlen("hook\t"));
        g_ptr_array_add(templates, template);
    }
}

static GPtrArray *read_templates(const Facts *facts)
{
    GPtrArray *templates = g_ptr_array_new_with_free_func((GDestroyNotify)hook_template_free);
    g_autofree char *directory = find_templates();
    g_autoptr(GDir) dir = directory ? g_dir_open(directory, 0, NULL) : NULL;
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        HookTemplate *template = g_str_has_suffix(name, ENDING) ? read_template(path) : NULL;
        if (template)
            g_ptr_array_add(templates, template);
    }
    g_ptr_array_sort(templates, compare_templates);
    if (templates->len == 0)
        read_installed(facts, templates);
    return templates;
}

/* --- hooks --- */

/* The programs that they call, which stand below the tree's hooks. */
static void check_programs(const Facts *facts, const GPtrArray *hooks, Report *to)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < hooks->len; i++) {
        const Hook *hook = g_ptr_array_index(hooks, i);
        if (!g_str_has_prefix(hook->name, HOOK_PREFIX) || !g_hash_table_add(seen, hook->command))
            continue;
        g_autofree char *path = *hook->command == '/' ? g_strdup(hook->command)
                                                      : g_build_filename(facts->tree, "hooks", hook->command, NULL);
        g_autofree char *word = finding_shell_word(path), *mode = g_strdup_printf("sudo chmod 755 %s", word);
        if (!g_file_test(path, G_FILE_TEST_IS_REGULAR))
            report(to,
                   finding_new(VERDICT_ERROR,
                               "# install one-telemetry again: install.sh, which a package calls one-telemetry-install",
                               "the hooks call %s, which is not there", path));
        else if (!g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
            report(to, finding_new(VERDICT_ERROR, mode, "the hooks call %s, which may not be executed", path));
    }
}

static void judge_shown(const Hook *hook, const Command *command, const CommandResult *result, const char *sudo,
                        Report *to)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *typed = command_text(command->words);
    if (!command_succeeded(result)) {
        g_autofree char *problem = command_problem(command, result);
        report(to, finding_new(VERDICT_WARNING, typed, "the runs of %s are not known: %s", hook->name, problem));
        return;
    }
    g_autoptr(GPtrArray) runs = pool_hook_runs(result->out->str, result->out->len, &error);
    if (!runs) {
        report_unreadable(typed, error, to);
        return;
    }
    Finding *finding = judge_hook_runs(hook, runs, g_get_real_time() / G_USEC_PER_SEC, sudo);
    if (finding)
        report(to, finding);
}

static void check_runs(const Facts *facts, const GPtrArray *hooks, const char *sudo, Report *to)
{
    g_autoptr(GPtrArray) ours = g_ptr_array_new();
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < hooks->len; i++) {
        Hook *hook = g_ptr_array_index(hooks, i);
        if (!g_str_has_prefix(hook->name, HOOK_PREFIX))
            continue;
        g_ptr_array_add(ours, hook);
        g_ptr_array_add(ids, g_strdup_printf("%" G_GUINT64_FORMAT, hook->id));
    }
    typedef const char *Words[5];
    g_autofree Words *words = g_new0(Words, MAX(ours->len, 1));
    g_autofree Command *commands = g_new0(Command, MAX(ours->len, 1));
    for (guint i = 0; i < ours->len; i++) {
        const char *const line[] = {"onehook", "show", "-x", g_ptr_array_index(ids, i), NULL};
        memcpy(words[i], line, sizeof line);
        commands[i] = (Command){words[i], NULL, NULL, facts_limit_ms(facts, SHOW_MS), POOL_MAX};
    }
    report_doing(to, "systemctl status opennebula", "onehook show does not answer");
    g_autoptr(GPtrArray) results = command_run_all(commands, ours->len, SHOWN_SIDE_BY_SIDE);
    for (guint i = 0; i < ours->len; i++)
        judge_shown(g_ptr_array_index(ours, i), &commands[i], g_ptr_array_index(results, i), sudo, to);
}

void examine_hooks(const Facts *facts, Report *to)
{
    static const char *const list[] = {"onehook", "list", "-x", NULL};
    g_autoptr(GError) error = NULL;
    g_autofree char *sudo = sudo_of(facts);
    GString *text = ask_opennebula(facts, list, to);
    if (!text)
        return;
    g_autoptr(GPtrArray) hooks = pool_hooks(text->str, text->len, &error), templates = read_templates(facts);
    g_string_free(text, TRUE);
    if (!hooks) {
        report_unreadable("onehook list -x", error, to);
        return;
    }
    report_all(to, judge_hooks(templates, hooks, sudo));
    check_programs(facts, hooks, to);
    check_runs(facts, hooks, sudo, to);
}

/* --- hosts --- */

/* Of the front-end's own copy; ours where that can't be run here. Owned by the caller. */
static char *installed_version(const Facts *facts)
{
    g_autofree char *probe = facts_probe(facts, "kvm");
    const char *words[] = {probe, "--version", NULL};
    const Command command = {words, NULL, NULL, facts_limit_ms(facts, VERSION_MS), ANSWER_MAX};
    g_autoptr(CommandResult) result = command_run(&command);
    const char *space = command_succeeded(result) ? strrchr(g_strchomp(result->out->str), ' ') : NULL;
    return g_strdup(space ? space + 1 : ONE_TELEMETRY_VERSION);
}

static bool is_kvm(const CloudHost *host)
{
    return strcmp(host->im_mad, "kvm") == 0 || strcmp(host->im_mad, "qemu") == 0;
}

/* Those that are asked come first; returns how many these are. */
static guint choose_hosts(const GPtrArray *all, GPtrArray *chosen)
{
    for (guint i = 0; i < all->len; i++) {
        CloudHost *host = g_ptr_array_index(all, i);
        if (is_kvm(host) && host_is_to_be_asked(host))
            g_ptr_array_add(chosen, host);
    }
    guint asked = chosen->len;
    for (guint i = 0; i < all->len; i++) {
        CloudHost *host = g_ptr_array_index(all, i);
        if (is_kvm(host) && !host_is_to_be_asked(host))
            g_ptr_array_add(chosen, host);
    }
    return asked;
}

typedef const char *SshWords[9];

static GPtrArray *ask_hosts(const Facts *facts, const GPtrArray *hosts, guint n, SshWords *words, Command *commands)
{
    g_autofree char *tree = facts_remote_dir(facts), *question = host_question(tree);
    for (guint i = 0; i < n; i++) {
        const CloudHost *host = g_ptr_array_index(hosts, i);
        const char *const line[] = {"ssh", "-o",       "BatchMode=yes", "-o", "ConnectTimeout=5",
                                    "--",  host->name, question,        NULL};
        memcpy(words[i], line, sizeof line);
        commands[i] = (Command){words[i], NULL, NULL, facts_limit_ms(facts, SSH_MS), ANSWER_MAX};
    }
    return command_run_all(commands, n, HOSTS_SIDE_BY_SIDE);
}

static void judge_answers(const GPtrArray *hosts, guint asked, const Command *commands, const GPtrArray *results,
                          HostFacts *facts, Report *to)
{
    for (guint i = 0; i < hosts->len; i++) {
        const CloudHost *host = g_ptr_array_index(hosts, i);
        const CommandResult *result = i < asked ? g_ptr_array_index(results, i) : NULL;
        g_autofree char *problem = result && !command_succeeded(result) ? command_problem(&commands[i], result) : NULL;
        facts->name = host->name;
        facts->state = host->state;
        facts->asked = result != NULL;
        facts->problem = problem;
        facts->answer = result ? result->out->str : "";
        facts->begin_ns = result ? result->begin_ns : 0;
        facts->end_ns = result ? result->end_ns : 0;
        report_all(to, judge_host(facts));
    }
}

void examine_hosts(const Facts *facts, Report *to)
{
    static const char *const list[] = {"onehost", "list", "-x", NULL};
    g_autoptr(GError) error = NULL;
    g_autofree char *sudo = sudo_of(facts), *version = installed_version(facts);
    GString *text = ask_opennebula(facts, list, to);
    if (!text)
        return;
    g_autoptr(GPtrArray) all = pool_hosts(text->str, text->len, &error), hosts = g_ptr_array_new();
    g_string_free(text, TRUE);
    if (!all) {
        report_unreadable("onehost list -x", error, to);
        return;
    }
    guint asked = choose_hosts(all, hosts);
    g_autofree SshWords *words = g_new0(SshWords, MAX(asked, 1));
    g_autofree Command *commands = g_new0(Command, MAX(asked, 1));
    g_autofree char *look = facts_as_user(facts, "onehost list");
    report_doing(to, look, "the hosts do not answer");
    g_autoptr(GPtrArray) results = ask_hosts(facts, hosts, asked, words, commands);
    g_autofree char *tree = facts_remote_dir(facts);
    HostFacts host = {.version = version, .sudo = sudo, .tree = tree};
    judge_answers(hosts, asked, commands, results, &host, to);
    if (hosts->len == 0)
        report(to, finding_ok("OpenNebula has no KVM host"));
}
