/* SPDX-License-Identifier: Apache-2.0
 * What telemetryd's configuration says, as the options of its parts. Nothing else of it reads the configuration. */
#pragma once

#include "serve/server.h"

typedef struct {
    ServerOptions server;       /* its texts are owned by the settings */
    CollectorOptions collector; /* without api and callbacks */
    StoreOptions store;
    HistoryOptions history;
    AnswerOptions answers;
    bool collector_enabled, history_enabled;
    gsize max_body_plain;
    char *state_dir, *history_file, *address, *host;
    char *state_parent; /* a directory of ours that state_dir is in, to be made first; NULL: none */
    char *read_token, *write_token, *cert, *key;
    char **origins, **uris;
} Settings;

/* Reads tokens, certificate and key. NULL: the error is one line that names section and option, and says what to do.
 * Errors: CONFIG_ERROR_VALUE, FILE_ERROR, those of server_check_tls. */
Settings *settings_new(const Config *config, GError **error);
void settings_free(Settings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Settings, settings_free)

/* Whether the server has to be started anew to go over from one to the other. */
bool settings_same_server(const Settings *a, const Settings *b);
