/* SPDX-License-Identifier: Apache-2.0
 * The line protocol, read back by the rules of the databases it is for, which differ in what a backslash means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "encode/line_protocol.h"
#include "sample_builder.h"

/* --- a reader --- */

typedef enum {
    RULE_BEFORE, /* InfluxDB 1: a character is escaped when the one before it is a backslash; \\ stays two */
    RULE_ODD,    /* VictoriaMetrics, InfluxDB 3: … when an odd number of backslashes is before it; \\ is one */
    N_RULES,
} Rule;

typedef struct {
    char *measurement;
    GPtrArray *keys, *values;     /* of tags; in order, unescaped */
    GPtrArray *fields, *contents; /* values as they stand; strings with their quotes, unescaped */
    char *timestamp;              /* NULL: none */
} Point;

static void point_free(Point *point)
{
    g_free(point->measurement);
    g_ptr_array_unref(point->keys);
    g_ptr_array_unref(point->values);
    g_ptr_array_unref(point->fields);
    g_ptr_array_unref(point->contents);
    g_free(point->timestamp);
    g_free(point);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Point, point_free)

static bool is_escaped(Rule rule, const char *start, const char *at)
{
    gsize slashes = 0;
    while (at > start && *--at == '\\')
        slashes++;
    return rule == RULE_ODD ? slashes % 2 == 1 : slashes > 0;
}

static char *unescape(Rule rule, const char *start, const char *end)
{
    GString *text = g_string_new(NULL);
    for (const char *at = start; at < end; at++) {
        if (*at == '\\' && at + 1 < end && (strchr(",= ", at[1]) || (rule == RULE_ODD && at[1] == '\\')))
            at++;
        g_string_append_c(text, *at);
    }
    return g_string_free(text, FALSE);
}

/* Moves *at to the next unescaped character of `stops` and returns what was before it, unescaped. */
static char *take(Rule rule, const char **at, const char *stops)
{
    const char *start = *at;
    while (**at && (!strchr(stops, **at) || is_escaped(rule, start, *at)))
        (*at)++;
    return unescape(rule, start, *at);
}

static char *take_content(const char **at)
{
    GString *text = g_string_new(NULL);
    if (**at != '"') {
        gsize length = strcspn(*at, ", ");
        g_string_append_len(text, *at, (gssize)length);
        *at += length;
        return g_string_free(text, FALSE);
    }
    g_string_append_c(text, *(*at)++);
    for (; **at && **at != '"'; (*at)++) {
        if (**at == '\\')
            (*at)++;
        g_string_append_c(text, **at);
    }
    assert_int_equal(**at, '"');
    g_string_append_c(text, *(*at)++);
    return g_string_free(text, FALSE);
}

static Point *read_line(Rule rule, const char *line)
{
    Point *point = g_new0(Point, 1);
    point->keys = g_ptr_array_new_with_free_func(g_free);
    point->values = g_ptr_array_new_with_free_func(g_free);
    point->fields = g_ptr_array_new_with_free_func(g_free);
    point->contents = g_ptr_array_new_with_free_func(g_free);
    const char *at = line;
    point->measurement = take(rule, &at, ", ");
    while (*at == ',') {
        at++;
        g_ptr_array_add(point->keys, take(rule, &at, "=, "));
        assert_int_equal(*at++, '=');
        g_ptr_array_add(point->values, take(rule, &at, "=, "));
        assert_int_not_equal(*at, '=');
    }
    assert_int_equal(*at, ' ');
    do {
        at++;
        g_ptr_array_add(point->fields, take(rule, &at, "=, "));
        assert_int_equal(*at++, '=');
        g_ptr_array_add(point->contents, take_content(&at));
    } while (*at == ',');
    if (*at == ' ')
        point->timestamp = g_strdup(at + 1);
    else
        assert_int_equal(*at, '\0');
    return point;
}

static const char *find(const GPtrArray *names, const GPtrArray *values, const char *name)
{
    for (guint i = 0; i < names->len; i++)
        if (strcmp(g_ptr_array_index(names, i), name) == 0)
            return g_ptr_array_index(values, i);
    return NULL;
}

/* --- the positions --- */

static void test_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *measurement, *key, *string;
    } cases[] = {
        {"plain", "plain", "plain", "\"plain\""},
        {"a b,c=d", "a\\ b\\,c=d", "a\\ b\\,c\\=d", "\"a b,c=d\""},
        {"say \"hi\"", "say\\ \"hi\"", "say\\ \"hi\"", "\"say \\\"hi\\\"\""},
        {"C:\\dir", "C:\\dir", "C:\\dir", "\"C:\\\\dir\""},
        {"end\\", "end\\\\\\ ", "end\\\\\\ ", "\"end\\\\\""},
        {"a\\,b", "a\\\\\\,b", "a\\\\\\,b", "\"a\\\\,b\""},
        {"a\\\\ b", "a\\\\\\\\\\ b", "a\\\\\\\\\\ b", "\"a\\\\\\\\ b\""},
        {"two\nlines\r\t\x01\x7F\xC2\x85", "two\\ lines\\ \\ \\ \\ \\ ", "two\\ lines\\ \\ \\ \\ \\ ",
         "\"two lines     \""},
        {"über 語 😀", "über\\ 語\\ 😀", "über\\ 語\\ 😀", "\"über 語 😀\""},
        {"\xFF\xE2\x82", "\uFFFD\uFFFD\uFFFD", "\uFFFD\uFFFD\uFFFD", "\"\uFFFD\uFFFD\uFFFD\""},
        {"", "", "", "\"\""},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) measurement = g_string_new(NULL), key = g_string_new(NULL), string = g_string_new(NULL);
        line_append_measurement(measurement, cases[i].text);
        line_append_key(key, cases[i].text);
        line_append_string(string, cases[i].text);
        assert_string_equal(measurement->str, cases[i].measurement);
        assert_string_equal(key->str, cases[i].key);
        assert_string_equal(string->str, cases[i].string);
    }
}

static void test_limits(void **state)
{
    (void)state;
    static const char *const pieces[] = {"x", "\"", "ä", "😀", "\\", "\\,", " "};
    for (guint i = 0; i < G_N_ELEMENTS(pieces); i++) {
        g_autoptr(GString) text = g_string_new("x"), key = g_string_new(NULL), string = g_string_new(NULL);
        for (guint n = 0; n < 70000; n++)
            g_string_append(text, pieces[i]);
        line_append_key(key, text->str);
        line_append_string(string, text->str);
        assert_in_range(key->len, LINE_TAG_MAX, 2 * LINE_TAG_MAX + 2); /* a run of backslashes at the end is doubled */
        assert_in_range(string->len, LINE_STRING_MAX + 2 - 3, LINE_STRING_MAX + 2);
        assert_true(g_utf8_validate(key->str, (gssize)key->len, NULL));
        assert_true(g_utf8_validate(string->str, (gssize)string->len, NULL));
    }
}

/* Without the backslashes, which one of the two sees doubled, and the space behind a trailing one. */
static char *comparable(const char *text)
{
    GString *out = g_string_new(NULL);
    for (; *text; text++)
        if (*text != '\\')
            g_string_append_c(out, *text);
    return g_strchomp(g_string_free(out, FALSE));
}

static void test_any_text_keeps_its_place(void **state)
{
    (void)state;
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    for (guint i = 0; i < 4000; i++) {
        g_autofree char *tag = build_nasty_text(random, (guint)g_rand_int_range(random, 1, 20));
        g_autofree char *field = build_nasty_text(random, (guint)g_rand_int_range(random, 0, 20));
        g_autoptr(GString) line = g_string_new(NULL);
        line_append_measurement(line, tag);
        g_string_append(line, ",a=");
        line_append_key(line, tag);
        g_string_append(line, ",b=2 ");
        line_append_key(line, tag);
        g_string_append(line, "=1i,f=");
        line_append_string(line, field);
        g_string_append(line, " 99");
        assert_null(strchr(line->str, '\n'));

        g_autoptr(GString) cleaned = g_string_new(NULL);
        line_append_string(cleaned, field);
        const char *at = cleaned->str;
        g_autofree char *content = take_content(&at);
        char *tags[N_RULES];
        for (int rule = 0; rule < N_RULES; rule++) {
            g_autoptr(Point) point = read_line((Rule)rule, line->str);
            assert_int_equal(point->keys->len, 2);
            assert_int_equal(point->fields->len, 2);
            assert_string_equal(find(point->keys, point->values, "b"), "2");
            assert_string_equal(find(point->fields, point->contents, "f"), content);
            assert_string_equal(point->timestamp, "99");
            tags[rule] = comparable(find(point->keys, point->values, "a"));
        }
        assert_string_equal(tags[RULE_BEFORE], tags[RULE_ODD]);
        if (!strpbrk(tag, "\\\n\r\t\x01\x7F\xC2\xC3\xFF\xE2\xED\xEF\xC0") && !g_str_has_suffix(tag, " "))
            assert_string_equal(tags[RULE_ODD], tag);
        g_free(tags[0]);
        g_free(tags[1]);
    }
}

static void test_reals(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {3, "3.0"},
        {0.1, "0.1"},
        {12.5, "12.5"},
        {1e20, "1.0e+20"},
        {1e15, "1.0e+15"},
        {1.5e300, "1.5e+300"},
        {1e-7, "1.0e-07"},
        {-2.5e-9, "-2.5e-09"},
        {123456789, "123456789.0"},
        {0.1 + 0.2, "0.30000000000000004"},
        {100.0 / 3, "33.333333333333336"},
        {5e-324, "4.94065645841247e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) out = g_string_new(NULL);
        line_append_real(out, cases[i].value);
        assert_string_equal(out->str, cases[i].text);
    }
    g_autoptr(GRand) random = g_rand_new_with_seed(2);
    for (guint i = 0; i < 20000; i++) {
        guint64 bits = (guint64)g_rand_int(random) << 32 | g_rand_int(random);
        double value;
        memcpy(&value, &bits, sizeof value);
        if ((bits >> 52 & 0x7FF) == 0x7FF) /* infinity, NaN */
            continue;
        g_autoptr(GString) out = g_string_new(NULL);
        line_append_real(out, value);
        assert_non_null(strchr(out->str, '.'));
        double back = g_ascii_strtod(out->str, NULL);
        assert_memory_equal(&back, &value, sizeof value);
    }
}

/* The C library's shortest of 15, 16 and 17 digits, which is how a real is written, only slowly. */
static char *reference(double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE], format[] = "%.15g";
    for (; format[3] <= '7'; format[3]++) {
        g_ascii_formatd(text, sizeof text, format, value);
        if (g_ascii_strtod(text, NULL) == value)
            break;
    }
    gsize whole = strcspn(text, ".e");
    return g_strdup_printf("%.*s%s%s", (int)whole, text, text[whole] == '.' ? "" : ".0", text + whole);
}

/* Figures as there are: percentages, quotients of counters, few decimals, any magnitude; and what lies right beside. */
static void test_reals_are_the_shortest(void **state)
{
    (void)state;
    g_autoptr(GRand) random = g_rand_new_with_seed(12);
    for (guint i = 0; i < 100000; i++) {
        double value = i % 1000 / 1000.0 * pow(10, i / 1000 % 16);
        if (i % 5 == 1)
            value = g_rand_double_range(random, 0, 100);
        else if (i % 5 == 2)
            value = (double)g_rand_int(random) / (g_rand_int(random) | 1);
        else if (i % 5 == 3)
            value = pow(10, g_rand_double_range(random, -6, 18));
        if (i % 3 == 1)
            value = nextafter(value, i % 2 ? G_MAXDOUBLE : -G_MAXDOUBLE);
        if (i % 7 == 0)
            value = -value;
        g_autoptr(GString) out = g_string_new(NULL);
        g_autofree char *wanted = reference(value);
        line_append_real(out, value);
        assert_string_equal(out->str, wanted);
    }
}

/* --- samples --- */

static Sample *small_sample(void)
{
    Sample *sample = sample_new();
    sample->realtime_ns = G_GINT64_CONSTANT(1795356180123456789);
    sample->host = g_strdup("kvm 1");
    row_set_real(sample->row, METRIC_HOST_COLLECT_MS, 12);
    row_set_text(sample->row, METRIC_HOST_VERSION, "0.1.0");
    VmSample *vm = build_vm(sample, 83);
    row_set_u64(vm->row, METRIC_VM_LOCKED, 0);
    row_set_u64(vm->row, METRIC_VM_CPU_TIME, G_MAXINT64);
    row_set_u64(vm->row, METRIC_VM_CPU_USER, (guint64)G_MAXINT64 + 1); /* has no room in InfluxDB */
    row_set_real(vm->row, METRIC_VM_CPU_USAGE_PERCENT, 7.25);
    row_set_text(vm->row, METRIC_VM_MEMORY_SOURCE, "guest");
    row_set_text(vm->row, METRIC_VM_VM_NAME, "web \"1\"");
    row_set_text(vm->row, METRIC_VM_UID, "0");
    MetricRow *nic = build_nic(vm, 0, "one-83-0");
    row_set_text(nic, METRIC_NIC_MAC, "02:00:c0:a8:00:01");
    row_set_text(nic, METRIC_NIC_BRIDGE, "br0");
    row_set_u64(nic, METRIC_NIC_RX_BYTES, 110);
    row_set_u64(vm_sample_row(vm, SCOPE_NIC, 1), METRIC_NIC_RX_BYTES, 1); /* without a name */
    MetricRow *disk = build_disk(vm, 0, "vda");
    row_set_text(disk, METRIC_DISK_PATH, "/var/lib/one/a,b=c");
    row_set_u64(disk, METRIC_DISK_RD_BYTES, 4096);
    build_disk(vm, 1, "hda"); /* an empty CD-ROM drive */
    row_set_u64(vm_sample_row(vm, SCOPE_VCPU, 3), METRIC_VCPU_TIME, 5);
    row_set_u64(sample_add_sink(sample, "influx"), METRIC_SINK_QUEUED_BATCHES, 3);
    sample_add_sink(sample, "idle"); /* nothing is known of it */
    return sample;
}

#define UUID "6ba7b810-9dad-41d1-80b4-000000000053"
#define TIME " 1795356180123456789\n"

static const struct {
    LineSeries series;
    const char *lines;
} small_lines[] = {
    {SERIES_TOTALS, "vm_totals,VMID=83,host=kvm\\ 1,name=one-83,uuid=" UUID " state=1i,locked=0i,"
                    "cputime=9223372036854775807i,cpu_usage_percent=7.25,memory_source=\"guest\"" TIME},
    {SERIES_DEVICES,
     "vm_devices,VMID=83,bridge=br0,device=one-83-0,devtype=nic,host=kvm\\ 1,mac=02:00:c0:a8:00:01,name=one-83,"
     "uuid=" UUID " rxbytes=110i" TIME "vm_devices,VMID=83,device=vda,devtype=disk,host=kvm\\ 1,name=one-83,"
     "path=/var/lib/one/a\\,b\\=c,uuid=" UUID " rd_bytes=4096i" TIME},
    {SERIES_VCPUS, "vm_vcpus,VMID=83,host=kvm\\ 1,name=one-83,uuid=" UUID ",vcpu=3 cputime=5i" TIME},
    {SERIES_INFO, "vm_info,VMID=83,host=kvm\\ 1,uuid=" UUID " vm_name=\"web \\\"1\\\"\",uid=\"0\"" TIME},
    {SERIES_HOST, "host_totals,host=kvm\\ 1 collect_ms=12.0,version=\"0.1.0\"" TIME
                  "host_totals,host=kvm\\ 1,sink=influx queued_batches=3i" TIME},
};

static void test_to_the_letter(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = small_sample();
    g_autoptr(GString) all = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(small_lines); i++) {
        g_autoptr(GString) text = line_protocol_write(sample, small_lines[i].series);
        assert_string_equal(text->str, small_lines[i].lines);
        g_string_append(all, small_lines[i].lines);
    }
    g_autoptr(GString) text = line_protocol_write(sample, SERIES_ALL);
    assert_string_equal(text->str, all->str);
    g_autoptr(GString) none = line_protocol_write(sample, 0);
    assert_string_equal(none->str, "");
}

/* With this sample's time they would be counters that stood still. */
static void test_what_a_fast_sample_holds_is_left_out(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    VmSample *vm = build_vm(sample, 83);
    vm->held = true;
    vm->served[GROUP_DISK] = vm->served[GROUP_GUEST] = SERVED_EARLIER;
    vm->served[GROUP_SLOW] = SERVED_EARLIER;
    vm->served[GROUP_KERNEL] = SERVED_PROC;
    g_autoptr(GRand) random = g_rand_new_with_seed(83);
    build_random_row(vm->row, random, 1);
    build_random_row(build_disk(vm, 0, "vda"), random, 1);
    build_random_row(build_disk(vm, 1, "vdb"), random, 1);
    row_unset(g_ptr_array_index(vm->disks, 1), METRIC_DISK_CAPACITY);
    g_autoptr(GString) text = line_protocol_write(sample, SERIES_TOTALS | SERIES_DEVICES);
    for (guint m = 0; m < N_METRICS; m++) {
        const Group group = metric_group((Metric)m);
        const MetricInfo *info = &metric_info[m];
        if ((info->scope != SCOPE_VM && info->scope != SCOPE_DISK) || !info->line || info->kind == KIND_TEXT)
            continue;
        g_autofree char *first = g_strdup_printf(" %s=", info->line), *other = g_strdup_printf(",%s=", info->line);
        const bool is_written = strstr(text->str, first) || strstr(text->str, other);
        if (group == GROUP_DISK || group == GROUP_GUEST)
            assert_false(is_written);
        else
            assert_true(is_written);
    }
    vm->held = false; /* a full one, in which the guest had nothing new to say */
    g_autoptr(GString) full = line_protocol_write(sample, SERIES_TOTALS | SERIES_DEVICES);
    assert_non_null(strstr(full->str, ",memusable="));
    assert_non_null(strstr(full->str, ",disk_rd_req="));
}

static void test_counters_of_an_idle_disc_are_left_out_where_they_were_not_read(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    VmSample *vm = build_vm(sample, 83);
    vm->group_ns[GROUP_DISK] = 500;
    MetricRow *disk = build_disk(vm, 0, "vda"), *disc = build_disk(vm, 1, "hda");
    row_set_u64(disk, METRIC_DISK_RD_REQS, 11);
    row_set_u64(disc, METRIC_DISK_RD_REQS, 22);
    row_set_u64(disc, METRIC_DISK_CAPACITY, 33);
    const struct {
        gint64 idle_ns;
        bool is_written;
    } cases[] = {{0, true}, {500, true}, {400, false}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        disc->idle_ns = cases[i].idle_ns;
        g_autoptr(GString) text = line_protocol_write(sample, SERIES_DEVICES);
        assert_non_null(strstr(text->str, "rd_req=11"));
        assert_true(!strstr(text->str, "rd_req=22") == !cases[i].is_written);
        assert_non_null(strstr(text->str, "capacity=33"));
        g_autoptr(Sample) copy = sample_copy(sample);
        g_autoptr(GString) of_copy = line_protocol_write(copy, SERIES_DEVICES);
        assert_string_equal(of_copy->str, text->str);
    }
}

static void test_what_is_unknown_is_left_out(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new(); /* no host, no time */
    VmSample *vm = build_vm(sample, 7);
    g_clear_pointer(&vm->uuid, g_free);
    build_nic(vm, 0, "tap0");
    MetricRow *disk = build_disk(vm, 0, "vda");
    row_set_text(disk, METRIC_DISK_PATH, "");
    row_set_real(disk, METRIC_DISK_RD_LATENCY, 0.5);
    row_unset(build_vm(sample, 8)->row, METRIC_VM_STATE);
    g_autoptr(GString) text = line_protocol_write(sample, SERIES_ALL);
    assert_string_equal(text->str, "vm_totals,VMID=7,name=one-7 state=1i\n"
                                   "vm_devices,VMID=7,device=vda,devtype=disk,name=one-7 rd_latency_ms=0.5\n");
}

/* --- any sample --- */

static void compare_field(const Point *point, const MetricRow *row, Metric m)
{
    const char *content = find(point->fields, point->contents, metric_info[m].line);
    if (!row_has(row, m) || (metric_info[m].kind <= KIND_GAUGE && row_u64(row, m) > G_MAXINT64)) {
        assert_null(content);
    } else if (metric_info[m].kind == KIND_TEXT) {
        assert_int_equal(content[0], '"');
    } else if (metric_info[m].kind == KIND_REAL) {
        assert_true(g_ascii_strtod(content, NULL) == row_real(row, m));
        assert_non_null(strchr(content, '.'));
    } else {
        g_autofree char *expected = g_strdup_printf("%" G_GUINT64_FORMAT "i", row_u64(row, m));
        assert_string_equal(content, expected);
    }
}

static const MetricRow *row_of_point(const Sample *sample, const Point *point)
{
    const char *sink = find(point->keys, point->values, "sink");
    for (guint i = 0; sink && i < sample->sinks->len; i++) {
        const SinkSample *one = g_ptr_array_index(sample->sinks, i);
        if (strcmp(one->name, sink) == 0)
            return one->row;
    }
    if (strcmp(point->measurement, "host_totals") == 0)
        return sample->row;
    const VmSample *vm = NULL;
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *one = g_ptr_array_index(sample->vms, i);
        if (one->vm_id == g_ascii_strtoull(find(point->keys, point->values, "VMID"), NULL, 10))
            vm = one;
    }
    assert_non_null(vm);
    const char *vcpu = find(point->keys, point->values, "vcpu");
    for (guint i = 0; vcpu && i < vm->vcpus->len; i++) {
        const MetricRow *row = g_ptr_array_index(vm->vcpus, i);
        if (row->index == g_ascii_strtoull(vcpu, NULL, 10))
            return row;
    }
    return strcmp(point->measurement, "vm_totals") == 0 ? vm->row : NULL;
}

static void check_point(const Sample *sample, const Point *point)
{
    assert_string_equal(find(point->keys, point->values, "host"), "host-1");
    assert_string_equal(point->timestamp, "1795356180123456789");
    for (guint i = 0; i < point->keys->len; i++) {
        const char *key = g_ptr_array_index(point->keys, i);
        assert_string_not_equal(g_ptr_array_index(point->values, i), "");
        assert_true(i == 0 || strcmp(g_ptr_array_index(point->keys, i - 1), key) < 0);
        assert_null(find(point->fields, point->contents, key)); /* InfluxDB 3: a name is either */
    }
    const MetricRow *row = row_of_point(sample, point);
    for (guint i = 0; row && i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        if (metric_info[m].line && metric_info[m].cost != COST_START)
            compare_field(point, row, m);
    }
}

static void test_random_samples(void **state)
{
    (void)state;
    for (guint32 seed = 0; seed < 60; seed++) {
        g_autoptr(Sample) sample = build_random_sample(seed % 7, seed);
        g_autoptr(GString) text = line_protocol_write(sample, SERIES_ALL);
        assert_true(text->len == 0 || text->str[text->len - 1] == '\n');
        assert_true(g_utf8_validate(text->str, (gssize)text->len, NULL));
        g_auto(GStrv) lines = g_strsplit(text->str, "\n", -1);
        for (guint i = 0; *lines[i]; i++) {
            for (int rule = 0; rule < N_RULES; rule++) {
                g_autoptr(Point) point = read_line((Rule)rule, lines[i]);
                check_point(sample, point);
            }
        }
    }
}

/* --- vm_info: whose turn it is --- */

/* Whether the VM's vm_info is among what is written after `previous`; all else is as ever. */
static bool sends_info(const Sample *sample, const Sample *previous, guint64 id)
{
    g_autoptr(GString) text = line_protocol_write_next(sample, previous);
    g_autofree char *start = g_strdup_printf("vm_info,VMID=%" G_GUINT64_FORMAT ",", id);
    return g_str_has_prefix(text->str, start) || strstr(text->str, start);
}

static Sample *named_sample(gint64 realtime_ns, const char *name)
{
    Sample *sample = sample_new();
    sample->realtime_ns = realtime_ns;
    row_set_text(build_vm(sample, 83)->row, METRIC_VM_VM_NAME, name);
    return sample;
}

static void test_info_of_what_changed(void **state)
{
    (void)state;
    const gint64 now = G_GINT64_CONSTANT(1795356180123456789);
    g_autoptr(Sample) sample = named_sample(now, "web"), same = named_sample(now, "web");
    assert_false(sends_info(sample, same, 83));
    assert_true(sends_info(sample, NULL, 83));
    g_autoptr(Sample) renamed = named_sample(now, "mail"), nameless = named_sample(now, NULL);
    assert_true(sends_info(sample, renamed, 83));
    assert_true(sends_info(sample, nameless, 83));
    g_autoptr(Sample) empty = sample_new();
    empty->realtime_ns = now;
    assert_true(sends_info(sample, empty, 83)); /* new */
    g_autoptr(Sample) restarted = named_sample(now, "web"), known_later = named_sample(now, "web");
    ((VmSample *)g_ptr_array_index(restarted->vms, 0))->domain_id++;
    assert_true(sends_info(sample, restarted, 83));
    g_clear_pointer(&((VmSample *)g_ptr_array_index(known_later->vms, 0))->uuid, g_free);
    assert_true(sends_info(sample, known_later, 83)); /* its uuid is a tag */
    row_set_u64(((VmSample *)g_ptr_array_index(same->vms, 0))->row, METRIC_VM_CPU_TIME, 77);
    assert_false(sends_info(sample, same, 83)); /* figures are not of vm_info */
}

/* Any two times, in any order, of any clock. */
static void test_info_after_any_time(void **state)
{
    (void)state;
    static const gint64 times[] = {G_MININT64, -1, 0, 1, LINE_INFO_PERIOD_NS, G_MAXINT64 - 1, G_MAXINT64};
    for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
        for (guint k = 0; k < G_N_ELEMENTS(times); k++) {
            g_autoptr(Sample) sample = named_sample(times[i], "web"), previous = named_sample(times[k], "web");
            bool far = MAX(times[i], 0) / 2 - MAX(times[k], 0) / 2 > LINE_INFO_PERIOD_NS;
            bool sent = sends_info(sample, previous, 83);
            assert_true(sent || !far);
            assert_true(!sent || i != k);
        }
    }
}

static void test_all_but_info_is_always_there(void **state)
{
    (void)state;
    for (guint32 seed = 0; seed < 20; seed++) {
        g_autoptr(Sample) sample = build_random_sample(seed % 5, seed);
        g_autoptr(GString) all = line_protocol_write(sample, SERIES_ALL);
        g_autoptr(GString) first = line_protocol_write_next(sample, NULL);
        assert_string_equal(first->str, all->str);
        g_autoptr(GString) rest = line_protocol_write(sample, SERIES_ALL & ~(guint)SERIES_INFO);
        g_autoptr(GString) next = line_protocol_write_next(sample, sample);
        assert_string_equal(next->str, rest->str);
    }
}

enum { INFO_VMS = 60, DAY_S = 86400 };
static const gint64 second = G_GINT64_CONSTANT(1000000000);

static Sample *fleet_at(gint64 realtime_ns)
{
    Sample *sample = sample_new();
    sample->realtime_ns = realtime_ns;
    for (guint i = 0; i < INFO_VMS; i++) {
        /* Ids that follow each other, that are a round number apart, and large ones. */
        guint64 id = i < 20 ? 100 + i : i < 40 ? (i - 19) * 1000 : G_MAXINT32 - 60 + i;
        row_set_text(build_vm(sample, id)->row, METRIC_VM_VM_NAME, "web");
    }
    return sample;
}

/* A day of collections every 30 s, each up to a second early or late: of every VM vm_info comes again within 10.5
 * minutes, not more often than its period says, and never for a fifth of the VMs at once. */
static void test_info_over_a_day(void **state)
{
    (void)state;
    const gint64 start = G_GINT64_CONSTANT(1795356180123456789);
    g_autoptr(GRand) random = g_rand_new_with_seed(11);
    gint64 last[INFO_VMS] = {0};
    guint count[INFO_VMS] = {0};
    Sample *previous = NULL;
    for (gint64 due = 0; due < DAY_S; due += 30) {
        gint64 now = start + due * second + (gint64)(g_rand_double_range(random, -1, 1) * 1e9);
        Sample *sample = fleet_at(now);
        g_autoptr(GString) text = line_protocol_write_next(sample, previous);
        guint at_once = 0;
        for (guint i = 0; i < INFO_VMS; i++) {
            const VmSample *vm = g_ptr_array_index(sample->vms, i);
            g_autofree char *line = g_strdup_printf("\nvm_info,VMID=%" G_GUINT64_FORMAT ",", vm->vm_id);
            bool sent = strstr(text->str, line) != NULL;
            if (last[i] != 0 && !sent)
                assert_true(now - last[i] < 630 * second);
            if (sent && count[i]++ > 1)
                assert_true(now - last[i] > LINE_INFO_PERIOD_NS - 33 * second);
            if (sent)
                last[i] = now;
            at_once += sent;
        }
        assert_true(previous ? at_once <= INFO_VMS / 5 : at_once == INFO_VMS);
        g_clear_pointer(&previous, sample_free);
        previous = sample;
    }
    for (guint i = 0; i < INFO_VMS; i++)
        assert_in_range(count[i], DAY_S / 630, DAY_S / (LINE_INFO_PERIOD_NS / second) + 2);
    sample_free(previous);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_any_text_keeps_its_place),
        cmocka_unit_test(test_reals),
        cmocka_unit_test(test_reals_are_the_shortest),
        cmocka_unit_test(test_to_the_letter),
        cmocka_unit_test(test_what_a_fast_sample_holds_is_left_out),
        cmocka_unit_test(test_counters_of_an_idle_disc_are_left_out_where_they_were_not_read),
        cmocka_unit_test(test_what_is_unknown_is_left_out),
        cmocka_unit_test(test_random_samples),
        cmocka_unit_test(test_info_of_what_changed),
        cmocka_unit_test(test_info_after_any_time),
        cmocka_unit_test(test_all_but_info_is_always_there),
        cmocka_unit_test(test_info_over_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
