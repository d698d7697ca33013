/* SPDX-License-Identifier: Apache-2.0
 * Moments and spans in a query: what is taken is within its limits. */
#include "encode/line_samples.h"
#include "serve/time_range.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const gint64 now_ns = G_GINT64_CONSTANT(1700000000000000000);
    g_autofree char *text = g_strndup((const char *)data, size);
    gint64 ns;
    if (time_range_moment(text, now_ns, &ns))
        g_assert(ns >= 0 && ns <= LINE_TIME_MAX_NS);
    if (time_range_span(text, &ns))
        g_assert(ns > 0 && ns % 1000000000 == 0);
    return 0;
}
