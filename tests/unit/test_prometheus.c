/* SPDX-License-Identifier: Apache-2.0
 * Prometheus's text format of samples: to the letter, and read back by a strict reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "encode/prometheus.h"
#include "sample_builder.h"

#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyz_0123456789"

/* --- the reader --- */

typedef struct {
    GHashTable *values;   /* "family{label="value",…}", as it stands there -> the value's text */
    GHashTable *families; /* family -> its type */
    char *family;         /* whose turn it is */
} Exposition;

static void exposition_free(Exposition *read)
{
    g_hash_table_destroy(read->values);
    g_hash_table_destroy(read->families);
    g_free(read->family);
    g_free(read);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Exposition, exposition_free)

static char *take_name(const char **at)
{
    gsize length = strspn(*at, NAME_LETTERS);
    assert_true(length > 0 && !g_ascii_isdigit(**at));
    char *name = g_strndup(*at, length);
    *at += length;
    return name;
}

static void take(const char **at, const char *text)
{
    if (!g_str_has_prefix(*at, text))
        fail_msg("expected %s at %s", text, *at);
    *at += strlen(text);
}

/* "# HELP family text", and "# TYPE family type" in the line behind it. */
static const char *read_head(Exposition *read, const char *at)
{
    take(&at, "# HELP ");
    g_free(read->family);
    read->family = take_name(&at);
    take(&at, " ");
    assert_int_not_equal(*at, '\n');
    at = strchr(at, '\n');
    assert_non_null(at);
    take(&at, "\n# TYPE ");
    take(&at, read->family);
    take(&at, " ");
    g_autofree char *type = take_name(&at);
    assert_true(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0);
    assert_int_equal(g_str_has_suffix(read->family, "_total"), strcmp(type, "counter") == 0);
    take(&at, "\n");
    assert_true(g_str_has_prefix(at, read->family)); /* no family without a series */
    assert_true(g_hash_table_insert(read->families, g_strdup(read->family), g_strdup(type)));
    return at;
}

static void take_label(const char **at)
{
    g_autofree char *name = take_name(at);
    take(at, "=\"");
    assert_int_not_equal(**at, '"'); /* an empty label is none */
    for (; **at != '"'; (*at)++) {
        assert_true(**at != '\0' && **at != '\n');
        if (**at == '\\')
            assert_non_null(memchr("\\\"n", *++*at, 3));
    }
    take(at, "\"");
}

static const char *read_series(Exposition *read, const char *at)
{
    const char *start = at;
    g_autofree char *family = take_name(&at);
    assert_string_equal(family, read->family);
    if (*at == '{') {
        do {
            at++;
            take_label(&at);
        } while (*at == ',');
        take(&at, "}");
    }
    g_autofree char *series = g_strndup(start, (gsize)(at - start));
    take(&at, " ");
    gsize length = strcspn(at, "\n");
    g_autofree char *value = g_strndup(at, length);
    assert_int_equal(strspn(value, "0123456789.e+-"), length); /* no time stamp, no NaN, no Inf */
    char *end = NULL;
    (void)g_ascii_strtod(value, &end);
    assert_true(length > 0 && *end == '\0');
    at += length;
    take(&at, "\n");
    if (!g_hash_table_insert(read->values, g_strdup(series), g_steal_pointer(&value)))
        fail_msg("%s is there twice", series);
    return at;
}

static Exposition *read_text(const char *at)
{
    Exposition *read = g_new0(Exposition, 1);
    read->values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    read->families = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    assert_true(g_utf8_validate(at, -1, NULL));
    while (*at)
        at = *at == '#' ? read_head(read, at) : read_series(read, at);
    return read;
}

static GString *write_one(const Sample *sample)
{
    return prometheus_write(&sample, 1);
}

/* --- escapes --- */

static void test_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *label, *help;
    } cases[] = {
        {"", "", ""},
        {"plain / text {a=b}", "plain / text {a=b}", "plain / text {a=b}"},
        {"a\\b", "a\\\\b", "a\\\\b"},
        {"say \"hi\"", "say \\\"hi\\\"", "say \"hi\""},
        {"two\nlines\r\n", "two\\nlines \\n", "two\\nlines \\n"},
        {"\\n", "\\\\n", "\\\\n"},
        {"\\", "\\\\", "\\\\"},
        {"über 語 😀", "über 語 😀", "über 語 😀"},
        {"\xFF(\xC3", "\uFFFD(\uFFFD", "\uFFFD(\uFFFD"},
        {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD", "\uFFFD\uFFFD\uFFFD"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) label = g_string_new(NULL), help = g_string_new(NULL);
        prometheus_append_label_value(label, cases[i].text);
        assert_string_equal(label->str, cases[i].label);
        prometheus_append_help(help, cases[i].text);
        assert_string_equal(help->str, cases[i].help);
    }
}

/* Undoes the escapes; what the writer made of the characters is the reader's. */
static char *unescape(const char *text)
{
    GString *out = g_string_new(NULL);
    for (; *text; text++)
        if (*text == '\\')
            g_string_append_c(out, *++text == 'n' ? '\n' : *text);
        else
            g_string_append_c(out, *text);
    return g_string_free(out, FALSE);
}

static void test_any_text_reads_back(void **state)
{
    (void)state;
    g_autoptr(GRand) random = g_rand_new_with_seed(4);
    for (guint i = 0; i < 3000; i++) {
        g_autofree char *text = build_nasty_text(random, i % 40);
        g_autoptr(GString) label = g_string_new(NULL);
        prometheus_append_label_value(label, text);
        g_autofree char *back = unescape(label->str);
        assert_true(g_utf8_validate(back, -1, NULL));
        const char *want = text, *have = back;
        for (gunichar c; (c = text_next(&want)) != 0;)
            assert_int_equal(text_next(&have), g_unichar_iscntrl(c) && c != '\n' ? ' ' : c);
        assert_string_equal(have, "");
        assert_null(strchr(label->str, '\n'));
    }
}

static void test_long_labels_are_cut_on_a_character(void **state)
{
    (void)state;
    for (gsize before = 0; before < 4; before++) {
        g_autoptr(GString) text = g_string_new(&"abc"[before]), label = g_string_new(NULL);
        for (guint i = 0; i < 3000; i++)
            g_string_append(text, i % 3 == 0 ? "語" : i % 3 == 1 ? "\n" : "\"");
        prometheus_append_label_value(label, text->str);
        assert_in_range(label->len, PROMETHEUS_LABEL_MAX - 3, PROMETHEUS_LABEL_MAX);
        assert_true(g_utf8_validate(label->str, -1, NULL));
        g_autofree char *back = unescape(label->str);
        assert_true(g_str_has_prefix(text->str, back));
    }
}

/* --- to the letter --- */

static void test_to_the_letter(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    sample->host = g_strdup("kvm \"a\"");
    sample->realtime_ns = G_GINT64_CONSTANT(1795356180250000000);
    row_set_real(sample->row, METRIC_HOST_COLLECT_MS, 12.5);
    row_set_text(sample->row, METRIC_HOST_VERSION, "1.2");
    row_set_u64(sample_add_sink(sample, "influx"), METRIC_SINK_SENT_LINES, 7);

    VmSample *vm = build_vm(sample, 83);
    row_set_u64(vm->row, METRIC_VM_CPU_TIME, 4590000001);
    row_set_real(vm->row, METRIC_VM_CPU_CORE_PERCENT, 107);
    row_set_u64(vm->row, METRIC_VM_MEMORY_RSS, 3);
    row_set_u64(vm->row, METRIC_VM_NET_RX_BYTES, G_MAXUINT64);
    row_set_real(vm->row, METRIC_VM_NET_RX_BYTES_RATE, 5); /* Prometheus makes its own */
    row_set_text(vm->row, METRIC_VM_VM_NAME, "two\nlines");
    row_set_text(vm->row, METRIC_VM_UNAME, "");
    row_set_text(vm->row, METRIC_VM_UID, "0");
    row_set_u64(vm_sample_row(vm, SCOPE_VCPU, 2), METRIC_VCPU_DELAY, 1);
    row_set_u64(build_nic(vm, 0, "one-83-0"), METRIC_NIC_RX_BYTES, 110);
    row_set_u64(build_nic(vm, 1, NULL), METRIC_NIC_RX_BYTES, 111);
    row_set_u64(build_nic(vm, 2, ""), METRIC_NIC_RX_BYTES, 112);
    row_set_text(build_disk(vm, 0, "vda"), METRIC_DISK_PATH, "/d/0");

    g_autoptr(GString) text = write_one(sample);
    g_auto(GStrv) lines = g_strsplit(text->str, "\n", -1);
    g_autoptr(GString) series = g_string_new(NULL);
    for (char **line = lines; *line; line++)
        if (!g_str_has_prefix(*line, "# HELP") && **line)
            g_string_append_printf(series, "%s\n", *line);
    assert_string_equal(series->str,
                        "# TYPE one_vm_info gauge\n"
                        "one_vm_info{vm_id=\"83\",host=\"kvm \\\"a\\\"\",name=\"one-83\","
                        "uuid=\"6ba7b810-9dad-41d1-80b4-000000000053\",vm_name=\"two\\nlines\"} 1\n"
                        "# TYPE one_vm_state gauge\n"
                        "one_vm_state{vm_id=\"83\",host=\"kvm \\\"a\\\"\"} 1\n"
                        "# TYPE one_vm_cpu_seconds_total counter\n"
                        "one_vm_cpu_seconds_total{vm_id=\"83\",host=\"kvm \\\"a\\\"\"} 4.590000001\n"
                        "# TYPE one_vm_cpu_core_ratio gauge\n"
                        "one_vm_cpu_core_ratio{vm_id=\"83\",host=\"kvm \\\"a\\\"\"} 1.07\n"
                        "# TYPE one_vm_memory_rss_bytes gauge\n"
                        "one_vm_memory_rss_bytes{vm_id=\"83\",host=\"kvm \\\"a\\\"\"} 3072.0\n"
                        "# TYPE one_vm_network_receive_bytes_total counter\n"
                        "one_vm_network_receive_bytes_total{vm_id=\"83\",host=\"kvm \\\"a\\\"\"} 18446744073709551615\n"
                        "# TYPE one_vcpu_run_delay_seconds_total counter\n"
                        "one_vcpu_run_delay_seconds_total{vm_id=\"83\",host=\"kvm \\\"a\\\"\",vcpu=\"2\"} 1.0e-09\n"
                        "# TYPE one_nic_receive_bytes_total counter\n"
                        "one_nic_receive_bytes_total{vm_id=\"83\",host=\"kvm \\\"a\\\"\",device=\"one-83-0\"} 110\n"
                        "# TYPE one_disk_info gauge\n"
                        "one_disk_info{vm_id=\"83\",host=\"kvm \\\"a\\\"\",device=\"vda\",path=\"/d/0\"} 1\n"
                        "# TYPE one_host_info gauge\n"
                        "one_host_info{host=\"kvm \\\"a\\\"\",version=\"1.2\"} 1\n"
                        "# TYPE one_host_collect_seconds gauge\n"
                        "one_host_collect_seconds{host=\"kvm \\\"a\\\"\"} 0.0125\n"
                        "# TYPE one_host_sample_timestamp_seconds gauge\n"
                        "one_host_sample_timestamp_seconds{host=\"kvm \\\"a\\\"\"} 1795356180.25\n"
                        "# TYPE one_sink_sent_lines_total counter\n"
                        "one_sink_sent_lines_total{host=\"kvm \\\"a\\\"\",sink=\"influx\"} 7\n");
    assert_non_null(
        strstr(text->str, "# HELP one_sink_sent_lines_total Lines that the sink has stored\n# TYPE one_sink_"));
}

static void test_nothing(void **state)
{
    (void)state;
    g_autoptr(Sample) empty = sample_new();
    g_autoptr(GString) nothing = write_one(empty), none = prometheus_write(NULL, 0);
    assert_string_equal(nothing->str, "");
    assert_string_equal(none->str, "");
    /* without a host there is no label, and no braces where that was the only one */
    row_set_u64(empty->row, METRIC_HOST_DOMAINS, 0);
    row_set_text(empty->row, METRIC_HOST_VERSION, "x");
    build_vm(empty, 1);
    g_autoptr(GString) text = write_one(empty);
    assert_non_null(strstr(text->str, "\none_host_domains 0\n"));
    assert_non_null(strstr(text->str, "\none_host_info{version=\"x\"} 1\n"));
    assert_non_null(strstr(text->str, "\none_vm_state{vm_id=\"1\"} 1\n"));
}

/* A value that leaves the range of a double in its base unit is not there, and neither is its family. */
static void test_no_infinity(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    VmSample *vm = build_vm(sample, 1);
    row_set_u64(vm->row, METRIC_VM_MEMORY_RSS, 0);
    vm->row->value[row_slot(vm->row, METRIC_VM_CPU_USAGE_PERCENT)].f = INFINITY;
    vm->row->present[0] |= G_GUINT64_CONSTANT(1) << row_slot(vm->row, METRIC_VM_CPU_USAGE_PERCENT);
    assert_true(row_has(vm->row, METRIC_VM_CPU_USAGE_PERCENT));
    g_autoptr(GString) text = write_one(sample);
    assert_null(strstr(text->str, "one_vm_cpu_usage_ratio"));
    assert_non_null(strstr(text->str, "one_vm_memory_rss_bytes{vm_id=\"1\"} 0.0\n"));
}

/* --- several samples --- */

static void test_families_of_several_hosts_stand_together(void **state)
{
    (void)state;
    g_autoptr(Sample) a = build_random_sample(3, 1), b = build_random_sample(4, 2);
    g_free(b->host);
    b->host = g_strdup("host-2");
    const Sample *both[] = {a, b};
    g_autoptr(GString) text = prometheus_write(both, 2), first = write_one(a), second = write_one(b);
    g_autoptr(Exposition) read = read_text(text->str), read_a = read_text(first->str), read_b = read_text(second->str);
    assert_int_equal(g_hash_table_size(read->values),
                     g_hash_table_size(read_a->values) + g_hash_table_size(read_b->values));
    GHashTableIter each;
    gpointer series, value;
    for (guint i = 0; i < 2; i++) {
        g_hash_table_iter_init(&each, i ? read_b->values : read_a->values);
        while (g_hash_table_iter_next(&each, &series, &value))
            assert_string_equal(g_hash_table_lookup(read->values, series), value);
    }
}

static void test_of_the_same_series_the_first_is_taken(void **state)
{
    (void)state;
    g_autoptr(Sample) a = build_random_sample(2, 1), b = build_random_sample(2, 2);
    VmSample *vm = g_ptr_array_index(a->vms, 0);
    row_set_u64(build_nic(vm, 100, "same"), METRIC_NIC_RX_BYTES, 1);
    row_set_u64(build_nic(vm, 101, "same"), METRIC_NIC_RX_BYTES, 2);
    row_set_u64(vm->row, METRIC_VM_NIC_COUNT, 5);
    row_set_u64(((VmSample *)g_ptr_array_index(b->vms, 0))->row, METRIC_VM_NIC_COUNT, 6);
    const Sample *samples[] = {a, b, a};
    g_autoptr(GString) text = prometheus_write(samples, 3);
    g_autoptr(Exposition) read = read_text(text->str);
    const char *nic = "one_nic_receive_bytes_total{vm_id=\"1\",host=\"host-1\",device=\"same\"}";
    assert_string_equal(g_hash_table_lookup(read->values, nic), "1");
    assert_string_equal(g_hash_table_lookup(read->values, "one_vm_nics{vm_id=\"1\",host=\"host-1\"}"), "5");
}

typedef struct {
    GString *out, *taken;
    guint calls;
} Parts;

static void take_all(gpointer data)
{
    Parts *parts = data;
    parts->calls++;
    g_string_append_len(parts->taken, parts->out->str, (gssize)parts->out->len);
    g_string_truncate(parts->out, 0);
}

/* Whatever was taken away meanwhile, it is the same text. */
static void test_in_parts(void **state)
{
    (void)state;
    g_autoptr(Sample) a = build_random_sample(3, 1), b = build_random_sample(4, 2);
    const Sample *both[] = {a, b};
    g_autoptr(GString) text = prometheus_write(both, 2), out = g_string_new("before\n"), taken = g_string_new(NULL);
    Parts parts = {.out = out, .taken = taken};
    prometheus_write_parts(out, both, 2, take_all, &parts);
    take_all(&parts);
    assert_true(parts.calls > 50);
    assert_string_equal(taken->str + strlen("before\n"), text->str);
}

/* --- any sample --- */

static guint compare_row(const Exposition *read, const MetricRow *row, const char *labels)
{
    guint found = 0;
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        const MetricInfo *info = &metric_info[m];
        if (!info->prometheus || info->kind == KIND_TEXT)
            continue;
        g_autofree char *family = prometheus_family(m), *series = g_strconcat(family, "{", labels, "}", NULL);
        const char *value = g_hash_table_lookup(read->values, series);
        assert_int_equal(value != NULL, row_has(row, m));
        if (!value)
            continue;
        found++;
        assert_string_equal(g_hash_table_lookup(read->families, family),
                            info->kind == KIND_COUNTER ? "counter" : "gauge");
        if (info->kind != KIND_REAL && unit_to_base(info->unit) == 1) {
            g_autofree char *exact = g_strdup_printf("%" G_GUINT64_FORMAT, row_u64(row, m));
            assert_string_equal(value, exact);
            continue;
        }
        double want = info->kind == KIND_REAL ? row_real(row, m) : (double)row_u64(row, m);
        double back = g_ascii_strtod(value, NULL) / unit_to_base(info->unit);
        assert_true(fabs(back - want) <= 4 * DBL_EPSILON * want);
    }
    return found;
}

static guint compare_rows(const Exposition *read, const VmSample *vm, Scope scope, const char *vm_labels)
{
    guint found = 0;
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const GPtrArray *rows = vm_sample_rows(vm, scope);
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *row = g_ptr_array_index(rows, i);
        g_autoptr(GString) labels = g_string_new(vm_labels);
        const char *device = row_device_name(row);
        if (scope == SCOPE_VCPU) {
            g_string_append_printf(labels, ",vcpu=\"%u\"", row->index);
        } else if (device && *device) {
            g_string_append(labels, ",device=\"");
            prometheus_append_label_value(labels, device);
            g_string_append_c(labels, '"');
        } else {
            continue;
        }
        if (g_hash_table_add(seen, g_strdup(labels->str)))
            found += compare_row(read, row, labels->str);
    }
    return found;
}

static void test_random_samples(void **state)
{
    (void)state;
    for (guint32 seed = 0; seed < 60; seed++) {
        g_autoptr(Sample) sample = build_random_sample(seed % 7, seed);
        g_autoptr(GString) text = write_one(sample);
        g_autoptr(Exposition) read = read_text(text->str);
        guint found = compare_row(read, sample->row, "host=\"host-1\"") + 1; /* and its time stamp */
        for (guint i = 0; i < sample->sinks->len; i++) {
            const SinkSample *sink = g_ptr_array_index(sample->sinks, i);
            g_autofree char *labels = g_strdup_printf("host=\"host-1\",sink=\"%s\"", sink->name);
            found += compare_row(read, sink->row, labels);
        }
        for (guint i = 0; i < sample->vms->len; i++) {
            const VmSample *vm = g_ptr_array_index(sample->vms, i);
            g_autofree char *labels = g_strdup_printf("vm_id=\"%" G_GUINT64_FORMAT "\",host=\"host-1\"", vm->vm_id);
            found += compare_row(read, vm->row, labels);
            for (int scope = SCOPE_VCPU; scope <= SCOPE_DISK; scope++)
                found += compare_rows(read, vm, (Scope)scope, labels);
        }
        GHashTableIter each;
        gpointer series;
        g_hash_table_iter_init(&each, read->values);
        while (g_hash_table_iter_next(&each, &series, NULL))
            found += strstr(series, "_info{") != NULL;
        assert_int_equal(g_hash_table_size(read->values), found); /* nothing else */
    }
}

/* To the last bit that a double has. */
static void test_seconds_are_the_nearest_double(void **state)
{
    (void)state;
    g_autoptr(GRand) random = g_rand_new_with_seed(5);
    for (guint i = 0; i < 2000; i++) {
        guint64 ns = ((guint64)g_rand_int(random) << 21 | g_rand_int(random) >> 11) >> i % 53;
        g_autoptr(Sample) sample = sample_new();
        row_set_u64(build_vm(sample, 1)->row, METRIC_VM_CPU_TIME, ns);
        g_autoptr(GString) text = write_one(sample);
        g_autoptr(Exposition) read = read_text(text->str);
        g_autofree char *decimal = g_strdup_printf("%" G_GUINT64_FORMAT "e-9", ns);
        const char *value = g_hash_table_lookup(read->values, "one_vm_cpu_seconds_total{vm_id=\"1\"}");
        assert_true(g_ascii_strtod(value, NULL) == g_ascii_strtod(decimal, NULL));
    }
}

/* Names of families differ between scopes too, and stand without an escape. */
static void test_families_are_plain_and_unique(void **state)
{
    (void)state;
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (Metric m = 0; m < N_METRICS; m++) {
        g_autofree char *family = prometheus_family(m);
        assert_int_equal(family != NULL, metric_info[m].prometheus != NULL);
        if (!family)
            continue;
        assert_int_equal(strspn(family, NAME_LETTERS), strlen(family));
        assert_string_not_equal(family, "one_host_sample_timestamp_seconds");
        assert_int_equal(g_str_has_suffix(family, "_info"), metric_info[m].kind == KIND_TEXT);
        if (metric_info[m].kind != KIND_TEXT && !g_hash_table_add(seen, g_strdup(family)))
            fail_msg("%s twice", family);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_any_text_reads_back),
        cmocka_unit_test(test_long_labels_are_cut_on_a_character),
        cmocka_unit_test(test_to_the_letter),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_no_infinity),
        cmocka_unit_test(test_families_of_several_hosts_stand_together),
        cmocka_unit_test(test_of_the_same_series_the_first_is_taken),
        cmocka_unit_test(test_in_parts),
        cmocka_unit_test(test_random_samples),
        cmocka_unit_test(test_seconds_are_the_nearest_double),
        cmocka_unit_test(test_families_are_plain_and_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
