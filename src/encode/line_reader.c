/* SPDX-License-Identifier: Apache-2.0
 * The reader of line protocol: see line_reader.h. All that other machines send goes through it, so it reuses its room
 * from line to line, and no text costs more than its length. */
#include "encode/line_reader.h"

#include "encode/line_number.h"

#include <stdlib.h>
#include <string.h>

#define FILTER_LOG2 14                                   /* of its bits */
#define FIBONACCI G_GUINT64_CONSTANT(0x9E3779B97F4A7C15) /* spreads what is multiplied by it over the upper bits */
#define VALUE "a value: a number, true or false, or a string in double quotes"

G_DEFINE_QUARK(line - error, line_error)

/* A key of the line at hand. */
typedef struct {
    const char *text;
    gsize length;
    const char *at; /* where it stands */
} Name;

/* A row ends at a newline. A line is one row; or several, where strings run over newlines. */
struct LineReader {
    const char *next, *end; /* what is still to be read */
    guint next_line;

    const char *raw, *raw_end; /* the line of the last result */
    guint line;

    const char *at, *stop;  /* what is still to be read of that line, without its newline */
    const char *open_quote; /* of the first string that ran over a newline; NULL: none did */

    char *arena, *free; /* unescaped texts of that line: never longer than it is, so they never move */
    Name names[LINE_MAX_FIELDS];
    LineTag tags[LINE_MAX_TAGS];
    LineField fields[LINE_MAX_FIELDS];
};

LineReader *line_reader_new(const char *text, gsize length)
{
    LineReader *r = g_new(LineReader, 1);
    memset(r, 0, offsetof(LineReader, names));              /* the tables behind are written before they are read */
    r->next = r->raw = r->raw_end = length > 0 ? text : ""; /* so text may be NULL */
    r->end = r->next + length;
    r->next_line = 1;
    /* Each text has a separator behind it, which makes room for its NUL; the last one may have the end of the line. */
    r->arena = g_malloc(MIN(length, LINE_MAX_BYTES) + 1);
    return r;
}

void line_reader_free(LineReader *reader)
{
    if (!reader)
        return;
    g_free(reader->arena);
    g_free(reader);
}

guint line_reader_line(const LineReader *reader)
{
    return reader->line;
}

const char *line_reader_raw(const LineReader *reader, gsize *ret_length)
{
    *ret_length = (gsize)(reader->raw_end - reader->raw);
    return reader->raw;
}

/* The row in which `at` stands, and its number. */
static const char *find_row(const LineReader *r, const char *at, guint *ret_number)
{
    const char *row = r->raw, *newline;
    for (*ret_number = r->line; (newline = memchr(row, '\n', (gsize)(at - row))); (*ret_number)++)
        row = newline + 1;
    return row;
}

static bool refuse(const LineReader *r, const char *at, LineErrorCode code, const char *expected, GError **error)
{
    guint number;
    const char *row = find_row(r, at, &number);
    g_set_error(error, LINE_ERROR, code, "line %u, column %" G_GSIZE_FORMAT ": expected %s", number,
                (gsize)(at - row) + 1, expected);
    return false;
}

static bool refuse_here(const LineReader *r, const char *expected, GError **error)
{
    return refuse(r, r->at, LINE_ERROR_SYNTAX, expected, error);
}

static bool is_at(const LineReader *r, char c)
{
    return r->at < r->stop && *r->at == c;
}

static void skip_spaces(LineReader *r)
{
    while (is_at(r, ' '))
        r->at++;
}

/* --- texts --- */

typedef enum { IN_MEASUREMENT = 1, IN_KEY = 2, IN_STRING = 4, IN_NAME = 3, ANYWHERE = 7 } Place;

/* Where a byte is more than itself: it ends the text there, escapes, or has to be looked at. */
static const guint8 special[256] = {
    [0] = ANYWHERE,    [1 ... '\n' - 1] = IN_NAME, ['\n'] = ANYWHERE,         ['\n' + 1 ... 0x1F] = IN_NAME,
    [' '] = IN_NAME,   ['"'] = IN_STRING,          [','] = IN_NAME,           ['='] = IN_KEY,
    ['\\'] = ANYWHERE, [0x7F] = IN_NAME,           [0x80 ... 0xFF] = ANYWHERE};

static bool is_escapable(char c, Place place)
{
    return place == IN_STRING ? c == '"' || c == '\\' : c == ',' || c == ' ' || (c == '=' && place == IN_KEY);
}

/* Passes over a character that is not printable ASCII. */
static bool pass_unusual(LineReader *r, Place place, const char *end, GError **error)
{
    guchar byte = (guchar)*r->at;
    gunichar c = byte < 0x80 ? byte : g_utf8_get_char_validated(r->at, end - r->at);
    if (c == 0)
        return refuse_here(r, "no NUL", error);
    if (c == (gunichar)-1 || c == (gunichar)-2)
        return refuse_here(r, "valid UTF-8", error);
    if (place != IN_STRING && (c < 0x20 || (c >= 0x7F && c < 0xA0)))
        return refuse_here(r, "no control character outside of a string", error);
    r->at += g_utf8_skip[byte];
    return true;
}

static void keep(LineReader *r, const char *from, const char *to)
{
    memcpy(r->free, from, (gsize)(to - from));
    r->free += to - from;
}

/* The text up to what ends it there, or to `end`; unescaped. NULL: refused. */
static const char *take_text(LineReader *r, Place place, const char *end, GError **error)
{
    const char *text = r->free, *kept = r->at;
    for (;;) {
        const char *at = r->at;
        while (at < end && !(special[(guchar)*at] & place))
            at++;
        r->at = at;
        if (at == end)
            break;
        guchar c = (guchar)*at;
        if (c == '\\') {
            if (end - at > 1 && is_escapable(at[1], place)) {
                keep(r, kept, at);
                kept = ++r->at;
            }
            r->at++;
        } else if (c >= 0x20 && c < 0x7F) {
            break;
        } else if (!pass_unusual(r, place, end, error)) {
            return NULL;
        }
    }
    keep(r, kept, r->at);
    *r->free++ = '\0';
    return text;
}

static gsize length_of_last(const LineReader *r, const char *text)
{
    return (gsize)(r->free - text) - 1;
}

/* A key with the = behind it. */
static bool take_key(LineReader *r, Name *ret_name, const char *a_key, const char *the_rest, GError **error)
{
    ret_name->at = r->at;
    ret_name->text = take_text(r, IN_KEY, r->stop, error);
    if (!ret_name->text)
        return false;
    ret_name->length = length_of_last(r, ret_name->text);
    if (ret_name->length == 0)
        return refuse_here(r, a_key, error);
    if (!is_at(r, '='))
        return refuse_here(r, the_rest, error);
    r->at++;
    return (ret_name->length == 4 && memcmp(ret_name->text, "time", 4) == 0)
               ? refuse(r, ret_name->at, LINE_ERROR_SYNTAX, "another name than time, which is the time stamp's", error)
               : true;
}

static int compare_names(const void *left, const void *right)
{
    const Name *a = left, *b = right;
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    int order = memcmp(a->text, b->text, a->length);
    return order != 0 ? order : (a->at > b->at) - (a->at < b->at);
}

/* Of its length, its first and its last eight bytes: enough to tell names apart that are not made to collide. */
static guint64 hash_ends(const Name *name)
{
    guint64 first = 0, last = 0;
    gsize n = MIN(name->length, sizeof first);
    memcpy(&first, name->text, n);
    memcpy(&last, name->text + name->length - n, n);
    return (first * FIBONACCI ^ last) + name->length;
}

/* false: no two of them are the same; true: it may be. Few enough names nearly always have bits of their own. */
static bool may_repeat(const Name *names, guint n)
{
    guint64 seen[(1 << FILTER_LOG2) / 64] = {0};
    for (guint i = 0; i < n; i++) {
        guint bit = (guint)(hash_ends(&names[i]) * FIBONACCI >> (64 - FILTER_LOG2));
        if (seen[bit / 64] >> bit % 64 & 1)
            return true;
        seen[bit / 64] |= G_GUINT64_CONSTANT(1) << bit % 64;
    }
    return false;
}

/* Where the first name stands that stood before; NULL: nowhere. Sorting has no bad case, as a hash table would have
 * for a sender who knows the function. The order of the names is lost. */
static const char *find_repeated(Name *names, guint n)
{
    const char *repeated = NULL;
    if (!may_repeat(names, n))
        return NULL;
    qsort(names, n, sizeof *names, compare_names);
    for (guint i = 1; i < n; i++) {
        const Name *a = &names[i - 1], *b = &names[i];
        if (a->length == b->length && memcmp(a->text, b->text, a->length) == 0 && (!repeated || b->at < repeated))
            repeated = b->at;
    }
    return repeated;
}

/* --- values --- */

static bool read_number(LineReader *r, LineField *field, GError **error)
{
    const char *expected = line_number_read(&r->at, r->stop, r->free, field);
    return !expected || refuse_here(r, expected, error);
}

static bool read_boolean(LineReader *r, LineField *field, GError **error)
{
    static const char *const words[] = {"f", "F", "false", "False", "FALSE", "t", "T", "true", "True", "TRUE"};
    gsize length = 0, left = (gsize)(r->stop - r->at);
    while (length < left && r->at[length] != ',' && r->at[length] != ' ')
        length++;
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strlen(words[i]) != length || memcmp(words[i], r->at, length) != 0)
            continue;
        r->at += length;
        field->type = FIELD_BOOLEAN;
        field->value.b = i >= G_N_ELEMENTS(words) / 2;
        return true;
    }
    return refuse_here(r, VALUE, error);
}

/* Ends the row in which `from` stands. */
static void find_stop(LineReader *r, const char *from)
{
    const char *newline = memchr(from, '\n', (gsize)(r->end - from));
    r->stop = newline ? newline : r->end;
    r->next = newline ? newline + 1 : r->end;
    if (newline && newline > from && newline[-1] == '\r')
        r->stop--;
}

static bool read_string(LineReader *r, LineField *field, GError **error)
{
    const char *quote = r->at++, *end = r->raw + MIN(r->end - r->raw, LINE_MAX_BYTES);
    field->type = FIELD_STRING;
    field->value.s = take_text(r, IN_STRING, end, error);
    if (r->at == end)
        return refuse(r, quote, LINE_ERROR_SYNTAX, "a closing \" for this one", error);
    bool crossed = r->at > r->stop;
    if (crossed && !r->open_quote)
        r->open_quote = quote;
    if (!field->value.s)
        return false;
    field->length = length_of_last(r, field->value.s);
    if (field->length > LINE_MAX_STRING)
        return refuse(r, quote, LINE_ERROR_LIMIT, "a string of at most " G_STRINGIFY(LINE_MAX_STRING) " bytes", error);
    r->at++;
    if (crossed)
        find_stop(r, r->at);
    return r->stop - r->raw <= LINE_MAX_BYTES ||
           refuse(r, r->at, LINE_ERROR_LIMIT, "a line of at most " G_STRINGIFY(LINE_MAX_BYTES) " bytes", error);
}

static bool read_value(LineReader *r, LineField *field, GError **error)
{
    if (r->at == r->stop)
        return refuse_here(r, VALUE, error);
    if (*r->at == '"')
        return read_string(r, field, error);
    if (*r->at == '-' || *r->at == '.' || g_ascii_isdigit(*r->at))
        return read_number(r, field, error);
    return read_boolean(r, field, error);
}

/* --- lines --- */

static bool read_tag(LineReader *r, LinePoint *point, GError **error)
{
    if (point->n_tags == LINE_MAX_TAGS)
        return refuse(r, r->at, LINE_ERROR_LIMIT, "at most " G_STRINGIFY(LINE_MAX_TAGS) " tags", error);
    Name *name = &r->names[point->n_tags];
    LineTag *tag = &r->tags[point->n_tags++];
    if (!take_key(r, name, "a tag key", "= and a tag value", error))
        return false;
    tag->key = name->text;
    tag->value = take_text(r, IN_KEY, r->stop, error);
    if (!tag->value)
        return false;
    if (length_of_last(r, tag->value) == 0)
        return refuse_here(r, "a tag value", error);
    return !is_at(r, '=') || refuse_here(r, "a comma or a space (= within a tag value is written \\=)", error);
}

static bool read_tags(LineReader *r, LinePoint *point, GError **error)
{
    while (is_at(r, ',')) {
        r->at++;
        if (!read_tag(r, point, error))
            return false;
    }
    const char *repeated = find_repeated(r->names, point->n_tags);
    return !repeated || refuse(r, repeated, LINE_ERROR_SYNTAX, "a tag key that did not stand before", error);
}

static bool read_field(LineReader *r, LinePoint *point, gsize series_length, GError **error)
{
    if (point->n_fields == LINE_MAX_FIELDS)
        return refuse(r, r->at, LINE_ERROR_LIMIT, "at most " G_STRINGIFY(LINE_MAX_FIELDS) " fields", error);
    Name *name = &r->names[point->n_fields];
    LineField *field = &r->fields[point->n_fields++];
    if (!take_key(r, name, "a field key", "= and a value", error))
        return false;
    if (series_length + (gsize)(r->at - name->at) - 1 > LINE_MAX_KEY)
        return refuse(r, name->at, LINE_ERROR_LIMIT,
                      "measurement, tags and field key of at most " G_STRINGIFY(LINE_MAX_KEY) " bytes", error);
    *field = (LineField){.key = name->text};
    return read_value(r, field, error);
}

static bool read_fields(LineReader *r, LinePoint *point, gsize series_length, GError **error)
{
    while (read_field(r, point, series_length, error)) {
        if (r->at < r->stop && *r->at != ',' && *r->at != ' ')
            return refuse_here(r, "a comma, a space or the end of the line", error);
        if (!is_at(r, ',')) {
            const char *repeated = find_repeated(r->names, point->n_fields);
            return !repeated || refuse(r, repeated, LINE_ERROR_SYNTAX, "a field key that did not stand before", error);
        }
        r->at++;
    }
    return false;
}

static bool read_time(LineReader *r, LinePoint *point, GError **error)
{
    skip_spaces(r);
    if (r->at == r->stop)
        return true;
    const char *expected = line_time_read(&r->at, r->stop, &point->time);
    if (expected)
        return refuse_here(r, expected, error);
    point->has_time = true;
    skip_spaces(r);
    return r->at == r->stop || refuse_here(r, "the end of the line", error);
}

static bool read_point(LineReader *r, LinePoint *point, GError **error)
{
    const char *start = r->at;
    if (r->stop - r->raw > LINE_MAX_BYTES)
        return refuse(r, r->raw + LINE_MAX_BYTES, LINE_ERROR_LIMIT,
                      "a line of at most " G_STRINGIFY(LINE_MAX_BYTES) " bytes", error);
    if (*start == '_')
        return refuse_here(r, "a measurement that does not begin with _ (reserved)", error);
    point->measurement = take_text(r, IN_MEASUREMENT, r->stop, error);
    if (!point->measurement)
        return false;
    if (r->at == start)
        return refuse_here(r, "a measurement", error);
    if (!read_tags(r, point, error))
        return false;
    gsize series_length = (gsize)(r->at - start);
    skip_spaces(r);
    if (r->at == r->stop)
        return refuse_here(r, "fields", error);
    return read_fields(r, point, series_length, error) && read_time(r, point, error);
}

/* What stands behind a quote that was left open is as good as never a point: the error is to name the quote. */
static void blame_open_quote(const LineReader *r, GError **error)
{
    if (r->open_quote)
        g_prefix_error(error, "line %u, column %" G_GSIZE_FORMAT ": expected a closing \" on this line, or ", r->line,
                       (gsize)(r->open_quote - r->raw) + 1);
}

LineResult line_reader_next(LineReader *r, LinePoint *ret_point, GError **error)
{
    while (r->next < r->end) {
        r->at = r->raw = r->next;
        r->line = r->next_line++;
        r->free = r->arena;
        r->open_quote = NULL;
        find_stop(r, r->raw);
        r->raw_end = r->stop;
        skip_spaces(r);
        if (r->at == r->stop || *r->at == '#')
            continue;
        const char *second_row = r->next;
        LinePoint point = {.tags = r->tags, .fields = r->fields};
        if (!read_point(r, &point, error)) {
            blame_open_quote(r, error);
            r->next = second_row;
            return LINE_BAD;
        }
        r->raw_end = r->stop;
        if (r->open_quote) {
            find_row(r, r->stop, &r->next_line);
            r->next_line++;
        }
        *ret_point = point;
        return LINE_POINT;
    }
    r->raw = r->raw_end = r->end;
    return LINE_END;
}
