/* SPDX-License-Identifier: Apache-2.0 */
#include "line_results.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "encode/line_reader.h"

static void append_field(GString *out, const LineField *field)
{
    g_string_append_printf(out, " <%s>=", field->key);
    assert_true(field->type == FIELD_STRING || field->length == 0);
    switch (field->type) {
    case FIELD_FLOAT:
        text_append_real(out, field->value.f);
        break;
    case FIELD_INTEGER:
        g_string_append_printf(out, "%" G_GINT64_FORMAT "i", field->value.i);
        break;
    case FIELD_UNSIGNED:
        g_string_append_printf(out, "%" G_GUINT64_FORMAT "u", field->value.u);
        break;
    case FIELD_BOOLEAN:
        g_string_append(out, field->value.b ? "true" : "false");
        break;
    case FIELD_STRING:
        assert_int_equal(strlen(field->value.s), field->length);
        g_string_append_printf(out, "\"%s\"", field->value.s);
        break;
    }
}

static char *describe(const LinePoint *point)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_string_append_printf(out, "<%s>", point->measurement);
    for (guint i = 0; i < point->n_tags; i++)
        g_string_append_printf(out, " <%s>=<%s>", point->tags[i].key, point->tags[i].value);
    g_string_append(out, " :");
    for (guint i = 0; i < point->n_fields; i++)
        append_field(out, &point->fields[i]);
    if (point->has_time)
        g_string_append_printf(out, " @%" G_GINT64_FORMAT, point->time);
    return g_strdup(out->str);
}

static void result_free(gpointer data)
{
    Result *result = data;
    g_free(result->point);
    g_free(result->error);
    g_free(result);
}

GPtrArray *read_all(const char *text, gsize length)
{
    GPtrArray *results = g_ptr_array_new_with_free_func(result_free);
    char *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, text, length);
    g_autoptr(LineReader) reader = line_reader_new(copy, length);
    LinePoint point;
    for (;;) {
        g_autoptr(GError) error = NULL;
        LineResult got = line_reader_next(reader, &point, &error);
        assert_int_equal(got == LINE_BAD, error != NULL);
        if (got == LINE_END)
            break;
        Result *result = g_new0(Result, 1);
        result->point = got == LINE_POINT ? describe(&point) : NULL;
        result->error = error ? g_strdup(error->message) : NULL;
        result->code = error ? error->code : -1;
        result->line = line_reader_line(reader);
        result->raw = (gsize)(line_reader_raw(reader, &result->raw_length) - copy);
        assert_true(result->raw + result->raw_length <= length);
        g_ptr_array_add(results, result);
    }
    gsize length_at_end = 1;
    assert_int_equal(line_reader_next(reader, &point, NULL), LINE_END);
    assert_non_null(line_reader_raw(reader, &length_at_end));
    assert_int_equal(length_at_end, 0);
    free(copy);
    return results;
}

const Result *result_at(const GPtrArray *results, guint i)
{
    assert_in_range(i, 0, results->len - 1);
    return g_ptr_array_index(results, i);
}

void assert_point(const Result *result, const char *point)
{
    if (!result->point)
        fail_msg("%s", result->error);
    assert_string_equal(result->point, point);
}
