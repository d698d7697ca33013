/* SPDX-License-Identifier: Apache-2.0
 * Agents that answer, refuse, hang before or after their sign of life, and a libvirt that hangs or fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gather/guest_ask.h"

#include <string.h>

#define LONG_MS 60000 /* more than any test takes */
#define HOLD_US (G_USEC_PER_SEC * 30)

/* What the fake does is in a domain's name. */
static struct {
    GMutex lock;
    GCond changed;
    guint opened, closed, commands, at_once, most_at_once;
    int command_timeout_s; /* of the last */
    bool fail_open, hang_open, released;
} fake;

static int setup(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    return 0;
}

/* Until the test lets go. */
static void hang(void)
{
    gint64 end = g_get_monotonic_time() + HOLD_US;
    while (!fake.released && g_cond_wait_until(&fake.changed, &fake.lock, end))
        ;
}

static void release(void)
{
    g_mutex_lock(&fake.lock);
    fake.released = true;
    g_cond_broadcast(&fake.changed);
    g_mutex_unlock(&fake.lock);
}

/* Waits for the threads that were left behind: each closes its connection. */
static void await_threads(void)
{
    release();
    g_mutex_lock(&fake.lock);
    gint64 end = g_get_monotonic_time() + HOLD_US;
    while (fake.closed < fake.opened)
        assert_true(g_cond_wait_until(&fake.changed, &fake.lock, end));
    g_mutex_unlock(&fake.lock);
    g_usleep(20000); /* and is gone */
}

static GuestAgents *fake_open(const char *uri, GError **error)
{
    assert_string_equal(uri, "fake:///");
    g_mutex_lock(&fake.lock);
    if (fake.hang_open)
        hang();
    bool fail = fake.fail_open;
    fake.opened += !fail;
    g_mutex_unlock(&fake.lock);
    if (fail)
        g_set_error(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT, "cannot connect: no");
    return fail ? NULL : (GuestAgents *)&fake;
}

static void fake_close(GuestAgents *agents)
{
    assert_ptr_equal(agents, &fake);
    g_mutex_lock(&fake.lock);
    fake.closed++;
    g_cond_broadcast(&fake.changed);
    g_mutex_unlock(&fake.lock);
}

static char *fake_command(GuestAgents *agents, const char *domain, const char *command, int timeout_s, GError **error)
{
    (void)agents;
    assert_true(timeout_s > 0);
    bool sign = strstr(command, "guest-sync") != NULL;
    g_mutex_lock(&fake.lock);
    fake.at_once++;
    fake.most_at_once = MAX(fake.most_at_once, fake.at_once);
    fake.commands += !sign;
    if (!sign)
        fake.command_timeout_s = timeout_s;
    if (strstr(domain, sign ? "silent" : "stuck"))
        hang();
    fake.at_once--;
    g_mutex_unlock(&fake.lock);
    if (strstr(domain, "refuses") && !sign) {
        g_set_error(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_REFUSED, "no");
        return NULL;
    }
    if (strstr(domain, "gone")) {
        g_set_error(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_NO_DOMAIN, "gone");
        return NULL;
    }
    return sign ? g_strdup("{\"return\":83}") : g_strconcat(domain, command, NULL);
}

static const GuestAgentApi api = {.open = fake_open, .close = fake_close, .command = fake_command};

static bool ask(GuestQuestion *questions, guint count, gint64 deadline_ms, gint64 patience_ms)
{
    const GuestAskOptions options = {
        .api = &api, .uri = "fake:///", .deadline_ms = deadline_ms, .patience_ms = patience_ms, .workers = 4};
    return guest_ask(&options, questions, count);
}

/* `answer_ms` for each answer, and much more for everything. */
static bool ask_impatiently(GuestQuestion *questions, guint count, gint64 answer_ms)
{
    const GuestAskOptions options = {.api = &api,
                                     .uri = "fake:///",
                                     .deadline_ms = LONG_MS,
                                     .patience_ms = LONG_MS / 2,
                                     .answer_ms = answer_ms,
                                     .workers = 1};
    return guest_ask(&options, questions, count);
}

static void clear(GuestQuestion *questions, guint count)
{
    for (guint i = 0; i < count; i++)
        guest_question_clear(&questions[i]);
}

static void assert_error(const GuestQuestion *question, GuestAgentErrorCode code)
{
    assert_null(question->answer);
    assert_true(g_error_matches(question->error, GUEST_AGENT_ERROR, (gint)code));
}

/* Each gets its own answer or error, by no more workers than allowed, and all connections are closed. */
static void test_all_answer(void **state)
{
    (void)state;
    GuestQuestion questions[100] = {0};
    char names[100][32];
    for (guint i = 0; i < 100; i++) {
        g_snprintf(names[i], sizeof names[i], "%s-%u", i % 10 == 3 ? "refuses" : i % 10 == 7 ? "gone" : "one", i);
        questions[i] = (GuestQuestion){.domain = names[i], .command = i % 10 == 5 ? NULL : " ?"};
    }
    assert_true(ask(questions, 100, LONG_MS, LONG_MS / 2));
    for (guint i = 0; i < 100; i++) {
        g_autofree char *expected = g_strconcat(names[i], " ?", NULL);
        if (i % 10 == 3)
            assert_error(&questions[i], GUEST_AGENT_ERROR_REFUSED);
        else if (i % 10 == 7)
            assert_error(&questions[i], GUEST_AGENT_ERROR_NO_DOMAIN);
        else
            assert_string_equal(questions[i].answer, i % 10 == 5 ? "" : expected);
    }
    assert_int_equal(fake.opened, fake.closed);
    assert_true(fake.opened <= 4 && fake.most_at_once <= 4);
    clear(questions, 100);
}

/* One that shows no sign of life is given up, never gets its command, not even when it wakes up later, and costs the
 * others nothing. */
static void test_silent(void **state)
{
    (void)state;
    GuestQuestion questions[] = {
        {.domain = "silent-1", .command = "?"}, {.domain = "one-2", .command = "?"},
        {.domain = "silent-3", .command = "?"}, {.domain = "one-4", .command = "?"},
        {.domain = "silent-5", .command = "?"}, {.domain = "one-6", .command = "?"},
    };
    gint64 begin = g_get_monotonic_time();
    assert_false(ask(questions, 6, LONG_MS, 1500));
    assert_true(g_get_monotonic_time() - begin < HOLD_US); /* it did not wait for them */
    for (guint i = 0; i < 6; i += 2)
        assert_error(&questions[i], GUEST_AGENT_ERROR_SILENT);
    for (guint i = 1; i < 6; i += 2)
        assert_non_null(questions[i].answer);
    await_threads();
    assert_int_equal(fake.commands, 3);
    clear(questions, 6);
}

/* One that has shown a sign of life is waited for, longer than for that: its answer may be the only one. */
static void test_slow_to_answer(void **state)
{
    (void)state;
    GuestQuestion questions[] = {{.domain = "stuck-1", .command = "?"}, {.domain = "one-2", .command = "?"}};
    gint64 begin = g_get_monotonic_time();
    assert_false(ask(questions, 2, GUEST_ASK_RESERVE_MS + 500, 100));
    assert_true(g_get_monotonic_time() - begin >= (GUEST_ASK_RESERVE_MS + 500) * 1000);
    assert_error(&questions[0], GUEST_AGENT_ERROR_SILENT);
    assert_non_null(questions[1].answer);
    await_threads();
    clear(questions, 2);
}

/* Where a limit is set for answers, one that has shown a sign of life and no more is given up, and told libvirt how
 * long to wait, so that the next has its turn. */
static void test_hangs_on_the_command(void **state)
{
    (void)state;
    GuestQuestion questions[] = {{.domain = "one-1", .command = "?"}, {.domain = "stuck-2", .command = "?"}};
    gint64 begin = g_get_monotonic_time();
    assert_false(ask_impatiently(questions, 2, 2600));
    assert_true(g_get_monotonic_time() - begin < HOLD_US); /* it did not wait for it */
    assert_non_null(questions[0].answer);
    assert_error(&questions[1], GUEST_AGENT_ERROR_SILENT);
    assert_string_equal(questions[1].error->message, "its agent has not answered in time");
    assert_int_equal(fake.command_timeout_s, 3);
    await_threads();
    clear(questions, 2);
}

/* Too near the deadline no command is sent, as its answer might come behind it and be lost; nor is one called that
 * would not have the time that others have. */
static void test_too_late(void **state)
{
    (void)state;
    GuestQuestion questions[] = {{.domain = "one-1", .command = "?"}, {.domain = "one-2"}};
    assert_true(ask(questions, 2, GUEST_ASK_RESERVE_MS - 100, 10));
    assert_error(&questions[0], GUEST_AGENT_ERROR_NOT_ASKED);
    assert_non_null(questions[1].answer);
    assert_int_equal(fake.commands, 0);
    clear(questions, 2);
    assert_true(ask(questions, 2, 1000, 2000));
    assert_error(&questions[1], GUEST_AGENT_ERROR_NOT_ASKED);
    clear(questions, 2);
}

/* More silent ones than workers: those that could not be asked are told apart, and the deadline holds. */
static void test_all_workers_held_up(void **state)
{
    (void)state;
    GuestQuestion questions[] = {{.domain = "silent-1"},
                                 {.domain = "silent-2"},
                                 {.domain = "silent-3"},
                                 {.domain = "silent-4"},
                                 {.domain = "one-5"}};
    assert_false(ask(questions, 5, 700, 100));
    for (guint i = 0; i < 4; i++)
        assert_error(&questions[i], GUEST_AGENT_ERROR_SILENT);
    assert_error(&questions[4], GUEST_AGENT_ERROR_NOT_ASKED);
    await_threads();
    clear(questions, 5);
}

static void test_no_connection(void **state)
{
    (void)state;
    fake.fail_open = true;
    GuestQuestion questions[] = {{.domain = "one-1"}, {.domain = "one-2"}};
    assert_true(ask(questions, 2, LONG_MS, LONG_MS / 2));
    for (guint i = 0; i < 2; i++) {
        assert_error(&questions[i], GUEST_AGENT_ERROR_LIBVIRT);
        assert_string_equal(questions[i].error->message, "cannot connect: no");
    }
    clear(questions, 2);
}

static void test_connecting_hangs(void **state)
{
    (void)state;
    fake.hang_open = true;
    GuestQuestion questions[] = {{.domain = "one-1", .command = "?"}, {.domain = "one-2", .command = "?"}};
    assert_false(ask(questions, 2, 300, 100));
    for (guint i = 0; i < 2; i++) {
        assert_error(&questions[i], GUEST_AGENT_ERROR_LIBVIRT);
        assert_string_equal(questions[i].error->message, "cannot connect: no answer in time");
    }
    g_mutex_lock(&fake.lock);
    fake.hang_open = false;
    g_mutex_unlock(&fake.lock);
    release();
    while (g_atomic_int_get((gint *)&fake.closed) < 2)
        g_usleep(1000);
    await_threads();
    assert_int_equal(fake.commands, 0); /* too late to ask */
    clear(questions, 2);
}

/* What is no sign that it is alive is not taken for one, though our headers may not know it. */
static void test_error_numbers(void **state)
{
    (void)state;
    assert_int_equal(guest_agent_error_of(86), GUEST_AGENT_ERROR_SILENT);   /* VIR_ERR_AGENT_UNRESPONSIVE */
    assert_int_equal(guest_agent_error_of(112), GUEST_AGENT_ERROR_SILENT);  /* VIR_ERR_AGENT_COMMAND_TIMEOUT */
    assert_int_equal(guest_agent_error_of(113), GUEST_AGENT_ERROR_REFUSED); /* VIR_ERR_AGENT_COMMAND_FAILED */
    assert_int_equal(guest_agent_error_of(1), GUEST_AGENT_ERROR_REFUSED);
    assert_int_equal(guest_agent_error_of(42), GUEST_AGENT_ERROR_NO_DOMAIN);
}

/* The real one: libvirt is loaded when it is first needed, and says what it can't. */
static void test_libvirt(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    assert_null(guest_agent_api.open("nonsense:///", &error));
    assert_true(g_error_matches(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT));
    assert_true(g_str_has_prefix(error->message, "cannot connect: "));
    GuestAgents *agents = guest_agent_api.open("test:///default", NULL);
    assert_non_null(agents);
    g_clear_error(&error);
    assert_null(guest_agent_api.command(agents, "no-such", "{}", 1, &error));
    assert_true(g_error_matches(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_NO_DOMAIN));
    g_clear_error(&error);
    assert_null(guest_agent_api.command(agents, "test", "{}", 1, &error)); /* its driver has no agents */
    assert_non_null(error);
    guest_agent_api.close(agents);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_answer, setup),
        cmocka_unit_test_setup(test_silent, setup),
        cmocka_unit_test_setup(test_slow_to_answer, setup),
        cmocka_unit_test_setup(test_all_workers_held_up, setup),
        cmocka_unit_test_setup(test_no_connection, setup),
        cmocka_unit_test_setup(test_connecting_hangs, setup),
        cmocka_unit_test_setup(test_hangs_on_the_command, setup),
        cmocka_unit_test_setup(test_too_late, setup),
        cmocka_unit_test(test_error_numbers),
        cmocka_unit_test_setup(test_libvirt, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
