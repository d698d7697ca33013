/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as telemetryd's JSON, and as what a check reports: read or refused; every finding is one line. */
#include "doctor/diagnosis.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const GPtrArray *findings, guint most)
{
    g_assert_cmpuint(findings->len, <=, most);
    for (guint i = 0; i < findings->len; i++)
        g_assert_null(strchr(((const Finding *)g_ptr_array_index(findings, i))->text, '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GPtrArray) findings = diagnosis_findings((const char *)data, size), reported = findings_new();
    g_autofree char *version = diagnosis_version((const char *)data, size);
    g_autoptr(Finding) doing = NULL;
    if (findings)
        check(findings, 2 * DIAGNOSIS_FINDINGS_MAX);
    report_read((const char *)data, size, reported, &doing);
    check(reported, (guint)size);
    return 0;
}
