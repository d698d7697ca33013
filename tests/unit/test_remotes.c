/* SPDX-License-Identifier: Apache-2.0 */
#include "base/remotes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void make_file(const char *root, const char *path, int mode)
{
    g_autofree char *full = g_build_filename(root, path, NULL);
    g_autofree char *directory = g_path_get_dirname(full);
    assert_int_equal(g_mkdir_with_parents(directory, 0700), 0);
    assert_true(g_file_set_contents(full, "", 0, NULL));
    assert_int_equal(chmod(full, (mode_t)mode), 0);
}

static void remove_tree(const char *root)
{
    const char *command[] = {"rm", "-rf", "--", root, NULL};
    assert_true(
        g_spawn_sync(NULL, (char **)(guintptr)command, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
}

static void test_hook_paths(void **state)
{
    (void)state;
    static const struct {
        const char *program, *config;
    } cases[] = {
        {"/r/hooks/telemetry/forward", "/r/etc/im/kvm-probes.d/telemetry.conf"},
        {"/hooks/telemetry/forward", "/etc/im/kvm-probes.d/telemetry.conf"},
        {"/r/hooks/telemetry/builds/debian12-x86_64/forward", "/r/etc/im/kvm-probes.d/telemetry.conf"},
        {"/r/hooks/forward", NULL},
        {"/r/hooks/telemetry/builds/forward", NULL},
        {"/r/builds/a/forward", NULL},
        {"/r/xhooks/telemetry/forward", NULL},
        {"/checkout/build/hooks/forward", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *config = remotes_hook_config_file(cases[i].program);
        if (cases[i].config)
            assert_string_equal(config, cases[i].config);
        else
            assert_null(config);
    }
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *program, *root, *config;
    } cases[] = {
        {"/r/im/kvm-probes.d/vm/monitor/telemetry", "/r", "/r/etc/im/kvm-probes.d/telemetry.conf"},
        {"/im/qemu-probes.d/vm/monitor/x", "/", "/etc/im/qemu-probes.d/telemetry.conf"},
        {"/a/b/im/kvm-probes.d/host/system/x", "/a/b", "/a/b/etc/im/kvm-probes.d/telemetry.conf"},
        {"/r/hooks/telemetry/builds/a/vm_monitor", "/r", "/r/etc/im/kvm-probes.d/telemetry.conf"},
        {"/hooks/telemetry/builds/a/vm_monitor", "/", "/etc/im/kvm-probes.d/telemetry.conf"},
        {"/r/hooks/telemetry/vm_monitor", NULL, NULL},
        {"/checkout/build/probes/vm_monitor", NULL, NULL},
        {"/r/im/kvm.d/vm/monitor/telemetry", NULL, NULL},
        {"/telemetry", NULL, NULL},
        {"telemetry", NULL, NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *root = remotes_root(cases[i].program), *config = remotes_config_file(cases[i].program);
        if (g_strcmp0(root, cases[i].root) != 0 || g_strcmp0(config, cases[i].config) != 0)
            fail_msg("%s: %s, %s", cases[i].program, root ? root : "NULL", config ? config : "NULL");
    }
}

static void test_neighbours(void **state)
{
    (void)state;
    g_autofree char *root = g_dir_make_tmp("one-telemetry-test-XXXXXX", NULL);
    make_file(root, "im/kvm-probes.d/vm/monitor/poll.rb", 0755);
    make_file(root, "im/kvm-probes.d/vm/monitor/disabled.rb", 0644);
    g_autofree char *program = g_build_filename(root, "im/kvm-probes.d/vm/monitor/telemetry", NULL);
    assert_true(remotes_has_probe(program, "poll.rb"));
    assert_false(remotes_has_probe(program, "disabled.rb"));
    assert_false(remotes_has_probe(program, "absent.rb"));
    assert_false(remotes_has_probe(program, "../monitor"));
    g_autofree char *chosen = g_build_filename(root, "hooks/telemetry/builds/a/vm_monitor", NULL);
    make_file(root, "hooks/telemetry/builds/a/vm_monitor", 0755);
    assert_true(remotes_has_probe(chosen, "poll.rb"));
    assert_false(remotes_has_probe(chosen, "vm_monitor"));

    make_file(root, "im/kvm-probes.d/vm/status/state.rb", 0755);
    g_autofree char *status = g_build_filename(root, "im/kvm-probes.d/vm/status/telemetry", NULL);
    assert_true(remotes_has_status_probe(status, "state.rb"));
    assert_false(remotes_has_status_probe(status, "poll.rb"));
    assert_true(remotes_has_status_probe(chosen, "state.rb"));
    assert_false(remotes_has_status_probe(chosen, "poll.rb"));
    remove_tree(root);
}

static void test_forecast_needs_both_packages(void **state)
{
    (void)state;
    g_autofree char *root = g_dir_make_tmp("one-telemetry-test-XXXXXX", NULL);
    assert_false(remotes_can_forecast(root));
    make_file(root, "usr/lib/python3/dist-packages/numpy/__init__.py", 0644);
    assert_false(remotes_can_forecast(root));
    make_file(root, "usr/lib64/python3.9/site-packages/scipy/__init__.py", 0644);
    assert_true(remotes_can_forecast(root));
    remove_tree(root);
}

static void test_forwarder(void **state)
{
    (void)state;
    g_autofree char *installed = remotes_forwarder("/r/im/kvm-probes.d/vm/monitor/telemetry");
    assert_string_equal(installed, "/r/hooks/telemetry/forward");
    g_autofree char *chosen = remotes_forwarder("/r/hooks/telemetry/builds/a/vm_monitor");
    assert_string_equal(chosen, "/r/hooks/telemetry/builds/a/forward");
    assert_null(remotes_forwarder("/checkout/build/probes/vm_monitor"));
    g_autofree char *dir = g_dir_make_tmp("one-remotes-XXXXXX", NULL);
    g_autofree char *hook = g_build_filename(dir, "vm_event", NULL), *beside = g_build_filename(dir, "forward", NULL);
    assert_null(remotes_forwarder(hook)); /* there is none beside it yet */
    assert_true(g_file_set_contents(beside, "", 0, NULL) && chmod(beside, 0755) == 0);
    g_autofree char *found = remotes_forwarder(hook);
    assert_string_equal(found, beside);
    assert_true(unlink(beside) == 0 && rmdir(dir) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_hook_paths),
        cmocka_unit_test(test_forwarder),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_forecast_needs_both_packages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
