/* SPDX-License-Identifier: Apache-2.0
 * line_reader: whatever comes, it does not crash; each line is told of once, with an error where it is refused; points
 * it takes, written again, are read as the same; and a good line at the end is always read. */
#include "encode/line_reader.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- writing again: nothing of line_protocol.c --- */

static void write_escaped(GString *out, const char *text, const char *escaped)
{
    for (; *text; text++) {
        if (strchr(escaped, *text))
            g_string_append_c(out, '\\');
        g_string_append_c(out, *text);
    }
}

static void write_value(GString *out, const LineField *field)
{
    char digits[G_ASCII_DTOSTR_BUF_SIZE];
    switch (field->type) {
    case FIELD_FLOAT:
        g_assert_true(isfinite(field->value.f));
        g_string_append(out, g_ascii_formatd(digits, sizeof digits, "%.17g", field->value.f));
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
        g_assert_cmpuint(strlen(field->value.s), ==, field->length);
        g_assert_cmpuint(field->length, <=, LINE_MAX_STRING);
        g_string_append_c(out, '"');
        write_escaped(out, field->value.s, "\"\\");
        g_string_append_c(out, '"');
        break;
    default:
        g_assert_not_reached();
    }
}

static void write_point(GString *out, const LinePoint *point)
{
    write_escaped(out, point->measurement, ", ");
    for (guint i = 0; i < point->n_tags; i++) {
        g_string_append_c(out, ',');
        write_escaped(out, point->tags[i].key, ",= ");
        g_string_append_c(out, '=');
        write_escaped(out, point->tags[i].value, ",= ");
    }
    for (guint i = 0; i < point->n_fields; i++) {
        g_string_append_c(out, i == 0 ? ' ' : ',');
        write_escaped(out, point->fields[i].key, ",= ");
        g_string_append_c(out, '=');
        write_value(out, &point->fields[i]);
    }
    if (point->has_time)
        g_string_append_printf(out, " %" G_GINT64_FORMAT, point->time);
    g_string_append_c(out, '\n');
}

/* --- comparing --- */

static void compare_fields(const LineField *a, const LineField *b)
{
    g_assert_cmpstr(a->key, ==, b->key);
    g_assert_cmpint(a->type, ==, b->type);
    g_assert_cmpuint(a->length, ==, b->length);
    switch (a->type) {
    case FIELD_BOOLEAN:
        g_assert_cmpint(a->value.b, ==, b->value.b);
        break;
    case FIELD_STRING:
        g_assert_cmpstr(a->value.s, ==, b->value.s);
        break;
    case FIELD_FLOAT:
        g_assert_true(a->value.f == b->value.f && !signbit(a->value.f) == !signbit(b->value.f));
        break;
    case FIELD_INTEGER:
        g_assert_cmpint(a->value.i, ==, b->value.i);
        break;
    default:
        g_assert_cmpuint(a->value.u, ==, b->value.u);
    }
}

static void compare_points(const LinePoint *a, const LinePoint *b)
{
    g_assert_cmpstr(a->measurement, ==, b->measurement);
    g_assert_cmpuint(a->n_tags, ==, b->n_tags);
    g_assert_cmpuint(a->n_fields, ==, b->n_fields);
    g_assert_cmpuint(a->n_fields, >, 0);
    for (guint i = 0; i < a->n_tags; i++) {
        g_assert_cmpstr(a->tags[i].key, ==, b->tags[i].key);
        g_assert_cmpstr(a->tags[i].value, ==, b->tags[i].value);
        g_assert_cmpuint(strlen(a->tags[i].value), >, 0);
    }
    for (guint i = 0; i < a->n_fields; i++)
        compare_fields(&a->fields[i], &b->fields[i]);
    g_assert_cmpint(a->has_time, ==, b->has_time);
    g_assert_cmpint(a->time, ==, b->time);
}

/* `written` holds the points of `text`, one after another. */
static void check_written(const char *text, gsize length, const GString *written)
{
    g_autoptr(LineReader) before = line_reader_new(text, length);
    g_autoptr(LineReader) after = line_reader_new(written->str, written->len);
    for (;;) {
        g_autoptr(GError) error = NULL;
        LinePoint a, b;
        LineResult result;
        do
            result = line_reader_next(before, &a, NULL);
        while (result == LINE_BAD);
        LineResult again = line_reader_next(after, &b, &error);
        g_assert_no_error(error);
        g_assert_cmpint(again, ==, result);
        if (result == LINE_END)
            break;
        compare_points(&a, &b);
    }
}

/* --- */

static void check_error(const LineReader *reader, const GError *error)
{
    g_autofree char *begin = g_strdup_printf("line %u, column ", line_reader_line(reader));
    g_assert_true(error && error->domain == LINE_ERROR && g_str_has_prefix(error->message, begin));
    g_assert_nonnull(strstr(error->message, ": expected "));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char last[] = "\nlast f=1i 83";
    gsize length = size + sizeof last - 1;
    g_autofree char *text = g_malloc(length); /* of exactly its size */
    if (size > 0)
        memcpy(text, data, size);
    memcpy(text + size, last, sizeof last - 1);

    g_autoptr(LineReader) reader = line_reader_new(text, length);
    const char *behind = text; /* the results before */
    g_autoptr(GString) written = g_string_new(NULL);
    bool last_is_good = false;
    for (;;) {
        g_autoptr(GError) error = NULL;
        LinePoint point;
        LineResult result = line_reader_next(reader, &point, &error);
        gsize raw_length;
        const char *raw = line_reader_raw(reader, &raw_length);
        g_assert_true(raw >= behind && raw + raw_length <= text + length);
        g_assert_true(raw == text || raw == text + length || raw[-1] == '\n');
        if (result == LINE_END)
            break;
        behind = raw + raw_length;
        if (result == LINE_BAD)
            check_error(reader, error);
        else
            write_point(written, &point);
        last_is_good = result == LINE_POINT && point.n_tags == 0 && point.time == 83;
    }
    g_assert_true(last_is_good);
    check_written(text, length, written);
    return 0;
}
