/* SPDX-License-Identifier: Apache-2.0
 * What a request to a sink says besides its body (sink_write_url is in sink.h). Pure. */
#pragma once

#include "deliver/sinks.h"

/* The Authorization header of that token: InfluxDB 2 wants another word than the rest. Owned by the caller
 * (sink_secret_free). */
char *sink_token_header(SinkType type, const char *token);

/* "host:port" of a URL, for people: without scheme, user, password and path. Owned by the caller. */
char *sink_url_place(const char *url);

/* The host of a URL, an IPv6 address without its brackets, and the port, or the default one of https or http. Owned by
 * the caller. */
char *sink_url_host(const char *url, guint http_port, guint *ret_port);
