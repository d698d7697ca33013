/* SPDX-License-Identifier: Apache-2.0
 * Runs the checks, each in a process of its own: one that hangs, or crashes, costs its own findings and no others'. */
#pragma once

#include "doctor/checks.h"

typedef struct {
    const CheckInfo *check;
    Place place;
    GPtrArray *findings; /* of Finding; never empty when it is done */
} CheckResult;

/* Called for each check when it and all before it in the table are done. */
typedef void (*DoctorTell)(const CheckResult *result, void *data);

/* `only`: a bit for each check that is wanted. Where it is run by root, checks are run as options->user. Single-
 * threaded; no check outlives its time, nor the call. Returns how many there were. */
guint doctor_run(const DoctorOptions *options, guint64 only, DoctorTell tell, void *data);

/* The user's number, or -1 (all bits) where there is no such user. */
uid_t doctor_user_id(const char *name);

/* --- counting --- */

typedef struct {
    guint count[N_VERDICTS];
} DoctorSum;

void doctor_count(DoctorSum *sum, const CheckResult *result);
