/* SPDX-License-Identifier: Apache-2.0
 * one-telemetry: what an operator calls. `doctor` looks for whatever can be wrong, and says what mends it. */
#include "base/log.h"
#include "base/program.h"
#include "doctor/present.h"
#include "gather/host.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_WELL = 0, EXIT_ERRORS = 1, EXIT_USAGE = 2 };

#define EVERY_CHECK ((G_GUINT64_CONSTANT(1) << N_CHECKS) - 1)

/* --- doctor --- */

typedef struct {
    char *config, *root, *user;
    char **checks;
    gboolean front_end, host, json, quiet, deep, list;
    gint timeout; /* s; 0: none */
} Arguments;

static bool parse_arguments(Arguments *arguments, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"front-end", 0, 0, G_OPTION_ARG_NONE, &arguments->front_end,
         "check what OpenNebula's front-end needs (default: where it is one)", NULL},
        {"host", 0, 0, G_OPTION_ARG_NONE, &arguments->host, "check what a host needs (default: where it is one)", NULL},
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config,
         "the one configuration file (default: the tree's telemetry.conf, and /etc/one's on a front-end)", "FILE"},
        {"check", 'C', 0, G_OPTION_ARG_STRING_ARRAY, &arguments->checks, "only this check; repeat for several", "NAME"},
        {"deep", 'd', 0, G_OPTION_ARG_NONE, &arguments->deep,
         "what costs seconds too: runs OpenNebula's own probes beside ours", NULL},
        {"timeout", 't', 0, G_OPTION_ARG_INT, &arguments->timeout,
         "give a check up after that (default: each has its own, 10 to 150)", "SECONDS"},
        {"json", 'j', 0, G_OPTION_ARG_NONE, &arguments->json, "for scripts", NULL},
        {"quiet", 'q', 0, G_OPTION_ARG_NONE, &arguments->quiet, "only what is not ok", NULL},
        {"list", 'l', 0, G_OPTION_ARG_NONE, &arguments->list, "print the checks' names and what they are about", NULL},
        {"user", 'u', 0, G_OPTION_ARG_STRING, &arguments->user, "whom OpenNebula runs as (default: oneadmin)", "NAME"},
        {"root", 'r', 0, G_OPTION_ARG_FILENAME, &arguments->root,
         "look for OpenNebula's directories below DIR (default: /)", "DIR"},
        {.long_name = NULL},
    };
    const ProgramOptions options = {
        .summary = "Checks everything that can be wrong with one-telemetry on this front-end or host. Changes nothing.",
        .description =
            "Each finding is one line: ok, warning, error, or skipped where it was not checked; below it, what mends "
            "it.\n"
            "Exit status: 0 no error (there may be warnings), 1 at least one error, 2 wrong usage. More: man 1 "
            "one-telemetry\n",
        .entries = entries,
    };
    if (!program_parse(&options, argc, argv, error))
        return false;
    return arguments->timeout >= 0 || program_usage(error, "--timeout takes a number of seconds");
}

static bool choose_checks(const Arguments *arguments, guint64 *ret_only, GError **error)
{
    *ret_only = arguments->checks ? 0 : EVERY_CHECK;
    for (char **name = arguments->checks; name && *name; name++) {
        int number = check_find(*name);
        if (number < 0)
            return program_usage(error, "--check: there is no check \"%s\"; --list names them", *name);
        *ret_only |= G_GUINT64_CONSTANT(1) << number;
    }
    return true;
}

static bool choose_places(const Arguments *arguments, DoctorOptions *options, GError **error)
{
    options->places = (arguments->front_end ? PLACE_FRONT_END : 0) | (arguments->host ? PLACE_HOST : 0);
    if (options->places == 0)
        options->places = facts_find_places(options->root);
    if (options->places)
        return true;
    g_autofree char *remotes = facts_tree(options->root, PLACE_FRONT_END),
                    *tree = facts_tree(options->root, PLACE_HOST);
    return program_usage(error,
                         "this is neither a front-end (%s and the command onehook) nor a host (%s, which onehost sync "
                         "makes); --front-end or --host checks what is missing",
                         remotes, tree);
}

typedef struct {
    PresentOptions present;
    bool json;
    DoctorSum sum;
    GPtrArray *results; /* of CheckResult, for JSON */
} Telling;

static void free_result(gpointer data)
{
    CheckResult *result = data;
    g_ptr_array_unref(result->findings);
    g_free(result);
}

static void tell(const CheckResult *result, void *data)
{
    Telling *telling = data;
    doctor_count(&telling->sum, result);
    if (telling->json) {
        CheckResult *copy = g_new(CheckResult, 1);
        *copy = *result;
        g_ptr_array_ref(copy->findings);
        g_ptr_array_add(telling->results, copy);
        return;
    }
    g_autoptr(GString) text = g_string_new(NULL);
    present_text(text, result, &telling->present);
    fputs(text->str, stdout);
    fflush(stdout);
}

static void begin(const Telling *telling, const DoctorOptions *options, const char *machine)
{
    if (telling->json || telling->present.quiet)
        return;
    printf("one-telemetry " ONE_TELEMETRY_VERSION " on %s: %s%s%s\n\n", machine,
           options->places & PLACE_FRONT_END ? "front-end" : "",
           options->places == (PLACE_FRONT_END | PLACE_HOST) ? " and " : "",
           options->places & PLACE_HOST ? "host" : "");
    fflush(stdout);
}

static int run_doctor(const Arguments *arguments, const DoctorOptions *options, guint64 only)
{
    g_autofree char *machine = host_name();
    Telling telling = {.json = arguments->json,
                       .results = g_ptr_array_new_with_free_func(free_result),
                       .present = {.colour = isatty(STDOUT_FILENO) && !g_getenv("NO_COLOR"),
                                   .quiet = arguments->quiet,
                                   .places = options->places}};
    begin(&telling, options, machine);
    guint checks = doctor_run(options, only, tell, &telling);
    g_autofree char *sum = present_sum(&telling.sum);
    if (arguments->json) {
        g_autofree char *text = present_json(telling.results, &telling.present, machine, g_get_real_time() * 1000);
        fputs(text, stdout);
    } else if (!arguments->quiet || telling.sum.count[VERDICT_WARNING] + telling.sum.count[VERDICT_ERROR] > 0) {
        printf("\n%s\n", sum);
    }
    g_ptr_array_unref(telling.results);
    if (checks == 0)
        log_error("no such check is made here; --list says where each belongs, --front-end and --host choose");
    if (checks == 0)
        return EXIT_USAGE;
    return telling.sum.count[VERDICT_ERROR] ? EXIT_ERRORS : EXIT_WELL;
}

static int list_checks(void)
{
    static const char *const where[] = {"front-end", "host", "both", "both"};
    for (guint i = 0; i < N_CHECKS; i++)
        printf("%-12s %-10s %s\n", check_info[i].name, where[check_info[i].at], check_info[i].what);
    return EXIT_WELL;
}

/* Relative to where we are, which the checks are not. */
static void make_absolute(char **path)
{
    if (!*path || g_path_is_absolute(*path))
        return;
    g_autofree char *directory = g_get_current_dir(), *relative = *path;
    *path = g_build_filename(directory, relative, NULL);
}

static int doctor(int argc, char **argv)
{
    Arguments arguments = {0};
    g_autoptr(GError) error = NULL;
    g_set_prgname("one-telemetry doctor");
    int status = EXIT_USAGE;
    guint64 only;
    bool parsed = parse_arguments(&arguments, &argc, &argv, &error);
    make_absolute(&arguments.config);
    make_absolute(&arguments.root);
    DoctorOptions options = {.root = arguments.root && strcmp(arguments.root, "/") != 0 ? arguments.root : "",
                             .config = arguments.config ? arguments.config : g_getenv("ONE_TELEMETRY_CONF"),
                             .user = arguments.user ? arguments.user : "oneadmin",
                             .called_by = geteuid(),
                             .deep = arguments.deep,
                             .timeout_s = (guint)MAX(arguments.timeout, 0)};
    if (parsed && arguments.list)
        status = list_checks();
    else if (parsed && choose_checks(&arguments, &only, &error) && choose_places(&arguments, &options, &error))
        status = run_doctor(&arguments, &options, only);
    if (error)
        log_error("doctor: %s", error->message);
    g_free(arguments.config);
    g_free(arguments.root);
    g_free(arguments.user);
    g_strfreev(arguments.checks);
    return status;
}

/* --- all of it --- */

static int version(void)
{
    puts("one-telemetry " ONE_TELEMETRY_VERSION);
    return EXIT_WELL;
}

static int help(FILE *to, int status)
{
    fputs("Usage:\n"
          "  one-telemetry doctor [OPTION…]    look for whatever can be wrong on this front-end or host\n"
          "  one-telemetry version             print the version\n"
          "\n"
          "one-telemetry doctor --help lists its options. More: man 1 one-telemetry\n",
          to);
    return status;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_DFL);
    log_init("one-telemetry", LOG_TO_STDERR, LOG_LEVEL_INFO);
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "doctor") == 0)
        return doctor(argc - 1, argv + 1);
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0)
        return version();
    if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
        return help(stdout, EXIT_WELL);
    if (*command)
        log_error("there is no command \"%s\"", command);
    return help(stderr, EXIT_USAGE);
}
