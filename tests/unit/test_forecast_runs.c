/* SPDX-License-Identifier: Apache-2.0
 * What OpenNebula's forecaster prints, and its runs: which VM is when due, what is kept for how long, and forecasters
 * that fail, hang, or talk nonsense. Shell scripts stand in for it. */
#include "gather_helpers.h"

#include "gather/forecast_answer.h"
#include "probe/forecast_runs.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define NOW 1700000000

/* --- what it prints --- */

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* NULL: refused */
        const char *message;
    } cases[] = {
        {"CPU_FORECAST=\"7.48\"\nMEMORY_FORECAST=\"41830.0\"\nNETRX_BW=\"0.0\"\nNETRX_BW_FORECAST_FAR=\"-1e-05\"\n",
         "CPU_FORECAST=7.48;MEMORY_FORECAST=41830.0;NETRX_BW_FORECAST_FAR=-1e-05;", NULL},
        {"", "", NULL},
        {"\n\n", "", NULL},
        {"GPU_POWER_USAGE_FORECAST=\"1\"\nDISKWRIOPS_BW_FORECAST=\"1.5e+20\"",
         "GPU_POWER_USAGE_FORECAST=1;DISKWRIOPS_BW_FORECAST=1.5e+20;", NULL},
        {"CPU_FORECAST=\"nan\"\nMEMORY_FORECAST=\"inf\"\nCPU=\"1\"\nFORECAST=\"1\"\n_FORECAST=\"1\"\nNETRX_FORECAST="
         "\"1\"\n"
         "STATE=\"3\"\n",
         "", NULL},
        {"CPU_FORECAST=\"7.48\"\nTraceback (most recent call last):\n", NULL,
         "line 2 is \"Traceback (most recent call last):\": expected KEY=\"NUMBER\", each key once"},
        {"CPU_FORECAST=\"1\"\nCPU_FORECAST=\"1\"\n", NULL, "line 2 is"},
        {"CPU_FORECAST=\"x\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"1\" \n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"1\"\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"1\\\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=1\n", NULL, "line 1 is"},
        {"CPU_FORECAST=[]\n", NULL, "line 1 is"},
        {"cpu_forecast=\"1\"\n", NULL, "line 1 is"},
        {"=\"1\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"0x10\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\".5\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"1.\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"1e\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"1e999\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"--1\"\n", NULL, "line 1 is"},
        {"CPU_FORECAST=\"111111111111111111111111111111111\"\n", NULL, "line 1 is"},
        {"VM = [ ID=\"1\", MONITOR=\"Q1BVPSIxIgo=\" ]\n", NULL, "line 1 is"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_auto(GStrv) words = forecast_answer_read(cases[i].text, strlen(cases[i].text), &error);
        g_autofree char *got = pairs_text(words);
        CHECK(!words == !cases[i].want && !words == !!error, "%s: %s", cases[i].text, error ? error->message : got);
        if (words)
            CHECK_TEXT(got, cases[i].want, cases[i].text);
        else
            CHECK(g_str_has_prefix(error->message, cases[i].message), "%s: %s", cases[i].text, error->message);
    }
    g_autoptr(GString) large = g_string_new(NULL);
    while (large->len <= FORECAST_ANSWER_MAX)
        g_string_append_c(large, '\n');
    assert_null(forecast_answer_read(large->str, large->len, NULL));
    assert_null(forecast_answer_read("CPU=\"1\"\0\n", 9, NULL));
}

/* --- runs --- */

typedef struct {
    char *dir, *script, *calls;
    ForecastConf conf;
    ForecastRunsOptions options;
    Sample *sample;
    VmBook *book;
    guint kept;
} Stage;

static void count_kept(const VmBook *book, gpointer data)
{
    (void)book;
    ((Stage *)data)->kept++;
}

/* A script that notes its VM ($1) and does what `body` says. */
static void set_script(Stage *stage, const char *body)
{
    g_autofree char *text = g_strdup_printf("#!/bin/sh\n"
                                            "[ \"$1\" = --entity ] || exit 9\n"
                                            "rest=${2#virtualmachine,}; vm=${rest%%%%,*}\n"
                                            "[ \"$2\" = \"virtualmachine,$vm,u-$vm,%s\" ] || exit 8\n"
                                            "echo $vm >>%s\n%s\n",
                                            stage->dir, stage->calls, body);
    assert_true(g_file_set_contents(stage->script, text, -1, NULL));
    assert_int_equal(chmod(stage->script, 0700), 0);
}

#define GOOD                                                                                                           \
    "for key in CPU MEMORY NETRX_BW NETTX_BW DISKRDBYTES_BW DISKWRBYTES_BW DISKRDIOPS_BW DISKWRIOPS_BW; do "           \
    "echo \"${key}_FORECAST=\\\"$vm.5\\\"\"; done"

static int set_up(void **state)
{
    Stage *stage = g_new0(Stage, 1);
    stage->dir = make_temporary_dir();
    stage->script = g_build_filename(stage->dir, "prediction.sh", NULL);
    stage->calls = g_build_filename(stage->dir, "calls", NULL);
    stage->conf = (ForecastConf){.weeks = 2, .near = true, .far_minutes = 2880};
    stage->options = (ForecastRunsOptions){.script = stage->script,
                                           .dir = stage->dir,
                                           .conf = &stage->conf,
                                           .probe_period_s = 30,
                                           .interval_s = 300,
                                           .run_ms = 30000,
                                           .round_ms = 600000,
                                           .keep = count_kept,
                                           .data = stage};
    stage->sample = sample_new();
    stage->book = vm_book_new();
    for (gint64 i = 1; i <= 3; i++) {
        g_autofree char *name = g_strdup_printf("one-%d", (int)i), *uuid = g_strdup_printf("u-%d", (int)i);
        add_vm(stage->sample, name, uuid, i);
    }
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    Stage *stage = *state;
    remove_tree(stage->dir);
    vm_book_free(stage->book);
    sample_free(stage->sample);
    g_free(stage->dir);
    g_free(stage->script);
    g_free(stage->calls);
    g_free(stage);
    return 0;
}

/* VMs that it was run for then, "1 2 3". Owned by the caller. */
static char *run_at(Stage *stage, gint64 now_s, ForecastRunsReport *ret_report)
{
    g_file_set_contents(stage->calls, "", 0, NULL);
    forecast_runs_make(stage->sample, stage->book, &stage->options, now_s, ret_report);
    char *calls;
    assert_true(g_file_get_contents(stage->calls, &calls, NULL, NULL));
    g_strdelimit(calls, "\n", ' ');
    return g_strchomp(calls);
}

/* Runs, and expects those VMs and that trouble (its beginning; NULL: none). */
#define CHECK_RUN(stage, at, calls, trouble) check_run(stage, at, calls, trouble, __LINE__)
static void check_run(Stage *stage, gint64 now_s, const char *want, const char *trouble, int line)
{
    ForecastRunsReport report;
    g_autofree char *calls = run_at(stage, now_s, &report);
    CHECK(strcmp(calls, want) == 0, "line %d: it was run for %s", line, calls);
    CHECK(trouble ? report.trouble && g_str_has_prefix(report.trouble, trouble) : !report.trouble, "line %d: %s", line,
          report.trouble ? report.trouble : "none");
    forecast_runs_report_clear(&report);
}

static VmSample *vm_of(const Stage *stage, guint i)
{
    return g_ptr_array_index(stage->sample->vms, i);
}

/* What the record of VM number i has at that time. */
static void check_record(Stage *stage, guint i, gint64 now_s, const char *want)
{
    forecast_runs_attach(stage->sample, stage->book, now_s);
    g_autofree char *got = pairs_text(vm_of(stage, i)->forecasts);
    assert_string_equal(got, want);
}

#define FORECASTS(value)                                                                                               \
    "CPU_FORECAST=" value ";MEMORY_FORECAST=" value ";NETRX_BW_FORECAST=" value ";NETTX_BW_FORECAST=" value            \
    ";DISKRDBYTES_BW_FORECAST=" value ";DISKWRBYTES_BW_FORECAST=" value ";DISKRDIOPS_BW_FORECAST=" value               \
    ";DISKWRIOPS_BW_FORECAST=" value ";"

static void test_interval(void **state)
{
    Stage *stage = *state;
    set_script(stage, GOOD);
    CHECK_RUN(stage, NOW, "1 2 3", NULL);
    assert_int_equal(stage->kept, 1);
    check_record(stage, 0, NOW + 30, FORECASTS("1.5"));
    check_record(stage, 2, NOW + 30, FORECASTS("3.5"));
    CHECK_RUN(stage, NOW + 240, "", NULL);
    vm_book_find(stage->book, 2, 2)->due_s -= 20;          /* the longest due is first */
    vm_book_find(stage->book, 3, 3)->due_s += 400 * 86400; /* of a clock that was wrong: before all others */
    CHECK_RUN(stage, NOW + 330, "3 2 1", NULL);

    /* age: three intervals; and a clock that was set back by years */
    check_record(stage, 0, NOW + 330 + 899, FORECASTS("1.5"));
    check_record(stage, 0, NOW + 330 + 960, "");
    check_record(stage, 0, NOW - 400 * 86400, "");

    /* one that is gone is forgotten, one that was started anew is run at once, and has nothing of the run before */
    g_ptr_array_remove_index(stage->sample->vms, 0);
    vm_of(stage, 0)->domain_id = 22;
    check_record(stage, 0, NOW + 331, "");
    CHECK_RUN(stage, NOW + 331, "2", NULL);
    assert_null(vm_book_find(stage->book, 1, 1));
}

/* Until a VM has enough figures some of its forecasts are missing: soon again, but not for ever. */
static void test_new_vm(void **state)
{
    Stage *stage = *state;
    set_script(stage, "echo 'CPU_FORECAST=\"1.0\"'; echo 'Error: no data (ValueError)' >&2");
    g_ptr_array_set_size(stage->sample->vms, 1);
    static const gint64 waits[] = {27, 54, 108, 216, 270, 270};
    gint64 at = NOW;
    CHECK_RUN(stage, at, "1", NULL);
    for (guint i = 0; i < G_N_ELEMENTS(waits); i++) {
        CHECK_RUN(stage, at + waits[i] - 10, "", NULL);
        at += waits[i] + 10;
        CHECK_RUN(stage, at, "1", NULL);
    }
    check_record(stage, 0, at + 1, "CPU_FORECAST=1.0;");
    set_script(stage, GOOD);
    CHECK_RUN(stage, at + 300, "1", NULL);
    check_record(stage, 0, at + 301, FORECASTS("1.5"));
}

static void test_failures(void **state)
{
    Stage *stage = *state;
    static const struct {
        const char *body, *trouble;
    } cases[] = {
        {"[ $vm = 2 ] && { echo 'No module named numpy' >&2; exit 1; }\n" GOOD,
         "VM 2: exit status 1; it said \"No module named numpy\""},
        {"[ $vm = 2 ] && echo nonsense\n" GOOD, "VM 2: line 1 is \"nonsense\": expected KEY=\"NUMBER\", each key once"},
        {"[ $vm = 2 ] && kill -9 $$\n" GOOD, "VM 2: ended by signal 9"},
        {"[ $vm = 2 ] && yes\n" GOOD, "VM 2: it prints more than 16384 bytes"},
        {"[ $vm = 2 ] && sleep 1000\n" GOOD, "VM 2: not done after 2 s"},
    };
    gint64 at = NOW;
    set_script(stage, GOOD);
    CHECK_RUN(stage, at, "1 2 3", NULL);
    stage->options.run_ms = 2000;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        ForecastRunsReport report;
        set_script(stage, cases[i].body);
        at += 300 + 4000;
        g_autofree char *calls = run_at(stage, at, &report);
        CHECK_TEXT(report.trouble, cases[i].trouble, cases[i].body);
        CHECK(report.made == 3 && report.failed == 1 && !report.all_well, "%s", cases[i].body);
        forecast_runs_report_clear(&report);
        check_record(stage, 0, at + 10, FORECASTS("1.5"));
        check_record(stage, 1, at + 10, "");
        check_record(stage, 2, at + 10, FORECASTS("3.5"));
    }
    /* it has its next chance; and what it said stays as long as it counts */
    ForecastRunsReport report;
    set_script(stage, GOOD);
    CHECK_RUN(stage, at + 4000, "1 3 2", NULL);
    set_script(stage, "exit 1");
    for (guint i = 0; i < 3; i++) {
        static const gint64 after[] = {4300, 4320, 4340};
        g_autofree char *calls = run_at(stage, at + after[i], &report);
        CHECK(report.made == (i == 1 ? 0 : 3) && report.failed == report.made && !report.all_well, "round %u", i);
        forecast_runs_report_clear(&report);
    }
    check_record(stage, 1, at + 4350, FORECASTS("2.5"));
}

/* No such program, or none that may be run, as poll.rb would find it. */
static void test_missing(void **state)
{
    Stage *stage = *state;
    CHECK_RUN(stage, NOW, "", "VM 1: ");
    assert_true(g_file_set_contents(stage->script, "#!/bin/sh\n", -1, NULL));
    assert_int_equal(chmod(stage->script, 0600), 0);
    CHECK_RUN(stage, NOW + 40, "", "VM 1: ");
    CHECK_RUN(stage, NOW + 60, "", NULL);
}

/* One that is switched off, or lacks its libraries, says nothing and ends well: told when it lasts. */
static void test_silence(void **state)
{
    Stage *stage = *state;
    set_script(stage, "echo \"Error: No module named 'numpy' (ModuleNotFoundError)\" >&2");
    g_ptr_array_set_size(stage->sample->vms, 1);
    CHECK_RUN(stage, NOW, "1", NULL);
    CHECK_RUN(stage, NOW + 40, "1", NULL);
    CHECK_RUN(stage, NOW + 110, "1", NULL);
    CHECK_RUN(stage, NOW + 240, "1", "VM 1: it prints nothing; it said \"Error: No module named 'numpy'");
    CHECK_RUN(stage, NOW + 360, "", NULL);
}

/* When it hangs for several VMs in a row the others are not tried, and all wait ever longer. */
static void test_hangs(void **state)
{
    Stage *stage = *state;
    ForecastRunsReport report;
    for (gint64 i = 4; i <= 6; i++) {
        g_autofree char *name = g_strdup_printf("one-%d", (int)i), *uuid = g_strdup_printf("u-%d", (int)i);
        add_vm(stage->sample, name, uuid, i);
    }
    set_script(stage, "sleep 1000");
    stage->options.run_ms = 500;
    g_autofree char *calls = run_at(stage, NOW, &report);
    assert_string_equal(calls, "1 2 3");
    assert_int_equal(report.failed, 6);
    assert_string_equal(report.trouble, "VM 1: not done after 0.5 s");
    forecast_runs_report_clear(&report);

    set_script(stage, GOOD);
    stage->options.run_ms = 30000;
    CHECK_RUN(stage, NOW + 20, "", NULL);
    CHECK_RUN(stage, NOW + 60, "1 2 3 4 5 6", NULL);

    stage->options.round_ms = 0; /* no run is begun after the round's end */
    CHECK_RUN(stage, NOW + 600, "", NULL);
}

static void test_far(void **state)
{
    Stage *stage = *state;
    stage->conf.far = true;
    stage->conf.far_minutes = 60; /* 120 slots */
    set_script(stage, "[ $vm = 3 ] && [ -e $0.far ] && echo 'CPU_FORECAST_FAR=\"8.0\"'\n" GOOD);
    g_autofree char *far = g_strconcat(stage->script, ".far", NULL);
    const gint64 hour = NOW - NOW % 3600; /* slot 0 begins */
    CHECK_RUN(stage, hour + 500, "1 2 3", NULL);
    assert_true(g_file_set_contents(far, "", 0, NULL));
    CHECK_RUN(stage, hour + 3600 + 3 * 30 + 5, "3 1 2", NULL); /* its turn is first */
    check_record(stage, 2, hour + 3700, "CPU_FORECAST_FAR=8.0;" FORECASTS("3.5"));
    CHECK_RUN(stage, hour + 3600 + 3 * 30 + 10, "3", NULL); /* not due but for its turn */
    g_remove(far);
    CHECK_RUN(stage, hour + 3600 + 600, "1 2 3", NULL);
    check_record(stage, 2, hour + 3600 + 601, "CPU_FORECAST_FAR=8.0;" FORECASTS("3.5")); /* stays … */
    check_record(stage, 2, hour + 3700 + 3600 + 890, "CPU_FORECAST_FAR=8.0;");
    check_record(stage, 2, hour + 3700 + 3600 + 1000, ""); /* … up to what it told of, and three intervals */

    /* the far one alone: for nobody but at his turn; that it says nothing then is no trouble */
    stage->conf.near = false;
    CHECK_RUN(stage, hour + 7200 + 1500, "", NULL);
    set_script(stage, "");
    for (guint i = 0; i < 6; i++)
        CHECK_RUN(stage, hour + 7200 + 2 * 30 + i, "2", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test_setup_teardown(test_interval, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_new_vm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_far, set_up, tear_down),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
