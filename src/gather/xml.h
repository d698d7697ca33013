/* SPDX-License-Identifier: Apache-2.0
 * Documents from elsewhere, read by libxml2 as if they meant harm: nothing is fetched, no entity is expanded, a DOCTYPE
 * ends the reading, size, depth and the length of a text are bounded. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define XML_READ_ERROR xml_read_error_quark()
GQuark xml_read_error_quark(void);
typedef enum {
    XML_READ_ERROR_TOO_LARGE,
    XML_READ_ERROR_DOCTYPE,   /* it has one, and so may have entities and a DTD */
    XML_READ_ERROR_MALFORMED, /* not well-formed, not UTF-8, nested deeper than libxml2's 256 */
} XmlReadErrorCode;

typedef struct XmlTree XmlTree;
typedef struct XmlElement XmlElement; /* of its tree, and lives as long */

/* `length` bytes of UTF-8, whatever a declaration at their beginning says; more than `limit` are refused. The error's
 * message says what is wrong and in which line, without naming the document. Freed with xml_tree_free. */
XmlTree *xml_tree_read(const char *text, gsize length, gsize limit, GError **error);
void xml_tree_free(XmlTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(XmlTree, xml_tree_free)

const XmlElement *xml_root(const XmlTree *tree); /* never NULL */

/* NULL goes through all of these, so that a path can be walked in one expression. */
bool xml_is(const XmlElement *element, const char *name);
const char *xml_name(const XmlElement *element);      /* without its namespace's prefix; owned by the tree */
const char *xml_namespace(const XmlElement *element); /* its URI, NULL: none; likewise */
const XmlElement *xml_child(const XmlElement *parent, const char *name); /* the first of that name; NULL: any name */
const XmlElement *xml_next(const XmlElement *element, const char *name); /* the next sibling, likewise */

/* All text below the element, or an attribute's: valid UTF-8, cut on a character at XML_TEXT_MAX bytes. NULL: there is
 * no such element or attribute. Owned by the caller. */
#define XML_TEXT_MAX 4096
char *xml_text(const XmlElement *element);
char *xml_attribute(const XmlElement *element, const char *name);
