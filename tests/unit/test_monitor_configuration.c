/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's configuration on standard input: the recorded one, and those that are not as they should be. */
#include "gather/monitor_configuration.h"
#include "gather_helpers.h"

#include <string.h>

#define SYNC(value)                                                                                                    \
    "<MONITOR_CONFIGURATION><PROBES_PERIOD><SYNC_STATE_VM>" value "</SYNC_STATE_VM></PROBES_PERIOD>"                   \
    "</MONITOR_CONFIGURATION>"

static const struct {
    const char *text;
    guint64 sync_s;
    const char *complaint; /* how it begins; NULL: there is none */
} documents[] = {
    {SYNC("600"), 600, NULL},
    {SYNC("<![CDATA[ 7 ]]>"), 7, NULL},
    {SYNC("1000000000"), 1000000000, NULL},
    {"", 180, "OpenNebula's configuration is missing on standard input; a full report is made every 180 s"},
    {SYNC("0"), 180, "PROBES_PERIOD/SYNC_STATE_VM is \"0\": expected a whole number of seconds from 1 on; a full"},
    {SYNC("-5"), 180, "PROBES_PERIOD/SYNC_STATE_VM is \"-5\": expected"},
    {SYNC(""), 180, "PROBES_PERIOD/SYNC_STATE_VM is \"\": expected"},
    {SYNC("1000000001"), 180, "PROBES_PERIOD/SYNC_STATE_VM is"},
    {SYNC("180s"), 180, "PROBES_PERIOD/SYNC_STATE_VM is \"180s\": expected"},
    {SYNC("99999999999999999999999"), 180, "PROBES_PERIOD/SYNC_STATE_VM is"},
    {"<MONITOR_CONFIGURATION><SYNC_STATE_VM>7</SYNC_STATE_VM></MONITOR_CONFIGURATION>", 180,
     "OpenNebula's configuration on standard input has no PROBES_PERIOD/SYNC_STATE_VM; a full"},
    {"<MONITOR_CONFIGURATION><PROBES_PERIOD><SYNC_STATE_VM>7</SYNC", 180,
     "OpenNebula's configuration on standard input can't be read: line 1: "},
    {"PD94bWw+", 180, "OpenNebula's configuration on standard input can't be read: line 1: "},
    {"<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>" SYNC("&x;"), 180,
     "OpenNebula's configuration on standard input can't be read: "},
};

static void test_documents(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(documents); i++) {
        g_autofree char *complaint = NULL;
        guint64 sync_s = monitor_configuration_sync_s(documents[i].text, strlen(documents[i].text), &complaint);
        CHECK(sync_s == documents[i].sync_s, "row %u: %u", i, (guint)sync_s);
        if (documents[i].complaint)
            CHECK(complaint && g_str_has_prefix(complaint, documents[i].complaint), "row %u: %s", i, complaint);
        else
            CHECK(!complaint, "row %u: %s", i, complaint);
        CHECK(!complaint || !strchr(complaint, '\n'), "row %u: %s", i, complaint);
    }
}

/* Wrong ones are as if nothing was said, as the forecaster takes them. */
static void test_vm_period(void **state)
{
    (void)state;
#define PERIOD(value)                                                                                                  \
    "<MONITOR_CONFIGURATION><PROBES_PERIOD><MONITOR_VM>" value "</MONITOR_VM></PROBES_PERIOD></MONITOR_CONFIGURATION>"
    static const struct {
        const char *text;
        guint64 seconds;
    } cases[] = {{PERIOD("120"), 120},
                 {PERIOD(" 1\n"), 1},
                 {PERIOD("86400"), 86400},
                 {PERIOD("86401"), 30},
                 {PERIOD("0"), 30},
                 {PERIOD("30 s"), 30},
                 {PERIOD(""), 30},
                 {SYNC("600"), 30},
                 {"", 30},
                 {"<a", 30}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint64 seconds = monitor_configuration_vm_s(cases[i].text, strlen(cases[i].text));
        CHECK(seconds == cases[i].seconds, "%s: %u", cases[i].text, (guint)seconds);
    }
}

static void test_recorded(void **state)
{
    (void)state;
    gsize length;
    g_autofree char *text = read_test_data("golden/recorded/monitor-configuration.xml", &length);
    g_autofree char *complaint = NULL;
    assert_int_equal(monitor_configuration_sync_s(text, length, &complaint), 180);
    assert_int_equal(monitor_configuration_vm_s(text, length), 30);
    CHECK(!complaint, "%s", complaint);
    text[length - 20] = '\0';
    assert_int_equal(monitor_configuration_sync_s(text, length, &complaint), 180);
    assert_non_null(complaint);
}

static void test_too_large(void **state)
{
    (void)state;
    g_autofree char *complaint = NULL, *text = g_strnfill(MONITOR_CONFIGURATION_MAX + 1, ' ');
    assert_int_equal(monitor_configuration_sync_s(text, MONITOR_CONFIGURATION_MAX + 1, &complaint), 180);
    CHECK(complaint && strstr(complaint, "more than 1048576 bytes"), "%s", complaint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_vm_period),
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
