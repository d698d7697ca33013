/* SPDX-License-Identifier: Apache-2.0
 * The table of checks. */
#pragma once

#include "doctor/facts.h"
#include "doctor/finding.h"

typedef enum { CHECK_AT_FRONT_END, CHECK_AT_HOST, CHECK_AT_EACH, CHECK_AT_ONCE } CheckAt;

typedef struct {
    const char *name;
    CheckAt at;
    guint seconds;
    void (*run)(const Facts *facts, Report *to); /* in a process of its own, as the user whom OpenNebula runs as */
    const char *what;
} CheckInfo;

#define DOCTOR_CHECK(name, at, seconds, what) CHECK_##name,
typedef enum {
#include "doctor/checks.def"
    N_CHECKS
} Check;
#undef DOCTOR_CHECK

extern const CheckInfo check_info[N_CHECKS];

/* -1: there is none of that name. */
int check_find(const char *name);

#define DOCTOR_CHECK(name, at, seconds, what) void examine_##name(const Facts *facts, Report *to);
#include "doctor/checks.def"
#undef DOCTOR_CHECK
