/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/plan.h"
#include "gather_helpers.h"

#include <string.h>

#define NS_PER_S G_GINT64_CONSTANT(1000000000)
#define WALL (G_GINT64_CONSTANT(1700000000) * NS_PER_S)
#define SHAPE "0123456789abcdef"
#define REPORTING "0123456789abcdef+stats"
#define WITH_DISC "0123456789abcdef+stats+disk=vda"
#define DISC "block.0.name=vda block.0.rd.reqs=5 block.1.name=hda block.1.rd.reqs=7"
static char vda[] = "vda", one_shape[] = SHAPE, reporting[] = REPORTING;

/* --- what is known of a VM --- */

static VmSample *vm_in_words(const char *figures, const char *shape)
{
    VmSample *vm = vm_sample_new("one-83");
    vm->uuid = g_strdup("u83");
    vm->domain_id = 7;
    vm->boottime_ns = 1000 * NS_PER_S;
    vm->shape = g_strdup(shape);
    vm->group_ns[GROUP_SLOW] = 990 * NS_PER_S;
    put_figures(vm, figures);
    return vm;
}

static void a_vm_that_was_not_there_is_unknown(void **state)
{
    (void)state;
    VmKnown known;
    vm_known_set(&known, NULL, WALL);
    assert_false(known.seen || known.complete || known.locked || known.reports);
    assert_null(known.shape);
    vm_known_clear(&known);
}

static void what_is_known_of_a_vm(void **state)
{
    (void)state;
    static const struct {
        const char *what, *figures, *shape;
        bool complete, locked, reports;
        guint disks;
        const char *disk;
        guint row;
    } cases[] = {
        {"one disk", "domain.locked=0 block.0.name=vda block.0.rd.reqs=5", SHAPE, true, false, false, 1, "vda", 0},
        {"behind an empty drive", "block.0.name=hda block.1.name=vda block.1.rd.reqs=5", SHAPE, true, false, false, 1,
         "vda", 1},
        {"two disks", "block.0.name=vda block.0.rd.reqs=5 block.1.name=vdb block.1.rd.reqs=5", SHAPE, true, false,
         false, 2, NULL, 0},
        {"a disk without a name", "block.0.rd.reqs=5", SHAPE, true, false, false, 1, NULL, 0},
        {"an idle CD-ROM", DISC, WITH_DISC, true, false, false, 1, "vda", 0},
        {"two disks, so that it is not told which is a CD-ROM", DISC, SHAPE, true, false, false, 2, NULL, 0},
        {"a CD-ROM and an empty disk", "block.0.name=vda block.1.name=hda block.1.rd.reqs=7", WITH_DISC, true, false,
         false, 0, NULL, 0},
        {"no disk", "state.state=1", SHAPE, true, false, false, 0, NULL, 0},
        {"locked", "domain.locked=1 block.0.name=vda", SHAPE, false, true, false, 0, NULL, 0},
        {"shape unknown", "block.0.name=vda block.0.rd.reqs=5", NULL, false, false, false, 1, "vda", 0},
        {"reports", "balloon.last-update=1699999990", REPORTING, true, false, true, 0, NULL, 0},
        {"has reported just so lately", "balloon.last-update=1699999400", REPORTING, true, false, true, 0, NULL, 0},
        {"has not reported lately", "balloon.last-update=1699999399", REPORTING, true, false, false, 0, NULL, 0},
        {"has never reported", "balloon.last-update=0", REPORTING, true, false, false, 0, NULL, 0},
        {"reports in the year 3 · 10^11", "balloon.last-update=18446744073709551615", REPORTING, true, false, false, 0,
         NULL, 0},
        {"reports though nothing asks it to", "balloon.last-update=1699999990", SHAPE, true, false, false, 0, NULL, 0},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VmSample) vm = vm_in_words(cases[i].figures, cases[i].shape);
        if (strstr(cases[i].figures, "hda") && vm->disks->len > 1)
            vm_sample_row(vm, SCOPE_DISK, 1)->idle_ns = 980 * NS_PER_S;
        vm->process = g_strdup("100 5 - 0:101");
        vm->mark = g_strdup("77-5.0");
        VmKnown known;
        vm_known_set(&known, vm, WALL);
        CHECK(known.seen && known.domain_id == 7 && known.slow_ns == 990 * NS_PER_S, "%s", cases[i].what);
        CHECK(known.complete == cases[i].complete, "%s", cases[i].what);
        CHECK(known.locked == cases[i].locked, "%s", cases[i].what);
        CHECK(known.reports == cases[i].reports, "%s", cases[i].what);
        CHECK(known.disks == cases[i].disks, "%s: %u", cases[i].what, known.disks);
        CHECK_TEXT(known.disk, cases[i].disk, cases[i].what);
        CHECK(!known.disk || known.row == cases[i].row, "%s", cases[i].what);
        CHECK_TEXT(known.shape, cases[i].shape, cases[i].what);
        CHECK_TEXT(known.mark, "77-5.0", cases[i].what);
        CHECK_TEXT(known.process, "100 5 - 0:101", cases[i].what);
        vm_known_clear(&known);
    }
}

static void without_slow_figures_it_is_not_complete(void **state)
{
    (void)state;
    g_autoptr(VmSample) vm = vm_in_words("state.state=1", SHAPE);
    vm->group_ns[GROUP_SLOW] = 0;
    VmKnown known;
    vm_known_set(&known, vm, WALL);
    assert_false(known.complete);
    vm_known_clear(&known);
}

/* --- shapes --- */

static void a_shape_is_that_of_its_xml(void **state)
{
    (void)state;
    g_autofree char *one = plan_shape("<domain/>", NULL), *same = plan_shape("<domain/>", NULL),
                    *other = plan_shape("<domain />", NULL);
    assert_string_equal(one, same);
    assert_string_not_equal(one, other);
    assert_null(strchr(one, ' '));
    g_autofree char *asked = plan_shape("<domain><memballoon><stats period='10'/></memballoon></domain>", NULL);
    assert_non_null(strstr(asked, "+stats"));
    assert_null(strstr(one, "+stats"));
    g_autofree char *title = plan_shape("<domain><title>&lt;stats period=</title></domain>", NULL);
    assert_null(strstr(title, "+stats")); /* a name of a VM is not believed */
}

static void what_is_known_of_nics(void **state)
{
    (void)state;
    static const struct {
        const char *figures, *shape, *want; /* want NULL: the kernel does not serve them */
    } cases[] = {
        {"net.0.name=one-83-0 net.2.name=one-83-2", SHAPE "+taps=2", "0:one-83-0 2:one-83-2 "},
        {"net.0.name=one-83-0", SHAPE "+stats+taps=1+disk=vda", "0:one-83-0 "},
        {"state.state=1", SHAPE "+taps=0", ""},
        {"net.0.name=one-83-0", SHAPE "+taps=2", NULL}, /* libvirt had no figures of the other */
        {"state.state=1", SHAPE "+taps=-", NULL},
        {"net.0.name=one-83-0", SHAPE, NULL},
        {"net.0.name=one-83-0", NULL, NULL},
        {"net.0.rx.bytes=5", SHAPE "+taps=1", NULL},
        {"net.0.name=sixteen-letters-", SHAPE "+taps=1", NULL}, /* no device has such a name */
        {"net.0.name=fifteen-letters", SHAPE "+taps=1", "0:fifteen-letters "},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VmSample) vm = vm_in_words(cases[i].figures, cases[i].shape);
        VmKnown known;
        vm_known_set(&known, vm, WALL);
        g_autoptr(GString) got = known.nics ? g_string_new(NULL) : NULL;
        for (guint k = 0; known.nics && k < known.nics->len; k++) {
            const NetdevNic *nic = &g_array_index(known.nics, NetdevNic, k);
            g_string_append_printf(got, "%u:%s ", nic->index, nic->name);
        }
        CHECK_TEXT(got ? got->str : NULL, cases[i].want, cases[i].figures);
        vm_known_clear(&known);
    }
}

#define NIC(type, target) "<interface type='" type "'>" target "</interface>"
#define TAP "<target dev='t'/>"

static void a_shape_tells_how_many_taps_there_are(void **state)
{
    (void)state;
    static const struct {
        const char *nics, *want;
    } cases[] = {
        {"", "+taps=0"},
        {NIC("bridge", TAP), "+taps=1"},
        {NIC("bridge", TAP) NIC("ethernet", TAP) NIC("network", TAP), "+taps=3"},
        {NIC("bridge", TAP) NIC("direct", TAP), "+taps=-"},
        {NIC("ethernet", "<target dev='t' managed='no'/>"), "+taps=-"},
        {NIC("ethernet", "<target dev='t' managed='yes'/>"), "+taps=1"},
        {NIC("vhostuser", TAP), "+taps=-"},
        {NIC("user", ""), "+taps=-"},
        {NIC("bridge", ""), "+taps=-"},
        {NIC("hostdev", ""), "+taps=-"},
        {"<interface>" TAP "</interface>", "+taps=-"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = g_strdup_printf("<domain><devices>%s</devices></domain>", cases[i].nics);
        g_autofree char *shape = plan_shape(xml, NULL);
        CHECK_TEXT(strchr(shape, '+'), cases[i].want, cases[i].nics);
    }
}

#define DISK(device, target) "<disk " device "><target dev='" target "'/></disk>"

static void a_shape_tells_the_one_disk_that_is_not_removable(void **state)
{
    (void)state;
    static const struct {
        const char *disks, *want;
    } cases[] = {
        {"", NULL},
        {DISK("device='disk'", "vda"), "vda"},
        {DISK("", "vda"), "vda"}, /* what is not said is a disk */
        {DISK("device='cdrom'", "hda"), NULL},
        {DISK("device='disk'", "sda") DISK("device='cdrom'", "hda") DISK("device='floppy'", "fda"), "sda"},
        {DISK("device='cdrom'", "hda") DISK("type='block' device='lun'", "sda"), "sda"},
        {DISK("device='disk'", "vda") DISK("device='disk'", "vdb") DISK("device='cdrom'", "hda"), NULL},
        {"<disk/>", NULL},
        {"<disk>", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = g_strdup_printf("<domain><devices>%s</devices></domain>", cases[i].disks);
        g_autofree char *shape = plan_shape(xml, NULL);
        const char *mark = strchr(shape, '+');
        const char *taps = strstr(cases[i].disks, "<disk>") ? "+taps=-" : "+taps=0"; /* no XML at all */
        g_autofree char *want = g_strconcat(taps, cases[i].want ? "+disk=" : NULL, cases[i].want, NULL);
        CHECK_TEXT(mark, want, cases[i].disks);
    }
    g_autofree char *both =
        plan_shape("<domain><devices>" DISK("", "vda") "<memballoon><stats period='10'/></memballoon>"
                                                       "</devices></domain>",
                   NULL);
    assert_true(g_str_has_suffix(both, "+stats+taps=0+disk=vda"));
    g_autofree char *other = plan_shape("<domain/>", both), *same = plan_shape("<domain/>", other);
    assert_string_not_equal(other, both);
    assert_string_equal(same, other);
    g_autofree char *old = g_strndup(other, strcspn(other, "+")), *anew = plan_shape("<domain/>", old);
    assert_string_equal(anew, other); /* an older version's has no such mark */
}

static void status_files_lie_beside_the_socket(void **state)
{
    (void)state;
    static const struct {
        const char *uri, *want;
    } cases[] = {
        {"qemu:///system", "/run/libvirt/qemu"},
        {"qemu+unix:///system", "/run/libvirt/qemu"},
        {"qemu:///system?mode=direct", "/run/libvirt/qemu"},
        {"qemu+unix:///system?socket=/x/y/libvirt-sock", "/x/y/qemu"},
        {"qemu+unix:///system?mode=legacy&socket=/x/y/libvirt-sock&no_verify=1", "/x/y/qemu"},
        {"qemu+unix:///system?socket=%2Fx%2Fy%20z%2Flibvirt-sock", "/x/y z/qemu"},
        {"qemu+unix:///system?socket=relative", NULL}, /* another's files would lie */
        {"qemu+unix:///system?socket=", NULL},
        {"qemu+unix:///system?socket=%zz", NULL},
        {"qemu+unix:///system?notsocket=/x/y", NULL},
        {"qemu:///session", NULL},
        {"qemu+ssh://other/system", NULL},
        {"qemu", NULL},
        {"test:///default", NULL},
        {"xen:///system", NULL},
        {"", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = plan_status_dir(cases[i].uri);
        CHECK_TEXT(got, cases[i].want, cases[i].uri);
    }
}

/* --- the slow figures --- */

#define PERIOD (300 * NS_PER_S)

static void slow_figures_are_due_once_a_period(void **state)
{
    (void)state;
    for (guint64 vm = 0; vm < 50; vm++) {
        gint64 last = 5000 * NS_PER_S;
        guint times = 0;
        for (gint64 now = last; now < (5000 + 3000) * NS_PER_S; now += 7 * NS_PER_S)
            if (plan_slow_due(vm, last, now, PERIOD)) {
                CHECK(now - last < PERIOD + 7 * NS_PER_S, "VM %" G_GUINT64_FORMAT, vm);
                last = now;
                times++;
            }
        CHECK(times == 9 || times == 10, "VM %" G_GUINT64_FORMAT ": %u times", vm, times);
    }
}

/* Ids that follow each other, and those of a cloud where every host has each tenth. */
static void slow_moments_are_spread_evenly(void **state)
{
    (void)state;
    static const guint64 steps[] = {1, 10, 256};
    for (guint s = 0; s < G_N_ELEMENTS(steps); s++) {
        guint at[60] = {0};
        for (guint64 i = 0; i < 600; i++)
            for (gint64 tick = 0; tick < 60; tick++)
                if (plan_slow_due(1000 + i * steps[s], (9000 + 5 * tick) * NS_PER_S, (9005 + 5 * tick) * NS_PER_S,
                                  PERIOD))
                    at[tick]++;
        for (guint tick = 0; tick < 60; tick++)
            CHECK(at[tick] >= 5 && at[tick] <= 15, "of 600 VMs, each %u-th, %u at once at tick %u", (guint)steps[s],
                  at[tick], tick);
    }
}

static void slow_figures_never_read_are_due(void **state)
{
    (void)state;
    assert_true(plan_slow_due(1, 0, 5, PERIOD));
    assert_true(plan_slow_due(1, 500, 499, PERIOD)); /* the machine has booted */
    assert_true(plan_slow_due(1, 500, 500, 0));      /* no period: always */
    assert_false(plan_slow_due(1, 500, 500, PERIOD));
}

/* --- what is needed --- */

static void what_a_vm_is_asked_for(void **state)
{
    (void)state;
    const HypervisorGroups all = HYPERVISOR_ALL_GROUPS, balloon = HYPERVISOR_BALLOON, block = HYPERVISOR_BLOCK;
    const HypervisorGroups sizes = HYPERVISOR_BLOCK | HYPERVISOR_VCPU, nics = HYPERVISOR_INTERFACE;
    const struct {
        const char *what;
        VmKnown known;
        PlanNow now;
        HypervisorGroups groups;
        bool disk, slow;
    } cases[] = {
#define KNOWN .seen = true, .complete = true, .shape = one_shape
#define NOW .kernel = true, .nics = true, .shape = SHAPE
        {"new", {.seen = false}, {NOW}, all, false, true},
        {"new, fast", {.seen = false}, {NOW, .fast = true}, all, false, true},
        {"nothing to ask for", {KNOWN}, {NOW}, 0, false, false},
        {"one disk", {KNOWN, .disks = 1, .disk = vda}, {NOW}, 0, true, false},
        {"one disk whose name is not known", {KNOWN, .disks = 1}, {NOW}, 0, false, false},
        {"two disks", {KNOWN, .disks = 2}, {NOW}, block, false, false},
        {"slow, no disk", {KNOWN}, {NOW, .slow = true}, sizes, false, true},
        {"slow, one disk", {KNOWN, .disks = 1, .disk = vda}, {NOW, .slow = true}, sizes, false, true},
        {"slow, two disks", {KNOWN, .disks = 2}, {NOW, .slow = true}, sizes, false, true},
        {"NICs", {KNOWN, .disks = 1, .disk = vda}, {.kernel = true, .shape = SHAPE}, nics, true, false},
        {"NICs, fast", {KNOWN}, {.kernel = true, .shape = SHAPE, .fast = true}, nics, false, false},
        {"NICs, slow", {KNOWN}, {.kernel = true, .shape = SHAPE, .slow = true}, nics | sizes, false, true},
        {"reports", {KNOWN, .reports = true}, {NOW}, balloon, false, false},
        {"reports, one disk", {KNOWN, .reports = true, .disks = 1, .disk = vda}, {NOW}, balloon, true, false},
        {"reports, slow, two disks",
         {KNOWN, .reports = true, .disks = 2},
         {NOW, .slow = true},
         balloon | sizes,
         false,
         true},
        {"shape changed", {KNOWN, .disks = 1, .disk = vda}, {.kernel = true, .shape = "x"}, all, false, true},
        {"shape lost", {KNOWN}, {.kernel = true}, all, false, true},
        {"not complete", {.seen = true, .shape = one_shape}, {NOW}, all, false, true},
        {"locked", {.seen = true, .locked = true}, {NOW}, all, false, true},
        {"no /proc", {KNOWN}, {.shape = SHAPE}, all, false, true},
        {"fast", {KNOWN, .disks = 2, .reports = true}, {NOW, .fast = true}, 0, false, false},
        {"fast and slow", {KNOWN, .disks = 1, .disk = vda}, {NOW, .fast = true, .slow = true}, 0, false, false},
        {"fast, locked", {.seen = true, .locked = true}, {NOW, .fast = true}, 0, false, false},
        {"fast, no /proc", {.seen = true}, {.fast = true}, nics | HYPERVISOR_CPU | HYPERVISOR_VCPU, false, false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const PlanNeeds needs = plan_needs(&cases[i].known, &cases[i].now);
        CHECK(needs.groups == cases[i].groups, "%s: %u", cases[i].what, (guint)needs.groups);
        CHECK(needs.disk == cases[i].disk, "%s", cases[i].what);
        CHECK(needs.slow == cases[i].slow, "%s", cases[i].what);
    }
}

/* A guest that has not reported lately may have begun to. */
static void a_silent_guest_is_asked_now_and_then(void **state)
{
    (void)state;
    const VmKnown known = {.seen = true, .complete = true, .shape = reporting};
    PlanNow now = {.kernel = true, .nics = true, .shape = REPORTING};
    assert_int_equal(plan_needs(&known, &now).groups, 0);
    now.slow = true;
    assert_int_equal(plan_needs(&known, &now).groups, HYPERVISOR_BALLOON | HYPERVISOR_BLOCK | HYPERVISOR_VCPU);
}

/* --- what is carried over --- */

#define FULL                                                                                                           \
    "state.state=1 vcpu.current=1 vcpu.maximum=4 cpu.time=50 balloon.current=1024 balloon.rss=800 "                    \
    "balloon.last-update=9 balloon.usable=512 proc.swap=3 block.count=1 net.count=1 net.0.name=nic net.0.rx.bytes=7 "  \
    "vcpu.0.state=1 vcpu.0.time=40 vcpu.0.wait=4 vcpu.0.delay=5 vcpu.0.halted=1 "                                      \
    "block.0.name=vda block.0.path=/x block.0.rd.reqs=6 block.0.capacity=8"

static VmSample *full_vm(void)
{
    VmSample *vm = vm_in_words(FULL, SHAPE);
    vm->group_ns[GROUP_DISK] = 995 * NS_PER_S;
    return vm;
}

/* The raw figures as words; "" none. Owned by the caller. */
static char *figures_of(const VmSample *vm)
{
    GString *text = g_string_new(NULL);
    const Scope scopes[] = {SCOPE_VM, SCOPE_VCPU, SCOPE_NIC, SCOPE_DISK};
    for (guint s = 0; s < G_N_ELEMENTS(scopes); s++) {
        const GPtrArray *rows = s ? vm_sample_rows(vm, scopes[s]) : NULL;
        for (guint i = 0; i < (rows ? rows->len : 1); i++) {
            const MetricRow *row = rows ? g_ptr_array_index(rows, i) : vm->row;
            if (rows)
                g_string_append_printf(text, "%s%u: ", scope_name(scopes[s]), row->index);
            for (guint k = 0; k < metric_count(scopes[s]); k++)
                if (row_has(row, metric_first(scopes[s]) + k))
                    g_string_append_printf(text, "%s ", metric_info[metric_first(scopes[s]) + k].key);
        }
    }
    return g_string_free(text, FALSE);
}

static void check_carried(const char *what, VmSample *vm, bool fast, const char *want)
{
    g_autoptr(VmSample) before = full_vm();
    plan_carry(vm, before, fast);
    g_autofree char *got = figures_of(vm);
    g_autofree char *expected = g_strconcat(want, NULL);
    CHECK_TEXT(g_strchomp(got), g_strchomp(expected), what);
}

static VmSample *now_vm(const char *figures)
{
    VmSample *vm = vm_in_words(figures, SHAPE);
    vm->boottime_ns = 1010 * NS_PER_S;
    vm->group_ns[GROUP_SLOW] = 0;
    vm->served[GROUP_STATE] = SERVED_BULK;
    return vm;
}

static void what_was_not_asked_for_is_carried(void **state)
{
    (void)state;
    g_autoptr(VmSample) vm = now_vm("state.state=1 domain.locked=0 cpu.time=60 block.0.rd.reqs=9");
    vm->served[GROUP_KERNEL] = SERVED_PROC;
    vm->served[GROUP_DISK] = SERVED_DISK;
    check_carried(
        "a full sample", vm, false,
        "state.state domain.locked vcpu.current vcpu.maximum cpu.time balloon.current balloon.usable "
        "balloon.last-update net.count block.count vcpu0: state wait halted disk0: name path rd.reqs capacity");
    const MetricRow *disk = g_ptr_array_index(vm->disks, 0);
    assert_int_equal(row_u64(disk, METRIC_DISK_RD_REQS), 9);
    assert_string_equal(row_text(disk, METRIC_DISK_PATH), "/x");
    assert_false(vm->held);
    assert_true(vm->group_ns[GROUP_SLOW] == 990 * NS_PER_S);
    assert_true(vm->group_ns[GROUP_GUEST] == 1000 * NS_PER_S); /* that of the sample before */
    assert_int_equal(vm->served[GROUP_SHAPE], SERVED_EARLIER);
    assert_int_equal(vm->served[GROUP_DISK], SERVED_DISK);
    assert_true(vm_sample_group_ns(vm, GROUP_SHAPE) == 1010 * NS_PER_S); /* it is known to be of now */
}

static void a_fast_sample_holds_disks_and_guest(void **state)
{
    (void)state;
    g_autoptr(VmSample) vm = now_vm("state.state=1 cpu.time=60");
    vm->served[GROUP_KERNEL] = SERVED_PROC;
    check_carried(
        "fast", vm, true,
        "state.state vcpu.current vcpu.maximum cpu.time balloon.current balloon.rss balloon.usable "
        "balloon.last-update net.count block.count vcpu0: state wait halted disk0: name path rd.reqs capacity");
    assert_true(vm->held);
    assert_true(vm->group_ns[GROUP_DISK] == 995 * NS_PER_S);
    assert_true(vm_sample_holds(vm, METRIC_DISK_RD_REQS));
    assert_true(vm_sample_holds(vm, METRIC_VM_DISK_RD_REQS));
    assert_true(vm_sample_holds(vm, METRIC_VM_DISK_RD_BYTES_RATE));
    assert_true(vm_sample_holds(vm, METRIC_VM_BALLOON_LAST_UPDATE));
    assert_false(vm_sample_holds(vm, METRIC_DISK_CAPACITY)); /* changes hardly: no news */
    assert_false(vm_sample_holds(vm, METRIC_VM_CPU_TIME));
    assert_false(vm_sample_holds(vm, METRIC_VM_MEMORY_RSS)); /* /proc's, of now */
    assert_false(vm_sample_holds(vm, METRIC_NIC_RX_BYTES));

    g_autoptr(VmSample) later = now_vm("state.state=1 cpu.time=70"), first = vm_sample_copy(vm);
    later->served[GROUP_KERNEL] = SERVED_PROC;
    plan_carry(later, first, true); /* time and figures stay those of the reading, over any number of fast samples */
    assert_true(later->held && later->group_ns[GROUP_DISK] == 995 * NS_PER_S);
    assert_true(row_has(g_ptr_array_index(later->disks, 0), METRIC_DISK_RD_REQS));
}

/* A row of each step; its counters as they were or others, and what served the disks. */
static void a_disc_is_asked_about_each_time_until_it_is_idle(void **state)
{
    (void)state;
    static const struct {
        const char *what, *figures;
        Served served;
        gint64 at_s, idle_s, reqs;
        guint disks; /* that are asked for then */
    } steps[] = {
        {"new", DISC, SERVED_BULK, 1010, 0, 7, 2},
        {"used", "block.0.name=vda block.0.rd.reqs=6 block.1.name=hda block.1.rd.reqs=9", SERVED_BULK, 1020, 0, 9, 2},
        {"idle", "block.0.name=vda block.0.rd.reqs=7 block.1.name=hda block.1.rd.reqs=9", SERVED_BULK, 1030, 1030, 9,
         1},
        {"not asked for", "block.0.name=vda block.0.rd.reqs=8", SERVED_DISK, 1040, 1030, 9, 1},
        {"nor again", "block.0.name=vda block.0.rd.reqs=9", SERVED_DISK, 1050, 1030, 9, 1},
        {"a fast sample", "state.state=1", SERVED_NOT, 1055, 1030, 9, 1},
        {"looked at", "block.0.name=vda block.0.rd.reqs=9 block.1.name=hda block.1.rd.reqs=9", SERVED_BULK, 1060, 1060,
         9, 1},
        {"used again", "block.0.name=vda block.0.rd.reqs=9 block.1.name=hda block.1.rd.reqs=11", SERVED_BULK, 1070, 0,
         11, 2},
    };
    g_autoptr(VmSample) before = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        VmSample *vm = vm_in_words(steps[i].figures, WITH_DISC);
        vm->boottime_ns = steps[i].at_s * NS_PER_S;
        vm->served[GROUP_DISK] = steps[i].served;
        vm->served[GROUP_SLOW] = steps[i].served == SERVED_BULK ? SERVED_BULK : SERVED_NOT;
        vm->group_ns[GROUP_DISK] = steps[i].served == SERVED_NOT ? 0 : vm->boottime_ns;
        plan_carry(vm, before, steps[i].served == SERVED_NOT);
        const MetricRow *disc = vm_sample_row(vm, SCOPE_DISK, 1), *disk = vm_sample_row(vm, SCOPE_DISK, 0);
        CHECK(disc->idle_ns == steps[i].idle_s * NS_PER_S, "%s", steps[i].what);
        CHECK(disk->idle_ns == 0, "%s", steps[i].what);
        CHECK_TEXT(row_device_name(disc), "hda", steps[i].what);
        CHECK(row_u64(disc, METRIC_DISK_RD_REQS) == (guint64)steps[i].reqs, "%s", steps[i].what);
        VmKnown known;
        vm_known_set(&known, vm, WALL);
        CHECK(known.disks == steps[i].disks, "%s: %u", steps[i].what, known.disks);
        vm_known_clear(&known);
        vm_sample_free(before);
        before = vm;
    }
}

/* libvirt has resident memory with the balloon's figures: what serves the rest of the kernel's in a fast sample does
 * not serve this. */
static void where_libvirt_serves_the_cpu_resident_memory_is_held(void **state)
{
    (void)state;
    g_autoptr(VmSample) before = full_vm(), vm = now_vm("state.state=1 cpu.time=60");
    vm->served[GROUP_KERNEL] = SERVED_BULK;
    plan_carry(vm, before, true);
    assert_int_equal(row_u64(vm->row, METRIC_VM_MEMORY_RSS), 800);
    assert_true(vm_sample_holds(vm, METRIC_VM_MEMORY_RSS));
    assert_false(vm_sample_holds(vm, METRIC_VM_CPU_TIME));

    g_autoptr(VmSample) full = now_vm("state.state=1 cpu.time=60");
    full->served[GROUP_KERNEL] = SERVED_BULK;
    plan_carry(full, before, false);
    assert_false(row_has(full->row, METRIC_VM_MEMORY_RSS));
}

/* A counter with a later time would have stood still. */
static void cpu_times_are_never_carried(void **state)
{
    (void)state;
    for (guint fast = 0; fast < 2; fast++) {
        g_autoptr(VmSample) before = full_vm(), vm = now_vm("state.state=1");
        plan_carry(vm, before, fast);
        assert_false(row_has(vm->row, METRIC_VM_CPU_TIME));
        assert_false(row_has(g_ptr_array_index(vm->vcpus, 0), METRIC_VCPU_TIME));
        assert_false(row_has(vm->row, METRIC_VM_MEMORY_SWAPPED));
        assert_int_equal(vm->served[GROUP_KERNEL], SERVED_NOT);
    }
}

static void of_a_locked_vm_the_shape_alone_is_carried(void **state)
{
    (void)state;
    for (guint fast = 0; fast < 2; fast++) {
        g_autoptr(VmSample) vm = now_vm("state.state=1 domain.locked=1 cpu.time=60");
        vm->served[GROUP_KERNEL] = SERVED_PROC;
        check_carried(
            fast ? "locked, fast" : "locked", vm, fast,
            "state.state domain.locked vcpu.current vcpu.maximum cpu.time balloon.current net.count block.count "
            "vcpu0: state disk0: name path");
        assert_false(vm->held);
        assert_int_equal(vm->served[GROUP_DISK], SERVED_NOT);
    }
}

/* All was read anew, and there is one disk and one vCPU less. */
static void what_was_unplugged_leaves_no_row(void **state)
{
    (void)state;
    g_autoptr(VmSample) before = full_vm();
    put_figures(before, "vcpu.1.state=1 vcpu.1.wait=3 block.1.name=vdb block.1.rd.reqs=4 block.1.capacity=4");
    g_autoptr(VmSample) vm = now_vm("state.state=1 vcpu.0.time=41 block.0.name=vda block.0.rd.reqs=7");
    for (Group group = GROUP_STATE; group < GROUP_START; group++)
        vm->served[group] = SERVED_BULK;
    plan_carry(vm, before, false);
    assert_int_equal(vm->vcpus->len, 1);
    assert_int_equal(vm->disks->len, 1);
}

static void nothing_comes_of_nothing(void **state)
{
    (void)state;
    g_autoptr(VmSample) vm = now_vm("state.state=1");
    plan_carry(vm, NULL, true);
    assert_false(vm->held);
    assert_int_equal(vm->served[GROUP_SHAPE], SERVED_NOT);
    g_autofree char *got = figures_of(vm);
    assert_string_equal(got, "state.state ");
}

/* A damaged state file may have rows without end. */
static void more_rows_than_there_may_be_are_left_out(void **state)
{
    (void)state;
    g_autoptr(VmSample) before = full_vm(), vm = now_vm("state.state=1");
    for (guint i = 0; i < SAMPLE_DEVICES_MAX; i++) {
        MetricRow *old = vm_sample_row(before, SCOPE_DISK, 10 * i + 1), *row = vm_sample_row(vm, SCOPE_DISK, 10 * i);
        if (old)
            row_set_text(old, METRIC_DISK_NAME, "x");
        row_set_text(row, METRIC_DISK_NAME, "y");
    }
    plan_carry(vm, before, false);
    assert_int_equal(vm->disks->len, SAMPLE_DEVICES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_that_was_not_there_is_unknown),
        cmocka_unit_test(what_is_known_of_a_vm),
        cmocka_unit_test(without_slow_figures_it_is_not_complete),
        cmocka_unit_test(a_shape_is_that_of_its_xml),
        cmocka_unit_test(a_shape_tells_the_one_disk_that_is_not_removable),
        cmocka_unit_test(a_shape_tells_how_many_taps_there_are),
        cmocka_unit_test(what_is_known_of_nics),
        cmocka_unit_test(a_disc_is_asked_about_each_time_until_it_is_idle),
        cmocka_unit_test(status_files_lie_beside_the_socket),
        cmocka_unit_test(slow_figures_are_due_once_a_period),
        cmocka_unit_test(slow_moments_are_spread_evenly),
        cmocka_unit_test(slow_figures_never_read_are_due),
        cmocka_unit_test(what_a_vm_is_asked_for),
        cmocka_unit_test(a_silent_guest_is_asked_now_and_then),
        cmocka_unit_test(what_was_not_asked_for_is_carried),
        cmocka_unit_test(a_fast_sample_holds_disks_and_guest),
        cmocka_unit_test(where_libvirt_serves_the_cpu_resident_memory_is_held),
        cmocka_unit_test(cpu_times_are_never_carried),
        cmocka_unit_test(of_a_locked_vm_the_shape_alone_is_carried),
        cmocka_unit_test(what_was_unplugged_leaves_no_row),
        cmocka_unit_test(nothing_comes_of_nothing),
        cmocka_unit_test(more_rows_than_there_may_be_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
