/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/domstats.h"
#include "gather_helpers.h"

#include <string.h>

#define HEADER "# one-telemetry domstats 1 realtime=1 boottime=2 cycle=3 tier=0 boot=b host=h\n"

static char *write_sample(const Sample *sample)
{
    GString *text = g_string_new(NULL);
    domstats_write(sample, text);
    return g_string_free(text, FALSE);
}

static VmSample *vm_at(const Sample *sample, guint i)
{
    return g_ptr_array_index(sample->vms, i);
}

static MetricRow *row_at(const VmSample *vm, Scope scope, guint i)
{
    return g_ptr_array_index(vm_sample_rows(vm, scope), i);
}

/* --- recordings of virsh --- */

typedef struct {
    Scope scope; /* the VM's row, or the first of its devices */
    Metric m;
    guint64 value;
} Figure;

static const Figure of_one_10[] = {
    {SCOPE_VM, METRIC_VM_STATE, 1},
    {SCOPE_VM, METRIC_VM_STATE_REASON, 1},
    {SCOPE_VM, METRIC_VM_CPU_TIME, 99090000000},
    {SCOPE_VM, METRIC_VM_CPU_USER, 3430000000},
    {SCOPE_VM, METRIC_VM_CPU_SYSTEM, 95660000000},
    {SCOPE_VM, METRIC_VM_BALLOON_CURRENT, 32768},
    {SCOPE_VM, METRIC_VM_MEMORY_MAX, 32768},
    {SCOPE_VM, METRIC_VM_MEMORY_RSS, 41620},
    {SCOPE_VM, METRIC_VM_BALLOON_LAST_UPDATE, 0},
    {SCOPE_VM, METRIC_VM_VCPUS, 1},
    {SCOPE_VM, METRIC_VM_VCPUS_MAX, 1},
    {SCOPE_VM, METRIC_VM_NIC_COUNT, 1},
    {SCOPE_VM, METRIC_VM_DISK_COUNT, 1},
    {SCOPE_VCPU, METRIC_VCPU_STATE, 1},
    {SCOPE_VCPU, METRIC_VCPU_TIME, 87790000000},
    {SCOPE_VCPU, METRIC_VCPU_WAIT, 0},
    {SCOPE_VCPU, METRIC_VCPU_DELAY, 49072511122},
    {SCOPE_NIC, METRIC_NIC_RX_BYTES, 110},
    {SCOPE_NIC, METRIC_NIC_RX_PACKETS, 1},
    {SCOPE_NIC, METRIC_NIC_RX_ERRORS, 0},
    {SCOPE_NIC, METRIC_NIC_RX_DROPS, 1},
    {SCOPE_NIC, METRIC_NIC_TX_BYTES, 0},
    {SCOPE_DISK, METRIC_DISK_RD_REQS, 24005},
    {SCOPE_DISK, METRIC_DISK_RD_BYTES, 12290560},
    {SCOPE_DISK, METRIC_DISK_RD_NS, 12660299942},
    {SCOPE_DISK, METRIC_DISK_WR_REQS, 24004},
    {SCOPE_DISK, METRIC_DISK_WR_BYTES, 12290048},
    {SCOPE_DISK, METRIC_DISK_WR_NS, 31443343870},
    {SCOPE_DISK, METRIC_DISK_FL_REQS, 0},
    {SCOPE_DISK, METRIC_DISK_FL_NS, 0},
    {SCOPE_DISK, METRIC_DISK_CAPACITY, 2097152},
    {SCOPE_DISK, METRIC_DISK_ALLOCATION, 524288},
    {SCOPE_DISK, METRIC_DISK_PHYSICAL, 524288},
};

static void a_recording_of_virsh_is_read(void **state)
{
    (void)state;
    gsize length;
    g_autofree char *text = read_test_data("golden/recorded/one-kvm-a.txt", &length);
    g_autoptr(Sample) sample = parse_domstats(text);
    assert_true(sample->realtime_ns == 0 && sample->boottime_ns == 0 && sample->cycle == 0);
    assert_null(sample->host);
    assert_null(sample->boot_id);
    assert_int_equal(sample->vms->len, 3);
    static const char *const names[] = {"one-10", "one-9", "one-12"}; /* as they come */
    for (guint i = 0; i < 3; i++) {
        const VmSample *vm = vm_at(sample, i);
        assert_string_equal(vm->name, names[i]);
        assert_null(vm->uuid);
        assert_true(vm->domain_id == -1 && vm->boottime_ns == 0);
        assert_int_equal(vm->vcpus->len, 1);
        assert_int_equal(vm->nics->len, 1);
        assert_int_equal(vm->disks->len, 1);
    }
    const VmSample *vm = vm_at(sample, 0);
    guint present = 0;
    for (guint i = 0; i < G_N_ELEMENTS(of_one_10); i++) {
        const Figure *figure = &of_one_10[i];
        const MetricRow *row = figure->scope == SCOPE_VM ? vm->row : row_at(vm, figure->scope, 0);
        CHECK(row_has(row, figure->m), "%s", metric_info[figure->m].name);
        CHECK(row_u64(row, figure->m) == figure->value, "%s", metric_info[figure->m].name);
        present += figure->scope == SCOPE_VM;
    }
    for (guint i = 0; i < metric_count(SCOPE_VM); i++)
        present -= row_has(vm->row, metric_first(SCOPE_VM) + i);
    assert_int_equal(present, 0); /* and no others */
    assert_string_equal(row_device_name(row_at(vm, SCOPE_NIC, 0)), "one-10-0");
    assert_string_equal(row_device_name(row_at(vm, SCOPE_DISK, 0)), "vda");
    assert_string_equal(row_text(row_at(vm, SCOPE_DISK, 0), METRIC_DISK_PATH), "/var/lib/one//datastores/0/10/disk.0");
    assert_true(row_u64(vm_at(sample, 2)->row, METRIC_VM_CPU_TIME) == 873730000000);
}

static void recordings_survive_being_written(void **state)
{
    (void)state;
    static const char *const names[] = {"golden/recorded/one-kvm-a.txt", "golden/recorded/one-kvm-b.txt"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *text = read_test_data(names[i], NULL);
        g_autoptr(Sample) sample = parse_domstats(text);
        g_autofree char *written = write_sample(sample);
        g_autoptr(Sample) again = parse_domstats(written);
        check_same_raw(again, sample);
    }
}

/* --- the form with a header --- */

static void every_part_has_its_line(void **state)
{
    (void)state;
    static const char text[] =
        "# one-telemetry domstats 1 realtime=1795356180123456789 boottime=86400000000001 cycle=42 "
        "tier=3 spool=4294967295 boot=2b5e4f2e host=kvm node 7\n"
        "Domain: 'one-83'\n"
        "  domain.uuid=34190a2e-2b0a-44dd-b068-68ec02034b5f\n"
        "  domain.id=12\n"
        "  domain.boottime=86400000000000\n"
        "  domain.ran=1\n"
        "  domain.xml-devices=one-83-0,one-83-1\n"
        "  domain.sent-keys=CPU MEMORY\n"
        "  state.state=1\n"
        "  domain.locked=0\n"
        "  cpu.time=18446744073709551615\n"
        "  one.name=web \"1\"\\nx\\\\y é\n"
        "  vcpu.3.halted=1\n"
        "  net.1.name=one-83-1\n"
        "  net.1.mac=02:00:c0:a8:96:14\n"
        "  block.0.name=vda\n"
        "  block.0.rd.reqs=7\n"
        "Domain: 'one-84'\n"
        "  domain.boottime=0\n"
        "  domain.ran=0\n"
        "# end 2\n";
    g_autoptr(Sample) sample = parse_domstats(text);
    assert_true(sample->realtime_ns == G_GINT64_CONSTANT(1795356180123456789));
    assert_true(sample->boottime_ns == G_GINT64_CONSTANT(86400000000001));
    assert_true(sample->cycle == 42);
    assert_int_equal(sample->sent_tier, 3);
    assert_string_equal(sample->boot_id, "2b5e4f2e");
    assert_string_equal(sample->host, "kvm node 7");
    assert_int_equal(sample->vms->len, 2);
    const VmSample *vm = vm_at(sample, 0), *bare = vm_at(sample, 1);
    assert_string_equal(vm->uuid, "34190a2e-2b0a-44dd-b068-68ec02034b5f");
    assert_true(vm->vm_id == 83 && vm->domain_id == 12);
    assert_true(vm->boottime_ns == G_GINT64_CONSTANT(86400000000000));
    assert_true(vm->ran);
    assert_string_equal(vm->xml_devices, "one-83-0,one-83-1");
    assert_string_equal(vm->sent_keys, "CPU MEMORY");
    assert_true(row_u64(vm->row, METRIC_VM_CPU_TIME) == G_MAXUINT64);
    assert_true(row_has(vm->row, METRIC_VM_LOCKED) && row_u64(vm->row, METRIC_VM_LOCKED) == 0);
    assert_string_equal(row_text(vm->row, METRIC_VM_VM_NAME), "web \"1\"\nx\\y é");
    assert_int_equal(row_at(vm, SCOPE_VCPU, 0)->index, 3);
    assert_string_equal(row_text(row_at(vm, SCOPE_NIC, 0), METRIC_NIC_MAC), "02:00:c0:a8:96:14");
    assert_null(bare->uuid);
    assert_null(bare->sent_keys);
    assert_true(bare->domain_id == -1 && !bare->ran);
    g_autofree char *written = write_sample(sample);
    assert_string_equal(written, text);
}

static void texts_survive(void **state)
{
    (void)state;
    g_autofree char *long_text = g_strnfill(300, 'x');
    const char *const texts[] = {"",
                                 " ",
                                 " a ",
                                 "a b",
                                 "a\nb",
                                 "\n",
                                 "\r\n",
                                 "\t",
                                 "\\",
                                 "\\\\",
                                 "\\n",
                                 "\\012",
                                 "\"",
                                 "'",
                                 "=",
                                 "a=b",
                                 "# end",
                                 "Domain: 'one-1'",
                                 "a\nDomain: 'one-1'\n  x=y",
                                 "é",
                                 "漢字",
                                 "🙂",
                                 "\x01\x1f\x7f",
                                 "\xff\xfe",
                                 "</one:name>",
                                 "%s%n",
                                 long_text};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(Sample) sample = sample_new();
        VmSample *vm = add_vm(sample, "one-83", texts[i], 7);
        sample->host = g_strdup(texts[i]);
        vm->sent_keys = g_strdup(texts[i]);
        vm->xml_devices = g_strdup(texts[i]);
        row_set_text(vm->row, METRIC_VM_VM_NAME, texts[i]);
        row_set_text(vm_sample_row(vm, SCOPE_DISK, 0), METRIC_DISK_PATH, texts[i]);
        g_autofree char *written = write_sample(sample);
        g_autoptr(Sample) again = parse_domstats(written);
        check_same_raw(again, sample);
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    g_autoptr(GRand) random = seeded_random();
    for (guint round = 0; round < 500; round++) {
        g_autoptr(Sample) sample = random_raw_sample(random);
        g_autofree char *written = write_sample(sample);
        g_autoptr(Sample) again = parse_domstats(written);
        check_same_raw(again, sample);
        g_autofree char *rewritten = write_sample(again);
        assert_string_equal(rewritten, written);
    }
}

static void several_collections_make_several_samples(void **state)
{
    (void)state;
    g_autoptr(GRand) random = seeded_random();
    g_autoptr(GPtrArray) wanted = g_ptr_array_new_with_free_func((GDestroyNotify)sample_free);
    GString *text = g_string_new("# a comment before\n\n");
    for (guint i = 0; i < 20; i++) {
        Sample *sample = random_raw_sample(random);
        g_ptr_array_add(wanted, sample);
        domstats_write(sample, text);
        if (i % 3 == 0)
            g_string_append(text, "\n# a comment between\n");
    }
    g_string_append(text, "Domain: 'one-5'\n  cpu.time=4\nDomain: 'one-6'\n"); /* and what virsh said */
    g_autoptr(GPtrArray) samples = domstats_read(text->str, text->len, NULL);
    g_string_free(text, TRUE);
    assert_non_null(samples);
    assert_int_equal(samples->len, 21);
    for (guint i = 0; i < 20; i++)
        check_same_raw(g_ptr_array_index(samples, i), g_ptr_array_index(wanted, i));
    const Sample *last = g_ptr_array_index(samples, 20);
    assert_int_equal(last->vms->len, 2);
    assert_null(last->host);
    assert_true(row_u64(vm_at(last, 0)->row, METRIC_VM_CPU_TIME) == 4);
}

/* --- leniency: newer libvirts send more, other people's domains stand between ours --- */

static void unknown_things_are_skipped(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = parse_domstats("Domain: 'web'\n  cpu.time=1\n  net.0.rx.bytes=nonsense\n"
                                              "\n"
                                              "Domain: 'one-83'\n"
                                              "\tcpu.time=5\n"
                                              "  cpu.cache.monitor.count=0\n"
                                              "  vcpu.0.halt_exits.sum=24002\n"
                                              "  vcpu.9.blocking.cur=no\n"
                                              "  net.0.future=1.5\n"
                                              "  net.0=1\n"
                                              "  net.x.rx.bytes=1\n"
                                              "  net..rx.bytes=1\n"
                                              "  net.-1.rx.bytes=1\n"
                                              "  net.1234567.rx.bytes=1\n"
                                              "  vcpu.0.=1\n"
                                              "  block.0.backingIndex=1\n"
                                              "  dirtyrate.calc_mode=page-sampling\n"
                                              "  cpu_core_percent=4\n"
                                              "  x\xff=\xff\n"
                                              "  one.future==\n"
                                              "# a comment\n"
                                              "   \t\n"
                                              "  balloon.rss=6\n"
                                              "Domain: 'one-84x'\n  cpu.time=junk\n"
                                              "Domain: ''\n  cpu.time=junk\n"
                                              "Domain: 'it's'\n  junk=\n"
                                              "Domain: 'web'\n");
    assert_int_equal(sample->vms->len, 1);
    const VmSample *vm = vm_at(sample, 0);
    assert_true(row_u64(vm->row, METRIC_VM_CPU_TIME) == 5);
    assert_true(row_u64(vm->row, METRIC_VM_MEMORY_RSS) == 6);
    assert_int_equal(vm->vcpus->len + vm->nics->len + vm->disks->len, 0); /* no rows for unknown keys */
}

/* Without a header, a backslash is a backslash. */
static void texts_of_virsh_are_taken_as_they_are(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = parse_domstats("Domain: 'one-83'\n  block.0.path=C:\\new\\\n  net.0.name= a=b \n");
    assert_string_equal(row_text(row_at(vm_at(sample, 0), SCOPE_DISK, 0), METRIC_DISK_PATH), "C:\\new\\");
    assert_string_equal(row_text(row_at(vm_at(sample, 0), SCOPE_NIC, 0), METRIC_NIC_NAME), " a=b ");
}

static void indexes_have_gaps_and_ceilings(void **state)
{
    (void)state;
    GString *text = g_string_new("Domain: 'one-83'\n  block.7.rd.reqs=1\n  block.999999.rd.reqs=2\n");
    for (guint i = 0; i < 2 * SAMPLE_DEVICES_MAX; i++)
        g_string_append_printf(text, "  net.%u.rx.bytes=%u\n", i, i);
    g_string_append(text, "  block.7.wr.reqs=3\n");
    g_autoptr(Sample) sample = parse_domstats(text->str);
    g_string_free(text, TRUE);
    const VmSample *vm = vm_at(sample, 0);
    assert_int_equal(vm->disks->len, 2);
    assert_int_equal(row_at(vm, SCOPE_DISK, 1)->index, 999999);
    assert_true(row_u64(row_at(vm, SCOPE_DISK, 0), METRIC_DISK_WR_REQS) == 3);
    assert_int_equal(vm->nics->len, SAMPLE_DEVICES_MAX);
}

static void flags_come_as_words_or_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        guint64 value;
    } cases[] = {{"yes", 1}, {"no", 0}, {"1", 1}, {"0", 0}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strdup_printf("Domain: 'one-83'\n  vcpu.0.halted=%s\n", cases[i].text);
        g_autoptr(Sample) sample = parse_domstats(text);
        CHECK(row_u64(row_at(vm_at(sample, 0), SCOPE_VCPU, 0), METRIC_VCPU_HALTED) == cases[i].value, "%s",
              cases[i].text);
    }
}

/* What libvirt.c files, value by value. */
static void typed_values_are_filed_by_kind(void **state)
{
    (void)state;
    g_autoptr(VmSample) vm = vm_sample_new("one-83");
    domstats_set_u64(vm, "cpu.time", G_MAXUINT64);
    domstats_set_text(vm, "cpu.time", "text for a counter");
    domstats_set_text(vm, "block.2.name", "vda");
    domstats_set_u64(vm, "block.2.name", 5);
    domstats_set_u64(vm, "block.2.rd.reqs", 6);
    domstats_set_u64(vm, "no.such.key", 7);
    domstats_set_text(vm, "vcpu.1.no.such.key", "x");
    assert_true(row_u64(vm->row, METRIC_VM_CPU_TIME) == G_MAXUINT64);
    assert_int_equal(vm->disks->len, 1);
    assert_int_equal(vm->vcpus->len, 0);
    assert_string_equal(row_device_name(row_at(vm, SCOPE_DISK, 0)), "vda");
    assert_true(row_u64(row_at(vm, SCOPE_DISK, 0), METRIC_DISK_RD_REQS) == 6);
}

/* --- refusals --- */

typedef struct {
    const char *text;
    DomstatsErrorCode code;
    const char *message;
} Refusal;

#define EXPECTED "expected Domain: 'NAME' or an indented key=value, found "
#define NOT_WHOLE ": expected a whole number from 0 to 2^64-1"
#define IN_HEADER " in the header: expected realtime=, boottime=, cycle=, tier= or spool= with a whole number"
#define CUT_OFF "the file ends without its \"# end\" line: it was cut off"
#define START "# one-telemetry domstats 1 "

static const Refusal refusals[] = {
    {"", DOMSTATS_ERROR_TRUNCATED, "line 1: the file holds no domain and no header"},
    {"\n\n", DOMSTATS_ERROR_TRUNCATED, "line 3: the file holds no domain and no header"},
    {"# comment\n", DOMSTATS_ERROR_TRUNCATED, "line 2: the file holds no domain and no header"},
    {"garbage\n", DOMSTATS_ERROR_SYNTAX, "line 1: " EXPECTED "\"garbage\""},
    {"  state.state=1\n", DOMSTATS_ERROR_SYNTAX, "line 1: " EXPECTED "\"  state.state=1\""},
    {"Domain: 'one-1'\nstate.state=1\n", DOMSTATS_ERROR_SYNTAX, "line 2: " EXPECTED "\"state.state=1\""},
    {"Domain: 'one-1'\n  state.state\n", DOMSTATS_ERROR_SYNTAX, "line 2: " EXPECTED "\"  state.state\""},
    {"Domain: 'one-1'\n  =5\n", DOMSTATS_ERROR_SYNTAX, "line 2: " EXPECTED "\"  =5\""},
    {"Domain: 'web'\ngarbage\n", DOMSTATS_ERROR_SYNTAX, "line 2: " EXPECTED "\"garbage\""},
    {"Domain: one-1\n", DOMSTATS_ERROR_SYNTAX, "line 1: " EXPECTED "\"Domain: one-1\""},
    {"error: \x1b[31mno\n", DOMSTATS_ERROR_SYNTAX, "line 1: " EXPECTED "\"error: \\033[31mno\""},
    {"Domain: 'one-1\n", DOMSTATS_ERROR_SYNTAX, "line 1: expected Domain: 'NAME', the closing quote is missing"},
    {"Domain: 'one-1'\r\n", DOMSTATS_ERROR_SYNTAX, "line 1: expected Domain: 'NAME', the closing quote is missing"},
    {"\nDomain: '", DOMSTATS_ERROR_SYNTAX, "line 2: expected Domain: 'NAME', the closing quote is missing"},
    {"Domain: 'one-1'\nDomain: 'one-2'\nDomain: 'one-1'\n", DOMSTATS_ERROR_SYNTAX,
     "line 3: one-1 a second time in one collection"},
    {"Domain: 'one-1'\n  cpu.time=\n", DOMSTATS_ERROR_SYNTAX, "line 2: cpu.time=" NOT_WHOLE},
    {"Domain: 'one-1'\n  cpu.time=-1\n", DOMSTATS_ERROR_SYNTAX, "line 2: cpu.time=-1" NOT_WHOLE},
    {"Domain: 'one-1'\n  cpu.time=+1\n", DOMSTATS_ERROR_SYNTAX, "line 2: cpu.time=+1" NOT_WHOLE},
    {"Domain: 'one-1'\n  cpu.time=1.5\n", DOMSTATS_ERROR_SYNTAX, "line 2: cpu.time=1.5" NOT_WHOLE},
    {"Domain: 'one-1'\n  cpu.time=1e9\n", DOMSTATS_ERROR_SYNTAX, "line 2: cpu.time=1e9" NOT_WHOLE},
    {"Domain: 'one-1'\n  cpu.time=0x1\n", DOMSTATS_ERROR_SYNTAX, "line 2: cpu.time=0x1" NOT_WHOLE},
    {"Domain: 'one-1'\n  cpu.time= 1\n", DOMSTATS_ERROR_SYNTAX, "line 2: cpu.time= 1" NOT_WHOLE},
    {"Domain: 'one-1'\n  cpu.time=1 \n", DOMSTATS_ERROR_SYNTAX, "line 2: cpu.time=1 " NOT_WHOLE},
    {"Domain: 'one-1'\n  cpu.time=yes\n", DOMSTATS_ERROR_SYNTAX, "line 2: cpu.time=yes" NOT_WHOLE},
    {"Domain: 'one-1'\n  vcpu.0.halted=YES\n", DOMSTATS_ERROR_SYNTAX, "line 2: vcpu.0.halted=YES" NOT_WHOLE},
    {"Domain: 'one-1'\n  cpu.time=18446744073709551616\n", DOMSTATS_ERROR_SYNTAX,
     "line 2: cpu.time=18446744073709551616" NOT_WHOLE},
    {"Domain: 'one-1'\n\n  net.0.rx.bytes=99999999999999999999999999\n", DOMSTATS_ERROR_SYNTAX,
     "line 3: net.0.rx.bytes=99999999999999999999999999" NOT_WHOLE},
    {"Domain: 'one-1'\n  domain.id=-1\n", DOMSTATS_ERROR_SYNTAX, "line 2: domain.id=-1: expected a whole number"},
    {"Domain: 'one-1'\n  domain.boottime=9223372036854775808\n", DOMSTATS_ERROR_SYNTAX,
     "line 2: domain.boottime=9223372036854775808: expected a whole number"},
    {"# end 1\n", DOMSTATS_ERROR_SYNTAX, "line 1: \"# end\" without a header before it"},
    {"Domain: 'one-1'\n# end 1\n", DOMSTATS_ERROR_SYNTAX, "line 2: \"# end\" without a header before it"},
    {HEADER "# end 0\n# end 0\n", DOMSTATS_ERROR_SYNTAX, "line 3: \"# end\" without a header before it"},
    {HEADER, DOMSTATS_ERROR_TRUNCATED, "line 2: " CUT_OFF},
    {HEADER "Domain: 'one-1'\n", DOMSTATS_ERROR_TRUNCATED, "line 3: " CUT_OFF},
    {HEADER "Domain: 'one-1'\n# end 2\n", DOMSTATS_ERROR_TRUNCATED,
     "line 3: \"# end 2\" after 1 domains: some are missing"},
    {HEADER "Domain: 'one-1'\n# end 0\n", DOMSTATS_ERROR_TRUNCATED,
     "line 3: \"# end 0\" after 1 domains: some are missing"},
    {HEADER "# end \n", DOMSTATS_ERROR_TRUNCATED, "line 2: \"# end \" after 0 domains: some are missing"},
    {HEADER "# end 0x\n", DOMSTATS_ERROR_TRUNCATED, "line 2: \"# end 0x\" after 0 domains: some are missing"},
    {HEADER "Domain: 'one-1'\n" HEADER "# end 0\n", DOMSTATS_ERROR_TRUNCATED,
     "line 3: the collection before has no \"# end\" line: it was cut off"},
    {HEADER "# end 0\n  cpu.time=1\n", DOMSTATS_ERROR_SYNTAX, "line 3: " EXPECTED "\"  cpu.time=1\""},
    {HEADER "  cpu.time=1\n# end 0\n", DOMSTATS_ERROR_SYNTAX, "line 2: " EXPECTED "\"  cpu.time=1\""},
    {HEADER "Domain: 'one-1'\n  one.name=a\\\n# end 1\n", DOMSTATS_ERROR_SYNTAX,
     "line 3: one.name=a\\\\: ends in half an escape"},
    {HEADER "Domain: 'one-1'\n  one.future=a\\\\\\\n# end 1\n", DOMSTATS_ERROR_SYNTAX,
     "line 3: one.future=a\\\\\\\\\\\\: ends in half an escape"},
    {START "realtime=1 host=h\\\n# end 0\n", DOMSTATS_ERROR_SYNTAX, "line 1: host=h\\\\: ends in half an escape"},
    {START "realtime=x\n# end 0\n", DOMSTATS_ERROR_SYNTAX, "line 1: \"realtime\"" IN_HEADER},
    {START "realtime=-1\n# end 0\n", DOMSTATS_ERROR_SYNTAX, "line 1: \"realtime\"" IN_HEADER},
    {START "boottime=9223372036854775808\n# end 0\n", DOMSTATS_ERROR_SYNTAX, "line 1: \"boottime\"" IN_HEADER},
    {START "cycle=18446744073709551616\n# end 0\n", DOMSTATS_ERROR_SYNTAX, "line 1: \"cycle\"" IN_HEADER},
    {START "tier=6\n# end 0\n", DOMSTATS_ERROR_SYNTAX, "line 1: \"tier\"" IN_HEADER},
    {START "spool=4294967296\n# end 0\n", DOMSTATS_ERROR_SYNTAX, "line 1: \"spool\"" IN_HEADER},
    {START "realtime=1 junk\n# end 0\n", DOMSTATS_ERROR_SYNTAX, "line 1: \"junk\"" IN_HEADER},
};

static void damage_is_refused_and_named(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) samples = domstats_read(refusals[i].text, strlen(refusals[i].text), &error);
        CHECK(!samples && error, "accepted: %s", refusals[i].text);
        CHECK_TEXT(error->message, refusals[i].message, refusals[i].text);
        CHECK(g_error_matches(error, DOMSTATS_ERROR, (gint)refusals[i].code), "%s", refusals[i].text);
        assert_null(domstats_read(refusals[i].text, strlen(refusals[i].text), NULL)); /* nobody asked why */
    }
}

static void a_nul_byte_is_refused(void **state)
{
    (void)state;
    static const char text[] = "Domain: 'one-1'\n  cpu.time=1\0\n";
    g_autoptr(GError) error = NULL;
    assert_null(domstats_read(text, sizeof text - 1, &error));
    assert_string_equal(error->message, "line 2: a NUL byte: this is no text");
}

/* A line of any length and content makes a short message that is text. */
static void messages_are_short_and_printable(void **state)
{
    (void)state;
    static const char *const beginnings[] = {"",
                                             "  cpu.time=",
                                             "Domain: 'one-1'\n  cpu.time=",
                                             START,
                                             START "realtime=1 host=",
                                             HEADER "# end ",
                                             HEADER "# end 0\n  ",
                                             "Domain: 'one-1'\n  domain.id="};
    static const char *const fills[] = {"x", "é", "漢", "\xff", "\x1b", "\\"};
    for (guint i = 0; i < G_N_ELEMENTS(beginnings); i++)
        for (guint f = 0; f < G_N_ELEMENTS(fills); f++) {
            GString *text = g_string_new(beginnings[i]);
            for (guint n = 0; n < 5001; n++)
                g_string_append(text, fills[f]);
            g_autoptr(GError) error = NULL;
            assert_null(domstats_read(text->str, text->len, &error));
            g_string_free(text, TRUE);
            CHECK(strlen(error->message) < 600, "%s, then \"%s\": %" G_GSIZE_FORMAT " bytes", beginnings[i], fills[f],
                  strlen(error->message));
            CHECK(g_utf8_validate(error->message, -1, NULL), "%s, then \"%s\": %s", beginnings[i], fills[f],
                  error->message);
            CHECK(!strpbrk(error->message, "\n\x1b"), "%s", error->message);
        }
}

static void counters_are_exact(void **state)
{
    (void)state;
    static const char *const values[] = {"0",
                                         "9007199254740993",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "18446744073709551614",
                                         "18446744073709551615"};
    for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *text = g_strdup_printf("Domain: 'one-1'\n  net.0.rx.bytes=%s\n", values[i]);
        g_autofree char *line = g_strdup_printf("  net.0.rx.bytes=%s\n", values[i]);
        g_autoptr(Sample) sample = parse_domstats(text);
        g_autofree char *written = write_sample(sample);
        assert_true(row_u64(row_at(vm_at(sample, 0), SCOPE_NIC, 0), METRIC_NIC_RX_BYTES) ==
                    g_ascii_strtoull(values[i], NULL, 10));
        CHECK(strstr(written, line) != NULL, "%s", values[i]);
    }
}

static GPtrArray *read_bytes(GBytes *bytes, GError **error)
{
    gsize length;
    const char *text = g_bytes_get_data(bytes, &length);
    return domstats_read(text ? text : "", length, error);
}

/* However short a crash or a full disk left it: never taken for whole, and no damage. */
static void no_part_of_a_recording_is_taken_for_whole(void **state)
{
    (void)state;
    g_autoptr(GRand) random = seeded_random();
    for (guint round = 0; round < 4; round++) {
        g_autoptr(Sample) sample = random_raw_sample(random);
        g_autofree char *text = write_sample(sample);
        gsize whole = strlen(text) - 1; /* all but the last newline */
        for (gsize length = 0; length < whole; length++) {
            g_autoptr(GBytes) part = g_bytes_new(text, length); /* exactly as long, for the sanitizer */
            g_autoptr(GError) error = NULL;
            g_autoptr(GPtrArray) samples = read_bytes(part, &error);
            CHECK(!samples && error, "%" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " bytes", length, whole);
        }
        g_autoptr(GPtrArray) samples = domstats_read(text, whole, NULL);
        assert_non_null(samples);
    }
}

static void no_part_of_a_recording_of_virsh_crashes(void **state)
{
    (void)state;
    gsize length;
    g_autofree char *text = read_test_data("golden/recorded/one-kvm-a.txt", &length);
    for (gsize n = 0; n < length; n++) {
        g_autoptr(GBytes) part = g_bytes_new(text, n);
        g_autoptr(GPtrArray) samples = read_bytes(part, NULL);
        assert_true(!samples || samples->len == 1);
    }
}

/* One byte wrong, anywhere: no crash, and what is taken can be written and read again. */
static void damaged_bytes_do_no_harm(void **state)
{
    (void)state;
    g_autoptr(GRand) random = seeded_random();
    for (guint round = 0; round < 1000; round++) {
        g_autoptr(Sample) sample = random_raw_sample(random);
        g_autofree char *text = write_sample(sample);
        gsize length = strlen(text);
        for (guint hits = 0; hits < 3; hits++)
            text[(gsize)g_rand_int(random) % length] = (char)(g_rand_int(random) % 256);
        g_autoptr(GPtrArray) samples = domstats_read(text, length, NULL);
        for (guint i = 0; samples && i < samples->len; i++) {
            g_autofree char *written = write_sample(g_ptr_array_index(samples, i));
            g_autoptr(Sample) again = parse_domstats(written);
            check_same_raw(again, g_ptr_array_index(samples, i));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recording_of_virsh_is_read),
        cmocka_unit_test(recordings_survive_being_written),
        cmocka_unit_test(every_part_has_its_line),
        cmocka_unit_test(texts_survive),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(several_collections_make_several_samples),
        cmocka_unit_test(unknown_things_are_skipped),
        cmocka_unit_test(texts_of_virsh_are_taken_as_they_are),
        cmocka_unit_test(indexes_have_gaps_and_ceilings),
        cmocka_unit_test(flags_come_as_words_or_numbers),
        cmocka_unit_test(typed_values_are_filed_by_kind),
        cmocka_unit_test(damage_is_refused_and_named),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(messages_are_short_and_printable),
        cmocka_unit_test(counters_are_exact),
        cmocka_unit_test(no_part_of_a_recording_is_taken_for_whole),
        cmocka_unit_test(no_part_of_a_recording_of_virsh_crashes),
        cmocka_unit_test(damaged_bytes_do_no_harm),
    };
    /* GLib's warnings go to standard error, which OpenNebula takes for a probe's error text. */
    g_log_set_always_fatal(G_LOG_LEVEL_WARNING | G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
