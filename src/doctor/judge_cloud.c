/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/judge_cloud.h"
#include "base/text.h"
#include "doctor/judges.h"

#include <string.h>

#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)
#define NS_PER_MS 1000000
#define RETRIES_MAX 5 /* commands that a line is followed by */
#define PROBE "/im/kvm-probes.d/vm/monitor/telemetry"
#define MISSING "no probe"

void hook_template_free(HookTemplate *template)
{
    g_free(template->name);
    g_free(template->command);
    g_free(template->path);
    g_free(template);
}

/* --- registrations --- */

/* Of Hook, borrowed. */
static GPtrArray *hooks_named(const GPtrArray *hooks, const char *name)
{
    GPtrArray *found = g_ptr_array_new();
    for (guint i = 0; i < hooks->len; i++)
        if (strcmp(((const Hook *)g_ptr_array_index(hooks, i))->name, name) == 0)
            g_ptr_array_add(found, g_ptr_array_index(hooks, i));
    return found;
}

/* What keeps it from being called for VMs' states, or from getting them; NULL: nothing. */
static const char *defect_of(const Hook *hook, const HookTemplate *template)
{
    if (template && template->command && strcmp(hook->command, template->command) != 0)
        return "its command is another";
    if (g_ascii_strcasecmp(hook->type, "state") != 0 || g_ascii_strcasecmp(hook->resource, "VM") != 0)
        return "it is not of a VM's states";
    if (!strstr(hook->arguments, "$TEMPLATE"))
        return "it is not given the VM ($TEMPLATE)";
    return NULL;
}

static Finding *judge_once(const HookTemplate *template, const GPtrArray *found, const char *sudo)
{
    g_autofree char *path = template->path ? finding_shell_word(template->path) : NULL;
    g_autofree char *create =
        path ? g_strdup_printf("%s onehook create %s", sudo, path) : g_strdup("# install.sh registers it again");
    if (found->len == 0) {
        g_autofree char *mend = g_steal_pointer(&create);
        return finding_new(VERDICT_ERROR, mend, "the hook %s is not registered: its events are not seen",
                           template->name);
    }
    const Hook *hook = g_ptr_array_index(found, 0);
    const char *defect = defect_of(hook, template);
    if (defect) {
        g_autofree char *mend = g_strdup_printf("%s onehook delete %" G_GUINT64_FORMAT "\n%s", sudo, hook->id, create);
        return finding_new(VERDICT_ERROR, mend, "the hook %s (%" G_GUINT64_FORMAT ") is not as it should be: %s: %s",
                           hook->name, hook->id, defect, hook->command);
    }
    if (found->len == 1)
        return NULL;
    g_autoptr(GString) mend = g_string_new(NULL);
    for (guint i = 1; i < found->len; i++)
        g_string_append_printf(mend, "%s onehook delete %" G_GUINT64_FORMAT "\n", sudo,
                               ((const Hook *)g_ptr_array_index(found, i))->id);
    return finding_new(VERDICT_WARNING, mend->str, "the hook %s is registered %u times: each event is handled as often",
                       template->name, found->len);
}

static bool is_wanted(const GPtrArray *templates, const char *name)
{
    for (guint i = 0; i < templates->len; i++)
        if (strcmp(((const HookTemplate *)g_ptr_array_index(templates, i))->name, name) == 0)
            return true;
    return false;
}

static bool is_ours(const Hook *hook)
{
    return g_str_has_prefix(hook->name, HOOK_PREFIX);
}

/* Those that are called like ours, and are none, or of which it is not known what they should be. */
static guint judge_others(GPtrArray *findings, const GPtrArray *templates, const GPtrArray *hooks, const char *sudo)
{
    guint ours = 0;
    for (guint i = 0; i < hooks->len; i++) {
        const Hook *hook = g_ptr_array_index(hooks, i);
        if (!is_ours(hook))
            continue;
        ours++;
        const char *defect = templates->len == 0 ? defect_of(hook, NULL) : NULL;
        g_autofree char *mend = g_strdup_printf("%s onehook delete %" G_GUINT64_FORMAT, sudo, hook->id);
        if (defect)
            g_ptr_array_add(findings, finding_new(VERDICT_ERROR, mend, "the hook %s (%" G_GUINT64_FORMAT "): %s",
                                                  hook->name, hook->id, defect));
        else if (templates->len && !is_wanted(templates, hook->name))
            g_ptr_array_add(findings, finding_new(VERDICT_WARNING, mend,
                                                  "the hook %s (%" G_GUINT64_FORMAT ") is of no template that is "
                                                  "installed: of an older version?",
                                                  hook->name, hook->id));
    }
    return ours;
}

GPtrArray *judge_hooks(const GPtrArray *templates, const GPtrArray *hooks, const char *sudo)
{
    GPtrArray *findings = findings_new();
    for (guint i = 0; i < templates->len; i++) {
        const HookTemplate *template = g_ptr_array_index(templates, i);
        g_autoptr(GPtrArray) found = hooks_named(hooks, template->name);
        Finding *finding = judge_once(template, found, sudo);
        if (finding)
            g_ptr_array_add(findings, finding);
    }
    guint ours = judge_others(findings, templates, hooks, sudo);
    if (templates->len == 0 && ours == 0)
        g_ptr_array_add(findings, finding_new(VERDICT_ERROR, "# install.sh registers them",
                                              "no hook is registered whose name begins with " HOOK_PREFIX
                                              ": what happens to VMs is not seen"));
    if (findings->len == 0)
        g_ptr_array_add(findings, finding_ok("%u hooks are registered, each once", ours));
    return findings;
}

/* --- executions --- */

/* A run that succeeded as a repetition of another stands for those before it. */
static bool was_repeated(const GPtrArray *runs, guint failed)
{
    for (guint i = failed + 1; i < runs->len; i++) {
        const HookRun *run = g_ptr_array_index(runs, i);
        if (run->retry && run->code == 0)
            return true;
    }
    return false;
}

Finding *judge_hook_runs(const Hook *hook, const GPtrArray *runs, gint64 now_s, const char *sudo)
{
    g_autoptr(GString) mend = g_string_new(NULL);
    const HookRun *last = runs->len ? g_ptr_array_index(runs, runs->len - 1) : NULL, *failed = NULL;
    guint failures = 0;
    for (guint i = runs->len; i-- > 0;) {
        const HookRun *run = g_ptr_array_index(runs, i);
        if (run->code == 0 || now_s - run->time_s > HOOK_RUNS_RECENT_S || was_repeated(runs, i))
            continue;
        if (failures++ < RETRIES_MAX)
            g_string_append_printf(mend, "%s onehook retry %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", sudo,
                                   hook->id, run->id);
        failed = failed ? failed : run;
    }
    if (!failed)
        return NULL;
    return finding_new(last->code ? VERDICT_ERROR : VERDICT_WARNING, mend->str,
                       "%s: %u of its last %u runs failed within a day%s: exit status %" G_GINT64_FORMAT "%s%s",
                       hook->name, failures, runs->len, last->code ? ", the last one too" : "", failed->code,
                       *failed->said ? ": " : "", failed->said);
}

/* --- hosts --- */

char *host_question(const char *tree)
{
    g_autofree char *probe = g_strconcat(tree, PROBE, NULL), *word = finding_shell_word(probe);
    return g_strdup_printf("date +%%s.%%N; if [ -x %s ]; then %s --version 2>&1; else echo " MISSING "; fi", word,
                           word);
}

bool host_is_to_be_asked(const CloudHost *host)
{
    return host->state != HOST_DISABLED && host->state != HOST_OFFLINE && host->state != HOST_MONITORING_DISABLED;
}

static bool read_clock(const char *line, gint64 *ret_ns)
{
    char *end = NULL;
    guint64 seconds = g_ascii_strtoull(line, &end, 10), fraction = 0;
    if (end == line || seconds > (guint64)(G_MAXINT64 / NS_PER_SECOND) / 2)
        return false;
    if (*end == '.') {
        g_autofree char *digits = g_strndup(end + 1, 9);
        if (strlen(digits) == 9 && !text_read_u64(digits, &fraction))
            return false;
    }
    *ret_ns = (gint64)seconds * NS_PER_SECOND + (gint64)fraction;
    return true;
}

/* The clock was read some time between our asking and the answer. NULL: near enough. */
static Finding *judge_clock_of(const HostFacts *facts, const char *line)
{
    gint64 theirs_ns;
    if (!read_clock(line, &theirs_ns))
        return NULL;
    gint64 middle_ns = facts->begin_ns + (facts->end_ns - facts->begin_ns) / 2;
    return judge_skew(facts->name, (theirs_ns - middle_ns) / NS_PER_MS,
                      (facts->end_ns - facts->begin_ns) / 2 / NS_PER_MS);
}

/* "vm_monitor (one-telemetry) 0.1.0" */
static Finding *judge_version(const HostFacts *facts, const char *line, bool *ret_well)
{
    static const char mark[] = "(one-telemetry) ";
    const char *at = strstr(line, mark);
    g_autofree char *host = finding_shell_word(facts->name);
    g_autofree char *sync = g_strdup_printf("%s onehost sync --force %s", facts->sudo, host);
    g_autofree char *look = g_strdup_printf("%s ssh %s ldd %s" PROBE, facts->sudo, host, facts->tree);
    *ret_well = false;
    if (strcmp(line, MISSING) == 0)
        return finding_new(VERDICT_ERROR, sync, "%s has no probe of ours (%s" PROBE ")", facts->name, facts->tree);
    if (!at)
        return finding_new(VERDICT_ERROR, look, "%s: the probe does not run there: %s", facts->name, line);
    if (strcmp(at + strlen(mark), facts->version) != 0)
        return finding_new(VERDICT_WARNING, sync, "%s has version %s, the front-end %s", facts->name, at + strlen(mark),
                           facts->version);
    *ret_well = true;
    return NULL;
}

static Finding *judge_state(const HostFacts *facts)
{
    g_autofree char *host = finding_shell_word(facts->name);
    g_autofree char *mend =
        g_strdup_printf("%s onehost show %s\n%s onehost forceupdate %s", facts->sudo, host, facts->sudo, host);
    if (facts->state != HOST_ERROR && facts->state != HOST_MONITORING_ERROR)
        return NULL;
    return finding_new(VERDICT_ERROR, mend, "%s is in state ERROR in OpenNebula", facts->name);
}

static void add(GPtrArray *findings, Finding *finding)
{
    if (finding)
        g_ptr_array_add(findings, finding);
}

GPtrArray *judge_host(const HostFacts *facts)
{
    GPtrArray *findings = findings_new();
    add(findings, judge_state(facts));
    if (!facts->asked) {
        add(findings, finding_new(VERDICT_NOT_CHECKED, NULL, "%s is disabled or offline", facts->name));
        return findings;
    }
    if (facts->problem) {
        g_autofree char *host = finding_shell_word(facts->name);
        g_autofree char *mend = g_strdup_printf("%s ssh -o BatchMode=yes %s true", facts->sudo, host);
        add(findings, finding_new(VERDICT_ERROR, mend, "%s is not reached by ssh: %s", facts->name, facts->problem));
        return findings;
    }
    g_auto(GStrv) lines = g_strsplit(facts->answer, "\n", 3);
    guint n = g_strv_length(lines);
    bool well;
    add(findings, judge_clock_of(facts, n > 0 ? lines[0] : ""));
    add(findings, judge_version(facts, n > 1 ? lines[1] : "", &well));
    if (well)
        add(findings, finding_ok("%s has version %s", facts->name, facts->version));
    return findings;
}
