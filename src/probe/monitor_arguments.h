/* SPDX-License-Identifier: Apache-2.0
 * The command line of vm_monitor: OpenNebula's, which ends in HOST_ID and HOST_NAME, or a person's. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* As their names for --format go; the last is --explain's. */
enum { FORMAT_ONE, FORMAT_LINE, FORMAT_JSON, FORMAT_PROMETHEUS, FORMAT_DOMSTATS, FORMAT_EXPLAIN };

typedef struct {
    char *config_path, *uri, *state_dir, *record, *format_name, *deadline; /* NULL: not given */
    char **replay, **positional;
    gboolean spool, explain, dry_run, dump_config, ask_guests;
    int format;
    bool by_opennebula; /* called with OpenNebula's arguments, not by a person */
} MonitorArguments;

/* Fills in `arguments`, which is all zero. --help and --version end the program. false: wrong usage. */
bool monitor_arguments_parse(MonitorArguments *arguments, int *argc, char ***argv, GError **error);
void monitor_arguments_clear(MonitorArguments *arguments);
