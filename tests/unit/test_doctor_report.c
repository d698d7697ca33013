/* SPDX-License-Identifier: Apache-2.0
 * Findings on their way: from a check's process to the doctor's, to people, to scripts; and telemetryd's own. */
#include "gather_helpers.h"

#include "doctor/diagnosis.h"
#include "doctor/present.h"

#include <string.h>
#include <unistd.h>

/* What a report wrote. Owned by the caller. */
static char *written(void (*write)(Report *to), gsize *ret_length)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    Report to = {ends[1]};
    write(&to);
    close(ends[1]);
    char *data = g_malloc(65536);
    gssize got, length = 0;
    while ((got = read(ends[0], data + length, 65536 - (gsize)length)) > 0)
        length += got;
    close(ends[0]);
    *ret_length = (gsize)length;
    return data;
}

static void write_some(Report *to)
{
    report(to, finding_ok("first\nline"));
    report_doing(to, "look", "the first thing");
    report(to, finding_new(VERDICT_WARNING, "mend it", "second"));
    report_doing(to, NULL, "the second thing");
    report(to, finding_new(VERDICT_NOT_CHECKED, NULL, "third"));
}

static void test_report(void **state)
{
    (void)state;
    gsize length;
    g_autofree char *data = written(write_some, &length);
    g_autoptr(GPtrArray) findings = findings_new();
    g_autoptr(Finding) doing = NULL;
    assert_true(report_read(data, length, findings, &doing));
    assert_int_equal(findings->len, 3);
    const Finding *first = findings->pdata[0], *second = findings->pdata[1], *third = findings->pdata[2];
    CHECK_TEXT(first->text, "first\\nline", "first");
    CHECK_TEXT(first->mend, NULL, "first");
    CHECK(second->verdict == VERDICT_WARNING, "second");
    CHECK_TEXT(second->mend, "mend it", "second");
    CHECK(third->verdict == VERDICT_NOT_CHECKED, "third");
    CHECK_TEXT(doing->text, "the second thing", "doing");
    CHECK(doing->verdict == VERDICT_ERROR && !doing->mend, "doing");
}

/* Cut off anywhere: what is whole is there. */
static void test_cut_off(void **state)
{
    (void)state;
    gsize length;
    g_autofree char *data = written(write_some, &length);
    guint most = 0;
    for (gsize cut = 0; cut <= length; cut++) {
        g_autoptr(GPtrArray) findings = findings_new();
        g_autoptr(Finding) doing = NULL;
        g_autofree char *part = g_memdup(data, (guint)cut);
        assert_true(report_read(part, cut, findings, &doing));
        CHECK(findings->len >= most && findings->len <= 3, "%u", findings->len);
        most = findings->len;
    }
    assert_int_equal(most, 3);
    g_autoptr(GPtrArray) findings = findings_new();
    g_autoptr(Finding) doing = NULL;
    assert_false(report_read("xa\0b\0", 5, findings, &doing));
}

static CheckResult some_result(void)
{
    CheckResult result = {&check_info[CHECK_libvirt], PLACE_HOST, findings_new()};
    g_ptr_array_add(result.findings, finding_ok("all is well"));
    g_ptr_array_add(result.findings, finding_new(VERDICT_ERROR, "do this\n# then\nthat", "\"quoted\""));
    return result;
}

static void test_text(void **state)
{
    (void)state;
    CheckResult result = some_result();
    PresentOptions options = {.places = PLACE_HOST};
    g_autoptr(GString) plain = g_string_new(NULL), quiet = g_string_new(NULL), both = g_string_new(NULL);
    present_text(plain, &result, &options);
    CHECK_TEXT(plain->str,
               "ok       libvirt      all is well\n"
               "error    libvirt      \"quoted\"\n"
               "                      $ do this\n"
               "                      # then\n"
               "                      $ that\n",
               "plain");
    options.quiet = options.colour = true;
    present_text(quiet, &result, &options);
    CHECK(g_str_has_prefix(quiet->str, "\033[1;31merror   \033[0m libvirt      \"quoted\"\n"), "%s", quiet->str);
    options = (PresentOptions){.places = PLACE_HOST | PLACE_FRONT_END};
    present_text(both, &result, &options);
    CHECK(g_str_has_prefix(both->str, "ok       libvirt, host          all is well\n"), "%s", both->str);
    g_ptr_array_unref(result.findings);
}

static void test_sum(void **state)
{
    (void)state;
    static const struct {
        DoctorSum sum;
        const char *want;
    } rows[] = {
        {{{0}}, "0 ok, 0 warnings, 0 errors"},
        {{{[VERDICT_OK] = 3, [VERDICT_WARNING] = 1, [VERDICT_ERROR] = 1}}, "3 ok, 1 warning, 1 error"},
        {{{[VERDICT_NOT_CHECKED] = 2, [VERDICT_ERROR] = 2}}, "0 ok, 0 warnings, 2 errors, 2 not checked"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *got = present_sum(&rows[i].sum);
        CHECK_TEXT(got, rows[i].want, rows[i].want);
    }
}

static void test_json(void **state)
{
    (void)state;
    CheckResult result = some_result();
    g_autoptr(GPtrArray) results = g_ptr_array_new();
    g_ptr_array_add(results, &result);
    const PresentOptions options = {.places = PLACE_HOST, .quiet = true};
    g_autofree char *got = present_json(results, &options, "m", 1000000000);
    CHECK_TEXT(got,
               "{\"version\":\"" ONE_TELEMETRY_VERSION "\",\"machine\":\"m\",\"front_end\":false,\"host\":true,"
               "\"time\":\"1970-01-01T00:00:01.000Z\",\"findings\":[{\"check\":\"libvirt\",\"place\":\"host\","
               "\"status\":\"error\",\"text\":\"\\\"quoted\\\"\",\"mend\":\"do this\\n# then\\nthat\"}],"
               "\"ok\":1,\"warnings\":0,\"errors\":1,\"skipped\":0}\n",
               "json");
    g_ptr_array_unref(result.findings);
}

static void test_diagnosis(void **state)
{
    (void)state;
    static const char text[] =
        "{\"status\":\"success\",\"version\":\"0.1.0\",\"kvm\":{\"status\":\"error\",\"error\":\"again\"},"
        "\"hosts\":[{\"host\":\"kvm1\",\"status\":\"error\",\"error\":\"nothing new\",\"advice\":\"look\\nthere\"},"
        "{\"host\":\"kvm2\",\"status\":\"ok\"}],\"feed\":{\"returned_lines\":3}}";
    g_autofree char *version = diagnosis_version(text, strlen(text));
    CHECK_TEXT(version, "0.1.0", "version");
    g_autoptr(GPtrArray) findings = diagnosis_findings(text, strlen(text));
    assert_int_equal(findings->len, 2);
    const Finding *host = findings->pdata[0], *loop = findings->pdata[1];
    CHECK_TEXT(host->text, "it says of hosts kvm1: nothing new", "host");
    CHECK_TEXT(host->mend, "# look there", "host");
    CHECK(strstr(loop->text, "3 lines have come in"), "%s", loop->text);
    g_autoptr(GPtrArray) well = diagnosis_findings("{\"status\":\"error\"}", 18);
    CHECK(well->len == 1 && ((const Finding *)well->pdata[0])->verdict == VERDICT_OK, "well");
    static const char *const none[] = {"", "[]", "{", "login page"};
    for (guint i = 0; i < G_N_ELEMENTS(none); i++) {
        CHECK(diagnosis_findings(none[i], strlen(none[i])) == NULL, "%s", none[i]);
        CHECK(diagnosis_version(none[i], strlen(none[i])) == NULL, "%s", none[i]);
    }
}

static void test_table(void **state)
{
    (void)state;
    for (int i = 0; i < N_CHECKS; i++) {
        CHECK(check_find(check_info[i].name) == i, "%s", check_info[i].name);
        CHECK(check_info[i].seconds >= 10 && check_info[i].seconds <= 150, "%s", check_info[i].name);
    }
    CHECK(check_find("nothing") == -1, "nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report), cmocka_unit_test(test_cut_off), cmocka_unit_test(test_text),
        cmocka_unit_test(test_sum),    cmocka_unit_test(test_json),    cmocka_unit_test(test_diagnosis),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
