/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as the file of a command: refused, or a number above 0 that reads back as itself. */
#include "gather/pending.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    gint64 pid = 0, again = 0;
    bool good = pending_read_pid((const char *)data, size, &pid, &error);
    g_assert(good == (error == NULL) && good == (pid > 0));
    if (!good)
        return 0;
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT "\n", pid);
    g_assert(pending_read_pid(text, strlen(text), &again, NULL));
    g_assert_cmpint(again, ==, pid);
    return 0;
}
