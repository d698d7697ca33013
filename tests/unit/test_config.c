/* SPDX-License-Identifier: Apache-2.0 */
#include "test_config.h"

#include <glib/gstdio.h>

/* --- right files --- */

static void test_defaults(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    assert_int_equal(config_integer(config, CONFIG_probe_mode), MODE_BESIDE);
    assert_string_equal(config_text(config, CONFIG_probe_uri), "");
    assert_true(config_seconds(config, CONFIG_probe_deadline) == 10.0);
    assert_int_equal(config_integer(config, CONFIG_probe_workers), 2);
    assert_string_equal(config_text(config, CONFIG_probe_state_dir), "");
    assert_int_equal(config_integer(config, CONFIG_probe_detail), 5);
    assert_int_equal(config_integer(config, CONFIG_probe_message_limit), 65507);
    assert_int_equal(config_integer(config, CONFIG_probe_message_reserve), -1);
    assert_int_equal(config_integer(config, CONFIG_log_level), 2);
}

static void test_modes(void **state)
{
    (void)state;
    static const char *const words[] = {[MODE_BESIDE] = "beside", [MODE_REPLACE] = "replace", [MODE_LEAVE] = "leave"};
    g_autoptr(Config) config = config_new();
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        assert_true(config_set(config, CONFIG_probe_mode, words[i], "--mode", NULL));
        assert_int_equal(config_integer(config, CONFIG_probe_mode), i);
    }
}

static void test_every_form_of_line(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    const char *text = "# comment\n"
                       "   # another = one\r\n"
                       "\n"
                       " [probe] \r\n"
                       "mode=replace\n"
                       "\turi\t =  qemu+tls://h\xc3\xb4te/system?a=1;b#c  \t\r\n"
                       "state_dir = /a b\\t\\\\c\\s\n"
                       "[log]\n"
                       "level = debug\n"
                       "[probe]\n"
                       "#workers = 9\n"
                       "deadline = 0.5\n"
                       "message_reserve = 17"; /* no newline at the end */
    assert_true(parse(config, text, NULL));
    assert_int_equal(config_integer(config, CONFIG_probe_mode), MODE_REPLACE);
    assert_string_equal(config_text(config, CONFIG_probe_uri), "qemu+tls://h\xc3\xb4te/system?a=1;b#c");
    assert_string_equal(config_text(config, CONFIG_probe_state_dir), "/a b\t\\c ");
    assert_int_equal(config_integer(config, CONFIG_log_level), 3);
    assert_true(config_seconds(config, CONFIG_probe_deadline) == 0.5);
    assert_int_equal(config_integer(config, CONFIG_probe_message_reserve), 17);
    assert_int_equal(config_integer(config, CONFIG_probe_workers), 2);
    assert_true(config_parse(config, text, 0, "t.conf", NULL));
}

/* Text after `length` is not read: there need be no NUL. */
static void test_length_counts(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    const char text[] = {'[', 'l', 'o', 'g', ']', '\n', 'l', 'e', 'v', 'e', 'l', '=', 'd', 'e', 'b', 'u', 'g'};
    g_autofree char *copy = g_malloc(sizeof text);
    memcpy(copy, text, sizeof text);
    assert_true(config_parse(config, copy, sizeof text, "t.conf", NULL));
    assert_int_equal(config_integer(config, CONFIG_log_level), 3);
}

/* --- wrong lines --- */

#define LONG_60 "123456789 123456789 123456789 123456789 123456789 123456789 "

#define NAME_RULE                                                                                                      \
    "expected a name of 1 to 64 of a-z A-Z 0-9 _ -, other than tmp, bad, lock or state, as in [sink influx]"

static const struct {
    const char *text;
    ConfigErrorCode code;
    const char *message;
} wrong[] = {
    /* lines */
    {"nonsense", CONFIG_ERROR_SYNTAX, "t.conf:1: nonsense: neither # comment, [section] nor key = value"},
    {"[log]\n\n= 3", CONFIG_ERROR_SYNTAX, "t.conf:3: = 3: neither # comment, [section] nor key = value"},
    {"; old", CONFIG_ERROR_SYNTAX, "t.conf:1: ; old: neither # comment, [section] nor key = value"},
    {"level = info", CONFIG_ERROR_SYNTAX, "t.conf:1: level = info: stands before the first [section]"},
    {"[log", CONFIG_ERROR_SYNTAX, "t.conf:1: [log: expected [section] and nothing else on the line"},
    {"[log] # c", CONFIG_ERROR_SYNTAX, "t.conf:1: [log] # c: expected [section] and nothing else on the line"},
    {"[", CONFIG_ERROR_SYNTAX, "t.conf:1: [: expected [section] and nothing else on the line"},
    {"[log]\n#\xff", CONFIG_ERROR_SYNTAX, "t.conf:2: #\\xFF: not valid UTF-8"},
    {"[log]\nlevel = \xc3", CONFIG_ERROR_SYNTAX, "t.conf:2: level = \\xC3: not valid UTF-8"},
    {"a\x1b[2Jb", CONFIG_ERROR_SYNTAX, "t.conf:1: a\\x1B[2Jb: neither # comment, [section] nor key = value"},
    {"\xe2\x80\xae"
     "a",
     CONFIG_ERROR_SYNTAX, "t.conf:1: \\xE2\\x80\\xAEa: neither # comment, [section] nor key = value"},
    {LONG_60 LONG_60, CONFIG_ERROR_SYNTAX,
     "t.conf:1: " LONG_60 "123456789 1234567…: neither # comment, [section] nor key = value"},
    /* names */
    {"[]", CONFIG_ERROR_UNKNOWN, "t.conf:1: []: unknown section"},
    {"[prope]", CONFIG_ERROR_UNKNOWN, "t.conf:1: [prope]: unknown section, did you mean [probe]?"},
    {"[Log]", CONFIG_ERROR_UNKNOWN, "t.conf:1: [Log]: unknown section, did you mean [log]?"},
    {"[ probe ]", CONFIG_ERROR_UNKNOWN, "t.conf:1: [ probe ]: unknown section, did you mean [probe]?"},
    {"[influxdb]\nurl = x\n[log]\nlevel = x", CONFIG_ERROR_UNKNOWN, "t.conf:1: [influxdb]: unknown section"},
    {"[probe]\ndedline = 3", CONFIG_ERROR_UNKNOWN,
     "t.conf:2: [probe] dedline = 3: unknown key, did you mean [probe] deadline?"},
    {"[probe]\nDeadline = 3", CONFIG_ERROR_UNKNOWN,
     "t.conf:2: [probe] Deadline = 3: unknown key, did you mean [probe] deadline?"},
    {"[probe]\nstate-dir = /x", CONFIG_ERROR_UNKNOWN,
     "t.conf:2: [probe] state-dir = /x: unknown key, did you mean [probe] state_dir?"},
    {"[probe]\nlevel = debug", CONFIG_ERROR_UNKNOWN,
     "t.conf:2: [probe] level = debug: unknown key, did you mean [log] level?"},
    {"[probe]\nWORKERS = 3", CONFIG_ERROR_UNKNOWN,
     "t.conf:2: [probe] WORKERS = 3: unknown key, did you mean [probe] workers?"},
    {"[log]\nlevail = info", CONFIG_ERROR_UNKNOWN, /* as near to [probe] detail */
     "t.conf:2: [log] levail = info: unknown key, did you mean [log] level?"},
    {"[probe]\nuri[de] = x", CONFIG_ERROR_UNKNOWN, "t.conf:2: [probe] uri[de] = x: unknown key"},
    {"[probe]\nx =", CONFIG_ERROR_UNKNOWN, "t.conf:2: [probe] x = (empty): unknown key"},
    {"[probe]\n" LONG_60 " = 1", CONFIG_ERROR_UNKNOWN,
     "t.conf:2: [probe] 123456789 123456789 123456789 123456789 123456789 123456789 = 1: unknown key"},
    {"[log]\nlevel = info\n\n[probe]\n[log]\nlevel = info", CONFIG_ERROR_SYNTAX,
     "t.conf:6: [log] level = info: is set on line 2 already"},
    /* names of sections */
    {"[sink]", CONFIG_ERROR_SYNTAX, "t.conf:1: [sink]: expected a name too, as in [sink influx]"},
    {"[sink ]", CONFIG_ERROR_SYNTAX, "t.conf:1: [sink]: expected a name too, as in [sink influx]"},
    {"[sink in/flux]", CONFIG_ERROR_VALUE, "t.conf:1: [sink in/flux]: " NAME_RULE},
    {"[sink a b]", CONFIG_ERROR_VALUE, "t.conf:1: [sink a b]: " NAME_RULE},
    {"[sink a ]", CONFIG_ERROR_VALUE, "t.conf:1: [sink a ]: " NAME_RULE},
    {"[sink tmp]\nurl = x", CONFIG_ERROR_VALUE, "t.conf:1: [sink tmp]: " NAME_RULE},
    {"[sink \xc3\xa4]", CONFIG_ERROR_VALUE, "t.conf:1: [sink \xc3\xa4]: " NAME_RULE},
    {"[probe x]", CONFIG_ERROR_SYNTAX, "t.conf:1: [probe x]: expected [probe], which takes no name"},
    {"[log ]", CONFIG_ERROR_SYNTAX, "t.conf:1: [log ]: expected [log], which takes no name"},
    {"[snk influx]", CONFIG_ERROR_UNKNOWN, "t.conf:1: [snk influx]: unknown section, did you mean [sink NAME]?"},
    {"[sinks]", CONFIG_ERROR_UNKNOWN, "t.conf:1: [sinks]: unknown section, did you mean [sink NAME]?"},
    {"[sink a]\nurls = x", CONFIG_ERROR_UNKNOWN,
     "t.conf:2: [sink a] urls = x: unknown key, did you mean [sink a] url?"},
    {"[sink a]\nlevel = debug", CONFIG_ERROR_UNKNOWN,
     "t.conf:2: [sink a] level = debug: unknown key, did you mean [log] level?"},
    {"[log]\nbucket = b", CONFIG_ERROR_UNKNOWN,
     "t.conf:2: [log] bucket = b: unknown key, did you mean [sink NAME] bucket?"},
    {"[sink a]\nurl = x\n[sink b]\nurl = x\n[log]\n[sink a]\nurl = y", CONFIG_ERROR_SYNTAX,
     "t.conf:7: [sink a] url = y: is set on line 2 already"},
    {"[sink a]\n[sink b]\ntype = influxdb", CONFIG_ERROR_VALUE,
     "t.conf:3: [sink b] type = influxdb: expected influxdb1, influxdb2, influxdb3, victoriametrics or telemetryd"},
    /* comments and escapes */
    {"[probe]\ndeadline = 10 # x", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] deadline = 10 # x: a comment needs a line of its own"},
    {"[probe]\nuri = qemu:///system\t#x", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] uri = qemu:///system\\x09#x: a comment needs a line of its own"},
    {"[probe]\nuri =# x", CONFIG_ERROR_VALUE, "t.conf:2: [probe] uri = # x: a comment needs a line of its own"},
    {"[probe]\nuri = a\\qb", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] uri = a\\qb: expected a backslash only in \\s, \\t, \\n, \\r and \\\\"},
    {"[probe]\nuri = \\q\\", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] uri = \\q\\: expected a backslash only in \\s, \\t, \\n, \\r and \\\\"},
    {"[probe]\nuri = a\\", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] uri = a\\: expected a backslash only in \\s, \\t, \\n, \\r and \\\\"},
    /* values */
    {"[probe]\nmode = Beside", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] mode = Beside: expected beside, replace or leave"},
    {"[probe]\nmode =", CONFIG_ERROR_VALUE, "t.conf:2: [probe] mode = (empty): expected beside, replace or leave"},
    {"[probe]\nmode = beside|replace", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] mode = beside|replace: expected beside, replace or leave"},
    {"[log]\nlevel = notice", CONFIG_ERROR_VALUE,
     "t.conf:2: [log] level = notice: expected error, warning, info or debug"},
    {"[probe]\nworkers = 0", CONFIG_ERROR_VALUE, "t.conf:2: [probe] workers = 0: expected a whole number from 1 to 5"},
    {"[probe]\nworkers = 2.0", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] workers = 2.0: expected a whole number from 1 to 5"},
    {"[probe]\nworkers = two", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] workers = two: expected a whole number from 1 to 5"},
    {"[probe]\nmessage_reserve = Auto", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] message_reserve = Auto: expected auto or a whole number from 0 to 4096"},
    {"[probe]\nmessage_limit = 65508", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] message_limit = 65508: expected a whole number from 4096 to 65507"},
    {"[probe]\ndeadline = 10s", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] deadline = 10s: expected seconds from 0.5 to 60"},
    {"[probe]\ndeadline = 0,5", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] deadline = 0,5: expected seconds from 0.5 to 60"},
    {"[probe]\nstate_dir = var/tmp", CONFIG_ERROR_VALUE,
     "t.conf:2: [probe] state_dir = var/tmp: expected an absolute path, or nothing"},
    {"[sink a]\nverify = maybe", CONFIG_ERROR_VALUE, "t.conf:2: [sink a] verify = maybe: expected yes or no"},
    {"[sink a]\nmax_size = 63K", CONFIG_ERROR_VALUE,
     "t.conf:2: [sink a] max_size = 63K: expected a size from 64K to 1024G (bytes, or K, M or G behind the number)"},
    {"[sink a]\nmax_age = 1w", CONFIG_ERROR_VALUE,
     "t.conf:2: [sink a] max_age = 1w: expected a time from 1m to 365d (seconds, or s, m, h or d behind the number)"},
};

static void test_wrong_lines(void **state)
{
    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(Config) config = config_new();
        g_autoptr(GError) error = NULL;
        assert_false(parse(config, wrong[i].text, &error));
        assert_error(error, wrong[i].code, wrong[i].message);
        assert_false(parse(config, wrong[i].text, NULL));
    }
}

static void test_nul_byte(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    g_autoptr(GError) error = NULL;
    const char text[] = "[log]\nlevel = in\0fo\n";
    assert_false(config_parse(config, text, sizeof text - 1, "t.conf", &error));
    assert_error(error, CONFIG_ERROR_SYNTAX, "t.conf:2: level = in\\x00fo: a NUL byte is no text");
}

static void test_message_is_one_line(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    g_autoptr(GError) error = NULL;
    assert_false(config_parse(config, "x", 1, "a\nb", &error));
    assert_error(error, CONFIG_ERROR_SYNTAX, "a\\nb:1: x: neither # comment, [section] nor key = value");
}

/* The first error is reported; all that is right is taken. */
static void test_right_options_of_a_wrong_file(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    g_autoptr(GError) error = NULL;
    assert_false(parse(config,
                       "[probe]\nmode = replace\nworkers = 9\nnonsense\nuri = test:///a\nuri = test:///b\n"
                       "[nowhere]\ndeadline = 7\n[log]\nlevel = error\n",
                       &error));
    assert_error(error, CONFIG_ERROR_VALUE, "t.conf:3: [probe] workers = 9: expected a whole number from 1 to 5");
    assert_int_equal(config_integer(config, CONFIG_probe_mode), MODE_REPLACE);
    assert_int_equal(config_integer(config, CONFIG_probe_workers), 2);
    assert_string_equal(config_text(config, CONFIG_probe_uri), "test:///a");
    assert_true(config_seconds(config, CONFIG_probe_deadline) == 10.0);
    assert_int_equal(config_integer(config, CONFIG_log_level), 0);
}

/* --- command line --- */

static void test_command_line(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    g_autoptr(GError) error = NULL;
    assert_true(parse(config, "[probe]\ndeadline = 3", NULL));
    assert_true(config_set(config, CONFIG_probe_deadline, "4", "--deadline", NULL));
    assert_false(config_set(config, CONFIG_probe_deadline, "99", "--deadline", &error));
    assert_error(error, CONFIG_ERROR_VALUE, "--deadline 99: expected seconds from 0.5 to 60");
    assert_true(config_seconds(config, CONFIG_probe_deadline) == 4.0);
    g_clear_error(&error);
    assert_false(config_set(config, CONFIG_probe_uri, "#", "--uri", &error));
    assert_error(error, CONFIG_ERROR_VALUE, "--uri #: expected text that does not begin with #");
    g_clear_error(&error);
    assert_false(config_set(config, CONFIG_probe_state_dir, "/\xff", "--state-dir", &error));
    assert_error(error, CONFIG_ERROR_VALUE, "--state-dir /\\xFF: expected an absolute path, or nothing");
    g_clear_error(&error);
    assert_false(config_set(config, CONFIG_log_level, "\n", "--log-level", &error));
    assert_error(error, CONFIG_ERROR_VALUE, "--log-level \\n: expected error, warning, info or debug");
}

/* --- files --- */

static void test_load(void **state)
{
    (void)state;
    g_autofree char *dir = g_dir_make_tmp("one-telemetry-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "telemetry.conf", NULL);
    g_autofree char *too_large = g_strnfill(CONFIG_FILE_MAX + 1, '\n');
    g_autoptr(Config) config = config_new();
    g_autoptr(GError) error = NULL;

    assert_false(config_load(config, path, &error));
    g_autofree char *missing = g_strdup_printf("%s: No such file or directory", path);
    assert_error(error, CONFIG_ERROR_OPEN, missing);
    g_clear_error(&error);

    assert_true(g_file_set_contents(path, too_large, -1, NULL));
    assert_false(config_load(config, path, &error));
    g_autofree char *large = g_strdup_printf("%s: larger than 1048576 bytes", path);
    assert_error(error, CONFIG_ERROR_OPEN, large);
    g_clear_error(&error);

    assert_true(g_file_set_contents(path, "[probe]\n\nworkers = 0\n", -1, NULL));
    assert_false(config_load(config, path, &error));
    g_autofree char *wrong_value =
        g_strdup_printf("%s:3: [probe] workers = 0: expected a whole number from 1 to 5", path);
    assert_error(error, CONFIG_ERROR_VALUE, wrong_value);

    assert_true(g_file_set_contents(path, "[probe]\n\nworkers = 4\n", -1, NULL));
    assert_true(config_load(config, path, NULL));
    assert_int_equal(config_integer(config, CONFIG_probe_workers), 4);
    g_unlink(path);
    g_rmdir(dir);
}

/* --- dump and sample --- */

/* A dump without its comments, which say where the values are from. */
static char *dump_values(const Config *config)
{
    g_autofree char *dump = config_dump(config);
    g_autoptr(GRegex) comment = g_regex_new("^#.*\n", G_REGEX_MULTILINE, 0, NULL);
    return g_regex_replace_literal(comment, dump, -1, 0, "", 0, NULL);
}

static void test_dump(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    const char *text = "[probe]\n\nuri = a\\sb";
    assert_true(config_parse(config, text, strlen(text), "b\nd.conf", NULL));
    assert_true(config_set(config, CONFIG_probe_deadline, "4", "--deadline", NULL));
    g_autofree char *dump = config_dump(config);
    assert_true(g_str_has_prefix(dump, "[probe]\n# default\nmode = beside\n# b\\nd.conf:3\nuri = a b\n"
                                       "# command line\ndeadline = 4\n# default\nworkers = 2\n"
                                       "# default\nstate_dir =\n"));
    assert_non_null(strstr(dump, "\n\n[log]\n# default\nlevel = info\n"));
    assert_null(strstr(dump, "[sink"));
}

static void test_dump_of_named_sections(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    assert_true(parse(config, "[sink b]\n[log]\n[sink a]\ntype = influxdb2\n[sink b]\nverify = no", NULL));
    g_autofree char *dump = config_dump(config);
    const char *b = strstr(dump, "\n\n[sink b]\n# default\nenabled = yes\n# default\ntype = influxdb1\n");
    const char *a = strstr(dump, "\n\n[sink a]\n# default\nenabled = yes\n# t.conf:4\ntype = influxdb2\n");
    const char *verify = strstr(dump, "\n# t.conf:6\nverify = no\n"), *after = strstr(dump, "\n\n[log]\n");
    assert_non_null(b);
    assert_true(b < verify && verify < a && a < after);
    assert_null(strstr(b + 3, "[sink b]"));
}

static void test_every_option_is_in_dump_and_sample(void **state)
{
    (void)state;
    g_autoptr(Config) config = config_new();
    assert_true(parse(config, "[sink influx]", NULL));
    g_autofree char *dump = config_dump(config), *sample = config_sample();
    for (int option = 0; option < N_OPTIONS; option++) {
        const OptionInfo *info = &option_info[option];
        const NamedSectionInfo *kind = named_section_find(info->section);
        g_autofree char *section =
            g_strdup_printf("[%s%s%s]\n", info->section, kind ? " " : "", kind ? kind->example : "");
        g_autofree char *in_dump =
            g_strdup_printf("\n%s =%s%s\n", info->key, *info->standard ? " " : "", info->standard);
        g_autofree char *in_sample =
            g_strdup_printf("\n#%s =%s%s\n", info->key, *info->standard ? " " : "", info->standard);
        const char *dump_section = strstr(dump, section), *sample_section = strstr(sample, section);
        assert_non_null(dump_section);
        assert_non_null(sample_section);
        assert_non_null(strstr(dump_section, in_dump));
        assert_non_null(strstr(sample_section, in_sample));
        assert_null(strstr(dump_section + 1, section)); /* rows of a section stand together */
    }
}

static void test_sample_is_all_defaults(void **state)
{
    (void)state;
    g_autoptr(Config) standard = config_new();
    g_autoptr(Config) commented = config_new();
    g_autoptr(Config) taken = config_new();
    g_autofree char *sample = config_sample();
    assert_true(parse(commented, sample, NULL));
    g_autofree char *dump = config_dump(commented), *standard_dump = config_dump(standard);
    assert_string_equal(dump, standard_dump);

    g_autoptr(GRegex) mark = g_regex_new("^#(?=\\S)", G_REGEX_MULTILINE, 0, NULL);
    g_autofree char *text = g_regex_replace_literal(mark, sample, -1, 0, "", 0, NULL);
    assert_true(parse(taken, text, NULL));
    assert_names(standard, "");
    assert_names(taken, "influx");
    assert_true(parse(standard, "[sink influx]", NULL));
    assert_same_values(taken, standard);
    g_autofree char *taken_dump = config_dump(taken);
    assert_null(strstr(taken_dump, "# default"));

    g_auto(GStrv) lines = g_strsplit(sample, "\n", -1);
    for (guint i = 0; lines[i]; i++)
        assert_in_range(g_utf8_strlen(lines[i], -1), 0, 110);
}

/* Text of characters with which something could go wrong. */
static char *random_text(GRand *dice)
{
    static const char *const pieces[] = {
        " ", "\t",       "\n",   "\r", "\\",           "#",  "=", "[", "]", ";", "s", "n",
        "a", "\xc3\xa4", "\x01", "\v", "\xe2\x80\xa8", "\"", "/"};
    GString *text = g_string_new(NULL);
    for (int n = g_rand_int_range(dice, 0, 8); n > 0; n--)
        g_string_append(text, pieces[g_rand_int_range(dice, 0, G_N_ELEMENTS(pieces))]);
    return g_string_free(text, FALSE);
}

static void set_at_random(Config *config, GRand *dice)
{
    static const char *const names[] = {"a", "b", "c"};
    for (int n = g_rand_int_range(dice, 0, 4); n > 0; n--)
        config_make_named(config, &named_section_info[0], names[g_rand_int_range(dice, 0, G_N_ELEMENTS(names))]);
    g_autofree char *text = random_text(dice), *below = random_text(dice);
    g_autofree char *path = g_strconcat("/", below, NULL);
    g_autofree char *number = g_strdup_printf("%d", g_rand_int_range(dice, 0, 70000));
    g_autofree char *seconds = g_strdup_printf("%d.%d", g_rand_int_range(dice, 0, 70), g_rand_int_range(dice, 0, 999));
    const char *const candidates[] = {text, path, number, seconds, "auto", "replace", "warning", "70000K", "9h", "no"};
    for (int option = 0; option < N_OPTIONS; option++) {
        bool is_named = named_section_find(option_info[option].section);
        const GPtrArray *named = config->named[0];
        for (gsize i = 0; i < G_N_ELEMENTS(candidates); i++) {
            if (g_rand_boolean(dice) && !is_named)
                config_set(config, option, candidates[i], "--test", NULL);
            for (guint k = 0; k < named->len && is_named; k++)
                if (g_rand_boolean(dice))
                    config_store(g_ptr_array_index(named, k), option, candidates[i], "/etc", "--test");
        }
    }
}

static void test_dump_then_parse_gives_the_same(void **state)
{
    (void)state;
    g_autoptr(GRand) dice = g_rand_new_with_seed(4711);
    for (int round = 0; round < 5000; round++) {
        g_autoptr(Config) config = config_new();
        g_autoptr(Config) again = config_new();
        g_autoptr(GError) error = NULL;
        set_at_random(config, dice);
        g_autofree char *dump = config_dump(config);
        if (!parse(again, dump, &error))
            fail_msg("%s in:\n%s", error->message, dump);
        assert_same_values(config, again);
        g_autofree char *values_before = dump_values(config), *values_after = dump_values(again);
        assert_string_equal(values_before, values_after);
    }
}

/* The format is that of GLib's key files, so that other programs can read and write it. */
static void test_key_file_reads_the_same(void **state)
{
    (void)state;
    g_autoptr(GRand) dice = g_rand_new_with_seed(42);
    for (int round = 0; round < 1000; round++) {
        g_autoptr(Config) config = config_new();
        g_autoptr(GKeyFile) file = g_key_file_new();
        set_at_random(config, dice);
        g_autofree char *dump = config_dump(config);
        assert_true(g_key_file_load_from_data(file, dump, strlen(dump), G_KEY_FILE_NONE, NULL));
        for (int option = 0; option < N_OPTIONS; option++) {
            const OptionInfo *info = &option_info[option];
            if (named_section_find(info->section))
                continue;
            g_autofree char *text = g_key_file_get_string(file, info->section, info->key, NULL);
            assert_string_equal(text, config_value(config, option)->text);
        }
        for (const char *const *name = config_names(config, "sink"); *name; name++) {
            g_autofree char *group = g_strconcat("sink ", *name, NULL);
            g_autofree char *text = g_key_file_get_string(file, group, "user", NULL);
            assert_string_equal(text, config_text(config_named(config, "sink", *name), CONFIG_sink_user));
        }
    }
}

/* Whatever the file says, the message stays one line of bounded length. */
static void test_any_error_is_one_line(void **state)
{
    (void)state;
    g_autoptr(GRand) dice = g_rand_new_with_seed(815);
    guint errors = 0;
    for (int round = 0; round < 5000; round++) {
        g_autoptr(Config) config = config_new();
        g_autoptr(GError) error = NULL;
        g_autofree char *a = random_text(dice), *b = random_text(dice), *c = random_text(dice);
        g_autofree char *text =
            g_strdup_printf("%s\n[probe]\n%s\nuri = %s\nmode = %s%s\n[sink %s]\nuser = %s", a, b, c, a, c, a, b);
        if (parse(config, text, &error))
            continue;
        errors++;
        assert_true(g_str_has_prefix(error->message, "t.conf:"));
        assert_in_range(strlen(error->message), 10, 300);
        for (const char *byte = error->message; *byte; byte++)
            assert_false((guchar)*byte < ' ');
    }
    assert_in_range(errors, 1000, 5000);
}

static void test_find(void **state)
{
    (void)state;
    static const struct {
        const char *what, *named, *environment;
        const char *standard[3], *found;
    } cases[] = {
        {"nothing is there", NULL, NULL, {"/no/such/file", NULL}, NULL},
        {"no place at all", NULL, "", {NULL}, NULL},
        {"the first that is there", NULL, "", {"/no/such/file", "/dev/null", NULL}, "/dev/null"},
        {"the environment's, there or not", NULL, "/no/such/file", {"/dev/null", NULL}, "/no/such/file"},
        {"what was named, there or not", "/nor/this", "/dev/null", {"/dev/null", NULL}, "/nor/this"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (cases[i].environment)
            g_setenv("ONE_TELEMETRY_CONF", cases[i].environment, TRUE);
        else
            g_unsetenv("ONE_TELEMETRY_CONF");
        g_autofree char *found = config_find(cases[i].named, cases[i].standard);
        if (g_strcmp0(found, cases[i].found) != 0)
            fail_msg("%s: %s", cases[i].what, found ? found : "none");
    }
    g_unsetenv("ONE_TELEMETRY_CONF");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_every_form_of_line),
        cmocka_unit_test(test_length_counts),
        cmocka_unit_test(test_wrong_lines),
        cmocka_unit_test(test_nul_byte),
        cmocka_unit_test(test_message_is_one_line),
        cmocka_unit_test(test_right_options_of_a_wrong_file),
        cmocka_unit_test(test_command_line),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_dump_of_named_sections),
        cmocka_unit_test(test_every_option_is_in_dump_and_sample),
        cmocka_unit_test(test_sample_is_all_defaults),
        cmocka_unit_test(test_dump_then_parse_gives_the_same),
        cmocka_unit_test(test_key_file_reads_the_same),
        cmocka_unit_test(test_any_error_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
