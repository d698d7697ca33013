/* SPDX-License-Identifier: Apache-2.0
 * The JSON form of a sample, read back by cJSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cJSON.h>
#include <string.h>

#include "encode/json.h"
#include "sample_builder.h"

/* --- helpers --- */

/* cJSON_Parse takes garbage behind the value, and the same name twice: so that is looked for here. */
static void assert_names_unique(const cJSON *object)
{
    for (const cJSON *child = object->child; child; child = child->next) {
        for (const cJSON *other = child->next; other && cJSON_IsObject(object); other = other->next)
            assert_string_not_equal(child->string, other->string);
        assert_names_unique(child);
    }
}

static cJSON *parse(const char *text)
{
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithOpts(text, &end, 0);
    if (!json)
        fail_msg("no JSON: %s", text);
    assert_string_equal(end, "\n");
    assert_true(g_utf8_validate(text, -1, NULL));
    assert_names_unique(json);
    return json;
}

static cJSON *write_and_parse(const Sample *sample)
{
    g_autoptr(GString) text = json_write(sample, false);
    return parse(text->str);
}

static cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_of(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(member(object, name));
}

static const cJSON *first_vm(const cJSON *json)
{
    return cJSON_GetArrayItem(member(json, "vms"), 0);
}

/* --- strings and times --- */

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"", "\"\""},
        {"plain / text", "\"plain / text\""},
        {"say \"hi\" \\o/", "\"say \\\"hi\\\" \\\\o/\""},
        {"a\nb\tc\r\x01\x1F", "\"a\\nb\\tc\\u000d\\u0001\\u001f\""},
        {"über 語 😀", "\"über 語 😀\""},
        {"\xFF\xC3(", "\"\uFFFD\uFFFD(\""},
        {"\xED\xA0\x80", "\"\uFFFD\uFFFD\uFFFD\""},
        {"]}, </script>", "\"]}, </script>\""},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        json_append_string(out, cases[i].text);
        assert_string_equal(out->str, cases[i].json);
    }
}

static void test_any_text_reads_back(void **state)
{
    (void)state;
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    for (guint i = 0; i < 3000; i++) {
        g_autofree char *text = build_nasty_text(random, (guint)g_rand_int_range(random, 0, 40));
        g_autoptr(GString) out = g_string_new(NULL);
        json_append_string(out, text);
        assert_null(strchr(out->str, '\n'));
        g_string_append_c(out, '\n');
        cJSON *json = parse(out->str);
        if (g_utf8_validate(text, -1, NULL) && !strstr(text, "\xEF\xBF\xBF"))
            assert_string_equal(cJSON_GetStringValue(json), text);
        cJSON_Delete(json);
    }
}

static void test_long_text(void **state)
{
    (void)state;
    g_autofree char *text = g_strnfill(5000, '"');
    g_autoptr(Sample) sample = sample_new();
    row_set_text(build_vm(sample, 1)->row, METRIC_VM_VM_NAME, text);
    cJSON *json = write_and_parse(sample);
    assert_string_equal(text_of(first_vm(json), "vm_name"), text);
    cJSON_Delete(json);
}

static void test_timestamps(void **state)
{
    (void)state;
    static const struct {
        gint64 ns;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {G_GINT64_CONSTANT(1795356180123456789), "2026-11-22T14:03:00.123Z"},
        {G_GINT64_CONSTANT(999999), "1970-01-01T00:00:00.000Z"},
        {G_GINT64_CONSTANT(1000000), "1970-01-01T00:00:00.001Z"},
        {G_GINT64_CONSTANT(951782400999999999), "2000-02-29T00:00:00.999Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {G_MAXINT64, "2262-04-11T23:47:16.854Z"},
        {G_MININT64, "1677-09-21T00:12:43.145Z"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = json_timestamp(cases[i].ns);
        assert_string_equal(text, cases[i].text);
    }
}

/* --- samples --- */

static Sample *small_sample(void)
{
    Sample *sample = sample_new();
    sample->realtime_ns = G_GINT64_CONSTANT(1795356180123456789);
    sample->host = g_strdup("kvm\"1");
    row_set_u64(sample->row, METRIC_HOST_DOMAINS, 1);
    row_set_u64(sample_add_sink(sample, "a"), METRIC_SINK_SENT_LINES, G_MAXUINT64);
    sample_add_sink(sample, "b");
    VmSample *vm = build_vm(sample, 83);
    vm->domain_id = 10;
    row_set_u64(vm->row, METRIC_VM_CPU_TIME, G_MAXUINT64);
    row_set_real(vm->row, METRIC_VM_CPU_USAGE_PERCENT, 3);
    row_set_real(vm->row, METRIC_VM_NET_RX_BYTES_RATE, 1e20);
    row_set_text(vm->row, METRIC_VM_MEMORY_SOURCE, "guest");
    row_set_u64(build_nic(vm, 0, "one-83-0"), METRIC_NIC_RX_BYTES, 110);
    build_disk(vm, 0, "vda");
    row_set_u64(vm_sample_row(vm, SCOPE_DISK, 1), METRIC_DISK_RD_BYTES, 1); /* a disk without a name */
    row_set_u64(vm_sample_row(vm, SCOPE_VCPU, 2), METRIC_VCPU_TIME, 5);
    return sample;
}

static void test_to_the_letter(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = small_sample();
    g_autoptr(GString) compact = json_write(sample, false);
    assert_string_equal(compact->str,
                        "{\"count\":1,\"timestamp\":\"2026-11-22T14:03:00.123Z\",\"host\":\"kvm\\\"1\","
                        "\"host_figures\":{\"domains\":1},"
                        "\"sinks\":[{\"name\":\"a\",\"sent_lines\":18446744073709551615},{\"name\":\"b\"}],\"vms\":[{"
                        "\"id\":10,\"vm_id\":83,\"name\":\"one-83\","
                        "\"uuid\":\"6ba7b810-9dad-41d1-80b4-000000000053\",\"host\":\"kvm\\\"1\",\"state\":\"running\","
                        "\"state_code\":1,\"cputime\":18446744073709551615,\"cpu_usage_percent\":3.0,"
                        "\"memory_source\":\"guest\",\"network_rx_per_sec\":1.0e+20,"
                        "\"nics\":[{\"name\":\"one-83-0\",\"rxbytes\":110}],\"disks\":[{\"name\":\"vda\"}],"
                        "\"vcpus\":[{\"vcpu\":2,\"time\":5}]}]}\n");
}

static void test_pretty(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    build_nic(build_vm(sample, 1), 0, "tap0");
    g_autoptr(GString) pretty = json_write(sample, true);
    assert_string_equal(pretty->str, "{\n"
                                     "  \"count\": 1,\n"
                                     "  \"host_figures\": {},\n"
                                     "  \"vms\": [\n"
                                     "    {\n"
                                     "      \"id\": 1001,\n"
                                     "      \"vm_id\": 1,\n"
                                     "      \"name\": \"one-1\",\n"
                                     "      \"uuid\": \"6ba7b810-9dad-41d1-80b4-000000000001\",\n"
                                     "      \"state\": \"running\",\n"
                                     "      \"state_code\": 1,\n"
                                     "      \"nics\": [\n"
                                     "        {\n"
                                     "          \"name\": \"tap0\"\n"
                                     "        }\n"
                                     "      ],\n"
                                     "      \"disks\": [],\n"
                                     "      \"vcpus\": []\n"
                                     "    }\n"
                                     "  ]\n"
                                     "}\n");
}

static void test_what_is_unknown_is_left_out(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    VmSample *vm = build_vm(sample, 7);
    vm->domain_id = -1;
    g_clear_pointer(&vm->uuid, g_free);
    row_unset(vm->row, METRIC_VM_STATE);
    g_autoptr(GString) text = json_write(sample, false);
    assert_string_equal(text->str, "{\"count\":1,\"host_figures\":{},\"vms\":[{\"vm_id\":7,\"name\":\"one-7\","
                                   "\"state\":\"unknown\",\"nics\":[],\"disks\":[],\"vcpus\":[]}]}\n");
    g_autoptr(Sample) empty = sample_new();
    g_autoptr(GString) nothing = json_write(empty, true);
    assert_string_equal(nothing->str, "{\n  \"count\": 0,\n  \"host_figures\": {},\n  \"vms\": []\n}\n");
}

static void test_states(void **state)
{
    (void)state;
    static const char *const words[] = {"no state", "running", "blocked",   "paused",  "shutdown",
                                        "shutoff",  "crashed", "suspended", "unknown", "unknown"};
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(Sample) sample = sample_new();
        row_set_u64(build_vm(sample, 1)->row, METRIC_VM_STATE, i < 9 ? i : G_MAXUINT64);
        cJSON *json = write_and_parse(sample);
        assert_string_equal(text_of(first_vm(json), "state"), words[i]);
        cJSON_Delete(json);
    }
}

/* --- any sample --- */

/* Numbers to the digit: as text, since cJSON's are doubles. */
static void compare_row(const cJSON *object, const char *text, const MetricRow *row)
{
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        const MetricInfo *info = &metric_info[m];
        if (!info->json)
            continue;
        const cJSON *value = member(object, info->json);
        if (!row_has(row, m)) {
            assert_null(value);
        } else if (info->kind == KIND_TEXT) {
            assert_true(cJSON_IsString(value));
        } else if (info->kind == KIND_REAL) {
            assert_true(value->valuedouble == row_real(row, m));
        } else {
            g_autofree char *number = g_strdup_printf("\"%s\":%" G_GUINT64_FORMAT, info->json, row_u64(row, m));
            assert_non_null(strstr(text, number));
        }
    }
}

static void compare_rows(const cJSON *array, const char *text, const GPtrArray *rows)
{
    guint known = 0;
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *row = g_ptr_array_index(rows, i);
        if (row->scope == SCOPE_VCPU || row_device_name(row))
            compare_row(cJSON_GetArrayItem(array, (int)known++), text, row);
    }
    assert_int_equal(cJSON_GetArraySize(array), known);
}

static void test_random_samples(void **state)
{
    (void)state;
    for (guint32 seed = 0; seed < 40; seed++) {
        g_autoptr(Sample) sample = build_random_sample(seed % 7, seed);
        g_autoptr(GString) compact = json_write(sample, false), pretty = json_write(sample, true);
        cJSON *json = parse(compact->str), *laid_out = parse(pretty->str);
        assert_true(cJSON_Compare(json, laid_out, 1));
        assert_int_equal(strcspn(compact->str, "\n"), compact->len - 1);

        compare_row(member(json, "host_figures"), compact->str, sample->row);
        assert_int_equal(cJSON_GetArraySize(member(json, "sinks")), sample->sinks->len);
        for (guint i = 0; i < sample->sinks->len; i++) {
            const SinkSample *sink = g_ptr_array_index(sample->sinks, i);
            const cJSON *object = cJSON_GetArrayItem(member(json, "sinks"), (int)i);
            assert_string_equal(text_of(object, "name"), sink->name);
            compare_row(object, compact->str, sink->row);
        }
        assert_int_equal(cJSON_GetArraySize(member(json, "vms")), sample->vms->len);
        for (guint i = 0; i < sample->vms->len; i++) {
            const VmSample *vm = g_ptr_array_index(sample->vms, i);
            const cJSON *object = cJSON_GetArrayItem(member(json, "vms"), (int)i);
            assert_string_equal(text_of(object, "name"), vm->name);
            assert_true(member(object, "id")->valuedouble == (double)vm->domain_id);
            compare_row(object, compact->str, vm->row);
            compare_rows(member(object, "nics"), compact->str, vm->nics);
            compare_rows(member(object, "disks"), compact->str, vm->disks);
            compare_rows(member(object, "vcpus"), compact->str, vm->vcpus);
        }
        cJSON_Delete(json);
        cJSON_Delete(laid_out);
    }
}

/* Names go out without an escape. */
static void test_names_are_plain(void **state)
{
    (void)state;
    for (Metric m = 0; m < N_METRICS; m++)
        if (metric_info[m].json)
            assert_int_equal(strspn(metric_info[m].json, "abcdefghijklmnopqrstuvwxyz_0123456789"),
                             strlen(metric_info[m].json));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_any_text_reads_back),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_timestamps),
        cmocka_unit_test(test_to_the_letter),
        cmocka_unit_test(test_pretty),
        cmocka_unit_test(test_what_is_unknown_is_left_out),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_random_samples),
        cmocka_unit_test(test_names_are_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
