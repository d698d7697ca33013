/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/diagnosis.h"

#include <cJSON.h>
#include <string.h>

static void json_free(cJSON *json)
{
    cJSON_Delete(json);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cJSON, json_free)

static const char *text_of(const cJSON *json, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

static cJSON *read_object(const char *text, gsize length)
{
    if (length > DIAGNOSIS_MAX)
        return NULL;
    g_autoptr(cJSON) json = cJSON_ParseWithLength(text, length);
    return cJSON_IsObject(json) ? g_steal_pointer(&json) : NULL;
}

char *diagnosis_version(const char *text, gsize length)
{
    g_autoptr(cJSON) json = read_object(text, length);
    return g_strdup(text_of(json, "version"));
}

/* Which one it is: "sinks influx", "hosts kvm1", "libvirt qemu:///system". Owned by the caller. */
static char *name_of(const cJSON *json, const char *path)
{
    static const char *const names[] = {"name", "host", "uri"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (text_of(json, names[i]))
            return g_strdup_printf("%s %s", path, text_of(json, names[i]));
    return g_strdup(path);
}

static void add_finding(const cJSON *json, const char *path, GPtrArray *findings)
{
    const char *error = text_of(json, "error"), *advice = text_of(json, "advice");
    g_autofree char *name = name_of(json, path), *mend = advice ? g_strconcat("# ", advice, NULL) : NULL;
    if (mend)
        g_strdelimit(mend, "\n", ' ');
    g_ptr_array_add(findings, finding_new(VERDICT_WARNING, mend, "it says of %s: %s", name, error ? error : "error"));
}

/* Sinks that lead back to where the lines came from. */
static void add_loop(const cJSON *json, GPtrArray *findings)
{
    const cJSON *lines = cJSON_GetObjectItemCaseSensitive(json, "returned_lines");
    if (cJSON_IsNumber(lines) && lines->valuedouble > 0)
        g_ptr_array_add(findings,
                        finding_new(VERDICT_WARNING,
                                    "# see that no [sink] of it, or of the telemetryd it sends to, leads back here",
                                    "%.0f lines have come in that it had sent itself: its sinks are a loop",
                                    lines->valuedouble));
}

/* The members of old clients, which say again what libvirt and sinks do. */
static bool is_summary(const char *path)
{
    return strcmp(path, "kvm") == 0 || strcmp(path, "influx") == 0;
}

static void walk(const cJSON *json, const char *path, GPtrArray *findings)
{
    if (findings->len >= DIAGNOSIS_FINDINGS_MAX)
        return;
    if (cJSON_IsObject(json) && *path && !is_summary(path) && g_strcmp0(text_of(json, "status"), "error") == 0)
        add_finding(json, path, findings);
    add_loop(json, findings);
    for (const cJSON *child = json->child; child; child = child->next)
        if (cJSON_IsObject(child) || cJSON_IsArray(child))
            walk(child, child->string ? child->string : path, findings);
}

GPtrArray *diagnosis_findings(const char *text, gsize length)
{
    g_autoptr(cJSON) json = read_object(text, length);
    if (!json)
        return NULL;
    GPtrArray *findings = findings_new();
    walk(json, "", findings);
    if (findings->len == 0)
        g_ptr_array_add(findings, finding_ok("it finds nothing wrong with its libvirts, sinks, hosts and history"));
    return findings;
}
