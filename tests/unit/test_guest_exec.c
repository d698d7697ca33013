/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gather/guest_exec.h"

#include <string.h>

static void test_command(void **state)
{
    (void)state;
    g_autofree char *command = guest_exec_status_command(G_MAXINT64);
    assert_string_equal(command, "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":9223372036854775807}}");
}

typedef enum { RUNS, ENDED, REFUSED } Kind;

static const struct {
    const char *text;
    Kind kind;
    const char *code; /* NULL: a signal ended it */
    const char *output, *errors;
} answers[] = {
    {"{\"return\":{\"exited\":false}}", RUNS, NULL, NULL, NULL},
    {" {\"id\":1, \"return\" : {\"exited\":false,\"out-data\":7}} ", RUNS, NULL, NULL, NULL},
    {"{\"return\":{\"exitcode\":0,\"out-data\":\"aGkK\",\"exited\":true}}", ENDED, "0", "aGkK", ""},
    {"{\"return\":{\"exited\":true,\"exitcode\":127,\"err-data\":\"bm8=\",\"out-data\":\"\"}}", ENDED, "127", "",
     "bm8="},
    {"{\"return\":{\"exited\":true,\"signal\":9}}", ENDED, NULL, "", ""},
    {"{\"return\":{\"exited\":true,\"exitcode\":-1073741819,\"out-truncated\":true,\"out-data\":\"AA==\"}}", ENDED,
     "-1073741819", "AA==", ""},
    {"{\"return\":{\"exited\":true,\"exitcode\":9007199254740992}}", ENDED, "9007199254740992", "", ""},
    {"{\"return\":{\"exited\":true,\"exitcode\":9007199254740994}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":true,\"exitcode\":0.5}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":true,\"exitcode\":1e999}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":true,\"exitcode\":\"0\"}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":true,\"exitcode\":null}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":1,\"exitcode\":0}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exitcode\":0}}", REFUSED, NULL, NULL, NULL},
    /* what would be another record in OpenNebula's message */
    {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"\\\" ]VM = [ ID=\\\"1\\\" \"}}", REFUSED, NULL, NULL,
     NULL},
    {"{\"return\":{\"exited\":true,\"exitcode\":0,\"err-data\":\"a\\nGk=\"}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"aGk\"}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"a===\"}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"=aGk\"}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":[]}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":[]}", REFUSED, NULL, NULL, NULL},
    {"{\"error\":{\"class\":\"GenericError\",\"desc\":\"PID 1 does not exist\"}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":false}}}", REFUSED, NULL, NULL, NULL},
    {"{\"return\":{\"exited\":false}", REFUSED, NULL, NULL, NULL},
    {"null", REFUSED, NULL, NULL, NULL},
    {"", REFUSED, NULL, NULL, NULL},
};

static void test_answers(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(answers); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Execution) ended = NULL;
        bool good = guest_exec_status_read(answers[i].text, strlen(answers[i].text), 83, 1234, &ended, &error);
        Kind kind = !good ? REFUSED : ended ? ENDED : RUNS;
        if (kind != answers[i].kind)
            fail_msg("%s: %d, %s", answers[i].text, kind, error ? error->message : "no error");
        assert_int_equal(good, error == NULL);
        if (!good && !g_str_has_prefix(error->message, "its agent's answer can't be used: "))
            fail_msg("%s", error->message);
        if (kind != ENDED)
            continue;
        assert_int_equal(ended->vm_id, 83);
        assert_int_equal(ended->pid, 1234);
        g_autofree char *code = g_strdup_printf("%" G_GINT64_FORMAT, ended->return_code);
        assert_int_equal(ended->has_return_code, answers[i].code != NULL);
        if (answers[i].code)
            assert_string_equal(code, answers[i].code);
        assert_string_equal(ended->output, answers[i].output);
        assert_string_equal(ended->errors, answers[i].errors);
    }
}

/* What is cut off anywhere is refused, and no byte behind the end is looked at. */
static void test_cut_off(void **state)
{
    (void)state;
    static const char whole[] = "{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"aGkK\"}}";
    for (gsize length = 0; length < strlen(whole); length++) {
        g_autofree char *part = g_strndup(whole, length); /* with its NUL: ASan sees the byte behind that */
        g_autoptr(Execution) ended = NULL;
        assert_false(guest_exec_status_read(part, length, 1, 1, &ended, NULL));
        assert_null(ended);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
