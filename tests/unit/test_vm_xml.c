/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/vm_xml.h"
#include "gather_helpers.h"
#include "sample_builder.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define ONE "xmlns:one=\"http://opennebula.org/xmlns/libvirt/1.0\""

/* A VM with these NICs, as the statistics have made it. */
static VmSample *vm_with_nics(const char *names)
{
    VmSample *vm = vm_sample_new("one-83");
    g_auto(GStrv) words = g_strsplit(names, " ", -1);
    for (guint i = 0; words[i]; i++)
        if (*words[i])
            build_nic(vm, i, words[i]);
    return vm;
}

static void apply(VmSample *vm, const char *xml)
{
    g_autoptr(GError) error = NULL;
    if (!vm_xml_apply(vm, xml, strlen(xml), &error))
        fail_msg("%s: %s", error->message, xml);
}

static void check_refused(VmSample *vm, const char *xml, gsize length, const char *message)
{
    g_autoptr(GError) error = NULL;
    CHECK(!vm_xml_apply(vm, xml, length, &error), "accepted: %.200s", xml);
    CHECK_TEXT(error->message, message, "message");
    assert_false(vm_xml_apply(vm, xml, length, NULL)); /* nobody asked why */
}

#define NOT_WELL_FORMED "one-83: its XML is not a well-formed <domain>"

static char *domain_with_metadata(const char *metadata)
{
    return g_strdup_printf("<domain type='kvm'><name>one-83</name><metadata>%s</metadata></domain>", metadata);
}

static char *domain_named(const char *name)
{
    g_autofree char *metadata = g_strdup_printf("<one:vm " ONE "><one:name>%s</one:name></one:vm>", name);
    return domain_with_metadata(metadata);
}

/* --- as OpenNebula 7.4 writes it --- */

static void a_recorded_domain_is_read(void **state)
{
    (void)state;
    static const struct {
        Metric m;
        const char *text;
    } want[] = {
        {METRIC_VM_VM_NAME, "lab-io"},
        {METRIC_VM_UNAME, "oneadmin"},
        {METRIC_VM_UID, "0"},
        {METRIC_VM_GNAME, "oneadmin"},
        {METRIC_VM_GID, "0"},
        {METRIC_VM_OPENNEBULA_VERSION, "7.4.0"},
        {METRIC_VM_STIME, "1795353363"},
        {METRIC_VM_DEPLOYMENT_TIME, "1795353368"},
    };
    gsize length;
    g_autofree char *xml = read_test_data("golden/recorded/domain-one-10.xml", &length);
    g_autoptr(VmSample) vm = vm_with_nics("one-10-0 one-10-1");
    g_autoptr(GError) error = NULL;
    assert_true(vm_xml_apply(vm, xml, length, &error));
    assert_null(error);
    for (guint i = 0; i < G_N_ELEMENTS(want); i++)
        CHECK_TEXT(row_text(vm->row, want[i].m), want[i].text, metric_info[want[i].m].name);
    const MetricRow *nic = g_ptr_array_index(vm->nics, 0), *other = g_ptr_array_index(vm->nics, 1);
    assert_string_equal(row_text(nic, METRIC_NIC_MAC), "02:00:c0:a8:96:14");
    assert_string_equal(row_text(nic, METRIC_NIC_BRIDGE), "br0lab");
    assert_string_equal(row_text(nic, METRIC_NIC_NAME), "one-10-0");
    assert_null(row_text(other, METRIC_NIC_MAC));
    assert_int_equal(vm->nics->len, 2); /* the statistics say which there are */
    assert_int_equal(vm->disks->len, 0);
}

static void names_are_taken_to_the_letter(void **state)
{
    (void)state;
    static const struct {
        const char *xml, *name;
    } cases[] = {
        {"web", "web"},
        {"<![CDATA[web]]>", "web"},
        {"<![CDATA[a \"quoted\" 'name' \\ with <tags> & more]]>", "a \"quoted\" 'name' \\ with <tags> & more"},
        {"a &quot;quoted&quot; &apos;name&apos; &lt;b&gt; &amp; more", "a \"quoted\" 'name' <b> & more"},
        {"<![CDATA[a]]]]><![CDATA[>b]]>", "a]]>b"},
        {"<![CDATA[a]]>b<![CDATA[c]]>", "abc"},
        {"<![CDATA[two\nlines]]>", "two\nlines"},
        {"&#10;x&#13;", "\nx\r"},
        {" <![CDATA[ blanks ]]> ", "  blanks  "},
        {"<![CDATA[Grüße, 漢字, 🙂]]>", "Grüße, 漢字, 🙂"},
        {"&#233;&#x1F642;", "é🙂"},
        {"<![CDATA[&amp; &lt;]]>", "&amp; &lt;"},
        {"<script>alert(1)</script>", "alert(1)"},
        {"a<!-- comment -->b", "ab"},
        {"", NULL},
        {"<![CDATA[]]>", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VmSample) vm = vm_sample_new("one-83");
        g_autofree char *xml = domain_named(cases[i].xml);
        apply(vm, xml);
        CHECK_TEXT(row_text(vm->row, METRIC_VM_VM_NAME), cases[i].name, cases[i].xml);
    }
}

static void long_names_are_cut_between_characters(void **state)
{
    (void)state;
    static const struct {
        guint letters;
        const char *end;
        gsize length;
    } cases[] = {
        {300, "", 300},
        {VM_XML_TEXT_MAX, "", VM_XML_TEXT_MAX},
        {VM_XML_TEXT_MAX + 1, "", VM_XML_TEXT_MAX},
        {100000, "", VM_XML_TEXT_MAX},
        {VM_XML_TEXT_MAX - 2, "é", VM_XML_TEXT_MAX},
        {VM_XML_TEXT_MAX - 2, "éé", VM_XML_TEXT_MAX},
        {VM_XML_TEXT_MAX - 1, "é", VM_XML_TEXT_MAX - 1},
        {VM_XML_TEXT_MAX - 3, "🙂", VM_XML_TEXT_MAX - 3},
        {VM_XML_TEXT_MAX - 1, "🙂🙂", VM_XML_TEXT_MAX - 1},
        {VM_XML_TEXT_MAX - 4, "🙂🙂", VM_XML_TEXT_MAX},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VmSample) vm = vm_sample_new("one-83");
        g_autofree char *letters = g_strnfill(cases[i].letters, 'x');
        g_autofree char *name = g_strconcat(letters, cases[i].end, NULL), *xml = domain_named(name);
        apply(vm, xml);
        const char *got = row_text(vm->row, METRIC_VM_VM_NAME);
        CHECK(strlen(got) == cases[i].length, "%u letters, then %s: %zu bytes", cases[i].letters, cases[i].end,
              strlen(got));
        CHECK(g_utf8_validate(got, -1, NULL), "%u letters, then %s", cases[i].letters, cases[i].end);
        CHECK(strncmp(got, name, strlen(got)) == 0, "%u letters, then %s", cases[i].letters, cases[i].end);
    }
}

static void only_opennebulas_metadata_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *what, *metadata, *name;
    } cases[] = {
        {"another prefix", "<x:vm xmlns:x='http://opennebula.org/xmlns/libvirt/1.0'><x:name>a</x:name></x:vm>", "a"},
        {"a default namespace", "<vm xmlns='http://opennebula.org/xmlns/libvirt/1.0'><name>a</name></vm>", "a"},
        {"no namespace", "<vm><name>a</name></vm>", NULL},
        {"another namespace", "<one:vm xmlns:one='http://example.org/'><one:name>a</one:name></one:vm>", NULL},
        {"another version of it",
         "<one:vm xmlns:one='http://opennebula.org/xmlns/libvirt/2.0'><one:name>a</one:name></one:vm>", NULL},
        {"another's beside ours",
         "<nova:vm xmlns:nova='http://nova'><nova:name>b</nova:name></nova:vm><one:vm " ONE
         "><one:name>a</one:name></one:vm><z:vm xmlns:z='http://z'><z:name>c</z:name></z:vm>",
         "a"},
        {"deeper than it belongs", "<x><one:vm " ONE "><one:name>a</one:name></one:vm></x>", NULL},
        {"another element", "<one:host " ONE "><one:name>a</one:name></one:host>", NULL},
        {"empty", "", NULL},
        {"fields we do not keep",
         "<one:vm " ONE "><one:system_datastore>/x</one:system_datastore><one:pci_devices/></one:vm>", NULL},
        {"a field named like one of libvirt's", "<one:vm " ONE "><one:cpu.time>5</one:cpu.time></one:vm>", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VmSample) vm = vm_sample_new("one-83");
        g_autofree char *xml = domain_with_metadata(cases[i].metadata);
        apply(vm, xml);
        CHECK_TEXT(row_text(vm->row, METRIC_VM_VM_NAME), cases[i].name, cases[i].what);
        assert_false(row_has(vm->row, METRIC_VM_CPU_TIME));
        assert_string_equal(vm->name, "one-83");
    }
}

/* --- interfaces --- */

static void interfaces_are_found_by_their_target(void **state)
{
    (void)state;
    static const struct {
        const char *what, *interface, *mac, *bridge;
    } cases[] = {
        {"bridge", "<interface type='bridge'><mac address='m'/><source bridge='br0'/><target dev='n0'/></interface>",
         "m", "br0"},
        {"libvirt network, running",
         "<interface type='network'><mac address='m'/><source network='default' portid='1' bridge='virbr0'/><target "
         "dev='n0'/></interface>",
         "m", "virbr0"},
        {"libvirt network", "<interface type='network'><source network='default'/><target dev='n0'/></interface>", NULL,
         "default"},
        {"macvtap",
         "<interface type='direct'><mac address='m'/><source dev='eth1' mode='bridge'/><target dev='n0'/></interface>",
         "m", "eth1"},
        {"plain tap", "<interface type='ethernet'><mac address='m'/><target dev='n0'/></interface>", "m", NULL},
        {"openvswitch",
         "<interface type='bridge'><source bridge='ovs0'/><virtualport type='openvswitch'/><target "
         "dev='n0'/></interface>",
         NULL, "ovs0"},
        {"other order", "<interface><target dev='n0'/><source bridge='b'/><mac address='m'/></interface>", "m", "b"},
        {"no target", "<interface type='bridge'><mac address='m'/><source bridge='br0'/></interface>", NULL, NULL},
        {"another target", "<interface><mac address='m'/><source bridge='br0'/><target dev='n1'/></interface>", NULL,
         NULL},
        {"empty attributes", "<interface><mac address=''/><source bridge=''/><target dev='n0'/></interface>", "", ""},
        {"odd characters",
         "<interface><mac address='&quot;&lt;'/><source bridge='b r&#233;'/><target dev='n0'/></interface>", "\"<",
         "b ré"},
        {"no interface", "<disk><target dev='n0'/><source bridge='b'/><mac address='m'/></disk>", NULL, NULL},
        {"deeper than it belongs", "<x><interface><mac address='m'/><target dev='n0'/></interface></x>", NULL, NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VmSample) vm = vm_with_nics("n0");
        g_autofree char *xml = g_strdup_printf("<domain><devices>%s</devices></domain>", cases[i].interface);
        apply(vm, xml);
        const MetricRow *nic = g_ptr_array_index(vm->nics, 0);
        CHECK_TEXT(row_text(nic, METRIC_NIC_MAC), cases[i].mac, cases[i].what);
        CHECK_TEXT(row_text(nic, METRIC_NIC_BRIDGE), cases[i].bridge, cases[i].what);
    }
}

static void each_nic_gets_its_own(void **state)
{
    (void)state;
    g_autoptr(VmSample) vm = vm_with_nics("c a b");
    vm_sample_row(vm, SCOPE_NIC, 9); /* one without a name */
    apply(vm, "<domain><devices><interface><mac address='ma'/><source bridge='ba'/><target dev='a'/></interface>"
              "<interface><mac address='mb'/><source bridge='bb'/><target dev='b'/></interface></devices></domain>");
    static const char *const macs[] = {NULL, "ma", "mb", NULL}, *const bridges[] = {NULL, "ba", "bb", NULL};
    for (guint i = 0; i < G_N_ELEMENTS(macs); i++) {
        CHECK_TEXT(row_text(g_ptr_array_index(vm->nics, i), METRIC_NIC_MAC), macs[i], "MAC");
        CHECK_TEXT(row_text(g_ptr_array_index(vm->nics, i), METRIC_NIC_BRIDGE), bridges[i], "bridge");
    }
}

/* --- what is refused leaves everything as it was --- */

#define NAMED_BY_ENTITY "<domain><metadata><one:vm " ONE "><one:name>&a;</one:name></one:vm></metadata></domain>"

static const char *const bad[] = {
    "",
    " ",
    "x",
    "<",
    "<domain>",
    "<domain><metadata></domain>",
    "<domain></domain><domain/>",
    "<domainx/>",
    "<x><domain/></x>",
    "<domain a='1' a='2'/>",
    "<domain>\x01</domain>",
    "<domain>\xff</domain>",
    "<domain>&undefined;</domain>",
    "\xff\xfe<\x13T\x19Y\x50", /* UTF-16, says its beginning */
    "<?xml version='1.0' encoding='UTF-16'?><domain>\xff</domain>",
    "<?xml version='1.0' encoding='EUC-JP'?><domain>\xff\xff</domain>",
    "<!DOCTYPE domain><domain/>",
    "<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain/>",
    ("<!DOCTYPE domain [<!ENTITY a 'x'>]>" NAMED_BY_ENTITY),
    ("<!DOCTYPE domain [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>" NAMED_BY_ENTITY),
    "<!DOCTYPE domain [<!ENTITY a '&b;&b;'><!ENTITY b '&a;'>]><domain>&a;</domain>",
};

static void refusals_change_nothing(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(VmSample) vm = vm_with_nics("n0");
        row_set_text(vm->row, METRIC_VM_VM_NAME, "as it was");
        row_set_text(g_ptr_array_index(vm->nics, 0), METRIC_NIC_MAC, "as it was");
        check_refused(vm, bad[i], strlen(bad[i]), NOT_WELL_FORMED);
        assert_string_equal(row_text(vm->row, METRIC_VM_VM_NAME), "as it was");
        assert_string_equal(row_text(g_ptr_array_index(vm->nics, 0), METRIC_NIC_MAC), "as it was");
    }
}

/* OpenNebula takes what a probe writes there for its error text. */
static void refusals_are_silent(void **state)
{
    (void)state;
    g_autofree char *path = NULL, *said = NULL;
    int file = g_file_open_tmp(NULL, &path, NULL), saved = dup(STDERR_FILENO);
    assert_true(file >= 0 && saved >= 0);
    dup2(file, STDERR_FILENO);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(VmSample) vm = vm_sample_new("one-83");
        vm_xml_apply(vm, bad[i], strlen(bad[i]), NULL);
    }
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(file);
    assert_true(g_file_get_contents(path, &said, NULL, NULL));
    g_remove(path);
    assert_string_equal(said, "");
}

/* libvirt writes UTF-8, whatever stands at its beginning. */
static void it_is_utf8(void **state)
{
    (void)state;
    static const char *const encodings[] = {"UTF-8", "utf-8", "ISO-8859-1", "UTF-16", "no-such"};
    for (guint i = 0; i < G_N_ELEMENTS(encodings); i++) {
        g_autoptr(VmSample) vm = vm_sample_new("one-83");
        g_autofree char *domain = domain_named("Gr\303\274\303\237e");
        g_autofree char *xml = g_strdup_printf("<?xml version='1.0' encoding='%s'?>%s", encodings[i], domain);
        apply(vm, xml);
        CHECK_TEXT(row_text(vm->row, METRIC_VM_VM_NAME), "Gr\303\274\303\237e", encodings[i]);
    }
}

/* Every entity ten of the one before: expanded, ten to the ninth. */
static void billion_laughs_are_not_laughed(void **state)
{
    (void)state;
    static const char *const forms[] = {"<domain>&l9;</domain>", "<domain a='&l9;'/>"};
    for (guint f = 0; f < G_N_ELEMENTS(forms); f++) {
        GString *xml = g_string_new("<!DOCTYPE domain [<!ENTITY l0 'ha'>");
        for (guint level = 1; level < 10; level++) {
            g_string_append_printf(xml, "<!ENTITY l%u '", level);
            for (guint i = 0; i < 10; i++)
                g_string_append_printf(xml, "&l%u;", level - 1);
            g_string_append(xml, "'>");
        }
        g_string_append_printf(xml, "]>%s", forms[f]);
        g_autoptr(VmSample) vm = vm_sample_new("one-83");
        gint64 begin = g_get_monotonic_time();
        check_refused(vm, xml->str, xml->len, NOT_WELL_FORMED);
        assert_true(g_get_monotonic_time() - begin < (gint64)30 * G_USEC_PER_SEC);
        g_string_free(xml, TRUE);
    }
}

static void depth_is_bounded(void **state)
{
    (void)state;
    static const struct {
        guint depth;
        bool good;
    } cases[] = {{10, true}, {100, true}, {1000, false}, {100000, false}};
    for (guint c = 0; c < G_N_ELEMENTS(cases); c++) {
        GString *xml = g_string_new("<domain><metadata><one:vm " ONE "><one:name>");
        for (guint i = 0; i < cases[c].depth; i++)
            g_string_append(xml, "<a>");
        g_string_append(xml, "deep");
        for (guint i = 0; i < cases[c].depth; i++)
            g_string_append(xml, "</a>");
        g_string_append(xml, "</one:name></one:vm></metadata></domain>");
        g_autoptr(VmSample) vm = vm_sample_new("one-83");
        if (cases[c].good) {
            apply(vm, xml->str);
            assert_string_equal(row_text(vm->row, METRIC_VM_VM_NAME), "deep");
        } else {
            check_refused(vm, xml->str, xml->len, NOT_WELL_FORMED);
        }
        g_string_free(xml, TRUE);
    }
}

static void size_is_bounded(void **state)
{
    (void)state;
    const int limit = VM_XML_MAX;
    g_autofree char *blanks = g_strnfill((gsize)limit, ' '), *large = g_strconcat("<domain/>", blanks, NULL);
    g_autoptr(VmSample) vm = vm_sample_new("one-83");
    check_refused(vm, large, (gsize)limit + 1, "one-83: its XML has more than 4194304 bytes");
    assert_true(vm_xml_apply(vm, large, (gsize)limit, NULL));
    check_refused(vm, large, 5, NOT_WELL_FORMED); /* `length` counts, not what follows */
}

static void no_part_of_a_domain_crashes(void **state)
{
    (void)state;
    gsize length;
    g_autofree char *xml = read_test_data("golden/recorded/domain-one-10.xml", &length);
    const char *end = g_strrstr(xml, "</domain>");
    for (gsize n = 0; n < length; n += 3) {
        g_autoptr(GBytes) part = g_bytes_new(xml, MIN(n, (gsize)(end - xml))); /* exactly as long, for the sanitizer */
        const char *data = g_bytes_get_data(part, NULL);
        g_autoptr(VmSample) vm = vm_with_nics("one-10-0");
        assert_false(vm_xml_apply(vm, data ? data : "", g_bytes_get_size(part), NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recorded_domain_is_read),
        cmocka_unit_test(names_are_taken_to_the_letter),
        cmocka_unit_test(long_names_are_cut_between_characters),
        cmocka_unit_test(only_opennebulas_metadata_is_taken),
        cmocka_unit_test(interfaces_are_found_by_their_target),
        cmocka_unit_test(each_nic_gets_its_own),
        cmocka_unit_test(refusals_change_nothing),
        cmocka_unit_test(refusals_are_silent),
        cmocka_unit_test(it_is_utf8),
        cmocka_unit_test(billion_laughs_are_not_laughed),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(no_part_of_a_domain_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
