/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as the files of a QEMU in /proc, its network devices' too, and of its cgroup, and as what the sample before
 * said of its process. The first line says which: the text; the rest are files, each behind a line with its number.
 * What was served is a whole answer, and what is kept of the process leads to the same one again. */
#include "gather/netdev.h"
#include "gather/processes.h"

#include <glib/gstdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UUID "34190a2e-2b0a-44dd-b068-68ec02034b5f"
#define SCOPE "/machine.slice/machine-qemu.scope"
#define NIC "one-83-0"
#define GOOD_STAT "100 (qemu) S 1 1 1 0 -1 0 0 0 0 0 30 12 0 0 20 0 7 0 555 0 10\n"

/* Of the tree, in the order of their numbers, with what is in them where the input says nothing. */
static const struct {
    const char *name, *content;
} files[] = {
    {"100/stat", GOOD_STAT},
    {"100/task/101/schedstat", "1001 102 5\n"},
    {"100/task/101/sched", "CPU 0/KVM (101)\nse.wait_sum : 1.5\n"},
    {"100/task/101/comm", "CPU 0/KVM\n"},
    {"100/cgroup", "0::" SCOPE "/libvirt/emulator\n"},
    {"cgroup/" SCOPE "/libvirt/cpu.stat", "usage_usec 9\nuser_usec 5\nsystem_usec 4\n"},
    {"cgroup/cpuacct" SCOPE "/cpuacct.usage", "900\n"},
    {"cgroup/cpuacct" SCOPE "/cpuacct.stat", "user 7\nsystem 2\n"},
    {"run/one-83.pid", "100\n"},
    {"100/cmdline", "qemu\0-uuid\0" UUID},
    {"100/net/dev", " face |bytes\n" NIC ": 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"},
};

static char *root;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(guint i, const char *content, gsize length)
{
    g_autofree char *path = g_build_filename(root, files[i].name, NULL);
    FILE *file = g_fopen(path, "we");
    g_assert_nonnull(file);
    g_assert_cmpuint(fwrite(content, 1, length, file), ==, length);
    g_assert_cmpint(fclose(file), ==, 0);
}

static void put_usual(guint i)
{
    put(i, files[i].content, strcmp(files[i].name, "100/cmdline") == 0 ? 11 + strlen(UUID) : strlen(files[i].content));
}

static void remove_all(void)
{
    static const char *const directories[] = {
        "100/task/101",
        "100/task",
        "100/net",
        "100",
        "cgroup/cpuacct" SCOPE,
        "cgroup/cpuacct/machine.slice",
        "cgroup/cpuacct",
        "cgroup" SCOPE "/libvirt",
        "cgroup" SCOPE,
        "cgroup/machine.slice",
        "cgroup",
        "run",
        "",
    };
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(root, files[i].name, NULL);
        g_remove(path);
    }
    for (guint i = 0; i < G_N_ELEMENTS(directories); i++) {
        g_autofree char *path = g_build_filename(root, directories[i], NULL);
        g_rmdir(path);
    }
}

static void make_tree(void)
{
    g_autofree char *shm = g_strdup("/dev/shm/one-telemetry-fuzz-XXXXXX");
    root = g_mkdtemp(shm) ? g_steal_pointer(&shm) : g_dir_make_tmp("one-telemetry-fuzz-XXXXXX", NULL);
    g_assert_nonnull(root);
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(root, files[i].name, NULL), *directory = g_path_get_dirname(path);
        g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
    }
    atexit(remove_all);
}

/* "N\n" and its content, up to a NUL twice, which no such file has; the command line has single ones. */
static void put_input(const uint8_t *data, size_t size)
{
    for (guint i = 0; i < G_N_ELEMENTS(files); i++)
        put_usual(i);
    const uint8_t *end = data + size;
    while (data < end && *data >= '0' && *data < '0' + G_N_ELEMENTS(files)) {
        const guint i = *data++ - '0';
        const uint8_t *stop = memmem(data, (size_t)(end - data), "\0\0", 2);
        if (!stop)
            stop = end;
        put(i, (const char *)data, (gsize)(stop - data));
        data = MIN(stop + 2, end);
    }
}

static VmSample *read_once(const char *known, bool thorough, bool *ret_found)
{
    g_autofree char *cgroup = g_build_filename(root, "cgroup", NULL), *run = g_build_filename(root, "run", NULL);
    g_autoptr(Processes) processes = processes_new(root, cgroup);
    VmSample *vm = vm_sample_new("one-83");
    vm->uuid = g_strdup(UUID);
    *ret_found = processes_read(processes, run, vm, known, thorough);
    return vm;
}

static void assert_whole(const VmSample *vm, bool found)
{
    static const Metric metrics[] = {METRIC_VM_CPU_TIME, METRIC_VM_CPU_USER, METRIC_VM_CPU_SYSTEM,
                                     METRIC_VM_MEMORY_RSS};
    for (guint i = 0; i < G_N_ELEMENTS(metrics); i++)
        g_assert_true(row_has(vm->row, metrics[i]) == found);
    g_assert_true((vm->vcpus->len > 0) == found);
    g_assert_true((processes_pid(vm->process) != 0) == found);
    g_assert_nonnull(vm->process);
    for (guint i = 0; i < vm->vcpus->len; i++) {
        const MetricRow *row = g_ptr_array_index(vm->vcpus, i);
        g_assert_true(row_has(row, METRIC_VCPU_TIME) && row_has(row, METRIC_VCPU_DELAY));
    }
}

/* Of a NIC all counters or none, and none that would take another place in the line. */
static void read_nic(void)
{
    g_autoptr(Netdevs) netdevs = netdevs_new(root);
    g_autoptr(GArray) nics = g_array_new(FALSE, TRUE, sizeof(NetdevNic));
    const NetdevNic nic = {.index = 3, .name = NIC};
    g_array_append_val(nics, nic);
    g_autoptr(VmSample) vm = vm_sample_new("one-83");
    const bool found = netdevs_file(netdevs, 100, nics, vm);
    g_assert_cmpuint(vm->nics->len, ==, found);
    g_assert_true((vm->served[GROUP_NET] == SERVED_PROC) == found);
    for (Metric m = METRIC_NIC_RX_BYTES; found && m <= METRIC_NIC_TX_DROPS; m++)
        g_assert_true(row_has(g_ptr_array_index(vm->nics, 0), m));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!root)
        make_tree();
    const uint8_t *line = memchr(data, '\n', size);
    const size_t length = line ? (size_t)(line - data) : 0;
    g_autofree char *known = length ? g_strndup((const char *)data, length) : NULL;
    put_input(line ? line + 1 : data, line ? size - length - 1 : size);
    read_nic();
    for (guint thorough = 0; thorough < 2; thorough++) {
        bool found, again;
        g_autoptr(VmSample) vm = read_once(known, thorough, &found);
        assert_whole(vm, found);
        g_autoptr(VmSample) next = read_once(vm->process, false, &again);
        assert_whole(next, again);
        g_assert_true(again == found);
        g_assert_cmpstr(next->process, ==, vm->process);
        g_assert_true(row_u64(next->row, METRIC_VM_CPU_TIME) == row_u64(vm->row, METRIC_VM_CPU_TIME));
    }
    return 0;
}
