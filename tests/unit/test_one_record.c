/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's records: escapes, keys and deletions, the fit into the message, the strict reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "agent_size.h"
#include "encode/one_record.h"
#include "sample_builder.h"

static const OneOptions roomy = {.detail = ONE_TIER_MAX, .limit = ONE_MESSAGE_MAX};

/* --- helpers --- */

static GString *write_records(Sample *now, const Sample *previous, const OneOptions *options)
{
    OneReport report;
    GString *text = one_records_write(now, previous, options, &report);
    assert_int_equal(report.rejected, 0);
    one_report_clear(&report);
    return text;
}

static GPtrArray *read_records(const GString *text)
{
    g_autoptr(GError) error = NULL;
    GPtrArray *records = one_records_read(text->str, text->len, &error);
    if (!records)
        fail_msg("%s", error->message);
    return records;
}

static const OneRecord *find_record(const GPtrArray *records, guint64 vm_id)
{
    for (guint i = 0; i < records->len; i++) {
        const OneRecord *record = g_ptr_array_index(records, i);
        if (record->vm_id == vm_id)
            return record;
    }
    return NULL;
}

/* NULL: the record does not have the key; "[]": it deletes it. */
static const char *find_value(const OneRecord *record, const char *key)
{
    for (guint i = 0; i < record->keys->len; i++) {
        const char *value = g_ptr_array_index(record->values, i);
        if (strcmp(g_ptr_array_index(record->keys, i), key) == 0)
            return value ? value : "[]";
    }
    return NULL;
}

static char *unescape(const char *escaped)
{
    GString *text = g_string_new(NULL);
    for (; *escaped; escaped++) {
        if (*escaped == '\\')
            escaped++;
        g_string_append_c(text, *escaped);
    }
    return g_string_free(text, FALSE);
}

/* A record by hand, around any MONITOR text. */
static char *record_around(const char *monitor)
{
    g_autofree char *encoded = g_base64_encode((const guchar *)monitor, strlen(monitor));
    return g_strdup_printf("VM = [ ID=\"83\", DEPLOY_ID=\"\", MONITOR=\"%s\" ]\n", encoded);
}

/* --- values --- */

static void test_escape(void **state)
{
    (void)state;
    static const struct {
        const char *text, *escaped;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"say \"hi\"", "say \\\"hi\\\""},
        {"C:\\dir\\", "C:\\\\dir\\\\"},
        {"two\nlines\r\ttab", "two lines  tab"},
        {"a]b[c, d=e #f", "a]b[c, d=e #f"},
        {"über 語 😀", "über 語 😀"},
        {"\xFF-\xC3-\xE2\x82", "\uFFFD-\uFFFD-\uFFFD\uFFFD"},
        {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"}, /* a surrogate */
        {"\xC0\xAF", "\uFFFD\uFFFD"},           /* overlong */
        {"\xEF\xBF\xBF", "\uFFFD"},             /* U+FFFF, which XML can't hold */
        {"\x7F\xC2\x85\x1B[0m", "   [0m"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *escaped = one_value_escape(cases[i].text);
        assert_string_equal(escaped, cases[i].escaped);
    }
}

static void test_escape_cuts_on_a_character(void **state)
{
    (void)state;
    static const char *const pieces[] = {"x", "\"", "ä", "語", "😀", "\\", "\xFF"};
    static const guint lengths[] = {300, 5000};
    for (guint i = 0; i < G_N_ELEMENTS(pieces); i++) {
        for (guint k = 0; k < G_N_ELEMENTS(lengths); k++) {
            for (guint shift = 0; shift < 5; shift++) {
                g_autoptr(GString) text = g_string_new("abcde");
                g_string_truncate(text, shift);
                for (guint n = 0; n < lengths[k]; n++)
                    g_string_append(text, pieces[i]);
                g_autofree char *escaped = one_value_escape(text->str);
                gsize length = strlen(escaped);
                assert_in_range(length, 0, ONE_VALUE_MAX);
                if (lengths[k] == 5000)
                    assert_in_range(length, ONE_VALUE_MAX - 3, ONE_VALUE_MAX);
                g_autofree char *monitor = g_strdup_printf("KEY=\"%s\"\n", escaped);
                g_autofree char *record = record_around(monitor);
                g_autoptr(GString) whole = g_string_new(record);
                g_autoptr(GPtrArray) records = read_records(whole);
                assert_int_equal(records->len, 1);
            }
        }
    }
}

static void test_escape_then_read_gives_the_same(void **state)
{
    (void)state;
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    for (guint i = 0; i < 3000; i++) {
        g_autofree char *text = build_nasty_text(random, (guint)g_rand_int_range(random, 0, 40));
        g_autofree char *escaped = one_value_escape(text);
        g_autofree char *expected = unescape(escaped);

        g_autoptr(Sample) sample = sample_new();
        row_set_text(build_vm(sample, 7)->row, METRIC_VM_MEMORY_SOURCE, text);
        g_autoptr(GString) record = write_records(sample, NULL, &roomy);
        g_autoptr(GPtrArray) records = read_records(record);
        assert_string_equal(find_value(find_record(records, 7), "MEMORY_SOURCE"), expected);
    }
}

/* --- records --- */

static void test_record_to_the_letter(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    VmSample *vm = build_vm(sample, 83);
    row_set_real(vm->row, METRIC_VM_CPU_CORE_PERCENT, 12.346);
    row_set_u64(vm->row, METRIC_VM_MEMORY_HOST, 41592);
    row_set_u64(vm->row, METRIC_VM_NET_RX_BYTES, G_MAXUINT64);
    row_set_real(vm->row, METRIC_VM_NET_RX_BYTES_RATE, 0.0);
    row_set_u64(vm->row, METRIC_VM_LOCKED, 1);
    row_set_text(vm->row, METRIC_VM_MEMORY_SOURCE, "guest");
    row_set_u64(vm->row, METRIC_VM_CPU_TIME, 99);
    g_free(build_vm(sample, 84)->uuid); /* recorded by virsh: none */
    VmSample *other = g_ptr_array_index(sample->vms, 1);
    other->uuid = NULL;
    row_set_u64(other->row, METRIC_VM_NET_TX_BYTES, 0);
    build_vm(sample, 85); /* of which nothing is known */

    g_autofree char *first = g_base64_encode((const guchar *)"CPU=\"12.35\"\nMEMORY=\"41592\"\n"
                                                             "NETRX=\"18446744073709551615\"\nLOCKED=\"1\"\n"
                                                             "NETRX_BW=\"0.00\"\nMEMORY_SOURCE=\"guest\"\n"
                                                             "CPU_TIME=\"99\"\n",
                                             strlen("CPU=\"12.35\"\nMEMORY=\"41592\"\n"
                                                    "NETRX=\"18446744073709551615\"\nLOCKED=\"1\"\n"
                                                    "NETRX_BW=\"0.00\"\nMEMORY_SOURCE=\"guest\"\nCPU_TIME=\"99\"\n"));
    g_autofree char *expected =
        g_strdup_printf("VM = [ ID=\"83\", DEPLOY_ID=\"6ba7b810-9dad-41d1-80b4-000000000053\", MONITOR=\"%s\" ]\n"
                        "VM = [ ID=\"84\", DEPLOY_ID=\"\", MONITOR=\"TkVUVFg9IjAiCg==\" ]\n",
                        first);
    g_autoptr(GString) text = write_records(sample, NULL, &roomy);
    assert_string_equal(text->str, expected);
    assert_string_equal(vm->sent_keys, "CPU MEMORY NETRX LOCKED NETRX_BW MEMORY_SOURCE CPU_TIME");
    assert_string_equal(other->sent_keys, "NETTX");
    assert_null(((const VmSample *)g_ptr_array_index(sample->vms, 2))->sent_keys);
}

static void test_two_decimals(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0.00"},
        {0.004, "0.00"},
        {-0.004, "0.00"},
        {0.006, "0.01"},
        {0.999, "1.00"},
        {1.05, "1.05"},
        {-12.346, "-12.35"},
        {9463.17, "9463.17"},
        {1e12, "1000000000000.00"},
        {9999999999999.98, "9999999999999.98"},
        {12345678901234.25, "12345678901234.25"},
        {1e22, "10000000000000000000000.00"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Sample) sample = sample_new();
        row_set_real(build_vm(sample, 1)->row, METRIC_VM_CPU_CORE_PERCENT, cases[i].value);
        g_autoptr(GString) text = write_records(sample, NULL, &roomy);
        g_autoptr(GPtrArray) records = read_records(text);
        assert_string_equal(find_value(find_record(records, 1), "CPU"), cases[i].text);
    }
    g_autoptr(Sample) huge = sample_new();
    row_set_real(build_vm(huge, 1)->row, METRIC_VM_CPU_CORE_PERCENT, 1.7e308);
    g_autoptr(GString) text = write_records(huge, NULL, &roomy);
    g_autoptr(GPtrArray) records = read_records(text);
    assert_int_equal(strlen(find_value(find_record(records, 1), "CPU")), 309 + 3);
}

static void test_no_vms(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    OneReport report;
    g_autoptr(GString) text = one_records_write(sample, NULL, &roomy, &report);
    assert_int_equal(text->len, 0);
    assert_int_equal(report.message_bytes, 0);
    assert_int_equal(report.vms_left_out, 0);
    one_report_clear(&report);
}

/* What the table says a record of that VM has to hold, by means of the test's own. NULL: nothing. */
static char *expected_value(const VmSample *vm, Metric m)
{
    const MetricInfo *info = &metric_info[m];
    if (!info->one_key || !row_has(vm->row, m) || (info->one_format == ONE_FLAG && row_u64(vm->row, m) == 0))
        return NULL;
    if (info->kind == KIND_REAL)
        return g_strdup_printf("%.17g", row_real(vm->row, m));
    if (info->kind != KIND_TEXT)
        return g_strdup_printf("%" G_GUINT64_FORMAT, row_u64(vm->row, m));
    g_autofree char *escaped = one_value_escape(row_text(vm->row, m));
    return unescape(escaped);
}

static guint compare_record(const OneRecord *record, const VmSample *vm, guint tier)
{
    guint wanted = 0, last_tier = 0;
    for (Metric m = METRIC_FIRST_VM; m < METRIC_FIRST_VCPU; m++) {
        g_autofree char *expected = expected_value(vm, m);
        if (!expected || metric_info[m].one_tier > tier)
            continue;
        wanted++;
        assert_non_null(record);
        const char *value = find_value(record, metric_info[m].one_key);
        if (metric_info[m].kind != KIND_REAL) {
            assert_string_equal(value, expected);
            continue;
        }
        double wanted_real = g_ascii_strtod(expected, NULL);
        assert_true(fabs(g_ascii_strtod(value, NULL) - wanted_real) <= 0.005001 + wanted_real * 1e-15);
        assert_string_equal(strchr(value, '.') + 3, ""); /* two decimals */
    }
    if (!record)
        return 0;
    assert_int_equal(record->keys->len, wanted);
    assert_string_equal(record->deploy_id, vm->uuid);
    for (guint i = 0; i < record->keys->len; i++) {
        for (Metric m = METRIC_FIRST_VM; m < METRIC_FIRST_VCPU; m++) {
            if (g_strcmp0(metric_info[m].one_key, g_ptr_array_index(record->keys, i)) == 0) {
                assert_true(metric_info[m].one_tier >= last_tier);
                last_tier = metric_info[m].one_tier;
            }
        }
    }
    return wanted;
}

static void test_every_known_value_is_there(void **state)
{
    (void)state;
    for (guint32 seed = 0; seed < 60; seed++) {
        g_autoptr(Sample) sample = build_random_sample(seed % 20, seed);
        OneOptions options = roomy;
        options.detail = seed % (ONE_TIER_MAX + 2); /* one too high is taken as the highest */
        OneReport report;
        g_autoptr(GString) text = one_records_write(sample, NULL, &options, &report);
        assert_int_equal(report.dropped_keys, 0);
        assert_int_equal(report.tier, MIN(options.detail, ONE_TIER_MAX));
        g_autoptr(GPtrArray) records = read_records(text);
        for (guint i = 0; i < sample->vms->len; i++) {
            const VmSample *vm = g_ptr_array_index(sample->vms, i);
            compare_record(find_record(records, vm->vm_id), vm, options.detail);
        }
        one_report_clear(&report);
    }
}

/* --- deletions --- */

/* One cycle: NETTX is known throughout, CPU_STEAL (tier 2) as told. Returns sent_keys as it stood after. */
static Sample *cycle(const Sample *previous, bool steal_known, const OneOptions *options, const char *expected_value,
                     const char *expected_keys)
{
    Sample *now = sample_new();
    VmSample *vm = build_vm(now, 5);
    if (previous)
        vm->domain_id = ((const VmSample *)g_ptr_array_index(previous->vms, 0))->domain_id + 1; /* restarted */
    row_set_u64(vm->row, METRIC_VM_NET_TX_BYTES, 1);
    if (steal_known)
        row_set_real(vm->row, METRIC_VM_CPU_STEAL_PERCENT, 5);
    g_autoptr(GString) text = write_records(now, previous, options);
    g_autoptr(GPtrArray) records = read_records(text);
    const char *value = find_value(find_record(records, 5), "CPU_STEAL");
    if (g_strcmp0(value, expected_value) != 0)
        fail_msg("CPU_STEAL: %s instead of %s", value, expected_value);
    assert_string_equal(vm->sent_keys, expected_keys);
    return now;
}

static void test_deletion_repeats_and_comes_back(void **state)
{
    (void)state;
    static const struct {
        bool known;
        guint detail;
        const char *value, *keys;
    } cycles[] = {
        {true, 5, "5.00", "NETTX CPU_STEAL"},
        {false, 5, "[]", "NETTX CPU_STEAL-1"},
        {false, 5, "[]", "NETTX CPU_STEAL-2"},
        {false, 5, "[]", "NETTX"},
        {false, 5, NULL, "NETTX"},
        {true, 5, "5.00", "NETTX CPU_STEAL"},
        {false, 5, "[]", "NETTX CPU_STEAL-1"},
        {true, 5, "5.00", "NETTX CPU_STEAL"}, /* back before the deletion was through */
        {true, 1, "[]", "NETTX CPU_STEAL-1"}, /* known, but no longer wanted */
        {true, 1, "[]", "NETTX CPU_STEAL-2"},
        {true, 1, "[]", "NETTX"},
        {true, 1, NULL, "NETTX"},
    };
    Sample *previous = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(cycles); i++) {
        OneOptions options = roomy;
        options.detail = cycles[i].detail;
        Sample *now = cycle(previous, cycles[i].known, &options, cycles[i].value, cycles[i].keys);
        sample_free(previous);
        previous = now;
    }
    sample_free(previous);
}

/* sent_keys of one-5 before, the records' text then, sent_keys after. The VM knows NETTX = 1 (tier 0) and nothing else.
 */
static void test_holdings(void **state)
{
    (void)state;
    static const struct {
        guint stock_tiers;
        const char *before, *lines, *after;
    } cases[] = {
        {0, NULL, "NETTX=\"1\"\n", "NETTX"},
        {0, "", "NETTX=\"1\"\n", "NETTX"},
        {0, "CPU NETTX LOCKED", "CPU=[]\nNETTX=\"1\"\nLOCKED=[]\n", "CPU-1 NETTX LOCKED-1"},
        {1, "CPU NETTX LOCKED", "NETTX=\"1\"\nLOCKED=[]\n", "NETTX LOCKED-1"},
        {1, "CPU NETTX NETRX_BW", "NETTX=\"1\"\nNETRX_BW=[]\n", "NETTX NETRX_BW-1"},
        {2, "CPU NETTX NETRX_BW LOCKED CPU_STEAL", "NETTX=\"1\"\nLOCKED=[]\nCPU_STEAL=[]\n",
         "NETTX LOCKED-1 CPU_STEAL-1"},
        {1, "CPU-1 NETTX-2 LOCKED-2", "NETTX=\"1\"\nLOCKED=[]\n", "NETTX"},
        {0, "OLD_KEY NETTX OLD_KEY-1 OTHER-2", "NETTX=\"1\"\nOLD_KEY=[]\nOTHER=[]\n", "NETTX OLD_KEY-1"},
        {0, "  cpu CPU-0 CPU-3 CPU-x CPU- -1 -- a\"b C\nD  ", "NETTX=\"1\"\n", "NETTX"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Sample) now = sample_new(), before = sample_new();
        row_set_u64(build_vm(now, 5)->row, METRIC_VM_NET_TX_BYTES, 1);
        build_vm(before, 5)->sent_keys = g_strdup(cases[i].before);
        OneOptions options = roomy;
        options.stock_tiers = cases[i].stock_tiers;
        g_autoptr(GString) text = write_records(now, before, &options);
        g_autofree char *encoded = g_base64_encode((const guchar *)cases[i].lines, strlen(cases[i].lines));
        if (!strstr(text->str, encoded))
            fail_msg("case %u: %s", i, text->str);
        assert_string_equal(((const VmSample *)g_ptr_array_index(now->vms, 0))->sent_keys, cases[i].after);
    }
}

static void test_flag_is_sent_while_set(void **state)
{
    (void)state;
    static const struct {
        guint64 locked;
        const char *value;
    } cycles[] = {{0, NULL}, {1, "1"}, {7, "1"}, {0, "[]"}, {0, "[]"}, {0, "[]"}, {0, NULL}};
    Sample *previous = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(cycles); i++) {
        Sample *now = sample_new();
        MetricRow *row = build_vm(now, 5)->row;
        row_set_u64(row, METRIC_VM_NET_TX_BYTES, 1);
        row_set_u64(row, METRIC_VM_LOCKED, cycles[i].locked);
        g_autoptr(GString) text = write_records(now, previous, &roomy);
        g_autoptr(GPtrArray) records = read_records(text);
        const char *value = find_value(find_record(records, 5), "LOCKED");
        if (g_strcmp0(value, cycles[i].value) != 0)
            fail_msg("cycle %u: %s", i, value);
        sample_free(previous);
        previous = now;
    }
    sample_free(previous);
}

static void test_deletions_alone_make_a_record(void **state)
{
    (void)state;
    g_autoptr(Sample) now = sample_new(), before = sample_new();
    build_vm(now, 5);
    build_vm(now, 6); /* not there before: nothing to delete */
    build_vm(before, 5)->sent_keys = g_strdup("CPU-2");
    g_autoptr(GString) text = write_records(now, before, &roomy);
    g_autoptr(GPtrArray) records = read_records(text);
    assert_int_equal(records->len, 1);
    assert_string_equal(find_value(find_record(records, 5), "CPU"), "[]");
    assert_null(((const VmSample *)g_ptr_array_index(now->vms, 0))->sent_keys);
}

/* Before it is taken out: a key that is ours is deleted, whether it is known to be held or not, and poll.rb's stand. */
static void test_leaving(void **state)
{
    (void)state;
    for (guint stock_tiers = 0; stock_tiers <= 2; stock_tiers++) {
        g_autoptr(Sample) now = sample_new(), before = sample_new();
        row_set_u64(build_vm(now, 5)->row, METRIC_VM_NET_TX_BYTES, 1);
        build_vm(now, 6); /* of which nothing is known */
        build_vm(before, 5)->sent_keys = g_strdup("NETTX CPU_STEAL-2 OLD_KEY");
        OneOptions options = roomy;
        options.stock_tiers = stock_tiers;
        options.leave = true;
        g_autoptr(GString) text = write_records(now, before, &options);
        g_autoptr(GPtrArray) records = read_records(text);
        for (guint vm = 5; vm <= 6; vm++) {
            const OneRecord *record = find_record(records, vm);
            assert_int_equal(g_strcmp0(find_value(record, "NETTX"), "[]") == 0, stock_tiers < 1);
            assert_int_equal(g_strcmp0(find_value(record, "NETTX_BW"), "[]") == 0, stock_tiers < 2);
            assert_string_equal(find_value(record, "LOCKED"), "[]");
            assert_string_equal(find_value(record, "CPU_STEAL"), "[]");
            for (guint i = 0; i < record->values->len; i++)
                assert_null(g_ptr_array_index(record->values, i));
        }
        assert_string_equal(find_value(find_record(records, 5), "OLD_KEY"), "[]");
    }
}

static void test_retired_keys_are_limited(void **state)
{
    (void)state;
    g_autoptr(Sample) now = sample_new(), before = sample_new();
    build_vm(now, 5);
    g_autoptr(GString) keys = g_string_new(NULL);
    for (guint i = 0; i < 1000; i++)
        g_string_append_printf(keys, "OLD_%u ", i);
    for (guint i = 0; i < 100; i++)
        g_string_append(keys, "LONG_");
    build_vm(before, 5)->sent_keys = g_strdup(keys->str);
    g_autoptr(GString) text = write_records(now, before, &roomy);
    g_autoptr(GPtrArray) records = read_records(text);
    assert_int_equal(find_record(records, 5)->keys->len, ONE_RETIRED_MAX);
}

/* --- the fit --- */

/* Writes, and holds the report to the text by other means. Returns the text. */
static GString *write_fitting(Sample *sample, const OneOptions *options, OneReport *ret_report)
{
    GString *text = one_records_write(sample, NULL, options, ret_report);
    assert_int_equal(ret_report->rejected, 0);
    g_autoptr(GPtrArray) records = read_records(text);
    gsize size = text->len ? agent_size(text) : 0;
    assert_true(size <= ret_report->message_bytes);
    assert_true(ret_report->message_bytes <= ret_report->budget);
    if (ret_report->tier < options->detail || ret_report->vms_left_out > 0)
        assert_int_equal(ret_report->message_bytes, size);

    guint known = 0, sent = 0, left_out = 0;
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        for (Metric m = METRIC_FIRST_VM; m < METRIC_FIRST_VCPU; m++) {
            g_autofree char *value = expected_value(vm, m);
            known += value && metric_info[m].one_tier <= options->detail;
        }
        const OneRecord *record = find_record(records, vm->vm_id);
        if (record)
            sent += compare_record(record, vm, ret_report->tier);
        else
            left_out++;
    }
    assert_int_equal(left_out, ret_report->vms_left_out);
    assert_int_equal(ret_report->dropped_keys, known - sent);
    return text;
}

static void test_300_full_vms_fit(void **state)
{
    (void)state;
    static const gsize reserves[][2] = {
        {ONE_RESERVE_FORECAST, ONE_RESERVE_POLL}, {ONE_RESERVE_POLL, ONE_RESERVE_POLL}, {ONE_RESERVE_POLL, 0}, {0, 0}};
    for (guint i = 0; i < G_N_ELEMENTS(reserves); i++) {
        g_autoptr(Sample) sample = build_full_sample(300, i);
        OneOptions options = roomy;
        options.reserve_per_vm = reserves[i][0];
        options.reserve_least = reserves[i][1];
        OneReport report;
        g_autoptr(GString) text = write_fitting(sample, &options, &report);
        assert_true(agent_size(text) + 300 * reserves[i][1] + ONE_MESSAGE_HEADER <= 65507);
        assert_true(text->len > 0 && report.dropped_keys > 0);
        one_report_clear(&report);
    }
}

/* The tier above the one that was sent would not have fitted. */
static void test_no_tier_is_wasted(void **state)
{
    (void)state;
    for (guint n = 1; n < 330; n += n < 20 ? 7 : 23) {
        OneOptions options = roomy, unbound = roomy;
        options.reserve_per_vm = options.reserve_least = ONE_RESERVE_POLL;
        g_autoptr(Sample) sample = build_full_sample(n, n);
        OneReport report;
        g_autoptr(GString) text = write_fitting(sample, &options, &report);
        if (report.tier < ONE_TIER_MAX && report.vms_left_out == 0) {
            OneReport above;
            unbound.detail = report.tier + 1;
            g_autoptr(GString) more = one_records_write(sample, NULL, &unbound, &above);
            assert_true(above.tier < unbound.detail || agent_size(more) > report.budget);
            one_report_clear(&above);
        }
        one_report_clear(&report);
    }
}

/* What the other probes may need is theirs as long as it fits at all: with ours on top the message would be lost. */
static void test_reserve_is_kept_while_it_fits(void **state)
{
    (void)state;
    static const struct {
        guint vms;
        gsize reserve, expected_reserve;
    } cases[] = {{50, ONE_RESERVE_FORECAST, ONE_RESERVE_FORECAST},  {110, ONE_RESERVE_FORECAST, ONE_RESERVE_FORECAST},
                 {140, ONE_RESERVE_FORECAST, ONE_RESERVE_FORECAST}, {209, ONE_RESERVE_FORECAST, ONE_RESERVE_FORECAST},
                 {210, ONE_RESERVE_FORECAST, ONE_RESERVE_POLL},     {160, ONE_RESERVE_POLL, ONE_RESERVE_POLL}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        OneOptions options = roomy;
        options.reserve_per_vm = cases[i].reserve;
        options.reserve_least = ONE_RESERVE_POLL;
        g_autoptr(Sample) sample = build_full_sample(cases[i].vms, i);
        OneReport report;
        g_autoptr(GString) text = write_fitting(sample, &options, &report);
        gsize reserved = cases[i].vms * cases[i].expected_reserve + ONE_MESSAGE_HEADER;
        assert_int_equal(report.budget, 65507 - reserved);
        assert_true(agent_size(text) + reserved <= 65507);
        one_report_clear(&report);
    }
}

/* Every limit from nothing to plenty: never too much, and ever more with more room. */
static void test_any_limit(void **state)
{
    (void)state;
    guint last = G_MAXUINT;
    for (gsize limit = 0; limit < 24000; limit += 700) {
        g_autoptr(Sample) sample = build_full_sample(40, 3);
        OneOptions options = roomy;
        options.limit = limit;
        OneReport report;
        g_autoptr(GString) text = write_fitting(sample, &options, &report);
        assert_true(report.dropped_keys <= last);
        last = report.dropped_keys;
        one_report_clear(&report);
    }
    assert_int_equal(last, 0);
}

static void test_nothing_fits(void **state)
{
    (void)state;
    static const OneOptions cases[] = {
        {.stock_tiers = 1, .detail = 5, .limit = ONE_MESSAGE_MAX, .reserve_per_vm = 4096, .reserve_least = 4096},
        {.stock_tiers = 0, .detail = 0, .limit = ONE_MESSAGE_HEADER, .reserve_per_vm = 0, .reserve_least = 0},
        {.stock_tiers = 0, .detail = 5, .limit = ONE_MESSAGE_HEADER + 8, .reserve_per_vm = 0, .reserve_least = 0},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Sample) before = build_full_sample(20, 1), sample = build_full_sample(20, 1);
        g_autoptr(GString) all = write_records(before, NULL, &roomy);
        OneReport report;
        g_autoptr(GString) text = one_records_write(sample, before, &cases[i], &report);
        assert_int_equal(text->len, 0);
        assert_int_equal(report.message_bytes, 0);
        assert_int_equal(report.vms_left_out, 20);
        assert_true(report.dropped_keys > 0);
        for (guint k = 0; k < 20; k++) /* what OpenNebula holds is not forgotten */
            assert_string_equal(((const VmSample *)g_ptr_array_index(sample->vms, k))->sent_keys,
                                ((const VmSample *)g_ptr_array_index(before->vms, k))->sent_keys);
        one_report_clear(&report);
    }
}

/* With the values, and so the number of VMs that fit, changing from cycle to cycle. */
static void test_window_reaches_every_vm(void **state)
{
    (void)state;
    enum { VMS = 500, CYCLES = 16 };
    guint reached[VMS + 1] = {0};
    Sample *previous = NULL;
    for (guint c = 0; c < CYCLES; c++) {
        Sample *now = build_full_sample(VMS, c);
        OneOptions options = roomy;
        options.limit = 12000;
        options.cycle = 1000250 + c;
        OneReport report;
        g_autoptr(GString) text = one_records_write(now, previous, &options, &report);
        assert_true(agent_size(text) + ONE_MESSAGE_HEADER <= options.limit);
        assert_int_equal(report.tier, 0);
        g_autoptr(GPtrArray) records = read_records(text);
        assert_int_equal(records->len + report.vms_left_out, VMS);
        assert_in_range(records->len, 64, 127);
        guint64 last_id = 0;
        for (guint i = 0; i < records->len; i++) {
            const OneRecord *record = g_ptr_array_index(records, i);
            if (i > 0) /* in the sample's order, round its end */
                assert_int_equal(record->vm_id, last_id % VMS + 1);
            last_id = record->vm_id;
            reached[record->vm_id]++;
        }
        for (guint i = 0; i < VMS; i++) {
            const VmSample *vm = g_ptr_array_index(now->vms, i);
            assert_int_equal(vm->sent_keys != NULL, reached[vm->vm_id] > 0);
        }
        one_report_clear(&report);
        sample_free(previous);
        previous = now;
    }
    sample_free(previous);
    for (guint id = 1; id <= VMS; id++) /* two rounds of 500 / 64 cycles */
        assert_true(reached[id] >= 2);
}

/* A VM outside of the window keeps its stale keys to be deleted later, one inside gets its deletions. */
static void test_window_and_deletions(void **state)
{
    (void)state;
    g_autoptr(Sample) before = build_full_sample(500, 1), now = build_full_sample(500, 2);
    for (guint i = 0; i < 500; i++)
        ((VmSample *)g_ptr_array_index(before->vms, i))->sent_keys = g_strdup("CPU CPU_STEAL");
    OneOptions options = roomy;
    options.limit = 12000;
    OneReport report;
    g_autoptr(GString) text = one_records_write(now, before, &options, &report);
    g_autoptr(GPtrArray) records = read_records(text);
    assert_in_range(records->len, 10, 499);
    for (guint i = 0; i < 500; i++) {
        const VmSample *vm = g_ptr_array_index(now->vms, i);
        const OneRecord *record = find_record(records, vm->vm_id);
        if (record)
            assert_string_equal(find_value(record, "CPU_STEAL"), "[]");
        assert_string_equal(vm->sent_keys,
                            record ? "CPU MEMORY NETRX NETTX DISKRDIOPS DISKRDBYTES DISKWRIOPS DISKWRBYTES CPU_STEAL-1"
                                   : "CPU CPU_STEAL");
    }
    one_report_clear(&report);
}

/* --- our own check --- */

static void test_bad_records_are_taken_out(void **state)
{
    (void)state;
    g_autoptr(Sample) before = sample_new(), now = sample_new();
    for (guint64 id = 1; id <= 6; id++) {
        row_set_u64(build_vm(now, id)->row, METRIC_VM_NET_TX_BYTES, id);
        build_vm(before, id)->sent_keys = g_strdup("NETRX");
    }
    VmSample *quoted = g_ptr_array_index(now->vms, 1), *huge = g_ptr_array_index(now->vms, 3),
             *twice = g_ptr_array_index(now->vms, 4);
    g_free(quoted->uuid);
    quoted->uuid = g_strdup("\" ]\nVM = [ ID=\"1");
    huge->vm_id = G_MAXUINT64;
    twice->vm_id = 3;

    OneReport report;
    g_autoptr(GString) text = one_records_write(now, before, &roomy, &report);
    g_autoptr(GPtrArray) records = read_records(text);
    assert_int_equal(report.rejected, 3);
    assert_non_null(strstr(report.reason, "one-2"));
    assert_int_equal(records->len, 3);
    assert_string_equal(find_value(find_record(records, 3), "NETTX"), "3");
    assert_non_null(find_record(records, 1));
    assert_non_null(find_record(records, 6));
    assert_int_equal(report.message_bytes, agent_size(text));
    assert_null(quoted->sent_keys); /* its name is found by no one: another UUID */
    assert_string_equal(twice->sent_keys, "NETRX");
    one_report_clear(&report);
    assert_null(report.reason);
}

/* --- the reader --- */

#define GOOD "VM = [ ID=\"1\", DEPLOY_ID=\"6ba7b810-9dad\", MONITOR=\"Q1BVPSIxIgo=\" ]\n" /* CPU="1" */
#define GOOD_2 "VM = [ ID=\"2\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ]\n"            /* CPU=[] */

static void test_reader_takes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        guint records;
    } cases[] = {{"", 0},
                 {GOOD, 1},
                 {GOOD GOOD_2, 2},
                 {"VM = [ ID=\"2147483647\", DEPLOY_ID=\"\", MONITOR=\"QT1bXQo=\" ]\n", 1}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) text = g_string_new(cases[i].text);
        g_autoptr(GPtrArray) records = read_records(text);
        assert_int_equal(records->len, cases[i].records);
    }
    g_autoptr(GString) text = g_string_new(GOOD GOOD_2);
    g_autoptr(GPtrArray) records = read_records(text);
    assert_string_equal(find_record(records, 1)->deploy_id, "6ba7b810-9dad");
    assert_string_equal(find_value(find_record(records, 1), "CPU"), "1");
    assert_string_equal(find_value(find_record(records, 2), "CPU"), "[]");
}

static void assert_refused(const char *text, gsize length, guint line)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *prefix = g_strdup_printf("line %u: ", line);
    GPtrArray *records = one_records_read(text, length, &error);
    if (records)
        fail_msg("taken: %s", text);
    assert_true(error->domain == ONE_RECORD_ERROR);
    if (!g_str_has_prefix(error->message, prefix))
        fail_msg("%s instead of %s", error->message, prefix);
}

static void test_reader_refuses_lines(void **state)
{
    (void)state;
    static const struct {
        guint line;
        const char *text;
    } cases[] = {
        {1, "junk\n"},
        {1, "\n"},
        {2, GOOD "\n"},
        {2, GOOD "# comment\n"},
        {2, GOOD " " GOOD_2},
        {3, GOOD GOOD_2 GOOD},
        {3, GOOD GOOD_2 "VM = [ ID=\"3\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ]"},
        {1, "VM=[ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=1, DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"01\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"-1\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"2147483648\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"18446744073709551617\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"1\", MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"a b\", MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\\\", MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"0123456789012345678901234567890123456789012345678901234567890123x\", "
            "MONITOR=\"Q1BVPVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ] \n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\" ]\r\n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\", X=\"\" ]\n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==\n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"\" ]\n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg\" ]\n"},   /* padding */
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCh==\" ]\n"}, /* bits in the padding */
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"Q1BV PVtdCg==\" ]\n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"Q1BVPVtdCg==QQ==\" ]\n"},
        {1, "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"====\" ]\n"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_refused(cases[i].text, strlen(cases[i].text), cases[i].line);
    static const char with_nul[] = "VM = [ ID=\"1\", DEPLOY_ID=\"\", MONITOR=\"Q1BV\0Vtd\" ]\n";
    assert_refused(with_nul, sizeof with_nul - 1, 1);
    static const char nul_first[] = GOOD "\0\n";
    assert_refused(nul_first, sizeof nul_first - 1, 2);
}

static void test_reader_refuses_keys_and_values(void **state)
{
    (void)state;
    g_autofree char *long_key = g_strnfill(ONE_KEY_MAX + 1, 'K'), *long_value = g_strnfill(ONE_VALUE_MAX + 1, 'v');
    g_autofree char *key_too_long = g_strdup_printf("%s=\"1\"\n", long_key);
    g_autofree char *value_too_long = g_strdup_printf("K=\"%s\"\n", long_value);
    const char *const cases[] = {
        "CPU",
        "CPU=",
        "CPU=1\n",
        "CPU=\"1\"",
        "CPU=\"1\n",
        "CPU=\"1\" \n",
        "CPU=\"1\"\n\n",
        "\nCPU=\"1\"\n",
        "cpu=\"1\"\n",
        "=\"1\"\n",
        " CPU=\"1\"\n",
        "CPU =\"1\"\n",
        "C-U=\"1\"\n",
        "CPU=[]",
        "CPU=[ ]\n",
        "CPU=[A=\"1\"]\n",
        "CPU=\"a\"b\"\n",
        "CPU=\"a\\n\"\n",
        "CPU=\"a\\\"\n",
        "CPU=\"a\tb\"\n",
        "CPU=\"\x7F\"\n",
        "CPU=\"\xC2\x85\"\n",
        "CPU=\"\xFF\"\n",
        "CPU=\"\xEF\xBF\xBE\"\n",
        "CPU=\"1\"\nCPU=\"2\"\n",
        "CPU=\"1\"\nCPU=[]\n",
        "A=\"1\"\nB=\"2\nC=\"3\"\n",
        key_too_long,
        value_too_long,
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *record = record_around(cases[i]);
        g_autofree char *text = g_strconcat(GOOD, record, NULL);
        assert_refused(text, strlen(text), 2);
    }
}

static void test_reader_counts_keys(void **state)
{
    (void)state;
    g_autoptr(GString) monitor = g_string_new(NULL);
    for (guint i = 0; i < ONE_KEYS_MAX; i++)
        g_string_append_printf(monitor, "K%u=[]\n", i);
    g_autofree char *most = record_around(monitor->str);
    g_autoptr(GString) text = g_string_new(most);
    g_autoptr(GPtrArray) records = read_records(text);
    assert_int_equal(find_record(records, 83)->keys->len, ONE_KEYS_MAX);
    g_string_append(monitor, "ONE_MORE=[]\n");
    g_autofree char *more = record_around(monitor->str);
    assert_refused(more, strlen(more), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_cuts_on_a_character),
        cmocka_unit_test(test_escape_then_read_gives_the_same),
        cmocka_unit_test(test_record_to_the_letter),
        cmocka_unit_test(test_two_decimals),
        cmocka_unit_test(test_no_vms),
        cmocka_unit_test(test_every_known_value_is_there),
        cmocka_unit_test(test_deletion_repeats_and_comes_back),
        cmocka_unit_test(test_holdings),
        cmocka_unit_test(test_flag_is_sent_while_set),
        cmocka_unit_test(test_deletions_alone_make_a_record),
        cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_retired_keys_are_limited),
        cmocka_unit_test(test_300_full_vms_fit),
        cmocka_unit_test(test_no_tier_is_wasted),
        cmocka_unit_test(test_reserve_is_kept_while_it_fits),
        cmocka_unit_test(test_any_limit),
        cmocka_unit_test(test_nothing_fits),
        cmocka_unit_test(test_window_reaches_every_vm),
        cmocka_unit_test(test_window_and_deletions),
        cmocka_unit_test(test_bad_records_are_taken_out),
        cmocka_unit_test(test_reader_takes),
        cmocka_unit_test(test_reader_refuses_lines),
        cmocka_unit_test(test_reader_refuses_keys_and_values),
        cmocka_unit_test(test_reader_counts_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
