/* SPDX-License-Identifier: Apache-2.0
 * A command that OpenNebula had a guest's agent run (onevm exec), and what came of it. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
    guint64 vm_id;
    gint64 pid;            /* in the guest; above 0 */
    bool has_return_code;  /* false: a signal ended it */
    gint64 return_code;    /* at most EXECUTION_RETURN_CODE_MAX, or at least that below 0 */
    char *output, *errors; /* standard output and standard error, base64; never NULL */
} Execution;

/* What a double, and so JSON, holds exactly. */
#define EXECUTION_RETURN_CODE_MAX (G_GINT64_CONSTANT(1) << 53)

void execution_free(Execution *execution);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Execution, execution_free)

/* Base64 on one line with its padding, as encoders write it, the empty one too: nothing in it that could end a quoted
 * value. */
bool execution_is_base64(const char *text, gsize length);
