/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's side of the doctor: what its commands print, its configuration's form, what is said of hooks and hosts.
 */
#include "gather_helpers.h"

#include "doctor/judge_cloud.h"
#include "doctor/opennebula_conf.h"
#include "doctor/pools.h"

#include <string.h>

#define SECOND G_GINT64_CONSTANT(1000000000)

/* --- configuration --- */

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        guint64 want; /* 0: none */
    } rows[] = {
        {"PROBES_PERIOD = [ MONITOR_VM = 30 ]", 30},
        {"probes_period=[\n  BEACON_HOST=5, # MONITOR_VM = 7\n  monitor_vm=\"31\"]\n", 31},
        {"PROBES_PERIOD = [ MONITOR_VM = 30 ]\nPROBES_PERIOD = [ MONITOR_VM = 32, STATE_VM = 5 ]", 32},
        {"PROBES_PERIOD = [ SYNC_MONITOR_VM = 3, MONITOR_VM=33]", 33},
        {"# PROBES_PERIOD = [ MONITOR_VM = 30 ]", 0},
        {"X = \"# [\" PROBES_PERIOD = [ MONITOR_VM = 34 ]", 34},
        {"X = \"a\" # PROBES_PERIOD = [ MONITOR_VM = 30 ]", 0},
        {"MONITOR_VM = 30", 0},
        {"OTHER = [ MONITOR_VM = 30 ]", 0},
        {"PROBES_PERIOD = [ MONITOR_VM = 0 ]", 0},
        {"PROBES_PERIOD = [ MONITOR_VM = 1000000001 ]", 0},
        {"PROBES_PERIOD = [ MONITOR_VM = -5 ]", 0},
        {"PROBES_PERIOD = [ MONITOR_VM = 30s ]", 0},
        {"PROBES_PERIOD = [ MONITOR_VM ]", 0},
        {"PROBES_PERIOD = 30", 0},
        {"PROBES_PERIOD = [ STATE_VM = 5 ] X = [ MONITOR_VM = 30 ]", 0},
        {"", 0},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint64 got = 0;
        bool found = opennebula_conf_number(rows[i].text, strlen(rows[i].text), "PROBES_PERIOD", "MONITOR_VM", &got);
        CHECK(found == (rows[i].want != 0) && got == rows[i].want, "%s: %u", rows[i].text, (guint)got);
    }
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"NAME = telemetry-done\nCOMMAND = \"telemetry/vm_event\"\n", "telemetry/vm_event"},
        {"command=telemetry/vm_event # comment", "telemetry/vm_event"},
        {"COMMAND = \"a # b\"", "a # b"},
        {"COMMAND = \"\"", ""},
        {"COMMAND = \"open", "open"},
        {"#COMMAND = x", NULL},
        {"COMMAND = [ A = 1 ]", NULL},
        {"XCOMMAND = x", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *got = opennebula_conf_text(rows[i].text, strlen(rows[i].text), "COMMAND");
        CHECK_TEXT(got, rows[i].want, rows[i].text);
    }
}

/* --- documents --- */

static void test_pools(void **state)
{
    (void)state;
    static const char hooks_text[] =
        "<HOOK_POOL><HOOK><ID>3</ID><NAME>telemetry-done</NAME><TYPE>state</TYPE><TEMPLATE><RESOURCE><![CDATA[VM]]></"
        "RESOURCE>"
        "<COMMAND>telemetry/vm_event</COMMAND><ARGUMENTS>$TEMPLATE</ARGUMENTS></TEMPLATE></HOOK><HOOK><ID>x</ID></HOOK>"
        "<HOOK><ID>4</ID></HOOK></HOOK_POOL>";
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) hooks = pool_hooks(hooks_text, strlen(hooks_text), &error);
    assert_non_null(hooks);
    assert_int_equal(hooks->len, 2);
    const Hook *hook = g_ptr_array_index(hooks, 0), *empty = g_ptr_array_index(hooks, 1);
    CHECK(hook->id == 3 && empty->id == 4, "ids");
    CHECK_TEXT(hook->resource, "VM", "resource");
    CHECK_TEXT(hook->command, "telemetry/vm_event", "command");
    CHECK_TEXT(hook->arguments_stdin, "", "stdin");
    CHECK_TEXT(empty->name, "", "name");

    static const char runs_text[] =
        "<HOOK><HOOKLOG><HOOK_EXECUTION_RECORD><EXECUTION_ID>9</EXECUTION_ID><TIMESTAMP>1700</"
        "TIMESTAMP><EXECUTION_RESULT>"
        "<STDERR>Zmlyc3QKbm8gc3Bvb2wK\n</STDERR><CODE>-1</CODE></EXECUTION_RESULT></HOOK_EXECUTION_RECORD>"
        "<HOOK_EXECUTION_RECORD><EXECUTION_ID>8</EXECUTION_ID><RETRY>yes</RETRY></HOOK_EXECUTION_RECORD></HOOKLOG></"
        "HOOK>";
    g_autoptr(GPtrArray) runs = pool_hook_runs(runs_text, strlen(runs_text), &error);
    assert_non_null(runs);
    assert_int_equal(runs->len, 2);
    const HookRun *first = g_ptr_array_index(runs, 0), *last = g_ptr_array_index(runs, 1);
    CHECK(first->id == 8 && first->retry && first->code == 0 && first->time_s == 0, "first");
    CHECK(last->id == 9 && !last->retry && last->code == -1 && last->time_s == 1700, "last");
    CHECK_TEXT(last->said, "no spool", "said");

    static const char hosts_text[] =
        "<HOST_POOL><HOST><ID>0</ID><NAME>kvm1</NAME><STATE>2</STATE><IM_MAD>kvm</IM_MAD></HOST>"
        "<HOST><ID>1</ID></HOST></HOST_POOL>";
    g_autoptr(GPtrArray) hosts = pool_hosts(hosts_text, strlen(hosts_text), &error);
    assert_non_null(hosts);
    assert_int_equal(hosts->len, 2);
    CHECK_TEXT(((const CloudHost *)g_ptr_array_index(hosts, 0))->name, "kvm1", "host");
}

static void test_bad_pools(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "no XML", "<HOST_POOL>", "<HOOK/>", "<!DOCTYPE x><HOOK_POOL/>"};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        CHECK(pool_hooks(texts[i], strlen(texts[i]), &error) == NULL && error, "%s", texts[i]);
    }
}

/* --- hooks --- */

static Hook *new_hook(GPtrArray *hooks, guint64 id, const char *name)
{
    Hook *hook = g_new0(Hook, 1);
    *hook = (Hook){id,
                   (char *)(guintptr)name,
                   (char *)(guintptr) "state",
                   (char *)(guintptr) "VM",
                   (char *)(guintptr) "telemetry/vm_event",
                   (char *)(guintptr) "$TEMPLATE",
                   (char *)(guintptr) "YES"};
    g_ptr_array_add(hooks, hook);
    return hook;
}

static HookTemplate *new_template(GPtrArray *templates, const char *name)
{
    HookTemplate *template = g_new0(HookTemplate, 1);
    *template = (HookTemplate){g_strdup(name), g_strdup("telemetry/vm_event"), g_strconcat("/t/", name, ".tmpl", NULL)};
    g_ptr_array_add(templates, template);
    return template;
}

static void check_one(const GPtrArray *findings, guint i, Verdict verdict, const char *text, const char *mend)
{
    CHECK(i < findings->len, "%u findings, wanted %s", findings->len, text);
    const Finding *finding = g_ptr_array_index(findings, i);
    CHECK(finding->verdict == verdict && strstr(finding->text, text), "%s: %s", text, finding->text);
    CHECK(g_strcmp0(finding->mend, mend) == 0, "%s: %s", text, finding->mend ? finding->mend : "no mend");
}

static void test_hooks(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) hooks = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) templates = g_ptr_array_new_with_free_func((GDestroyNotify)hook_template_free);
    g_autoptr(GPtrArray) nothing = judge_hooks(templates, hooks, "S");
    check_one(nothing, 0, VERDICT_ERROR, "no hook is registered", "# install.sh registers them");

    new_template(templates, "telemetry-a");
    new_template(templates, "telemetry-b");
    new_template(templates, "telemetry-c");
    new_hook(hooks, 1, "somebody-else");
    new_hook(hooks, 2, "telemetry-b");
    new_hook(hooks, 3, "telemetry-b");
    new_hook(hooks, 4, "telemetry-c")->command = (char *)(guintptr) "/bin/true";
    new_hook(hooks, 5, "telemetry-old");
    g_autoptr(GPtrArray) some = judge_hooks(templates, hooks, "S");
    assert_int_equal(some->len, 4);
    check_one(some, 0, VERDICT_ERROR, "telemetry-a is not registered", "S onehook create /t/telemetry-a.tmpl");
    check_one(some, 1, VERDICT_WARNING, "telemetry-b is registered 2 times", "S onehook delete 3\n");
    check_one(some, 2, VERDICT_ERROR, "telemetry-c (4) is not as it should be: its command is another: /bin/true",
              "S onehook delete 4\nS onehook create /t/telemetry-c.tmpl");
    check_one(some, 3, VERDICT_WARNING, "telemetry-old (5) is of no template", "S onehook delete 5");

    g_ptr_array_set_size(templates, 0);
    Hook *stranger = g_ptr_array_index(hooks, 4);
    stranger->resource = (char *)(guintptr) "HOST";
    g_autoptr(GPtrArray) unknown = judge_hooks(templates, hooks, "S");
    assert_int_equal(unknown->len, 1);
    check_one(unknown, 0, VERDICT_ERROR, "telemetry-old (5): it is not of a VM's states", "S onehook delete 5");
    stranger->resource = (char *)(guintptr) "VM";
    stranger->arguments = (char *)(guintptr) "";
    g_autoptr(GPtrArray) blind = judge_hooks(templates, hooks, "S");
    check_one(blind, 0, VERDICT_ERROR, "not given the VM", "S onehook delete 5");
    stranger->arguments = (char *)(guintptr) "x $TEMPLATE";
    g_autoptr(GPtrArray) well = judge_hooks(templates, hooks, "S");
    check_one(well, 0, VERDICT_OK, "4 hooks are registered", NULL);
}

static void add_run(GPtrArray *runs, guint64 id, gint64 time_s, gint64 code, bool retry)
{
    HookRun *run = g_new0(HookRun, 1);
    *run = (HookRun){id, time_s, code, retry, (char *)(guintptr) "words"};
    g_ptr_array_add(runs, run);
}

static void test_runs(void **state)
{
    (void)state;
    const gint64 now = 1700000000;
    const Hook hook = {.id = 7, .name = (char *)(guintptr) "telemetry-done"};
    g_autoptr(GPtrArray) runs = g_ptr_array_new_with_free_func(g_free);
    CHECK(judge_hook_runs(&hook, runs, now, "S") == NULL, "none yet");
    add_run(runs, 0, now - HOOK_RUNS_RECENT_S - 1, 1, false);
    CHECK(judge_hook_runs(&hook, runs, now, "S") == NULL, "long ago");
    add_run(runs, 1, now - 100, 1, false);
    g_autoptr(Finding) last = judge_hook_runs(&hook, runs, now, "S");
    CHECK(last && last->verdict == VERDICT_ERROR && strstr(last->text, "the last one too: exit status 1: words"), "%s",
          last ? last->text : "nothing");
    CHECK_TEXT(last->mend, "S onehook retry 7 1\n", "mend");
    add_run(runs, 2, now - 50, 0, false);
    g_autoptr(Finding) before = judge_hook_runs(&hook, runs, now, "S");
    CHECK(before && before->verdict == VERDICT_WARNING && strstr(before->text, "1 of its last 3 runs"), "%s",
          before ? before->text : "nothing");
    add_run(runs, 3, now - 40, 0, true);
    CHECK(judge_hook_runs(&hook, runs, now, "S") == NULL, "repeated since");
    for (guint i = 4; i < 20; i++)
        add_run(runs, i, now, 2, false);
    g_autoptr(Finding) many = judge_hook_runs(&hook, runs, now, "S");
    CHECK(many && strstr(many->text, "16 of its last 20 runs"), "%s", many ? many->text : "nothing");
    CHECK_TEXT(many->mend,
               "S onehook retry 7 19\nS onehook retry 7 18\nS onehook retry 7 17\nS onehook retry 7 16\nS onehook "
               "retry 7 15\n",
               "mend");
}

/* --- hosts --- */

static void test_hosts(void **state)
{
    (void)state;
    const gint64 at = 1700000000 * SECOND;
    HostFacts facts = {.name = "kvm1",
                       .state = HOST_MONITORED,
                       .asked = true,
                       .answer = "1700000000.250000000\nvm_monitor (one-telemetry) 0.1.0\n",
                       .begin_ns = at,
                       .end_ns = at + SECOND / 2,
                       .version = "0.1.0",
                       .sudo = "S",
                       .tree = "/var/tmp/one"};
    g_autoptr(GPtrArray) well = judge_host(&facts);
    assert_int_equal(well->len, 1);
    check_one(well, 0, VERDICT_OK, "kvm1 has version 0.1.0", NULL);
    facts.version = "0.2.0";
    facts.state = HOST_ERROR;
    facts.answer = "1700000009.950000000\nvm_monitor (one-telemetry) 0.1.0";
    g_autoptr(GPtrArray) old = judge_host(&facts);
    assert_int_equal(old->len, 3);
    check_one(old, 0, VERDICT_ERROR, "in state ERROR", "S onehost show kvm1\nS onehost forceupdate kvm1");
    check_one(old, 1, VERDICT_WARNING, "its clock is 9.7 s ahead of ours",
              "chronyc tracking    # on both; where nothing runs: sudo systemctl enable --now chrony");
    check_one(old, 2, VERDICT_WARNING, "has version 0.1.0, the front-end 0.2.0", "S onehost sync --force kvm1");
    facts.state = HOST_MONITORED;
    facts.answer = "1700000000.250000000\nno probe\n";
    g_autoptr(GPtrArray) none = judge_host(&facts);
    check_one(none, 0, VERDICT_ERROR, "has no probe of ours", "S onehost sync --force kvm1");
    facts.answer = "";
    g_autoptr(GPtrArray) silent = judge_host(&facts);
    check_one(silent, 0, VERDICT_ERROR, "does not run there",
              "S ssh kvm1 ldd /var/tmp/one/im/kvm-probes.d/vm/monitor/telemetry");
    facts.problem = "no route";
    g_autoptr(GPtrArray) away = judge_host(&facts);
    check_one(away, 0, VERDICT_ERROR, "not reached by ssh: no route", "S ssh -o BatchMode=yes kvm1 true");
    facts.asked = false;
    g_autoptr(GPtrArray) off = judge_host(&facts);
    check_one(off, 0, VERDICT_NOT_CHECKED, "disabled or offline", NULL);
    const CloudHost hosts[] = {{.state = HOST_DISABLED}, {.state = HOST_OFFLINE}, {.state = HOST_ERROR}, {.state = 2}};
    CHECK(!host_is_to_be_asked(&hosts[0]) && !host_is_to_be_asked(&hosts[1]), "out of use");
    CHECK(host_is_to_be_asked(&hosts[2]) && host_is_to_be_asked(&hosts[3]), "in use");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),   cmocka_unit_test(test_texts), cmocka_unit_test(test_pools),
        cmocka_unit_test(test_bad_pools), cmocka_unit_test(test_hooks), cmocka_unit_test(test_runs),
        cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
