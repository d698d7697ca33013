/* SPDX-License-Identifier: Apache-2.0 */
#include "base/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A descriptor of 0 to 2 that the caller closed would be the next file or socket we open, and get our output. Open for
 * reading alone, so that writing fails as it should. */
static void take_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

void program_begin(void)
{
    take_standard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a daemon that was killed, or a reader of our output that went away, raises it */
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes does */
}

bool program_usage(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s; see --help", text);
    return false;
}

static gboolean print_version(const char *option, const char *value, gpointer name, GError **error)
{
    (void)option;
    (void)value;
    (void)error;
    printf("%s (one-telemetry) " ONE_TELEMETRY_VERSION "\n", (const char *)name);
    exit(EXIT_SUCCESS);
}

bool program_parse(const ProgramOptions *options, int *argc, char ***argv, GError **error)
{
    const GOptionEntry version[] = {{"version", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK,
                                     (gpointer)(guintptr)print_version, "print the version", NULL},
                                    {.long_name = NULL}};
    g_autoptr(GError) reason = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    GOptionGroup *group = g_option_group_new(NULL, NULL, NULL, (gpointer)(guintptr)options->name, NULL);
    g_option_context_set_summary(context, options->summary);
    g_option_context_set_description(context, options->description);
    g_option_group_add_entries(group, options->entries);
    if (options->name)
        g_option_group_add_entries(group, version);
    g_option_context_set_main_group(context, group);
    if (!g_option_context_parse(context, argc, argv, &reason))
        return program_usage(error, "%s", reason->message);
    return *argc == 1 || program_usage(error, "unexpected argument \"%s\"", (*argv)[1]);
}

void program_leave(int status)
{
#if !defined(__SANITIZE_ADDRESS__)
    _exit(status);
#endif
    (void)status;
}
