/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/forecast.h"

#include "base/text.h"

static const struct {
    const char *table;
    Metric metric;
} kept[] = {
#define FORECAST(table, metric) {table, METRIC_VM_##metric},
#include "model/forecast.def"
#undef FORECAST
};

char *forecast_file_name(guint64 vm_id)
{
    return g_strdup_printf("%" G_GUINT64_FORMAT ".db", vm_id);
}

static void append_value(GString *out, const MetricRow *row, Metric m)
{
    if (metric_info[m].kind == KIND_REAL)
        text_append_dec2(out, row_real(row, m)); /* as OpenNebula is told */
    else
        text_append_u64(out, row_u64(row, m));
}

static void append_creation(GString *out, const char *table, guint weeks)
{
    g_string_append_printf(
        out,
        "CREATE TABLE IF NOT EXISTS %s (TIMESTAMP INTEGER PRIMARY KEY, VALUE REAL NOT NULL);\n"
        "CREATE TRIGGER IF NOT EXISTS delete_old_records_%s AFTER INSERT ON %s BEGIN "
        "DELETE FROM %s WHERE TIMESTAMP < CAST(strftime('%%s', 'now', '-%u days') AS INTEGER); END;\n",
        table, table, table, table, weeks * 7);
}

bool forecast_sql_append(GString *out, const VmSample *vm, gint64 seconds, bool create, guint weeks)
{
    const gsize before = out->len;
    bool any = false;
    g_string_append(out, "BEGIN IMMEDIATE;\n");
    for (guint i = 0; i < G_N_ELEMENTS(kept); i++) {
        if (!row_has(vm->row, kept[i].metric))
            continue;
        any = true;
        g_autofree char *table =
            g_strdup_printf("virtualmachine_%" G_GUINT64_FORMAT "_%s_monitoring", vm->vm_id, kept[i].table);
        if (create)
            append_creation(out, table, weeks);
        g_string_append_printf(out, "INSERT OR REPLACE INTO %s VALUES (%" G_GINT64_FORMAT ", ", table, seconds);
        append_value(out, vm->row, kept[i].metric);
        g_string_append(out, ");\n");
    }
    g_string_append(out, "COMMIT;\n");
    if (!any)
        g_string_truncate(out, before);
    return any;
}
