/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/processes.h"
#include "fake_proc.h"
#include "gather_helpers.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define UUID "34190a2e-2b0a-44dd-b068-68ec02034b5f"
#define OTHER "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
#define PID 4711
#define TICK 10000000 /* ns; sysconf(_SC_CLK_TCK) is 100 on every Linux that libvirt runs on */

static int set_up(void **state)
{
    assert_int_equal(sysconf(_SC_CLK_TCK), 100);
    return set_up_directory(state);
}

/* A guest with two vCPUs, and threads that are none. */
static void have_qemu(const char *root)
{
    fake_qemu(root, &(FakeQemu){.pid = PID, .uuid = UUID, .start = 555, .user = 30, .system = 12, .rss = 10});
    fake_thread(root, PID, 4711, "qemu-system-x86", 9, 9);
    fake_thread(root, PID, 4713, "CPU 1/KVM", 2001, 202);
    fake_thread(root, PID, 4712, "CPU 0/KVM", 1001, 102);
    fake_thread(root, PID, 4714, "worker", 9, 9);
    fake_wait(root, PID, 4712, "se.statistics.wait_sum", "12.345678");
    fake_wait(root, PID, 4713, "wait_sum", "99.0");
}

/* --- what is read --- */

typedef struct {
    VmSample *vm;
    bool found;
} Reading;

static Reading read_by(Processes *processes, const char *run_dir, const char *known, bool thorough)
{
    Reading reading = {.vm = vm_sample_new("one-83")};
    reading.vm->uuid = g_strdup(UUID);
    reading.found = processes_read(processes, run_dir, reading.vm, known, thorough);
    return reading;
}

static Processes *processes_of(const char *root)
{
    g_autofree char *cgroup = g_build_filename(root, "cgroup", NULL);
    return processes_new(root, cgroup);
}

static Reading read_once(const char *root, const char *known, bool thorough)
{
    g_autoptr(Processes) processes = processes_of(root);
    return read_by(processes, NULL, known, thorough);
}

/* "cpu user system rss; vcpu: time delay wait; …", "-" absent. Owned by the caller. */
static char *figures_of(const VmSample *vm)
{
    static const Metric metrics[] = {METRIC_VM_CPU_TIME, METRIC_VM_CPU_USER, METRIC_VM_CPU_SYSTEM,
                                     METRIC_VM_MEMORY_RSS};
    static const Metric of_vcpu[] = {METRIC_VCPU_TIME, METRIC_VCPU_DELAY, METRIC_VCPU_WAIT};
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(metrics); i++)
        if (row_has(vm->row, metrics[i]))
            g_string_append_printf(text, "%" G_GUINT64_FORMAT " ", row_u64(vm->row, metrics[i]));
        else
            g_string_append(text, "- ");
    for (guint v = 0; v < vm->vcpus->len; v++) {
        const MetricRow *row = g_ptr_array_index(vm->vcpus, v);
        g_string_append_printf(text, "; %u:", row->index);
        for (guint i = 0; i < G_N_ELEMENTS(of_vcpu); i++)
            if (row_has(row, of_vcpu[i]))
                g_string_append_printf(text, " %" G_GUINT64_FORMAT, row_u64(row, of_vcpu[i]));
            else
                g_string_append(text, " -");
    }
    return g_string_free(text, FALSE);
}

/* NULL: not found, and nothing is filed. */
static void check(const char *what, Reading reading, const char *want, const char *process)
{
    g_autoptr(VmSample) vm = reading.vm;
    g_autofree char *got = figures_of(vm);
    CHECK(reading.found == (want != NULL), "%s: %s", what, got);
    CHECK_TEXT(got, want ? want : "- - - - ", what);
    CHECK_TEXT(vm->process, process, what);
    CHECK(vm->served[GROUP_KERNEL] == (want ? SERVED_PROC : SERVED_NOT), "%s", what);
    CHECK((vm->group_ns[GROUP_KERNEL] > 0) == (want != NULL), "%s", what);
}

#define AT "4711 555 - 0:4712 1:4713"
#define TIMES "420000000 300000000 120000000 40 "
#define FOUND TIMES "; 0: 1001 102 12345678; 1: 2001 202 0"
#define FOUND_AGAIN TIMES "; 0: 1001 102 -; 1: 2001 202 -"

static void a_qemu_is_found_by_its_uuid(void **state)
{
    fake_qemu(*state, &(FakeQemu){.pid = 1, .start = 1});
    fake_qemu(*state, &(FakeQemu){.pid = 4000, .uuid = OTHER, .start = 2});
    have_qemu(*state);
    check("found", read_once(*state, NULL, true), FOUND, AT);
    check("not thorough: without what is dear", read_once(*state, NULL, false), FOUND_AGAIN, AT);
}

static void a_known_qemu_is_not_looked_for(void **state)
{
    have_qemu(*state);
    fake_remove(*state, "4711/cmdline");
    check("known", read_once(*state, AT, false), FOUND_AGAIN, AT);
    check("known, thorough", read_once(*state, AT, true), FOUND, AT);
    check("nobody knows it", read_once(*state, NULL, true), NULL, "none");
}

static void a_pid_that_another_process_has_now_is_looked_for_anew(void **state)
{
    have_qemu(*state);
    fake_qemu(*state, &(FakeQemu){.pid = 5000, .start = 700, .user = 9}); /* no QEMU */
    fake_thread(*state, 5000, 5001, "CPU 0/KVM", 9, 9);
    check("the pid has gone to another", read_once(*state, "5000 555 - 0:5001", false), FOUND_AGAIN, AT);
    check("the pid is gone", read_once(*state, "6000 555 - 0:6001", false), FOUND_AGAIN, AT);

    fake_remove(*state, "4711/cmdline");
    check("gone for good", read_once(*state, "5000 555 - 0:5001", false), NULL, "none");
    fake_remove(*state, "4711");
    check("gone", read_once(*state, AT, false), NULL, "none");
}

/* --- libvirt's own word --- */

static void libvirts_pid_file_says_which(void **state)
{
    g_autofree char *run_dir = g_build_filename(*state, "run", NULL);
    have_qemu(*state);
    fake_qemu(*state, &(FakeQemu){.pid = 9000, .uuid = UUID, .start = 777}); /* another libvirtd's of the same uuid */
    fake_thread(*state, 9000, 9001, "CPU 0/KVM", 8, 8);
    g_autoptr(Processes) processes = processes_of(*state);
    check("two of one uuid: nobody can tell", read_by(processes, NULL, NULL, true), NULL, "none");
    check("no file", read_by(processes, run_dir, NULL, true), NULL, "none");
    static const char *const others[] = {"", "garbage", "0", "-5", "4000", "99999999999999999999999999"};
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        fake_file(run_dir, "one-83.pid", others[i], -1);
        check(others[i], read_by(processes, run_dir, NULL, true), NULL, "none");
    }
    fake_file(run_dir, "one-83.pid", "4711\n", -1);
    check("it says", read_by(processes, run_dir, NULL, true), FOUND, AT);
    fake_remove(*state, "9000");
    fake_qemu(*state, &(FakeQemu){.pid = 4000, .uuid = OTHER, .start = 2});
    fake_file(run_dir, "one-83.pid", "4000", -1);
    g_autoptr(Processes) afresh = processes_of(*state);
    check("one that is not to be seen as ours", read_by(afresh, run_dir, NULL, true), NULL, "none");
    fake_file(run_dir, "one-83.pid", "garbage", -1);
    check("it says nothing: there is one of that uuid", read_by(afresh, run_dir, NULL, true), FOUND, AT);
}

/* --- what is not found --- */

static void what_was_not_found_is_remembered(void **state)
{
    check("no process", read_once(*state, NULL, true), NULL, "none");
    have_qemu(*state);
    check("remembered", read_once(*state, "none", false), NULL, "none");
    check("looked for again", read_once(*state, "none", true), FOUND, AT);
}

/* The command lines are read once for all VMs. */
static void processes_are_listed_once(void **state)
{
    g_autoptr(Processes) processes = processes_of(*state);
    check("no process", read_by(processes, NULL, NULL, true), NULL, "none");
    have_qemu(*state);
    check("it came too late for these", read_by(processes, NULL, NULL, true), NULL, "none");
    check("and is found by the next", read_once(*state, NULL, true), FOUND, AT);
}

static void a_uuid_alone_makes_no_guest(void **state)
{
    fake_qemu(*state, &(FakeQemu){.pid = PID, .uuid = UUID, .start = 555, .user = 30});
    check("no threads at all", read_once(*state, NULL, true), NULL, "none");
    static const char *const names[] = {"qemu",       "CPU",       "CPU ",         "CPU x/KVM",
                                        "CPU -1/KVM", "CPU 0",     "CPU 4096/KVM", "CPU 99999999999999999999/KVM",
                                        "cpu 0/KVM",  " CPU 0/KVM"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        fake_thread(*state, PID, 4712, names[i], 5, 5);
        check(names[i], read_once(*state, NULL, true), NULL, "none");
    }
    fake_thread(*state, PID, 4712, "CPU 4095/TCG", 5, 6);
    check("the last there may be", read_once(*state, NULL, false), "300000000 300000000 0 0 ; 4095: 5 6 -",
          "4711 555 - 4095:4712");
    Reading unknown = {.vm = vm_sample_new("one-83")}; /* virsh's recordings say no uuid */
    g_autoptr(Processes) processes = processes_of(*state);
    unknown.found = processes_read(processes, NULL, unknown.vm, NULL, true);
    check("uuid unknown", unknown, NULL, "none");
}

/* --- hostile and damaged files --- */

static void names_may_be_anything(void **state)
{
    static const char *const names[] = {"qemu) S 1 2 3", "((((",    "))))", "a b c", ") R 1 1 1 1 1 1 1 1 1 1 7 7", "",
                                        "new\nline)",    "\xff\xfe"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        have_qemu(*state);
        fake_qemu(*state, &(FakeQemu){.pid = PID, .start = 555, .user = 30, .system = 12, .rss = 10, .name = names[i]});
        check(names[i], read_once(*state, AT, false), FOUND_AGAIN, AT);
    }
}

static void a_damaged_stat_says_nothing(void **state)
{
    static const char *const contents[] = {
        "",
        "4711",
        "4711 (qemu",
        "4711 (qemu)",
        "4711 (qemu) S 1 2 3 4 5 6 7 8 9 10 11 12",
        "4711 (qemu) S 1 1 1 0 -1 0 0 0 0 0 x 12 0 0 20 0 7 0 555 0 10",
        "4711 (qemu) S 1 1 1 0 -1 0 0 0 0 0 30 12 0 0 20 0 7 0 555 0", /* ends before rss */
        "4711 qemu S 1 1 1 0 -1 0 0 0 0 0 30 12 0 0 20 0 7 0 555 0 10",
    };
    have_qemu(*state);
    for (guint i = 0; i < G_N_ELEMENTS(contents); i++) {
        fake_process_file(*state, PID, "stat", "%s", contents[i]);
        check(contents[i], read_once(*state, AT, true), NULL, "none");
    }
}

static void a_damaged_schedstat_says_nothing(void **state)
{
    static const char *const contents[] = {"", "x", "1001", "1001 x", "\n"};
    for (guint i = 0; i < G_N_ELEMENTS(contents); i++) {
        have_qemu(*state);
        fake_process_file(*state, PID, "task/4713/schedstat", "%s", contents[i]);
        check(contents[i], read_once(*state, AT, true), NULL, "none");
    }
    have_qemu(*state);
    fake_process_file(*state, PID, "task/4713/schedstat", "2001 202"); /* a kernel that says no more */
    check("two numbers", read_once(*state, AT, true), FOUND, AT);
}

static void the_time_that_vcpus_waited(void **state)
{
    static const struct {
        const char *key, *ms, *want;
    } cases[] = {
        {"se.statistics.wait_sum", "12.345678", "12345678"},
        {"se.wait_sum", "0.000001", "1"},
        {"wait_sum", "5.0", "0"},
        {"xse.wait_sum", "5.0", "0"},
        {"se.wait_sum", "-5.0", "0"},
        {"se.wait_sum", "nan", "0"},
        {"se.wait_sum", "inf", "0"},
        {"se.wait_sum", "1e300", "0"},
        {"se.wait_sum", "", "0"},
        {"se.wait_max", "7.0", "0"},
    };
    have_qemu(*state);
    fake_remove(*state, "4711/task/4713");
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *what = g_strconcat(cases[i].key, " ", cases[i].ms, NULL);
        g_autofree char *want = g_strconcat(TIMES "; 0: 1001 102 ", cases[i].want, NULL);
        fake_wait(*state, PID, 4712, cases[i].key, cases[i].ms);
        check(what, read_once(*state, NULL, true), want, "4711 555 - 0:4712");
    }
    fake_remove(*state, "4711/task/4712/sched"); /* as libvirt: a kernel that keeps none */
    check("no such file", read_once(*state, NULL, true), TIMES "; 0: 1001 102 0", "4711 555 - 0:4712");
}

static void unreadable_files_say_nothing(void **state)
{
    static const char *const files[] = {"stat", "task/4712/schedstat"};
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        have_qemu(*state);
        g_autofree char *path = g_strdup_printf("%s/%u/%s", (const char *)*state, PID, files[i]);
        g_remove(path);
        g_mkdir(path, 0700); /* what root can't read neither */
        check(files[i], read_once(*state, AT, true), NULL, "none");
        g_rmdir(path);
    }
    check("no /proc at all", read_once("/nonexistent", AT, true), NULL, "none");
}

static void damaged_text_is_not_believed(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "4711",
        "4711 555",
        "4711 555 -",
        "4711 555 - ",
        "4711 555 - 0",
        "4711 555 - 0:",
        "4711 555 - x:4712",
        "4711 555 - 0:4712 1",
        "4711 555 - 0:0",
        "4711 555 - 4096:4712",
        "4711 555 - 0:4712  1:4713",
        "0 555 - 0:4712",
        "x 555 - 0:4712",
        "4711 556 - 0:4712",
        "4711 x - 0:4712",
        "None",
        "4711 555  0:4712",
        "4711 555 2 0:4712",
        "4711 555 3:x 0:4712",
        "4711\t555\t-\t0:4712",
    };
    have_qemu(*state);
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        check(texts[i], read_once(*state, texts[i], false), FOUND_AGAIN, AT);
    g_autofree char *path = g_build_filename(*state, "4711", "cmdline", NULL);
    g_remove(path);
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        check(texts[i], read_once(*state, texts[i], false), NULL, "none");
}

/* --- threads that come and go --- */

static void a_vcpu_that_was_unplugged_is_noticed(void **state)
{
    have_qemu(*state);
    fake_remove(*state, "4711/task/4713");
    check("unplugged", read_once(*state, AT, false), TIMES "; 0: 1001 102 -", "4711 555 - 0:4712");
}

static void a_vcpu_that_was_plugged_in_is_seen_when_thorough(void **state)
{
    have_qemu(*state);
    fake_thread(*state, PID, 4720, "CPU 2/KVM", 3001, 302);
    check("not yet", read_once(*state, AT, false), FOUND_AGAIN, AT);
    check("thorough", read_once(*state, AT, true), FOUND "; 2: 3001 302 0", "4711 555 - 0:4712 1:4713 2:4720");
}

static void a_thread_that_took_anothers_place(void **state)
{
    have_qemu(*state);
    fake_remove(*state, "4711/task/4712");
    fake_thread(*state, PID, 4730, "CPU 0/KVM", 7, 8);
    check("a new thread of vCPU 0", read_once(*state, AT, false), TIMES "; 0: 7 8 -; 1: 2001 202 -",
          "4711 555 - 0:4730 1:4713");
    fake_remove(*state, "4711/task");
    check("no thread is left", read_once(*state, AT, false), NULL, "none");
}

/* --- CPU time by the cgroup --- */

#define SCOPE "/machine.slice/machine-qemu\\x2d1\\x2done\\x2d83.scope"

static void where_libvirt_made_a_cgroup_the_cpu_time_is_its(void **state)
{
    have_qemu(*state);
    fake_process_file(*state, PID, "cgroup", "0::%s/libvirt/emulator\n", SCOPE);
    Reading without = read_once(*state, NULL, false);
    check("its files can't be read: by stat", without, FOUND_AGAIN, "4711 555 - 0:4712 1:4713");

    fake_file(*state, "cgroup/" SCOPE "/libvirt/cpu.stat", "usage_usec 900\nuser_usec 500\nsystem_usec 400\n", -1);
    g_autoptr(Processes) processes = processes_of(*state);
    Reading reading = read_by(processes, NULL, NULL, false);
    g_autoptr(VmSample) vm = reading.vm;
    g_autofree char *got = figures_of(vm);
    assert_true(reading.found);
    assert_string_equal(got, "900000 500000 400000 40 ; 0: 1001 102 -; 1: 2001 202 -");
    assert_int_equal(vm->served[GROUP_KERNEL], SERVED_CGROUP);

    fake_remove(*state, "4711/cgroup"); /* it is known where, as long as the process lives */
    Reading again = read_by(processes, NULL, vm->process, false);
    g_autoptr(VmSample) later = again.vm;
    assert_int_equal(row_u64(later->row, METRIC_VM_CPU_TIME), 900000);
    assert_string_equal(later->process, vm->process);

    fake_remove(*state, "cgroup/" SCOPE "/libvirt/cpu.stat"); /* by stat it would be another count: libvirt is asked */
    fake_process_file(*state, PID, "cgroup", "0::%s/libvirt/emulator\n", SCOPE);
    for (guint thorough = 0; thorough < 2; thorough++) {
        Reading lost = read_by(processes, NULL, vm->process, thorough);
        assert_false(lost.found);
        assert_false(row_has(lost.vm->row, METRIC_VM_CPU_TIME));
        vm_sample_free(lost.vm);
    }
}

static void the_pid_in_the_text(void **state)
{
    (void)state;
    assert_true(processes_pid(AT) == 4711);
    assert_true(processes_pid("none") == 0);
    assert_true(processes_pid(NULL) == 0);
    assert_true(processes_pid("") == 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_qemu_is_found_by_its_uuid),
        TEST(a_known_qemu_is_not_looked_for),
        TEST(a_pid_that_another_process_has_now_is_looked_for_anew),
        TEST(libvirts_pid_file_says_which),
        TEST(what_was_not_found_is_remembered),
        TEST(processes_are_listed_once),
        TEST(a_uuid_alone_makes_no_guest),
        TEST(names_may_be_anything),
        TEST(a_damaged_stat_says_nothing),
        TEST(a_damaged_schedstat_says_nothing),
        TEST(the_time_that_vcpus_waited),
        TEST(unreadable_files_say_nothing),
        TEST(damaged_text_is_not_believed),
        TEST(a_vcpu_that_was_unplugged_is_noticed),
        TEST(a_vcpu_that_was_plugged_in_is_seen_when_thorough),
        TEST(a_thread_that_took_anothers_place),
        TEST(where_libvirt_made_a_cgroup_the_cpu_time_is_its),
        TEST(the_pid_in_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
