/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a ledger: what is taken is written as something that reads back as the same, so a ledger does not change
 * by being saved. And any bytes as the text of an error: whatever a server said, the ledger stays whole. */
#include "deliver/ledger.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_stable(const Ledger *ledger)
{
    Ledger again;
    g_autofree char *text = ledger_format(ledger);
    g_assert_true(ledger_parse(text, strlen(text), &again));
    g_autofree char *second = ledger_format(&again);
    g_assert_cmpstr(text, ==, second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Ledger ledger;
    if (ledger_parse((const char *)data, size, &ledger)) {
        g_assert_cmpuint(strnlen(ledger.last_error, sizeof ledger.last_error), <=, LEDGER_ERROR_MAX);
        g_assert_null(strchr(ledger.last_error, '\n'));
        check_stable(&ledger);
    }

    Ledger failed = {.failures = 1};
    memcpy(failed.last_error, data, MIN(size, LEDGER_ERROR_MAX));
    check_stable(&failed);
    return 0;
}
