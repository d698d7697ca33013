/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/forecast_runs.h"

#include "base/child.h"
#include "gather/forecast_answer.h"

#include <string.h>

#define KEEP_EVERY_US (10 * G_USEC_PER_SEC)
#define NICE 10
/* A VM is new for a while: so many runs in a row without an answer, for want of figures, are no trouble. */
#define SILENT_RUNS 4

typedef struct {
    const VmSample *vm;
    gint64 due_s;
    bool far_turn;
} Due;

typedef struct {
    const ForecastRunsOptions *options;
    VmBook *book;
    char **environment;
    gint64 began, kept; /* monotonic us */
    gint64 began_s;
    guint hangs; /* in a row */
    ForecastRunsReport *report;
} Runs;

static gint64 now_of(const Runs *runs)
{
    return runs->began_s + (g_get_monotonic_time() - runs->began) / G_USEC_PER_SEC;
}

/* --- who --- */

static gint by_urgency(gconstpointer a, gconstpointer b)
{
    const Due *one = a, *other = b;
    if (one->far_turn != other->far_turn)
        return one->far_turn ? -1 : 1;
    return one->due_s < other->due_s ? -1 : one->due_s > other->due_s;
}

static GArray *find_due(const Runs *runs, const Sample *sample)
{
    const ForecastRunsOptions *options = runs->options;
    GArray *found = g_array_new(FALSE, FALSE, sizeof(Due));
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        const VmEntry *entry = vm_book_find(runs->book, vm->vm_id, vm->domain_id);
        const bool due = vm_entry_is_due(entry, runs->began_s);
        const Due one = {
            .vm = vm,
            .due_s = vm_entry_rank(entry, runs->began_s),
            .far_turn = (due || entry->failures == 0) &&
                        forecast_conf_is_far_turn(options->conf, options->probe_period_s, vm->vm_id, runs->began_s)};
        if (one.far_turn || (options->conf->near && due))
            g_array_append_val(found, one);
    }
    g_array_sort(found, by_urgency);
    return found;
}

/* --- one run --- */

/* As poll.rb has it, but that its libraries may not have a thread for each core, which are of no use to it and cost the
 * host dear (OpenNebula's issue 7396). */
static char **make_environment(void)
{
    static const char *const threads[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                                          "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS"};
    char **environment = g_get_environ();
    environment = g_environ_setenv(environment, "LANG", "C", TRUE);
    environment = g_environ_setenv(environment, "LC_ALL", "C", TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        environment = g_environ_setenv(environment, threads[i], "1", FALSE);
    return environment;
}

/* What it prints; owned by the caller. */
static char *run(const Runs *runs, const VmSample *vm, char **ret_last, GError **error)
{
    const ForecastRunsOptions *options = runs->options;
    g_autofree char *entity = g_strdup_printf("virtualmachine,%" G_GUINT64_FORMAT ",%s,%s", vm->vm_id,
                                              vm->uuid ? vm->uuid : "", options->dir);
    const char *const words[] = {options->script, "--entity", entity, NULL};
    const ChildOptions child = {.words = words,
                                .environment = (const char *const *)runs->environment,
                                .limit_ms = options->run_ms,
                                .most = FORECAST_ANSWER_MAX,
                                .nice = NICE};
    return child_run(&child, ret_last, error);
}

static void fail(Runs *runs, VmEntry *entry, const char *reason)
{
    vm_entry_fail(entry, now_of(runs), 0, VM_BOOK_WAIT_MAX_S);
    runs->report->failed++;
    if (!runs->report->trouble && reason)
        runs->report->trouble = g_strdup_printf("VM %" G_GUINT64_FORMAT ": %s", entry->vm_id, reason);
}

/* It prints nothing when it is switched off, lacks libraries, or of a VM without enough figures. */
static void take_silence(Runs *runs, VmEntry *entry, const char *last)
{
    g_autofree char *reason =
        g_strdup_printf("it prints nothing%s%s%s", last ? "; it said \"" : "", last ? last : "", last ? "\"" : "");
    if (runs->options->conf->near)
        fail(runs, entry, entry->failures + 1 < SILENT_RUNS ? NULL : reason);
}

static bool is_near(const char *key)
{
    return forecast_key_horizon(key) == FORECAST_NEAR;
}

/* Of a VM with few figures some forecasts are missing; those of others, as of one without NIC, for good. */
static void plan_next(Runs *runs, VmEntry *entry, guint near)
{
    gint64 wait_s = runs->options->interval_s;
    if (near >= FORECAST_KEYS) {
        entry->note = 0;
    } else {
        wait_s = MIN(wait_s, vm_book_backoff_s(entry->note));
        entry->note = MIN(entry->note + 1, VM_BOOK_NOTE_MAX);
    }
    vm_entry_succeed(entry, now_of(runs), wait_s);
}

static void take(Runs *runs, VmEntry *entry, char **words)
{
    const gint64 now_s = now_of(runs), near_s = now_s + FORECAST_INTERVALS * runs->options->interval_s;
    const gint64 far_s = near_s + (gint64)runs->options->conf->far_minutes * 60;
    guint near = 0;
    for (guint i = 0; words[i]; i += 2)
        near += is_near(words[i]);
    if (near > 0)
        vm_entry_clear(entry, is_near);
    for (guint i = 0; words[i]; i += 2)
        vm_entry_set(entry, words[i], words[i + 1], is_near(words[i]) ? near_s : far_s);
    plan_next(runs, entry, near);
}

static void run_for(Runs *runs, const VmSample *vm)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *last = NULL, *text = run(runs, vm, &last, &error);
    g_auto(GStrv) words = text ? forecast_answer_read(text, strlen(text), &error) : NULL;
    VmEntry *entry = vm_book_entry(runs->book, vm->vm_id, vm->domain_id);
    runs->report->made++;
    runs->hangs = g_error_matches(error, CHILD_ERROR, CHILD_ERROR_TIME) ? runs->hangs + 1 : 0;
    if (!words)
        fail(runs, entry, error->message);
    else if (!*words)
        take_silence(runs, entry, last);
    else
        take(runs, entry, words);
}

/* --- all of them --- */

static void keep(Runs *runs, bool at_once)
{
    const gint64 now = g_get_monotonic_time();
    if (!runs->options->keep || (!at_once && now - runs->kept < KEEP_EVERY_US))
        return;
    runs->options->keep(runs->book, runs->options->data);
    runs->kept = now;
}

static bool has_failures(const VmBook *book, const Sample *sample)
{
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        const VmEntry *entry = vm_book_find(book, vm->vm_id, vm->domain_id);
        if (entry && entry->failures > 0)
            return true;
    }
    return false;
}

void forecast_runs_make(const Sample *sample, VmBook *book, const ForecastRunsOptions *options, gint64 now_s,
                        ForecastRunsReport *ret_report)
{
    *ret_report = (ForecastRunsReport){0};
    g_auto(GStrv) environment = make_environment();
    const gint64 now = g_get_monotonic_time();
    Runs runs = {.options = options,
                 .book = book,
                 .environment = environment,
                 .began = now,
                 .kept = now,
                 .began_s = now_s,
                 .report = ret_report};
    vm_book_prune(book, sample);
    g_autoptr(GArray) due = find_due(&runs, sample);
    for (guint i = 0; i < due->len && g_get_monotonic_time() - now < options->round_ms * 1000; i++) {
        const VmSample *vm = g_array_index(due, Due, i).vm;
        if (runs.hangs < FORECAST_HANGS_MAX)
            run_for(&runs, vm);
        else
            fail(&runs, vm_book_entry(book, vm->vm_id, vm->domain_id), NULL);
        keep(&runs, false);
    }
    ret_report->all_well = !has_failures(book, sample);
    keep(&runs, true);
}

void forecast_runs_report_clear(ForecastRunsReport *report)
{
    g_free(report->trouble);
    *report = (ForecastRunsReport){0};
}

void forecast_runs_attach(Sample *sample, const VmBook *book, gint64 now_s)
{
    for (guint i = 0; i < sample->vms->len; i++) {
        VmSample *vm = g_ptr_array_index(sample->vms, i);
        g_strfreev(vm->forecasts);
        vm->forecasts = vm_entry_answers(vm_book_find(book, vm->vm_id, vm->domain_id), now_s, FORECAST_AGE_MAX_S);
    }
}
