/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as one of OpenNebula's YAML files. Nodes have a value, children or a list, keys are words, what is found is
 * in the file's order and no larger than the file; an error names its line. */
#include "base/yaml.h"
#include "gather/forecast_conf.h"
#include "model/forecast.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static gsize check(const YamlNode *node, guint depth)
{
    gsize bytes = node->value ? strlen(node->value) : 0;
    g_assert_cmpint((node->value != NULL) + (node->children != NULL) + (node->items != NULL), ==, 1);
    for (guint i = 0; node->items && i < node->items->len; i++)
        bytes += strlen(g_ptr_array_index(node->items, i));
    g_assert_cmpuint(depth, <=, YAML_DEPTH_MAX + 1);
    for (guint i = 0; node->children && i < node->children->len; i++) {
        const YamlNode *child = g_ptr_array_index(node->children, i);
        g_assert_true(*child->key);
        g_assert_cmpuint(child->line, >=, node->line);
        g_assert_cmpstr(yaml_child(node, child->key)->key, ==, child->key);
        bytes += check(child, depth + 1);
    }
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(YamlNode) root = yaml_read((const char *)data, size, &error);
    if (root)
        g_assert_cmpuint(check(root, 0), <=, size);
    else
        g_assert_true(g_str_has_prefix(error->message, "line ") || size > YAML_MAX);
    g_assert_true(root ? !error : error != NULL);
    ForecastConf conf;
    g_autoptr(GError) reason = NULL;
    g_assert_true(forecast_conf_parse((const char *)data, size, &conf, &reason) == !reason);
    g_assert_cmpuint(conf.weeks, <=, FORECAST_WEEKS_MAX);
    return 0;
}
