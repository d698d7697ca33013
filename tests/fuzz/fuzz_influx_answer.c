/* SPDX-License-Identifier: Apache-2.0
 * What a database, or whoever answers in its place, says to a question for history. */
#include "serve/influx_query.h"

#include <math.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const Metric metrics[] = {METRIC_VM_CPU_USAGE_PERCENT, METRIC_VM_NET_RX_BYTES_RATE};
    const HistoryQuery query = {.vm_id = 1, .metrics = metrics, .n_metrics = 2, .to_ns = 3600000000000};
    static const SinkType types[] = {SINK_INFLUXDB1, SINK_INFLUXDB3};
    for (guint t = 0; t < G_N_ELEMENTS(types); t++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(HistoryAnswer) answer = influx_read_answer(types[t], &query, (const char *)data, size, &error);
        g_assert((answer == NULL) == (error != NULL));
        for (guint i = 0; answer && i < answer->n_series; i++)
            for (guint k = 0; k < answer->series[i]->len; k++)
                g_assert(isfinite(g_array_index(answer->series[i], HistoryPoint, k).mean));
    }
    return 0;
}
