/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "sample_builder.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- rows --- */

static void absent_is_not_zero(void **state)
{
    (void)state;
    for (int scope = 0; scope < N_SCOPES; scope++) {
        g_autoptr(MetricRow) row = metric_row_new((Scope)scope, 7);
        assert_int_equal(row->index, 7);
        for (guint i = 0; i < metric_count((Scope)scope); i++)
            CHECK(!row_has(row, metric_first((Scope)scope) + i), "%s of a new row",
                  metric_info[metric_first((Scope)scope) + i].name);
    }
    g_autoptr(MetricRow) row = metric_row_new(SCOPE_VM, 0);
    guint64 value = 42;
    assert_false(row_get_u64(row, METRIC_VM_CPU_TIME, &value));
    assert_true(value == 42);
    assert_true(row_u64(row, METRIC_VM_CPU_TIME) == 0);
    assert_true(row_real(row, METRIC_VM_CPU_CORE_PERCENT) == 0);
    assert_null(row_text(row, METRIC_VM_VM_NAME));

    row_set_u64(row, METRIC_VM_CPU_TIME, 0);
    assert_true(row_has(row, METRIC_VM_CPU_TIME));
    assert_true(row_get_u64(row, METRIC_VM_CPU_TIME, &value));
    assert_true(value == 0);
    row_unset(row, METRIC_VM_CPU_TIME);
    assert_false(row_has(row, METRIC_VM_CPU_TIME));
}

static void set_any(MetricRow *row, Metric m)
{
    if (metric_info[m].kind == KIND_TEXT)
        row_set_text(row, m, metric_info[m].name);
    else if (metric_info[m].kind == KIND_REAL)
        row_set_real(row, m, m);
    else
        row_set_u64(row, m, (guint64)m);
}

/* One value at a time: setting or unsetting it leaves all others, and their presence, alone. */
static void presence_bits_are_independent(void **state)
{
    (void)state;
    for (int scope = 0; scope < N_SCOPES; scope++) {
        Metric first = metric_first((Scope)scope);
        guint n = metric_count((Scope)scope);
        g_autoptr(MetricRow) row = metric_row_new((Scope)scope, 0);
        for (guint i = 0; i < n; i++) {
            set_any(row, first + i);
            for (guint j = 0; j < n; j++)
                CHECK(row_has(row, first + j) == (j == i), "%s after %s", metric_info[first + j].name,
                      metric_info[first + i].name);
            row_unset(row, first + i);
        }
        for (guint i = 0; i < n; i++)
            set_any(row, first + i);
        for (guint i = 0; i < n; i++) {
            row_unset(row, first + i);
            for (guint j = 0; j < n; j++)
                CHECK(row_has(row, first + j) == (j > i), "%s after %s", metric_info[first + j].name,
                      metric_info[first + i].name);
        }
    }
}

static void counters_are_exact(void **state)
{
    (void)state;
    static const guint64 values[] = {
        0, 1, ((guint64)1 << 53) + 1, G_MAXINT64, (guint64)1 << 63, G_MAXUINT64 - 1, G_MAXUINT64};
    g_autoptr(MetricRow) row = metric_row_new(SCOPE_NIC, 0);
    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        row_set_u64(row, METRIC_NIC_RX_BYTES, values[i]);
        CHECK(row_u64(row, METRIC_NIC_RX_BYTES) == values[i], "%" G_GUINT64_FORMAT, values[i]);
    }
}

static void what_is_no_number_is_absent(void **state)
{
    (void)state;
    const double none[] = {(double)NAN, -(double)NAN, (double)INFINITY, -(double)INFINITY};
    g_autoptr(MetricRow) row = metric_row_new(SCOPE_VM, 0);
    for (guint i = 0; i < G_N_ELEMENTS(none); i++) {
        row_set_real(row, METRIC_VM_CPU_CORE_PERCENT, 1.5);
        assert_true(row_real(row, METRIC_VM_CPU_CORE_PERCENT) == 1.5);
        row_set_real(row, METRIC_VM_CPU_CORE_PERCENT, none[i]);
        CHECK(!row_has(row, METRIC_VM_CPU_CORE_PERCENT), "value %u", i);
        assert_true(row_real(row, METRIC_VM_CPU_CORE_PERCENT) == 0);
    }
}

static void texts_are_copied(void **state)
{
    (void)state;
    char text[] = "br0";
    g_autoptr(MetricRow) row = metric_row_new(SCOPE_NIC, 0);
    row_set_text(row, METRIC_NIC_BRIDGE, text);
    text[0] = 'x';
    assert_string_equal(row_text(row, METRIC_NIC_BRIDGE), "br0");
    row_set_text(row, METRIC_NIC_BRIDGE, row_text(row, METRIC_NIC_BRIDGE)); /* its own text */
    assert_string_equal(row_text(row, METRIC_NIC_BRIDGE), "br0");
    row_set_text(row, METRIC_NIC_BRIDGE, "");
    assert_string_equal(row_text(row, METRIC_NIC_BRIDGE), "");
    row_set_text(row, METRIC_NIC_BRIDGE, NULL);
    assert_false(row_has(row, METRIC_NIC_BRIDGE));
    row_set_text(row, METRIC_NIC_BRIDGE, NULL);
    metric_row_free(NULL);
}

static void set_foreign_scope(MetricRow *row)
{
    row_set_u64(row, METRIC_NIC_RX_BYTES, 1);
}

static void set_real_as_whole(MetricRow *row)
{
    row_set_u64(row, METRIC_VM_CPU_CORE_PERCENT, 1);
}

static void set_counter_as_text(MetricRow *row)
{
    row_set_text(row, METRIC_VM_CPU_TIME, "x");
}

static void get_text_as_whole(MetricRow *row)
{
    row_u64(row, METRIC_VM_VM_NAME);
}

static void get_no_metric(MetricRow *row)
{
    row_has(row, N_METRICS);
}

/* Programming errors end the process, they never write into a neighbour. */
static void wrong_scope_or_kind_aborts(void **state)
{
    (void)state;
    void (*const wrong[])(MetricRow *) = {set_foreign_scope, set_real_as_whole, set_counter_as_text, get_text_as_whole,
                                          get_no_metric};
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
            dup2(nowhere, STDOUT_FILENO);
            dup2(nowhere, STDERR_FILENO);
            signal(SIGABRT, SIG_DFL);
            wrong[i](metric_row_new(SCOPE_VM, 0));
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "case %u", i);
    }
}

/* --- VMs --- */

static void only_whole_names_are_ours(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool ours;
        guint64 id;
    } cases[] = {
        {"one-83", true, 83},
        {"one-0", true, 0},
        {"one-1", true, 1},
        {"one-2147483647", true, G_MAXINT32},
        {"one-2147483648", false, 0},
        {"one-9999999999", false, 0},
        {"one-18446744073709551615", false, 0},
        {"one-18446744073709551699", false, 0}, /* 83 modulo 2^64 */
        {"one-083", false, 0},
        {"one-00", false, 0},
        {"one-", false, 0},
        {"one", false, 0},
        {"", false, 0},
        {"83", false, 0},
        {"one-83x", false, 0},
        {"one-8x3", false, 0},
        {"one-+83", false, 0},
        {"one--83", false, 0},
        {"one- 83", false, 0},
        {"one-83 ", false, 0},
        {" one-83", false, 0},
        {"one-83\n", false, 0},
        {"ONE-83", false, 0},
        {"One-83", false, 0},
        {"xone-83", false, 0},
        {"one-83-0", false, 0},
        {"one-0x53", false, 0},
        {"one-8\xd9\xa3", false, 0}, /* an Arabic digit */
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint64 id = 4711;
        CHECK(vm_id_from_name(cases[i].name, &id) == cases[i].ours, "\"%s\"", cases[i].name);
        CHECK(id == (cases[i].ours ? cases[i].id : 4711), "\"%s\"", cases[i].name);
    }
}

static void a_new_vm_knows_nothing(void **state)
{
    (void)state;
    g_autoptr(VmSample) vm = vm_sample_new("one-83");
    assert_string_equal(vm->name, "one-83");
    assert_true(vm->vm_id == 83);
    assert_true(vm->domain_id == -1);
    assert_null(vm->uuid);
    assert_null(vm->xml_devices);
    assert_null(vm->sent_keys);
    assert_false(vm->ran);
    assert_int_equal(vm->vcpus->len + vm->nics->len + vm->disks->len, 0);
    vm_sample_free(NULL);
    sample_free(NULL);
}

static void device_rows_are_made_once(void **state)
{
    (void)state;
    const Scope scopes[] = {SCOPE_VCPU, SCOPE_NIC, SCOPE_DISK};
    g_autoptr(VmSample) vm = vm_sample_new("one-83");
    for (guint s = 0; s < G_N_ELEMENTS(scopes); s++) {
        MetricRow *third = vm_sample_row(vm, scopes[s], 3), *first = vm_sample_row(vm, scopes[s], 1);
        assert_ptr_equal(vm_sample_row(vm, scopes[s], 3), third);
        assert_ptr_equal(vm_sample_row(vm, scopes[s], 1), first);
        assert_int_equal(third->scope, scopes[s]);
        assert_int_equal(third->index, 3);
        assert_int_equal(vm_sample_rows(vm, scopes[s])->len, 2);
    }
    assert_null(row_device_name(vm->row));
    assert_null(row_device_name(vm_sample_row(vm, SCOPE_VCPU, 3)));
    assert_null(row_device_name(vm_sample_row(vm, SCOPE_NIC, 3)));
    assert_string_equal(row_device_name(build_nic(vm, 3, "one-83-0")), "one-83-0");
    assert_string_equal(row_device_name(build_disk(vm, 3, "vda")), "vda");
}

static void devices_have_a_ceiling(void **state)
{
    (void)state;
    g_autoptr(VmSample) vm = vm_sample_new("one-83");
    for (guint i = 0; i < SAMPLE_DEVICES_MAX; i++)
        assert_non_null(vm_sample_row(vm, SCOPE_DISK, i));
    assert_null(vm_sample_row(vm, SCOPE_DISK, SAMPLE_DEVICES_MAX));
    assert_non_null(vm_sample_row(vm, SCOPE_DISK, 0));
    assert_non_null(vm_sample_row(vm, SCOPE_NIC, 0)); /* of each kind */
    assert_int_equal(vm->disks->len, SAMPLE_DEVICES_MAX);
}

/* --- finding --- */

static void the_same_domain_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *what, *name, *uuid;
        gint64 id;
        const char *found; /* uuid of what sample_find gives, or NULL */
        bool same_run;
    } cases[] = {
        {"the same", "one-5", "u5", 50, "u5", true},
        {"restarted", "one-5", "u5", 51, "u5", false},
        {"renamed", "one-400", "u5", 50, "u5", true},
        {"renamed and restarted", "one-400", "u5", 51, "u5", false},
        {"its name taken by another", "one-5", "other", 50, NULL, false},
        {"swapped names", "one-5", "u9", 90, "u9", true},
        {"found by name, its uuid is unknown", "one-5", NULL, 50, "u5", true},
        {"never seen", "one-6", "u6", 60, NULL, false},
        {"never seen, unknown uuid", "one-6", NULL, 60, NULL, false},
        {"first of all", "one-0", "u0", 1, "u0", true},
        {"last of all", "one-1000", "u1000", 2, "u1000", true},
        {"below all", "one-0", "u77", 1, NULL, false},
    };
    g_autoptr(Sample) sample = sample_new();
    add_vm(sample, "one-1000", "u1000", 2);
    add_vm(sample, "one-5", "u5", 50);
    add_vm(sample, "one-0", "u0", 1);
    add_vm(sample, "one-9", "u9", 90);
    sample_sort(sample);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VmSample) vm = vm_sample_new(cases[i].name);
        vm->uuid = g_strdup(cases[i].uuid);
        vm->domain_id = cases[i].id;
        const VmSample *found = sample_find(sample, vm), *run = sample_find_run(sample, vm);
        CHECK_TEXT(found ? found->uuid : NULL, cases[i].found, cases[i].what);
        CHECK(run == (cases[i].same_run ? found : NULL), "%s", cases[i].what);
        assert_null(sample_find(NULL, vm));
        assert_null(sample_find_run(NULL, vm));
    }
}

/* A recording of virsh has no uuids: names are all there is. */
static void names_do_where_uuids_are_unknown(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    VmSample *plain = add_vm(sample, "one-5", NULL, -1);
    g_autoptr(VmSample) same = vm_sample_new("one-5"), other = vm_sample_new("one-50");
    same->uuid = g_strdup("u5");
    assert_ptr_equal(sample_find(sample, same), plain);
    assert_ptr_equal(sample_find_run(sample, same), plain);
    assert_null(sample_find(sample, other));
}

static void all_of_many_are_found(void **state)
{
    (void)state;
    g_autoptr(GRand) random = seeded_random();
    g_autoptr(Sample) sample = sample_new();
    for (guint i = 0; i < 500; i++) {
        g_autofree char *name = g_strdup_printf("one-%u", i * 7 % 501);
        g_autofree char *uuid = g_strdup_printf("u%u", i);
        add_vm(sample, name, uuid, g_rand_int_range(random, 1, 1000));
    }
    sample_sort(sample);
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        assert_ptr_equal(sample_find_run(sample, vm), vm);
    }
}

static void vms_are_sorted_by_id(void **state)
{
    (void)state;
    static const char *const names[] = {"one-100", "one-9", "one-0", "one-2147483647", "one-10", "one-99"};
    static const char *const sorted[] = {"one-0", "one-9", "one-10", "one-99", "one-100", "one-2147483647"};
    g_autoptr(Sample) sample = sample_new();
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        add_vm(sample, names[i], NULL, -1);
    sample_finish(sample, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(sorted); i++)
        assert_string_equal(((VmSample *)g_ptr_array_index(sample->vms, i))->name, sorted[i]);
    assert_true(row_u64(sample->row, METRIC_HOST_DOMAINS) == G_N_ELEMENTS(sorted));
}

/* --- sample_finish --- */

/* A VM that arrives by live migration exists on two hosts. Until it runs here, its source speaks for it. */
static void an_arriving_vm_is_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *what, *figures;
        bool before, ran_before;
        gint64 id_before;
        bool kept, ran;
    } cases[] = {
        {"arrives by migration", "state.state=3 state.reason=2", false, false, 7, false, false},
        {"starts up", "state.state=3 state.reason=11", false, false, 7, false, false},
        {"arrives, seen arriving before", "state.state=3 state.reason=2", true, false, 7, false, false},
        {"leaves by migration", "state.state=3 state.reason=2", true, true, 7, true, true},
        {"ran before, starting up", "state.state=3 state.reason=11", true, true, 7, true, true},
        {"another run of it ran", "state.state=3 state.reason=2", true, true, 6, false, false},
        {"paused by a user", "state.state=3 state.reason=1", false, false, 7, true, false},
        {"paused by a user after it ran", "state.state=3 state.reason=1", true, true, 7, true, true},
        {"I/O error", "state.state=3 state.reason=5", false, false, 7, true, false},
        {"saving", "state.state=3 state.reason=3", false, false, 7, true, false},
        {"paused, reason unknown", "state.state=3", false, false, 7, true, false},
        {"running", "state.state=1 state.reason=1", false, false, 7, true, true},
        {"running after migration", "state.state=1 state.reason=4", true, false, 7, true, true},
        {"blocked", "state.state=2 state.reason=2", false, false, 7, true, true},
        {"shutting down, reason 2", "state.state=4 state.reason=2", false, false, 7, true, true},
        {"state unknown (no answer)", "", false, false, 7, true, false},
        {"state unknown, ran before", "", true, true, 7, true, true},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Sample) previous = sample_new(), now = sample_new();
        if (cases[i].before)
            add_vm(previous, "one-83", "u83", cases[i].id_before)->ran = cases[i].ran_before;
        VmSample *neighbour = add_vm(now, "one-84", "u84", 8), *vm = add_vm(now, "one-83", "u83", 7);
        put_figures(vm, cases[i].figures);
        put_figures(neighbour, "state.state=1");
        sample_finish(now, previous);
        CHECK(now->vms->len == (cases[i].kept ? 2 : 1), "%s", cases[i].what);
        CHECK(row_u64(now->row, METRIC_HOST_DOMAINS) == now->vms->len, "%s", cases[i].what);
        assert_ptr_equal(g_ptr_array_index(now->vms, now->vms->len - 1), neighbour);
        if (cases[i].kept)
            CHECK(vm->ran == cases[i].ran, "%s", cases[i].what);
    }
}

static void a_recording_says_itself_that_a_vm_ran(void **state)
{
    (void)state;
    g_autoptr(Sample) now = sample_new();
    VmSample *vm = add_vm(now, "one-83", "u83", 7);
    put_figures(vm, "state.state=3 state.reason=2");
    vm->ran = true;
    sample_finish(now, NULL);
    assert_int_equal(now->vms->len, 1);
    assert_true(vm->ran);
}

static void a_held_vm_is_marked_locked(void **state)
{
    (void)state;
    static const struct {
        const char *what, *figures;
        guint64 locked;
    } cases[] = {
        {"all there", "balloon.current=1024 balloon.rss=900 block.count=1 block.0.name=vda block.0.rd.reqs=5", 0},
        {"answered under NOWAIT", "balloon.current=1024 block.count=1 block.0.name=vda net.0.name=n net.0.rx.bytes=1",
         1},
        {"without disks", "balloon.current=1024 block.count=0", 1},
        {"without disks, RSS there", "balloon.current=1024 balloon.rss=900 block.count=0", 0},
        {"RSS unknown, disks there", "balloon.current=1024 block.0.name=vda block.0.rd.reqs=0", 0},
        {"an empty CD-ROM beside a disk", "balloon.current=1024 block.0.name=hda block.1.name=vda block.1.rd.reqs=0",
         0},
        {"state alone (test driver)", "state.state=1 state.reason=1", 0},
        {"nothing", "", 0},
        {"said so by the collection", "domain.locked=1 balloon.rss=900", 1},
        {"said so by a recording", "domain.locked=0 balloon.current=1024", 0},
    };
    g_autoptr(Sample) sample = sample_new();
    guint64 locked = 0;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name = g_strdup_printf("one-%u", i);
        put_figures(add_vm(sample, name, NULL, -1), cases[i].figures);
        locked += cases[i].locked;
    }
    sample_finish(sample, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        CHECK(row_has(vm->row, METRIC_VM_LOCKED), "%s", cases[i].what);
        CHECK(row_u64(vm->row, METRIC_VM_LOCKED) == cases[i].locked, "%s", cases[i].what);
    }
    assert_true(row_u64(sample->row, METRIC_HOST_LOCKED) == locked);
}

/* libvirt names every layer of a backing chain alike; the active one comes first. */
static void of_a_backing_chain_the_active_layer_stays(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    VmSample *vm = add_vm(sample, "one-83", "u83", 7);
    put_figures(vm, "block.count=7 block.0.name=vda block.0.rd.reqs=10 block.1.name=vda block.1.rd.reqs=20 "
                    "block.2.name=vda block.2.rd.reqs=30 block.3.name=vdb block.3.rd.reqs=40 block.4.name=vda "
                    "block.5.name=vdb block.6.rd.reqs=50 block.7.rd.reqs=60");
    sample_finish(sample, NULL);
    static const struct {
        guint index;
        const char *name;
        guint64 reqs;
    } kept[] = {{0, "vda", 10}, {3, "vdb", 40}, {6, NULL, 50}, {7, NULL, 60}};
    assert_int_equal(vm->disks->len, G_N_ELEMENTS(kept));
    for (guint i = 0; i < G_N_ELEMENTS(kept); i++) {
        const MetricRow *row = g_ptr_array_index(vm->disks, i);
        assert_int_equal(row->index, kept[i].index);
        CHECK_TEXT(row_device_name(row), kept[i].name, "disk");
        assert_true(row_u64(row, METRIC_DISK_RD_REQS) == kept[i].reqs);
    }
}

static void an_empty_sample_is_a_sample(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    sample_finish(sample, NULL);
    assert_true(row_has(sample->row, METRIC_HOST_DOMAINS));
    assert_true(row_u64(sample->row, METRIC_HOST_DOMAINS) == 0);
    assert_true(row_has(sample->row, METRIC_HOST_LOCKED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_is_not_zero),
        cmocka_unit_test(presence_bits_are_independent),
        cmocka_unit_test(counters_are_exact),
        cmocka_unit_test(what_is_no_number_is_absent),
        cmocka_unit_test(texts_are_copied),
        cmocka_unit_test(wrong_scope_or_kind_aborts),
        cmocka_unit_test(only_whole_names_are_ours),
        cmocka_unit_test(a_new_vm_knows_nothing),
        cmocka_unit_test(device_rows_are_made_once),
        cmocka_unit_test(devices_have_a_ceiling),
        cmocka_unit_test(the_same_domain_is_found),
        cmocka_unit_test(names_do_where_uuids_are_unknown),
        cmocka_unit_test(all_of_many_are_found),
        cmocka_unit_test(vms_are_sorted_by_id),
        cmocka_unit_test(an_arriving_vm_is_left_out),
        cmocka_unit_test(a_recording_says_itself_that_a_vm_ran),
        cmocka_unit_test(a_held_vm_is_marked_locked),
        cmocka_unit_test(of_a_backing_chain_the_active_layer_stays),
        cmocka_unit_test(an_empty_sample_is_a_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
