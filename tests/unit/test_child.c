/* SPDX-License-Identifier: Apache-2.0
 * Programs that are run for what they print: those that do, fail, hang, talk without end, leave children behind. */
#include "gather_helpers.h"

#include "base/child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static char *run_shell(const char *command, gint64 limit_ms, char **ret_last, GError **error)
{
    const char *const words[] = {"/bin/sh", "-c", command, NULL};
    const ChildOptions options = {.words = words, .input = "in\n", .limit_ms = limit_ms, .most = 1000};
    return child_run(&options, ret_last, error);
}

static void test_good(void **state)
{
    (void)state;
    g_autofree char *last = NULL, *silent_last = NULL;
    g_autofree char *text = run_shell("cat; echo one >&2; printf 'two\\033 \\n\\n' >&2; echo out", 30000, &last, NULL);
    g_autofree char *silent = run_shell(":", 30000, &silent_last, NULL);
    assert_string_equal(text, "in\nout\n");
    assert_non_null(strstr(last, "two"));
    assert_null(strchr(last, '\033'));
    assert_string_equal(silent, "");
    assert_null(silent_last);
}

static void test_bad(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        ChildErrorCode code;
        const char *message;
    } cases[] = {
        {"exit 3", CHILD_ERROR_FAILED, "exit status 3"},
        {"echo why >&2; exit 3", CHILD_ERROR_FAILED, "exit status 3; it said \"why\""},
        {"kill -9 $$", CHILD_ERROR_FAILED, "ended by signal 9"},
        {"yes", CHILD_ERROR_TOO_MUCH, "it prints more than 1000 bytes"},
        {"sleep 1000", CHILD_ERROR_TIME, "not done after 1 s"},
        {"sleep 1000 & exit 0", CHILD_ERROR_TIME, "not done after 1 s"}, /* what it left holds its output */
        {"exec >&- 2>&-; sleep 1000", CHILD_ERROR_TIME, "not done after 1 s"},
        {"yes >&2", CHILD_ERROR_TIME, "not done after 1 s; it said \"y\""},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        const bool ends = cases[i].code != CHILD_ERROR_TIME;
        CHECK(!run_shell(cases[i].command, ends ? 30000 : 1000, NULL, &error), "%s", cases[i].command);
        CHECK(g_error_matches(error, CHILD_ERROR, (gint)cases[i].code), "%s: %s", cases[i].command, error->message);
        CHECK_TEXT(error->message, cases[i].message, cases[i].command);
    }
}

/* What a program has started ends with it. */
static void test_group(void **state)
{
    (void)state;
    g_autofree char *dir = make_temporary_dir();
    g_autofree char *command = g_strdup_printf("sleep 1000 & echo $! >%s/pid; wait", dir);
    g_autofree char *path = g_build_filename(dir, "pid", NULL), *pid = NULL;
    assert_null(run_shell(command, 1000, NULL, NULL));
    assert_true(g_file_get_contents(path, &pid, NULL, NULL));
    /* It is init's then, and may take a moment to be buried. */
    for (guint i = 0; i < 1000 && kill((pid_t)g_ascii_strtoll(pid, NULL, 10), 0) == 0; i++) {
        g_autofree char *status = g_strdup_printf("/proc/%d/stat", (int)g_ascii_strtoll(pid, NULL, 10)), *text = NULL;
        if (g_file_get_contents(status, &text, NULL, NULL) && strstr(text, ") Z "))
            break;
        assert_true(i < 999);
        g_usleep(10000);
    }
    remove_tree(dir);
}

static void test_start(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    const char *const words[] = {"/nonexistent/program", NULL};
    const ChildOptions options = {.words = words, .limit_ms = 30000, .most = 10};
    assert_null(child_run(&options, NULL, &error));
    assert_true(g_error_matches(error, CHILD_ERROR, CHILD_ERROR_START));

    const char *const shell[] = {"/bin/sh", "-c", "echo $A$B; nice", NULL}, *const environment[] = {"A=1", NULL};
    const ChildOptions nice = {.words = shell, .environment = environment, .limit_ms = 30000, .most = 100, .nice = 19};
    g_autofree char *text = child_run(&nice, NULL, NULL);
    assert_string_equal(text, "1\n19\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_start),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
