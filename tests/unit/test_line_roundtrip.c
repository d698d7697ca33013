/* SPDX-License-Identifier: Apache-2.0
 * The reader of line protocol on what our writer writes, whatever the texts; and on what a broken byte makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "encode/line_protocol.h"
#include "encode/line_reader.h"
#include "line_results.h"
#include "sample_builder.h"

#define IN_MEASUREMENT ", "
#define IN_KEY ",= "

/* --- what the writer makes of a text (line_protocol.h), as InfluxDB 1 reads it --- */

static char *printable(const char *text)
{
    GString *out = g_string_new(NULL);
    gunichar c;
    while ((c = text_next_printable(&text)) != 0)
        text_append_char(out, c);
    return g_string_free(out, FALSE);
}

/* Backslashes are doubled before what is escaped and at the end, where a space follows. */
static char *as_name(const char *text, const char *escaped)
{
    g_autofree char *clean = printable(text);
    GString *out = g_string_new(NULL);
    const char *at = clean;
    while (*at) {
        gsize slashes = strspn(at, "\\");
        bool doubled = slashes > 0 && (at[slashes] == '\0' || strchr(escaped, at[slashes]));
        for (gsize i = 0; i < slashes * (doubled ? 2 : 1); i++)
            g_string_append_c(out, '\\');
        at += slashes;
        if (*at)
            g_string_append_c(out, *at++);
        else
            g_string_append_c(out, ' ');
    }
    return g_string_free(out, FALSE);
}

static void append_tag(GString *out, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    g_autofree char *name = as_name(value, IN_KEY);
    g_string_append_printf(out, " <%s>=<%s>", key, name);
}

/* --- samples --- */

static bool is_info(Metric m)
{
    return metric_info[m].scope == SCOPE_VM && metric_info[m].kind == KIND_TEXT && metric_info[m].cost == COST_START;
}

static bool is_tag(Metric m)
{
    return (metric_info[m].scope == SCOPE_NIC || metric_info[m].scope == SCOPE_DISK) &&
           metric_info[m].kind == KIND_TEXT;
}

static void append_fields(GString *out, const MetricRow *row, bool info)
{
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        const char *key = metric_info[m].line;
        if (!key || !row_has(row, m) || is_tag(m) || is_info(m) != info)
            continue;
        if (metric_info[m].kind == KIND_TEXT) {
            g_autofree char *text = printable(row_text(row, m));
            g_string_append_printf(out, " <%s>=\"%s\"", key, text);
        } else if (metric_info[m].kind == KIND_REAL) {
            g_string_append_printf(out, " <%s>=", key);
            text_append_real(out, row_real(row, m));
        } else if (row_u64(row, m) <= G_MAXINT64) {
            g_string_append_printf(out, " <%s>=%" G_GUINT64_FORMAT "i", key, row_u64(row, m));
        }
    }
}

/* `tags` are "key", "value" … in order, up to NULL. */
static void add_point(GPtrArray *points, const char *measurement, const char *const *tags, const MetricRow *row,
                      bool info)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_string_append_printf(out, "<%s>", measurement);
    for (; *tags; tags += 2)
        append_tag(out, tags[0], tags[1]);
    g_string_append(out, " :");
    gsize before = out->len;
    append_fields(out, row, info);
    if (out->len == before)
        return;
    g_string_append(out, " @1795356180123456789");
    g_ptr_array_add(points, g_strdup(out->str));
}

static void add_devices(GPtrArray *points, const VmSample *vm, Scope scope, const char *id)
{
    const GPtrArray *rows = vm_sample_rows(vm, scope);
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *row = g_ptr_array_index(rows, i);
        const char *name = row_device_name(row);
        bool nic = scope == SCOPE_NIC;
        const char *const tags[] = {"VMID",    id,
                                    "bridge",  nic ? row_text(row, METRIC_NIC_BRIDGE) : "",
                                    "device",  name ? name : "",
                                    "devtype", nic ? "nic" : "disk",
                                    "host",    "host-1",
                                    "mac",     nic ? row_text(row, METRIC_NIC_MAC) : "",
                                    "name",    vm->name,
                                    "path",    nic ? "" : row_text(row, METRIC_DISK_PATH),
                                    "uuid",    vm->uuid,
                                    NULL};
        if (name)
            add_point(points, "vm_devices", tags, row, false);
    }
}

static GPtrArray *points_of(const Sample *sample)
{
    GPtrArray *points = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        char id[24], vcpu[24];
        g_snprintf(id, sizeof id, "%" G_GUINT64_FORMAT, vm->vm_id);
        const char *const tags[] = {"VMID", id, "host", "host-1", "name", vm->name, "uuid", vm->uuid, NULL};
        add_point(points, "vm_totals", tags, vm->row, false);
        add_devices(points, vm, SCOPE_NIC, id);
        add_devices(points, vm, SCOPE_DISK, id);
        const char *const vcpu_tags[] = {"VMID", id,       "host", "host-1", "name", vm->name,
                                         "uuid", vm->uuid, "vcpu", vcpu,     NULL};
        for (guint k = 0; k < vm->vcpus->len; k++) {
            const MetricRow *row = g_ptr_array_index(vm->vcpus, k);
            g_snprintf(vcpu, sizeof vcpu, "%u", row->index);
            add_point(points, "vm_vcpus", vcpu_tags, row, false);
        }
        const char *const info_tags[] = {"VMID", id, "host", "host-1", "uuid", vm->uuid, NULL};
        add_point(points, "vm_info", info_tags, vm->row, true);
    }
    const char *const host_tags[] = {"host", "host-1", NULL};
    add_point(points, "host_totals", host_tags, sample->row, false);
    for (guint i = 0; i < sample->sinks->len; i++) {
        const SinkSample *sink = g_ptr_array_index(sample->sinks, i);
        const char *const sink_tags[] = {"host", "host-1", "sink", sink->name, NULL};
        add_point(points, "host_totals", sink_tags, sink->row, false);
    }
    return points;
}

static void test_samples(void **state)
{
    (void)state;
    for (guint32 seed = 0; seed < 80; seed++) {
        g_autoptr(Sample) sample = build_random_sample(seed % 7, seed);
        g_autoptr(GPtrArray) points = points_of(sample);
        g_autoptr(GString) text = line_protocol_write(sample, SERIES_ALL);
        g_autoptr(GPtrArray) results = read_all(text->str, text->len);
        assert_int_equal(results->len, points->len);
        for (guint i = 0; i < points->len; i++)
            assert_point(result_at(results, i), g_ptr_array_index(points, i));
    }
}

/* --- any point --- */

static char *nasty_name(GRand *random, const char *first)
{
    g_autofree char *text = build_nasty_text(random, (guint)g_rand_int_range(random, 0, 8));
    return g_strconcat(first, text, NULL);
}

static void append_number(GString *line, GString *point, GRand *random)
{
    guint64 bits = (guint64)g_rand_int(random) << 32 | g_rand_int(random);
    double real;
    memcpy(&real, &bits, sizeof real);
    g_autoptr(GString) text = g_string_new(NULL);
    switch (g_rand_int(random) % 3) {
    case 0:
        line_append_real(text, isfinite(real) ? real : 0.5);
        break;
    case 1:
        g_string_append_printf(text, "%" G_GINT64_FORMAT "i", (gint64)bits);
        break;
    default:
        g_string_append_printf(text, "%" G_GUINT64_FORMAT "u", bits);
    }
    g_string_append(line, text->str);
    g_string_append(point, text->str);
}

static void append_random_field(GString *line, GString *point, GRand *random, const char *first)
{
    g_autofree char *key = nasty_name(random, first), *name = as_name(key, IN_KEY);
    line_append_key(line, key);
    g_string_append_c(line, '=');
    g_string_append_printf(point, " <%s>=", name);
    if (g_rand_boolean(random)) {
        append_number(line, point, random);
        return;
    }
    g_autofree char *value = nasty_name(random, ""), *text = printable(value);
    line_append_string(line, value);
    g_string_append_printf(point, "\"%s\"", text);
}

static void append_random_point(GString *line, GString *point, GRand *random)
{
    g_autofree char *measurement = nasty_name(random, "m"), *read = as_name(measurement, IN_MEASUREMENT);
    line_append_measurement(line, measurement);
    g_string_append_printf(point, "<%s>", read);
    char first[2] = "a"; /* of a key, so that none stands twice */
    for (guint n = g_rand_int(random) % 5; n > 0; n--, first[0]++) {
        g_autofree char *key = nasty_name(random, first), *name = as_name(key, IN_KEY);
        g_autofree char *value = nasty_name(random, "\\"); /* not empty */
        g_string_append_c(line, ',');
        line_append_key(line, key);
        g_string_append_c(line, '=');
        line_append_key(line, value);
        append_tag(point, name, value);
    }
    g_string_append(point, " :");
    for (guint i = 0, n = 1 + g_rand_int(random) % 5; i < n; i++, first[0]++) {
        g_string_append_c(line, i == 0 ? ' ' : ',');
        append_random_field(line, point, random, first);
    }
    gint64 time = (gint64)((guint64)g_rand_int(random) << 32 | g_rand_int(random));
    g_string_append_printf(line, " %" G_GINT64_FORMAT, time);
    g_string_append_printf(point, " @%" G_GINT64_FORMAT, time);
}

static void test_any_point(void **state)
{
    (void)state;
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    for (guint i = 0; i < 5000; i++) {
        g_autoptr(GString) line = g_string_new(NULL), point = g_string_new(NULL);
        append_random_point(line, point, random);
        g_autoptr(GPtrArray) results = read_all(line->str, line->len);
        assert_int_equal(results->len, 1);
        assert_point(result_at(results, 0), point->str);
    }
}

/* --- a broken byte --- */

static const char valid[] =
    "# comment\n"
    "vm_totals,VMID=83,host=kvm\\ 1 state=1i,cpu=7.25,source=\"gu\\\"est\",b=t 1795356180123456789\n"
    "m,\"q\"=\" u=18446744073709551615u\r\n"
    "log text=\"two\nrows\",n=-5i 7\n"
    "\n"
    "a,b=c d=1e3\n"
    "m f=\"\",g=\"\\\\\"\n"
    "last f=\"x\" 1\n";

/* What ends before byte `from` and what begins behind byte `to` is read as ever. */
static void check_untouched(const GString *broken, const GPtrArray *good, gsize from, gsize to)
{
    g_autoptr(GPtrArray) results = read_all(broken->str, broken->len);
    for (guint i = 0; i < good->len; i++) {
        const Result *one = result_at(good, i);
        gsize newline = one->raw + one->raw_length + (valid[one->raw + one->raw_length] == '\r');
        if (newline < from)
            assert_point(result_at(results, i), one->point);
        else if (one->raw > to)
            assert_point(result_at(results, results->len - (good->len - i)), one->point);
    }
}

static void test_broken_bytes(void **state)
{
    (void)state;
    static const char bytes[] = "\"\\=, \n\r\t\0.-+eiut019_#\x7F\x80\xC3\xE2\xFF";
    g_autoptr(GPtrArray) good = read_all(valid, sizeof valid - 1);
    assert_int_equal(good->len, 6);
    for (gsize at = 0; at < sizeof valid - 1; at++) {
        gsize to = valid[at] == '\n' ? at + 1 : at; /* the next line goes on here, or may */
        g_autoptr(GString) cut = g_string_new_len(valid, (gssize)at), missing = g_string_new(valid);
        check_untouched(cut, good, at, sizeof valid);
        g_string_erase(missing, (gssize)at, 1);
        check_untouched(missing, good, at, to);
        for (guint i = 0; i < sizeof bytes - 1; i++) {
            g_autoptr(GString) other = g_string_new(valid), more = g_string_new(valid);
            other->str[at] = bytes[i];
            check_untouched(other, good, at, to);
            g_string_insert_c(more, (gssize)at, bytes[i]);
            check_untouched(more, good, at, at);
        }
    }
}

/* What lies between two quotes left open is InfluxDB's string of several rows; every other order of good and bad lines
 * is told apart. */
static void test_random_lines(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "g,t=\" f=1", "g f=\"=,\\\"\",h=\"\"", "#", "", "b", "b f=", "b f=1x", "b f=\"\\", "b f=1,s=\"a"};
    g_autoptr(GRand) random = g_rand_new_with_seed(2);
    for (guint i = 0; i < 3000; i++) {
        g_autoptr(GString) text = g_string_new(NULL);
        guint n = 12, good = 0, points = 0, n_open = 0;
        for (guint k = 0; k < n; k++) {
            guint choice = (guint)g_rand_int_range(random, 0, n_open ? G_N_ELEMENTS(lines) - 2 : G_N_ELEMENTS(lines));
            n_open += choice >= G_N_ELEMENTS(lines) - 2;
            good += choice < 2;
            g_string_append_printf(text, "%s%s", lines[choice], g_rand_boolean(random) ? "\n" : "\r\n");
        }
        g_autoptr(GPtrArray) results = read_all(text->str, text->len);
        for (guint k = 0; k < results->len; k++)
            points += result_at(results, k)->point != NULL;
        assert_int_equal(points, good);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_any_point),
        cmocka_unit_test(test_broken_bytes),
        cmocka_unit_test(test_random_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
