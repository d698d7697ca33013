/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gather/kvmrc.h"

#include <glib/gstdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "LIBVIRT_URI"

/* NULL: no value. `same_in_shell`: a shell that runs the text has that value too, and test_shell_agrees asks one. */
static const struct {
    const char *text, *value;
    bool same_in_shell;
} files[] = {
    /* forms of an assignment */
    {"LIBVIRT_URI=qemu:///system", "qemu:///system", true},
    {"export LIBVIRT_URI=qemu:///system\n", "qemu:///system", true},
    {"  export \t LIBVIRT_URI='qemu:///system'  \n", "qemu:///system", true},
    {"LIBVIRT_URI=\"qemu:///system\" # why\n", "qemu:///system", true},
    {"LIBVIRT_URI=qemu:///system\t#why\n", "qemu:///system", true},
    {"LIBVIRT_URI=qemu:///system\r\nLANG=C\r\n", "qemu:///system", false},
    {"LIBVIRT_URI=\n", "", true},
    {"LIBVIRT_URI=''\n", "", true},
    {"LIBVIRT_URI= # none\n", "", true},
    {"LANG=C\nLIBVIRT_URI=a\nSHUTDOWN_TIMEOUT=180\n", "a", true},
    /* quoting */
    {"LIBVIRT_URI=a#b\n", "a#b", true},
    {"LIBVIRT_URI='a'#b\n", "a#b", true},
    {"LIBVIRT_URI=\"a\"'b'c\n", "abc", true},
    {"LIBVIRT_URI='a b'\n", "a b", true},
    {"LIBVIRT_URI=\"a # b\"\n", "a # b", true},
    {"LIBVIRT_URI='$HOME `id`'\n", "$HOME `id`", true},
    {"LIBVIRT_URI=\"a\\$b\\`c\\\"d\\\\e\\f\"\n", "a$b`c\"d\\e\\f", true},
    {"LIBVIRT_URI=a\\ b\\#\\$\n", "a b#$", true},
    {"LIBVIRT_URI=\"it's\"\n", "it's", true},
    {"LIBVIRT_URI='\"'\n", "\"", true},
    {"LIBVIRT_URI='qemu+tls://h/system?no_verify=1&x=2'\n", "qemu+tls://h/system?no_verify=1&x=2", true},
    {"LIBVIRT_URI=qemu+unix:///system?socket=/run/x\n", "qemu+unix:///system?socket=/run/x", true},
    {"LIBVIRT_URI=\"a;b|c\"\n", "a;b|c", true},
    {"LIBVIRT_URI=h\xc3\xb4te\n", "h\xc3\xb4te", true},
    /* which one counts */
    {"LIBVIRT_URI=a\nLIBVIRT_URI=b\n", "b", true},
    {"LIBVIRT_URI=a\n#LIBVIRT_URI=b\n # export LIBVIRT_URI=c\n", "a", true},
    {"LIBVIRT_URI=a\nMY_LIBVIRT_URI=b\nLIBVIRT_URIS=c\nexportLIBVIRT_URI=d\n", "a", true},
    {"LIBVIRT_URI=a\nLIBVIRT_URI=$OTHER\n", NULL, false},
    {"LIBVIRT_URI=$OTHER\nLIBVIRT_URI=a\n", "a", true},
    {"LIBVIRT_URI=a\nLIBVIRT_URI+=b\n", NULL, false},
    {"LIBVIRT_URI=a\nLIBVIRT_URI=b; export LIBVIRT_URI\n", NULL, false},
    /* what only a shell can work out */
    {"LIBVIRT_URI=qemu://$HOST/system\n", NULL, false},
    {"LIBVIRT_URI=\"qemu://${HOST}/system\"\n", NULL, false},
    {"LIBVIRT_URI=`cat /etc/uri`\n", NULL, false},
    {"LIBVIRT_URI=\"`cat /etc/uri`\"\n", NULL, false},
    {"LIBVIRT_URI=$'a'\n", NULL, false},
    {"LIBVIRT_URI=~/sock\n", NULL, false},
    {"LIBVIRT_URI=a;b\n", NULL, false},
    {"LIBVIRT_URI=a&\n", NULL, false},
    {"LIBVIRT_URI=(a b)\n", NULL, false},
    {"LIBVIRT_URI=a command\n", NULL, false},
    {"LIBVIRT_URI=a\\\nb\n", NULL, false},
    {"LIBVIRT_URI='a\nb'\n", NULL, false},
    {"LIBVIRT_URI=\"a\n", NULL, false},
    {"LIBVIRT_URI=a'\n", NULL, false},
    /* no assignment */
    {"", NULL, false},
    {"\n\n", NULL, false},
    {"LIBVIRT_URI\n", NULL, false},
    {"LIBVIRT_URI = a\n", NULL, false},
    {"export LIBVIRT_URI\n", NULL, false},
    {"libvirt_uri=a\n", NULL, false},
    {"if true; then LIBVIRT_URI=a; fi\n", NULL, false},
};

static void test_files(void **state)
{
    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        gsize length = strlen(files[i].text);
        g_autofree char *exact = g_malloc(MAX(1, length)); /* no NUL at its end */
        memcpy(exact, files[i].text, length);
        g_autofree char *value = kvmrc_value(exact, length, NAME);
        if (g_strcmp0(value, files[i].value) != 0)
            fail_msg("%s gives %s, not %s", files[i].text, value ? value : "NULL",
                     files[i].value ? files[i].value : "NULL");
    }
}

static void test_shell_agrees(void **state)
{
    (void)state;
    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        if (!files[i].same_in_shell)
            continue;
        g_autofree char *script = g_strconcat(files[i].text, "\nprintf %s \"$" NAME "\"", NULL), *output = NULL;
        const char *command[] = {"/bin/sh", "-c", script, NULL};
        assert_true(g_spawn_sync(NULL, (char **)(guintptr)command, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL,
                                 &output, NULL, NULL, NULL));
        assert_string_equal(output, files[i].value);
    }
}

static void test_nul_byte(void **state)
{
    (void)state;
    const char in_value[] = NAME "=a\0b\n", elsewhere[] = "A=\0\n" NAME "=b\n";
    assert_null(kvmrc_value(in_value, sizeof in_value - 1, NAME));
    g_autofree char *value = kvmrc_value(elsewhere, sizeof elsewhere - 1, NAME);
    assert_string_equal(value, "b");
}

/* What g_shell_quote writes is read as it was. */
static void test_quote_then_read_gives_the_same(void **state)
{
    (void)state;
    g_autoptr(GRand) dice = g_rand_new_with_seed(99);
    for (int round = 0; round < 5000; round++) {
        g_autoptr(GString) text = g_string_new(NULL);
        for (int n = g_rand_int_range(dice, 0, 12); n > 0; n--) {
            char c = (char)g_rand_int_range(dice, 1, 127);
            g_string_append_c(text, c == '\n' ? '\'' : c);
        }
        g_autofree char *quoted = g_shell_quote(text->str);
        g_autofree char *file = g_strconcat("export " NAME "=", quoted, " # comment\n", NULL);
        g_autofree char *value = kvmrc_value(file, strlen(file), NAME);
        assert_non_null(value);
        assert_string_equal(value, text->str);
    }
}

/* --- where the file is --- */

typedef struct {
    char *remotes, *monitor, *kvmrc;
} Tree;

static int setup(void **state)
{
    Tree *tree = g_new0(Tree, 1);
    g_autofree char *made = g_dir_make_tmp("one-telemetry-test-XXXXXX", NULL);
    g_autofree char *real = realpath(made, NULL);
    tree->remotes = g_steal_pointer(&real);
    tree->monitor = g_build_filename(tree->remotes, "im", "kvm-probes.d", "vm", "monitor", NULL);
    g_autofree char *kvm = g_build_filename(tree->remotes, "etc", "vmm", "kvm", NULL);
    tree->kvmrc = g_build_filename(kvm, "kvmrc", NULL);
    *state = tree;
    return g_mkdir_with_parents(tree->monitor, 0700) || g_mkdir_with_parents(kvm, 0700);
}

static int teardown(void **state)
{
    Tree *tree = *state;
    const char *command[] = {"rm", "-rf", tree->remotes, NULL};
    g_spawn_sync(NULL, (char **)(guintptr)command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    g_free(tree->remotes);
    g_free(tree->monitor);
    g_free(tree->kvmrc);
    g_free(tree);
    return 0;
}

static void assert_uri(const Tree *tree, const char *probe_path, const char *expected)
{
    (void)tree;
    g_autofree char *uri = kvmrc_libvirt_uri(probe_path, NULL);
    assert_int_equal(g_strcmp0(uri, expected), 0);
}

static void test_content_of_the_file(void **state)
{
    const Tree *tree = *state;
    g_autofree char *probe = g_build_filename(tree->monitor, "telemetry", NULL);
    g_autofree char *too_large = g_strnfill(KVMRC_FILE_MAX, '\n');
    g_autofree char *too_large_text = g_strconcat(too_large, NAME "=a\n", NULL);
    assert_uri(tree, probe, NULL);
    assert_true(g_file_set_contents(tree->kvmrc, "LANG=C\nexport " NAME "=qemu+tcp://h/system\n", -1, NULL));
    assert_uri(tree, probe, "qemu+tcp://h/system");
    assert_true(g_file_set_contents(tree->kvmrc, "LANG=C\n", -1, NULL));
    assert_uri(tree, probe, NULL);
    assert_true(g_file_set_contents(tree->kvmrc, NAME "=\n", -1, NULL));
    assert_uri(tree, probe, NULL);
    assert_true(g_file_set_contents(tree->kvmrc, too_large_text, -1, NULL));
    assert_uri(tree, probe, NULL);
}

static void test_or_fail(void **state)
{
    const Tree *tree = *state;
    static const struct {
        const char *text, *uri; /* neither uri nor failure: there is none */
        bool fails;
    } rows[] = {
        {NULL, NULL, false},
        {"LANG=C\n", NULL, false},
        {NAME "=\n", NULL, false},
        {"export " NAME "=qemu+tcp://h/system\n", "qemu+tcp://h/system", false},
        {NAME "=qemu://$HOST/system\n", NULL, true},
        {NAME "=a\n" NAME "+=b\n", NULL, true},
        {NAME "=$A\n" NAME "=b\n", "b", false},
    };
    g_autofree char *probe = g_build_filename(tree->monitor, "telemetry", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        if (rows[i].text)
            assert_true(g_file_set_contents(tree->kvmrc, rows[i].text, -1, NULL));
        g_autofree char *uri = kvmrc_libvirt_uri(probe, &error);
        assert_int_equal(g_strcmp0(uri, rows[i].uri), 0);
        assert_int_equal(error != NULL, rows[i].fails);
        assert_true(!error || g_str_has_prefix(error->message, tree->kvmrc));
    }
    g_autoptr(GError) error = NULL; /* there, but nothing that can be read */
    assert_int_equal(unlink(tree->kvmrc) | g_mkdir(tree->kvmrc, 0700), 0);
    assert_null(kvmrc_libvirt_uri(probe, &error));
    assert_non_null(error);
}

static void test_ways_to_the_probe(void **state)
{
    const Tree *tree = *state;
    assert_true(g_file_set_contents(tree->kvmrc, NAME "=test:///default\n", -1, NULL));
    g_autofree char *kvm = g_build_filename(tree->remotes, "im", "kvm.d", NULL);
    g_autofree char *qemu = g_build_filename(tree->remotes, "im", "qemu-probes.d", NULL);
    assert_int_equal(g_mkdir(kvm, 0700), 0);
    assert_int_equal(symlink("kvm-probes.d", qemu), 0);

    /* as OpenNebula's agent calls it */
    g_autofree char *through_dots = g_build_filename(kvm, "..", "kvm-probes.d", "vm", "monitor", "telemetry", NULL);
    assert_uri(tree, through_dots, "test:///default");
    g_autofree char *through_link = g_build_filename(qemu, "vm", "monitor", "telemetry", NULL);
    assert_uri(tree, through_link, "test:///default");

    /* by hand, from where it lies */
    g_autofree char *before = g_get_current_dir();
    assert_int_equal(g_chdir(tree->monitor), 0);
    assert_uri(tree, "./telemetry", "test:///default");
    assert_uri(tree, "telemetry", "test:///default");
    assert_int_equal(g_chdir(before), 0);

    /* a probe that is a link to elsewhere belongs to the tree that the link is in */
    g_autofree char *link = g_build_filename(tree->monitor, "telemetry", NULL);
    assert_int_equal(symlink("/bin/true", link), 0);
    assert_uri(tree, link, "test:///default");
}

static void test_no_such_tree(void **state)
{
    (void)state;
    assert_null(kvmrc_libvirt_uri("/nowhere/im/kvm-probes.d/vm/monitor/telemetry", NULL));
    assert_null(kvmrc_libvirt_uri("/telemetry", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_shell_agrees),
        cmocka_unit_test(test_nul_byte),
        cmocka_unit_test(test_quote_then_read_gives_the_same),
        cmocka_unit_test_setup_teardown(test_content_of_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_or_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ways_to_the_probe, setup, teardown),
        cmocka_unit_test(test_no_such_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
