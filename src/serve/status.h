/* SPDX-License-Identifier: Apache-2.0
 * How telemetryd does, as parts of JSON answers: /status, /diagnostic, what start and stop answer. */
#pragma once

#include "serve/service.h"

/* "status": "ok", or "error" with what is wrong and what to do (NULL: nothing). */
void status_verdict(JsonWriter *json, const char *problem, const char *advice);

/* All members of /status. */
void status_members(JsonWriter *json, Service *service);
