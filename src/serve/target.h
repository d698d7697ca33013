/* SPDX-License-Identifier: Apache-2.0
 * The target of a request: "/api/telemetry/history/83?metric=cpu_usage_percent&step=60s". Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define TARGET_MAX 8192 /* bytes */
#define TARGET_PARAMETERS_MAX 64

typedef struct {
    const char *name, *value;
} TargetParameter;

typedef struct {
    char *path; /* decoded; begins with / */
    guint n_parameters;
    TargetParameter *parameters; /* in their order */
    char *storage;
} Target;

#define TARGET_ERROR target_error_quark()
GQuark target_error_quark(void);
typedef enum { TARGET_ERROR_SYNTAX, TARGET_ERROR_LIMIT } TargetErrorCode;

/* Takes the origin form alone. Refused: what does not begin with /, an encoding that is none, an encoded NUL, slash or
 * backslash in the path, control characters, invalid UTF-8, empty segments and segments . and .., a parameter twice, a
 * fragment. + is a space in the query. */
Target *target_parse(const char *text, GError **error);
void target_free(Target *target);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Target, target_free)

const char *target_parameter(const Target *target, const char *name); /* NULL: not there */
