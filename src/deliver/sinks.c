/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/sinks.h"
#include "deliver/sink_url.h"

#include <math.h>
#include <string.h>

#define NEEDS_MAX 3

/* What the types differ in. */
typedef struct {
    const char *name, *title;
    bool takes_token;
    struct {
        ConfigOption option; /* read only with an example */
        const char *example;
    } needs[NEEDS_MAX + 1]; /* ended by one without an example */
} TypeInfo;

static const TypeInfo type_info[] = {
    [SINK_INFLUXDB1] = {"influxdb1", "InfluxDB 1", false, {{CONFIG_sink_database, "NAME"}}},
    [SINK_INFLUXDB2] = {"influxdb2",
                        "InfluxDB 2",
                        true,
                        {{CONFIG_sink_bucket, "NAME"}, {CONFIG_sink_org, "NAME"}, {CONFIG_sink_token_file, "FILE"}}},
    [SINK_INFLUXDB3] = {"influxdb3", "InfluxDB 3", true, {{CONFIG_sink_database, "NAME"}}},
    [SINK_VICTORIAMETRICS] = {"victoriametrics", "VictoriaMetrics", true, {{0}}},
    [SINK_TELEMETRYD] = {"telemetryd", "telemetryd", true, {{0}}},
};

const char *sink_type_name(SinkType type)
{
    return type_info[type].name;
}

void sink_settings_free(SinkSettings *settings)
{
    if (!settings)
        return;
    char *const owned[] = {settings->name,    settings->url,           settings->database,
                           settings->org,     settings->bucket,        settings->retention_policy,
                           settings->user,    settings->password_file, settings->token_file,
                           settings->ca_file, settings->cert_file,     settings->key_file,
                           settings->proxy};
    for (guint i = 0; i < G_N_ELEMENTS(owned); i++)
        g_free(owned[i]);
    g_free(settings);
}

/* --- what does not go together --- */

/* Always false. */
G_GNUC_PRINTF(4, 5)
static bool refuse(const SinkSettings *settings, ConfigOption option, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *problem = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "[sink %s] %s: %s", settings->name, option_info[option].key,
                problem);
    return false;
}

/* The URL itself is not repeated: people put passwords into them. */
static bool check_urls(SinkSettings *settings, GError **error)
{
    if (!*settings->url)
        return refuse(settings, CONFIG_sink_url, error, "a sink needs one; set url = http://HOST:PORT");
    const char *problem = sink_url_trim(settings->url);
    if (!problem && (g_str_has_suffix(settings->url, "/write") || g_str_has_suffix(settings->url, "/write_lp")))
        problem = "expected it without the API's own path; take away what ends in /write";
    if (problem)
        return refuse(settings, CONFIG_sink_url, error, "%s", problem);
    problem = *settings->proxy ? sink_url_trim(settings->proxy) : NULL;
    return !problem || refuse(settings, CONFIG_sink_proxy, error, "%s", problem);
}

static bool check_needs(const SinkSettings *settings, const Config *config, GError **error)
{
    const TypeInfo *type = &type_info[settings->type];
    for (guint i = 0; type->needs[i].example; i++) {
        ConfigOption option = type->needs[i].option;
        if (!*config_text(config, option))
            return refuse(settings, option, error, "%s needs one; set %s = %s", type->title, option_info[option].key,
                          type->needs[i].example);
    }
    return true;
}

static bool check_authentication(const SinkSettings *settings, GError **error)
{
    bool has_user = *settings->user, has_password = *settings->password_file, has_token = *settings->token_file;
    if (has_token && !type_info[settings->type].takes_token)
        return refuse(settings, CONFIG_sink_token_file, error,
                      "%s takes none; set user and password_file instead, or another type",
                      type_info[settings->type].title);
    if (has_token && (has_user || has_password))
        return refuse(settings, CONFIG_sink_token_file, error,
                      "does not go together with user and password_file; take away one or the other");
    if (has_user && !has_password)
        return refuse(settings, CONFIG_sink_password_file, error, "user needs one; set password_file = FILE");
    if (has_password && !has_user)
        return refuse(settings, CONFIG_sink_user, error, "password_file needs one; set user = NAME");
    if (strchr(settings->user, ':'))
        return refuse(settings, CONFIG_sink_user, error, "expected a name without a colon, which ends it in a request");
    return true;
}

static bool check_tls(const SinkSettings *settings, const Config *config, GError **error)
{
    static const ConfigOption files[] = {CONFIG_sink_ca_file, CONFIG_sink_cert_file, CONFIG_sink_key_file};
    bool is_tls = g_str_has_prefix(settings->url, "https://");
    for (guint i = 0; i < G_N_ELEMENTS(files) && !is_tls; i++)
        if (*config_text(config, files[i]))
            return refuse(settings, files[i], error, "is of no use with http://; set url = https://… or take it away");
    if (*settings->cert_file && !*settings->key_file)
        return refuse(settings, CONFIG_sink_key_file, error, "cert_file needs one; set key_file = FILE");
    if (*settings->key_file && !*settings->cert_file)
        return refuse(settings, CONFIG_sink_cert_file, error, "key_file needs one; set cert_file = FILE");
    return true;
}

/* --- one sink --- */

static gint64 milliseconds(const Config *config, ConfigOption option)
{
    return llround(1000 * config_seconds(config, option));
}

static char *copy_text(const Config *config, ConfigOption option)
{
    return g_strdup(config_text(config, option));
}

static SinkSettings *read_settings(const Config *config, const char *name)
{
    SinkSettings *settings = g_new(SinkSettings, 1);
    *settings = (SinkSettings){
        .name = g_strdup(name),
        .type = (SinkType)config_integer(config, CONFIG_sink_type),
        .url = copy_text(config, CONFIG_sink_url),
        .database = copy_text(config, CONFIG_sink_database),
        .retention_policy = copy_text(config, CONFIG_sink_retention_policy),
        .org = copy_text(config, CONFIG_sink_org),
        .bucket = copy_text(config, CONFIG_sink_bucket),
        .user = copy_text(config, CONFIG_sink_user),
        .password_file = copy_text(config, CONFIG_sink_password_file),
        .token_file = copy_text(config, CONFIG_sink_token_file),
        .ca_file = copy_text(config, CONFIG_sink_ca_file),
        .cert_file = copy_text(config, CONFIG_sink_cert_file),
        .key_file = copy_text(config, CONFIG_sink_key_file),
        .verify = config_integer(config, CONFIG_sink_verify),
        .proxy = copy_text(config, CONFIG_sink_proxy),
        .connect_timeout_ms = milliseconds(config, CONFIG_sink_connect_timeout),
        .timeout_ms = milliseconds(config, CONFIG_sink_timeout),
        .gzip = config_integer(config, CONFIG_sink_gzip),
        .lines = (guint)config_integer(config, CONFIG_sink_lines),
        .limits = {.max_bytes = (guint64)config_integer(config, CONFIG_sink_max_size),
                   .max_age_s = config_integer(config, CONFIG_sink_max_age)},
    };
    return settings;
}

GPtrArray *sinks_from_config(const Config *config, GError **error)
{
    g_autoptr(GPtrArray) sinks = g_ptr_array_new_with_free_func((GDestroyNotify)sink_settings_free);
    for (const char *const *name = config_names(config, "sink"); *name; name++) {
        const Config *section = config_named(config, "sink", *name);
        if (!config_integer(section, CONFIG_sink_enabled))
            continue;
        SinkSettings *settings = read_settings(section, *name);
        g_ptr_array_add(sinks, settings);
        if (!check_urls(settings, error) || !check_needs(settings, section, error) ||
            !check_authentication(settings, error) || !check_tls(settings, section, error))
            return NULL;
    }
    return g_steal_pointer(&sinks);
}

GPtrArray *sinks_names(const GPtrArray *sinks)
{
    GPtrArray *names = g_ptr_array_new();
    for (guint i = 0; i < sinks->len; i++)
        g_ptr_array_add(names, ((const SinkSettings *)g_ptr_array_index(sinks, i))->name);
    g_ptr_array_add(names, NULL);
    return names;
}

gint64 sinks_max_age_s(const GPtrArray *sinks)
{
    gint64 longest = 0;
    for (guint i = 0; i < sinks->len; i++)
        longest = MAX(longest, ((const SinkSettings *)g_ptr_array_index(sinks, i))->limits.max_age_s);
    return longest;
}
