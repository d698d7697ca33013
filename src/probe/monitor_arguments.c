/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/monitor_arguments.h"
#include "base/program.h"
#include "probe/probe_settings.h"

static const char *const format_names[] = {"one", "line", "json", "prometheus", "domstats", NULL};

static bool check_arguments(MonitorArguments *arguments, GError **error)
{
    guint words = arguments->positional ? g_strv_length(arguments->positional) : 0;
    if (words == 1)
        return program_usage(error, PROBE_WORDS_WRONG);
    arguments->by_opennebula = words > 1;
    for (arguments->format = 0; format_names[arguments->format]; arguments->format++)
        if (g_strcmp0(arguments->format_name ? arguments->format_name : "one", format_names[arguments->format]) == 0)
            break;
    if (!format_names[arguments->format])
        return program_usage(error, "--format: expected one, line, json, prometheus or domstats");
    if (arguments->explain && (arguments->format_name || arguments->by_opennebula))
        return program_usage(error, "--explain goes neither with --format nor with OpenNebula's arguments");
    if (arguments->explain)
        arguments->format = FORMAT_EXPLAIN;
    if (arguments->replay && arguments->record)
        return program_usage(error, "--record and --replay do not go together");
    if (arguments->replay && arguments->spool)
        return program_usage(error, "--spool and --replay do not go together");
    if (arguments->ask_guests && (arguments->format_name || arguments->explain || arguments->record ||
                                  arguments->replay || arguments->spool || arguments->dry_run))
        return program_usage(error, "--ask-guests goes with --uri, --config and --state-dir alone");
    if (arguments->dry_run && (arguments->spool || arguments->record))
        return program_usage(error, "--dry-run goes with neither --spool nor --record");
    return true;
}

bool monitor_arguments_parse(MonitorArguments *arguments, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"uri", 'u', 0, G_OPTION_ARG_STRING, &arguments->uri, PROBE_URI_HELP, "URI"},
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config_path, PROBE_CONFIG_HELP, "FILE"},
        {"state-dir", 's', 0, G_OPTION_ARG_FILENAME, &arguments->state_dir,
         "where the previous sample is kept (default: /var/tmp/one-telemetry-UID)", "DIR"},
        {"deadline", 'd', 0, G_OPTION_ARG_STRING, &arguments->deadline,
         "end by then, whatever libvirt does (default: 10)", "SECONDS"},
        {"format", 'f', 0, G_OPTION_ARG_STRING, &arguments->format_name,
         "one: OpenNebula's records; line: InfluxDB line protocol; json; prometheus: its text format; "
         "domstats: as virsh prints them",
         "FORMAT"},
        {"explain", 0, 0, G_OPTION_ARG_NONE, &arguments->explain,
         "print a table of all figures: who served each, libvirt, /proc or the sample before, and how old it is", NULL},
        {"record", 0, 0, G_OPTION_ARG_FILENAME, &arguments->record, "append what was collected to FILE", "FILE"},
        {"replay", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->replay,
         "take the sample from FILE (--record's or virsh domstats --raw's) instead of libvirt; repeat for several, "
         "rates are of the last two collections",
         "FILE"},
        {"spool", 0, 0, G_OPTION_ARG_NONE, &arguments->spool,
         "queue the sample for the configured sinks and start the forwarder, as when OpenNebula calls", NULL},
        {"dry-run", 'n', 0, G_OPTION_ARG_NONE, &arguments->dry_run,
         "print what would be sent, and leave no trace: the sample is not kept, nothing is queued or started", NULL},
        {"ask-guests", 0, 0, G_OPTION_ARG_NONE, &arguments->ask_guests,
         "ask the guests' agents that are due, as guestagent.conf says, and keep the answers for the next cycle", NULL},
        {"dump-config", 0, 0, G_OPTION_ARG_NONE, &arguments->dump_config,
         "print the options in effect and where they come from", NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments->positional, NULL, PROBE_WORDS_HELP},
        {.long_name = NULL},
    };
    const ProgramOptions options = {
        .name = "vm_monitor",
        .summary = "Prints OpenNebula monitoring records of all VMs (domains one-<ID>) of this KVM host.",
        .description =
            "With HOST_ID and HOST_NAME it behaves as OpenNebula's probe: messages go to syslog, and in mode "
            "\"beside\" the\n"
            "exit status is 0 whatever happens. By hand: 0 done, 1 the collection failed, 2 wrong usage or "
            "configuration.\n"
            "With its arguments and without --format it also queues the sample for the configured sinks.\n"
            "Rates need two runs, 0.1 s to 1 h apart. More: man 1 vm_monitor\n",
        .entries = entries,
    };
    return program_parse(&options, argc, argv, error) && check_arguments(arguments, error);
}

void monitor_arguments_clear(MonitorArguments *arguments)
{
    char *texts[] = {arguments->config_path, arguments->uri,         arguments->state_dir,
                     arguments->record,      arguments->format_name, arguments->deadline};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_strfreev(arguments->replay);
    g_strfreev(arguments->positional);
}
