/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/guest_answer.h"

#include <arpa/inet.h>
#include <cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NVIDIA "10de"
#define WINDOWS "mswindows"        /* as QEMU's agent calls it */
#define ATTRIBUTE_MAX 255          /* bytes */
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

static GuestOs os_of(const cJSON *info)
{
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(info, "id"));
    if (!id) /* without an /etc/os-release there is none, but what uname says is there still */
        return cJSON_HasObjectItem(info, "kernel-release") ? GUEST_OS_LINUX : GUEST_OS_UNKNOWN;
    return guest_os_of_type(id);
}

GuestOs guest_answer_os(const char *text, gsize length)
{
    g_autoptr(cJSON) json = parse(text, length);
    return os_of(cJSON_GetObjectItemCaseSensitive(json, "return"));
}

GuestOs guest_os_of_type(const char *type)
{
    return !type ? GUEST_OS_UNKNOWN : strcmp(type, WINDOWS) == 0 ? GUEST_OS_WINDOWS : GUEST_OS_LINUX;
}

void guest_answer_attributes(const char *text, gsize length, char *ret_values[N_GUEST_ATTRIBUTES])
{
    static const char *const names[N_GUEST_ATTRIBUTES] = {NULL, "id", "version-id", "machine"};
    g_autoptr(cJSON) json = parse(text, length);
    const cJSON *info = cJSON_GetObjectItemCaseSensitive(json, "return");
    const GuestOs os = os_of(info);
    for (GuestAttribute a = 0; a < N_GUEST_ATTRIBUTES; a++) {
        const char *value = names[a] ? cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(info, names[a])) : NULL;
        ret_values[a] =
            os != GUEST_OS_UNKNOWN && value && *value && strlen(value) <= ATTRIBUTE_MAX ? g_strdup(value) : NULL;
    }
    if (os != GUEST_OS_UNKNOWN)
        ret_values[GUEST_TYPE] = g_strdup(os == GUEST_OS_WINDOWS ? WINDOWS : "posix");
}

/* As it is written best; NULL: none that others reach the guest at. Owned by the caller. */
static char *read_address(const char *text)
{
    struct in_addr four;
    struct in6_addr six;
    char written[INET6_ADDRSTRLEN];
    if (text && inet_pton(AF_INET, text, &four) == 1) {
        const guint32 number = ntohl(four.s_addr);
        bool local = number >> 24 == 127 || number >> 16 == (169 << 8 | 254);
        return local ? NULL : g_strdup(inet_ntop(AF_INET, &four, written, sizeof(written)));
    }
    if (!text || inet_pton(AF_INET6, text, &six) != 1 || IN6_IS_ADDR_LOOPBACK(&six) || IN6_IS_ADDR_LINKLOCAL(&six))
        return NULL;
    return g_strdup(inet_ntop(AF_INET6, &six, written, sizeof(written)));
}

char *guest_answer_addresses(const char *text, gsize length)
{
    g_autoptr(cJSON) json = parse(text, length);
    g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
    const cJSON *interface, *each;
    cJSON_ArrayForEach(interface, cJSON_GetObjectItemCaseSensitive(json, "return"))
    {
        cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(interface, "ip-addresses"))
        {
            char *address = read_address(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(each, "ip-address")));
            if (address && addresses->len < GUEST_ADDRESSES_MAX &&
                !g_ptr_array_find_with_equal_func(addresses, address, g_str_equal, NULL))
                g_ptr_array_add(addresses, address);
            else
                g_free(address);
        }
    }
    if (addresses->len == 0)
        return NULL;
    g_ptr_array_add(addresses, NULL);
    return g_strjoinv(",", (char **)addresses->pdata);
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
