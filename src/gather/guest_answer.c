/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/guest_answer.h"

#include <cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NVIDIA "10de"
#define PID_MAX 9007199254740991.0 /* what a double holds exactly */
enum { FIELD_UTILIZATION, FIELD_MEMORY_UTILIZATION, FIELD_POWER, FIELD_MEMORY_FREE, N_FIELDS }; /* as in GPU_QUERY */

static void json_free(cJSON *json)
{
    cJSON_Delete(json);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cJSON, json_free)

static cJSON *parse(const char *text, gsize length)
{
    if (length > GUEST_ANSWER_MAX)
        return NULL;
    g_autofree char *copy = g_strndup(text, length);
    return cJSON_ParseWithOpts(copy, NULL, 1);
}

/* --- values --- */

/* NULL: null. */
static char *value_of(const cJSON *item)
{
    if (cJSON_IsNull(item))
        return NULL;
    if (cJSON_IsString(item))
        return g_strdup(cJSON_GetStringValue(item));
    char *printed = cJSON_PrintUnformatted(item);
    char *copy = g_strdup(printed);
    cJSON_free(printed);
    return copy;
}

static char *join(const cJSON *list)
{
    GString *out = g_string_new(NULL);
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        g_autofree char *value = value_of(item);
        if (item != list->child)
            g_string_append(out, ", ");
        g_string_append(out, value ? value : "");
    }
    return g_string_free(out, FALSE);
}

char *guest_answer_value(const char *text, gsize length)
{
    g_autoptr(cJSON) json = parse(text, length);
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, "return");
    if (!value)
        return NULL;
    return cJSON_IsArray(value) ? join(value) : value_of(value);
}

GuestOs guest_answer_os(const char *text, gsize length)
{
    g_autoptr(cJSON) json = parse(text, length);
    const cJSON *info = cJSON_GetObjectItemCaseSensitive(json, "return");
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(info, "id"));
    if (!id) /* without an /etc/os-release there is none, but what uname says is there still */
        return cJSON_HasObjectItem(info, "kernel-release") ? GUEST_OS_LINUX : GUEST_OS_UNKNOWN;
    return strcmp(id, "mswindows") == 0 ? GUEST_OS_WINDOWS : GUEST_OS_LINUX;
}

gint64 guest_answer_pid(const char *text, gsize length)
{
    g_autoptr(cJSON) json = parse(text, length);
    const cJSON *info = cJSON_GetObjectItemCaseSensitive(json, "return");
    const cJSON *pid = cJSON_GetObjectItemCaseSensitive(info, "pid");
    double number = cJSON_IsNumber(pid) ? cJSON_GetNumberValue(pid) : -1;
    return number > 0 && number <= PID_MAX && number == floor(number) ? (gint64)number : -1;
}

/* --- GPUs --- */

static double number_of(const char *field)
{
    char *end;
    g_autofree char *text = g_strstrip(g_strdup(field));
    double value = g_ascii_strtod(text, &end);
    return end > text && isfinite(value) && value >= 0 && value < 1e12 ? value : 0;
}

bool gpu_figures_read(const char *text, gsize length, GpuFigures *ret_figures)
{
    GpuFigures sum = {0};
    if (length > GUEST_ANSWER_MAX)
        return false;
    g_autofree char *copy = g_strndup(text, length);
    g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        g_auto(GStrv) fields = g_strsplit(lines[i], ",", -1);
        if (g_strv_length(fields) != N_FIELDS)
            continue;
        sum.count++;
        sum.utilization += number_of(fields[FIELD_UTILIZATION]);
        sum.memory_utilization += number_of(fields[FIELD_MEMORY_UTILIZATION]);
        sum.power_usage += number_of(fields[FIELD_POWER]);
        sum.memory_free += number_of(fields[FIELD_MEMORY_FREE]);
    }
    if (!sum.count)
        return false;
    sum.utilization /= sum.count;
    sum.memory_utilization /= sum.count;
    *ret_figures = sum;
    return true;
}

bool gpu_is_among(const char *pci_devices)
{
    g_auto(GStrv) devices = g_strsplit(pci_devices ? pci_devices : "", ",", -1);
    for (guint i = 0; devices[i]; i++) {
        g_auto(GStrv) parts = g_strsplit(g_strstrip(devices[i]), ":", -1);
        if (g_strv_length(parts) >= 3 && g_ascii_strcasecmp(parts[0], NVIDIA) == 0)
            return true;
    }
    return false;
}
