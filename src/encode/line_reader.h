/* SPDX-License-Identifier: Apache-2.0
 * A strict reader of InfluxDB line protocol, for what comes in from forwarders, Telegraf or curl. Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Ceilings on what comes from outside, in plain digits because messages quote them. */
#define LINE_MAX_BYTES 1048576 /* of one line */
#define LINE_MAX_TAGS 256
#define LINE_MAX_FIELDS 4096
#define LINE_MAX_STRING 65536 /* bytes of a string value, unescaped */
/* Bytes of measurement, tags and a field key together, as they stand: InfluxDB's 65535 less the four that it puts
 * before the field key. */
#define LINE_MAX_KEY 65531

typedef enum { FIELD_FLOAT, FIELD_INTEGER, FIELD_UNSIGNED, FIELD_BOOLEAN, FIELD_STRING } FieldType;

typedef struct {
    const char *key, *value; /* unescaped */
} LineTag;

typedef struct {
    const char *key; /* unescaped */
    FieldType type;
    union {
        double f; /* finite */
        gint64 i;
        guint64 u;
        bool b;
        const char *s; /* unescaped; `length` bytes, NUL-terminated, no NUL among them */
    } value;
    gsize length; /* of a string; else 0 */
} LineField;

typedef struct {
    const char *measurement;
    const LineTag *tags; /* in the order of the line */
    guint n_tags;
    const LineField *fields; /* in the order of the line, at least one */
    guint n_fields;
    bool has_time;
    gint64 time; /* in the unit the sender says (precision) */
} LinePoint;

#define LINE_ERROR line_error_quark()
GQuark line_error_quark(void);
typedef enum { LINE_ERROR_SYNTAX, LINE_ERROR_LIMIT } LineErrorCode; /* LIMIT: one of the ceilings above */

typedef struct LineReader LineReader;

/* Reads `text`, which must outlive it and is not changed. */
LineReader *line_reader_new(const char *text, gsize length);
void line_reader_free(LineReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LineReader, line_reader_free)

typedef enum {
    LINE_POINT, /* *ret_point is filled; it and all it points to are valid until the next call */
    LINE_BAD,   /* this line is refused: error says "line L, column C: expected …"; the next call goes on behind it */
    LINE_END,
} LineResult;

/* Next line with a point; blank lines and comments (#) are passed over. A last line without newline counts. As InfluxDB
 * has it, more than one space may stand where one has to, and spaces before and behind the line.
 *
 * Escapes are those of InfluxDB 1: in a measurement comma and space, in keys and tag values the equals sign too, in a
 * string quote and backslash; a backslash before anything else stands for itself, before another backslash too.
 *
 * A string may run over newlines: Telegraf sends log texts so. Where no point comes of it, a closing quote is taken to
 * be missing, and the next call goes on behind the first of these newlines: a quote left open never hides good lines,
 * unless a second one left open closes it, which is a string to InfluxDB too. Our own writer makes a newline a space.
 *
 * Refused: a measurement that begins with _ (reserved), a tag or field called time (InfluxDB 1 stores such a point
 * without it, or not at all, and says nothing), a line without fields, an empty key or tag value, a tag or
 * field key twice, a bare word as value, NaN and infinity, numbers out of range, an unterminated string, invalid UTF-8,
 * NUL anywhere and other control characters (tabs too) outside of strings, trailing garbage, a time stamp that is no
 * 64-bit integer. */
LineResult line_reader_next(LineReader *reader, LinePoint *ret_point, GError **error);

/* Number of the line of the last result, from 1. */
guint line_reader_line(const LineReader *reader);
/* That line as it stands in the text, without its newline; with those within its strings, where it is a point. */
const char *line_reader_raw(const LineReader *reader, gsize *ret_length);
