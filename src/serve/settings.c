/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/settings.h"

#include "base/file.h"
#include "gather/state.h"
#include "serve/influx_query.h"
#include "serve/own_address.h"

#include <arpa/inet.h>
#include <string.h>

#define SECRET_MAX (64 * 1024) /* bytes of a token's, certificate's or key's file */
#define TOKEN_MIN 8            /* characters */
#define STALE_INTERVALS 3      /* figures are fresh for at least so many intervals; options.def says so too */

static gint64 milliseconds(const Config *config, ConfigOption option)
{
    return (gint64)(1000 * config_seconds(config, option));
}

static gint64 span_ms(const Config *config, ConfigOption option)
{
    return 1000 * config_integer(config, option);
}

static bool refuse(GError **error, const char *message)
{
    g_set_error_literal(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, message);
    return false;
}

/* The words of a list between blanks, without empty ones. */
static char **words_of(const char *text)
{
    GPtrArray *words = g_ptr_array_new();
    g_auto(GStrv) parts = g_strsplit_set(text, " \t,", -1);
    for (char **part = parts; *part; part++)
        if (**part)
            g_ptr_array_add(words, g_strdup(*part));
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

/* --- secrets --- */

/* *ret_text stays NULL where the option is empty. */
static bool read_secret(const Config *config, ConfigOption option, char **ret_text, GError **error)
{
    gsize length;
    const char *path = config_text(config, option);
    if (!*path || file_read_secret(path, SECRET_MAX, ret_text, &length, error))
        return true;
    g_prefix_error(error, "[%s] %s: ", option_info[option].section, option_info[option].key);
    return false;
}

static bool read_token(const Config *config, ConfigOption option, char **ret_token, GError **error)
{
    if (!read_secret(config, option, ret_token, error))
        return false;
    if (!*ret_token)
        return true;
    g_strstrip(*ret_token);
    bool is_good = strlen(*ret_token) >= TOKEN_MIN;
    for (const char *c = *ret_token; *c; c++)
        is_good = is_good && *c > ' ' && *c < 0x7F;
    if (is_good)
        return true;
    g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE,
                "[server] %s: expected one line of at least %d visible ASCII characters in %s, as `openssl rand -hex "
                "24` prints",
                option_info[option].key, TOKEN_MIN, config_text(config, option));
    return false;
}

static bool read_secrets(const Config *config, Settings *settings, GError **error)
{
    if (!read_token(config, CONFIG_server_read_token_file, &settings->read_token, error) ||
        !read_token(config, CONFIG_server_write_token_file, &settings->write_token, error))
        return false;
    if (settings->read_token && settings->write_token && strcmp(settings->read_token, settings->write_token) == 0)
        return refuse(error,
                      "[server] read_token_file and write_token_file hold the same token: who reads could write");
    gsize length;
    const char *cert = config_text(config, CONFIG_server_cert_file);
    if ((*cert != '\0') != (*config_text(config, CONFIG_server_key_file) != '\0'))
        return refuse(error, "[server] cert_file and key_file go together: one of them is missing");
    if (*cert && !file_read(cert, SECRET_MAX, &settings->cert, &length, error)) {
        g_prefix_error(error, "[server] cert_file: ");
        return false;
    }
    if (!read_secret(config, CONFIG_server_key_file, &settings->key, error))
        return false;
    if (!*cert || server_check_tls(settings->cert, settings->key, error))
        return true;
    g_prefix_error(error, "[server] cert_file = %s, key_file = %s: ", cert,
                   config_text(config, CONFIG_server_key_file));
    return false;
}

/* --- the server --- */

static bool check_address(const Config *config, const Settings *settings, GError **error)
{
    const char *address = config_text(config, CONFIG_server_listen);
    if (!own_address_is_one(address)) {
        g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE,
                    "[server] listen = %s: expected an IPv4 or IPv6 address, as 127.0.0.1 or ::", address);
        return false;
    }
    if (own_address_is_loopback(address) || config_integer(config, CONFIG_server_allow_without_token) ||
        (settings->read_token && settings->write_token))
        return true;
    g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE,
                "[server] listen = %s: others reach this address, so read_token_file and write_token_file are needed "
                "(or allow_without_token = yes, to let everybody read and write)",
                address);
    return false;
}

static void set_server(const Config *config, Settings *settings)
{
    settings->address = g_strdup(config_text(config, CONFIG_server_listen));
    settings->origins = words_of(config_text(config, CONFIG_server_origins));
    settings->server = (ServerOptions){
        .address = settings->address,
        .port = (guint)config_integer(config, CONFIG_server_port),
        .threads = (guint)config_integer(config, CONFIG_server_threads),
        .connections = (guint)config_integer(config, CONFIG_server_connections),
        .connections_per_address = (guint)config_integer(config, CONFIG_server_connections_per_address),
        .streams = (guint)config_integer(config, CONFIG_server_streams),
        .max_header = (gsize)config_integer(config, CONFIG_server_max_header),
        .max_body = (gsize)config_integer(config, CONFIG_server_max_body),
        .request_ms = milliseconds(config, CONFIG_server_request_timeout),
        .idle_ms = milliseconds(config, CONFIG_server_idle_timeout),
        .send_ms = milliseconds(config, CONFIG_server_send_timeout),
        .workers = (guint)config_integer(config, CONFIG_server_workers),
        .read_token = settings->read_token,
        .write_token = settings->write_token,
        .cert = settings->cert,
        .key = settings->key,
        .origins = (const char *const *)settings->origins,
    };
}

/* --- the rest --- */

static bool set_collector(const Config *config, Settings *settings, GError **error)
{
    settings->uris = words_of(config_text(config, CONFIG_collector_uris));
    if (!settings->uris[0])
        return refuse(error, "[collector] uris: expected at least one libvirt connection, as qemu:///system");
    settings->host = g_strdup(config_text(config, CONFIG_collector_host));
    settings->collector_enabled = config_integer(config, CONFIG_collector_enabled) != 0;
    settings->collector = (CollectorOptions){
        .uris = (const char *const *)settings->uris,
        .host = settings->host,
        .interval_ms = milliseconds(config, CONFIG_collector_interval),
        .monitor_ms = milliseconds(config, CONFIG_collector_monitor_interval),
        .libvirt_alone = config_integer(config, CONFIG_collector_sources) == SOURCES_LIBVIRT,
        .slow_ms = span_ms(config, CONFIG_collector_slow_interval),
        .deadline_ms = milliseconds(config, CONFIG_collector_deadline),
        .workers = (guint)config_integer(config, CONFIG_collector_workers),
    };
    return true;
}

/* Whatever [collector] enabled says: it can be started through the API at any time. */
static bool check_stale_after(const Settings *settings, GError **error)
{
    const gint64 stale_ms = settings->store.stale_after_ms, interval_ms = settings->collector.interval_ms;
    if (stale_ms >= STALE_INTERVALS * interval_ms)
        return true;
    g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE,
                "[telemetry] stale_after = %" G_GINT64_FORMAT
                "s: expected at least three times the [collector] interval "
                "(%g s), so that one collection that is late makes nothing stale: %" G_GINT64_FORMAT "s or more",
                stale_ms / 1000, (double)interval_ms / 1000, (STALE_INTERVALS * interval_ms + 999) / 1000);
    return false;
}

static bool set_store(const Config *config, Settings *settings, GError **error)
{
    settings->store = (StoreOptions){
        .stale_after_ms = span_ms(config, CONFIG_telemetry_stale_after),
        .gone_after_ms = span_ms(config, CONFIG_telemetry_gone_after),
        .forget_after_ms = span_ms(config, CONFIG_telemetry_forget_after),
        .max_vms = (guint)config_integer(config, CONFIG_telemetry_max_vms),
        .failure_ms = settings->collector.deadline_ms + 2 * settings->collector.interval_ms,
    };
    settings->answers = (AnswerOptions){
        .degrees_percent = config_seconds(config, CONFIG_telemetry_degrees_percent),
        .degrees_bytes = (double)config_integer(config, CONFIG_telemetry_degrees_bytes),
    };
    if (settings->store.gone_after_ms <= settings->store.stale_after_ms)
        return refuse(error, "[telemetry] gone_after has to be longer than stale_after");
    return check_stale_after(settings, error);
}

static bool check_history_sink(const Config *config, GError **error)
{
    const char *influx = config_text(config, CONFIG_history_influx);
    const Config *sink = config_named(config, "sink", influx);
    if (!*influx)
        return true;
    const char *expected = "expected the name of one with type = influxdb1 or influxdb3, which can be asked";
    if (!sink)
        g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "[history] influx = %s: there is no [sink %s]; %s", influx,
                    influx, expected);
    else if (!config_integer(sink, CONFIG_sink_enabled))
        g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "[history] influx = %s: [sink %s] is not enabled; %s",
                    influx, influx, expected);
    else if (!influx_can_be_asked((SinkType)config_integer(sink, CONFIG_sink_type)))
        g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "[history] influx = %s: [sink %s] has type = %s; %s",
                    influx, influx, config_written(sink, CONFIG_sink_type), expected);
    else
        return true;
    return false;
}

static bool set_history(const Config *config, Settings *settings, GError **error)
{
    if (!check_history_sink(config, error))
        return false;
    const char *file = config_text(config, CONFIG_history_file);
    settings->history_enabled = config_integer(config, CONFIG_history_enabled) != 0;
    settings->history_file = *file ? g_strdup(file) : g_build_filename(settings->state_dir, "history.sqlite", NULL);
    settings->history = (HistoryOptions){
        .keep_s = {[TIER_RAW] = config_integer(config, CONFIG_history_keep_raw),
                   [TIER_MINUTE] = config_integer(config, CONFIG_history_keep_minutes),
                   [TIER_QUARTER] = config_integer(config, CONFIG_history_keep_quarters)},
        .max_bytes = (guint64)config_integer(config, CONFIG_history_max_size),
    };
    return true;
}

static void set_state_dir(const Config *config, Settings *settings)
{
    const char *set = config_text(config, CONFIG_server_state_dir), *systemd = g_getenv("STATE_DIRECTORY");
    if (*set) {
        settings->state_dir = g_strdup(set);
    } else if (systemd && *systemd == '/' && !strchr(systemd, ':')) {
        settings->state_dir = g_strdup(systemd);
    } else {
        settings->state_parent = state_default_dir();
        settings->state_dir = g_build_filename(settings->state_parent, "telemetryd", NULL);
    }
}

Settings *settings_new(const Config *config, GError **error)
{
    g_autoptr(Settings) settings = g_new0(Settings, 1);
    set_state_dir(config, settings);
    settings->max_body_plain = (gsize)config_integer(config, CONFIG_server_max_lines_size);
    if (!read_secrets(config, settings, error) || !check_address(config, settings, error))
        return NULL;
    set_server(config, settings);
    if (!set_collector(config, settings, error) || !set_store(config, settings, error) ||
        !set_history(config, settings, error))
        return NULL;
    return g_steal_pointer(&settings);
}

static void free_secret(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    g_free(secret);
}

void settings_free(Settings *settings)
{
    if (!settings)
        return;
    g_free(settings->state_dir);
    g_free(settings->state_parent);
    g_free(settings->history_file);
    g_free(settings->address);
    g_free(settings->host);
    free_secret(settings->read_token);
    free_secret(settings->write_token);
    free_secret(settings->key);
    g_free(settings->cert);
    g_strfreev(settings->origins);
    g_strfreev(settings->uris);
    g_free(settings);
}

bool settings_same_server(const Settings *a, const Settings *b)
{
    const ServerOptions *x = &a->server, *y = &b->server;
    const bool same_numbers = x->port == y->port && x->threads == y->threads && x->connections == y->connections &&
                              x->connections_per_address == y->connections_per_address && x->streams == y->streams &&
                              x->max_header == y->max_header && x->max_body == y->max_body &&
                              x->request_ms == y->request_ms && x->idle_ms == y->idle_ms && x->send_ms == y->send_ms &&
                              x->workers == y->workers;
    if (!same_numbers || g_strcmp0(x->address, y->address) != 0 || g_strcmp0(a->read_token, b->read_token) != 0 ||
        g_strcmp0(a->write_token, b->write_token) != 0 || g_strcmp0(a->cert, b->cert) != 0 ||
        g_strcmp0(a->key, b->key) != 0)
        return false;
    g_autofree char *left = g_strjoinv(" ", a->origins), *right = g_strjoinv(" ", b->origins);
    return strcmp(left, right) == 0;
}
