/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/xml.h"

#include "base/log.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#define MESSAGE_BYTES 200 /* of what libxml2 says */

G_DEFINE_QUARK(one_telemetry_xml_read, xml_read_error)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlParserCtxt, xmlFreeParserCtxt)
typedef char XmlText;
static void xml_string_free(XmlText *text)
{
    xmlFree(text);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(XmlText, xml_string_free)

/* --- reading --- */

/* In place of libxml2's own, which would begin to take the DTD in. */
static void refuse_doctype(void *data, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    xmlParserCtxt *parser = data;
    (void)name;
    (void)external;
    (void)system;
    *(bool *)parser->_private = true;
    xmlStopParser(parser);
}

/* libxml2's message ends with a newline, and may quote what it met. */
static void set_malformed(const xmlParserCtxt *parser, GError **error)
{
    const xmlError *last = &parser->lastError;
    g_autofree char *message = g_strdup(last->message ? last->message : "empty");
    g_strstrip(message);
    g_autofree char *line = log_quote(message, strlen(message), MESSAGE_BYTES);
    g_set_error(error, XML_READ_ERROR, XML_READ_ERROR_MALFORMED, "line %d: %s", MAX(last->line, 1), line);
}

XmlTree *xml_tree_read(const char *text, gsize length, gsize limit, GError **error)
{
    if (length > MIN(limit, G_MAXINT)) {
        g_set_error(error, XML_READ_ERROR, XML_READ_ERROR_TOO_LARGE, "more than %" G_GSIZE_FORMAT " bytes", limit);
        return NULL;
    }
    /* No XML_PARSE_HUGE: libxml2's own limits on depth and text stay on. No XML_PARSE_NOENT: entities stay unexpanded.
     * Of a failed conversion from another encoding libxml2 would complain on standard error. */
    const int flags = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_IGNORE_ENC;
    g_autoptr(xmlParserCtxt) parser = xmlNewParserCtxt();
    bool has_doctype = false;
    g_assert(parser); /* out of memory, as GLib has it */
    parser->_private = &has_doctype;
    parser->sax->internalSubset = refuse_doctype;
    xmlDoc *document = xmlCtxtReadMemory(parser, text, (int)length, NULL, "UTF-8", flags);
    if (document && xmlDocGetRootElement(document))
        return (XmlTree *)document;
    if (has_doctype)
        g_set_error(error, XML_READ_ERROR, XML_READ_ERROR_DOCTYPE, "it has a DOCTYPE, which is never taken");
    else
        set_malformed(parser, error);
    xmlFreeDoc(document);
    return NULL;
}

void xml_tree_free(XmlTree *tree)
{
    xmlFreeDoc((xmlDoc *)tree);
}

/* --- looking at it --- */

static xmlNode *node_of(const XmlElement *element)
{
    return (xmlNode *)(guintptr)element; /* libxml2 takes no const, and changes nothing in what is called here */
}

const XmlElement *xml_root(const XmlTree *tree)
{
    return (const XmlElement *)xmlDocGetRootElement((const xmlDoc *)tree);
}

const char *xml_name(const XmlElement *element)
{
    return element ? (const char *)node_of(element)->name : NULL;
}

const char *xml_namespace(const XmlElement *element)
{
    const xmlNode *node = node_of(element);
    return node && node->ns ? (const char *)node->ns->href : NULL;
}

bool xml_is(const XmlElement *element, const char *name)
{
    return element && strcmp(xml_name(element), name) == 0;
}

static const XmlElement *first_from(const xmlNode *node, const char *name)
{
    for (; node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && (!name || strcmp((const char *)node->name, name) == 0))
            return (const XmlElement *)node;
    return NULL;
}

const XmlElement *xml_child(const XmlElement *parent, const char *name)
{
    return parent ? first_from(node_of(parent)->children, name) : NULL;
}

const XmlElement *xml_next(const XmlElement *element, const char *name)
{
    return element ? first_from(node_of(element)->next, name) : NULL;
}

/* Valid UTF-8 (the parser sees to that), cut. */
static char *bounded(const char *text)
{
    gsize length = strlen(text);
    if (length > XML_TEXT_MAX) {
        const char *end = g_utf8_find_prev_char(text, text + XML_TEXT_MAX + 1);
        length = end ? (gsize)(end - text) : 0;
    }
    return g_strndup(text, length);
}

char *xml_text(const XmlElement *element)
{
    g_autoptr(XmlText) text = element ? (char *)xmlNodeGetContent(node_of(element)) : NULL;
    return text ? bounded(text) : NULL;
}

char *xml_attribute(const XmlElement *element, const char *name)
{
    g_autoptr(XmlText) text = element ? (char *)xmlGetNoNsProp(node_of(element), (const xmlChar *)name) : NULL;
    return text ? bounded(text) : NULL;
}
