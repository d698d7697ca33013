/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/proc.h"
#include "fake_proc.h"
#include "gather_helpers.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define UUID_83 "34190a2e-2b0a-44dd-b068-68ec02034b5f"
#define UUID_84 "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
#define SWAPPING "MemTotal:  2048 kB\nSwapCached:    0 kB\nSwapTotal:    2097148 kB\nSwapFree:     1048576 kB\n"
#define IDLE "MemTotal:  2048 kB\nSwapTotal:    2097148 kB\nSwapFree:     2097148 kB\n"

/* --- a /proc of our own --- */

/* Arguments stand with a | between them. */
static void put_process(const char *proc, const char *pid, const char *arguments, const char *status)
{
    g_autofree char *line = g_strdup(arguments);
    gsize length = strlen(line);
    g_strdelimit(line, "|", '\0');
    g_autofree char *cmdline = g_build_filename(pid, "cmdline", NULL), *file = g_build_filename(pid, "status", NULL);
    fake_file(proc, cmdline, line, (gssize)length + 1);
    if (status)
        fake_file(proc, file, status, -1);
}

static Sample *two_vms(void)
{
    Sample *sample = sample_new();
    add_vm(sample, "one-83", UUID_83, 7);
    add_vm(sample, "one-84", UUID_84, 8);
    return sample;
}

/* "-" absent, else KiB. */
static void check_swap(const char *what, const Sample *sample, guint i, const char *want)
{
    const VmSample *vm = g_ptr_array_index(sample->vms, i);
    g_autofree char *got = row_has(vm->row, METRIC_VM_MEMORY_SWAPPED)
                               ? g_strdup_printf("%" G_GUINT64_FORMAT, row_u64(vm->row, METRIC_VM_MEMORY_SWAPPED))
                               : g_strdup("-");
    CHECK_TEXT(got, want, what);
}

static void run(const char *what, const char *proc, const char *want_83, const char *want_84)
{
    g_autoptr(Sample) sample = two_vms();
    proc_add_swap(sample, proc);
    check_swap(what, sample, 0, want_83);
    check_swap(what, sample, 1, want_84);
}

#define STATUS_OF(kib) "Name:\tqemu-kvm\nVmRSS:\t  41620 kB\nVmSwap:\t " kib " kB\nThreads:\t4\n"
#define QEMU_83 "/usr/bin/qemu-kvm-one|-name|guest=one-83|-uuid|" UUID_83 "|-no-user-config"
#define QEMU_84 "/usr/bin/qemu-kvm-one|-name|guest=one-84|-uuid|" UUID_84 "|-no-user-config"

/* --- tests --- */

static void a_host_that_swaps_nothing_is_one_look(void **state)
{
    fake_file(*state, "meminfo", IDLE, -1);
    run("no processes at all", *state, "0", "0");
    put_process(*state, "100", QEMU_83, STATUS_OF("999")); /* would be found if it were looked for */
    run("not looked for", *state, "0", "0");
    fake_file(*state, "meminfo", "SwapTotal:       0 kB\nSwapFree:        0 kB\n", -1);
    run("a host without swap", *state, "0", "0");
}

static void swap_is_found_by_uuid(void **state)
{
    fake_file(*state, "meminfo", SWAPPING, -1);
    put_process(*state, "1", "/sbin/init", STATUS_OF("5"));
    put_process(*state, "4711", QEMU_84, STATUS_OF("0"));
    put_process(*state, "100", QEMU_83, STATUS_OF("18446744073709551615"));
    run("both", *state, "18446744073709551615", "0");
}

static void what_is_not_found_is_absent(void **state)
{
    fake_file(*state, "meminfo", SWAPPING, -1);
    run("an empty /proc", *state, "-", "-");
    put_process(*state, "100", QEMU_83, STATUS_OF("7"));
    run("one of two", *state, "7", "-");

    g_autoptr(Sample) sample = two_vms();
    VmSample *vm = g_ptr_array_index(sample->vms, 0);
    g_clear_pointer(&vm->uuid, g_free); /* a recording of virsh */
    proc_add_swap(sample, *state);
    check_swap("uuid unknown", sample, 0, "-");
}

static void what_is_not_readable_is_absent(void **state)
{
    static const struct {
        const char *what, *status, *want;
    } cases[] = {
        {"no status: it has just ended", NULL, "-"},
        {"an empty one", "", "-"},
        {"a kernel without swap", "Name:\tqemu-kvm\nVmRSS:\t 1 kB\n", "-"},
        {"a label that only begins so", "VmSwapped:\t9 kB\nXVmSwap:\t8 kB\n", "-"},
        {"the label inside a line", "Name:\tVmSwap: 9 kB\n", "-"},
        {"at the very beginning", "VmSwap:\t9 kB\n", "9"},
        {"at the very end", "Name:\tx\nVmSwap:\t9 kB", "9"},
    };
    fake_file(*state, "meminfo", SWAPPING, -1);
    put_process(*state, "200", QEMU_84, STATUS_OF("6"));
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *process = g_build_filename(*state, "100", NULL);
        remove_tree(process);
        put_process(*state, "100", QEMU_83, cases[i].status);
        run(cases[i].what, *state, cases[i].want, "6"); /* the neighbour stays known */
    }
    g_autofree char *status = g_build_filename(*state, "100", "status", NULL);
    g_remove(status);
    g_mkdir(status, 0700);
    run("a directory", *state, "-", "6");
    if (geteuid() != 0) {
        g_autofree char *other = g_build_filename(*state, "200", "status", NULL);
        g_chmod(other, 0);
        run("not permitted", *state, "-", "-");
    }
}

/* Only the argument behind -uuid says whose process it is. */
static void a_uuid_elsewhere_is_not_taken(void **state)
{
    static const char *const others[] = {
        "/usr/bin/editor|/etc/libvirt/qemu/" UUID_83 ".xml",
        "/usr/bin/grep|" UUID_83,
        "/usr/bin/qemu|-smbios|type=1,uuid=" UUID_83,
        "/usr/bin/qemu|-uuid=" UUID_83,
        "/usr/bin/qemu|-uuid " UUID_83,
        "/usr/bin/qemu|--uuid|" UUID_83,
        "/usr/bin/qemu|-uuid|" UUID_83 "0",
        "/usr/bin/qemu|" UUID_83 "|-uuid",
        "-uuid",
        "",
    };
    fake_file(*state, "meminfo", SWAPPING, -1);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        put_process(*state, "100", others[i], STATUS_OF("9"));
        run(others[i], *state, "-", "-");
    }
    put_process(*state, "100", "/usr/bin/qemu|-smbios|uuid=" UUID_84 "|-uuid|" UUID_83, STATUS_OF("9"));
    run("two on one line", *state, "9", "-");
}

static void command_lines_may_be_odd(void **state)
{
    fake_file(*state, "meminfo", SWAPPING, -1);
    fake_file(*state, "100/cmdline", "", 0);                      /* a kernel thread */
    fake_file(*state, "self/cmdline", "-uuid\0" UUID_83, 6 + 36); /* no number: not looked at */
    fake_file(*state, "self/status", STATUS_OF("5"), -1);
    fake_file(*state, "300/cmdline", "-uuid\0" UUID_84, 6 + 36); /* no NUL at its end */
    fake_file(*state, "300/status", STATUS_OF("6"), -1);
    fake_file(*state, "400", "a file where a directory should be", -1);
    run("odd", *state, "-", "6");

    GString *huge = g_string_new("/usr/bin/qemu|-uuid|" UUID_83);
    for (guint i = 0; i < 50000; i++)
        g_string_append(huge, "|-device");
    put_process(*state, "100", huge->str, STATUS_OF("7"));
    g_string_free(huge, TRUE);
    run("longer than the buffer", *state, "7", "6");
}

static void meminfo_may_be_missing(void **state)
{
    static const char *const contents[] = {NULL, "", "garbage", "SwapTotal: 5 kB\n", "SwapFree: 5 kB\n"};
    put_process(*state, "100", QEMU_83, STATUS_OF("7"));
    for (guint i = 0; i < G_N_ELEMENTS(contents); i++) {
        if (contents[i])
            fake_file(*state, "meminfo", contents[i], -1);
        run("nothing to tell by", *state, "7", "-"); /* so every process is looked at */
    }
    run("no /proc", "/nonexistent", "-", "-");
}

/* Nobody can tell whose it is. */
static void a_uuid_of_two_processes_is_not_taken(void **state)
{
    fake_file(*state, "meminfo", SWAPPING, -1);
    put_process(*state, "100", QEMU_83, STATUS_OF("7"));
    put_process(*state, "101", QEMU_83, STATUS_OF("8"));
    put_process(*state, "102", QEMU_83, STATUS_OF("9"));
    put_process(*state, "200", QEMU_84, STATUS_OF("6"));
    run("two, and three", *state, "-", "6");
    g_autoptr(Sample) sample = two_vms();
    VmSample *vm = g_ptr_array_index(sample->vms, 0);
    vm->process = g_strdup("101 5 - 0:101"); /* it was found otherwise */
    proc_add_swap(sample, *state);
    check_swap("known", sample, 0, "8");
}

static void only_this_machines_qemu_is_served(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        bool served;
    } cases[] = {
        {"qemu:///system", true},
        {"qemu:///session", true},
        {"qemu+unix:///system", true},
        {"qemu+unix:///system?socket=/x/y", true},
        {"qemu+ssh://root@other/system", false},
        {"qemu+tls://other/system", false},
        {"qemu://other/system", false},
        {"qemu+ssh://other//x", false},
        {"test:///default", false},
        {"xen:///system", false},
        {"lxc:///", false},
        {"qemu", false},
        {"qemu:", false},
        {"qemu://", false},
        {"", false},
        {"://", false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        CHECK(proc_serves_uri(cases[i].uri) == cases[i].served, "%s", cases[i].uri);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_directory, tear_down_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_host_that_swaps_nothing_is_one_look),
        TEST(swap_is_found_by_uuid),
        TEST(what_is_not_found_is_absent),
        TEST(what_is_not_readable_is_absent),
        TEST(a_uuid_elsewhere_is_not_taken),
        TEST(a_uuid_of_two_processes_is_not_taken),
        TEST(command_lines_may_be_odd),
        TEST(meminfo_may_be_missing),
        cmocka_unit_test(only_this_machines_qemu_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
