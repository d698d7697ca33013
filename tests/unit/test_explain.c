/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/explain.h"
#include "gather_helpers.h"

#include <string.h>

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

/* A full sample, ten seconds after the one before. */
static Sample *two_vms(void)
{
    Sample *sample = sample_new();
    VmSample *vm = add_vm(sample, "one-83", "u83", 7);
    vm->boottime_ns = 100 * NS_PER_S;
    put_figures(vm, "state.state=1 domain.locked=0 vcpu.current=2 cpu.time=5000 balloon.rss=800 balloon.usable=512 "
                    "proc.swap=0 net.count=1 net.0.name=one-83-0 net.0.rx.bytes=7 vcpu.1.time=4000 vcpu.1.wait=4 "
                    "block.1.name=vda block.1.rd.reqs=6 block.1.capacity=8388608 one.name=web");
    vm->served[GROUP_STATE] = SERVED_BULK;
    vm->served[GROUP_SHAPE] = vm->served[GROUP_SLOW] = vm->served[GROUP_GUEST] = SERVED_EARLIER;
    vm->served[GROUP_KERNEL] = SERVED_PROC;
    vm->served[GROUP_NET] = SERVED_PROC;
    vm->served[GROUP_DISK] = SERVED_DISK;
    vm->group_ns[GROUP_NET] = 100 * NS_PER_S + NS_PER_S / 4;
    vm->group_ns[GROUP_KERNEL] = 100 * NS_PER_S + NS_PER_S / 2;
    vm->group_ns[GROUP_DISK] = 101 * NS_PER_S;
    vm->group_ns[GROUP_SLOW] = vm->group_ns[GROUP_GUEST] = 20 * NS_PER_S;
    row_set_real(vm->row, METRIC_VM_CPU_USAGE_PERCENT, 12.5);
    row_set_real(vm->row, METRIC_VM_DISK_RD_REQS_RATE, 3);
    VmSample *locked = add_vm(sample, "one-84", "u84", 8);
    put_figures(locked, "domain.locked=1");
    return sample;
}

#define HEAD "  figure                        value                       served by           age\n"

static void every_figure_has_a_line(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = two_vms();
    g_autoptr(GString) got = explain_write(sample, 102 * NS_PER_S);
    assert_string_equal(got->str,
                        "one-83\n" HEAD
                        "  state.state                   1                           libvirt, bulk call  2.00 s\n"
                        "  domain.locked                 0                           libvirt, bulk call  2.00 s\n"
                        "  vcpu.current                  2                           kept                2.00 s\n"
                        "  cpu.time                      5000 ns                     /proc               1.50 s\n"
                        "  cpu_usage_percent             12.5 %                      computed\n"
                        "  balloon.rss                   800 KiB                     /proc               1.50 s\n"
                        "  proc.swap                     0 KiB                       /proc               1.50 s\n"
                        "  balloon.usable                512 KiB                     kept                82.00 s\n"
                        "  net.count                     1                           kept                2.00 s\n"
                        "  disk_rd_req_per_sec           3.0 per s                   computed\n"
                        "  one.name                      web                         domain's XML\n"
                        "  vcpu.1.time                   4000 ns                     /proc               1.50 s\n"
                        "  vcpu.1.wait                   4 ns                        kept                82.00 s\n"
                        "  net.0.name                    one-83-0                    /proc               1.75 s\n"
                        "  net.0.rx.bytes                7 bytes                     /proc               1.75 s\n"
                        "  block.1.name                  vda                         kept                2.00 s\n"
                        "  block.1.rd.reqs               6                           libvirt, this disk  1.00 s\n"
                        "  block.1.capacity              8388608 bytes               kept                82.00 s\n"
                        "\n"
                        "one-84\n" HEAD "  domain.locked                 1                           not known\n"
                        "\n");
}

static const char *line_of(const GString *text, const char *figure)
{
    g_autofree char *begin = g_strdup_printf("\n  %s ", figure);
    const char *at = strstr(text->str, begin);
    CHECK(at, "%s", figure);
    return at + 1;
}

static void check_line(const GString *text, const char *figure, const char *end)
{
    const char *line = line_of(text, figure);
    g_autofree char *got = g_strndup(line, strcspn(line, "\n"));
    CHECK(g_str_has_suffix(got, end), "%s: %s", figure, got);
}

static void of_a_fast_sample_what_is_held_is_kept(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = two_vms();
    VmSample *vm = g_ptr_array_index(sample->vms, 0);
    vm->held = true;
    vm->served[GROUP_DISK] = SERVED_EARLIER;
    vm->served[GROUP_KERNEL] = SERVED_BULK;
    g_autoptr(GString) got = explain_write(sample, 102 * NS_PER_S);
    check_line(got, "block.1.rd.reqs", "  kept                1.00 s");
    check_line(got, "disk_rd_req_per_sec", " computed, kept");
    check_line(got, "cpu_usage_percent", " computed");
    check_line(got, "cpu.time", " libvirt, bulk call  1.50 s");
    check_line(got, "balloon.rss", " kept                82.00 s"); /* comes with the balloon's */
}

static void of_a_cgroup_is_the_cpu_time_alone(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = two_vms();
    VmSample *vm = g_ptr_array_index(sample->vms, 0);
    vm->served[GROUP_KERNEL] = SERVED_CGROUP;
    g_autoptr(GString) got = explain_write(sample, 99 * NS_PER_S); /* the clock of another boot */
    check_line(got, "cpu.time", " cgroup              0.00 s");
    check_line(got, "balloon.rss", " /proc               0.00 s");
    check_line(got, "vcpu.1.time", " /proc               0.00 s");
}

static void texts_may_hold_anything(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = sample_new();
    VmSample *vm = add_vm(sample, "one-83", "u83", 7);
    g_autofree char *many = g_strnfill(500, 'x');
    row_set_text(vm->row, METRIC_VM_VM_NAME, "a\nb\x1b[2J");
    row_set_text(vm->row, METRIC_VM_UNAME, many);
    g_autoptr(GString) got = explain_write(sample, 0);
    assert_null(strchr(got->str, '\x1b'));
    const char *line = line_of(got, "one.uname");
    assert_true(strcspn(line, "\n") < 120);
    g_auto(GStrv) lines = g_strsplit(got->str, "\n", -1);
    assert_int_equal(g_strv_length(lines), 6); /* two of head, two of figures, two empty ones */
}

static void whoever_serves_has_a_name(void **state)
{
    (void)state;
    for (guint i = 0; i < N_SERVED; i++)
        assert_true(*served_name((Served)i));
    g_autoptr(Sample) none = sample_new();
    g_autoptr(GString) got = explain_write(none, 0);
    assert_string_equal(got->str, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_figure_has_a_line),           cmocka_unit_test(of_a_fast_sample_what_is_held_is_kept),
        cmocka_unit_test(of_a_cgroup_is_the_cpu_time_alone), cmocka_unit_test(texts_may_hold_anything),
        cmocka_unit_test(whoever_serves_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
