/* SPDX-License-Identifier: Apache-2.0
 * What telemetryd is told: its arguments, and what a start and each reload read, configuration, sinks and settings. */
#pragma once

#include "probe/spooling.h"
#include "serve/settings.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef struct {
    char *config_path, *listen, *port, *state_dir;
    gboolean check_config, dump_config;
    char *program; /* this one's file */
} Arguments;

/* Errors: G_OPTION_ERROR. */
bool arguments_parse(Arguments *arguments, int *argc, char ***argv, GError **error);

typedef struct {
    Config *config;
    char *config_file; /* NULL: none */
    Settings *settings;
    Spooling *spooling; /* NULL: no sinks */
} Loaded;

/* Whatever it returns, loaded_clear follows. */
bool loaded_read(const Arguments *arguments, Loaded *loaded, GError **error);
void loaded_clear(Loaded *loaded);

/* To the log, where there are sinks and nothing that would send to them. */
void loaded_warn(const Loaded *loaded);

/* --check-config: says what there is to say. Returns the exit status. */
int loaded_check(const Arguments *arguments);
