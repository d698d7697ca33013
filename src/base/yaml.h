/* SPDX-License-Identifier: Apache-2.0
 * The part of YAML that OpenNebula's configuration files for its probes are written in: mappings by indentation, one
 * value a key. Values stand plain, in quotes (over several lines too), or as a block below | or >. Lists, flow
 * collections ({…}, […]), anchors, aliases, tags and several documents are refused. Pure. */
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
    char *value;         /* NULL: it has `children` */
    GPtrArray *children; /* of YamlNode, in the file's order; NULL: it has a value, which may be "" */
    guint line;          /* from 1 */
};

/* The root, never with a value. NULL: the message is "line N: what is wrong". An empty text is an empty mapping. */
YamlNode *yaml_read(const char *text, gsize length, GError **error);
void yaml_free(YamlNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(YamlNode, yaml_free)

/* The child of that key, of several the last, as Ruby has it. NULL: none; a NULL node has none. */
const YamlNode *yaml_child(const YamlNode *node, const char *key);

/* Its value; NULL: there is no such key, or it is a mapping. */
const char *yaml_value(const YamlNode *node, const char *key);
