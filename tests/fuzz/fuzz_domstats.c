/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as domain statistics. What was taken of them is written, read and written again as the same text, and its
 * samples can be finished and derived, each against the one before; what was refused is told in one line. */
#include "gather/domstats.h"
#include "model/rates.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_one_line(const GError *error)
{
    g_assert_nonnull(error);
    g_assert_true(g_str_has_prefix(error->message, "line "));
    g_assert_true(g_utf8_validate(error->message, -1, NULL));
    g_assert_cmpuint(strlen(error->message), <, 1000);
    g_assert_null(strchr(error->message, '\n'));
}

static void assert_written_is_read(const Sample *sample)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) text = g_string_new(NULL), again = g_string_new(NULL);
    domstats_write(sample, text);
    g_autoptr(GPtrArray) samples = domstats_read(text->str, text->len, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(samples->len, ==, 1);
    domstats_write(g_ptr_array_index(samples, 0), again);
    g_assert_cmpstr(again->str, ==, text->str);
}

static void assert_possible(const MetricRow *row)
{
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        if (metric_info[m].kind != KIND_REAL || !row_has(row, m))
            continue;
        g_assert_true(isfinite(row_real(row, m)) && row_real(row, m) >= 0);
        g_assert_true(metric_info[m].unit != UNIT_PERCENT || m == METRIC_VM_CPU_CORE_PERCENT ||
                      row_real(row, m) <= 100);
    }
}

static void assert_all_possible(const Sample *sample)
{
    const Scope scopes[] = {SCOPE_VCPU, SCOPE_NIC, SCOPE_DISK};
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        assert_possible(vm->row);
        for (guint s = 0; s < G_N_ELEMENTS(scopes); s++)
            for (guint d = 0; d < vm_sample_rows(vm, scopes[s])->len; d++)
                assert_possible(g_ptr_array_index(vm_sample_rows(vm, scopes[s]), d));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) samples = domstats_read((const char *)data, size, &error);
    if (!samples) {
        assert_one_line(error);
        return 0;
    }
    Sample *previous = NULL;
    for (guint i = 0; i < samples->len; i++) {
        Sample *sample = g_ptr_array_index(samples, i);
        assert_written_is_read(sample);
        sample_finish(sample, previous);
        rates_derive(sample, previous);
        assert_all_possible(sample);
        assert_written_is_read(sample);
        previous = sample;
    }
    return 0;
}
