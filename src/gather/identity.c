/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/identity.h"
#include "gather/vm_xml.h"

#include <string.h>

char *identity_devices(const VmSample *vm)
{
    GString *names = g_string_new(NULL);
    for (guint i = 0; i < vm->nics->len; i++) {
        const char *name = row_device_name(g_ptr_array_index(vm->nics, i));
        if (i)
            g_string_append_c(names, ',');
        g_string_append(names, name ? name : "");
    }
    return g_string_free(names, FALSE);
}

static void carry_nic(MetricRow *row, const VmSample *before)
{
    for (guint i = 0; i < before->nics->len; i++) {
        const MetricRow *other = g_ptr_array_index(before->nics, i);
        if (g_strcmp0(row_device_name(row), row_device_name(other)) != 0)
            continue;
        row_set_text(row, METRIC_NIC_MAC, row_text(other, METRIC_NIC_MAC));
        row_set_text(row, METRIC_NIC_BRIDGE, row_text(other, METRIC_NIC_BRIDGE));
    }
}

static void carry_over(VmSample *vm, const VmSample *before)
{
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        if (metric_info[m].cost == COST_START)
            row_set_text(vm->row, m, row_text(before->row, m));
    }
    for (guint i = 0; i < vm->nics->len; i++)
        carry_nic(g_ptr_array_index(vm->nics, i), before);
    g_autofree char *devices = identity_devices(vm);
    if (g_strcmp0(devices, before->xml_devices) == 0) /* else it is read anew in the next cycle */
        vm->xml_devices = g_steal_pointer(&devices);
}

void identity_add(VmSample *vm, const VmSample *before, const char *xml)
{
    if (before)
        carry_over(vm, before);
    if (xml && vm_xml_apply(vm, xml, strlen(xml), NULL)) {
        g_free(vm->xml_devices);
        vm->xml_devices = identity_devices(vm);
    }
}
