/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/vm_xml.h"
#include "gather/domstats.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#define ONE_NAMESPACE "http://opennebula.org/xmlns/libvirt/1.0"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)
typedef char XmlText;
static void xml_text_free(XmlText *text)
{
    xmlFree(text);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(XmlText, xml_text_free)

static bool is_named(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static xmlNode *child(const xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next)
        if (is_named(node, name))
            return node;
    return NULL;
}

/* Valid UTF-8 (the parser sees to that), cut to VM_XML_TEXT_MAX bytes. */
static char *bounded(const char *text)
{
    gsize length = strlen(text);
    if (length > VM_XML_TEXT_MAX) {
        const char *end = g_utf8_find_prev_char(text, text + VM_XML_TEXT_MAX + 1);
        length = end ? (gsize)(end - text) : 0;
    }
    return g_strndup(text, length);
}

static char *attribute(xmlNode *node, const char *name)
{
    g_autoptr(XmlText) text = node ? (char *)xmlGetNoNsProp(node, (const xmlChar *)name) : NULL;
    return text ? bounded(text) : NULL;
}

static void apply_metadata(VmSample *vm, const xmlNode *metadata)
{
    for (const xmlNode *node = metadata ? metadata->children : NULL; node; node = node->next) {
        if (!is_named(node, "vm") || !node->ns || strcmp((const char *)node->ns->href, ONE_NAMESPACE) != 0)
            continue;
        for (xmlNode *field = node->children; field; field = field->next) {
            if (field->type != XML_ELEMENT_NODE)
                continue;
            g_autoptr(XmlText) text = (char *)xmlNodeGetContent(field);
            g_autofree char *value = text ? bounded(text) : NULL;
            g_autofree char *key = g_strconcat("one.", (const char *)field->name, NULL);
            if (value && *value)
                domstats_set_text(vm, key, value);
        }
    }
}

/* What the interface is plugged into, by the interface's type: a bridge, a libvirt network, a host device. */
static char *interface_bridge(xmlNode *interface)
{
    static const char *const attributes[] = {"bridge", "network", "dev"};
    for (guint i = 0; i < G_N_ELEMENTS(attributes); i++) {
        char *value = attribute(child(interface, "source"), attributes[i]);
        if (value)
            return value;
    }
    return NULL;
}

static void apply_interface(VmSample *vm, xmlNode *interface)
{
    g_autofree char *name = attribute(child(interface, "target"), "dev");
    for (guint i = 0; name && i < vm->nics->len; i++) {
        MetricRow *row = g_ptr_array_index(vm->nics, i);
        if (g_strcmp0(row_text(row, METRIC_NIC_NAME), name) != 0)
            continue;
        g_autofree char *mac = attribute(child(interface, "mac"), "address");
        g_autofree char *bridge = interface_bridge(interface);
        row_set_text(row, METRIC_NIC_MAC, mac);
        row_set_text(row, METRIC_NIC_BRIDGE, bridge);
    }
}

bool vm_xml_apply(VmSample *vm, const char *xml, gsize length, GError **error)
{
    if (length > VM_XML_MAX) {
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_PARSE, "%s: its XML has more than %d bytes", vm->name,
                    VM_XML_MAX);
        return false;
    }
    /* No XML_PARSE_HUGE: libxml2's own limits on depth and text stay on. No XML_PARSE_NOENT: entities stay unexpanded.
     * libvirt writes UTF-8; of a failed conversion from anything else libxml2 would complain on standard error. */
    const int flags = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_IGNORE_ENC;
    g_autoptr(xmlDoc) document = xmlReadMemory(xml, (int)length, NULL, "UTF-8", flags);
    const xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    if (!root || !is_named(root, "domain") || document->intSubset) { /* libvirt sends no DTD: no entities to expand */
        g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_PARSE, "%s: its XML is not a well-formed <domain>", vm->name);
        return false;
    }
    apply_metadata(vm, child(root, "metadata"));
    const xmlNode *devices = child(root, "devices");
    for (xmlNode *node = devices ? devices->children : NULL; node; node = node->next)
        if (is_named(node, "interface"))
            apply_interface(vm, node);
    return true;
}
