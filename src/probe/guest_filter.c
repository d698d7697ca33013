/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/guest_filter.h"

#include "base/child.h"

#include <string.h>

G_STATIC_ASSERT(GUEST_FILTER_MAX <= CHILD_INPUT_MAX);

G_DEFINE_QUARK(one_telemetry_guest_filter, guest_filter_error)

static void tell(const GError *reason, GError **error)
{
    switch ((ChildErrorCode)reason->code) {
    case CHILD_ERROR_START:
        g_set_error_literal(error, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_START, reason->message);
        break;
    case CHILD_ERROR_TIME:
    case CHILD_ERROR_TOO_MUCH:
        g_set_error(error, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_TIME,
                    "what stands behind the | takes too long, or says too much");
        break;
    case CHILD_ERROR_FAILED:
        g_set_error(error, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_FAILED, "what stands behind the | has failed: %s",
                    reason->message);
    }
}

char *guest_filter_run(const char *filter, const char *answer, gint64 limit_ms, GError **error)
{
    g_autoptr(GError) reason = NULL;
    const char *const words[] = {"/bin/sh", "-c", filter, NULL};
    const ChildOptions options = {.words = words, .input = answer, .limit_ms = limit_ms, .most = GUEST_FILTER_MAX};
    if (strlen(answer) > GUEST_FILTER_MAX) {
        g_set_error(error, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_FAILED, "the answer is too long");
        return NULL;
    }
    char *made = child_run(&options, NULL, &reason);
    if (!made)
        tell(reason, error);
    return made;
}
