/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/guest_exec.h"

#include <cJSON.h>
#include <math.h>
#include <string.h>

G_DEFINE_QUARK(one_telemetry_guest_exec, guest_exec_error)

static void json_free(cJSON *json)
{
    cJSON_Delete(json);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cJSON, json_free)

char *guest_exec_status_command(gint64 pid)
{
    return g_strdup_printf("{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":%" G_GINT64_FORMAT "}}", pid);
}

static bool refuse(GError **error, const char *reason)
{
    g_set_error(error, GUEST_EXEC_ERROR, GUEST_EXEC_ERROR_ANSWER, "its agent's answer can't be used: %s", reason);
    return false;
}

static bool read_return_code(const cJSON *status, Execution *execution, GError **error)
{
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(status, "exitcode");
    if (!code)
        return true;
    double value = cJSON_GetNumberValue(code); /* NaN: it is none */
    if (!(fabs(value) <= (double)EXECUTION_RETURN_CODE_MAX) || value != floor(value))
        return refuse(error, "its exitcode is no whole number");
    execution->has_return_code = true;
    execution->return_code = (gint64)value;
    return true;
}

/* *ret_data is owned by the caller. */
static bool read_data(const cJSON *status, const char *name, const char *reason, char **ret_data, GError **error)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(status, name);
    const char *text = data ? cJSON_GetStringValue(data) : "";
    if (!text || !execution_is_base64(text, strlen(text)))
        return refuse(error, reason);
    *ret_data = g_strdup(text);
    return true;
}

bool guest_exec_status_read(const char *text, gsize length, guint64 vm_id, gint64 pid, Execution **ret_ended,
                            GError **error)
{
    *ret_ended = NULL;
    if (length > GUEST_EXEC_ANSWER_MAX)
        return refuse(error, "it is too long");
    g_autofree char *copy =
        g_strndup(text, length); /* cJSON finds the end of a text, and what is behind it, by its NUL */
    g_autoptr(cJSON) json = cJSON_ParseWithOpts(copy, NULL, 1);
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(json, "return");
    if (!cJSON_IsObject(status))
        return refuse(error, "it is no JSON object with an object \"return\"");
    const cJSON *exited = cJSON_GetObjectItemCaseSensitive(status, "exited");
    if (!cJSON_IsBool(exited))
        return refuse(error, "its \"exited\" is neither true nor false");
    if (cJSON_IsFalse(exited))
        return true;
    g_autoptr(Execution) ended = g_new0(Execution, 1);
    ended->vm_id = vm_id;
    ended->pid = pid;
    if (!read_return_code(status, ended, error) ||
        !read_data(status, "out-data", "its out-data is not base64", &ended->output, error) ||
        !read_data(status, "err-data", "its err-data is not base64", &ended->errors, error))
        return false;
    *ret_ended = g_steal_pointer(&ended);
    return true;
}
