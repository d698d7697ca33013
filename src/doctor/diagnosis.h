/* SPDX-License-Identifier: Apache-2.0
 * telemetryd's JSON, as far as the doctor reads it. Pure. */
#pragma once

#include "doctor/finding.h"

#define DIAGNOSIS_MAX (16 * 1024 * 1024) /* bytes */
#define DIAGNOSIS_FINDINGS_MAX 20

/* The text member "version" of an object; NULL: there is none, or it is no JSON. Owned by the caller. */
char *diagnosis_version(const char *text, gsize length);

/* What /api/telemetry/diagnostic complains of: of every object in it whose status is "error", where it stands, what it
 * says, what it advises. At most DIAGNOSIS_FINDINGS_MAX. One of OK where there is none; NULL: it is no JSON object. */
GPtrArray *diagnosis_findings(const char *text, gsize length);
