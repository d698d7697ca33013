/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as the records of commands: refused, or the very bytes that are written of what was read. */
#include "encode/exec_record.h"
#include "encode/one_record.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) read = exec_records_read((const char *)data, size, &error);
    g_assert((read == NULL) == (error != NULL));
    if (!read)
        return 0;
    ExecReport report;
    g_autoptr(GString) text = exec_records_write(read, G_MAXSIZE, &report);
    g_assert_cmpuint(text->len, ==, size);
    g_assert(memcmp(text->str, data, size) == 0);
    return 0;
}
