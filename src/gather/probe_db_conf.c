/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/probe_db_conf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/remotes.h"
#include "base/text.h"
#include "base/yaml.h"

#include <stdbool.h>
#include <string.h>

#define QUOTED_BYTES 80 /* of an option that a complaint shows */
#define TIMES_MAX 1000000
#define MINUTES_MAX 100000000

enum { TIMES_DEFAULT = 3, TIMES_SHIPPED = 5, OBSOLETE_MINUTES = 720 };
#define TAKEN_AS_SHIPPED ":times_missing: is taken as 5"

/* --- options --- */

static void complain(GPtrArray *complaints, const YamlNode *node, const char *expected)
{
    const char *value = node->value ? node->value : "";
    g_autofree char *option = g_strdup_printf(":%s:%s%s", node->key, *value ? " " : "", value);
    g_autofree char *shown = log_quote(option, strlen(option), QUOTED_BYTES);
    g_ptr_array_add(complaints, g_strdup_printf("line %u: \"%s\": expected %s", node->line, shown, expected));
}

static bool read_number(const char *value, guint64 low, guint64 high, guint64 *ret_number)
{
    const char *digits = value ? value + (*value == '+') : "";
    return strlen(digits) <= 12 && text_read_u64(digits, ret_number) && *ret_number >= low && *ret_number <= high &&
           (digits[0] != '0' || digits[1] == '\0'); /* YAML reads 010 as 8 */
}

static void take_options(ProbeDbConf *conf, const YamlNode *root, GPtrArray *complaints)
{
    const YamlNode *times = yaml_child(root, ":times_missing"), *obsolete = yaml_child(root, ":obsolete"),
                   *base_path = yaml_child(root, ":base_path");
    guint64 minutes;
    if (times && !read_number(times->value, 0, TIMES_MAX, &conf->times_missing)) {
        conf->times_missing = TIMES_SHIPPED;
        complain(complaints, times, ":times_missing: and a whole number from 0 to 1000000; taken as 5");
    }
    if (obsolete && read_number(obsolete->value, 1, MINUTES_MAX, &minutes))
        conf->obsolete_s = minutes * 60;
    else if (obsolete)
        complain(complaints, obsolete, ":obsolete: and a whole number of minutes from 1 to 100000000; taken as 720");
    if (base_path && base_path->value && *base_path->value)
        conf->base_path = g_strdup(base_path->value);
    else if (base_path)
        complain(complaints, base_path, ":base_path: and a directory; the usual one is taken");
}

/* --- the file --- */

ProbeDbConf *probe_db_conf_read(const char *text, gsize length, GPtrArray *complaints)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(YamlNode) root = yaml_read(text, length, &error);
    ProbeDbConf *conf = g_new0(ProbeDbConf, 1);
    conf->times_missing = root ? TIMES_DEFAULT : TIMES_SHIPPED;
    conf->obsolete_s = (guint64)OBSOLETE_MINUTES * 60;
    if (root)
        take_options(conf, root, complaints);
    else
        g_ptr_array_add(complaints, g_strdup_printf("%s; " TAKEN_AS_SHIPPED, error->message));
    return conf;
}

void probe_db_conf_free(ProbeDbConf *conf)
{
    g_free(conf->base_path);
    g_free(conf);
}

ProbeDbConf *probe_db_conf_load(const char *program, GPtrArray *complaints)
{
    g_autofree char *root = program ? remotes_root(program) : NULL, *content = NULL;
    g_autofree char *path = root ? g_build_filename(root, "etc", "im", "kvm-probes.d", "probe_db.conf", NULL) : NULL;
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    gsize length = 0;
    ProbeDbConf *conf;
    if (path && file_read(path, YAML_MAX, &content, &length, &error)) {
        conf = probe_db_conf_read(content, length, found);
    } else {
        conf = probe_db_conf_read("", 0, found);
        if (error && !g_error_matches(error, FILE_ERROR, FILE_ERROR_MISSING)) {
            conf->times_missing = TIMES_SHIPPED;
            g_ptr_array_add(complaints, g_strdup_printf("%s; " TAKEN_AS_SHIPPED, error->message));
        }
    }
    for (guint i = 0; i < found->len; i++)
        g_ptr_array_add(complaints, g_strdup_printf("%s: %s", path, (const char *)g_ptr_array_index(found, i)));
    return conf;
}
