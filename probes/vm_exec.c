/* SPDX-License-Identifier: Apache-2.0
 * In the place of OpenNebula's vm/execution/exec.rb: reports the commands that have ended in guests. Nearly always none
 * has been begun, and then this is a look at a directory: neither configuration nor libvirt are loaded. */
#include "base/config.h"
#include "base/file.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/program.h"
#include "base/text.h"
#include "encode/exec_record.h"
#include "encode/one_record.h"
#include "gather/guest_ask.h"
#include "gather/guest_exec.h"
#include "gather/pending.h"
#include "probe/probe_settings.h"
#include "probe/said.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define DEADLINE_S 10.0     /* of asking */
#define PATIENCE_PARTS 5    /* a guest has this part of it for its first sign of life */
#define LOCK_MS 5000        /* after that */
#define GUARD_GRACE_MS 5000 /* and the guard ends the run so long after both */
#define DETAIL_MAX 300      /* bytes of what libvirt says, in which a guest has its say */
#define NOTHING_SENT "no command's end is reported in this cycle"
#define REPORTED "OpenNebula has been told, but the commands' files may still be there"

typedef struct {
    char *config_path, *uri, *directory;
    double deadline;
    char **positional;
    gboolean dry_run;
    bool by_opennebula;
} Arguments;

typedef struct {
    Arguments arguments;
    char *program; /* the probe's own file, links resolved; NULL unknown */
    char *uri;
    Said *said;            /* NULL: everything is said at once, as on a terminal */
    GPtrArray *pending;    /* of Pending */
    GPtrArray *commands;   /* for their agents, of char*, in the same order */
    GPtrArray *complaints; /* of char*, from before there was a Said */
    bool failed;           /* something of it is wrong, as a dry run's exit status says */
} Run;

/* --- arguments --- */

static bool check_arguments(Arguments *arguments, GError **error)
{
    guint words = arguments->positional ? g_strv_length(arguments->positional) : 0;
    arguments->by_opennebula = words > 1;
    if (words == 1)
        return program_usage(error, PROBE_WORDS_WRONG);
    if (!words && !arguments->dry_run)
        return program_usage(
            error, "an agent tells but once that a command has ended, and OpenNebula would not get to know: by "
                   "hand use --dry-run");
    if (!(arguments->deadline >= 3 && arguments->deadline <= 60)) /* a command needs GUEST_ASK_RESERVE_MS of it */
        return program_usage(error, "--deadline: expected a number of seconds from 3 to 60");
    return true;
}

static bool parse_arguments(Arguments *arguments, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"uri", 'u', 0, G_OPTION_ARG_STRING, &arguments->uri,
         "libvirt connection (default: as vm_monitor has it: configuration, OpenNebula's kvmrc, else qemu:///system)",
         "URI"},
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config_path, PROBE_CONFIG_HELP, "FILE"},
        {"dir", 0, 0, G_OPTION_ARG_FILENAME, &arguments->directory,
         "where OpenNebula notes the commands that it has begun (default: " PENDING_DIR ")", "DIR"},
        {"deadline", 'd', 0, G_OPTION_ARG_DOUBLE, &arguments->deadline,
         "have asked by then, whatever libvirt and guests do (default: 10)", "SECONDS"},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &arguments->dry_run,
         "say what is pending and whether those guests' agents answer; nothing is asked of commands, nothing removed",
         NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments->positional, NULL, PROBE_WORDS_HELP},
        {.long_name = NULL},
    };
    const ProgramOptions options = {
        .name = "vm_exec",
        .summary = "Reports the commands that OpenNebula has begun in this KVM host's guests (onevm exec) and that "
                   "have ended.",
        .description =
            "With HOST_ID and HOST_NAME it behaves as OpenNebula's probe: messages go to syslog, and the exit\n"
            "status is 0 whatever happens. More: man 1 vm_exec\n",
        .entries = entries,
    };
    return program_parse(&options, argc, argv, error) && check_arguments(arguments, error);
}

static const char *directory_of(const Run *run)
{
    return run->arguments.directory ? run->arguments.directory : PENDING_DIR;
}

static gint64 deadline_ms(const Run *run)
{
    return (gint64)(1000 * run->arguments.deadline);
}

/* --- what there is to complain about --- */

/* `topic`: what a cycle that has the same to say is known by. The text is one line of ours with a detail that may be
 * anybody's, or NULL. */
static void complain(Run *run, const char *topic, const char *text, const char *detail)
{
    run->failed = true;
    g_autofree char *quoted = detail ? log_quote(detail, strlen(detail), DETAIL_MAX) : g_strdup("");
    if (!run->said || said_is_due(run->said, topic))
        log_warning("%s%s%s", text, detail ? ": " : "", quoted);
}

static void complain_of_guest(Run *run, const Pending *pending, const GError *error)
{
    const char *advice = "";
    if (g_error_matches(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_NO_DOMAIN))
        advice = ", and does not run here; rm the file if it won't be back";
    else if (g_error_matches(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LOST))
        advice = ", but of more than 3 MB of output libvirt passes on nothing, and its agent won't tell again; onevm "
                 "exec-cancel ends it";
    else if (g_error_matches(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_REFUSED) || error->domain == GUEST_EXEC_ERROR)
        advice = ", but its agent has no such command, or won't tell; onevm exec-cancel ends it";
    g_autofree char *topic = g_strdup_printf("%s: process %" G_GINT64_FORMAT ", %s %d", pending->name, pending->pid,
                                             g_quark_to_string(error->domain), error->code);
    g_autofree char *text = g_strdup_printf("%s: has a command under way as %s/%s says%s", pending->name,
                                            directory_of(run), pending->name, advice);
    complain(run, topic, text, error->message);
}

/* --- once something is pending --- */

static void settle(Run *run)
{
    g_autoptr(Config) config = config_new();
    g_autoptr(GError) error = NULL;
    /* What of it is right has been taken; vm_monitor says what is not. */
    if (!probe_settings_load(config, run->arguments.config_path, run->program, NULL, &error))
        log_debug("%s", error->message);
    run->uri = run->arguments.uri ? g_strdup(run->arguments.uri) : probe_settings_uri(config, run->program);
    if (run->arguments.dry_run)
        return;
    g_autofree char *directory = probe_settings_state_dir(config);
    run->said = said_open(directory, "vm_exec.said", time(NULL));
}

/* Those that did not answer before come last, so that they don't keep the others waiting; and where there are more than
 * a message has room for, each gets its turn. */
static void choose(Run *run)
{
    g_autoptr(GPtrArray) first = g_ptr_array_new(), last = g_ptr_array_new();
    guint n = run->pending->len, start = n > EXEC_RECORDS_MAX ? (guint)g_random_int_range(0, (gint)n) : 0;
    for (guint i = 0; i < n; i++) {
        Pending *pending = g_ptr_array_index(run->pending, (start + i) % n);
        g_autofree char *prefix = g_strconcat(pending->name, ": ", NULL);
        g_ptr_array_add(run->said && said_before(run->said, prefix) ? last : first, pending);
    }
    for (guint i = 0; i < last->len; i++)
        g_ptr_array_add(first, g_ptr_array_index(last, i));
    for (guint i = 0; i < n; i++)
        run->pending->pdata[i] = first->pdata[i];
    if (n > EXEC_RECORDS_MAX)
        g_ptr_array_set_size(run->pending, EXEC_RECORDS_MAX);
}

/* Questions in the order of run->pending. */
static GuestQuestion *ask(Run *run, bool *ret_clean)
{
    const GuestAskOptions options = {
        .api = &guest_agent_api,
        .uri = run->uri,
        .deadline_ms = deadline_ms(run),
        .patience_ms = deadline_ms(run) / PATIENCE_PARTS,
        .workers = GUEST_ASK_WORKERS,
    };
    GuestQuestion *questions = g_new0(GuestQuestion, run->pending->len);
    for (guint i = 0; i < run->pending->len; i++) {
        const Pending *pending = g_ptr_array_index(run->pending, i);
        questions[i].domain = pending->name;
        if (run->arguments.dry_run)
            continue;
        g_ptr_array_add(run->commands, guest_exec_status_command(pending->pid));
        questions[i].command = run->commands->pdata[i];
    }
    *ret_clean = guest_ask(&options, questions, run->pending->len);
    return questions;
}

static void free_questions(GuestQuestion *questions, guint count)
{
    for (guint i = 0; i < count; i++)
        guest_question_clear(&questions[i]);
    g_free(questions);
}

/* One line of trouble with libvirt itself will do for all guests. */
static void complain_of(Run *run, const Pending *pending, const GError *error)
{
    if (!g_error_matches(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT)) {
        complain_of_guest(run, pending, error);
        return;
    }
    g_autofree char *uri = text_without_users(run->uri);
    g_autofree char *text = g_strdup_printf("libvirt at %s", uri);
    complain(run, "libvirt", text, error->message);
}

/* --- what has ended --- */

typedef struct {
    Execution *execution;
    const Pending *pending;
} Ended;

static void clear_ended(gpointer data)
{
    execution_free(((Ended *)data)->execution);
}

/* Array of Ended. */
static GArray *read_answers(Run *run, const GuestQuestion *questions)
{
    GArray *ended = g_array_new(FALSE, FALSE, sizeof(Ended));
    bool libvirt_failed = false;
    g_array_set_clear_func(ended, clear_ended);
    for (guint i = 0; i < run->pending->len; i++) {
        const Pending *pending = g_ptr_array_index(run->pending, i);
        g_autoptr(GError) error = NULL;
        Ended one = {.pending = pending};
        if (questions[i].answer)
            guest_exec_status_read(questions[i].answer, strlen(questions[i].answer), pending->vm_id, pending->pid,
                                   &one.execution, &error);
        const GError *reason = error ? error : questions[i].error;
        bool is_libvirt = g_error_matches(reason, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT);
        if (one.execution)
            g_array_append_val(ended, one);
        else if (reason && !(is_libvirt && libvirt_failed))
            complain_of(run, pending, reason);
        libvirt_failed |= is_libvirt;
    }
    return ended;
}

static gint by_vm(gconstpointer a, gconstpointer b)
{
    guint64 left = ((const Ended *)a)->execution->vm_id, right = ((const Ended *)b)->execution->vm_id;
    return left < right ? -1 : left > right;
}

/* Those that OpenNebula has cancelled meanwhile, or whose VM has another command now, are nothing it waits for. */
static void drop_cancelled(const Run *run, GArray *ended)
{
    for (guint i = ended->len; i-- > 0;) {
        const Pending *pending = g_array_index(ended, Ended, i).pending;
        if (pending_is_there(directory_of(run), pending))
            continue;
        log_info("%s: OpenNebula waits no more for its command", pending->name);
        g_array_remove_index(ended, i);
    }
}

static GString *encode(const GArray *ended)
{
    g_autoptr(GPtrArray) executions = g_ptr_array_new();
    for (guint i = 0; i < ended->len; i++)
        g_ptr_array_add(executions, g_array_index(ended, Ended, i).execution);
    ExecReport report;
    GString *text = exec_records_write(executions, ONE_MESSAGE_MAX, &report);
    for (guint i = 0; i < ended->len && report.limit != G_MAXSIZE; i++) {
        const Execution *execution = g_array_index(ended, Ended, i).execution;
        gsize output = strlen(execution->output), errors = strlen(execution->errors);
        if (MAX(output, errors) > report.limit)
            log_warning("%s: its command's output was cut at %" G_GSIZE_FORMAT
                        " bytes, as OpenNebula's message has no room for more",
                        g_array_index(ended, Ended, i).pending->name, report.limit / 4 * 3);
    }
    return text;
}

/* --- output --- */

/* A crash in mid-write leaves half a record, which OpenNebula can't read: then rather no output at all. */
static bool print(Run *run, const GString *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) read_back = exec_records_read(text->str, text->len, &error);
    if (!read_back) {
        log_error("what was to be said failed our own check: %s", error->message);
        run->failed = true;
        return false;
    }
    guard_change(EXIT_FAILED, NOTHING_SENT);
    bool written = file_write_all(STDOUT_FILENO, text->str, text->len);
    int number = errno;
    guard_change(EXIT_DONE, written ? REPORTED : NOTHING_SENT);
    if (!written) {
        log_error("cannot write to standard output: %s", g_strerror(number));
        run->failed = true;
    }
    return written;
}

static void print_nothing(Run *run)
{
    g_autoptr(GString) nothing = g_string_new("\n");
    print(run, nothing);
}

static void remove_files(Run *run, const GArray *ended)
{
    for (guint i = 0; i < ended->len; i++) {
        const Pending *pending = g_array_index(ended, Ended, i).pending;
        g_autoptr(GError) error = NULL;
        if (pending_remove(directory_of(run), pending, &error))
            continue;
        g_autofree char *text =
            g_strdup_printf("%s/%s can't be removed, though its command has ended", directory_of(run), pending->name);
        complain(run, text, text, error->message);
    }
}

/* OpenNebula's driver begins and cancels commands with its lock held: the files can't change between our last look at
 * them and their removal. It may have to wait for a guest, for ever so long: then we go on. */
static void report(Run *run, GArray *ended)
{
    g_autoptr(GError) error = NULL;
    FILE_AUTO_CLOSE int lock = pending_lock(directory_of(run), LOCK_MS, &error);
    if (lock < 0) {
        g_autofree char *text = g_strdup_printf("going on without the lock %s/" PENDING_LOCK, directory_of(run));
        complain(run, "lock", text, error->message);
    }
    drop_cancelled(run, ended);
    g_array_sort(ended, by_vm);
    g_autoptr(GString) text = encode(ended);
    if (print(run, text))
        remove_files(run, ended);
}

/* --- a dry run --- */

static void show(Run *run, const GuestQuestion *questions)
{
    for (guint i = 0; i < run->pending->len; i++) {
        const Pending *pending = g_ptr_array_index(run->pending, i);
        const GError *error = questions[i].error;
        g_autofree char *reason = error ? log_quote(error->message, strlen(error->message), DETAIL_MAX) : NULL;
        printf("# %s: process %" G_GINT64_FORMAT ": %s\n", pending->name, pending->pid,
               reason ? reason : "its agent answers");
        run->failed |= error != NULL;
    }
    if (!run->pending->len)
        printf("# nothing is pending in %s\n", directory_of(run));
    if (fflush(stdout) != 0)
        run->failed = true;
}

/* --- the run --- */

static int status_of(const Run *run)
{
    return run->failed && run->arguments.dry_run ? EXIT_FAILED : EXIT_DONE;
}

static void ask_and_report(Run *run)
{
    bool clean = true;
    settle(run);
    for (guint i = 0; i < run->complaints->len; i++) {
        const char *text = g_ptr_array_index(run->complaints, i);
        complain(run, text, text, NULL);
    }
    choose(run);
    GuestQuestion *questions = run->pending->len ? ask(run, &clean) : g_new0(GuestQuestion, 1);
    if (run->arguments.dry_run) {
        show(run, questions);
    } else {
        g_autoptr(GArray) ended = read_answers(run, questions);
        if (ended->len)
            report(run, ended);
        else
            print_nothing(run);
        said_close(g_steal_pointer(&run->said));
    }
    free_questions(questions, run->pending->len);
    if (!clean) /* threads are blocked in libvirt: nothing may be torn down under them */
        _exit(status_of(run));
    program_leave(status_of(run));
}

static void go(Run *run)
{
    g_autoptr(GError) error = NULL;
    run->complaints = g_ptr_array_new_with_free_func(g_free);
    run->commands = g_ptr_array_new_with_free_func(g_free);
    run->pending = pending_list(directory_of(run), run->complaints, &error);
    if (!run->pending) {
        g_ptr_array_add(run->complaints, g_strdup_printf("can't look for commands: %s", error->message));
        run->pending = g_ptr_array_new();
    }
    if (run->pending->len || run->complaints->len || run->arguments.dry_run)
        ask_and_report(run);
    else
        print_nothing(run);
}

static int start(Run *run, int argc, char **argv)
{
    Arguments *arguments = &run->arguments;
    g_autoptr(GError) error = NULL;
    log_init("vm_exec", LOG_TO_STDERR, LOG_LEVEL_INFO);
    if (!parse_arguments(arguments, &argc, &argv, &error)) {
        log_error("%s", error->message);
        return EXIT_USAGE;
    }
    if (!arguments->dry_run)
        log_init("vm_exec", LOG_TO_SYSLOG, LOG_LEVEL_INFO);
    /* OpenNebula waits for a probe without limit; one that fails costs the host its state when the agent is started */
    guard_arm(arguments->dry_run ? EXIT_FAILED : EXIT_DONE, deadline_ms(run) + LOCK_MS + GUARD_GRACE_MS, NOTHING_SENT);
    go(run);
    return status_of(run);
}

static void run_clear(Run *run)
{
    g_free(run->arguments.config_path);
    g_free(run->arguments.uri);
    g_free(run->arguments.directory);
    g_strfreev(run->arguments.positional);
    g_free(run->program);
    g_free(run->uri);
    g_clear_pointer(&run->pending, g_ptr_array_unref);
    g_clear_pointer(&run->complaints, g_ptr_array_unref);
    g_clear_pointer(&run->commands, g_ptr_array_unref);
}

int main(int argc, char **argv)
{
    program_begin();
    Run run = {.arguments = {.deadline = DEADLINE_S}, .program = g_file_read_link("/proc/self/exe", NULL)};
    int status = start(&run, argc, argv);
    run_clear(&run);
    return status;
}
