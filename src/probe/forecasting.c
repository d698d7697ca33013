/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/forecasting.h"

#include "base/file.h"
#include "base/guard.h"
#include "base/log.h"
#include "base/remotes.h"
#include "deliver/start.h"
#include "gather/forecast_conf.h"
#include "probe/forecast_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_FILE "forecast.lock" /* its text is the trouble that the log was last told of, its time is when */
#define TROUBLE_MAX 1024
#define REMIND_S 3600

enum { FILES_AUTO, FILES_YES, FILES_NO }; /* as in options.def */

bool forecasting_wanted(const Config *config, const char *program)
{
    gint64 files = config_integer(config, CONFIG_forecast_files);
    if (files != FILES_AUTO)
        return files == FILES_YES;
    return program && remotes_has_forecaster(program) && remotes_can_forecast("");
}

/* --- in its own process --- */

/* -1: the one of an earlier cycle is at work, or the directory is not ours, which the state's own errors tell of. */
static int lock(const char *state_dir)
{
    FILE_AUTO_CLOSE int dir = file_open_private_dir(state_dir, NULL);
    int fd = dir < 0 ? -1 : openat(dir, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Tells the log when trouble begins, changes or is over, and now and then while it lasts. */
static void report(int lock_fd, const char *trouble)
{
    char told[TROUBLE_MAX + 1];
    struct stat status;
    gssize length = pread(lock_fd, told, TROUBLE_MAX, 0);
    told[MAX(length, 0)] = '\0';
    bool same = strncmp(told, trouble, TROUBLE_MAX) == 0;
    bool fresh = fstat(lock_fd, &status) == 0 && time(NULL) - status.st_mtime < REMIND_S;
    if (same && (fresh || !*trouble))
        return;
    if (*trouble)
        log_warning("OpenNebula's forecaster lacks figures: %s", trouble);
    else
        log_info("OpenNebula's forecaster gets its figures again");
    gsize bytes = MIN(strlen(trouble), TROUBLE_MAX);
    if (ftruncate(lock_fd, 0) < 0 || pwrite(lock_fd, trouble, bytes, 0) < 0)
        log_debug("%s: %s", LOCK_FILE, g_strerror(errno)); /* it is said again then */
}

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
    report(lock_fd, trouble ? trouble->message : "");
}

bool forecasting_start(const Config *config, const char *program, const char *state_dir, const Sample *sample,
                       GError **error)
{
    pid_t pid = start_fork(error);
    if (pid != 0)
        return pid > 0;
    log_init("vm_monitor", LOG_TO_SYSLOG, (LogLevel)config_integer(config, CONFIG_log_level));
    guard_arm(EXIT_SUCCESS, FORECASTING_LIMIT_MS, "OpenNebula's forecaster lacks a sample");
    int fd = lock(state_dir);
    if (fd >= 0)
        put(config, program, sample, fd);
    _exit(EXIT_SUCCESS);
}
