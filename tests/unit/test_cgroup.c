/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/cgroup.h"
#include "fake_proc.h"
#include "gather_helpers.h"

#include <glib/gstdio.h>

#define PID 100
#define SCOPE "/machine.slice/machine-qemu\\x2d1\\x2done\\x2d83.scope"

static void check_cgroup(const char *root, const char *lines, const char *want)
{
    fake_process_file(root, PID, "cgroup", "%s", lines);
    g_autofree char *got = cgroup_of_domain(root, PID, root);
    CHECK_TEXT(got, want, lines);
}

static void version_2(void **state)
{
    check_cgroup(*state, "0::" SCOPE "/libvirt/emulator\n", "2:." SCOPE "/libvirt");
    check_cgroup(*state, "0::" SCOPE "/libvirt/vcpu3\n", "2:." SCOPE "/libvirt");
    check_cgroup(*state, "0::" SCOPE "/emulator", "2:." SCOPE);
    check_cgroup(*state, "0::" SCOPE "\n", "2:." SCOPE);
    check_cgroup(*state, "0::/machine/qemu-1-one-83.libvirt-qemu/emulator\n", "2:./machine/qemu-1-one-83.libvirt-qemu");
}

static void version_1(void **state)
{
    check_cgroup(*state, "12:devices:" SCOPE "/emulator\n4:cpu,cpuacct:" SCOPE "/emulator\n1:name=systemd:" SCOPE "\n",
                 "1:cpu,cpuacct" SCOPE);
    check_cgroup(*state, "4:cpuacct:/machine/one.libvirt-qemu/emulator\n", "1:cpuacct/machine/one.libvirt-qemu");
    check_cgroup(*state, "4:cpuacct2:" SCOPE "\n", NULL);
    check_cgroup(*state, "4:cpu:" SCOPE "\n5:cpuset:" SCOPE "\n", NULL);
}

/* Version 1's controllers with version 2 beside them. */
static void both(void **state)
{
    g_autofree char *unified = g_build_filename(*state, "unified", NULL);
    g_mkdir(unified, 0700);
    check_cgroup(*state, "4:cpu,cpuacct:" SCOPE "/emulator\n0::" SCOPE "\n", "1:cpu,cpuacct" SCOPE);
    check_cgroup(*state, "0::" SCOPE "\n4:cpu,cpuacct:" SCOPE "/emulator\n", "1:cpu,cpuacct" SCOPE);
    check_cgroup(*state, "4:devices:" SCOPE "\n0::" SCOPE "/libvirt/emulator\n", "2:unified" SCOPE "/libvirt");
}

static void no_cgroup_of_a_domain(void **state)
{
    static const char *const lines[] = {
        "",
        "\n\n",
        "0::/\n",
        "0::/system.slice/libvirtd.service\n",
        "0::/user.slice/user-9869.slice\n",
        "4:cpu,cpuacct:/\n0::/\n",
        "0:" SCOPE,
        "0::machine-qemu",                   /* no path */
        "0::/machine qemu/machine-qemu-1\n", /* what can't be kept as one word */
        "garbage",
        ":::::",
    };
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++)
        check_cgroup(*state, lines[i], NULL);
    g_autofree char *file = cgroup_of_domain(*state, 101, *state);
    assert_null(file);
}

/* NULL: not readable. */
static void check_times(const char *root, const char *what, const char *cgroup, const char *want)
{
    guint64 time = 1, user = 2, system = 3;
    const bool good = cgroup_cpu(root, cgroup, &time, &user, &system);
    g_autofree char *got =
        g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, time, user, system);
    CHECK(good == (want != NULL), "%s: %s", what, got);
    CHECK_TEXT(got, want ? want : "1 2 3", what);
}

static void times_of_version_2(void **state)
{
    check_times(*state, "no file", "2:./x", NULL);
    fake_file(*state, "x/cpu.stat", "usage_usec 900\nuser_usec 500\nsystem_usec 400\nnr_periods 0\n", -1);
    check_times(*state, "all", "2:./x", "900000 500000 400000");
    fake_file(*state, "x/cpu.stat", "nr_periods 0\nsystem_usec 4\nuser_usec 5\nusage_usec 9\n", -1);
    check_times(*state, "in any order", "2:./x", "9000 5000 4000");
    static const char *const damaged[] = {"", "usage_usec 900\nuser_usec 500\n", "usage_usec900\nuser_usec5\n",
                                          "xusage_usec 1\nuser_usec 1\nsystem_usec 1\n"};
    for (guint i = 0; i < G_N_ELEMENTS(damaged); i++) {
        fake_file(*state, "x/cpu.stat", damaged[i], -1);
        check_times(*state, damaged[i], "2:./x", NULL);
    }
}

static void times_of_version_1(void **state)
{
    check_times(*state, "no file", "1:cpu,cpuacct/x", NULL);
    fake_file(*state, "cpu,cpuacct/x/cpuacct.usage", "900123\n", -1);
    check_times(*state, "half of it", "1:cpu,cpuacct/x", NULL);
    fake_file(*state, "cpu,cpuacct/x/cpuacct.stat", "user 7\nsystem 2\n", -1);
    check_times(*state, "all", "1:cpu,cpuacct/x", "900123 70000000 20000000");
    fake_file(*state, "cpu,cpuacct/x/cpuacct.usage", "x\n", -1);
    check_times(*state, "no number", "1:cpu,cpuacct/x", NULL);
    fake_file(*state, "cpu,cpuacct/x/cpuacct.usage", "5", -1);
    fake_file(*state, "cpu,cpuacct/x/cpuacct.stat", "user 7\n", -1);
    check_times(*state, "no system time", "1:cpu,cpuacct/x", NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_directory, tear_down_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(version_2),          TEST(version_1),          TEST(both), TEST(no_cgroup_of_a_domain),
        TEST(times_of_version_2), TEST(times_of_version_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
