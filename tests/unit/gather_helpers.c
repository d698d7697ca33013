/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "gather/domstats.h"
#include "sample_builder.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *row = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    print_error("%s: this does not hold: %s\n", row, condition);
    _fail(file, line);
    abort(); /* not reached: _fail jumps */
}

void check_text(const char *got, const char *want, const char *label, const char *file, int line)
{
    if (g_strcmp0(got, want) == 0)
        return;
    print_error("%s\n  got  \"%s\"\n  want \"%s\"\n", label, got ? got : "(null)", want ? want : "(null)");
    _fail(file, line);
}

char *pairs_text(char *const *pairs)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; pairs && pairs[i]; i += 2)
        g_string_append_printf(out, "%s=%s;", pairs[i], pairs[i + 1]);
    return g_string_free(out, FALSE);
}

char *read_test_data(const char *name, gsize *ret_length)
{
    const char *root = g_getenv("ONE_TEST_DATA");
    g_autofree char *path = g_build_filename(root ? root : "tests", name, NULL);
    g_autoptr(GError) error = NULL;
    char *content = NULL;
    if (!g_file_get_contents(path, &content, ret_length, &error))
        fail_msg("%s (tests run from the repository's root)", error->message);
    return content;
}

char *make_temporary_dir(void)
{
    g_autoptr(GError) error = NULL;
    char *path = g_dir_make_tmp("one-telemetry-test-XXXXXX", &error);
    if (!path)
        fail_msg("%s", error->message);
    return path;
}

void remove_tree(const char *path)
{
    if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK)) {
        g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
        for (const char *name; directory && (name = g_dir_read_name(directory));) {
            g_autofree char *child = g_build_filename(path, name, NULL);
            remove_tree(child);
        }
    }
    g_remove(path);
}

int set_up_directory(void **state)
{
    *state = make_temporary_dir();
    return 0;
}

int tear_down_directory(void **state)
{
    remove_tree(*state);
    g_free(*state);
    return 0;
}

Sample *parse_domstats(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) samples = domstats_read(text, strlen(text), &error);
    CHECK(samples, "%s", error->message);
    CHECK(samples->len == 1, "%u collections", samples->len);
    g_ptr_array_set_free_func(samples, NULL);
    return g_ptr_array_index(samples, 0);
}

void put_figures(VmSample *vm, const char *pairs)
{
    g_auto(GStrv) words = g_strsplit(pairs, " ", -1);
    for (char **word = words; *word; word++) {
        char *value = strchr(*word, '=');
        guint64 number;
        if (!value)
            continue;
        *value++ = '\0';
        if (g_ascii_string_to_unsigned(value, 10, 0, G_MAXUINT64, &number, NULL))
            domstats_set_u64(vm, *word, number);
        else
            domstats_set_text(vm, *word, value);
    }
}

VmSample *add_vm(Sample *sample, const char *name, const char *uuid, gint64 domain_id)
{
    VmSample *vm = vm_sample_new(name);
    vm->uuid = g_strdup(uuid);
    vm->domain_id = domain_id;
    g_ptr_array_add(sample->vms, vm);
    return vm;
}

Metric metric_named(const char *name)
{
    for (guint m = 0; m < N_METRICS; m++)
        if (strcmp(metric_info[m].name, name) == 0)
            return (Metric)m;
    fail_msg("there is no metric %s", name);
    return N_METRICS;
}

/* --- property tests --- */

GRand *seeded_random(void)
{
    const char *seed = g_getenv("ONE_TEST_SEED");
    return g_rand_new_with_seed(seed ? (guint32)strtoul(seed, NULL, 10) : 20260731);
}

static gint64 random_time(GRand *random)
{
    return (gint64)(((guint64)g_rand_int(random) << 32 | g_rand_int(random)) >> g_rand_int_range(random, 1, 64));
}

static char *random_text(GRand *random)
{
    static const guint lengths[] = {0, 1, 2, 8, 40, 300};
    return g_rand_boolean(random)
               ? build_nasty_text(random, lengths[g_rand_int_range(random, 0, G_N_ELEMENTS(lengths))])
               : NULL;
}

static void add_devices(GRand *random, VmSample *vm, Scope scope, Metric always)
{
    guint index = 0;
    for (gint n = g_rand_int_range(random, 0, 4); n > 0; n--) {
        index += (guint)g_rand_int_range(random, 1, 300); /* not without gaps */
        MetricRow *row = vm_sample_row(vm, scope, index);
        build_random_row(row, random, 0.7);
        if (scope == SCOPE_DISK && g_rand_boolean(random))
            row->idle_ns = random_time(random);
        if (metric_info[always].kind == KIND_TEXT)
            row_set_text(row, always, "x");
        else
            row_set_u64(row, always, 1);
    }
}

Sample *random_raw_sample(GRand *random)
{
    Sample *sample = sample_new();
    sample->realtime_ns = random_time(random);
    sample->boottime_ns = random_time(random);
    sample->cycle = (guint64)random_time(random) * 2 + 1;
    sample->sent_tier = (guint)g_rand_int_range(random, 0, ONE_TIER_MAX + 1);
    sample->boot_id = g_rand_boolean(random) ? g_strdup("2b5e4f2e-6a3c-4a53-a7f5-0d6f1b1a8c11") : NULL;
    sample->host = random_text(random);
    guint id = 0;
    for (gint n = g_rand_int_range(random, 0, 5); n > 0; n--) {
        id += (guint)g_rand_int_range(random, 1, 100000);
        g_autofree char *name = g_strdup_printf("one-%u", id);
        g_autofree char *uuid = random_text(random);
        VmSample *vm = add_vm(sample, name, uuid, g_rand_boolean(random) ? random_time(random) : -1);
        vm->boottime_ns = random_time(random);
        vm->xml_devices = random_text(random);
        vm->sent_keys = random_text(random);
        vm->shape = random_text(random);
        vm->mark = random_text(random);
        vm->process = random_text(random);
        for (Group group = GROUP_STATE; group < N_GROUPS; group++)
            vm->group_ns[group] = g_rand_boolean(random) ? random_time(random) : 0;
        vm->ran = g_rand_boolean(random);
        build_random_row(vm->row, random, 0.7);
        add_devices(random, vm, SCOPE_VCPU, METRIC_VCPU_STATE);
        add_devices(random, vm, SCOPE_NIC, METRIC_NIC_NAME);
        add_devices(random, vm, SCOPE_DISK, METRIC_DISK_NAME);
    }
    return sample;
}

static void check_same_row(const MetricRow *got, const MetricRow *want)
{
    assert_int_equal(got->index, want->index);
    assert_true(got->idle_ns == want->idle_ns);
    for (guint i = 0; i < metric_count(want->scope); i++) {
        Metric m = metric_first(want->scope) + i;
        const MetricInfo *info = &metric_info[m];
        if (info->origin != ORIGIN_KEY && info->origin != ORIGIN_OWN)
            continue;
        CHECK(row_has(got, m) == row_has(want, m), "%s", info->name);
        if (info->kind == KIND_TEXT)
            CHECK_TEXT(row_text(got, m), row_text(want, m), info->name);
        else
            CHECK(row_u64(got, m) == row_u64(want, m), "%s", info->name);
    }
}

static void check_same_vm(const VmSample *got, const VmSample *want)
{
    const Scope scopes[] = {SCOPE_VCPU, SCOPE_NIC, SCOPE_DISK};
    CHECK_TEXT(got->name, want->name, "name");
    CHECK_TEXT(got->uuid, want->uuid, want->name);
    CHECK_TEXT(got->xml_devices, want->xml_devices, want->name);
    CHECK_TEXT(got->sent_keys, want->sent_keys, want->name);
    CHECK(got->vm_id == want->vm_id, "%s", want->name);
    CHECK(got->domain_id == want->domain_id, "%s", want->name);
    CHECK(got->boottime_ns == want->boottime_ns, "%s", want->name);
    CHECK(got->ran == want->ran, "%s", want->name);
    CHECK_TEXT(got->shape, want->shape, want->name);
    CHECK_TEXT(got->mark, want->mark, want->name);
    CHECK_TEXT(got->process, want->process, want->name);
    for (Group group = GROUP_STATE; group < N_GROUPS; group++)
        CHECK(got->group_ns[group] == want->group_ns[group], "%s: %s", want->name, group_name(group));
    check_same_row(got->row, want->row);
    for (guint s = 0; s < G_N_ELEMENTS(scopes); s++) {
        const GPtrArray *a = vm_sample_rows(got, scopes[s]), *b = vm_sample_rows(want, scopes[s]);
        CHECK(a->len == b->len, "%s: rows of scope %s", want->name, scope_name(scopes[s]));
        for (guint i = 0; i < b->len; i++)
            check_same_row(g_ptr_array_index(a, i), g_ptr_array_index(b, i));
    }
}

void check_same_raw(const Sample *got, const Sample *want)
{
    assert_true(got->realtime_ns == want->realtime_ns);
    assert_true(got->boottime_ns == want->boottime_ns);
    assert_true(got->cycle == want->cycle);
    assert_int_equal(got->sent_tier, want->sent_tier);
    CHECK_TEXT(got->boot_id, want->boot_id, "boot id");
    CHECK_TEXT(got->host, want->host, "host");
    assert_int_equal(got->vms->len, want->vms->len);
    for (guint i = 0; i < want->vms->len; i++)
        check_same_vm(g_ptr_array_index(got->vms, i), g_ptr_array_index(want->vms, i));
}
