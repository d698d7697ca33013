/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a database's answer about a VM's history; the first says which database. */
#include "serve/influx_query.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const Metric metrics[] = {METRIC_VM_CPU_USAGE_PERCENT, METRIC_VM_MEMORY_RSS};
    const HistoryQuery query = {83, metrics, 2, 0, G_GINT64_CONSTANT(3600000000000), 0};
    if (size == 0)
        return 0;
    g_autoptr(GError) error = NULL;
    g_autoptr(HistoryAnswer) answer = influx_read_answer(data[0] == '3' ? SINK_INFLUXDB3 : SINK_INFLUXDB1, &query,
                                                         (const char *)data + 1, size - 1, &error);
    g_assert_true((answer == NULL) == (error != NULL));
    if (error)
        g_assert_true(g_utf8_validate(error->message, -1, NULL) && !strchr(error->message, '\n'));
    for (guint i = 0; answer && i < answer->n_series; i++) {
        g_assert_cmpuint(answer->series[i]->len, <=, HISTORY_POINTS_MAX);
        for (guint p = 0; p < answer->series[i]->len; p++) {
            const HistoryPoint *point = &g_array_index(answer->series[i], HistoryPoint, p);
            g_assert_true(point->time_ns >= 0 && isfinite(point->mean) && isfinite(point->min) && isfinite(point->max));
        }
    }
    return 0;
}
