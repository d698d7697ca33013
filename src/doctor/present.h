/* SPDX-License-Identifier: Apache-2.0
 * The doctor's findings as people and scripts read them. Pure. */
#pragma once

#include "doctor/doctor.h"

typedef struct {
    bool colour;
    bool quiet;   /* only what is not ok */
    guint places; /* where both are checked, each finding says which it is of */
} PresentOptions;

/* Appends a check's findings, a line each, and below it what mends it. */
void present_text(GString *out, const CheckResult *result, const PresentOptions *options);

/* "12 ok, 1 warning, 2 errors, 3 not checked". Owned by the caller. */
char *present_sum(const DoctorSum *sum);

/* One object; `results` are CheckResult pointers. `machine`: its name; `now_ns`: realtime. Owned by the caller. */
char *present_json(const GPtrArray *results, const PresentOptions *options, const char *machine, gint64 now_ns);
