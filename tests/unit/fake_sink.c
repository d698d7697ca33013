/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_sink.h"

#include "encode/line_reader.h"

#include <string.h>

FakeSink *fake_sink_new(SinkType type, FakeStyle style, bool gzip)
{
    FakeSink *sink = g_new(FakeSink, 1);
    *sink = (FakeSink){.type = type, .style = style, .gzip = gzip};
    sink->points = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return sink;
}

void fake_sink_free(FakeSink *sink)
{
    g_hash_table_unref(sink->points);
    g_free(sink);
}

SinkReply *fake_reply(long status, const char *retry_after)
{
    SinkReply *reply = g_new0(SinkReply, 1);
    reply->status = status;
    reply->retry_after = g_strdup(retry_after);
    return reply;
}

SinkReply *fake_transport(Transport transport)
{
    SinkReply *reply = g_new0(SinkReply, 1);
    reply->transport = transport;
    return reply;
}

static SinkReply *answer(long status, const char *body)
{
    SinkReply *reply = fake_reply(status, NULL);
    reply->body = g_string_new(body);
    return reply;
}

/* Series and time; the fields go to *ret_fields. The tests' lines hold no escapes. */
static char *key_of(const char *line, char **ret_fields)
{
    g_auto(GStrv) parts = g_strsplit(line, " ", 3);
    g_assert_cmpuint(g_strv_length(parts), ==, 3);
    *ret_fields = g_strdup(parts[1]);
    return g_strdup_printf("%s %s", parts[0], parts[2]);
}

const char *fake_sink_find(const FakeSink *sink, const char *line)
{
    g_autofree char *fields = NULL, *key = key_of(line, &fields);
    return g_hash_table_lookup(sink->points, key);
}

static void store(FakeSink *sink, const char *line)
{
    char *fields, *key = key_of(line, &fields);
    g_hash_table_replace(sink->points, key, fields);
}

/* The body's lines; NULL: it is odd. */
static char **take_lines(FakeSink *sink, const char *data, gsize length)
{
    gsize text_length = length;
    g_autofree char *text =
        sink->gzip ? spool_expand(data, length, 1 << 26, &text_length, NULL) : g_strndup(data, length);
    if (!text || text_length == 0 || text[text_length - 1] != '\n')
        return NULL;
    g_autoptr(LineReader) reader = line_reader_new(text, text_length);
    LinePoint point;
    guint points = 0;
    while (line_reader_next(reader, &point, NULL) == LINE_POINT)
        points++;
    text[text_length - 1] = '\0';
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    return points == g_strv_length(lines) ? g_steal_pointer(&lines) : NULL;
}

static void append_escaped(GString *out, const char *text)
{
    g_autofree char *escaped = g_strescape(text, NULL);
    g_string_append(out, escaped);
}

static guint count_of(char **lines, const char *word)
{
    guint n = 0;
    for (guint i = 0; lines[i]; i++)
        n += strstr(lines[i], word) != NULL;
    return n;
}

static SinkReply *post_v1(FakeSink *sink, char **lines)
{
    guint n = g_strv_length(lines), poison = count_of(lines, "poison"), conflict = count_of(lines, "conflict");
    g_autoptr(GString) body = g_string_new("{\"error\":\"");
    if (poison < n)
        g_string_append(body, "partial write: ");
    for (guint i = 0, told = 0; lines[i]; i++) {
        bool is_poison = strstr(lines[i], "poison"), is_conflict = strstr(lines[i], "conflict");
        if (!is_poison && !is_conflict)
            store(sink, lines[i]);
        if (!is_poison || conflict > 0)
            continue;
        g_string_append(body, told++ ? "\\nunable to parse '" : "unable to parse '");
        append_escaped(body, lines[i]);
        g_string_append(body, "': invalid field format");
    }
    if (conflict > 0)
        g_string_append_printf(body, "field type conflict: input field \\\"x\\\" dropped=%u", conflict);
    else if (poison < n)
        g_string_append(body, " dropped=0");
    g_string_append(body, "\"}");
    return poison + conflict == 0 ? fake_reply(204, NULL) : answer(400, body->str);
}

static SinkReply *post_v2(FakeSink *sink, char **lines)
{
    guint conflict = count_of(lines, "conflict"), bad = 0;
    while (lines[bad] && !strstr(lines[bad], "poison"))
        bad++;
    g_autoptr(GString) body = g_string_new("{\"code\":\"invalid\",\"message\":\"");
    if (lines[bad] && sink->style == FAKE_NO_DETAIL)
        return answer(400, "{\"code\":\"invalid\",\"message\":\"unable to parse what came\"}");
    if (lines[bad] && sink->style == FAKE_WRONG_DETAIL)
        return answer(400, "{\"code\":\"invalid\",\"message\":\"unable to parse\",\"line\":1}");
    if (lines[bad]) {
        g_string_append_printf(body, "unable to parse it\",\"line\":%u}", bad + 1);
        return answer(400, body->str);
    }
    if (conflict > 0 && sink->style == FAKE_SCHEMA_500)
        return answer(500, "{\"code\":\"internal error\",\"message\":\"field type conflict\"}");
    for (guint i = 0; lines[i]; i++)
        if (!strstr(lines[i], "conflict"))
            store(sink, lines[i]);
    g_string_append_printf(body, "failure writing points to database: partial write: field type conflict dropped=%u\"}",
                           conflict);
    return conflict == 0 ? fake_reply(204, NULL) : answer(422, body->str);
}

static SinkReply *post_v3(FakeSink *sink, char **lines)
{
    g_autoptr(GString) body = g_string_new("{\"error\":\"partial write of line protocol occurred\"");
    guint told = 0;
    for (guint i = 0; lines[i]; i++) {
        if (!strstr(lines[i], "conflict") && !strstr(lines[i], "poison")) {
            store(sink, lines[i]);
            continue;
        }
        if (sink->style == FAKE_PLAIN) {
            g_string_append_printf(body, "%s{\"line_number\":%u,\"error_message\":\"e\",\"original_line\":\"",
                                   told ? "," : ",\"data\":[", i + 1);
            append_escaped(body, lines[i]);
            g_string_append(body, "\"}");
        }
        told++;
    }
    g_string_append(body, told && sink->style == FAKE_PLAIN ? "]}" : "}");
    return told == 0 ? fake_reply(204, NULL) : answer(400, body->str);
}

static bool is_too_large(const FakeSink *sink, char **lines)
{
    for (guint i = 0; lines[i]; i++)
        if (sink->max_line > 0 && strlen(lines[i]) > sink->max_line)
            return true;
    return sink->max_lines > 0 && g_strv_length(lines) > sink->max_lines;
}

SinkReply *fake_sink_post(FakeSink *sink, const char *data, gsize length)
{
    g_auto(GStrv) lines = take_lines(sink, data, length);
    sink->requests++;
    if (!lines) {
        sink->odd++;
        return answer(400, "{\"error\":\"odd\"}");
    }
    guint n = g_strv_length(lines);
    sink->lines += n;
    if (is_too_large(sink, lines))
        return fake_reply(413, NULL);
    sink->largest = MAX(sink->largest, n);
    if (sink->type == SINK_INFLUXDB2)
        return post_v2(sink, lines);
    return sink->type == SINK_INFLUXDB1 || sink->type == SINK_VICTORIAMETRICS ? post_v1(sink, lines)
                                                                              : post_v3(sink, lines);
}
