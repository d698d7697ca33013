/* SPDX-License-Identifier: Apache-2.0
 * What writers send: any bytes become samples, or refused lines; each sample is then taken by a store, and what is
 * passed on of the text is line protocol to the last line. */
#include "encode/line_samples.h"
#include "serve/relay_text.h"
#include "store/store.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const gint64 units[] = {1, 1000, 1000000, 1000000000, 0, 60000000000, 3600000000000};

static void check_relayed(const char *text, size_t size, gint64 unit_ns, const LineSamples *read)
{
    guint64 lines;
    g_autoptr(GString) relayed = relay_text(text, size, unit_ns, 5, NULL, NULL, &lines);
    g_autoptr(LineSamples) again = line_samples_read(relayed->str, relayed->len, 1, 5);
    g_assert(again->refused == 0 && again->points == lines && lines == read->points && again->foreign == read->foreign);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const StoreOptions options = {.stale_after_ms = 1000, .gone_after_ms = 5000, .forget_after_ms = 9000, .max_vms = 8};
    StoreClock now = {.real_ns = 1000000000, .mono_ns = 1000000000};
    if (size == 0)
        return 0;
    const gint64 unit_ns = units[data[0] % G_N_ELEMENTS(units)];
    const char *text = (const char *)data + 1;
    g_autoptr(LineSamples) read = line_samples_read(text, size - 1, unit_ns, 5);
    check_relayed(text, size - 1, unit_ns, read);
    g_autoptr(Store) store = store_new(&options);
    for (guint i = 0; i < read->samples->len; i++) {
        Sample *sample = g_steal_pointer(&read->samples->pdata[i]);
        const bool whole = line_samples_is_whole(sample);
        store_change_free(store_take(store, sample, SOURCE_PROBES, NULL, whole, now));
        now.real_ns += 400000000;
        now.mono_ns += 400000000;
    }
    g_ptr_array_set_size(read->samples, 0);
    for (guint i = 0; i < read->events->len; i++)
        store_change_free(store_take_event(store, g_ptr_array_index(read->events, i), now));
    StoreChange *change;
    store_tick(store, now, &change);
    store_change_free(change);
    g_autoptr(GArray) views = store_list(store, STORE_ALL, now);
    g_assert(views->len <= options.max_vms);
    return 0;
}
