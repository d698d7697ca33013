/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/pools.h"
#include "base/text.h"
#include "gather/xml.h"

#include <stdlib.h>
#include <string.h>

static char *text_of(const XmlElement *parent, const char *name)
{
    char *text = xml_text(xml_child(parent, name));
    return text ? text : g_strdup("");
}

static bool number_of(const XmlElement *parent, const char *name, guint64 *ret_value)
{
    g_autofree char *text = text_of(parent, name);
    return text_read_u64(text, ret_value);
}

/* The document's root, which must be called so. */
static XmlTree *read_document(const char *text, gsize length, const char *root, GError **error)
{
    g_autoptr(XmlTree) tree = xml_tree_read(text, length, POOL_MAX, error);
    if (!tree || xml_is(xml_root(tree), root))
        return g_steal_pointer(&tree);
    g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "expected <%s>, this is <%s>", root,
                xml_name(xml_root(tree)));
    return NULL;
}

/* --- hooks --- */

static void free_hook(gpointer data)
{
    Hook *hook = data;
    char *texts[] = {hook->name, hook->type, hook->resource, hook->command, hook->arguments, hook->arguments_stdin};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_free(hook);
}

GPtrArray *pool_hooks(const char *text, gsize length, GError **error)
{
    g_autoptr(XmlTree) tree = read_document(text, length, "HOOK_POOL", error);
    if (!tree)
        return NULL;
    GPtrArray *hooks = g_ptr_array_new_with_free_func(free_hook);
    for (const XmlElement *at = xml_child(xml_root(tree), "HOOK"); at; at = xml_next(at, "HOOK")) {
        guint64 id;
        const XmlElement *template = xml_child(at, "TEMPLATE");
        if (!number_of(at, "ID", &id))
            continue;
        Hook *hook = g_new(Hook, 1);
        *hook = (Hook){.id = id,
                       .name = text_of(at, "NAME"),
                       .type = text_of(at, "TYPE"),
                       .resource = text_of(template, "RESOURCE"),
                       .command = text_of(template, "COMMAND"),
                       .arguments = text_of(template, "ARGUMENTS"),
                       .arguments_stdin = text_of(template, "ARGUMENTS_STDIN")};
        g_ptr_array_add(hooks, hook);
    }
    return hooks;
}

/* --- executions --- */

static void free_run(gpointer data)
{
    g_free(((HookRun *)data)->said);
    g_free(data);
}

/* Outputs are base64 of what was printed. */
static char *last_line(const XmlElement *result)
{
    gsize length;
    g_autofree char *encoded = text_of(result, "STDERR");
    g_autofree guchar *decoded = g_base64_decode(encoded, &length);
    g_autofree char *text = g_strndup((const char *)decoded, length);
    g_strchomp(text);
    const char *newline = strrchr(text, '\n');
    return g_strdup(newline ? newline + 1 : text);
}

static bool is_yes(const XmlElement *parent, const char *name)
{
    g_autofree char *text = text_of(parent, name);
    return g_ascii_strcasecmp(text, "yes") == 0 || g_ascii_strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0;
}

static gint compare_runs(gconstpointer a, gconstpointer b)
{
    guint64 first = (*(const HookRun *const *)a)->id, second = (*(const HookRun *const *)b)->id;
    return (first > second) - (first < second);
}

GPtrArray *pool_hook_runs(const char *text, gsize length, GError **error)
{
    static const char name[] = "HOOK_EXECUTION_RECORD";
    g_autoptr(XmlTree) tree = read_document(text, length, "HOOK", error);
    if (!tree)
        return NULL;
    GPtrArray *runs = g_ptr_array_new_with_free_func(free_run);
    const XmlElement *log = xml_child(xml_root(tree), "HOOKLOG");
    for (const XmlElement *at = xml_child(log, name); at; at = xml_next(at, name)) {
        guint64 id, time = 0;
        const XmlElement *result = xml_child(at, "EXECUTION_RESULT");
        if (!number_of(at, "EXECUTION_ID", &id))
            continue;
        number_of(at, "TIMESTAMP", &time);
        g_autofree char *code = text_of(result, "CODE");
        HookRun *run = g_new(HookRun, 1);
        *run = (HookRun){.id = id,
                         .time_s = (gint64)MIN(time, (guint64)G_MAXINT64),
                         .code = g_ascii_strtoll(code, NULL, 10),
                         .retry = is_yes(at, "RETRY"),
                         .said = last_line(result)};
        g_ptr_array_add(runs, run);
    }
    g_ptr_array_sort(runs, compare_runs);
    return runs;
}

/* --- hosts --- */

static void free_host(gpointer data)
{
    CloudHost *host = data;
    g_free(host->name);
    g_free(host->im_mad);
    g_free(host);
}

GPtrArray *pool_hosts(const char *text, gsize length, GError **error)
{
    g_autoptr(XmlTree) tree = read_document(text, length, "HOST_POOL", error);
    if (!tree)
        return NULL;
    GPtrArray *hosts = g_ptr_array_new_with_free_func(free_host);
    for (const XmlElement *at = xml_child(xml_root(tree), "HOST"); at; at = xml_next(at, "HOST")) {
        guint64 id, state = G_MAXUINT64;
        if (!number_of(at, "ID", &id))
            continue;
        number_of(at, "STATE", &state);
        CloudHost *host = g_new(CloudHost, 1);
        *host = (CloudHost){.id = id, .name = text_of(at, "NAME"), .im_mad = text_of(at, "IM_MAD"), .state = state};
        g_ptr_array_add(hosts, host);
    }
    return hosts;
}
