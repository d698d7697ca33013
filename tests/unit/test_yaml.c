/* SPDX-License-Identifier: Apache-2.0
 * The part of YAML that OpenNebula's files for its probes are written in. */
#include "gather_helpers.h"

#include "base/yaml.h"
#include "gather/forecast_conf.h"

#include <string.h>

static YamlNode *read_text(const char *text)
{
    g_autoptr(GError) error = NULL;
    YamlNode *root = yaml_read(text, strlen(text), &error);
    CHECK(root, "%s: %s", text, error ? error->message : "");
    return root;
}

/* `path`: keys with / between them. NULL: no such value. */
static const char *value_at(const YamlNode *root, const char *path)
{
    g_auto(GStrv) keys = g_strsplit(path, "/", -1);
    for (guint i = 0; keys[i + 1]; i++)
        root = yaml_child(root, keys[i]);
    return yaml_value(root, keys[g_strv_length(keys) - 1]);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path, *value;
    } cases[] = {
        {"a: 1\n", "a", "1"},
        {"a: 1", "a", "1"},
        {"a: 1\r\nb: 2\r\n", "b", "2"},
        {":enabled: false\n", "enabled", "false"},
        {"---\n# all of it\n\na: b # why\n", "a", "b"},
        {"a: b#c\n", "a", "b#c"},
        {"a:\n", "a", ""},
        {"a: # nothing\n", "a", ""},
        {"a: # what follows\n  b: 2\n", "a/b", "2"},
        {"a: 1\na: 2\n", "a", "2"},
        {"a:\n    b:\n      c: x y  \n    d: z\ne: 5\n", "a/b/c", "x y"},
        {"a:\n    b:\n      c: x y  \n    d: z\ne: 5\n", "a/d", "z"},
        {"a:\n    b:\n      c: x y  \n    d: z\ne: 5\n", "e", "5"},
        {"a: one-$vm_id '{\"execute\":\"x\"}' --timeout 5\n", "a", "one-$vm_id '{\"execute\":\"x\"}' --timeout 5"},
        {"a: \"one-$vm_id '{\\\"execute\\\":\\\"x\\\"}'\" # c\n", "a", "one-$vm_id '{\"execute\":\"x\"}'"},
        {"a: \"\\x41\\u00e9\\n\\t\\\\\\/\"\n", "a", "A\303\251\n\t\\/"},
        {"a: 'it''s # \\n'\n", "a", "it's # \\n"},
        {"a: ''\n", "a", ""},
        {"a: \"one  \n    two\n\n  three\"\nb: 1\n", "a", "one two\nthree"},
        {"a: \"one  \n    two\n\n  three\"\nb: 1\n", "b", "1"},
        {"a: >\n  one\n  two\nb: 1\n", "a", "one two\n"},
        {"a: >-\n     one |\n     two\n\n     three\n", "a", "one | two\nthree"},
        {"a: |\n  one\n    two\n\nb: 1\n", "a", "one\n  two\n"},
        {"a: |+\n  one\n\nb: 1\n", "a", "one\n\n"},
        {"a: |-\n  one\n", "a", "one"},
        {"a: >\n  one\n    deeper\n  two\n", "a", "one\n  deeper\ntwo\n"},
        {"a:\n  b: |\n    # text\n  c: 3\n", "a/b", "# text\n"},
        {"a:\n  b: |\n    # text\n  c: 3\n", "a/c", "3"},
        {"a: |\nb: 1\n", "a", ""},
        {"", "a", NULL},
        {"a: 1\n", "b", NULL},
        {"a:\n b: 1\n", "a", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(YamlNode) root = read_text(cases[i].text);
        CHECK_TEXT(value_at(root, cases[i].path), cases[i].value, cases[i].text);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a\n", "line 1: expected"},
        {"a: 1\n b: 2\n", "line 2: deeper"},
        {"a:\n  b: 1\n   c: 2\n", "line 3: deeper"},
        {"a:\n    b: 1\n  c: 2\n", "line 3:"},
        {"  a: 1\nb: 2\n", "line 2: less deep"},
        {"a: 1\n\tb: 2\n", "line 2: a tab"},
        {"a: [1, 2]\n", "line 1: lists"},
        {"a: {b: 1}\n", "line 1: lists"},
        {"a: &x 1\n", "line 1: lists"},
        {"a: *x\n", "line 1: lists"},
        {"a: !!str 1\n", "line 1: lists"},
        {"a:\n  - 1\n", "line 2: lists"},
        {"- 1\n", "line 1: lists"},
        {"a: b: c\n", "line 1: a value with a colon"},
        {"\n\na: \"b\n", "line 3: the quote"},
        {"a: 'b\nc: d\n", "line 1: the quote"},
        {"a: \"b\" c\n", "line 1: something stands"},
        {"a: \"\\q\"\n", "line 1: after a backslash"},
        {"a: \"\\u12\"\n", "line 1: after a backslash"},
        {"a: \"\\x00\"\n", "line 1: after a backslash"},
        {"a: |2\n  b\n", "line 1: after | and >"},
        {"a b: 1\n", "line 1: expected"},
        {"a:1\n", "line 1: expected"},
        {"\"a\": 1\n", "line 1: expected"},
        {"a: \377\n", "line 1: the file is no UTF-8"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(YamlNode) root = yaml_read(cases[i].text, strlen(cases[i].text), &error);
        CHECK(!root && error, "%s", cases[i].text);
        CHECK(g_str_has_prefix(error->message, cases[i].message), "%s: %s", cases[i].text, error->message);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    g_autoptr(GString) deep = g_string_new(NULL);
    for (guint i = 0; i < 40; i++)
        g_string_append_printf(deep, "%*sa:\n", (int)i, "");
    g_autoptr(GError) error = NULL, large = NULL;
    assert_null(yaml_read(deep->str, deep->len, &error));
    assert_non_null(strstr(error->message, "too deep"));

    g_autofree char *text = g_strnfill(YAML_MAX + 1, '\n');
    assert_null(yaml_read(text, YAML_MAX + 1, &large));
    assert_true(g_error_matches(large, YAML_ERROR, YAML_ERROR_TOO_LARGE));
    assert_null(yaml_read("a: b\0c\n", 7, NULL));
}

static void test_forecast_weeks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        guint weeks;
        const char *message; /* NULL: no error */
    } cases[] = {
        {"host:\n  db_retention: 4 # weeks\nvirtualmachine:\n  db_retention: 2 # weeks\n  forecast:\n    enabled: "
         "true\n",
         2, NULL},
        {"host:\n  db_retention: 4\n", 0, NULL},
        {"", 0, NULL},
        {"virtualmachine:\n  db_retention: 520\n", 520, NULL},
        {"virtualmachine:\n  db_retention: 521\n", 0, "line 2: db_retention is \"521\": expected weeks, 1 to 520"},
        {"virtualmachine:\n  db_retention: 0\n", 0, "line 2: db_retention is \"0\""},
        {"virtualmachine:\n  db_retention: two\n", 0, "line 2: db_retention is \"two\""},
        {"virtualmachine:\n  db_retention:\n    a: 1\n", 0, "line 2: db_retention is \"\""},
        {"virtualmachine: [\n", 0, "line 1: lists"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        guint weeks = forecast_conf_weeks(cases[i].text, strlen(cases[i].text), &error);
        CHECK(weeks == cases[i].weeks, "%s: %u", cases[i].text, weeks);
        CHECK(!cases[i].message == !error, "%s: %s", cases[i].text, error ? error->message : "no error");
        if (error)
            CHECK(g_str_has_prefix(error->message, cases[i].message), "%s: %s", cases[i].text, error->message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_forecast_weeks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
