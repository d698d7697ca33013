/* SPDX-License-Identifier: Apache-2.0 */
#include "base/guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    int status;
    char text[1024]; /* what it wrote to standard error */
} Outcome;

/* Runs `work` in a child with the guard armed. */
static Outcome run(int status, gint64 limit_ms, void (*work)(void))
{
    Outcome outcome = {.status = -1};
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fds[1], STDERR_FILENO);
        guard_arm(status, limit_ms, "nothing is sent");
        work();
        _exit(99);
    }
    close(fds[1]);
    gsize length = 0;
    gssize n;
    while ((n = read(fds[0], outcome.text + length, sizeof outcome.text - 1 - length)) > 0)
        length += (gsize)n;
    close(fds[0]);
    assert_int_equal(waitpid(child, &outcome.status, 0), child);
    return outcome;
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static void end_by_itself(void)
{
}

static void change_mind_and_wait(void)
{
    guard_change(7, "something was sent");
    wait_for_ever();
}

static void assert_outcome(Outcome outcome, int status, const char *text)
{
    assert_true(WIFEXITED(outcome.status));
    assert_int_equal(WEXITSTATUS(outcome.status), status);
    assert_string_equal(outcome.text, text);
}

static void test_time_limit(void **state)
{
    (void)state;
    assert_outcome(run(0, 50, wait_for_ever), 0, "one-telemetry: not done in time; nothing is sent\n");
    assert_outcome(run(3, 50, wait_for_ever), 3, "one-telemetry: not done in time; nothing is sent\n");
    assert_outcome(run(3, 50, change_mind_and_wait), 7, "one-telemetry: not done in time; something was sent\n");
}

static void test_no_trouble(void **state)
{
    (void)state;
    assert_outcome(run(0, 60000, end_by_itself), 99, "");
}

#if !defined(__SANITIZE_ADDRESS__) /* which has handlers of its own for these */
static volatile int depth;

static int overflow(int n)
{
    volatile char room[4096];
    room[0] = (char)n;
    depth++;
    return n == 0 ? 0 : overflow(n + 1) + room[0];
}

static void overflow_stack(void)
{
    overflow(1);
}

static void touch_nothing(void)
{
    static volatile int *volatile nowhere; /* so that the compiler can't see it coming */
    *nowhere = 1;
}

static void test_crash(void **state)
{
    (void)state;
    assert_outcome(run(0, 60000, touch_nothing), 0, "one-telemetry: crashed with SIGSEGV; nothing is sent\n");
    assert_outcome(run(1, 60000, abort), 1, "one-telemetry: aborted; nothing is sent\n");
    assert_outcome(run(0, 60000, overflow_stack), 0, "one-telemetry: crashed with SIGSEGV; nothing is sent\n");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_limit),
        cmocka_unit_test(test_no_trouble),
#if !defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(test_crash),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
