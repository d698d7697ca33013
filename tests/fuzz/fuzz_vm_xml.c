/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a domain's XML: metadata parsing. What is taken of it is valid UTF-8 and bounded; what is refused
 * changes nothing. */
#include "gather/vm_xml.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many texts there are; each is what may be passed on. */
static guint assert_sound(const MetricRow *row)
{
    guint texts = 0;
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        if (metric_info[m].kind != KIND_TEXT) {
            g_assert_false(row_has(row, m));
            continue;
        }
        const char *text = row_text(row, m);
        texts += text != NULL;
        g_assert_true(!text || (g_utf8_validate(text, -1, NULL) && strlen(text) <= VM_XML_TEXT_MAX));
    }
    return texts;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const nics[] = {"one-10-0", "n"};
    g_autoptr(VmSample) vm = vm_sample_new("one-10");
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(nics); i++)
        row_set_text(vm_sample_row(vm, SCOPE_NIC, i), METRIC_NIC_NAME, nics[i]);
    bool taken = vm_xml_apply(vm, (const char *)data, size, &error);
    g_assert_true(taken == !error);

    guint texts = assert_sound(vm->row);
    for (guint i = 0; i < G_N_ELEMENTS(nics); i++) {
        const MetricRow *row = g_ptr_array_index(vm->nics, i);
        texts += assert_sound(row) - 1;
        g_assert_cmpstr(row_device_name(row), ==, nics[i]);
    }
    g_assert_true(taken || texts == 0);
    g_assert_cmpuint(vm->nics->len, ==, G_N_ELEMENTS(nics));
    g_assert_cmpstr(vm->name, ==, "one-10");
    return 0;
}
