/* SPDX-License-Identifier: Apache-2.0 */
#include "model/rates.h"
#include "gather_helpers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- tables: a sample of one VM in words ---
 *
 *   "@110 wall=1700000000 cpu.time=5 net.0.name=a net.0.rx.bytes=1"
 *
 * @ boottime in seconds, net@ kernel@ disk@ guest@ slow@ that of a group of figures; wall, boot, host of the sample;
 * vm, uuid, id of the VM; held: a fast sample; idle1@: of disk 1, which is removable; all else as libvirt's keys. */

typedef struct {
    const char *what;
    const char *before, *now;
    const char *want; /* METRIC=VALUE or DEVICE:METRIC=VALUE (a vCPU's number as its name); "-": absent */
} Case;

#define HALF_MILLI 0.0005 /* figures are rounded to three decimals */

static bool take_group_time(VmSample *vm, const char *word)
{
    const char *at = strchr(word, '@');
    for (Group group = GROUP_STATE; at && group < N_GROUPS; group++)
        if (strncmp(group_name(group), word, strlen(group_name(group))) == 0 &&
            strlen(group_name(group)) == (gsize)(at - word)) {
            vm->group_ns[group] = (gint64)(g_ascii_strtod(at + 1, NULL) * 1e9);
            return true;
        }
    return false;
}

static bool take_idle(VmSample *vm, const char *word)
{
    if (!g_str_has_prefix(word, "idle1@"))
        return false;
    vm_sample_row(vm, SCOPE_DISK, 1)->idle_ns = (gint64)(g_ascii_strtod(word + strlen("idle1@"), NULL) * 1e9);
    return true;
}

static bool take_header_word(Sample *sample, VmSample *vm, const char *word)
{
    if (take_group_time(vm, word) || take_idle(vm, word))
        return true;
    if (strcmp(word, "held") == 0) {
        vm->held = true;
        vm->served[GROUP_DISK] = vm->served[GROUP_GUEST] = SERVED_EARLIER;
        return true;
    }
    if (word[0] == '@') {
        vm->boottime_ns = (gint64)(g_ascii_strtod(word + 1, NULL) * 1e9);
    } else if (g_str_has_prefix(word, "wall=")) {
        sample->realtime_ns = (gint64)(g_ascii_strtod(word + 5, NULL) * 1e9);
    } else if (g_str_has_prefix(word, "boot=")) {
        g_free(sample->boot_id);
        sample->boot_id = g_strdup(word + 5);
    } else if (g_str_has_prefix(word, "host=")) {
        g_free(sample->host);
        sample->host = g_strdup(word + 5);
    } else if (g_str_has_prefix(word, "uuid=")) {
        g_free(vm->uuid);
        vm->uuid = word[5] ? g_strdup(word + 5) : NULL;
    } else if (g_str_has_prefix(word, "id=")) {
        vm->domain_id = g_ascii_strtoll(word + 3, NULL, 10);
    } else if (g_str_has_prefix(word, "vm=")) {
        g_free(vm->name);
        vm->name = g_strdup(word + 3);
        vm_id_from_name(vm->name, &vm->vm_id);
    } else {
        return false;
    }
    return true;
}

static Sample *sample_in_words(const char *text, const char *boottime)
{
    Sample *sample = sample_new();
    VmSample *vm = add_vm(sample, "one-83", "u83", 7);
    sample->boot_id = g_strdup("boot-1");
    sample->host = g_strdup("kvm-a");
    sample->realtime_ns = G_GINT64_CONSTANT(1700000000) * 1000000000;
    take_header_word(sample, vm, boottime);
    put_figures(vm, "state.state=1");
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    for (char **word = words; *word; word++)
        if (!take_header_word(sample, vm, *word))
            put_figures(vm, *word);
    sample->boottime_ns = vm->boottime_ns;
    return sample;
}

static const MetricRow *row_of(const VmSample *vm, const char *device, Metric m)
{
    if (!device)
        return vm->row;
    const GPtrArray *rows = vm_sample_rows(vm, metric_info[m].scope);
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *row = g_ptr_array_index(rows, i);
        g_autofree char *number = g_strdup_printf("%u", row->index);
        const char *name = row_device_name(row);
        if (strcmp(name ? name : number, device) == 0)
            return row;
    }
    fail_msg("there is no device %s", device);
    return NULL;
}

static void check_figure(const char *what, const VmSample *vm, const char *want)
{
    g_auto(GStrv) sides = g_strsplit(want, "=", 2);
    char *colon = strrchr(sides[0], ':');
    Metric m = metric_named(colon ? colon + 1 : sides[0]);
    if (colon)
        *colon = '\0';
    const MetricRow *row = row_of(vm, colon ? sides[0] : NULL, m);
    if (strcmp(sides[1], "-") == 0) {
        CHECK(!row_has(row, m), "%s: %s", what, want);
        return;
    }
    CHECK(row_has(row, m), "%s: %s", what, want);
    if (metric_info[m].kind == KIND_TEXT) {
        CHECK_TEXT(row_text(row, m), sides[1], what);
    } else if (metric_info[m].kind == KIND_REAL) {
        double value = g_ascii_strtod(sides[1], NULL);
        CHECK(fabs(row_real(row, m) - value) <= HALF_MILLI + 1e-9 * fabs(value), "%s: %s, got %.17g", what, want,
              row_real(row, m));
    } else {
        CHECK(row_u64(row, m) == g_ascii_strtoull(sides[1], NULL, 10), "%s: %s, got %" G_GUINT64_FORMAT, what, want,
              row_u64(row, m));
    }
}

/* Nothing that needs two samples. */
static void check_no_pair(const char *what, const VmSample *vm)
{
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        if (metric_info[m].kind == KIND_REAL && m != METRIC_VM_MEMORY_USAGE_PERCENT)
            CHECK(!row_has(vm->row, m), "%s: %s", what, metric_info[m].name);
    }
    const Scope scopes[] = {SCOPE_VCPU, SCOPE_NIC, SCOPE_DISK};
    for (guint s = 0; s < G_N_ELEMENTS(scopes); s++)
        for (guint i = 0; i < vm_sample_rows(vm, scopes[s])->len; i++)
            for (guint k = 0; k < metric_count(scopes[s]); k++) {
                Metric m = metric_first(scopes[s]) + k;
                if (metric_info[m].kind == KIND_REAL)
                    CHECK(!row_has(g_ptr_array_index(vm_sample_rows(vm, scopes[s]), i), m), "%s: %s", what,
                          metric_info[m].name);
            }
}

static void derive_both(Sample *before, Sample *now)
{
    if (before) {
        sample_finish(before, NULL);
        rates_derive(before, NULL);
    }
    sample_finish(now, before);
    rates_derive(now, before);
}

static void run_cases(const Case *cases, guint n)
{
    for (guint i = 0; i < n; i++) {
        g_autoptr(Sample) before = cases[i].before ? sample_in_words(cases[i].before, "@100") : NULL;
        g_autoptr(Sample) now = sample_in_words(cases[i].now, "@110");
        derive_both(before, now);
        CHECK(now->vms->len == 1, "%s", cases[i].what);
        g_auto(GStrv) want = g_strsplit(cases[i].want, " ", -1);
        for (char **word = want; *word; word++) {
            if (strcmp(*word, "NO-PAIR") == 0)
                check_no_pair(cases[i].what, g_ptr_array_index(now->vms, 0));
            else
                check_figure(cases[i].what, g_ptr_array_index(now->vms, 0), *word);
        }
    }
}

/* --- which two samples are a pair --- */

#define ONE_OF_EACH "vcpu.current=1 vcpu.0.delay=0 net.0.name=n net.0.tx.bytes=5 block.0.name=d block.0.wr.reqs=5 "
#define BUSY_A ONE_OF_EACH "cpu.time=1000000000 vcpu.0.time=0 net.0.rx.bytes=100 block.0.rd.reqs=10 block.0.rd.times=0"
#define BUSY_B                                                                                                         \
    ONE_OF_EACH "cpu.time=6000000000 vcpu.0.time=5000000000 net.0.rx.bytes=1100 block.0.rd.reqs=20 "                   \
                "block.0.rd.times=30000000"
#define BUSY_RATES                                                                                                     \
    "VM_CPU_CORE_PERCENT=50 VM_CPU_USAGE_PERCENT=50 VM_CPU_STEAL_PERCENT=0 0:VCPU_USAGE_PERCENT=50 "                   \
    "n:NIC_RX_BYTES_RATE=100 VM_NET_RX_BYTES_RATE=100 VM_NET_TX_BYTES_RATE=0 d:DISK_RD_REQS_RATE=1 "                   \
    "VM_DISK_RD_REQS_RATE=1 d:DISK_RD_LATENCY=3 VM_DISK_RD_LATENCY=3"

static void only_two_samples_of_one_run_make_rates(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"a pair", BUSY_A, BUSY_B, BUSY_RATES},
        {"the first sample", NULL, BUSY_B, "NO-PAIR VM_NET_RX_BYTES=1100 VM_DISK_RD_REQS=20"},
        {"restarted: another id", BUSY_A, BUSY_B " id=8", "NO-PAIR"},
        {"another VM of that name: another uuid", BUSY_A, BUSY_B " uuid=u84", "NO-PAIR"},
        {"renamed", BUSY_A, BUSY_B " vm=one-84", BUSY_RATES},
        {"uuid unknown before", BUSY_A " uuid=", BUSY_B, BUSY_RATES},
        {"ids forgotten (reboot)", BUSY_A " id=-1", BUSY_B, "NO-PAIR"},
        {"restarted behind one id: cpu.time fell", BUSY_B, BUSY_A, "NO-PAIR"},
        {"cpu.time fell and no more", "cpu.time=10 net.0.name=n net.0.rx.bytes=5",
         "cpu.time=9 net.0.name=n net.0.rx.bytes=6", "NO-PAIR"},
        {"cpu.time stands still", "cpu.time=10 vcpu.current=1", "cpu.time=10 vcpu.current=1",
         "VM_CPU_CORE_PERCENT=0 VM_CPU_USAGE_PERCENT=0"},
        {"cpu.time unknown before", "net.0.name=n net.0.rx.bytes=5", "cpu.time=9 net.0.name=n net.0.rx.bytes=15",
         "VM_CPU_CORE_PERCENT=- n:NIC_RX_BYTES_RATE=1"},
        {"cpu.time unknown now", "cpu.time=9 net.0.name=n net.0.rx.bytes=5", "net.0.name=n net.0.rx.bytes=15",
         "VM_CPU_CORE_PERCENT=- n:NIC_RX_BYTES_RATE=1"},
        {"another boot of the host", BUSY_A " boot=boot-0", BUSY_B, "NO-PAIR"},
        {"another host", BUSY_A " host=kvm-b", BUSY_B, "NO-PAIR"},
    };
    run_cases(cases, G_N_ELEMENTS(cases));
}

static void elapsed_time_is_boottime(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"the wall clock jumps forward", BUSY_A, BUSY_B " wall=1800000000", BUSY_RATES},
        {"the wall clock jumps back", BUSY_A, BUSY_B " wall=1000000000", BUSY_RATES},
        {"the wall clock is unknown", BUSY_A " wall=0", BUSY_B " wall=0", BUSY_RATES},
        {"twice the time", BUSY_A, BUSY_B " @120",
         "VM_CPU_CORE_PERCENT=25 VM_NET_RX_BYTES_RATE=50 VM_DISK_RD_LATENCY=3"},
        {"the same instant", BUSY_A, BUSY_B " @100", "NO-PAIR"},
        {"boottime goes back", BUSY_A, BUSY_B " @99", "NO-PAIR"},
        {"too close", BUSY_A, BUSY_B " @100.099", "NO-PAIR"},
        {"just far enough", BUSY_A, BUSY_B " @100.1", "VM_CPU_CORE_PERCENT=5000 VM_CPU_USAGE_PERCENT=100"},
        {"just close enough", BUSY_A, BUSY_B " @3700", "VM_NET_RX_BYTES_RATE=0.27777777777777778"},
        {"too far", BUSY_A, BUSY_B " @3700.001", "NO-PAIR"},
        {"unknown before", BUSY_A " @0", BUSY_B, "NO-PAIR"},
        {"unknown now", BUSY_A, BUSY_B " @0", "NO-PAIR"},
    };
    run_cases(cases, G_N_ELEMENTS(cases));
}

/* Each VM's own: the collection asks one after another, and one may be asked late. */
static void each_vm_has_its_own_time(void **state)
{
    (void)state;
    g_autoptr(Sample) before = sample_in_words(BUSY_A, "@100"), now = sample_in_words(BUSY_B, "@110");
    VmSample *early = add_vm(before, "one-84", "u84", 8), *late = add_vm(now, "one-84", "u84", 8);
    early->boottime_ns = G_GINT64_CONSTANT(100) * 1000000000;
    late->boottime_ns = G_GINT64_CONSTANT(120) * 1000000000;
    put_figures(early, "state.state=1 " BUSY_A);
    put_figures(late, "state.state=1 " BUSY_B);
    derive_both(before, now);
    check_figure("one-83", g_ptr_array_index(now->vms, 0), "VM_CPU_CORE_PERCENT=50");
    check_figure("one-84", g_ptr_array_index(now->vms, 1), "VM_CPU_CORE_PERCENT=25");
}

/* --- each group of figures has its own time --- */

static void rates_are_taken_over_the_time_of_their_group(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"each its own", BUSY_A " kernel@100 disk@98", BUSY_B " kernel@105 disk@118",
         "VM_CPU_CORE_PERCENT=100 0:VCPU_USAGE_PERCENT=100 n:NIC_RX_BYTES_RATE=100 d:DISK_RD_REQS_RATE=0.5 "
         "VM_DISK_RD_REQS_RATE=0.5 VM_DISK_RD_LATENCY=3"},
        {"one before had no times of its groups", BUSY_A, BUSY_B " kernel@105 disk@120",
         "VM_CPU_CORE_PERCENT=100 VM_NET_RX_BYTES_RATE=100 VM_DISK_RD_REQS_RATE=0.5"},
        {"now it has none", BUSY_A " kernel@90 disk@105", BUSY_B,
         "VM_CPU_CORE_PERCENT=25 VM_NET_RX_BYTES_RATE=100 VM_DISK_RD_REQS_RATE=2"},
        {"carried over, not read anew", BUSY_A " disk@98", BUSY_B " disk@98",
         "VM_CPU_CORE_PERCENT=50 VM_NET_RX_BYTES_RATE=100 VM_DISK_RD_REQS_RATE=- d:DISK_RD_REQS_RATE=- "
         "d:DISK_RD_LATENCY=-"},
        {"too close", BUSY_A " kernel@99.95 disk@99.95", BUSY_B " kernel@100 disk@100",
         "VM_CPU_CORE_PERCENT=- VM_CPU_USAGE_PERCENT=- VM_CPU_STEAL_PERCENT=- 0:VCPU_USAGE_PERCENT=- "
         "VM_NET_RX_BYTES_RATE=100 VM_DISK_RD_REQS_RATE=-"},
        {"backwards", BUSY_A " disk@109", BUSY_B " disk@108", "VM_DISK_RD_REQS_RATE=- VM_CPU_CORE_PERCENT=50"},
        {"too far", BUSY_A " disk@1", BUSY_B " disk@3602", "VM_DISK_RD_REQS_RATE=- VM_CPU_CORE_PERCENT=50"},
        {"the NICs' is theirs", BUSY_A " net@101", BUSY_B " net@106",
         "VM_NET_RX_BYTES_RATE=200 n:NIC_RX_BYTES_RATE=200"},
        {"the sizes' time is nobody's", BUSY_A " slow@1", BUSY_B " slow@9", BUSY_RATES},
    };
    run_cases(cases, G_N_ELEMENTS(cases));
}

/* A CD-ROM's counters are read now and then as long as it is idle; its rates are over the time between. */
static void an_idle_disc_has_rates_of_its_own_readings(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"not read: nothing is known of it, and the sum takes it as unused",
         "@100 block.0.name=d block.0.rd.reqs=0 block.1.name=c block.1.rd.reqs=9 idle1@80",
         "@110 block.0.name=d block.0.rd.reqs=50 block.1.name=c block.1.rd.reqs=9 idle1@80",
         "c:DISK_RD_REQS_RATE=- d:DISK_RD_REQS_RATE=5 VM_DISK_RD_REQS_RATE=5 VM_DISK_RD_REQS=59"},
        {"read again, and still idle",
         "@100 block.0.name=d block.0.rd.reqs=0 block.1.name=c block.1.rd.reqs=9 idle1@80",
         "@110 block.0.name=d block.0.rd.reqs=50 block.1.name=c block.1.rd.reqs=9 idle1@110",
         "c:DISK_RD_REQS_RATE=0 d:DISK_RD_REQS_RATE=5 VM_DISK_RD_REQS_RATE=5"},
        {"it was used since: over the time since its last reading, in the sum too",
         "@100 block.0.name=d block.0.rd.reqs=0 block.1.name=c block.1.rd.reqs=9 idle1@80",
         "@110 block.0.name=d block.0.rd.reqs=50 block.1.name=c block.1.rd.reqs=99",
         "c:DISK_RD_REQS_RATE=3 d:DISK_RD_REQS_RATE=5 VM_DISK_RD_REQS_RATE=8 VM_DISK_RD_REQS=149"},
        {"just found idle", "@100 block.0.name=d block.0.rd.reqs=0 block.1.name=c block.1.rd.reqs=9",
         "@110 block.0.name=d block.0.rd.reqs=50 block.1.name=c block.1.rd.reqs=9 idle1@110",
         "c:DISK_RD_REQS_RATE=0 VM_DISK_RD_REQS_RATE=5"},
        {"read too long ago, but not used since: none of its own, and the sum of the others",
         "@9000 block.0.name=d block.0.rd.reqs=0 block.1.name=c block.1.rd.reqs=9 idle1@100",
         "@9010 block.0.name=d block.0.rd.reqs=50 block.1.name=c block.1.rd.reqs=9 idle1@9010",
         "c:DISK_RD_REQS_RATE=- d:DISK_RD_REQS_RATE=5 VM_DISK_RD_REQS_RATE=5"},
        {"read too long ago: none of its own, and so no sum",
         "@9000 block.0.name=d block.0.rd.reqs=0 block.1.name=c block.1.rd.reqs=9 idle1@100",
         "@9010 block.0.name=d block.0.rd.reqs=50 block.1.name=c block.1.rd.reqs=99",
         "c:DISK_RD_REQS_RATE=- d:DISK_RD_REQS_RATE=5 VM_DISK_RD_REQS_RATE=- VM_DISK_RD_REQS=149"},
        {"another disc", "@100 block.0.name=d block.0.rd.reqs=0 block.1.name=c block.1.rd.reqs=9 idle1@80",
         "@110 block.0.name=d block.0.rd.reqs=50 block.1.name=c block.1.rd.reqs=2",
         "c:DISK_RD_REQS_RATE=- d:DISK_RD_REQS_RATE=5 VM_DISK_RD_REQS_RATE=-"},
    };
    run_cases(cases, G_N_ELEMENTS(cases));
}

/* A full sample each three seconds, fast ones between. */
static void a_fast_sample_holds_the_rates_too(void **state)
{
    (void)state;
    static const struct {
        const char *time, *figures, *want;
    } steps[] = {
        {"@100",
         "disk@100 cpu.time=0 net.0.name=n net.0.rx.bytes=0 block.0.name=d block.0.rd.reqs=0 block.0.rd.times=0",
         "NO-PAIR"},
        {"@101", "held disk@100 cpu.time=100000000 net.0.name=n net.0.rx.bytes=7 block.0.name=d block.0.rd.reqs=0",
         "VM_CPU_CORE_PERCENT=10 VM_NET_RX_BYTES_RATE=7 VM_DISK_RD_REQS_RATE=-"},
        {"@103",
         "disk@103 cpu.time=300000000 net.0.name=n net.0.rx.bytes=7 block.0.name=d block.0.rd.reqs=30 "
         "block.0.rd.times=60000000",
         "VM_CPU_CORE_PERCENT=10 VM_NET_RX_BYTES_RATE=0 VM_DISK_RD_REQS_RATE=10 d:DISK_RD_REQS_RATE=10"},
        {"@104",
         "held disk@103 cpu.time=800000000 net.0.name=n net.0.rx.bytes=8 block.0.name=d block.0.rd.reqs=30 "
         "block.0.rd.times=60000000",
         "VM_CPU_CORE_PERCENT=50 VM_NET_RX_BYTES_RATE=1 VM_DISK_RD_REQS_RATE=10 d:DISK_RD_REQS_RATE=10 "
         "VM_DISK_RD_REQS=30"},
        {"@105",
         "held disk@103 cpu.time=800000000 net.0.name=n net.0.rx.bytes=8 block.0.name=d block.0.rd.reqs=30 "
         "block.0.rd.times=60000000",
         "VM_CPU_CORE_PERCENT=0 VM_DISK_RD_REQS_RATE=10 d:DISK_RD_REQS_RATE=10"},
        {"@106",
         "disk@106 cpu.time=900000000 net.0.name=n net.0.rx.bytes=8 block.0.name=d block.0.rd.reqs=33 "
         "block.0.rd.times=69000000",
         "VM_CPU_CORE_PERCENT=10 VM_DISK_RD_REQS_RATE=1 d:DISK_RD_REQS_RATE=1 VM_DISK_RD_LATENCY=3"},
        {"@107", "cpu.time=900000000 domain.locked=1 net.0.name=n net.0.rx.bytes=8 block.0.name=d",
         "VM_CPU_CORE_PERCENT=0 VM_DISK_RD_REQS_RATE=- d:DISK_RD_REQS_RATE=-"}, /* locked, and so not held */
    };
    g_autoptr(Sample) before = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_autoptr(Sample) now = sample_in_words(steps[i].figures, steps[i].time);
        sample_finish(now, before);
        rates_derive(now, before);
        g_auto(GStrv) want = g_strsplit(steps[i].want, " ", -1);
        for (char **word = want; *word; word++)
            if (strcmp(*word, "NO-PAIR") == 0)
                check_no_pair(steps[i].time, g_ptr_array_index(now->vms, 0));
            else
                check_figure(steps[i].time, g_ptr_array_index(now->vms, 0), *word);
        sample_free(before);
        before = g_steal_pointer(&now);
    }
}

/* --- CPU --- */

static void cpu_percentages(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"half a core of four", "cpu.time=0 vcpu.current=4", "cpu.time=5000000000 vcpu.current=4",
         "VM_CPU_CORE_PERCENT=50 VM_CPU_USAGE_PERCENT=12.5"},
        {"two cores of four", "cpu.time=0 vcpu.current=4", "cpu.time=20000000000 vcpu.current=4",
         "VM_CPU_CORE_PERCENT=200 VM_CPU_USAGE_PERCENT=50"},
        {"emulator threads beside a busy vCPU", "cpu.time=0 vcpu.current=1", "cpu.time=13000000000 vcpu.current=1",
         "VM_CPU_CORE_PERCENT=130 VM_CPU_USAGE_PERCENT=100"},
        {"number of vCPUs unknown", "cpu.time=0", "cpu.time=5000000000",
         "VM_CPU_CORE_PERCENT=50 VM_CPU_USAGE_PERCENT=-"},
        {"no vCPU", "cpu.time=0 vcpu.current=0", "cpu.time=5000000000 vcpu.current=0", "VM_CPU_USAGE_PERCENT=-"},
        {"vCPUs plugged in meanwhile", "cpu.time=0 vcpu.current=1", "cpu.time=5000000000 vcpu.current=2",
         "VM_CPU_USAGE_PERCENT=25"},
        {"exact beyond a double", "cpu.time=18446744063709551615", "cpu.time=18446744073709551615",
         "VM_CPU_CORE_PERCENT=100"},
        {"steal of four vCPUs",
         "vcpu.current=4 vcpu.0.delay=0 vcpu.1.delay=0 vcpu.2.delay=7 vcpu.3.delay=0 vcpu.0.time=0 vcpu.3.time=5",
         "vcpu.current=4 vcpu.0.delay=1000000000 vcpu.1.delay=3000000000 vcpu.2.delay=7 vcpu.3.delay=4000000000 "
         "vcpu.0.time=2500000000 vcpu.3.time=9000000005",
         "VM_CPU_STEAL_PERCENT=20 0:VCPU_STEAL_PERCENT=10 1:VCPU_STEAL_PERCENT=30 2:VCPU_STEAL_PERCENT=0 "
         "3:VCPU_STEAL_PERCENT=40 0:VCPU_USAGE_PERCENT=25 1:VCPU_USAGE_PERCENT=- 3:VCPU_USAGE_PERCENT=90"},
        {"steal and use have a ceiling", "vcpu.current=1 vcpu.0.delay=0 vcpu.0.time=0",
         "vcpu.current=1 vcpu.0.delay=11000000000 vcpu.0.time=10010000000",
         "VM_CPU_STEAL_PERCENT=100 0:VCPU_STEAL_PERCENT=100 0:VCPU_USAGE_PERCENT=100"},
        {"vCPU numbers with a hole, one new", "vcpu.current=2 vcpu.0.delay=0 vcpu.5.delay=0",
         "vcpu.current=3 vcpu.0.delay=3000000000 vcpu.5.delay=0 vcpu.6.delay=9000000000",
         "VM_CPU_STEAL_PERCENT=10 0:VCPU_STEAL_PERCENT=30 5:VCPU_STEAL_PERCENT=0 6:VCPU_STEAL_PERCENT=-"},
        {"a vCPU that was unplugged and plugged in", "vcpu.current=2 vcpu.0.delay=0 vcpu.1.delay=90 vcpu.1.time=90",
         "vcpu.current=2 vcpu.0.delay=2000000000 vcpu.1.delay=5 vcpu.1.time=80",
         "VM_CPU_STEAL_PERCENT=10 1:VCPU_STEAL_PERCENT=- 1:VCPU_USAGE_PERCENT=-"},
        {"no delay known", "vcpu.current=1 vcpu.0.time=0", "vcpu.current=1 vcpu.0.time=0",
         "VM_CPU_STEAL_PERCENT=- 0:VCPU_USAGE_PERCENT=0"},
        {"delay known only now", "vcpu.current=1 vcpu.0.time=0", "vcpu.current=1 vcpu.0.time=0 vcpu.0.delay=9",
         "VM_CPU_STEAL_PERCENT=- 0:VCPU_STEAL_PERCENT=-"},
    };
    run_cases(cases, G_N_ELEMENTS(cases));
}

/* --- devices --- */

static void network_rates(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"every counter of a NIC",
         "net.count=1 net.0.name=a net.0.rx.bytes=0 net.0.rx.pkts=0 net.0.rx.errs=0 net.0.rx.drop=0 net.0.tx.bytes=0 "
         "net.0.tx.pkts=0 net.0.tx.errs=0 net.0.tx.drop=0",
         "net.count=1 net.0.name=a net.0.rx.bytes=10 net.0.rx.pkts=20 net.0.rx.errs=30 net.0.rx.drop=40 "
         "net.0.tx.bytes=50 net.0.tx.pkts=60 net.0.tx.errs=70 net.0.tx.drop=80",
         "a:NIC_RX_BYTES_RATE=1 a:NIC_RX_PACKETS_RATE=2 a:NIC_RX_ERRORS_RATE=3 a:NIC_RX_DROPS_RATE=4 "
         "a:NIC_TX_BYTES_RATE=5 a:NIC_TX_PACKETS_RATE=6 a:NIC_TX_ERRORS_RATE=7 a:NIC_TX_DROPS_RATE=8 "
         "VM_NET_RX_BYTES_RATE=1 VM_NET_RX_PACKETS_RATE=2 VM_NET_RX_ERRORS_RATE=3 VM_NET_RX_DROPS_RATE=4 "
         "VM_NET_TX_BYTES_RATE=5 VM_NET_TX_PACKETS_RATE=6 VM_NET_TX_ERRORS_RATE=7 VM_NET_TX_DROPS_RATE=8 "
         "VM_NET_RX_BYTES=10 VM_NET_RX_PACKETS=20 VM_NET_RX_ERRORS=30 VM_NET_RX_DROPS=40 "
         "VM_NET_TX_BYTES=50 VM_NET_TX_PACKETS=60 VM_NET_TX_ERRORS=70 VM_NET_TX_DROPS=80"},
        {"two NICs", "net.0.name=a net.0.rx.bytes=100 net.1.name=b net.1.rx.bytes=1000",
         "net.0.name=a net.0.rx.bytes=200 net.1.name=b net.1.rx.bytes=3000",
         "a:NIC_RX_BYTES_RATE=10 b:NIC_RX_BYTES_RATE=200 VM_NET_RX_BYTES_RATE=210 VM_NET_RX_BYTES=3200"},
        {"one was reset: nothing of it, nothing of the VM, the other goes on",
         "net.0.name=a net.0.rx.bytes=100 net.0.tx.bytes=7 net.1.name=b net.1.rx.bytes=1000 net.1.tx.bytes=0",
         "net.0.name=a net.0.rx.bytes=99 net.0.tx.bytes=8 net.1.name=b net.1.rx.bytes=3000 net.1.tx.bytes=10",
         "a:NIC_RX_BYTES_RATE=- a:NIC_TX_BYTES_RATE=- b:NIC_RX_BYTES_RATE=200 b:NIC_TX_BYTES_RATE=1 "
         "VM_NET_RX_BYTES_RATE=- VM_NET_TX_BYTES_RATE=- VM_NET_RX_BYTES=3099 VM_NET_TX_BYTES=18"},
        {"a NIC reset leaves disks and CPU alone",
         "cpu.time=0 net.0.name=a net.0.rx.bytes=100 block.0.name=vda block.0.rd.reqs=0",
         "cpu.time=5000000000 net.0.name=a net.0.rx.bytes=99 block.0.name=vda block.0.rd.reqs=10",
         "VM_NET_RX_BYTES_RATE=- VM_DISK_RD_REQS_RATE=1 VM_CPU_CORE_PERCENT=50"},
        {"hot-plugged beside another", "net.0.name=a net.0.rx.bytes=100",
         "net.0.name=a net.0.rx.bytes=200 net.1.name=b net.1.rx.bytes=5000",
         "a:NIC_RX_BYTES_RATE=10 b:NIC_RX_BYTES_RATE=- VM_NET_RX_BYTES_RATE=10 VM_NET_RX_BYTES=5200"},
        {"hot-plugged, the only one", "net.count=0", "net.count=1 net.0.name=b net.0.rx.bytes=5000",
         "b:NIC_RX_BYTES_RATE=- VM_NET_RX_BYTES_RATE=- VM_NET_RX_BYTES=5000"},
        {"unplugged beside another; numbers move up",
         "net.0.name=a net.0.rx.bytes=100 net.1.name=b net.1.rx.bytes=1000", "net.0.name=b net.0.rx.bytes=1200",
         "b:NIC_RX_BYTES_RATE=20 VM_NET_RX_BYTES_RATE=20 VM_NET_RX_BYTES=1200"},
        {"the last one unplugged", "net.count=1 net.0.name=a net.0.rx.bytes=100", "net.count=0",
         "VM_NET_RX_BYTES_RATE=0 VM_NET_RX_BYTES=0"},
        {"exchanged", "net.0.name=a net.0.rx.bytes=100", "net.0.name=b net.0.rx.bytes=1200",
         "b:NIC_RX_BYTES_RATE=- VM_NET_RX_BYTES_RATE=-"},
        {"another under the name of one that was unplugged", "net.0.name=a net.0.mac=02:01 net.0.rx.bytes=100",
         "net.0.name=a net.0.mac=02:02 net.0.rx.bytes=1200", "a:NIC_RX_BYTES_RATE=- VM_NET_RX_BYTES_RATE=-"},
        {"whose hardware address was not known", "net.0.name=a net.0.rx.bytes=100",
         "net.0.name=a net.0.mac=02:02 net.0.rx.bytes=1100", "a:NIC_RX_BYTES_RATE=100"},
        {"without a name", "net.0.rx.bytes=100", "net.0.rx.bytes=200",
         "0:NIC_RX_BYTES_RATE=- VM_NET_RX_BYTES_RATE=- VM_NET_RX_BYTES=200"},
        {"exact beyond a double", "net.0.name=a net.0.rx.bytes=18446744073709551605",
         "net.0.name=a net.0.rx.bytes=18446744073709551615",
         "a:NIC_RX_BYTES_RATE=1 VM_NET_RX_BYTES_RATE=1 VM_NET_RX_BYTES=18446744073709551615"},
    };
    run_cases(cases, G_N_ELEMENTS(cases));
}

static void disk_rates(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"every counter of a disk",
         "block.0.name=a block.0.rd.reqs=0 block.0.rd.bytes=0 block.0.rd.times=0 block.0.wr.reqs=0 block.0.wr.bytes=0 "
         "block.0.wr.times=0 block.0.fl.reqs=0 block.0.fl.times=0",
         "block.0.name=a block.0.rd.reqs=10 block.0.rd.bytes=20 block.0.rd.times=5000000 block.0.wr.reqs=40 "
         "block.0.wr.bytes=50 block.0.wr.times=60000000 block.0.fl.reqs=70 block.0.fl.times=140000000",
         "a:DISK_RD_REQS_RATE=1 a:DISK_RD_BYTES_RATE=2 a:DISK_WR_REQS_RATE=4 a:DISK_WR_BYTES_RATE=5 "
         "a:DISK_FL_REQS_RATE=7 a:DISK_RD_LATENCY=0.5 a:DISK_WR_LATENCY=1.5 a:DISK_FL_LATENCY=2 "
         "VM_DISK_RD_REQS_RATE=1 VM_DISK_RD_BYTES_RATE=2 VM_DISK_WR_REQS_RATE=4 VM_DISK_WR_BYTES_RATE=5 "
         "VM_DISK_FL_REQS_RATE=7 VM_DISK_RD_LATENCY=0.5 VM_DISK_WR_LATENCY=1.5 VM_DISK_FL_LATENCY=2 "
         "VM_DISK_RD_REQS=10 VM_DISK_RD_BYTES=20 VM_DISK_RD_NS=5000000 VM_DISK_WR_REQS=40 VM_DISK_WR_BYTES=50 "
         "VM_DISK_WR_NS=60000000 VM_DISK_FL_REQS=70 VM_DISK_FL_NS=140000000 VM_DISK_ERRORS=-"},
        {"no requests: latency is unknown, not zero", "block.0.name=a block.0.rd.reqs=9 block.0.rd.times=9",
         "block.0.name=a block.0.rd.reqs=9 block.0.rd.times=9",
         "a:DISK_RD_REQS_RATE=0 a:DISK_RD_LATENCY=- VM_DISK_RD_LATENCY=-"},
        {"times unknown", "block.0.name=a block.0.rd.reqs=9", "block.0.name=a block.0.rd.reqs=19",
         "a:DISK_RD_REQS_RATE=1 a:DISK_RD_LATENCY=- VM_DISK_RD_LATENCY=-"},
        {"mean over two disks is by request",
         "block.0.name=a block.0.rd.reqs=0 block.0.rd.times=0 block.1.name=b block.1.rd.reqs=0 block.1.rd.times=0",
         "block.0.name=a block.0.rd.reqs=1 block.0.rd.times=10000000 block.1.name=b block.1.rd.reqs=3 "
         "block.1.rd.times=6000000",
         "a:DISK_RD_LATENCY=10 b:DISK_RD_LATENCY=2 VM_DISK_RD_LATENCY=4"},
        {"one was reset",
         "block.0.name=a block.0.rd.reqs=5 block.0.rd.bytes=9 block.1.name=b block.1.rd.reqs=5 block.1.rd.bytes=0",
         "block.0.name=a block.0.rd.reqs=4 block.0.rd.bytes=10 block.1.name=b block.1.rd.reqs=15 block.1.rd.bytes=10",
         "a:DISK_RD_REQS_RATE=- a:DISK_RD_BYTES_RATE=- b:DISK_RD_REQS_RATE=1 VM_DISK_RD_REQS_RATE=- "
         "VM_DISK_RD_BYTES_RATE=-"},
        {"hot-plugged", "block.0.name=a block.0.rd.reqs=5",
         "block.0.name=a block.0.rd.reqs=15 block.1.name=b block.1.rd.reqs=900",
         "b:DISK_RD_REQS_RATE=- VM_DISK_RD_REQS_RATE=1 VM_DISK_RD_REQS=915"},
        {"unplugged", "block.0.name=a block.0.rd.reqs=5 block.1.name=b block.1.rd.reqs=900",
         "block.1.name=b block.1.rd.reqs=910", "b:DISK_RD_REQS_RATE=1 VM_DISK_RD_REQS_RATE=1 VM_DISK_RD_REQS=910"},
        {"a snapshot: another active layer of the same disk", "block.0.name=a block.0.rd.reqs=500 block.0.path=/x",
         "block.0.name=a block.0.rd.reqs=510 block.0.path=/x.snap block.1.name=a block.1.rd.reqs=1 block.1.path=/x",
         "a:DISK_RD_REQS_RATE=1 VM_DISK_RD_REQS_RATE=1 VM_DISK_RD_REQS=510"},
        {"the disk gets smaller: a gauge may", "block.0.name=a block.0.rd.reqs=5 block.0.physical=900",
         "block.0.name=a block.0.rd.reqs=15 block.0.physical=100", "a:DISK_RD_REQS_RATE=1"},
        {"an empty CD-ROM beside a disk", "block.count=2 block.0.name=hda block.1.name=a block.1.rd.reqs=5",
         "block.count=2 block.0.name=hda block.1.name=a block.1.rd.reqs=15",
         "hda:DISK_RD_REQS_RATE=- VM_DISK_RD_REQS_RATE=1 VM_DISK_RD_REQS=15"},
    };
    run_cases(cases, G_N_ELEMENTS(cases));
}

static void sums_say_zero_only_where_that_is_known(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"no disk and no NIC", NULL, "net.count=0 block.count=0",
         "VM_NET_RX_BYTES=0 VM_NET_TX_DROPS=0 VM_DISK_RD_BYTES=0 VM_DISK_FL_NS=0 VM_DISK_ERRORS=-"},
        {"an empty CD-ROM alone", NULL, "block.count=1 block.0.name=hda", "VM_DISK_RD_BYTES=0 VM_DISK_WR_REQS=0"},
        {"nothing said", NULL, "cpu.time=5", "VM_NET_RX_BYTES=- VM_DISK_RD_BYTES=-"},
        {"held by a job: its disks say nothing", NULL,
         "balloon.current=9 block.count=1 block.0.name=vda net.count=1 net.0.name=n net.0.rx.bytes=6",
         "VM_LOCKED=1 VM_DISK_RD_BYTES=- VM_DISK_RD_REQS=- VM_NET_RX_BYTES=6"},
        {"held by a job, without disks", NULL, "balloon.current=9 block.count=0", "VM_LOCKED=1 VM_DISK_RD_BYTES=0"},
        {"held by a job before: no rates of disks", "balloon.current=9 block.count=1 block.0.name=vda",
         "balloon.current=9 balloon.rss=9 block.count=1 block.0.name=vda block.0.rd.reqs=700",
         "VM_DISK_RD_REQS=700 VM_DISK_RD_REQS_RATE=- vda:DISK_RD_REQS_RATE=-"},
        {"held by a job now: no rates of disks",
         "balloon.current=9 balloon.rss=9 block.count=1 block.0.name=vda "
         "block.0.rd.reqs=700",
         "balloon.current=9 block.count=1 block.0.name=vda", "VM_DISK_RD_REQS=- VM_DISK_RD_REQS_RATE=-"},
        {"a figure that this libvirt does not have", NULL, "block.count=1 block.0.name=vda block.0.rd.reqs=7",
         "VM_DISK_RD_REQS=7 VM_DISK_RD_NS=-"},
        {"errors where there are any", NULL, "block.count=1 block.0.name=xvda block.0.errors=7", "VM_DISK_ERRORS=7"},
    };
    run_cases(cases, G_N_ELEMENTS(cases));
}

/* --- memory --- */

#define GUEST "balloon.current=1000 balloon.maximum=2000 balloon.available=800 balloon.usable=200 "

static void memory_figures(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"the guest's own", NULL, GUEST "balloon.last-update=1699999990",
         "VM_MEMORY_USAGE_PERCENT=75 VM_MEMORY_SOURCE=guest VM_MEMORY_USED=1000"},
        {"just fresh", NULL, GUEST "balloon.last-update=1699999880", "VM_MEMORY_SOURCE=guest"},
        {"stale", NULL, GUEST "balloon.last-update=1699999879", "VM_MEMORY_USAGE_PERCENT=50 VM_MEMORY_SOURCE=balloon"},
        {"just told still", NULL, GUEST "balloon.swap_in=4 balloon.last-update=1699999400",
         "VM_MEMORY_AVAILABLE=800 VM_MEMORY_USABLE=200 VM_SWAP_IN=4 VM_MEMORY_SOURCE=balloon"},
        {"too old to be told", NULL,
         GUEST "balloon.unused=100 balloon.swap_in=4 balloon.minor_fault=5 balloon.disk_caches=6 balloon.rss=7 "
               "balloon.last-update=1699999399",
         "VM_MEMORY_AVAILABLE=- VM_MEMORY_USABLE=- VM_MEMORY_UNUSED=- VM_SWAP_IN=- VM_MINOR_FAULT=- VM_DISK_CACHE=- "
         "VM_MEMORY_RSS=7 VM_BALLOON_CURRENT=1000 VM_BALLOON_LAST_UPDATE=1699999399 VM_MEMORY_SOURCE=balloon"},
        {"its clock is a little ahead", NULL, GUEST "balloon.last-update=1700000120", "VM_MEMORY_SOURCE=guest"},
        {"its clock is far ahead", NULL, GUEST "balloon.last-update=1700000121", "VM_MEMORY_SOURCE=balloon"},
        {"absurdly far ahead", NULL, GUEST "balloon.last-update=18446744073709551615", "VM_MEMORY_SOURCE=balloon"},
        {"absurdly far ahead, signed", NULL, GUEST "balloon.last-update=9223372036854775807",
         "VM_MEMORY_SOURCE=balloon"},
        {"never reported", NULL, GUEST "balloon.last-update=0", "VM_MEMORY_SOURCE=balloon"},
        {"never reported, and no wall clock", NULL, GUEST "balloon.last-update=0 wall=0", "VM_MEMORY_SOURCE=balloon"},
        {"no stats period", NULL, GUEST, "VM_MEMORY_USAGE_PERCENT=50 VM_MEMORY_SOURCE=balloon"},
        {"without usable (old guest)", NULL,
         "balloon.current=1000 balloon.maximum=4000 balloon.available=800 balloon.last-update=1699999990",
         "VM_MEMORY_USAGE_PERCENT=25 VM_MEMORY_SOURCE=balloon"},
        {"more usable than available", NULL,
         "balloon.current=1000 balloon.maximum=4000 balloon.available=8 balloon.usable=9 "
         "balloon.last-update=1700000000",
         "VM_MEMORY_USAGE_PERCENT=25 VM_MEMORY_SOURCE=balloon"},
        {"nothing available", NULL,
         "balloon.current=1000 balloon.maximum=4000 balloon.available=0 balloon.usable=0 "
         "balloon.last-update=1700000000",
         "VM_MEMORY_USAGE_PERCENT=25 VM_MEMORY_SOURCE=balloon"},
        {"all of it used", NULL, "balloon.available=800 balloon.usable=0 balloon.last-update=1700000000",
         "VM_MEMORY_USAGE_PERCENT=100 VM_MEMORY_SOURCE=guest VM_MEMORY_USED=-"},
        {"current above maximum", NULL, "balloon.current=3000 balloon.maximum=2000", "VM_MEMORY_USAGE_PERCENT=100"},
        {"maximum zero", NULL, "balloon.current=3000 balloon.maximum=0",
         "VM_MEMORY_USAGE_PERCENT=- VM_MEMORY_SOURCE=-"},
        {"maximum unknown", NULL, "balloon.current=3000", "VM_MEMORY_USAGE_PERCENT=- VM_MEMORY_USED=3000"},
        {"nothing known", NULL, "cpu.time=5",
         "VM_MEMORY_USAGE_PERCENT=- VM_MEMORY_SOURCE=- VM_MEMORY_USED=- VM_MEMORY_HOST=-"},
        {"of the host, swap unknown", NULL, "balloon.rss=900", "VM_MEMORY_HOST=900"},
        {"of the host, with swap", NULL, "balloon.rss=900 proc.swap=100", "VM_MEMORY_HOST=1000"},
        {"of the host, RSS unknown", NULL, "proc.swap=100", "VM_MEMORY_HOST=-"},
        {"the guest's swap and faults",
         "balloon.swap_in=0 balloon.swap_out=10 balloon.major_fault=0 "
         "balloon.minor_fault=5",
         "balloon.swap_in=40 balloon.swap_out=10 balloon.major_fault=5 balloon.minor_fault=1005",
         "VM_SWAP_IN_RATE=4 VM_SWAP_OUT_RATE=0 VM_MAJOR_FAULT_RATE=0.5 VM_MINOR_FAULT_RATE=100"},
        {"the guest rebooted: what fell has no rate, the rest goes on",
         "cpu.time=0 balloon.swap_in=90 balloon.major_fault=90 balloon.minor_fault=5",
         "cpu.time=5000000000 balloon.swap_in=9 balloon.major_fault=0 balloon.minor_fault=15",
         "VM_SWAP_IN_RATE=- VM_MAJOR_FAULT_RATE=- VM_MINOR_FAULT_RATE=1 VM_CPU_CORE_PERCENT=50"},
    };
    run_cases(cases, G_N_ELEMENTS(cases));
}

/* --- property: no rate is ever negative, no number, or more than there was --- */

static guint64 random_counter(GRand *random)
{
    static const guint64 edges[] = {0, 1, (guint64)1 << 53, G_MAXINT64, G_MAXUINT64};
    if (g_rand_int_range(random, 0, 6) == 0)
        return edges[g_rand_int_range(random, 0, G_N_ELEMENTS(edges))];
    return ((guint64)g_rand_int(random) << 32 | g_rand_int(random)) >> g_rand_int_range(random, 1, 64);
}

static void random_figures(GRand *random, MetricRow *row, const MetricRow *before)
{
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        guint64 old;
        if (metric_info[m].kind > KIND_GAUGE || metric_info[m].cost == COST_NONE || g_rand_int_range(random, 0, 8) == 0)
            continue;
        /* As a rule a counter grows. */
        if (before && row_get_u64(before, m, &old) && g_rand_int_range(random, 0, 12))
            row_set_u64(row, m, old + MIN(random_counter(random), G_MAXUINT64 - old));
        else
            row_set_u64(row, m, random_counter(random));
    }
}

static void random_devices(GRand *random, VmSample *vm, const VmSample *before, Scope scope, Metric name)
{
    for (guint index = 0; index < 4; index++) {
        if (g_rand_int_range(random, 0, 4) == 0)
            continue;
        MetricRow *row = vm_sample_row(vm, scope, index), *other = NULL;
        const GPtrArray *others = before ? vm_sample_rows(before, scope) : NULL;
        if (others && others->len && g_rand_int_range(random, 0, 8))
            other = g_ptr_array_index(others, (guint)g_rand_int_range(random, 0, (gint32)others->len));
        random_figures(random, row, other);
        if (scope == SCOPE_VCPU)
            continue;
        g_autofree char *fresh = g_strdup_printf("dev%d", g_rand_int_range(random, 0, 6));
        row_set_text(row, name, other && row_text(other, name) ? row_text(other, name) : fresh);
    }
}

static Sample *random_pair_member(GRand *random, const Sample *before)
{
    Sample *sample = sample_new();
    sample->boot_id = g_strdup(g_rand_int_range(random, 0, 20) ? "boot-1" : "boot-2");
    sample->host = g_strdup(g_rand_int_range(random, 0, 20) ? "kvm-a" : "kvm-b");
    sample->realtime_ns = (gint64)(random_counter(random) & G_MAXINT64);
    for (guint i = 1; i < 4; i++) {
        g_autofree char *name = g_strdup_printf("one-%u", i), *uuid = g_strdup_printf("u%u", i);
        VmSample *vm = add_vm(sample, name, uuid, g_rand_int_range(random, 0, 20) ? 7 : 8);
        const VmSample *other = sample_find(before, vm);
        vm->boottime_ns = other && g_rand_int_range(random, 0, 8)
                              ? (gint64)MIN((guint64)other->boottime_ns + (guint64)g_rand_double_range(random, 0, 4e12),
                                            (guint64)G_MAXINT64)
                              : (gint64)(random_counter(random) & G_MAXINT64);
        random_figures(random, vm->row, other ? other->row : NULL);
        if (g_rand_boolean(random))
            row_set_u64(vm->row, METRIC_VM_VCPUS, (guint64)g_rand_int_range(random, 0, 9));
        random_devices(random, vm, other, SCOPE_VCPU, METRIC_VCPU_STATE);
        random_devices(random, vm, other, SCOPE_NIC, METRIC_NIC_NAME);
        random_devices(random, vm, other, SCOPE_DISK, METRIC_DISK_NAME);
    }
    return sample;
}

/* The most that a counter can have grown by: to what it is now, from zero. A VM's is its devices' together. */
static double most_change(const VmSample *vm, const MetricRow *row, Metric m)
{
    const MetricInfo *info = &metric_info[m];
    if (info->origin != ORIGIN_SUM)
        return (double)row_u64(row, m);
    const GPtrArray *rows = vm_sample_rows(vm, metric_info[info->of].scope);
    double most = 0;
    for (guint i = 0; i < rows->len; i++)
        most += (double)row_u64(g_ptr_array_index(rows, i), info->of);
    return most;
}

static double most_possible(const VmSample *vm, const MetricRow *row, Metric m, double seconds)
{
    const MetricInfo *info = &metric_info[m];
    switch (info->origin) {
    case ORIGIN_RATE:
        return most_change(vm, row, info->of) / seconds;
    case ORIGIN_MEAN_MS:
        return most_change(vm, row, info->of) / 1e6;
    default:
        return m == METRIC_VM_CPU_CORE_PERCENT ? 100 * (double)row_u64(row, METRIC_VM_CPU_TIME) / 1e9 / seconds : 100;
    }
}

static guint check_row_is_possible(const VmSample *vm, const MetricRow *row, double seconds)
{
    guint figures = 0;
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        if (metric_info[m].kind != KIND_REAL || !row_has(row, m))
            continue;
        double value = row_real(row, m), most = most_possible(vm, row, m, seconds);
        CHECK(isfinite(value) && value >= 0, "%s = %g", metric_info[m].name, value);
        CHECK(value >= 1e12 || value == round(value * 1000) / 1000, "%s = %.17g", metric_info[m].name, value);
        CHECK(value <= most * (1 + 1e-9) + HALF_MILLI, "%s = %g, at most %g", metric_info[m].name, value, most);
        figures++;
    }
    return figures;
}

static guint check_vm_is_possible(const VmSample *vm, const VmSample *before)
{
    const Scope scopes[] = {SCOPE_VCPU, SCOPE_NIC, SCOPE_DISK};
    double seconds = before ? (double)(vm->boottime_ns - before->boottime_ns) / 1e9 : 0;
    guint figures = check_row_is_possible(vm, vm->row, seconds);
    for (guint s = 0; s < G_N_ELEMENTS(scopes); s++)
        for (guint i = 0; i < vm_sample_rows(vm, scopes[s])->len; i++)
            figures += check_row_is_possible(vm, g_ptr_array_index(vm_sample_rows(vm, scopes[s]), i), seconds);
    return figures;
}

static void no_rate_is_impossible(void **state)
{
    (void)state;
    g_autoptr(GRand) random = seeded_random();
    guint figures = 0;
    for (guint round = 0; round < 3000; round++) {
        g_autoptr(Sample) before = random_pair_member(random, NULL), now = random_pair_member(random, before);
        derive_both(before, now);
        for (guint i = 0; i < now->vms->len; i++) {
            const VmSample *vm = g_ptr_array_index(now->vms, i);
            figures += check_vm_is_possible(vm, sample_find(before, vm));
        }
    }
    assert_true(figures > 100000); /* it was about something */
}

/* Whatever the pair, a sample on its own gives no rates. */
static void a_sample_alone_has_no_rates(void **state)
{
    (void)state;
    g_autoptr(GRand) random = seeded_random();
    for (guint round = 0; round < 200; round++) {
        g_autoptr(Sample) now = random_pair_member(random, NULL);
        derive_both(NULL, now);
        for (guint i = 0; i < now->vms->len; i++)
            check_no_pair("alone", g_ptr_array_index(now->vms, i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_two_samples_of_one_run_make_rates),
        cmocka_unit_test(elapsed_time_is_boottime),
        cmocka_unit_test(each_vm_has_its_own_time),
        cmocka_unit_test(rates_are_taken_over_the_time_of_their_group),
        cmocka_unit_test(an_idle_disc_has_rates_of_its_own_readings),
        cmocka_unit_test(a_fast_sample_holds_the_rates_too),
        cmocka_unit_test(cpu_percentages),
        cmocka_unit_test(network_rates),
        cmocka_unit_test(disk_rates),
        cmocka_unit_test(sums_say_zero_only_where_that_is_known),
        cmocka_unit_test(memory_figures),
        cmocka_unit_test(no_rate_is_impossible),
        cmocka_unit_test(a_sample_alone_has_no_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
