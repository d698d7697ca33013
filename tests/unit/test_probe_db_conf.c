/* SPDX-License-Identifier: Apache-2.0
 * probe_db.conf: what its options are, and what is said of a line that can't be read. */
#include "gather/probe_db_conf.h"
#include "gather_helpers.h"

#include <glib/gstdio.h>
#include <string.h>

/* As OpenNebula ships it, in form. */
#define SHIPPED "# ----- #\n# words  #\n\n# Minutes.\n:obsolete: 720\n\n# Number\n:times_missing: 5\n\n"

static const struct {
    const char *text;
    guint64 times, minutes;
    const char *base_path; /* NULL: none */
    const char *complaint; /* how the only one begins; NULL: there is none */
} files[] = {
    {"", 3, 720, NULL, NULL},
    {SHIPPED, 5, 720, NULL, NULL},
    {"---\n:times_missing: 0\n:obsolete:   60   # an hour\n...\n", 0, 60, NULL, NULL},
    {":times_missing: 7\n:times_missing: 8\r\n", 8, 720, NULL, NULL},
    {":times_missing:\t9", 9, 720, NULL, NULL},
    {":times_missing: \"6\"\n:obsolete: '61' # x\n", 6, 61, NULL, NULL},
    {":times_missing: +4\n", 4, 720, NULL, NULL},
    {"times_missing: 9\n:sync: 7\n:missing_state: \"UNKNOWN\"\n:other: [1, 2]\n", 3, 720, NULL, NULL},
    {":base_path: /var/tmp/one_db\n", 3, 720, "/var/tmp/one_db", NULL},
    {":base_path: \"/a b/\\\"c\\\\\" # x\n", 3, 720, "/a b/\"c\\", NULL},
    {":base_path: '/it''s'\n", 3, 720, "/it's", NULL},
    {":base_path: /a #b\n", 3, 720, "/a", NULL},
    {":base_path: /a#b\n", 3, 720, "/a#b", NULL},
    /* what is not taken */
    {":times_missing: -1\n", 5, 720, NULL, "line 1: \":times_missing: -1\": expected :times_missing: and a whole"},
    {"\n:times_missing: many\n", 5, 720, NULL, "line 2: \":times_missing: many\": expected"},
    {":times_missing:\n", 5, 720, NULL, "line 1"},
    {":times_missing: 010\n", 5, 720, NULL, "line 1"},
    {":times_missing: 1000001\n", 5, 720, NULL, "line 1"},
    {":times_missing: 99999999999999999999\n", 5, 720, NULL, "line 1"},
    {":times_missing: 5.5\n", 5, 720, NULL, "line 1"},
    {":times_missing: \"5\n", 5, 720, NULL, "line 1"},
    {":times_missing: '5' 6\n", 5, 720, NULL, "line 1"},
    {":obsolete: 0\n", 3, 720, NULL, "line 1: \":obsolete: 0\": expected :obsolete: and a whole number of minutes"},
    {":obsolete: 99999999999\n", 3, 720, NULL, "line 1"},
    {":base_path:\n", 3, 720, NULL, "line 1: \":base_path:\": expected :base_path: and a directory"},
    {":base_path: \"\\x41\"\n", 3, 720, NULL, "line 1"},
    {":base_path: *anchor\n", 3, 720, NULL, "line 1"},
    {":base_path: a: b\n", 3, 720, NULL, "line 1"},
    {":times_missing 5\n", 3, 720, NULL, "line 1: \":times_missing 5\": expected a line \":key: value\""},
    {":times_missing:5\n", 3, 720, NULL, "line 1"},
    {"  :times_missing: 5\n", 3, 720, NULL, "line 1"},
    {"- a\n", 3, 720, NULL, "line 1"},
    {":\n", 3, 720, NULL, "line 1"},
    {"\xff\x01\n", 3, 720, NULL, "line 1: \"\\xFF\\x01\": expected"},
};

static void check_conf(const ProbeDbConf *conf, guint i)
{
    CHECK(conf->times_missing == files[i].times, "row %u: %u", i, (guint)conf->times_missing);
    CHECK(conf->obsolete_s == files[i].minutes * 60, "row %u: %u", i, (guint)conf->obsolete_s);
    CHECK_TEXT(conf->base_path, files[i].base_path, files[i].text);
}

static void test_files(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(GPtrArray) complaints = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(ProbeDbConf) conf = probe_db_conf_read(files[i].text, strlen(files[i].text), complaints);
        check_conf(conf, i);
        CHECK(complaints->len == (files[i].complaint != NULL), "row %u: %u complaints, the first: %s", i,
              complaints->len, complaints->len ? (char *)g_ptr_array_index(complaints, 0) : "");
        if (files[i].complaint)
            CHECK(g_str_has_prefix(g_ptr_array_index(complaints, 0), files[i].complaint), "row %u: %s", i,
                  (char *)g_ptr_array_index(complaints, 0));
    }
}

static void test_nul(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) complaints = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(ProbeDbConf) conf = probe_db_conf_read("\0:obsolete: 7\n:times_missing: 8\0", 32, complaints);
    assert_int_equal(conf->times_missing, 8);
    assert_int_equal(conf->obsolete_s, 720 * 60);
}

static void test_tree(void **state)
{
    (void)state;
    g_autofree char *dir = make_temporary_dir();
    g_autofree char *probes = g_build_filename(dir, "im", "qemu-probes.d", "vm", "status", NULL);
    g_autofree char *etc = g_build_filename(dir, "etc", "im", "kvm-probes.d", NULL);
    g_autofree char *program = g_build_filename(probes, "telemetry", NULL);
    g_autofree char *path = g_build_filename(etc, "probe_db.conf", NULL);
    g_autoptr(GPtrArray) complaints = g_ptr_array_new_with_free_func(g_free);
    assert_int_equal(g_mkdir_with_parents(probes, 0755) | g_mkdir_with_parents(etc, 0755), 0);

    g_autoptr(ProbeDbConf) none = probe_db_conf_load(NULL, complaints);
    assert_int_equal(none->times_missing, 3);
    g_autoptr(ProbeDbConf) missing = probe_db_conf_load(program, complaints);
    assert_int_equal(missing->times_missing, 3);
    assert_int_equal(complaints->len, 0);

    assert_true(g_file_set_contents(path, ":times_missing: 9\nnonsense\n", -1, NULL));
    g_autoptr(ProbeDbConf) there = probe_db_conf_load(program, complaints);
    assert_int_equal(there->times_missing, 9);
    assert_int_equal(complaints->len, 1);
    g_autofree char *begin = g_strdup_printf("%s: line 2: \"nonsense\": expected", path);
    assert_true(g_str_has_prefix(g_ptr_array_index(complaints, 0), begin));

    assert_int_equal(g_unlink(path) | g_mkdir(path, 0755), 0); /* there, but nothing that can be read */
    g_autoptr(ProbeDbConf) odd = probe_db_conf_load(program, complaints);
    assert_int_equal(odd->times_missing, 5);
    assert_int_equal(complaints->len, 2);
    assert_non_null(strstr(g_ptr_array_index(complaints, 1), path));
    remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
