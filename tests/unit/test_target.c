/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/target.h"

#include <string.h>

static const struct {
    const char *text, *path;
    const char *parameters; /* "name=value" joined by | */
} good[] = {
    {"/", "/", ""},
    {"/healthz", "/healthz", ""},
    {"/api/telemetry/history/83?metric=cpu_usage_percent&step=60s", "/api/telemetry/history/83",
     "metric=cpu_usage_percent|step=60s"},
    {"/a%20b", "/a b", ""},
    {"/a+b?c+d=e+f", "/a+b", "c d=e f"},
    {"/%C3%A4?%C3%A4=%c3%b6", "/ä", "ä=ö"},
    {"/a?", "/a", ""},
    {"/a?&&", "/a", ""},
    {"/a?b", "/a", "b="},
    {"/a?b=", "/a", "b="},
    {"/a?b=c=d", "/a", "b=c=d"},
    {"/a?b=%26%3D&c=1", "/a", "b=&=|c=1"},
    {"/a?b=/../x", "/a", "b=/../x"},
    {"/a?b=%2F", "/a", "b=/"},
    {"/...", "/...", ""},
    {"/.a", "/.a", ""},
    {"/a?b=?", "/a", "b=?"},
};

static void test_good(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Target) target = target_parse(good[i].text, &error);
        CHECK(target != NULL, "%s: %s", good[i].text, error ? error->message : "");
        g_autoptr(GString) parameters = g_string_new(NULL);
        for (guint n = 0; n < target->n_parameters; n++)
            g_string_append_printf(parameters, "%s%s=%s", n ? "|" : "", target->parameters[n].name,
                                   target->parameters[n].value);
        CHECK_TEXT(target->path, good[i].path, good[i].text);
        CHECK_TEXT(parameters->str, good[i].parameters, good[i].text);
    }
}

static const char *const bad[] = {
    "",         "a",       "*",         "http://x/", "/a#b",    "//",       "/a//b",   "/a/",    "/.",
    "/..",      "/a/../b", "/a/./b",    "/%2e%2e/a", "/%2E",    "/a%2Fb",   "/a%5cb",  "/a\\b",  "/a%",
    "/a%1",     "/a%zz",   "/a%00",     "/a?b=%00",  "/a%0a",   "/a?b=%0D", "/a%7f",   "/a\x01", "/%ff",
    "/a?b=%ff", "/a?%=1",  "/a?b=1&b=", "/a?=1",     "/a?b=%1", "/a?b&b",   "/%c0%af", "/a%2",   "?a=b",
};

static void test_bad(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Target) target = target_parse(bad[i], &error);
        CHECK(target == NULL && g_error_matches(error, TARGET_ERROR, TARGET_ERROR_SYNTAX), "%s", bad[i]);
    }
}

static void test_limits(void **state)
{
    (void)state;
    GString *text = g_string_new("/a?p0=");
    for (guint i = 1; i < TARGET_PARAMETERS_MAX; i++)
        g_string_append_printf(text, "&p%u=", i);
    g_autoptr(Target) most = target_parse(text->str, NULL);
    assert_non_null(most);
    assert_int_equal(most->n_parameters, TARGET_PARAMETERS_MAX);
    assert_non_null(target_parameter(most, "p63"));
    assert_null(target_parameter(most, "p64"));
    g_string_append(text, "&more=");
    g_autoptr(GError) many = NULL, length = NULL;
    assert_null(target_parse(text->str, &many));
    assert_true(g_error_matches(many, TARGET_ERROR, TARGET_ERROR_LIMIT));
    g_string_assign(text, "/");
    while (text->len < TARGET_MAX)
        g_string_append_c(text, 'a');
    g_autoptr(Target) longest = target_parse(text->str, NULL);
    assert_non_null(longest);
    g_string_append_c(text, 'a');
    assert_null(target_parse(text->str, &length));
    assert_true(g_error_matches(length, TARGET_ERROR, TARGET_ERROR_LIMIT));
    g_string_free(text, TRUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
