/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/vm_xml.h"
#include "gather/domstats.h"
#include "gather/xml.h"

#include <string.h>

#define ONE_NAMESPACE "http://opennebula.org/xmlns/libvirt/1.0"

static void apply_metadata(VmSample *vm, const XmlElement *metadata)
{
    for (const XmlElement *one = xml_child(metadata, "vm"); one; one = xml_next(one, "vm")) {
        if (g_strcmp0(xml_namespace(one), ONE_NAMESPACE) != 0)
            continue;
        for (const XmlElement *field = xml_child(one, NULL); field; field = xml_next(field, NULL)) {
            g_autofree char *value = xml_text(field);
            g_autofree char *key = g_strconcat("one.", xml_name(field), NULL);
            if (value && *value)
                domstats_set_text(vm, key, value);
        }
    }
}

/* What the interface is plugged into, by the interface's type: a bridge, a libvirt network, a host device. */
static char *interface_bridge(const XmlElement *interface)
{
    static const char *const attributes[] = {"bridge", "network", "dev"};
    for (guint i = 0; i < G_N_ELEMENTS(attributes); i++) {
        char *value = xml_attribute(xml_child(interface, "source"), attributes[i]);
        if (value)
            return value;
    }
    return NULL;
}

static void apply_interface(VmSample *vm, const XmlElement *interface)
{
    g_autofree char *name = xml_attribute(xml_child(interface, "target"), "dev");
    for (guint i = 0; name && i < vm->nics->len; i++) {
        MetricRow *row = g_ptr_array_index(vm->nics, i);
        if (g_strcmp0(row_text(row, METRIC_NIC_NAME), name) != 0)
            continue;
        g_autofree char *mac = xml_attribute(xml_child(interface, "mac"), "address");
        g_autofree char *bridge = interface_bridge(interface);
        row_set_text(row, METRIC_NIC_MAC, mac);
        row_set_text(row, METRIC_NIC_BRIDGE, bridge);
    }
}

bool vm_xml_apply(VmSample *vm, const char *xml, gsize length, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(XmlTree) tree = xml_tree_read(xml, length, VM_XML_MAX, &reason);
    if (!tree || !xml_is(xml_root(tree), "domain")) {
        if (g_error_matches(reason, XML_READ_ERROR, XML_READ_ERROR_TOO_LARGE))
            g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_PARSE, "%s: its XML has %s", vm->name, reason->message);
        else
            g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_PARSE, "%s: its XML is not a well-formed <domain>",
                        vm->name);
        return false;
    }
    apply_metadata(vm, xml_child(xml_root(tree), "metadata"));
    const XmlElement *devices = xml_child(xml_root(tree), "devices");
    for (const XmlElement *each = xml_child(devices, "interface"); each; each = xml_next(each, "interface"))
        apply_interface(vm, each);
    return true;
}
