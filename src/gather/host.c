/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/host.h"

#include <time.h>

static gint64 clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * G_GINT64_CONSTANT(1000000000) + now.tv_nsec;
}

gint64 host_realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

gint64 host_boottime_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

char *host_boot_id(void)
{
    char *id = NULL;
    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &id, NULL, NULL))
        return NULL;
    return g_strstrip(id);
}

char *host_name(void)
{
    return g_strdup(g_get_host_name());
}
