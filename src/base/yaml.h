/* SPDX-License-Identifier: Apache-2.0
 * The part of YAML that OpenNebula's configuration files for its probes are written in: mappings by indentation, one
 * value a key, or a list of values: […], or below the key, with "- " before each. Values stand plain, in quotes (over
 * several lines too), or, of a key, as a block below | or >. Lists of anything else, {…}, anchors, aliases, tags and
 * several documents are refused. Pure. */
#pragma once

#include <glib.h>

#define YAML_MAX (256 * 1024) /* bytes of a file */
#define YAML_DEPTH_MAX 16

#define YAML_ERROR yaml_error_quark()
GQuark yaml_error_quark(void);
typedef enum { YAML_ERROR_SYNTAX, YAML_ERROR_TOO_LARGE } YamlErrorCode;

typedef struct YamlNode YamlNode;
struct YamlNode {
    char *key;           /* without the colon in front of it that Ruby writes (":enabled"); NULL: the root */
    char *value;         /* may be "" */
    GPtrArray *children; /* of YamlNode, in the file's order */
    GPtrArray *items;    /* of char*: a list's; of these three it has one, the others are NULL */
    guint line;          /* from 1 */
};

/* The root, a mapping. NULL: the message is "line N: what is wrong". An empty text is an empty mapping. */
YamlNode *yaml_read(const char *text, gsize length, GError **error);
void yaml_free(YamlNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(YamlNode, yaml_free)

/* The child of that key, of several the last, as Ruby has it. NULL: none; a NULL node has none. */
const YamlNode *yaml_child(const YamlNode *node, const char *key);

/* Its value; NULL: there is no such key, or it is a mapping or a list. */
const char *yaml_value(const YamlNode *node, const char *key);
