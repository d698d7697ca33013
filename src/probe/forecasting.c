/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/forecasting.h"

#include "base/guard.h"
#include "base/log.h"
#include "base/remotes.h"
#include "deliver/start.h"
#include "gather/forecast_conf.h"
#include "probe/aside.h"
#include "probe/forecast_db.h"

#include <stdlib.h>
#include <unistd.h>

#define LOCK_FILE "forecast.lock"

enum { FILES_AUTO, FILES_YES, FILES_NO }; /* as in options.def */

bool forecasting_wanted(const Config *config, const char *program)
{
    gint64 files = config_integer(config, CONFIG_forecast_files);
    if (files != FILES_AUTO)
        return files == FILES_YES;
    return program && remotes_has_forecaster(program) && remotes_can_forecast("");
}

/* --- in its own process --- */

static void put(const Config *config, const char *program, const Sample *sample, int lock_fd)
{
    g_autoptr(GError) conf_error = NULL, error = NULL;
    const char *dir = config_text(config, CONFIG_forecast_dir);
    const ForecastOptions options = {
        .dir = *dir ? dir : FORECAST_DIR,
        .weeks = forecast_conf_read(program, &conf_error),
    };
    ForecastReport done;
    forecast_db_put(sample, &options, &done, &error);
    if (done.mended)
        log_warning("%u of the forecaster's files were damaged, and are begun anew: %s", done.mended, options.dir);
    const GError *trouble = error ? error : conf_error;
    aside_report(lock_fd, "OpenNebula's forecaster lacks figures", trouble ? trouble->message : NULL);
}

bool forecasting_start(const Config *config, const char *program, const char *state_dir, const Sample *sample,
                       GError **error)
{
    pid_t pid = start_fork(error);
    if (pid != 0)
        return pid > 0;
    log_init("vm_monitor", LOG_TO_SYSLOG, (LogLevel)config_integer(config, CONFIG_log_level));
    guard_arm(EXIT_SUCCESS, FORECASTING_LIMIT_MS, "OpenNebula's forecaster lacks a sample");
    int fd = aside_lock(state_dir, LOCK_FILE);
    if (fd >= 0)
        put(config, program, sample, fd);
    _exit(EXIT_SUCCESS);
}
