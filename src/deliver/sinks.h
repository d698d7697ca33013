/* SPDX-License-Identifier: Apache-2.0
 * A sink: a database, or another endpoint, that takes line protocol over HTTP. What the configuration's [sink NAME]
 * sections say of each, as one type: nothing else reads those options. */
#pragma once

#include "base/config.h"
#include "deliver/spool.h"

/* In the order of the option's words. */
typedef enum {
    SINK_INFLUXDB1,       /* POST /write?db=&rp= */
    SINK_INFLUXDB2,       /* POST /api/v2/write?org=&bucket= */
    SINK_INFLUXDB3,       /* POST /api/v3/write_lp?db=&accept_partial=true */
    SINK_VICTORIAMETRICS, /* POST /write?db= */
    SINK_TELEMETRYD,      /* our own endpoint: POST /write */
} SinkType;

const char *sink_type_name(SinkType type); /* "influxdb1" … */

/* Texts are "" where the option is empty, never NULL. Paths are absolute. */
typedef struct {
    char *name;
    SinkType type;
    char *url; /* http:// or https://, host, maybe port and path; no / at the end, no query, no user */
    char *database, *retention_policy, *org, *bucket;
    char *user, *password_file, *token_file;
    char *ca_file, *cert_file, *key_file;
    bool verify; /* the server's certificate */
    char *proxy;
    gint64 connect_timeout_ms, timeout_ms;
    bool gzip;
    guint lines; /* of one request, about */
    SpoolLimits limits;
} SinkSettings;

void sink_settings_free(SinkSettings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SinkSettings, sink_settings_free)

/* The enabled sinks, in the file's order. Of SinkSettings. NULL: of one of them something is missing or does not go
 * together (a URL, a bucket for InfluxDB 2, a certificate without its key); the error is one line that names section
 * and option. Errors: CONFIG_ERROR_VALUE. */
GPtrArray *sinks_from_config(const Config *config, GError **error);

/* Their names, NULL-terminated; they belong to the settings. */
GPtrArray *sinks_names(const GPtrArray *sinks);
/* The longest age that any of them lets a batch have; 0: there are none. */
gint64 sinks_max_age_s(const GPtrArray *sinks);
