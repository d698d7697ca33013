/* SPDX-License-Identifier: Apache-2.0
 * How telemetryd does, as parts of JSON answers: /status, /diagnostic, what start and stop answer. */
#pragma once

#include "serve/service.h"

/* All members of /status. */
void status_members(JsonWriter *json, Service *service);
