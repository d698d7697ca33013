/* SPDX-License-Identifier: Apache-2.0 */
#include "encode/exec_record.h"

#include "base/text.h"
#include "encode/one_record.h"
#include "encode/one_size.h"

#include <string.h>

G_DEFINE_QUARK(one - telemetry - exec - record, exec_record_error)

#define REFINEMENTS 6 /* of where outputs are cut: to a 64th */
#define GROUP 4       /* bytes of base64 that stand for whole bytes */

/* --- writing --- */

static void append_output(GString *out, const char *base64, gsize limit)
{
    gsize length = strlen(base64);
    g_string_append_len(out, base64, (gssize)(length > limit ? limit / GROUP * GROUP : length));
}

static void append_record(GString *out, const Execution *execution, gsize limit)
{
    g_string_append_printf(out, "VM = [ ID=\"%" G_GUINT64_FORMAT "\", PID=\"%" G_GINT64_FORMAT "\"", execution->vm_id,
                           execution->pid);
    g_string_append(out, ", STATUS=\"DONE\", RETURN_CODE=\"");
    if (execution->has_return_code)
        g_string_append_printf(out, "%" G_GINT64_FORMAT, execution->return_code);
    g_string_append(out, "\", STDOUT=\"");
    append_output(out, execution->output, limit);
    g_string_append(out, "\", STDERR=\"");
    append_output(out, execution->errors, limit);
    g_string_append(out, "\" ]");
}

static GString *write_cut(const GPtrArray *executions, gsize limit)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < executions->len; i++)
        append_record(out, g_ptr_array_index(executions, i), limit);
    g_string_append_c(out, '\n');
    return out;
}

static bool fits(const GPtrArray *executions, gsize limit, gsize most)
{
    g_autoptr(GString) text = write_cut(executions, limit);
    return one_message_size(text->str, text->len) + ONE_MESSAGE_HEADER <= most;
}

static gsize longest_output(const GPtrArray *executions)
{
    gsize longest = 0;
    for (guint i = 0; i < executions->len; i++) {
        const Execution *execution = g_ptr_array_index(executions, i);
        gsize output = strlen(execution->output), errors = strlen(execution->errors);
        longest = MAX(longest, MAX(output, errors));
    }
    return longest;
}

/* Halved until it fits, then refined between that and what did not. */
static gsize find_limit(const GPtrArray *executions, gsize most)
{
    if (fits(executions, G_MAXSIZE, most))
        return G_MAXSIZE;
    gsize too_long = longest_output(executions), good = too_long / 2;
    while (good > 0 && !fits(executions, good, most)) {
        too_long = good;
        good /= 2;
    }
    for (guint i = 0; i < REFINEMENTS; i++) {
        gsize middle = good + (too_long - good) / 2;
        if (fits(executions, middle, most))
            good = middle;
        else
            too_long = middle;
    }
    return good;
}

GString *exec_records_write(const GPtrArray *executions, gsize most, ExecReport *ret_report)
{
    gsize limit = find_limit(executions, most);
    GString *out = write_cut(executions, limit);
    *ret_report = (ExecReport){.limit = limit, .message_bytes = one_message_size(out->str, out->len)};
    return out;
}

/* --- reading --- */

/* What is still to be read. */
typedef struct {
    const char *begin, *at, *end;
} Rest;

static bool refuse(const Rest *rest, GError **error, const char *expected)
{
    g_set_error(error, EXEC_RECORD_ERROR, EXEC_RECORD_ERROR_SYNTAX, "byte %" G_GSIZE_FORMAT ": expected %s",
                (gsize)(rest->at - rest->begin), expected);
    return false;
}

static bool skip(Rest *rest, const char *literal, GError **error)
{
    gsize length = strlen(literal);
    if ((gsize)(rest->end - rest->at) < length || memcmp(rest->at, literal, length) != 0)
        return refuse(rest, error, literal);
    rest->at += length;
    return true;
}

/* Up to the next quote, which stays. Owned by the caller; NULL: there is none. */
static char *take_value(Rest *rest, GError **error)
{
    const char *quote = memchr(rest->at, '"', (gsize)(rest->end - rest->at));
    if (!quote || memchr(rest->at, '\0', (gsize)(quote - rest->at))) {
        refuse(rest, error, "a quoted value");
        return NULL;
    }
    char *value = g_strndup(rest->at, (gsize)(quote - rest->at));
    rest->at = quote;
    return value;
}

/* A whole number as it is written: no sign +, no zeros in front, no -0. */
static bool read_number(Rest *rest, gint64 low, gint64 high, gint64 *ret_value, GError **error)
{
    g_autofree char *value = take_value(rest, error);
    if (!value)
        return false;
    const char *digits = value + (*value == '-');
    guint64 size;
    bool good = text_read_u64(digits, &size) && size <= G_MAXINT64 && (*digits != '0' || !value[1]);
    gint64 number = !good ? 0 : *value == '-' ? -(gint64)size : (gint64)size;
    if (!good || number < low || number > high)
        return refuse(rest, error, "a number in its range");
    *ret_value = number;
    return true;
}

static bool read_return_code(Rest *rest, Execution *execution, GError **error)
{
    execution->has_return_code = rest->at < rest->end && *rest->at != '"';
    return !execution->has_return_code ||
           read_number(rest, -EXECUTION_RETURN_CODE_MAX, EXECUTION_RETURN_CODE_MAX, &execution->return_code, error);
}

static bool read_output(Rest *rest, char **ret_value, GError **error)
{
    *ret_value = take_value(rest, error);
    return *ret_value &&
           (execution_is_base64(*ret_value, strlen(*ret_value)) || refuse(rest, error, "base64 before this"));
}

static bool read_record(Rest *rest, Execution *execution, GError **error)
{
    gint64 vm_id = 0;
    bool good = skip(rest, "VM = [ ID=\"", error) && read_number(rest, 0, G_MAXINT32, &vm_id, error) &&
                skip(rest, "\", PID=\"", error) && read_number(rest, 1, G_MAXINT64, &execution->pid, error) &&
                skip(rest, "\", STATUS=\"DONE\", RETURN_CODE=\"", error) && read_return_code(rest, execution, error) &&
                skip(rest, "\", STDOUT=\"", error) && read_output(rest, &execution->output, error) &&
                skip(rest, "\", STDERR=\"", error) && read_output(rest, &execution->errors, error) &&
                skip(rest, "\" ]", error);
    execution->vm_id = (guint64)vm_id;
    return good;
}

GPtrArray *exec_records_read(const char *text, gsize length, GError **error)
{
    Rest rest = {.begin = text, .at = text, .end = text + length};
    g_autoptr(GPtrArray) executions = g_ptr_array_new_with_free_func((GDestroyNotify)execution_free);
    while (rest.end - rest.at > 1) {
        Execution *execution = g_new0(Execution, 1);
        g_ptr_array_add(executions, execution);
        if (!read_record(&rest, execution, error))
            return NULL;
    }
    return skip(&rest, "\n", error) ? g_steal_pointer(&executions) : NULL;
}
