/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/forecast_db.h"

#include "encode/forecast.h"

#include <dlfcn.h>
#include <errno.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY "libsqlite3.so.0"
#define WAIT_MS 2000 /* for the forecaster, or a backup, to let go of a file */

G_DEFINE_QUARK(one_telemetry_forecast, forecast_error)

static struct {
    __typeof__(sqlite3_open_v2) *open;
    __typeof__(sqlite3_close) *close;
    __typeof__(sqlite3_exec) *exec;
    __typeof__(sqlite3_errmsg) *errmsg;
    __typeof__(sqlite3_extended_errcode) *errcode;
    __typeof__(sqlite3_busy_timeout) *busy_timeout;
} sqlite;

static bool load(GError **error)
{
    const struct {
        const char *name;
        void **to;
    } functions[] = {
        {"sqlite3_open_v2", (void **)&sqlite.open},
        {"sqlite3_close", (void **)&sqlite.close},
        {"sqlite3_exec", (void **)&sqlite.exec},
        {"sqlite3_errmsg", (void **)&sqlite.errmsg},
        {"sqlite3_extended_errcode", (void **)&sqlite.errcode},
        {"sqlite3_busy_timeout", (void **)&sqlite.busy_timeout},
    };
    if (sqlite.busy_timeout)
        return true;
    void *library = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);
    for (guint i = 0; library && i < G_N_ELEMENTS(functions); i++)
        if (!(*functions[i].to = dlsym(library, functions[i].name)))
            library = NULL;
    if (!library)
        g_set_error(error, FORECAST_ERROR, FORECAST_ERROR_LIBRARY,
                    "cannot load SQLite (%s); the package libsqlite3-0, or sqlite-libs, has it", dlerror());
    return library;
}

/* --- one file --- */

/* A hot journal, which SQLite would take for the new file's, goes first. */
static bool remove_damaged(const char *path)
{
    g_autofree char *journal = g_strconcat(path, "-journal", NULL);
    return (unlink(journal) == 0 || errno == ENOENT) && unlink(path) == 0;
}

/* SQLite's extended code; 0: done. *ret_message: of an error, owned by the caller. */
static int run(const char *path, const char *sql, char **ret_message)
{
    sqlite3 *db = NULL;
    int code = sqlite.open(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK) {
        sqlite.busy_timeout(db, WAIT_MS);
        code = sqlite.exec(db, sql, NULL, NULL, NULL);
    }
    if (code != SQLITE_OK) {
        code = db ? sqlite.errcode(db) : code;
        *ret_message = g_strdup(db ? sqlite.errmsg(db) : "no memory");
    }
    sqlite.close(db); /* rolls back what is open */
    return code;
}

static bool is_damaged(int code)
{
    return (code & 0xFF) == SQLITE_CORRUPT || (code & 0xFF) == SQLITE_NOTADB;
}

/* Tables are there but in a new file, so they are looked for only when one is missing. */
static bool put(const VmSample *vm, gint64 seconds, const ForecastOptions *options, ForecastReport *report,
                GError **error)
{
    g_autofree char *name = forecast_file_name(vm->vm_id);
    g_autofree char *path = g_build_filename(options->dir, name, NULL);
    g_autofree char *message = NULL;
    g_autoptr(GString) sql = g_string_new(NULL);
    if (!forecast_sql_append(sql, vm, seconds, false, 0))
        return true;
    int code = run(path, sql->str, &message);
    for (guint attempt = 0; code != SQLITE_OK && attempt < 2; attempt++) {
        if (is_damaged(code) && remove_damaged(path))
            report->mended++;
        else if ((code & 0xFF) != SQLITE_ERROR || attempt > 0)
            break;
        g_clear_pointer(&message, g_free);
        g_string_truncate(sql, 0);
        forecast_sql_append(sql, vm, seconds, true, options->weeks);
        code = run(path, sql->str, &message);
    }
    report->written += code == SQLITE_OK;
    if (code != SQLITE_OK)
        g_set_error(error, FORECAST_ERROR, FORECAST_ERROR_FILE, "%s: SQLite: %s", path, message);
    return code == SQLITE_OK;
}

/* --- all of them --- */

/* As poll.rb makes it. In /var/tmp another user could have made it before, to have us write where he wants. */
static bool ensure_dir(const char *dir, GError **error)
{
    struct stat status;
    const char *problem = NULL;
    bool made = mkdir(dir, 0755) == 0 || errno == EEXIST;
    if (!made || lstat(dir, &status) < 0)
        problem = g_strerror(errno);
    else if (!S_ISDIR(status.st_mode))
        problem = "is no directory";
    else if (status.st_uid != geteuid())
        problem = "is of another user";
    else if (status.st_mode & S_IWOTH)
        problem = "everybody may write there";
    if (problem)
        g_set_error(error, FORECAST_ERROR, FORECAST_ERROR_DIR, "%s: %s", dir, problem);
    return !problem;
}

bool forecast_db_put(const Sample *sample, const ForecastOptions *options, ForecastReport *ret_report, GError **error)
{
    *ret_report = (ForecastReport){0};
    if (!load(error) || !ensure_dir(options->dir, error))
        return false;
    g_autoptr(GError) first = NULL;
    guint failed = 0;
    for (guint i = 0; i < sample->vms->len; i++)
        failed += !put(g_ptr_array_index(sample->vms, i), sample->realtime_ns / 1000000000, options, ret_report,
                       first ? NULL : &first);
    if (first)
        g_set_error(error, FORECAST_ERROR, FORECAST_ERROR_FILE, "%u of %u VMs: %s", failed, sample->vms->len,
                    first->message);
    return !first;
}
