/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/running.h"

#include "base/file.h"
#include "base/log.h"

#include <string.h>

#define NAME "collector"
#define RUNNING "running\n"
#define STOPPED "stopped\n"
#define LENGTH_MAX 64

bool running_load(const char *state_dir, bool standard)
{
    gsize length;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    FILE_AUTO_CLOSE int dir = file_open_private_dir(state_dir, &error);
    if (dir < 0 || !file_read_private(dir, NAME, LENGTH_MAX, &text, &length, &error)) {
        if (!g_error_matches(error, FILE_ERROR, FILE_ERROR_MISSING))
            log_warning("whether the collector is to run is not known: %s; as the configuration says", error->message);
        return standard;
    }
    if (strcmp(text, RUNNING) == 0 || strcmp(text, STOPPED) == 0)
        return strcmp(text, RUNNING) == 0;
    log_warning("%s/%s is damaged: the collector runs as the configuration says", state_dir, NAME);
    return standard;
}

bool running_save(const char *state_dir, bool running, GError **error)
{
    const char *text = running ? RUNNING : STOPPED;
    FILE_AUTO_CLOSE int dir = file_open_private_dir(state_dir, error);
    return dir >= 0 && file_write_private(dir, NAME, text, strlen(text), error);
}
