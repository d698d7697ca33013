/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as OpenNebula's configuration on standard input: a period in its range, or the default and one line that
 * says why. */
#include "gather/monitor_configuration.h"
#include "model/status.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *complaint = NULL;
    guint64 sync_s = monitor_configuration_sync_s((const char *)data, size, &complaint);
    g_assert_true(sync_s >= 1 && sync_s <= 1000000000);
    g_assert_true(!complaint || (sync_s == STATUS_SYNC_S && *complaint && !strchr(complaint, '\n')));
    guint64 vm_s = monitor_configuration_vm_s((const char *)data, size);
    g_assert_true(vm_s >= 1 && vm_s <= 86400);
    return 0;
}
