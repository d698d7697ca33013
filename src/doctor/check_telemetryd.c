/* SPDX-License-Identifier: Apache-2.0
 * The endpoint, as its own configuration says where it is. */
#include "deliver/sink.h"
#include "deliver/sinks.h"
#include "doctor/checks.h"
#include "doctor/diagnosis.h"
#include "doctor/judges.h"
#include "doctor/systemd.h"

#include <string.h>

#define UNIT "one-telemetryd"
#define SYSTEMCTL_MS 5000
#define ANSWER_MS 8000

/* --- its answers --- */

/* Where one reaches it from here: an address that stands for all is reached by the loopback's. Owned by the caller. */
static char *url_of(const Config *config)
{
    const char *listen = config_text(config, CONFIG_server_listen);
    const char *scheme = *config_text(config, CONFIG_server_cert_file) ? "https" : "http";
    const char *host = strcmp(listen, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(listen, "::") == 0 ? "::1" : listen;
    bool six = strchr(host, ':') != NULL;
    return g_strdup_printf("%s://%s%s%s:%" G_GINT64_FORMAT, scheme, six ? "[" : "", host, six ? "]" : "",
                           config_integer(config, CONFIG_server_port));
}

/* Its own certificate names it as others reach it, and it is on this machine: that is not checked here. */
static SinkSettings *settings_for(const Config *config, char *url)
{
    const char *token = config_text(config, CONFIG_server_read_token_file);
    SinkSettings *settings = g_new(SinkSettings, 1);
    *settings = (SinkSettings){.name = g_strdup("telemetryd"),
                               .type = SINK_TELEMETRYD,
                               .url = url,
                               .token_file = g_strdup(token),
                               .connect_timeout_ms = ANSWER_MS,
                               .timeout_ms = ANSWER_MS};
    char **texts[] = {&settings->database, &settings->retention_policy,
                      &settings->org,      &settings->bucket,
                      &settings->user,     &settings->password_file,
                      &settings->ca_file,  &settings->cert_file,
                      &settings->key_file, &settings->proxy};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        *texts[i] = g_strdup("");
    return settings;
}

static SinkReply *ask(const Facts *facts, SinkPool *pool, Sink *sink, const char *path)
{
    const gint64 until_us = g_get_monotonic_time() + facts_limit_ms(facts, ANSWER_MS) * 1000;
    SinkReply *reply = NULL;
    sink_ask(sink, path, NULL);
    while (!(reply = sink_take_reply(sink)) && g_get_monotonic_time() < until_us)
        sink_pool_run(pool, -1, until_us);
    return reply;
}

static bool report_health(EndpointFacts *endpoint, const SinkReply *reply, Report *to)
{
    bool answered = reply && reply->transport == TRANSPORT_DONE;
    g_autofree char *version = answered ? diagnosis_version(reply->body->str, reply->body->len) : NULL;
    endpoint->problem = !reply ? "no answer in time" : answered ? NULL : reply->problem;
    endpoint->status = reply ? reply->status : 0;
    endpoint->said = answered ? reply->body->str : NULL;
    endpoint->version = version;
    report_all(to, judge_endpoint(endpoint));
    return version != NULL;
}

static void report_diagnosis(const SinkReply *reply, Report *to)
{
    bool answered = reply && reply->transport == TRANSPORT_DONE && reply->status == 200;
    GPtrArray *findings = answered ? diagnosis_findings(reply->body->str, reply->body->len) : NULL;
    if (findings)
        report_all(to, findings);
    else
        report(to, finding_new(
                       VERDICT_WARNING, "# read_token_file in [server] of the configuration it was started with",
                       "its diagnostic can't be had: %s", !reply || reply->problem ? "no answer" : reply->body->str));
}

void examine_telemetryd(const Facts *facts, Report *to)
{
    g_autoptr(GError) error = NULL;
    const ConfigFile *file = facts->server.path ? &facts->server : &facts->probe;
    g_autoptr(SinkSettings) settings = settings_for(file->config, url_of(file->config));
    const gint64 limit_ms = facts_limit_ms(facts, SYSTEMCTL_MS);
    bool has_systemd = systemd_runs();
    EndpointFacts endpoint = {.url = settings->url,
                              .configured = file->exists,
                              .has_systemd = has_systemd,
                              .enabled = has_systemd && systemd_says("is-enabled", UNIT, limit_ms),
                              .active = has_systemd && systemd_says("is-active", UNIT, limit_ms)};
    report_doing(to, "journalctl -u " UNIT " -n 50", "telemetryd at %s does not answer", settings->url);
    g_autoptr(SinkPool) pool = sink_pool_new();
    Sink *sink = sink_new(pool, settings, &error);
    if (!sink) {
        report(to, finding_new(VERDICT_NOT_CHECKED, "one-telemetry doctor --check secrets", "telemetryd: %s",
                               error->message));
        return;
    }
    g_autoptr(SinkReply) health = ask(facts, pool, sink, "/healthz");
    if (report_health(&endpoint, health, to) && health->status == 200) {
        g_autoptr(SinkReply) diagnostic = ask(facts, pool, sink, "/api/telemetry/diagnostic");
        report_diagnosis(diagnostic, to);
    }
    sink_free(sink);
}
