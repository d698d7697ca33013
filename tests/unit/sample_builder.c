/* SPDX-License-Identifier: Apache-2.0 */
#include "sample_builder.h"

VmSample *build_vm(Sample *sample, guint64 id)
{
    g_autofree char *name = g_strdup_printf("one-%" G_GUINT64_FORMAT, id);
    VmSample *vm = vm_sample_new(name);
    vm->uuid = g_strdup_printf("6ba7b810-9dad-41d1-80b4-%012" G_GINT64_MODIFIER "x", id);
    vm->domain_id = (gint64)id + 1000;
    row_set_u64(vm->row, METRIC_VM_STATE, 1);
    g_ptr_array_add(sample->vms, vm);
    return vm;
}

MetricRow *build_nic(VmSample *vm, guint index, const char *name)
{
    MetricRow *row = vm_sample_row(vm, SCOPE_NIC, index);
    row_set_text(row, METRIC_NIC_NAME, name);
    return row;
}

MetricRow *build_disk(VmSample *vm, guint index, const char *name)
{
    MetricRow *row = vm_sample_row(vm, SCOPE_DISK, index);
    row_set_text(row, METRIC_DISK_NAME, name);
    return row;
}

char *build_nasty_text(GRand *random, guint pieces)
{
    static const char *const piece[] = {
        "\"",       "\\",
        "\\\\",     "\n",
        "\r\n",     "\t",
        "]",        "[",
        ",",        "=",
        " ",        "'",
        "<script>", "#",
        "%s",       "\x01",
        "\x7F",     "ä",
        "語",       "😀",
        "\xC2\x85", "\xEF\xBF\xBF",
        "\xFF",     "\xC3",
        "\xE2\x82", "\xED\xA0\x80",
        "\xC0\xAF", "a",
        "Zz9",      "_-",
    };
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < pieces; i++)
        g_string_append(text, piece[g_rand_int_range(random, 0, G_N_ELEMENTS(piece))]);
    return g_string_free(text, FALSE);
}

static guint64 random_u64(GRand *random)
{
    guint64 value = (guint64)g_rand_int(random) << 32 | g_rand_int(random);
    return value >> g_rand_int_range(random, 0, 64);
}

static void set_random(MetricRow *row, Metric m, GRand *random)
{
    switch (metric_info[m].kind) {
    case KIND_REAL:
        row_set_real(row, m, g_rand_double(random) * (double)random_u64(random));
        break;
    case KIND_TEXT: {
        g_autofree char *text = build_nasty_text(random, (guint)g_rand_int_range(random, 0, 12));
        row_set_text(row, m, text);
        break;
    }
    default:
        row_set_u64(row, m, metric_info[m].unit == UNIT_BOOL ? g_rand_int(random) % 2 : random_u64(random));
    }
}

void build_random_row(MetricRow *row, GRand *random, double probability)
{
    for (guint i = 0; i < metric_count(row->scope); i++)
        if (g_rand_double(random) < probability)
            set_random(row, metric_first(row->scope) + i, random);
    if (row->scope == SCOPE_VM)
        row_set_u64(row, METRIC_VM_STATE, g_rand_int(random) % 9);
}

Sample *build_random_sample(guint n, guint32 seed)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);
    Sample *sample = sample_new();
    sample->host = g_strdup("host-1");
    sample->realtime_ns = G_GINT64_CONSTANT(1795356180123456789);
    build_random_row(sample->row, random, 0.8);
    for (guint i = 1; i <= n; i++) {
        VmSample *vm = build_vm(sample, i);
        build_random_row(vm->row, random, 0.5);
        for (int scope = SCOPE_VCPU; scope <= SCOPE_DISK; scope++)
            for (guint k = 0; k < g_rand_int(random) % 4; k++)
                build_random_row(vm_sample_row(vm, (Scope)scope, k * 2), random, 0.5);
    }
    for (guint i = 0; i < seed % 3; i++) {
        g_autofree char *name = g_strdup_printf("sink-%u", i);
        build_random_row(sample_add_sink(sample, name), random, 0.8);
    }
    return sample;
}

Sample *build_full_sample(guint n, guint32 seed)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);
    Sample *sample = sample_new();
    for (guint id = 1; id <= n; id++) {
        MetricRow *row = build_vm(sample, id)->row;
        for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
            Metric m = metric_first(SCOPE_VM) + i;
            double value = g_rand_double_range(random, 1e9, 1e10);
            if (metric_info[m].unit == UNIT_BOOL)
                row_set_u64(row, m, 1);
            else if (metric_info[m].kind == KIND_TEXT)
                row_set_text(row, m, "guest");
            else if (metric_info[m].kind == KIND_REAL)
                row_set_real(row, m, value / 100);
            else
                row_set_u64(row, m, (guint64)value);
        }
        row_set_u64(row, METRIC_VM_STATE, 1);
    }
    return sample;
}
