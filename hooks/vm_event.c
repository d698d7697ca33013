/* SPDX-License-Identifier: Apache-2.0
 * The state hook: OpenNebula's hook manager runs it on the front-end when a VM changes its state, with the VM's
 * document. It queues an event (series vm_events) and what is told of the VM (vm_info) for the sinks, and starts the
 * forwarder. What it prints is kept by OpenNebula: onehook show. */
#include "base/config.h"
#include "base/log.h"
#include "base/program.h"
#include "base/remotes.h"
#include "base/text.h"
#include "deliver/enqueue.h"
#include "encode/line_protocol.h"
#include "gather/host.h"
#include "gather/state.h"
#include "gather/vm_document.h"
#include "probe/event_moment.h"
#include "probe/spooling.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_DOCUMENT = 3 };

#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)
#define READ_BYTES 65536 /* of standard input at a time */
#define NAME_BYTES 100   /* of a VM's name in what is printed */

typedef struct {
    char *config_path;
    char **positional;
    gboolean dry_run;
} Arguments;

typedef struct {
    Arguments arguments;
    Config *config;
    char *program, *config_file; /* this one's own file, and the configuration that was read; NULL: unknown, none */
    Spooling *spooling;          /* NULL: no sink is configured */
} Hook;

/* --- arguments and configuration --- */

static bool parse_arguments(Arguments *arguments, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config_path,
         "configuration file (default: telemetry.conf of the tree the hook is in, and where that has no "
         "sink, " REMOTES_FRONT_END_CONFIG ")",
         "FILE"},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &arguments->dry_run,
         "print the lines that would be queued; queues nothing", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->positional, NULL, "[DOCUMENT]"},
        {.long_name = NULL},
    };
    const ProgramOptions options = {
        .name = "vm_event",
        .summary = "OpenNebula's state hook: queues a VM's change of state for the configured sinks.",
        .description = "The VM's document is read from standard input, or is DOCUMENT: base64, as OpenNebula gives it, "
                       "or XML, as in\n"
                       "  onevm show -x 9 | vm_event --dry-run\n"
                       "Exit status: 0 done, 1 it could not be queued (onehook retry helps once that is mended), 2 "
                       "wrong usage or\n"
                       "configuration, 3 the document is bad (to try again does not help). More: man 1 vm_event\n",
        .entries = entries,
    };
    if (!program_parse(&options, argc, argv, error))
        return false;
    if (arguments->positional && g_strv_length(arguments->positional) > 1)
        return program_usage(error, "expected one document at most");
    return true;
}

/* One file, or NULL: all defaults. Called once more it begins anew. */
static bool load_file(Hook *hook, const char *path, GError **error)
{
    config_free(hook->config);
    g_free(hook->config_file);
    hook->config = config_new();
    hook->config_file = path ? realpath(path, NULL) : NULL;
    if (path && !config_load(hook->config, path, error))
        return false;
    g_autoptr(GError) reason = NULL;
    hook->spooling = spooling_new(hook->config, hook->config_file, hook->program, &reason);
    if (!reason)
        return true;
    g_propagate_prefixed_error(error, g_steal_pointer(&reason), "%s: ", path ? path : "defaults");
    return false;
}

/* The hosts' sinks are where their VMs' figures are, so events go there too: the tree's file comes first. The
 * front-end's own has telemetryd's sinks, which may not lead to itself. */
static bool load_config(Hook *hook, GError **error)
{
    g_autofree char *tree = hook->program ? remotes_hook_config_file(hook->program) : NULL;
    const char *const standard[] = {tree ? tree : REMOTES_FRONT_END_CONFIG, tree ? REMOTES_FRONT_END_CONFIG : NULL,
                                    NULL};
    g_autofree char *first = config_find(hook->arguments.config_path, standard);
    if (!load_file(hook, first, error))
        return false;
    const bool is_tree = first && tree && strcmp(first, tree) == 0;
    if (hook->spooling || !is_tree || !g_file_test(REMOTES_FRONT_END_CONFIG, G_FILE_TEST_EXISTS))
        return true;
    return load_file(hook, REMOTES_FRONT_END_CONFIG, error);
}

/* --- the document --- */

/* At most one byte more than is taken, so that it is known to be too much. NULL: errno. Owned by the caller. */
static GString *read_input(void)
{
    g_autofree char *buffer = g_malloc(READ_BYTES);
    GString *text = g_string_new(NULL);
    gssize got = 1;
    while (got != 0 && text->len <= VM_DOCUMENT_INPUT_MAX) {
        got = read(STDIN_FILENO, buffer, READ_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            g_string_free(text, TRUE);
            return NULL;
        }
        g_string_append_len(text, buffer, got);
    }
    return text;
}

static GString *take_input(const Arguments *arguments, GError **error)
{
    if (arguments->positional && arguments->positional[0])
        return g_string_new(arguments->positional[0]);
    if (isatty(STDIN_FILENO)) {
        program_usage(error, "expected a VM's document on standard input, as onevm show -x prints it");
        return NULL;
    }
    GString *input = read_input();
    if (!input)
        g_set_error(error, VM_DOCUMENT_ERROR, VM_DOCUMENT_ERROR_EMPTY, "standard input: %s", g_strerror(errno));
    return input;
}

/* When it was first told, for an event without a stamp; 0: it is an old one that is tried again. */
static gint64 moment_of(const Hook *hook, const VmDocument *document, const EventTold *told, gint64 now_ns)
{
    const char *set = config_text(hook->config, CONFIG_probe_state_dir);
    g_autofree char *state_dir = *set ? g_strdup(set) : state_default_dir();
    g_autoptr(GError) error = NULL;
    if (strcmp(document->event->state, "DONE") == 0) {
        event_moment_forget(state_dir, told->vm_id);
        return now_ns;
    }
    const gint64 moment_ns = event_moment_of(state_dir, told, now_ns, &error);
    if (error && vm_document_time(document, now_ns / NS_PER_SECOND) == 0)
        log_warning("%s; told again, this event would be another one", error->message);
    return moment_ns;
}

static gint64 time_of(const Hook *hook, const VmDocument *document, const char *xml, gsize length)
{
    const EventTold told = {document->event->vm_id, xml, length, vm_document_latest(document)};
    const gint64 now_ns = host_realtime_ns(), stamp_s = vm_document_time(document, now_ns / NS_PER_SECOND);
    const gint64 moment_ns = hook->arguments.dry_run ? now_ns : moment_of(hook, document, &told, now_ns);
    return stamp_s ? stamp_s * NS_PER_SECOND : moment_ns;
}

/* The time of its event is 0 where that is not known. */
static VmDocument *read_document(const Hook *hook, const GString *input, GError **error)
{
    gsize length;
    g_autofree char *xml = vm_document_decode(input->str, input->len, &length, error);
    VmDocument *document = xml ? vm_document_read(xml, length, error) : NULL;
    if (document)
        document->event->time_ns = time_of(hook, document, xml, length);
    return document;
}

/* --- the lines --- */

/* Takes the VM of the document over. */
static GString *lines_of(VmDocument *document)
{
    g_autoptr(Sample) sample = sample_new();
    sample->host = g_strdup(document->event->host);
    sample->realtime_ns = document->event->time_ns;
    g_ptr_array_add(sample->vms, g_steal_pointer(&document->vm));
    GString *lines = line_protocol_write(sample, SERIES_INFO);
    line_protocol_append_event(lines, document->event);
    return lines;
}

static char *printable(const char *text)
{
    return log_quote(text ? text : "", text ? strlen(text) : 0, NAME_BYTES);
}

/* "VM 9 lab-idle: ACTIVE/RUNNING on localhost" */
static char *describe(const VmEvent *event)
{
    g_autofree char *name = printable(event->vm_name), *host = printable(event->host);
    const bool has_lcm_state = strcmp(event->lcm_state, "LCM_INIT") != 0;
    return g_strdup_printf("VM %" G_GUINT64_FORMAT "%s%s: %s%s%s%s%s", event->vm_id, *name ? " " : "", name,
                           event->state, has_lcm_state ? "/" : "", has_lcm_state ? event->lcm_state : "",
                           *host ? " on " : "", host);
}

static int queue(const Spooling *spooling, const GString *lines, GError **error)
{
    g_autofree char *host = host_name();
    if (!enqueue_lines(spooling->path, spooling->sinks, host, host_realtime_ns(), lines->str, lines->len, error)) {
        g_prefix_error(error, "not queued: ");
        return EXIT_FAILED;
    }
    if (!spooling_has_forwarder(spooling, error))
        return EXIT_USAGE;
    return spooling_start_forwarder(spooling, error) ? EXIT_DONE : EXIT_FAILED;
}

static int queue_and_tell(const Hook *hook, VmDocument *document, GError **error)
{
    g_autofree char *what = describe(document->event);
    if (document->event->time_ns == 0) {
        printf("%s, is not queued: a later document of the VM was told since, and this one does not say when it was\n",
               what);
        return EXIT_DONE;
    }
    g_autoptr(GString) lines = lines_of(document);
    const char *strange = vm_document_knows_states(document) ? "" : "; its state's number is not known to this version";
    if (hook->arguments.dry_run) {
        fputs(lines->str, stdout);
        return EXIT_DONE;
    }
    if (!hook->spooling) {
        printf("%s, goes nowhere: no sink is configured in %s%s\n", what,
               hook->config_file ? hook->config_file : REMOTES_FRONT_END_CONFIG, strange);
        return EXIT_DONE;
    }
    int status = queue(hook->spooling, lines, error);
    if (status != EXIT_DONE) {
        g_prefix_error(error, "%s: ", what);
        return status;
    }
    g_autofree char *sinks = text_count(hook->spooling->sinks->len, "sink", "sinks");
    printf("%s, queued for %s%s\n", what, sinks, strange);
    return EXIT_DONE;
}

/* --- the run --- */

/* A wrong configuration is told of before a bad document: it is wrong for all of them. */
static int run(Hook *hook, GError **error)
{
    if (!load_config(hook, error))
        return EXIT_USAGE;
    g_autoptr(GString) input = take_input(&hook->arguments, error);
    g_autoptr(VmDocument) document = input ? read_document(hook, input, error) : NULL;
    if (document)
        return queue_and_tell(hook, document, error);
    return *error && (*error)->domain == VM_DOCUMENT_ERROR ? EXIT_DOCUMENT : EXIT_USAGE;
}

static int start(Hook *hook, int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int status = EXIT_USAGE;
    if (parse_arguments(&hook->arguments, &argc, &argv, &error))
        status = run(hook, &error);
    if (error)
        log_error("%s", error->message);
    if (fflush(stdout) == 0 || status != EXIT_DONE)
        return status;
    log_error("cannot write to standard output: %s", g_strerror(errno));
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    program_begin();
    mallopt(M_ARENA_MAX, 1);
    umask(077);
    log_init("vm_event", LOG_TO_STDERR, LOG_LEVEL_INFO);
    Hook hook = {.config = config_new(), .program = g_file_read_link("/proc/self/exe", NULL)};
    int status = start(&hook, argc, argv);
    if (hook.spooling)
        spooling_free(hook.spooling);
    config_free(hook.config);
    g_free(hook.program);
    g_free(hook.config_file);
    g_free(hook.arguments.config_path);
    g_strfreev(hook.arguments.positional);
    return status;
}
