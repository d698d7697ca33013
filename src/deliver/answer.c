/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/answer.h"
#include "base/log.h"
#include "deliver/answer_text.h"

#include <cJSON.h>
#include <string.h>

#define MESSAGE_MAX 400 /* bytes */
#define PARTIAL "partial write"

void answer_free(Answer *answer)
{
    if (!answer)
        return;
    g_array_unref(answer->lines);
    g_ptr_array_unref(answer->texts);
    g_free(answer->message);
    g_free(answer);
}

/* --- what a body says --- */

static void json_free(cJSON *json)
{
    cJSON_Delete(json);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cJSON, json_free)

/* NULL: no JSON object, or not all of it. */
static cJSON *read_body(const GString *body)
{
    if (!body || body->len == 0 || memchr(body->str, '\0', body->len))
        return NULL;
    g_autoptr(cJSON) json = cJSON_ParseWithLengthOpts(body->str, body->len + 1, NULL, 1);
    return cJSON_IsObject(json) ? g_steal_pointer(&json) : NULL;
}

/* NULL: it has no text of this name. */
static const char *text_of(const cJSON *json, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
}

/* The sink's words in full; NULL: none that its type would say. InfluxDB 1 and 3 say error, InfluxDB 2 message. */
static const char *words_of(SinkType type, const cJSON *json)
{
    const char *error = text_of(json, "error"), *message = text_of(json, "message");
    if (type == SINK_INFLUXDB2)
        return message ? message : error;
    return error ? error : message;
}

/* Puts a line's number where it can be one. */
static bool take_number(const cJSON *number, GArray *lines)
{
    if (!cJSON_IsNumber(number) || !(number->valuedouble >= 1 && number->valuedouble <= G_MAXUINT))
        return false;
    guint line = (guint)number->valuedouble;
    if ((double)line != number->valuedouble)
        return false;
    g_array_append_val(lines, line);
    return true;
}

/* InfluxDB 3's note on one line. false: it names none. */
static bool take_note(const cJSON *note, Answer *answer)
{
    const char *line = text_of(note, "original_line");
    if (take_number(cJSON_GetObjectItemCaseSensitive(note, "line_number"), answer->lines))
        return true;
    if (line && *line)
        g_ptr_array_add(answer->texts, g_strdup(line));
    return line && *line;
}

/* One note or an array of them. false: there is none, or one that names no line. */
static bool take_notes(const cJSON *data, Answer *answer)
{
    const cJSON *note;
    bool all = true;
    if (cJSON_IsObject(data))
        return take_note(data, answer);
    cJSON_ArrayForEach(note, data) all = take_note(note, answer) && all;
    return all && cJSON_GetArraySize(data) > 0;
}

static gint by_number(gconstpointer a, gconstpointer b)
{
    guint left = *(const guint *)a, right = *(const guint *)b;
    return (left > right) - (left < right);
}

static void sort_numbers(GArray *lines)
{
    guint kept = 0;
    g_array_sort(lines, by_number);
    for (guint i = 0; i < lines->len; i++) {
        guint line = g_array_index(lines, guint, i);
        if (kept == 0 || g_array_index(lines, guint, kept - 1) != line)
            g_array_index(lines, guint, kept++) = line;
    }
    g_array_set_size(lines, kept);
}

/* --- what it means --- */

/* The sink's own statement, not one that it quotes of a line or a name. */
static bool says_partial(const char *words)
{
    const char *at = strstr(words, PARTIAL);
    return at && strcspn(words, "'\"") > (gsize)(at - words);
}

static bool says_of_lines(const char *words)
{
    static const char *const of_lines[] = {PARTIAL, "unable to parse", "type conflict", "line protocol"};
    for (guint i = 0; i < G_N_ELEMENTS(of_lines); i++)
        if (strstr(words, of_lines[i]))
            return true;
    return false;
}

/* A 400 that no line can be the cause of. */
static bool says_of_request(const char *words)
{
    static const char *const of_request[] = {"database is required", "gzip: ", "unexpected EOF"};
    for (guint i = 0; i < G_N_ELEMENTS(of_request); i++)
        if (g_str_has_prefix(words, of_request[i]))
            return true;
    return false;
}

/* false: the words do not tell how much was not stored. */
static bool read_partial(const char *words, Answer *answer)
{
    guint64 dropped = 0;
    if (!says_partial(words) || (!answer_text_dropped(words, &dropped) && answer->texts->len == 0))
        return false;
    answer->dropped = dropped > G_MAXUINT64 - answer->texts->len ? G_MAXUINT64 : dropped + answer->texts->len;
    return true;
}

/* InfluxDB 1 stores what is good, whatever it says of the rest. */
static AnswerKind read_400_v1(const char *words, Answer *answer)
{
    answer_text_quoted(words, answer->texts);
    if (read_partial(words, answer))
        return ANSWER_PARTIAL;
    answer->dropped = answer->texts->len;
    return answer->dropped > 0 ? ANSWER_PARTIAL : ANSWER_REFUSED;
}

/* InfluxDB 2 stores nothing when a line is malformed. */
static AnswerKind read_refusal_v2(const cJSON *json, const char *words, Answer *answer)
{
    answer_text_quoted(words, answer->texts);
    take_number(cJSON_GetObjectItemCaseSensitive(json, "line"), answer->lines);
    return read_partial(words, answer) ? ANSWER_PARTIAL : ANSWER_REFUSED;
}

/* InfluxDB 3 names each line that it did not store; some builds say no more than that there are such. */
static AnswerKind read_400_v3(const cJSON *json, const char *words, Answer *answer)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data");
    return take_notes(data, answer) && cJSON_IsArray(data) && says_partial(words) ? ANSWER_PARTIAL : ANSWER_REFUSED;
}

/* No body that its type would send: cut off, or not its own. Its header has the words on one line, so where several
 * lines are quoted they can't be told apart. */
static AnswerKind read_400_header(const char *words, Answer *answer)
{
    return !strstr(words, "unable to parse") && read_partial(words, answer) ? ANSWER_PARTIAL : ANSWER_REFUSED;
}

static AnswerKind read_400(SinkType type, const cJSON *json, const char *words, Answer *answer)
{
    bool has_data = cJSON_GetObjectItemCaseSensitive(json, "data") != NULL;
    if (says_of_request(words))
        return ANSWER_DENIED;
    if (type == SINK_INFLUXDB3 || (type == SINK_TELEMETRYD && has_data))
        return read_400_v3(json, words, answer);
    if (!json)
        return read_400_header(words, answer);
    return type == SINK_INFLUXDB2 ? read_refusal_v2(json, words, answer) : read_400_v1(words, answer);
}

static AnswerKind read_500(SinkType type, const char *words, Answer *answer)
{
    if (type != SINK_INFLUXDB2 && g_str_has_prefix(words, "retention policy not found")) /* InfluxDB 1's 404 of those */
        return ANSWER_DENIED;
    if (type == SINK_INFLUXDB2 && says_partial(words) && read_partial(words, answer))
        return ANSWER_PARTIAL;
    return type != SINK_INFLUXDB2 && strcmp(words, "timeout") == 0 ? ANSWER_BUSY : ANSWER_FAILED;
}

/* What a database never answers to a write: the URL leads to something else, a login page say. */
static bool is_page(const GString *body)
{
    return body && body->str[strspn(body->str, " \t\r\n")] == '<';
}

static AnswerKind read_status(SinkType type, long status, const cJSON *json, const char *words, Answer *answer)
{
    if (status >= 200 && status <= 299)
        return ANSWER_STORED;
    switch (status) {
    case 400:
        return read_400(type, json, words, answer);
    case 408:
    case 429:
        return ANSWER_BUSY;
    case 413:
        return ANSWER_TOO_LARGE;
    case 422:
        return type == SINK_INFLUXDB2 ? read_refusal_v2(json, words, answer) : ANSWER_DENIED;
    case 500:
        return read_500(type, words, answer);
    default: /* what is no HTTP, like other 5xx, may be so for a while */
        return status >= 300 && status <= 499 ? ANSWER_DENIED : ANSWER_BUSY;
    }
}

/* --- for people --- */

static const char *reason_of(long status)
{
    static const struct {
        long status;
        const char *reason;
    } reasons[] = {
        {301, "Moved Permanently"},  {302, "Found"},
        {307, "Temporary Redirect"}, {308, "Permanent Redirect"},
        {400, "Bad Request"},        {401, "Unauthorized"},
        {403, "Forbidden"},          {404, "Not Found"},
        {405, "Method Not Allowed"}, {408, "Request Timeout"},
        {413, "Content Too Large"},  {422, "Unprocessable Content"},
        {429, "Too Many Requests"},  {500, "Internal Server Error"},
        {502, "Bad Gateway"},        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return NULL;
}

/* What InfluxDB 3 says of the first line. */
static const char *first_note_of(const cJSON *json)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data");
    return text_of(cJSON_IsArray(data) ? cJSON_GetArrayItem(data, 0) : data, "error_message");
}

static char *make_message(const SinkReply *reply, const cJSON *json, const char *words)
{
    const char *reason = reason_of(reply->status), *note = first_note_of(json);
    g_autofree char *text = g_strdup_printf("%ld%s%s%s%s%s%s", reply->status, reason ? " " : "", reason ? reason : "",
                                            *words ? ": " : "", words, note ? ": " : "", note ? note : "");
    return log_quote(text, strlen(text), MESSAGE_MAX);
}

static char *make_problem(const SinkReply *reply)
{
    static const char *const standard[] = {[TRANSPORT_DONE] = "",
                                           [TRANSPORT_UNREACHABLE] = "unreachable",
                                           [TRANSPORT_TIMEOUT] = "no answer in time",
                                           [TRANSPORT_CUT] = "the connection ended within the answer",
                                           [TRANSPORT_TLS] = "TLS failed"};
    const char *problem = reply->problem && *reply->problem ? reply->problem : standard[reply->transport];
    return log_quote(problem, strlen(problem), MESSAGE_MAX);
}

/* --- all of it --- */

static void read_answer(SinkType type, const SinkReply *reply, Answer *answer)
{
    g_autoptr(cJSON) json = read_body(reply->body);
    const char *told = words_of(type, json), *header = reply->influx_error;
    const char *words = told ? told : header ? header : "";
    const char *shown = *words || !reply->body ? words : reply->body->str;
    answer->kind = read_status(type, reply->status, told ? json : NULL, words, answer);
    if (answer->kind == ANSWER_STORED && is_page(reply->body)) {
        answer->kind = ANSWER_DENIED;
        answer->message = g_strdup_printf("%ld, but with a page for people: is the URL a database's?", reply->status);
        return;
    }
    answer->message = answer->kind == ANSWER_STORED ? g_strdup("") : make_message(reply, json, shown);
    answer->of_lines = answer->lines->len + answer->texts->len > 0 || says_of_lines(shown);
    sort_numbers(answer->lines);
}

Answer *answer_read(SinkType type, const SinkReply *reply, gint64 now_ms)
{
    Answer *answer = g_new(Answer, 1);
    *answer = (Answer){.lines = g_array_new(FALSE, FALSE, sizeof(guint)),
                       .texts = g_ptr_array_new_with_free_func(g_free),
                       .wait_ms = -1};
    if (reply->transport == TRANSPORT_DONE) {
        read_answer(type, reply, answer);
        answer->wait_ms = answer_text_wait_ms(reply->retry_after, now_ms);
    } else {
        answer->kind = reply->transport == TRANSPORT_TLS ? ANSWER_DENIED : ANSWER_BUSY;
        answer->message = make_problem(reply);
    }
    return answer;
}
