/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/line_protocol.h"
#include "gather/vm_document.h"
#include "gather_helpers.h"

#include <string.h>

#define NOW G_GINT64_CONSTANT(1795400000)

/* --- helpers --- */

static VmDocument *read_document(const char *input)
{
    gsize length;
    g_autoptr(GError) error = NULL;
    g_autofree char *xml = vm_document_decode(input, strlen(input), &length, &error);
    VmDocument *document = xml ? vm_document_read(xml, length, &error) : NULL;
    if (!document)
        fail_msg("%s: %.200s", error->message, input);
    return document;
}

static VmDocument *read_recorded(const char *name)
{
    gsize length;
    g_autofree char *path = g_strconcat("golden/recorded/", name, NULL);
    g_autofree char *text = read_test_data(path, &length);
    return read_document(text);
}

static void check_refused_bytes(const char *input, gsize input_length, VmDocumentErrorCode code, const char *message)
{
    gsize length;
    g_autoptr(GError) error = NULL;
    g_autofree char *xml = vm_document_decode(input, input_length, &length, &error);
    g_autoptr(VmDocument) document = xml ? vm_document_read(xml, length, &error) : NULL;
    CHECK(!document, "taken: %.200s", input);
    CHECK(g_error_matches(error, VM_DOCUMENT_ERROR, (gint)code), "code %d: %s", error->code, error->message);
    CHECK(g_str_has_prefix(error->message, message), "\"%s\", not \"%s\"", error->message, message);
}

static void check_refused(const char *input, VmDocumentErrorCode code, const char *message)
{
    check_refused_bytes(input, strlen(input), code, message);
}

/* A VM in these states, with more of its document behind them. */
static char *vm_in(gint state, gint lcm_state, gint previous, const char *more)
{
    return g_strdup_printf("<VM><ID>9</ID><NAME>web</NAME><STATE>%d</STATE><LCM_STATE>%d</LCM_STATE>"
                           "<PREV_STATE>3</PREV_STATE><PREV_LCM_STATE>%d</PREV_LCM_STATE>%s</VM>",
                           state, lcm_state, previous, more);
}

static const char *text_of(const VmDocument *document, Metric m)
{
    return row_text(document->vm->row, m);
}

/* --- as OpenNebula 7.4 gives it --- */

static void recorded_documents_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *file, *state, *lcm_state, *previous, *reason;
        gint64 seq, time_s;
    } cases[] = {
        {"vm-hook.xml", "ACTIVE", "RUNNING", "BOOT", NULL, 0, 1795353368},
        {"vm-hook-stdin.b64", "ACTIVE", "RUNNING", "BOOT", NULL, 0, 1795353368},
        {"vm-hook-poweroff.xml", "POWEROFF", "LCM_INIT", "SHUTDOWN_POWEROFF", "poweroff-hard", 2, 1795355996},
        {"vm-hook-done.xml", "DONE", "LCM_INIT", "EPILOG", "terminate-hard", 3, 1795356062},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(VmDocument) document = read_recorded(cases[i].file);
        const VmEvent *event = document->event;
        CHECK(event->vm_id == 9 && document->vm->vm_id == 9, "%s", cases[i].file);
        CHECK_TEXT(event->state, cases[i].state, cases[i].file);
        CHECK_TEXT(event->lcm_state, cases[i].lcm_state, cases[i].file);
        CHECK_TEXT(event->previous_state, "ACTIVE", cases[i].file);
        CHECK_TEXT(event->previous_lcm_state, cases[i].previous, cases[i].file);
        CHECK_TEXT(event->reason, cases[i].reason, cases[i].file);
        CHECK_TEXT(event->host, "localhost", cases[i].file);
        CHECK_TEXT(event->vm_name, "lab-idle", cases[i].file);
        CHECK_TEXT(event->owner, "oneadmin", cases[i].file);
        CHECK_TEXT(document->vm->uuid, "325b3ba8-49bd-4117-898c-052c637b21a3", cases[i].file);
        CHECK(event->seq == cases[i].seq, "%s: %d", cases[i].file, (int)event->seq);
        CHECK(vm_document_time(document, NOW) == cases[i].time_s, "%s: %" G_GINT64_FORMAT, cases[i].file,
              vm_document_time(document, NOW));
        CHECK(vm_document_knows_states(document), "%s", cases[i].file);
    }
}

static void what_is_told_of_the_vm(void **state)
{
    (void)state;
    static const struct {
        Metric m;
        const char *text;
    } want[] = {
        {METRIC_VM_VM_NAME, "a \"b\" <c>"},
        {METRIC_VM_UNAME, "alice"},
        {METRIC_VM_UID, "2"},
        {METRIC_VM_GNAME, "users"},
        {METRIC_VM_GID, "1"},
        {METRIC_VM_STIME, "100"},
        {METRIC_VM_TEMPLATE_ID, "7"},
        {METRIC_VM_CPU_REQUESTED, "0.5"},
        {METRIC_VM_VCPU_REQUESTED, ""},
        {METRIC_VM_MEMORY_REQUESTED, "768"},
        {METRIC_VM_LOCK, "manage"},
        {METRIC_VM_LABELS, "prod,web/front"},
        {METRIC_VM_INFO_SOURCE, "opennebula"},
        {METRIC_VM_HOST_HISTORY, "0 kvm1 1970-01-01T00:01:40Z..1970-01-01T00:03:20Z; 1 kvm2 1970-01-01T00:03:20Z.."},
    };
    g_autoptr(VmDocument) document = read_document(
        "<VM><ID>0</ID><UID>2</UID><GID>1</GID><UNAME>alice</UNAME><GNAME>users</GNAME>"
        "<NAME><![CDATA[a \"b\" <c>]]></NAME><LOCK><LOCKED>2</LOCKED><OWNER>0</OWNER></LOCK><STATE>3</STATE>"
        "<LCM_STATE>16</LCM_STATE><STIME>100</STIME><DEPLOY_ID>one-0</DEPLOY_ID><TEMPLATE><CPU>0.5</CPU>"
        "<MEMORY>768</MEMORY><TEMPLATE_ID>7</TEMPLATE_ID></TEMPLATE><USER_TEMPLATE><LABELS>prod,web/front</LABELS>"
        "</USER_TEMPLATE><HISTORY_RECORDS><HISTORY><SEQ>0</SEQ><HOSTNAME>kvm1</HOSTNAME><STIME>100</STIME>"
        "<ETIME>200</ETIME><ACTION>2</ACTION></HISTORY><HISTORY><SEQ>1</SEQ><HOSTNAME>kvm2</HOSTNAME>"
        "<STIME>200</STIME><ETIME>0</ETIME><ACTION>0</ACTION></HISTORY></HISTORY_RECORDS></VM>");
    for (guint i = 0; i < G_N_ELEMENTS(want); i++)
        CHECK_TEXT(text_of(document, want[i].m), want[i].text, metric_info[want[i].m].name);
    assert_null(document->vm->uuid);
    assert_int_equal(document->event->vm_id, 0);
    CHECK_TEXT(document->event->host, "kvm2", "the last record's");
    assert_null(document->event->reason); /* of that record, too */
    assert_null(document->event->previous_state);
    assert_int_equal(document->previous_lcm_state, -1);
}

/* What was there and is no longer has to be told, or it would stay. */
static void what_is_gone_is_empty(void **state)
{
    (void)state;
    static const Metric gone[] = {METRIC_VM_TEMPLATE_ID, METRIC_VM_VCPU_REQUESTED, METRIC_VM_LOCK, METRIC_VM_LABELS};
    g_autofree char *xml = vm_in(1, 0, 0, "");
    g_autoptr(VmDocument) document = read_document(xml);
    for (guint i = 0; i < G_N_ELEMENTS(gone); i++)
        CHECK_TEXT(text_of(document, gone[i]), "", metric_info[gone[i]].name);
    assert_null(document->event->host); /* it waits for one */
    assert_int_equal(document->event->seq, -1);
    CHECK_TEXT(document->event->state, "PENDING", "state");
}

static void a_long_history_keeps_its_end(void **state)
{
    (void)state;
    GString *records = g_string_new("<HISTORY_RECORDS>");
    for (guint i = 0; i < 500; i++)
        g_string_append_printf(records, "<HISTORY><SEQ>%u</SEQ><HOSTNAME>kvm%u</HOSTNAME><STIME>%u</STIME></HISTORY>",
                               i, i % 3, 1000 + i);
    g_string_append(records, "</HISTORY_RECORDS>");
    g_autofree char *xml = vm_in(3, 3, 2, records->str);
    g_autoptr(VmDocument) document = read_document(xml);
    const char *history = text_of(document, METRIC_VM_HOST_HISTORY);
    assert_true(strlen(history) <= XML_TEXT_MAX && strlen(history) > XML_TEXT_MAX - 100);
    assert_true(g_str_has_prefix(history, "…; "));
    assert_true(g_str_has_suffix(history, "499 kvm1 1970-01-01T00:24:59Z.."));
    g_string_free(records, TRUE);
}

/* --- when it was --- */

#define RECORD(...)                                                                                                    \
    "<ETIME>90</ETIME><HISTORY_RECORDS><HISTORY><ETIME>1</ETIME></HISTORY><HISTORY>" __VA_ARGS__                       \
    "</HISTORY></HISTORY_RECORDS>"
#define ALL_STAMPS                                                                                                     \
    RECORD("<STIME>10</STIME><PSTIME>20</PSTIME><PETIME>30</PETIME><RSTIME>40</RSTIME><RETIME>50</RETIME>"             \
           "<ESTIME>60</ESTIME><EETIME>70</EETIME><ETIME>80</ETIME>")
#define RUNS RECORD("<STIME>10</STIME><PSTIME>0</PSTIME><RSTIME>40</RSTIME><RETIME>0</RETIME><ETIME>0</ETIME>")

static void stamps_by_state(void **state)
{
    (void)state;
    static const struct {
        gint state, lcm_state, previous;
        const char *record;
        gint64 time_s;
    } cases[] = {
        {3, 1, 0, ALL_STAMPS, 20},                     /* PROLOG */
        {3, 1, 0, RUNS, 10},                           /* … of which only the record's begin is known */
        {3, 3, 2, ALL_STAMPS, 40},                     /* RUNNING after BOOT */
        {3, 3, 20, ALL_STAMPS, 40},                    /* … after BOOT_POWEROFF */
        {3, 3, 4, ALL_STAMPS, 40},                     /* … after MIGRATE */
        {3, 3, 19, ALL_STAMPS, 0},                     /* … after BOOT_UNKNOWN: in the record of before */
        {3, 3, 7, ALL_STAMPS, 40},                     /* … after SAVE_MIGRATE, which failed */
        {3, 3, 0, ALL_STAMPS, 40},                     /* … of an imported VM */
        {3, 1, 39, ALL_STAMPS, 0},                     /* PROLOG once more, after PROLOG_FAILURE */
        {3, 3, 16, ALL_STAMPS, 0},                     /* … after UNKNOWN: it was all the time */
        {3, 3, 17, ALL_STAMPS, 0},                     /* … after HOTPLUG */
        {3, 3, 3, ALL_STAMPS, 0},                      /* onevm show */
        {3, 16, 3, ALL_STAMPS, 0},                     /* UNKNOWN */
        {3, 17, 3, ALL_STAMPS, 0},                     /* HOTPLUG */
        {3, 36, 2, ALL_STAMPS, 0},                     /* BOOT_FAILURE */
        {3, 18, 3, ALL_STAMPS, 0},                     /* SHUTDOWN_POWEROFF */
        {8, 0, 18, ALL_STAMPS, 80},                    /* POWEROFF */
        {8, 0, 18, RECORD("<RETIME>50</RETIME>"), 50}, /* … as 7.4 has it */
        {8, 0, 18, RUNS, 0},                           /* a begin is no end */
        {8, 0, 51, ALL_STAMPS, 0},                     /* … after DISK_SNAPSHOT_POWEROFF: it was off before */
        {8, 0, 43, ALL_STAMPS, 0},                     /* … after PROLOG_MIGRATE_POWEROFF */
        {5, 0, 6, RECORD("<RETIME>50</RETIME>"), 50},  /* SUSPENDED */
        {5, 0, 54, RECORD("<RETIME>50</RETIME>"), 0},  /* … after DISK_SNAPSHOT_SUSPENDED */
        {4, 0, 10, ALL_STAMPS, 80},                    /* STOPPED */
        {9, 0, 30, ALL_STAMPS, 80},                    /* UNDEPLOYED */
        {9, 0, 64, ALL_STAMPS, 0},                     /* … after DISK_RESIZE_UNDEPLOYED */
        {6, 0, 11, ALL_STAMPS, 90},                    /* DONE: the VM's own */
        {6, 0, 0, "<ETIME>90</ETIME>", 90},            /* … which never ran */
        {6, 0, 11, "", 0},                             /* … of which nothing is known */
        {1, 0, 0, ALL_STAMPS, 0},                      /* PENDING */
        {99, 0, 0, ALL_STAMPS, 0},                     /* what this version does not know */
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = vm_in(cases[i].state, cases[i].lcm_state, cases[i].previous, cases[i].record);
        g_autoptr(VmDocument) document = read_document(xml);
        const gint64 time_s = vm_document_time(document, NOW);
        CHECK(time_s == cases[i].time_s, "row %u, %d/%d after %d: %d", i, cases[i].state, cases[i].lcm_state,
              cases[i].previous, (int)time_s);
    }
}

static void a_stamp_of_the_future_is_none(void **state)
{
    (void)state;
    g_autofree char *xml = vm_in(6, 0, 11, "<ETIME>1000</ETIME>");
    g_autoptr(VmDocument) document = read_document(xml);
    assert_int_equal(vm_document_time(document, 1000 - VM_DOCUMENT_AHEAD_S), 1000);
    assert_int_equal(vm_document_time(document, 999 - VM_DOCUMENT_AHEAD_S), 0);
    static const char *const bad[] = {"-1", "99999999999", "18446744073709551616", "soon", ""};
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *etime = g_strdup_printf("<ETIME>%s</ETIME>", bad[i]);
        g_autofree char *other = vm_in(6, 0, 11, etime);
        g_autoptr(VmDocument) without = read_document(other);
        CHECK(vm_document_time(without, NOW) == 0, "%s", bad[i]);
    }
}

/* --- what OpenNebula may have that we have not --- */

static void unknown_numbers_are_taken(void **state)
{
    (void)state;
    static const struct {
        gint state, lcm_state;
        const char *word, *lcm_word;
        bool known;
    } cases[] = {{3, 3, "ACTIVE", "RUNNING", true},
                 {99, 0, "99", "LCM_INIT", false},
                 {3, 200, "ACTIVE", "200", false},
                 {7, 13, "7", "13", false},
                 {9999, 9999, "9999", "9999", false}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml =
            vm_in(cases[i].state, cases[i].lcm_state, 3,
                  "<HISTORY_RECORDS><HISTORY><ACTION>99</ACTION></HISTORY></HISTORY_RECORDS><NEW><THING/></NEW>");
        g_autoptr(VmDocument) document = read_document(xml);
        CHECK_TEXT(document->event->state, cases[i].word, "state");
        CHECK_TEXT(document->event->lcm_state, cases[i].lcm_word, "lcm_state");
        CHECK_TEXT(document->event->reason, "action 99", "reason");
        CHECK(vm_document_knows_states(document) == cases[i].known, "row %u", i);
    }
}

static void control_characters_are_cleaned(void **state)
{
    (void)state;
    const char xml[] = "<VM><ID>9</ID><NAME>a\x01"
                       "b\x1b[31m\xff\x00z</NAME><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>";
    gsize length;
    g_autofree char *clean = vm_document_decode(xml, sizeof xml - 1, &length, NULL);
    g_autoptr(VmDocument) document = vm_document_read(clean, length, NULL);
    assert_non_null(document);
    CHECK_TEXT(document->event->vm_name, "a b [31m\xef\xbf\xbd z", "name");
}

/* --- encoding --- */

static void base64_may_be_broken_into_lines(void **state)
{
    (void)state;
    g_autofree char *xml = vm_in(3, 3, 2, "");
    g_autofree char *base64 = g_base64_encode((const guchar *)xml, strlen(xml));
    for (guint width = 1; width < 90; width += 11) {
        GString *lines = g_string_new(" \n");
        for (gsize i = 0; i < strlen(base64); i += width)
            g_string_append_printf(lines, "%.*s\r\n", (int)width, base64 + i);
        g_autoptr(VmDocument) document = read_document(lines->str);
        assert_int_equal(document->event->vm_id, 9);
        g_string_free(lines, TRUE);
    }
    g_autofree char *spaced = g_strconcat("\n  \t", xml, "\n", NULL);
    g_autoptr(VmDocument) plain = read_document(spaced);
    assert_int_equal(plain->event->vm_id, 9);
}

static void bad_encodings(void **state)
{
    (void)state;
    check_refused("", VM_DOCUMENT_ERROR_EMPTY, "no document came: the hook's template needs ARGUMENTS");
    check_refused(" \n\t", VM_DOCUMENT_ERROR_EMPTY, "no document came");
    check_refused("VM 9", VM_DOCUMENT_ERROR_ENCODING, "the document is neither XML nor base64");
    check_refused("PFZN!A==", VM_DOCUMENT_ERROR_ENCODING,
                  "the document is neither XML nor base64: what can't be in it stands at byte 4 of 8");
    check_refused("PFZNPg=", VM_DOCUMENT_ERROR_ENCODING, "the document is neither XML nor base64: it is cut off");
    check_refused("PFZN=Pg=", VM_DOCUMENT_ERROR_ENCODING, "the document is neither XML nor base64");
    check_refused("====", VM_DOCUMENT_ERROR_ENCODING, "the document is neither XML nor base64");
    check_refused("aGVsbG8=", VM_DOCUMENT_ERROR_XML, "the document is no XML that is taken: line 1: ");
    check_refused_bytes("PFZN\0PFZ", 8, VM_DOCUMENT_ERROR_ENCODING, "the document is neither XML nor base64");
}

/* --- XML that is none, or means harm --- */

static void bad_xml(void **state)
{
    (void)state;
    check_refused("<VM><ID>9</ID>", VM_DOCUMENT_ERROR_XML, "the document is no XML that is taken: line 1: ");
    check_refused("<VM><ID>9</ID></VN>", VM_DOCUMENT_ERROR_XML, "the document is no XML");
    check_refused("<VM/><VM/>", VM_DOCUMENT_ERROR_XML, "the document is no XML");
    check_refused("<VM><ID>&nine;</ID></VM>", VM_DOCUMENT_ERROR_XML, "the document is no XML");
    check_refused("<", VM_DOCUMENT_ERROR_XML, "the document is no XML");
    check_refused("<!-- -->", VM_DOCUMENT_ERROR_XML, "the document is no XML");
    check_refused("<CALL_INFO><RESULT>1</RESULT></CALL_INFO>", VM_DOCUMENT_ERROR_NO_VM,
                  "this is the document of an API hook (<CALL_INFO>): vm_event is a state hook");
    check_refused("<HOST><ID>0</ID></HOST>", VM_DOCUMENT_ERROR_NO_VM, "the document is a <HOST>, not a <VM>");
    check_refused("<VM_POOL><VM/></VM_POOL>", VM_DOCUMENT_ERROR_NO_VM, "the document is a <VM_POOL>, not a <VM>");
}

static void no_doctype_is_taken(void **state)
{
    (void)state;
    static const char *const doctypes[] = {
        "<!DOCTYPE VM>",
        "<!DOCTYPE VM SYSTEM 'file:///etc/passwd'>",
        "<!DOCTYPE VM SYSTEM 'http://127.0.0.1:1/x.dtd'>",
        "<!DOCTYPE VM [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
        "<!DOCTYPE VM [<!ENTITY % x SYSTEM 'http://127.0.0.1:1/x'> %x;]>",
        "<!DOCTYPE VM [<!ENTITY a 'aa'><!ENTITY b '&a;&a;'><!ENTITY c '&b;&b;'>]>",
    };
    for (guint i = 0; i < G_N_ELEMENTS(doctypes); i++) {
        g_autofree char *xml =
            g_strconcat("<?xml version='1.0'?>", doctypes[i],
                        "<VM><ID>9</ID><NAME>x</NAME><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>", NULL);
        check_refused(xml, VM_DOCUMENT_ERROR_XML,
                      "the document is no XML that is taken: it has a DOCTYPE, which is never taken");
    }
}

static void size_and_depth_are_bounded(void **state)
{
    (void)state;
    g_autofree char *blanks = g_strnfill(VM_DOCUMENT_MAX, ' ');
    g_autofree char *vm = vm_in(3, 3, 2, "");
    g_autofree char *large = g_strconcat(vm, blanks, NULL);
    check_refused(large, VM_DOCUMENT_ERROR_TOO_LARGE, "the document is too large: it has more than 16777216 bytes");
    g_autofree char *huge = g_strnfill(VM_DOCUMENT_INPUT_MAX + 1, 'A');
    check_refused(huge, VM_DOCUMENT_ERROR_TOO_LARGE, "the document is too large: more than");
    GString *deep = g_string_new(NULL);
    for (guint i = 0; i < 300; i++)
        g_string_append(deep, "<a>");
    for (guint i = 0; i < 300; i++)
        g_string_append(deep, "</a>");
    g_autofree char *nested = vm_in(3, 3, 2, deep->str);
    check_refused(nested, VM_DOCUMENT_ERROR_XML, "the document is no XML that is taken: ");
    g_string_free(deep, TRUE);
}

/* --- values --- */

static void bad_values(void **state)
{
    (void)state;
    static const struct {
        const char *xml, *message;
    } cases[] = {
        {"<VM><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>", "the document has no <ID>"},
        {"<VM><ID/><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>",
         "the document's <ID> is \"\": expected a number from 0 to 2147483647"},
        {"<VM><ID>-1</ID><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>",
         "the document's <ID> is \"-1\": expected a number from 0 to 2147483647"},
        {"<VM><ID>2147483648</ID><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>",
         "the document's <ID> is \"2147483648\""},
        {"<VM><ID>99999999999999999999999</ID><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>", "the document's <ID> is"},
        {"<VM><ID>9 or so</ID><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>", "the document's <ID> is \"9 or so\""},
        {"<VM><ID>9</ID><LCM_STATE>3</LCM_STATE></VM>", "the document has no <STATE>"},
        {"<VM><ID>9</ID><STATE>ACTIVE</STATE><LCM_STATE>3</LCM_STATE></VM>",
         "the document's <STATE> is \"ACTIVE\": expected a number from 0 to 9999"},
        {"<VM><ID>9</ID><STATE>3</STATE></VM>", "the document has no <LCM_STATE>"},
        {"<VM><ID>9</ID><STATE>3</STATE><LCM_STATE>-2</LCM_STATE></VM>", "the document's <LCM_STATE> is \"-2\""},
        {"<VM><ID>9</ID><STATE>10000</STATE><LCM_STATE>3</LCM_STATE></VM>", "the document's <STATE> is \"10000\""},
        {"<VM><X><ID>9</ID></X></VM>", "the document has no <ID>"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        check_refused(cases[i].xml, VM_DOCUMENT_ERROR_VALUE, cases[i].message);
    check_refused("<VM><ID>a\nb</ID></VM>", VM_DOCUMENT_ERROR_VALUE, "the document's <ID> is \"a\\nb\"");
}

/* Each prefix is refused or taken, and none is taken that lacks a part. */
static void no_part_is_taken(void **state)
{
    (void)state;
    gsize length;
    g_autofree char *xml = read_test_data("golden/recorded/vm-hook-done.xml", &length);
    for (gsize cut = 1; cut < length; cut += 7) {
        gsize got;
        g_autofree char *part = vm_document_decode(xml, cut, &got, NULL);
        g_autoptr(VmDocument) document = part ? vm_document_read(part, got, NULL) : NULL;
        CHECK(!document, "cut at %u", (guint)cut);
    }
}

/* --- the lines --- */

static void an_event_as_a_line(void **state)
{
    (void)state;
    g_autoptr(VmDocument) document = read_recorded("vm-hook-poweroff.xml");
    g_autoptr(GString) out = g_string_new(NULL);
    document->event->time_ns = 5;
    g_free(document->event->vm_name);
    document->event->vm_name = g_strdup("a \"b\", c=\n\\");
    line_protocol_append_event(out, document->event);
    CHECK_TEXT(out->str,
               "vm_events,VMID=9,host=localhost,lcm_state=LCM_INIT,state=POWEROFF seq=2i,"
               "vm_name=\"a \\\"b\\\", c= \\\\\",owner=\"oneadmin\",gname=\"oneadmin\",previous_state=\"ACTIVE\","
               "previous_lcm_state=\"SHUTDOWN_POWEROFF\",reason=\"poweroff-hard\" 5\n",
               "line");
    g_autoptr(VmEvent) bare = vm_event_new(EVENT_OPENNEBULA, 0, 7);
    g_string_truncate(out, 0);
    line_protocol_append_event(out, bare);
    CHECK_TEXT(out->str, "vm_events,VMID=0 seq=-1i 7\n", "a bare one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_documents_are_read),
        cmocka_unit_test(what_is_told_of_the_vm),
        cmocka_unit_test(what_is_gone_is_empty),
        cmocka_unit_test(a_long_history_keeps_its_end),
        cmocka_unit_test(stamps_by_state),
        cmocka_unit_test(a_stamp_of_the_future_is_none),
        cmocka_unit_test(unknown_numbers_are_taken),
        cmocka_unit_test(control_characters_are_cleaned),
        cmocka_unit_test(base64_may_be_broken_into_lines),
        cmocka_unit_test(bad_encodings),
        cmocka_unit_test(bad_xml),
        cmocka_unit_test(no_doctype_is_taken),
        cmocka_unit_test(size_and_depth_are_bounded),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(no_part_is_taken),
        cmocka_unit_test(an_event_as_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
