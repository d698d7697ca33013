/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/forecasting.h"

#include "base/file.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/remotes.h"
#include "deliver/start.h"
#include "gather/forecast_conf.h"
#include "gather/monitor_configuration.h"
#include "probe/aside.h"
#include "probe/forecast_db.h"
#include "probe/forecast_runs.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define FILES_LOCK "forecast.lock"
#define RUNS_LOCK "forecaster.lock"
#define BOOK "forecasts"

G_STATIC_ASSERT(FORECAST_ROUND_MS + FORECAST_RUN_MS < FORECASTING_RUNS_LIMIT_MS);

enum { FILES_AUTO, FILES_YES, FILES_NO }; /* as in options.def */

bool forecasting_wanted(const ForecastingPlace *place)
{
    gint64 files = config_integer(place->config, CONFIG_forecast_files);
    if (files != FILES_AUTO)
        return files == FILES_YES;
    return place->program && remotes_has_forecaster(place->program) && remotes_can_forecast("");
}

static bool is_switched_off(const ForecastingPlace *place)
{
    return config_integer(place->config, CONFIG_forecast_files) == FILES_NO ||
           !config_integer(place->config, CONFIG_forecast_run);
}

static gint64 now_s(void)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

void forecasting_attach(Sample *sample, const ForecastingPlace *place)
{
    if (is_switched_off(place))
        return;
    g_autoptr(VmBook) book = aside_load_book(place->state_dir, BOOK, place->state_name);
    forecast_runs_attach(sample, book, now_s());
}

/* --- in its own process: the files --- */

static const char *dir_of(const ForecastingPlace *place)
{
    const char *dir = config_text(place->config, CONFIG_forecast_dir);
    return *dir ? dir : FORECAST_DIR;
}

static void put(const ForecastingPlace *place, const ForecastConf *conf, const char *conf_trouble, const Sample *sample,
                int lock)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *trouble = NULL;
    const ForecastOptions options = {.dir = dir_of(place), .weeks = conf->weeks};
    ForecastReport done;
    if (!forecast_db_put(sample, &options, &done, &error))
        trouble = g_strdup(error->message);
    else if (conf_trouble)
        trouble = g_strdup_printf("%s; new files keep %u weeks", conf_trouble, conf->weeks);
    if (done.mended)
        log_warning("%u of the forecaster's files were damaged, and are begun anew: %s", done.mended, options.dir);
    aside_report(lock, "OpenNebula's forecaster lacks figures", trouble);
}

/* --- the forecasts --- */

/* Of the same file that the forecaster reads it from. */
static guint64 probe_period_s(const ForecastingPlace *place)
{
    g_autofree char *path = g_build_filename(dir_of(place), "config", NULL), *text = NULL;
    gsize length;
    if (file_read(path, MONITOR_CONFIGURATION_MAX, &text, &length, NULL))
        return monitor_configuration_vm_s(text, length);
    return MONITOR_VM_S;
}

typedef struct {
    const ForecastingPlace *place;
    GError *error;
} Keeping;

static void keep(const VmBook *book, gpointer data)
{
    Keeping *keeping = data;
    g_clear_error(&keeping->error);
    aside_save_book(book, keeping->place->state_dir, BOOK, keeping->place->state_name, &keeping->error);
}

/* Trouble that comes and goes, of one VM or another, is told once an hour. */
static void report(int lock, const ForecastRunsReport *done, const GError *error)
{
    const char *trouble = error ? error->message : done->trouble;
    if (trouble ? !aside_has_told(lock) : done->all_well)
        aside_report(lock, "OpenNebula's forecaster fails", trouble);
}

static void forecast(const ForecastingPlace *place, const ForecastConf *conf, const char *script, const Sample *sample,
                     int lock)
{
    Keeping keeping = {.place = place};
    const ForecastRunsOptions options = {.script = script,
                                         .dir = dir_of(place),
                                         .conf = conf,
                                         .probe_period_s = probe_period_s(place),
                                         .interval_s = config_integer(place->config, CONFIG_forecast_interval),
                                         .run_ms = FORECAST_RUN_MS,
                                         .round_ms = FORECAST_ROUND_MS,
                                         .keep = keep,
                                         .data = &keeping};
    g_autoptr(VmBook) book = aside_load_book(place->state_dir, BOOK, place->state_name);
    ForecastRunsReport done;
    forecast_runs_make(sample, book, &options, now_s(), &done);
    report(lock, &done, keeping.error);
    forecast_runs_report_clear(&done);
    g_clear_error(&keeping.error);
}

/* The path of what poll.rb starts; NULL: nothing is to be forecast, or there is nothing to do it. Owned by the caller.
 */
static char *script_to_run(const ForecastingPlace *place, const ForecastConf *conf)
{
    if (is_switched_off(place) || (!conf->near && !conf->far) || !place->program)
        return NULL;
    return remotes_forecaster(place->program);
}

/* --- both --- */

/* The files' lock is given back before the forecasts, which take longer than a cycle. */
static void work(const ForecastingPlace *place, const Sample *sample)
{
    g_autoptr(GError) reason = NULL;
    ForecastConf conf;
    {
        FILE_AUTO_CLOSE int lock = aside_lock(place->state_dir, FILES_LOCK);
        if (lock < 0)
            return;
        forecast_conf_read(place->program, &conf, &reason);
        put(place, &conf, reason ? reason->message : NULL, sample, lock);
    }
    g_autofree char *script = script_to_run(place, &conf);
    FILE_AUTO_CLOSE int lock = script ? aside_lock(place->state_dir, RUNS_LOCK) : -1;
    if (lock < 0)
        return;
    guard_arm(EXIT_SUCCESS, FORECASTING_RUNS_LIMIT_MS, "some VMs have no forecast");
    forecast(place, &conf, script, sample, lock);
}

bool forecasting_start(const ForecastingPlace *place, const Sample *sample, GError **error)
{
    pid_t pid = start_fork(error);
    if (pid != 0)
        return pid > 0;
    signal(SIGPIPE, SIG_IGN);
    log_init("vm_monitor", LOG_TO_SYSLOG, (LogLevel)config_integer(place->config, CONFIG_log_level));
    guard_arm(EXIT_SUCCESS, FORECASTING_LIMIT_MS, "OpenNebula's forecaster lacks a sample");
    work(place, sample);
    _exit(EXIT_SUCCESS);
}
