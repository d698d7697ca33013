/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/sink_request.h"
#include "deliver/sink.h"

#include <string.h>

/* Without precision a server may guess, or take another one for its default. */
static const struct {
    const char *path;  /* behind the settings' URL */
    const char *fixed; /* parameters that are always the same */
} apis[] = {
    [SINK_INFLUXDB1] = {"/write", "precision=ns"},
    [SINK_INFLUXDB2] = {"/api/v2/write", "precision=ns"},
    [SINK_INFLUXDB3] = {"/api/v3/write_lp", "precision=nanosecond&accept_partial=true"},
    [SINK_VICTORIAMETRICS] = {"/write", "precision=ns"},
    [SINK_TELEMETRYD] = {"/write", "precision=ns"},
};

static const struct {
    const char *name;
    gsize offset; /* of a text in SinkSettings; an empty one is left out */
    guint types;  /* a bit for each that has it */
} parameters[] = {
    {"db", offsetof(SinkSettings, database), 1u << SINK_INFLUXDB1 | 1u << SINK_INFLUXDB3 | 1u << SINK_VICTORIAMETRICS},
    {"rp", offsetof(SinkSettings, retention_policy), 1u << SINK_INFLUXDB1},
    {"org", offsetof(SinkSettings, org), 1u << SINK_INFLUXDB2},
    {"bucket", offsetof(SinkSettings, bucket), 1u << SINK_INFLUXDB2},
};

char *sink_write_url(const SinkSettings *settings)
{
    GString *url = g_string_new(settings->url);
    g_string_append_printf(url, "%s?", apis[settings->type].path);
    for (guint i = 0; i < G_N_ELEMENTS(parameters); i++) {
        const char *value = *(char *const *)(gconstpointer)((const char *)settings + parameters[i].offset);
        if (!(parameters[i].types & 1u << settings->type) || *value == '\0')
            continue;
        g_autofree char *escaped = g_uri_escape_string(value, NULL, FALSE);
        g_string_append_printf(url, "%s=%s&", parameters[i].name, escaped);
    }
    g_string_append(url, apis[settings->type].fixed);
    return g_string_free(url, FALSE);
}

char *sink_token_header(SinkType type, const char *token)
{
    return g_strdup_printf("Authorization: %s %s", type == SINK_INFLUXDB2 ? "Token" : "Bearer", token);
}

char *sink_url_place(const char *url)
{
    const char *scheme = strstr(url, "://");
    const char *place = scheme ? scheme + strlen("://") : url;
    gsize length = strcspn(place, "/?#");
    const char *user_end = memrchr(place, '@', length);
    return user_end ? g_strndup(user_end + 1, length - (gsize)(user_end + 1 - place)) : g_strndup(place, length);
}

#define HTTPS_PORT 443

char *sink_url_host(const char *url, guint http_port, guint *ret_port)
{
    g_autofree char *place = sink_url_place(url);
    bool bracketed = *place == '[';
    gsize length = strcspn(place, bracketed ? "]" : ":");
    const char *colon = strchr(place + length, ':');
    *ret_port = g_str_has_prefix(url, "https://") ? HTTPS_PORT : http_port;
    if (colon)
        *ret_port = (guint)g_ascii_strtoull(colon + 1, NULL, 10);
    return g_strndup(place + bracketed, length - bracketed);
}
