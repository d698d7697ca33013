/* SPDX-License-Identifier: Apache-2.0
 * Any text as a moment or a span of a query: what is taken is in range, what is not leaves no trace. */
#include "encode/line_samples.h"
#include "serve/time_range.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const gint64 now[] = {0, G_GINT64_CONSTANT(1795680821000000000), LINE_TIME_MAX_NS};
    g_autofree char *text = g_strndup((const char *)data, size);
    for (guint i = 0; i < G_N_ELEMENTS(now); i++) {
        gint64 ns = -7;
        if (time_range_moment(text, now[i], &ns))
            g_assert_true(ns >= 0 && ns <= LINE_TIME_MAX_NS);
        else
            g_assert_cmpint(ns, ==, -7);
    }
    gint64 span = -7;
    if (time_range_span(text, &span))
        g_assert_true(span >= G_GINT64_CONSTANT(1000000000) && span % 1000000000 == 0);
    else
        g_assert_cmpint(span, ==, -7);
    return 0;
}
