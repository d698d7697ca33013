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

static void test_forecast_conf(void **state)
{
    (void)state;
#define VM "virtualmachine:\n  db_retention: 2 # weeks\n"
    static const struct {
        const char *text;
        ForecastConf want;
        const char *message; /* NULL: no error */
    } cases[] = {
        {"host:\n  db_retention: 4 # weeks\n" VM "  forecast:\n    enabled: true\n    period: 5\n    lookback: 60\n"
         "  forecast_far:\n    enabled: false\n    period: 2880\n    lookback: 10080\n",
         {2, true, false, 2880},
         NULL},
        {VM "  forecast_period: 5\n  forecast_far_period: 48\n", {2, true, true, 15}, NULL}, /* 7.0 */
        {"host:\n  db_retention: 5\n", {4, false, false, 15}, NULL},
        {"", {4, false, false, 15}, NULL},
        {"virtualmachine: no\n", {4, false, false, 15}, NULL},
        {VM "  forecast:\n    enabled: Off\n  forecast_far:\n    period: 60\n", {2, false, true, 60}, NULL},
        {VM "  forecast:\n  forecast_far:\n    enabled:\n", {2, false, false, 15}, NULL},
        {VM "  forecast:\n    enabled: maybe\n    period: 5\n",
         {2, true, true, 15},
         "line 4: enabled is \"maybe\": expected true or false"},
        {VM "  forecast_far:\n    enabled: maybe\n    period: 0\n",
         {2, true, true, 0},
         "line 4: enabled is \"maybe\": expected true or false"},
        {VM "  forecast_far:\n    period: 1h\n",
         {2, true, true, 0},
         "line 4: period is \"1h\": expected minutes, from 1 to a year"},
        {"virtualmachine:\n  db_retention: 520\n", {520, true, true, 15}, NULL},
        {"virtualmachine:\n  db_retention: 521\n",
         {4, true, true, 15},
         "line 2: db_retention is \"521\": expected weeks, 1 to 520"},
        {"virtualmachine:\n  db_retention: 0\n", {4, true, true, 15}, "line 2: db_retention is \"0\""},
        {"virtualmachine:\n  db_retention: two\n", {4, true, true, 15}, "line 2: db_retention is \"two\""},
        {"virtualmachine:\n  db_retention:\n    a: 1\n", {4, true, true, 15}, "line 2: db_retention is \"\""},
        {"virtualmachine: [\n", {4, true, true, 0}, "line 1: lists"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        ForecastConf conf;
        bool good = forecast_conf_parse(cases[i].text, strlen(cases[i].text), &conf, &error);
        CHECK(conf.weeks == cases[i].want.weeks && conf.near == cases[i].want.near && conf.far == cases[i].want.far &&
                  conf.far_minutes == cases[i].want.far_minutes,
              "%s: %u %d %d %u", cases[i].text, conf.weeks, conf.near, conf.far, conf.far_minutes);
        CHECK(good == !error && !cases[i].message == !error, "%s: %s", cases[i].text,
              error ? error->message : "no error");
        if (error)
            CHECK(g_str_has_prefix(error->message, cases[i].message), "%s: %s", cases[i].text, error->message);
    }
}

/* In each period a VM has one slot of the forecaster's, and one or two turns, so that one of them meets it. */
static void test_far_turns(void **state)
{
    (void)state;
    const ForecastConf conf = {.far = true, .far_minutes = 60}, off = {.far_minutes = 60}, wrong = {.far = true};
    for (guint64 vm_id = 0; vm_id < 300; vm_id += 7) {
        for (gint64 phase = 0; phase < 30; phase++) {
            guint turns = 0, met = 0;
            for (gint64 cycle = 0; cycle < 120; cycle++) {
                const gint64 now = 1700000000 + phase + cycle * 30;
                const bool turn = forecast_conf_is_far_turn(&conf, 30, vm_id, now);
                turns += turn;
                met += turn && ((guint64)now + 5) / 30 % 120 == vm_id % 120; /* what the forecaster sees 5 s later */
            }
            CHECK(turns >= 1 && turns <= 2 && met == 1, "VM %u, phase %d: %u turns, %u met", (guint)vm_id, (int)phase,
                  turns, met);
        }
    }
    assert_false(forecast_conf_is_far_turn(&off, 30, 7, 7 * 30));
    assert_false(forecast_conf_is_far_turn(&wrong, 30, 7, 7 * 30));
    assert_false(forecast_conf_is_far_turn(&conf, 3601, 0, 0)); /* no slot at all: the forecaster fails then */
    assert_false(forecast_conf_is_far_turn(&conf, 0, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_refused),   cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_forecast_conf), cmocka_unit_test(test_far_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
