/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "encode/exec_record.h"
#include "encode/one_record.h"
#include "encode/one_size.h"

#include <string.h>

static void add(GPtrArray *executions, guint64 vm_id, gint64 pid, const gint64 *code, char *output, char *errors)
{
    Execution *execution = g_new0(Execution, 1);
    *execution =
        (Execution){.vm_id = vm_id, .pid = pid, .has_return_code = code != NULL, .output = output, .errors = errors};
    if (code)
        execution->return_code = *code;
    g_ptr_array_add(executions, execution);
}

static GPtrArray *new_executions(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)execution_free);
}

/* Base64 that can't be compressed further, of so many bytes. */
static char *noise(gsize bytes, guint32 seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autofree guchar *raw = g_malloc(bytes + 1);
    for (gsize i = 0; i < bytes; i++)
        raw[i] = (guchar)g_rand_int_range(rand, 0, 256);
    return g_base64_encode(raw, bytes);
}

/* To the byte what OpenNebula's own probe prints: records without anything between them, and a newline. */
static void test_form(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) executions = new_executions();
    ExecReport report;
    g_autoptr(GString) none = exec_records_write(executions, ONE_MESSAGE_MAX, &report);
    assert_string_equal(none->str, "\n");

    const gint64 zero = 0, low = -EXECUTION_RETURN_CODE_MAX;
    add(executions, 0, 1, &zero, g_strdup("aGkK"), g_strdup(""));
    add(executions, 83, G_MAXINT64, NULL, g_strdup(""), g_strdup("bm8="));
    add(executions, G_MAXINT32, 4, &low, g_strdup(""), g_strdup(""));
    g_autoptr(GString) text = exec_records_write(executions, ONE_MESSAGE_MAX, &report);
    assert_string_equal(
        text->str, "VM = [ ID=\"0\", PID=\"1\", STATUS=\"DONE\", RETURN_CODE=\"0\", STDOUT=\"aGkK\", STDERR=\"\" ]"
                   "VM = [ ID=\"83\", PID=\"9223372036854775807\", STATUS=\"DONE\", RETURN_CODE=\"\", STDOUT=\"\", "
                   "STDERR=\"bm8=\" ]"
                   "VM = [ ID=\"2147483647\", PID=\"4\", STATUS=\"DONE\", RETURN_CODE=\"-9007199254740992\", "
                   "STDOUT=\"\", STDERR=\"\" ]\n");
    assert_true(report.limit == G_MAXSIZE);
    assert_int_equal(report.message_bytes, one_message_size(text->str, text->len));

    g_autoptr(GPtrArray) read = exec_records_read(text->str, text->len, NULL);
    assert_non_null(read);
    assert_int_equal(read->len, 3);
    g_autoptr(GString) again = exec_records_write(read, ONE_MESSAGE_MAX, &report);
    assert_string_equal(again->str, text->str);
}

/* Outputs that the datagram has no room for are cut on whole bytes, as much as fits stays, and the rest is whole. */
static void test_cut(void **state)
{
    (void)state;
    const gsize sizes[] = {40000, 60000, 300000, 3000000};
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GPtrArray) executions = new_executions();
        const gint64 code = 3;
        add(executions, 1, 10, &code, noise(100, 1), g_strdup(""));
        add(executions, 2, 20, &code, noise(sizes[i], 2), noise(200, 3));
        ExecReport report;
        g_autoptr(GString) text = exec_records_write(executions, ONE_MESSAGE_MAX, &report);
        assert_true(report.message_bytes + ONE_MESSAGE_HEADER <= ONE_MESSAGE_MAX);
        assert_int_equal(report.message_bytes, one_message_size(text->str, text->len));
        assert_int_equal(report.limit == G_MAXSIZE, sizes[i] == 40000);
        if (report.limit != G_MAXSIZE)
            assert_true(report.message_bytes > ONE_MESSAGE_MAX * 9 / 10);

        g_autoptr(GPtrArray) read = exec_records_read(text->str, text->len, NULL);
        assert_non_null(read);
        assert_int_equal(read->len, 2);
        const Execution *small = read->pdata[0], *big = read->pdata[1];
        assert_string_equal(small->output, ((Execution *)executions->pdata[0])->output);
        assert_string_equal(big->errors, ((Execution *)executions->pdata[1])->errors);
        assert_true(g_str_has_prefix(((Execution *)executions->pdata[1])->output, big->output));
        assert_int_equal(big->return_code, 3);
    }
}

/* So many fit whatever they are. */
static void test_most_records(void **state)
{
    (void)state;
    g_autoptr(GPtrArray) executions = new_executions();
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    for (guint i = 0; i < EXEC_RECORDS_MAX; i++) {
        gint64 pid = ((gint64)g_rand_int(rand) << 31 | g_rand_int(rand)) + 1, code = -(pid >> 10);
        add(executions, g_rand_int(rand) & G_MAXINT32, pid, &code, noise(5000, i), noise(5000, ~i));
    }
    ExecReport report;
    g_autoptr(GString) text = exec_records_write(executions, ONE_MESSAGE_MAX, &report);
    assert_true(report.message_bytes + ONE_MESSAGE_HEADER <= ONE_MESSAGE_MAX);
    g_autoptr(GPtrArray) read = exec_records_read(text->str, text->len, NULL);
    assert_non_null(read);
    assert_int_equal(read->len, EXEC_RECORDS_MAX);
}

#define GOOD "VM = [ ID=\"5\", PID=\"6\", STATUS=\"DONE\", RETURN_CODE=\"0\", STDOUT=\"\", STDERR=\"\" ]"

static void test_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "\n\n",
        GOOD,
        GOOD "\n\n",
        GOOD "\n" GOOD "\n",
        " " GOOD "\n",
        GOOD "x\n",
        "VM = [ ID=\"-5\", PID=\"6\", STATUS=\"DONE\", RETURN_CODE=\"0\", STDOUT=\"\", STDERR=\"\" ]\n",
        "VM = [ ID=\"05\", PID=\"6\", STATUS=\"DONE\", RETURN_CODE=\"0\", STDOUT=\"\", STDERR=\"\" ]\n",
        "VM = [ ID=\"2147483648\", PID=\"6\", STATUS=\"DONE\", RETURN_CODE=\"0\", STDOUT=\"\", STDERR=\"\" ]\n",
        "VM = [ ID=\"5\", PID=\"0\", STATUS=\"DONE\", RETURN_CODE=\"0\", STDOUT=\"\", STDERR=\"\" ]\n",
        "VM = [ ID=\"5\", PID=\"9223372036854775808\", STATUS=\"DONE\", RETURN_CODE=\"0\", STDOUT=\"\", STDERR=\"\" "
        "]\n",
        "VM = [ ID=\"5\", PID=\"6\", STATUS=\"ERROR\", RETURN_CODE=\"0\", STDOUT=\"\", STDERR=\"\" ]\n",
        "VM = [ ID=\"5\", PID=\"6\", STATUS=\"DONE\", RETURN_CODE=\"-0\", STDOUT=\"\", STDERR=\"\" ]\n",
        "VM = [ ID=\"5\", PID=\"6\", STATUS=\"DONE\", RETURN_CODE=\"-\", STDOUT=\"\", STDERR=\"\" ]\n",
        "VM = [ ID=\"5\", PID=\"6\", STATUS=\"DONE\", RETURN_CODE=\"0\", STDOUT=\"a\", STDERR=\"\" ]\n",
        "VM = [ ID=\"5\", PID=\"6\", STATUS=\"DONE\", RETURN_CODE=\"0\", STDOUT=\"\", STDERR=\"a\\\"b\" ]\n",
        "VM = [ ID=\"5\", PID=\"6\", STATUS=\"DONE\", RETURN_CODE=\"0\", STDOUT=\"\", STDERR=\"\" \n",
    };
    assert_null(exec_records_read(GOOD "\0\n", sizeof(GOOD "\0\n") - 1, NULL));
    g_autoptr(GPtrArray) good = exec_records_read(GOOD GOOD "\n", 2 * strlen(GOOD) + 1, NULL);
    assert_non_null(good);
    assert_int_equal(good->len, 2);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        if (exec_records_read(bad[i], strlen(bad[i]), &error))
            fail_msg("taken: %s", bad[i]);
        assert_true(g_str_has_prefix(error->message, "byte "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_most_records),
        cmocka_unit_test(test_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
