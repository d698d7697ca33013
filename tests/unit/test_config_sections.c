/* SPDX-License-Identifier: Apache-2.0 */
#include "test_config.h"

#include "deliver/spool.h"

/* --- named sections --- */

static void test_named_sections(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    assert_names(config, "");
    assert_null(config_named(config, "sink", "a"));
    assert_true(parse(config,
                      "[sink b]\nurl = http://b\nmax_size = 1G\n[probe]\nworkers = 4\n[sink  a-1_Z]\n[sink b]\n"
                      "gzip = off\nmax_age = 2h\n[sink\tA]\nurl = http://A",
                      NULL));
    assert_names(config, "b a-1_Z A"); /* in the file's order */
    const Config *a = config_named(config, "sink", "A"), *b = config_named(config, "sink", "b");
    const Config *standard = config_named(config, "sink", "a-1_Z");
    assert_string_equal(config_text(a, CONFIG_sink_url), "http://A");
    assert_string_equal(config_text(b, CONFIG_sink_url), "http://b");
    assert_string_equal(config_text(standard, CONFIG_sink_url), "");
    assert_int_equal(config_integer(b, CONFIG_sink_max_size), 1 << 30);
    assert_int_equal(config_integer(standard, CONFIG_sink_max_size), 512 << 20);
    assert_int_equal(config_integer(b, CONFIG_sink_max_age), 7200);
    assert_int_equal(config_integer(standard, CONFIG_sink_max_age), 7 * 86400);
    assert_int_equal(config_integer(b, CONFIG_sink_gzip), 0);
    assert_int_equal(config_integer(a, CONFIG_sink_gzip), 1);
    assert_null(config_named(config, "sink", "a"));

    /* The other sections are the whole's, what is set later too. */
    assert_int_equal(config_integer(b, CONFIG_probe_workers), 4);
    assert_true(config_set(config, CONFIG_probe_workers, "5", "--workers", NULL));
    assert_int_equal(config_integer(b, CONFIG_probe_workers), 5);
    assert_ptr_equal(config_named(b, "sink", "A"), a);
    assert_ptr_equal(config_names(b, "sink"), config_names(config, "sink"));
}

/* A second file adds to the first, and may set anew what that did. */
static void test_named_sections_of_two_files(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    assert_true(parse(config, "[sink a]\nurl = http://1\nuser = u", NULL));
    assert_true(parse(config, "[sink b]\n[sink a]\nurl = http://2", NULL));
    assert_names(config, "a b");
    assert_string_equal(config_text(config_named(config, "sink", "a"), CONFIG_sink_url), "http://2");
    assert_string_equal(config_text(config_named(config, "sink", "a"), CONFIG_sink_user), "u");
}

/* What stands in a section with a wrong name is nobody's. */
static void test_wrong_name_takes_its_keys_along(void **state)
{
    (void)state;
    static const char *const headers[] = {"[sink]", "[sink bad]", "[sink a b]", "[log x]", "[sunk]", "[sink b"};
    for (guint i = 0; i < G_N_ELEMENTS(headers); i++) {
        g_autoptr(Config) config = config_new();
        g_autofree char *text =
            g_strdup_printf("[sink a]\nuser = u\n%s\nurl = x\nlevel = debug\n[sink a]\nlines = 9", headers[i]);
        assert_false(parse(config, text, NULL));
        assert_names(config, "a");
        assert_string_equal(config_text(config_named(config, "sink", "a"), CONFIG_sink_url), "");
        assert_int_equal(config_integer(config_named(config, "sink", "a"), CONFIG_sink_lines), 9);
        assert_int_equal(config_integer(config, CONFIG_log_level), 2);
    }
}

static void test_most_named_sections(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 1; i <= 33; i++)
        g_string_append_printf(text, "[sink s%u]\nlines = %u\n", i, i);
    g_string_append(text, "[sink s1]\nuser = u\n");
    assert_false(parse(config, text->str, &error));
    assert_error(error, CONFIG_ERROR_VALUE, "t.conf:65: [sink s33]: expected at most 32 sections [sink …]");
    assert_int_equal(g_strv_length((char **)(guintptr)config_names(config, "sink")), 32);
    assert_int_equal(config_integer(config_named(config, "sink", "s32"), CONFIG_sink_lines), 32);
    assert_string_equal(config_text(config_named(config, "sink", "s1"), CONFIG_sink_user), "u");
}

/* A sink's name is a directory's in the spool: both must have one rule. */
static void test_names_are_names_in_the_spool(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "Z-9_", "tmp", "bad", "lock", "state",    "Tmp",  "states", "-",  "_", "0",
                                        ".", "..",   "a.b", "a/b", "a:b",  "\xc3\xa4", "a\\b", "a,b",    "a]", "[a"};
    for (guint length = 0; length <= 66; length++) {
        g_autofree char *name = length < G_N_ELEMENTS(names) ? g_strdup(names[length]) : g_strnfill(length, 'n');
        g_autofree char *text = g_strdup_printf("[sink %s]", name);
        g_autoptr(Config) config = config_new();
        if (parse(config, text, NULL) != spool_is_sink_name(name))
            fail_msg("%s", name);
    }
}

/* --- files' names --- */

static void test_relative_files(void **state)
{
    (void)state;
    g_autofree char *current = g_get_current_dir();
    static const struct {
        const char *name, *written, *expected; /* %s: the current directory */
    } cases[] = {
        {"/etc/one/t.conf", "/abs/token", "/abs/token"},
        {"/etc/one/t.conf", "token", "/etc/one/token"},
        {"/etc/one/t.conf", "../x y", "/etc/one/../x y"},
        {"/etc/one/t.conf", "", ""},
        {"/t.conf", "token", "/token"},
        {"t.conf", "token", "%s/token"},
        {"./t.conf", "token", "%s/token"},
        {"a/t.conf", "b/token", "%s/a/b/token"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Config) config = config_new();
        g_autoptr(Config) again = config_new();
        g_autofree char *text = g_strdup_printf("[sink a]\ntoken_file = %s", cases[i].written);
        g_autofree char *expected = g_str_has_prefix(cases[i].expected, "%s")
                                        ? g_strconcat(current, cases[i].expected + 2, NULL)
                                        : g_strdup(cases[i].expected);
        assert_true(config_parse(config, text, strlen(text), cases[i].name, NULL));
        assert_string_equal(config_text(config_named(config, "sink", "a"), CONFIG_sink_token_file), expected);
        /* wherever the dump is put */
        g_autofree char *dump = config_dump(config);
        assert_true(config_parse(again, dump, strlen(dump), "/else/where", NULL));
        assert_same_values(config, again);
    }
    g_autoptr(Config) config = config_new();
    g_autofree char *program = g_build_filename(current, "bin/forward", NULL);
    assert_true(config_set(config, CONFIG_forward_program, "bin/forward", "--forward", NULL));
    assert_string_equal(config_text(config, CONFIG_forward_program), program);
}

/* Where a dump could not say it, the file has to be named by an absolute path. */
static void test_relative_file_below_no_utf8(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    g_autoptr(GError) error = NULL;
    const char *text = "[forward]\nprogram = f";
    assert_false(config_parse(config, text, strlen(text), "/\xff/t.conf", &error));
    assert_error(error, CONFIG_ERROR_VALUE,
                 "/\\xFF/t.conf:2: [forward] program = f: expected an absolute path, one relative to the configuration "
                 "file's directory, or nothing");
    assert_true(config_parse(config, "[forward]\nprogram = /f", 22, "/\xff/t.conf", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named_sections),
        cmocka_unit_test(test_named_sections_of_two_files),
        cmocka_unit_test(test_wrong_name_takes_its_keys_along),
        cmocka_unit_test(test_most_named_sections),
        cmocka_unit_test(test_names_are_names_in_the_spool),
        cmocka_unit_test(test_relative_files),
        cmocka_unit_test(test_relative_file_below_no_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
