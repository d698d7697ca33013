/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/forecast.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

#define FROM_EXTRAS N_METRICS

static const struct {
    const char *table;
    Metric metric; /* FROM_EXTRAS: of `key` */
    const char *key;
} kept[] = {
#define FORECAST(table, metric, key) {table, METRIC_VM_##metric, NULL},
#define FORECAST_EXTRA(table, key) {table, FROM_EXTRAS, key},
#include "model/forecast.def"
#undef FORECAST_EXTRA
#undef FORECAST
};

char *forecast_file_name(guint64 vm_id)
{
    return g_strdup_printf("%" G_GUINT64_FORMAT ".db", vm_id);
}

/* What an agent was asked for may be anything: only a number is a value. */
static bool append_extra(GString *out, char *const *extras, const char *key)
{
    for (guint i = 0; extras && extras[i]; i += 2) {
        char *end;
        double value = g_ascii_strtod(extras[i + 1], &end);
        if (strcmp(extras[i], key) != 0 || end == extras[i + 1] || *end || !isfinite(value))
            continue;
        text_append_dec2(out, value);
        return true;
    }
    return false;
}

/* As OpenNebula is told. false: it is not known. */
static bool append_value(GString *out, const VmSample *vm, guint i)
{
    const Metric m = kept[i].metric;
    if (m == FROM_EXTRAS)
        return append_extra(out, vm->extras, kept[i].key);
    if (!row_has(vm->row, m))
        return false;
    if (metric_info[m].kind == KIND_REAL)
        text_append_dec2(out, row_real(vm->row, m));
    else
        text_append_u64(out, row_u64(vm->row, m));
    return true;
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
    g_autoptr(GString) value = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(kept); i++) {
        g_string_truncate(value, 0);
        if (!append_value(value, vm, i))
            continue;
        any = true;
        g_autofree char *table =
            g_strdup_printf("virtualmachine_%" G_GUINT64_FORMAT "_%s_monitoring", vm->vm_id, kept[i].table);
        if (create)
            append_creation(out, table, weeks);
        g_string_append_printf(out, "INSERT OR REPLACE INTO %s VALUES (%" G_GINT64_FORMAT ", %s);\n", table, seconds,
                               value->str);
    }
    g_string_append(out, "COMMIT;\n");
    if (!any)
        g_string_truncate(out, before);
    return any;
}
