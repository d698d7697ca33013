/* SPDX-License-Identifier: Apache-2.0
 * The reader of line protocol: what it takes and as what, what it refuses and why, its rows and ceilings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "encode/line_reader.h"
#include "line_results.h"

#define TEXT(literal) literal, sizeof literal - 1

/* --- lines --- */

static const struct {
    const char *line;
    gsize length;
    const char *point;
} accepted[] = {
    {TEXT("m f=1"), "<m> : <f>=1.0"},
    {TEXT("m,t=v f=1 5"), "<m> <t>=<v> : <f>=1.0 @5"},
    {TEXT("m,b=2,a=1 z=1i,y=\"s\",x=t 5"), "<m> <b>=<2> <a>=<1> : <z>=1i <y>=\"s\" <x>=true @5"},
    {TEXT("m,f=1 f=1"), "<m> <f>=<1> : <f>=1.0"},
    {TEXT("m=x f=1"), "<m=x> : <f>=1.0"},
    {TEXT("m#_ f=1"), "<m#_> : <f>=1.0"},
    /* spaces */
    {TEXT("m  f=1   5"), "<m> : <f>=1.0 @5"},
    {TEXT("  m f=1 "), "<m> : <f>=1.0"},
    {TEXT("m f=1 5  "), "<m> : <f>=1.0 @5"},
    /* floats */
    {TEXT("m a=0,b=-0,c=1.,d=.5,e=-.5,f=007"), "<m> : <a>=0.0 <b>=-0.0 <c>=1.0 <d>=0.5 <e>=-0.5 <f>=7.0"},
    {TEXT("m a=1e5,b=1E5,c=1.e+2,d=-2.5e-3,e=1e-400"), "<m> : <a>=100000.0 <b>=100000.0 <c>=100.0 <d>=-0.0025 <e>=0.0"},
    {TEXT("m a=1.7976931348623157e308,b=4.9e-324"), "<m> : <a>=1.7976931348623157e+308 <b>=4.94065645841247e-324"},
    {TEXT("m a=9007199254740993,b=18446744073709551616"), "<m> : <a>=9007199254740992.0 <b>=1.8446744073709552e+19"},
    /* integers */
    {TEXT("m a=9223372036854775807i,b=-9223372036854775808i"),
     "<m> : <a>=9223372036854775807i <b>=-9223372036854775808i"},
    {TEXT("m a=0i,b=-0i,c=-12i,d=00000000000000000000007i"), "<m> : <a>=0i <b>=0i <c>=-12i <d>=7i"},
    {TEXT("m a=18446744073709551615u,b=0u"), "<m> : <a>=18446744073709551615u <b>=0u"},
    /* booleans */
    {TEXT("m a=t,b=T,c=true,d=True,e=TRUE"), "<m> : <a>=true <b>=true <c>=true <d>=true <e>=true"},
    {TEXT("m a=f,b=F,c=false,d=False,e=FALSE"), "<m> : <a>=false <b>=false <c>=false <d>=false <e>=false"},
    /* strings */
    {TEXT("m a=\"\",b=\"x\""), "<m> : <a>=\"\" <b>=\"x\""},
    {TEXT("m a=\"b c,d=e 5\" 6"), "<m> : <a>=\"b c,d=e 5\" @6"},
    {TEXT("m a=\"\\\"q\\\" \\\\ \\\\\\\\ \\n \\,\\=\\ \""), "<m> : <a>=\"\"q\" \\ \\\\ \\n \\,\\=\\ \""},
    {TEXT("m a=\"\\\\\",b=\"\\\\\\\"\""), "<m> : <a>=\"\\\" <b>=\"\\\"\""},
    {TEXT("m a=\"\t\x01\x7F\xC2\x85\r\""), "<m> : <a>=\"\t\x01\x7F\xC2\x85\r\""},
    {TEXT("m a=\"one\ntwo\r\n\n\" 5"), "<m> : <a>=\"one\ntwo\r\n\n\" @5"},
    /* escapes of names */
    {TEXT("a\\,b\\ c,d\\,e\\=f\\ g=h\\,i\\=j\\ k l\\,m\\=n\\ o=1"), "<a,b c> <d,e=f g>=<h,i=j k> : <l,m=n o>=1.0"},
    {TEXT("a\\=b\\c,d\\e=f\\g\\\\h \\i\\\"=1"), "<a\\=b\\c> <d\\e>=<f\\g\\\\h> : <\\i\\\">=1.0"},
    {TEXT("a\\\\,b\\\\\\ c,d=e\\\\=f\\\\\\,g h=1"), "<a\\,b\\\\ c> <d>=<e\\=f\\\\,g> : <h>=1.0"},
    {TEXT("\\ m,t=\\  \\,=1"), "< m> <t>=< > : <,>=1.0"},
    {TEXT("\"m\",\"t\"=\"v\" \"f\"=\"s\""), "<\"m\"> <\"t\">=<\"v\"> : <\"f\">=\"s\""},
    {TEXT("über,\xE8\xAA\x9E=😀 \xEF\xBF\xBF=1,\xF4\x8F\xBF\xBF=2"),
     "<über> <\xE8\xAA\x9E>=<😀> : <\xEF\xBF\xBF>=1.0 <\xF4\x8F\xBF\xBF>=2.0"},
    /* time */
    {TEXT("m f=1 9223372036854775807"), "<m> : <f>=1.0 @9223372036854775807"},
    {TEXT("m f=1 -9223372036854775808"), "<m> : <f>=1.0 @-9223372036854775808"},
    {TEXT("m f=1 -0"), "<m> : <f>=1.0 @0"},
};

static void test_accepted(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(accepted); i++) {
        g_autoptr(GPtrArray) results = read_all(accepted[i].line, accepted[i].length);
        assert_int_equal(results->len, 1);
        const Result *result = result_at(results, 0);
        assert_point(result, accepted[i].point);
        assert_int_equal(result->line, 1);
        assert_int_equal(result->raw_length, accepted[i].length);
    }
}

#define VALUE "a value: a number, true or false, or a string in double quotes"
#define INTEGER "an integer from -2^63 to 2^63-1"
#define UNSIGNED "an unsigned integer from 0 to 2^64-1"
#define SEPARATOR "a comma, a space or the end of the line"
#define CONTROL "no control character outside of a string"

static const struct {
    const char *line;
    gsize length;
    guint column;
    const char *expected;
} refused[] = {
    {TEXT("m"), 2, "fields"},
    {TEXT("m "), 3, "fields"},
    {TEXT("m,t=v"), 6, "fields"},
    {TEXT("m\\ f=1"), 7, "fields"},
    {TEXT(",t=v f=1"), 1, "a measurement"},
    {TEXT("  _m f=1"), 3, "a measurement that does not begin with _ (reserved)"},
    /* tags */
    {TEXT("m, f=1"), 3, "a tag key"},
    {TEXT("m,=v f=1"), 3, "a tag key"},
    {TEXT("m,,t=v f=1"), 3, "a tag key"},
    {TEXT("m,t f=1"), 4, "= and a tag value"},
    {TEXT("m,t,u=v f=1"), 4, "= and a tag value"},
    {TEXT("m,t"), 4, "= and a tag value"},
    {TEXT("m,t= f=1"), 5, "a tag value"},
    {TEXT("m,t=,u=v f=1"), 5, "a tag value"},
    {TEXT("m,t==v f=1"), 5, "a tag value"},
    {TEXT("m,t="), 5, "a tag value"},
    {TEXT("m,t=a=b f=1"), 6, "a comma or a space (= within a tag value is written \\=)"},
    {TEXT("m,a=1,b=2,a=1,b=3 f=1"), 11, "a tag key that did not stand before"},
    {TEXT("m,a\\=b=1,a\\=b=2 f=1"), 10, "a tag key that did not stand before"},
    /* fields */
    {TEXT("m =1"), 3, "a field key"},
    {TEXT("m f=1,"), 7, "a field key"},
    {TEXT("m f=1,,g=2"), 7, "a field key"},
    {TEXT("m f=1, g=2"), 7, "a field key"},
    {TEXT("m f"), 4, "= and a value"},
    {TEXT("m f,g=1"), 4, "= and a value"},
    {TEXT("m f 5"), 4, "= and a value"},
    {TEXT("m f\\=1"), 7, "= and a value"},
    {TEXT("m f="), 5, VALUE},
    {TEXT("m f= 5"), 5, VALUE},
    {TEXT("m f=,g=1"), 5, VALUE},
    {TEXT("m f==1"), 5, VALUE},
    {TEXT("m g=2,f=1,g=2i"), 11, "a field key that did not stand before"},
    {TEXT("m f=1,f=2,f=3"), 7, "a field key that did not stand before"},
    /* words that are no value */
    {TEXT("m f=abc"), 5, VALUE},
    {TEXT("m f=tRUE"), 5, VALUE},
    {TEXT("m f=truefalse"), 5, VALUE},
    {TEXT("m f=nan"), 5, VALUE},
    {TEXT("m f=NaN"), 5, VALUE},
    {TEXT("m f=Inf"), 5, VALUE},
    {TEXT("m f=+1"), 5, VALUE},
    {TEXT("m f='s'"), 5, VALUE},
    /* numbers */
    {TEXT("m f=-"), 6, "the digits of a number"},
    {TEXT("m f=-inf"), 6, "the digits of a number"},
    {TEXT("m f=."), 6, "the digits of a number"},
    {TEXT("m f=-.e1"), 7, "the digits of a number"},
    {TEXT("m f=-i"), 6, "the digits of a number"},
    {TEXT("m f=1e"), 7, "the digits of an exponent"},
    {TEXT("m f=1e+,g=2"), 8, "the digits of an exponent"},
    {TEXT("m f=1e400"), 5, "a number within the range of a float"},
    {TEXT("m f=-1e400"), 5, "a number within the range of a float"},
    {TEXT("m f=1.2.3"), 8, SEPARATOR},
    {TEXT("m f=0x10"), 6, SEPARATOR},
    {TEXT("m f=1d"), 6, SEPARATOR},
    {TEXT("m f=1e5i"), 8, SEPARATOR},
    {TEXT("m f=1.5i"), 8, SEPARATOR},
    {TEXT("m f=1i2"), 7, SEPARATOR},
    {TEXT("m f=-u"), 6, "the digits of a number"},
    {TEXT("m f=9223372036854775808i"), 5, INTEGER},
    {TEXT("m f=-9223372036854775809i"), 5, INTEGER},
    {TEXT("m f=18446744073709551617i"), 5, INTEGER},
    {TEXT("m f=18446744073709551616u"), 5, UNSIGNED},
    {TEXT("m f=-1u"), 5, UNSIGNED},
    /* strings */
    {TEXT("m f=\""), 5, "a closing \" for this one"},
    {TEXT("m g=1,f=\"abc\\\" 5"), 9, "a closing \" for this one"},
    {TEXT("m f=\"\\"), 5, "a closing \" for this one"},
    {TEXT("m f=\"a\"b"), 8, SEPARATOR},
    {TEXT("m f=\"a\"\"b\""), 8, SEPARATOR},
    {TEXT("m f=\"\\\\\"\""), 9, SEPARATOR},
    /* characters */
    {TEXT("m f=\"a\0b\""), 7, "no NUL"},
    {TEXT("m,t=a\0b f=1"), 6, "no NUL"},
    {TEXT("m f=\"a\xFF\""), 7, "valid UTF-8"},
    {TEXT("m,t=\xC3 f=1"), 5, "valid UTF-8"},
    {TEXT("m f\xE2\x82"), 4, "valid UTF-8"},
    {TEXT("m\xC0\xAF f=1"), 2, "valid UTF-8"},
    {TEXT("m\xED\xA0\x80 f=1"), 2, "valid UTF-8"},
    {TEXT("m\xF4\x90\x80\x80 f=1"), 2, "valid UTF-8"},
    {TEXT("\tm f=1"), 1, CONTROL},
    {TEXT("m\tf=1"), 2, CONTROL},
    {TEXT("m,t=a\rb f=1"), 6, CONTROL},
    {TEXT("m,t\x7F=a f=1"), 4, CONTROL},
    {TEXT("m f\xC2\x85=1"), 4, CONTROL},
    {TEXT("m f=1\r "), 6, SEPARATOR},
    {TEXT("m f=1\t"), 6, SEPARATOR},
    /* time and what is behind */
    {TEXT("m f=1 5.0"), 8, "the end of the line"},
    {TEXT("m f=1 5i"), 8, "the end of the line"},
    {TEXT("m f=1 5 6"), 9, "the end of the line"},
    {TEXT("m f=1 5,g=2"), 8, "the end of the line"},
    {TEXT("m f=1 +5"), 7, "a time stamp: " INTEGER},
    {TEXT("m f=1 -"), 7, "a time stamp: " INTEGER},
    {TEXT("m f=1,time=2i 5"), 7, "another name than time, which is the time stamp's"},
    {TEXT("m,time=x f=1 5"), 3, "another name than time, which is the time stamp's"},
    {TEXT("m f=1 now"), 7, "a time stamp: " INTEGER},
    {TEXT("m f=1 g=2"), 7, "a time stamp: " INTEGER},
    {TEXT("m f=1 9223372036854775808"), 7, "a time stamp: " INTEGER},
    {TEXT("m f=1 99999999999999999999999"), 7, "a time stamp: " INTEGER},
};

/* Between two good lines, which are read, and alone. */
static void test_refused(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        for (guint before = 0; before < 2; before++) {
            g_autoptr(GString) text = g_string_new(before ? "before f=1 1\n" : "");
            g_string_append_len(text, refused[i].line, (gssize)refused[i].length);
            g_string_append(text, before ? "\nafter f=1 2" : "");
            g_autoptr(GPtrArray) results = read_all(text->str, text->len);
            g_autofree char *message =
                g_strdup_printf("line %u, column %u: expected %s", before + 1, refused[i].column, refused[i].expected);
            assert_int_equal(results->len, before ? 3 : 1);
            const Result *result = result_at(results, before);
            if (g_strcmp0(result->error, message) != 0)
                fail_msg("%s\ngives %s\nnot   %s", refused[i].line, result->error ? result->error : result->point,
                         message);
            assert_int_equal(result->code, LINE_ERROR_SYNTAX);
            assert_int_equal(result->line, before + 1);
            assert_int_equal(result->raw_length, refused[i].length);
            if (before) {
                assert_point(result_at(results, 0), "<before> : <f>=1.0 @1");
                assert_point(result_at(results, 2), "<after> : <f>=1.0 @2");
            }
        }
    }
}

/* --- rows --- */

static const struct {
    const char *text;
    gsize length;
    const char *results; /* number, the line as it stands, what it is; a line each */
} texts[] = {
    {TEXT(""), ""},
    {TEXT("\n"), ""},
    {TEXT("\n\r\n   \n  \r\n"), ""},
    {TEXT("# m f=1\n#\n  # \"\xFF\0\n#"), ""},
    {TEXT("m f=1"), "1 |m f=1| <m> : <f>=1.0\n"},
    {TEXT("m f=1\n"), "1 |m f=1| <m> : <f>=1.0\n"},
    {TEXT("m f=1\r\n"), "1 |m f=1| <m> : <f>=1.0\n"},
    {TEXT("m f=1\r"), "1 |m f=1\r| line 1, column 6: expected " SEPARATOR "\n"},
    {TEXT("m f=1\r\r\n"), "1 |m f=1\r| line 1, column 6: expected " SEPARATOR "\n"},
    {TEXT("m f=1 5\r\nm f=\"x\"\r\n  m f=t  \r\n\r\nm f=2 5"),
     "1 |m f=1 5| <m> : <f>=1.0 @5\n2 |m f=\"x\"| <m> : <f>=\"x\"\n3 |  m f=t  | <m> : <f>=true\n"
     "5 |m f=2 5| <m> : <f>=2.0 @5\n"},
    {TEXT("# one\n\nm f=1\n#\nm f\nm f=2\n"),
     "3 |m f=1| <m> : <f>=1.0\n5 |m f| line 5, column 4: expected = and a value\n6 |m f=2| <m> : <f>=2.0\n"},
    /* strings of several rows */
    {TEXT("m f=\"a\nb\r\n\",g=\"\n\"\r\nn f=1"),
     "1 |m f=\"a\nb\r\n\",g=\"\n\"| <m> : <f>=\"a\nb\r\n\" <g>=\"\n\"\n5 |n f=1| <n> : <f>=1.0\n"},
    {TEXT("m f=\"a\n# b\n\nn f=1\n\" 5\nn f=2"),
     "1 |m f=\"a\n# b\n\nn f=1\n\" 5| <m> : <f>=\"a\n# b\n\nn f=1\n\" @5\n6 |n f=2| <n> : <f>=2.0\n"},
    /* quotes left open */
    {TEXT("m f=\"a\nn f=1\nn f=2"), "1 |m f=\"a| line 1, column 5: expected a closing \" for this one\n"
                                    "2 |n f=1| <n> : <f>=1.0\n3 |n f=2| <n> : <f>=2.0\n"},
    {TEXT("m f=\"a\r\nn f=1,g=\"b\"\r\nn f=2"),
     "1 |m f=\"a| line 1, column 5: expected a closing \" on this line, or line 2, column 10: expected " SEPARATOR "\n"
     "2 |n f=1,g=\"b\"| <n> : <f>=1.0 <g>=\"b\"\n3 |n f=2| <n> : <f>=2.0\n"},
    {TEXT("m f=1,f=\"a\nn g=\",h=\"b\nc"), "1 |m f=1,f=\"a| line 1, column 9: expected a closing \" on this line, or "
                                           "line 2, column 9: expected a closing \" for this one\n"
                                           "2 |n g=\",h=\"b| line 2, column 10: expected " SEPARATOR "\n"
                                           "3 |c| line 3, column 2: expected fields\n"},
    {TEXT("m f=1,f=\"a\n\",g=1\nn f=1"), "1 |m f=1,f=\"a| line 1, column 9: expected a closing \" on this line, or "
                                         "line 1, column 7: expected a field key that did not stand before\n"
                                         "2 |\",g=1| line 2, column 6: expected fields\n3 |n f=1| <n> : <f>=1.0\n"},
    {TEXT("m f=\"a\nb\xFF\"\nn f=1"),
     "1 |m f=\"a| line 1, column 5: expected a closing \" on this line, or line 2, column 2: expected valid UTF-8\n"
     "2 |b\xFF\"| line 2, column 2: expected valid UTF-8\n3 |n f=1| <n> : <f>=1.0\n"},
};

static void test_rows(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GPtrArray) results = read_all(texts[i].text, texts[i].length);
        g_autoptr(GString) got = g_string_new(NULL);
        for (guint k = 0; k < results->len; k++) {
            const Result *result = result_at(results, k);
            g_string_append_printf(got, "%u |", result->line);
            g_string_append_len(got, texts[i].text + result->raw, (gssize)result->raw_length);
            g_string_append_printf(got, "| %s\n", result->point ? result->point : result->error);
        }
        assert_string_equal(got->str, texts[i].results);
    }
}

static void test_reads_no_further_than_told(void **state)
{
    (void)state;
    static const char text[] = "m ü=12i 345"; /* each of its beginnings is followed by what would make sense */
    for (gsize length = 0; length < sizeof text; length++) {
        g_autoptr(LineReader) reader = line_reader_new(length > 0 ? text : NULL, length);
        g_autoptr(GError) error = NULL;
        LinePoint point;
        gsize raw_length;
        assert_non_null(line_reader_raw(reader, &raw_length));
        LineResult result = line_reader_next(reader, &point, &error);
        assert_int_equal(result, length == 0 ? LINE_END : length < strlen("m ü=1") ? LINE_BAD : LINE_POINT);
        if (length == 3)
            assert_string_equal(error->message, "line 1, column 3: expected valid UTF-8");
        if (result == LINE_POINT)
            assert_int_equal(point.time, length == sizeof text - 1 ? 345 : length == 11 ? 34 : length == 10 ? 3 : 0);
    }
}

static void test_a_point_is_set_on_success_alone(void **state)
{
    (void)state;
    const char text[] = "m,t=v f=1 5\nm,t=v f=1 6 7\n";
    g_autoptr(LineReader) reader = line_reader_new(TEXT(text));
    LinePoint point, before;
    assert_int_equal(line_reader_next(reader, &point, NULL), LINE_POINT);
    memcpy(&before, &point, sizeof point);
    assert_int_equal(line_reader_next(reader, &point, NULL), LINE_BAD);
    assert_memory_equal(&before, &point, sizeof point);
}

/* --- ceilings --- */

static void append_filler(GString *out, char c, gsize n)
{
    gsize before = out->len;
    g_string_set_size(out, before + n);
    memset(out->str + before, c, n);
}

/* One line, and whether it is taken; another one behind it always is. */
static void check_ceiling(const GString *line, const char *error)
{
    g_autoptr(GString) text = g_string_new_len(line->str, (gssize)line->len);
    g_string_append(text, "\nafter f=1");
    g_autoptr(GPtrArray) results = read_all(text->str, text->len);
    assert_int_equal(results->len, 2);
    const Result *result = result_at(results, 0);
    if (error) {
        assert_non_null(result->error);
        assert_string_equal(result->error, error);
        assert_int_equal(result->code, LINE_ERROR_LIMIT);
    } else if (!result->point) {
        fail_msg("%s", result->error);
    }
    assert_point(result_at(results, 1), "<after> : <f>=1.0");
}

static void test_number_of_tags_and_fields(void **state)
{
    (void)state;
    for (guint over = 0; over < 2; over++) {
        g_autoptr(GString) tags = g_string_new("m"), fields = g_string_new("m ");
        for (guint i = 0; i < LINE_MAX_TAGS + over; i++)
            g_string_append_printf(tags, ",t%03u=v", i);
        g_string_append(tags, " f=1");
        for (guint i = 0; i < LINE_MAX_FIELDS + over; i++)
            g_string_append_printf(fields, "%sf%04u=%ui", i > 0 ? "," : "", i * 1237 % (LINE_MAX_FIELDS + over), i);
        check_ceiling(tags, over ? "line 1, column 1795: expected at most 256 tags" : NULL);
        check_ceiling(fields, over ? "line 1, column 48045: expected at most 4096 fields" : NULL);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    for (guint over = 0; over < 2; over++) {
        g_autoptr(GString) string = g_string_new("m f=\""), escaped = g_string_new("m f=\"");
        append_filler(string, 'x', LINE_MAX_STRING + over);
        append_filler(escaped, '\\', 2 * (LINE_MAX_STRING + over));
        g_string_append(string, "\"");
        g_string_append(escaped, "\"");
        check_ceiling(string, over ? "line 1, column 5: expected a string of at most 65536 bytes" : NULL);
        check_ceiling(escaped, over ? "line 1, column 5: expected a string of at most 65536 bytes" : NULL);

        g_autoptr(GString) tag = g_string_new("m,t="), field = g_string_new("m,t=v ");
        append_filler(tag, 'x', LINE_MAX_KEY - 5 + over);
        g_string_append(tag, " f=1");
        append_filler(field, 'x', LINE_MAX_KEY - 5 + over);
        g_string_append(field, "=1");
        check_ceiling(
            tag, over ? "line 1, column 65533: expected measurement, tags and field key of at most 65531 bytes" : NULL);
        check_ceiling(field, over ? "line 1, column 7: expected measurement, tags and field key of at most 65531 bytes"
                                  : NULL);
    }
}

/* Full of strings, in one row and in many. */
static void test_length_of_a_line(void **state)
{
    (void)state;
    for (guint rows = 0; rows < 2; rows++) {
        for (guint over = 0; over < 2; over++) {
            g_autoptr(GString) line = g_string_new("m ");
            for (guint i = 0; i < 20; i++) {
                g_string_append_printf(line, "%sf%02u=\"", i > 0 ? "," : "", i);
                append_filler(line, rows ? '\n' : ' ', 50000);
                g_string_append(line, "\"");
            }
            append_filler(line, ' ', LINE_MAX_BYTES + over - line->len);
            if (rows && over) { /* each of its rows is one of those that are passed over */
                g_autoptr(GPtrArray) results = read_all(line->str, line->len);
                assert_string_equal(result_at(results, 0)->error,
                                    "line 1, column 7: expected a closing \" on this line, or line 1000001, column 2: "
                                    "expected a line of at most 1048576 bytes");
                assert_int_equal(result_at(results, 0)->code, LINE_ERROR_LIMIT);
            } else {
                check_ceiling(line, over ? "line 1, column 1048577: expected a line of at most 1048576 bytes" : NULL);
            }
        }
    }
}

/* No quote comes in many lines, each of which is short. */
static void test_an_open_quote_in_a_long_text(void **state)
{
    (void)state;
    g_autoptr(GString) text = g_string_new("m f=\"\n");
    while (text->len < 3 * LINE_MAX_BYTES)
        g_string_append(text, "# comment\n");
    g_autoptr(GPtrArray) results = read_all(text->str, text->len);
    assert_int_equal(results->len, 1);
    assert_string_equal(result_at(results, 0)->error, "line 1, column 5: expected a closing \" for this one");
}

/* Among as many as there may be, wherever the two stand: the second one is named. */
static void test_a_key_twice_among_many(void **state)
{
    (void)state;
    static const guint places[][2] = {{0, 1}, {0, 4095}, {4094, 4095}, {17, 2048}, {2048, 2049}};
    for (guint p = 0; p < G_N_ELEMENTS(places); p++) {
        g_autoptr(GString) line = g_string_new("m ");
        for (guint i = 0; i < LINE_MAX_FIELDS; i++)
            g_string_append_printf(line, "key%05u=1,", i == places[p][1] ? places[p][0] : i);
        g_string_truncate(line, line->len - 1);
        g_autoptr(GPtrArray) results = read_all(line->str, line->len);
        g_autofree char *error =
            g_strdup_printf("line 1, column %u: expected a field key that did not stand before", 3 + 11 * places[p][1]);
        assert_string_equal(result_at(results, 0)->error, error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_reads_no_further_than_told),
        cmocka_unit_test(test_a_point_is_set_on_success_alone),
        cmocka_unit_test(test_number_of_tags_and_fields),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_length_of_a_line),
        cmocka_unit_test(test_an_open_quote_in_a_long_text),
        cmocka_unit_test(test_a_key_twice_among_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
