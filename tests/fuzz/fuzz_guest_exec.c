/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as an agent's answer: refused, or a command that still runs, or one whose record our own strict reader
 * takes. */
#include "encode/exec_record.h"
#include "encode/one_record.h"
#include "gather/guest_exec.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Execution) ended = NULL;
    bool good = guest_exec_status_read((const char *)data, size, 83, 1234, &ended, &error);
    g_assert(good == (error == NULL) && (good || !ended));
    if (!ended)
        return 0;
    g_autoptr(GPtrArray) one = g_ptr_array_new();
    g_ptr_array_add(one, ended);
    ExecReport report;
    g_autoptr(GString) text = exec_records_write(one, ONE_MESSAGE_MAX, &report);
    g_assert_cmpuint(report.message_bytes + ONE_MESSAGE_HEADER, <=, ONE_MESSAGE_MAX);
    g_autoptr(GPtrArray) read = exec_records_read(text->str, text->len, NULL);
    g_assert_nonnull(read);
    g_assert_cmpuint(read->len, ==, 1);
    return 0;
}
