/* SPDX-License-Identifier: Apache-2.0
 * Programs that are run for their output: how they end, what is kept, and that none is waited for beyond its limit. */
#include "gather_helpers.h"

#include "doctor/command.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

static CommandResult *run_shell(const char *script, const char *input, gint64 limit_ms, gsize most)
{
    const char *words[] = {"sh", "-c", script, NULL};
    const Command command = {words, input, NULL, limit_ms, most};
    return command_run(&command);
}

static void test_ends(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        CommandEnd end;
        int status;
        const char *out, *err, *problem;
    } rows[] = {
        {"echo out; echo err >&2", COMMAND_ENDED, 0, "out\n", "err\n", "exit status 0: err"},
        {"echo first >&2; echo last >&2; echo >&2; exit 3", COMMAND_ENDED, 3, "", "first\nlast\n\n",
         "exit status 3: last"},
        {"echo only; exit 4", COMMAND_ENDED, 4, "only\n", "", "exit status 4: only"},
        {"exit 5", COMMAND_ENDED, 5, "", "", "exit status 5"},
        {"kill -TERM $$", COMMAND_KILLED, SIGTERM, "", "", "ended by signal 15"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *words[] = {"sh", "-c", rows[i].script, NULL};
        const Command command = {words, NULL, NULL, 20000, 4096};
        g_autoptr(CommandResult) result = command_run(&command);
        CHECK(result->end == rows[i].end && result->status == rows[i].status, "%s: %d %d", rows[i].script, result->end,
              result->status);
        CHECK_TEXT(result->out->str, rows[i].out, rows[i].script);
        CHECK_TEXT(result->err->str, rows[i].err, rows[i].script);
        CHECK(command_succeeded(result) == (i == 0), "%s", rows[i].script);
        g_autofree char *problem = command_problem(&command, result);
        CHECK_TEXT(problem, rows[i].problem, rows[i].script);
    }
}

static void test_missing(void **state)
{
    (void)state;
    const char *words[] = {"/nonexistent/program", "x", NULL};
    const Command command = {words, NULL, NULL, 20000, 4096}, nowhere = {words, NULL, "/nonexistent", 20000, 4096};
    g_autoptr(CommandResult) result = command_run(&command), other = command_run(&nowhere);
    CHECK(result->end == COMMAND_MISSING && result->status == ENOENT, "%d %d", result->end, result->status);
    CHECK(other->end == COMMAND_MISSING, "%d", other->end);
    g_autofree char *problem = command_problem(&command, result);
    CHECK_TEXT(problem, "No such file or directory", "missing");
}

static void test_late(void **state)
{
    (void)state;
    const gint64 begin = g_get_monotonic_time();
    g_autoptr(CommandResult) result = run_shell("echo begun; exec sleep 60", NULL, 300, 4096);
    CHECK(result->end == COMMAND_LATE, "%d", result->end);
    CHECK_TEXT(result->out->str, "begun\n", "late");
    /* Who leaves a child behind that keeps its outputs is not waited for either. */
    g_autoptr(CommandResult) left = run_shell("sleep 60 & echo parent", NULL, 20000, 4096);
    CHECK(command_succeeded(left), "%d", left->end);
    CHECK_TEXT(left->out->str, "parent\n", "left");
    CHECK(g_get_monotonic_time() - begin < 15 * G_USEC_PER_SEC, "waited");
}

static void test_much(void **state)
{
    (void)state;
    g_autoptr(CommandResult) result = run_shell("head -c 300000 /dev/zero", NULL, 20000, 100000);
    CHECK(command_succeeded(result), "%d", result->status);
    CHECK(result->out->len == 100000 && result->out_cut, "%u", (guint)result->out->len);
    g_autofree char *input = g_strnfill(300000, 'x');
    g_autoptr(CommandResult) counted = run_shell("wc -c", input, 20000, 4096);
    CHECK(atoi(counted->out->str) == 300000, "%s", counted->out->str);
    g_autoptr(CommandResult) unread = run_shell("exit 0", input, 20000, 4096);
    CHECK(command_succeeded(unread), "%d", unread->status);
    g_autoptr(CommandResult) none = run_shell("cat", NULL, 20000, 4096);
    CHECK(command_succeeded(none) && none->out->len == 0, "%d", none->status);
}

static void test_many(void **state)
{
    (void)state;
    enum { MANY = 9 };
    static const char *const words[] = {"sh", "-c", "sleep 0.2; echo $$", NULL};
    static const char *const slow[] = {"sleep", "60", NULL};
    Command commands[MANY];
    for (guint i = 0; i < MANY; i++)
        commands[i] = (Command){i == 4 ? slow : words, NULL, NULL, i == 4 ? 300 : 20000, 4096};
    const gint64 begin = g_get_monotonic_time();
    g_autoptr(GPtrArray) results = command_run_all(commands, MANY, 3);
    CHECK(g_get_monotonic_time() - begin < 10 * G_USEC_PER_SEC, "one after the other");
    CHECK(results->len == MANY, "%u", results->len);
    for (guint i = 0; i < MANY; i++) {
        const CommandResult *result = g_ptr_array_index(results, i);
        CHECK(i == 4 ? result->end == COMMAND_LATE : command_succeeded(result), "%u: %d", i, result->end);
    }
    g_autoptr(GPtrArray) none = command_run_all(commands, 0, 3);
    CHECK(none->len == 0, "%u", none->len);
}

static void test_text(void **state)
{
    (void)state;
    const char *words[] = {"ssh", "-o", "BatchMode=yes", "a b", "it's", "", NULL};
    g_autofree char *text = command_text(words);
    CHECK_TEXT(text, "ssh -o BatchMode=yes 'a b' 'it'\\''s' ''", "quoted");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends), cmocka_unit_test(test_missing), cmocka_unit_test(test_late),
        cmocka_unit_test(test_much), cmocka_unit_test(test_many),    cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
