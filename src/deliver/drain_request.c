/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/drain_request.h"
#include "base/log.h"
#include "deliver/via.h"

#include <string.h>

static void clear_member(gpointer data)
{
    DrainMember *member = data;
    g_free(member->name);
}

static DrainMember *member_at(const DrainRequest *request, guint i)
{
    return &g_array_index(request->members, DrainMember, i);
}

DrainRequest *drain_request_new(Spool *spool, const SinkSettings *settings)
{
    DrainRequest *request = g_new(DrainRequest, 1);
    *request = (DrainRequest){.spool = spool,
                              .settings = settings,
                              .members = g_array_new(FALSE, FALSE, sizeof(DrainMember)),
                              .ranges = drain_ranges_new(0),
                              .refused = g_array_new(FALSE, FALSE, sizeof(guint)),
                              .doubtful = g_array_new(FALSE, FALSE, sizeof(guint)),
                              .accepted = G_MAXUINT,
                              .body = g_string_new(NULL),
                              .pieces = g_array_new(FALSE, FALSE, sizeof(DrainPiece))};
    g_array_set_clear_func(request->members, clear_member);
    return request;
}

void drain_request_free(DrainRequest *request)
{
    if (!request)
        return;
    drain_request_drop_body(request);
    g_array_unref(request->members);
    g_array_unref(request->ranges);
    g_array_unref(request->refused);
    g_array_unref(request->doubtful);
    g_array_unref(request->pieces);
    g_free(request->invalid_reason);
    g_free(request->via);
    g_free(request);
}

/* --- batches --- */

static bool is_hopeless(const GError *reason)
{
    return g_error_matches(reason, SPOOL_ERROR, SPOOL_ERROR_DAMAGED) ||
           g_error_matches(reason, SPOOL_ERROR, SPOOL_ERROR_TOO_LARGE) ||
           g_error_matches(reason, SPOOL_ERROR, SPOOL_ERROR_UNSAFE);
}

/* What can never be sent is kept for people where that is possible; the batches behind it do not wait for it. */
static bool put_away(DrainRequest *request, const DrainMember *member, const GError *reason, GError **error)
{
    g_autoptr(GError) unkept = NULL;
    const char *sink = request->settings->name;
    if (spool_set_aside(request->spool, sink, member->name, &unkept))
        log_warning("sink %s: batch %s is set aside in bad/: %s", sink, member->name, reason->message);
    else if (spool_remove(request->spool, sink, member->name, error))
        log_warning("sink %s: batch %s is removed: %s; it can't be kept: %s", sink, member->name, reason->message,
                    unkept->message);
    else
        return false;
    request->spoilt.batches++;
    request->spoilt.bytes += member->bytes;
    return true;
}

/* The member's batch; *ret_batch is NULL where it is gone, or was put away because it can never be sent. */
static bool open_member(DrainRequest *request, DrainMember *member, DrainBatch **ret_batch, GError **error)
{
    g_autoptr(GError) reason = NULL;
    DrainBatch *batch = drain_batch_load(request->spool, request->settings->name, member->name, &reason);
    *ret_batch = batch;
    member->gone = !batch;
    if (batch || !reason)
        return true;
    if (is_hopeless(reason))
        return put_away(request, member, reason, error);
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

static guint count_rows(const char *text, gsize length)
{
    guint rows = 0;
    for (const char *end = text + length, *at = text; (at = memchr(at, '\n', (gsize)(end - at))); at++)
        rows++;
    return rows;
}

/* Behind the body: lines of a batch, as they are stored where that is all of it. */
static void append_lines(DrainRequest *request, const DrainMember *member, const DrainBatch *batch, guint from,
                         guint count)
{
    gsize begin = drain_batch_begin(batch, from), length = drain_batch_begin(batch, from + count) - begin;
    const char *text = batch->text->str + begin;
    DrainPiece piece = {.first = member->first + from, .count = count, .rows = count_rows(text, length)};
    if (count == 0)
        return;
    if (!request->settings->gzip) {
        g_string_append_len(request->body, text, (gssize)length);
    } else if (count == drain_batch_lines(batch) && batch->as_stored) {
        g_string_append_len(request->body, batch->stored, (gssize)batch->stored_length);
    } else {
        gsize packed_length;
        g_autofree char *packed = spool_compress(text, length, &packed_length);
        g_string_append_len(request->body, packed, (gssize)packed_length);
    }
    g_array_append_val(request->pieces, piece);
    request->body_lines += count;
}

bool drain_request_fits(const DrainRequest *request, const SpoolBatch *batch)
{
    g_autofree char *via = via_of_batch(batch->name);
    return request->members->len == 0 || g_strcmp0(via, request->via) == 0;
}

bool drain_request_add(DrainRequest *request, const SpoolBatch *batch, GError **error)
{
    g_autoptr(DrainBatch) content = NULL;
    DrainMember member = {.name = g_strdup(batch->name), .bytes = batch->bytes, .first = request->lines};
    if (!open_member(request, &member, &content, error)) {
        g_free(member.name);
        return false;
    }
    if (request->members->len == 0)
        request->via = via_of_batch(batch->name);
    if (content) {
        gsize before = request->body->len;
        member.lines = drain_batch_lines(content);
        member.n_invalid = content->n_invalid;
        append_lines(request, &member, content, 0, member.lines);
        request->last_length = request->body->len - before;
        request->lines += member.lines;
    }
    if (content && content->reason && !request->invalid_reason)
        request->invalid_reason = g_strdup_printf("no line protocol: batch %s, %s", batch->name, content->reason);
    g_array_append_val(request->members, member);
    return true;
}

void drain_request_close(DrainRequest *request)
{
    g_array_unref(request->ranges);
    request->ranges = drain_ranges_new(request->lines);
}

/* --- bodies --- */

void drain_request_drop_body(DrainRequest *request)
{
    if (request->body)
        g_string_free(request->body, TRUE);
    request->body = NULL;
    request->body_lines = 0;
    g_array_set_size(request->pieces, 0);
}

bool drain_request_make_body(DrainRequest *request, GError **error)
{
    const DrainRange *range = drain_ranges_top(request->ranges);
    if (request->body)
        return true;
    request->body = g_string_new(NULL);
    for (guint i = 0; i < request->members->len; i++) {
        DrainMember *member = member_at(request, i);
        guint from = MAX(range->first, member->first);
        guint to = MIN(range->first + range->count, member->first + member->lines);
        if (member->gone || from >= to)
            continue;
        g_autoptr(DrainBatch) batch = NULL;
        if (!open_member(request, member, &batch, error)) {
            drain_request_drop_body(request);
            return false;
        }
        if (batch)
            append_lines(request, member, batch, from - member->first, to - from);
    }
    return true;
}

guint drain_request_cut(const DrainRequest *request, guint want)
{
    const DrainRange *range = drain_ranges_top(request->ranges);
    guint cut = 0;
    for (guint i = 0; i < request->members->len; i++) {
        const DrainMember *member = member_at(request, i);
        if (member->first > range->first && member->first - range->first <= want)
            cut = member->first - range->first;
    }
    return cut > 0 ? cut : want;
}

/* --- named lines --- */

/* As InfluxDB quotes a line: without the spaces before it. */
static char *quoted_form(const char *line, gsize length)
{
    g_autofree char *text = g_strndup(line, length);
    return g_strdup(g_strstrip(text));
}

/* Texts with the number of times that each was quoted. */
static GHashTable *count_texts(const GPtrArray *texts)
{
    GHashTable *counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < texts->len; i++) {
        const char *text = g_ptr_array_index(texts, i);
        char *key = quoted_form(text, strlen(text));
        guint count = GPOINTER_TO_UINT(g_hash_table_lookup(counts, key));
        g_hash_table_replace(counts, key, GUINT_TO_POINTER(count + 1));
    }
    return counts;
}

static bool take_text(GHashTable *counts, const char *line, gsize length)
{
    if (g_hash_table_size(counts) == 0)
        return false;
    g_autofree char *key = quoted_form(line, length);
    guint count = GPOINTER_TO_UINT(g_hash_table_lookup(counts, key));
    if (count == 0)
        return false;
    g_hash_table_replace(counts, g_steal_pointer(&key), GUINT_TO_POINTER(count - 1));
    return true;
}

/* Adds to `named` what of the piece is named by row or text. `row` is of the body, of the piece's first line. */
static void find_named(const DrainBatch *batch, const DrainPiece *piece, guint from, guint row, const GArray *rows,
                       GHashTable *counts, GArray *named)
{
    guint next = 0; /* of `rows` */
    for (guint i = 0; i < piece->count; i++) {
        gsize begin = drain_batch_begin(batch, from + i), length = drain_batch_begin(batch, from + i + 1) - begin;
        const char *line = batch->text->str + begin;
        guint line_number = piece->first + i, behind = row + count_rows(line, length);
        bool is_named = take_text(counts, line, length - 1);
        for (; next < rows->len && g_array_index(rows, guint, next) < behind; next++)
            is_named = is_named || g_array_index(rows, guint, next) >= row;
        if (is_named)
            g_array_append_val(named, line_number);
        row = behind;
    }
}

static DrainMember *member_of(const DrainRequest *request, guint line)
{
    guint i = 0;
    while (line >= member_at(request, i)->first + member_at(request, i)->lines)
        i++;
    return member_at(request, i);
}

GArray *drain_request_named(DrainRequest *request, const Answer *answer)
{
    GArray *named = g_array_new(FALSE, FALSE, sizeof(guint));
    g_autoptr(GHashTable) counts = count_texts(answer->texts);
    guint row = 1;
    if (answer->lines->len == 0 && answer->texts->len == 0)
        return named;
    for (guint i = 0; i < request->pieces->len; i++) {
        const DrainPiece *piece = &g_array_index(request->pieces, DrainPiece, i);
        DrainMember *member = member_of(request, piece->first);
        g_autoptr(GError) reason = NULL;
        g_autoptr(DrainBatch) batch = drain_batch_load(request->spool, request->settings->name, member->name, &reason);
        if (batch && drain_batch_lines(batch) == member->lines)
            find_named(batch, piece, piece->first - member->first, row, answer->lines, counts, named);
        row += piece->rows;
    }
    return named;
}

/* --- the end --- */

void drain_request_restart(DrainRequest *request)
{
    drain_request_drop_body(request);
    drain_request_close(request);
    g_array_set_size(request->refused, 0);
    g_array_set_size(request->doubtful, 0);
    request->unnamed = 0;
    request->accepted = G_MAXUINT;
    request->probed = request->misled = false;
}

static gint by_number(gconstpointer a, gconstpointer b)
{
    guint left = *(const guint *)a, right = *(const guint *)b;
    return (left > right) - (left < right);
}

static void keep_bad(const DrainRequest *request, const DrainMember *member, const GString *text)
{
    g_autoptr(GError) error = NULL;
    gsize length;
    g_autofree char *packed = spool_compress(text->str, text->len, &length);
    if (!spool_keep_bad(request->spool, request->settings->name, member->name, packed, length, &error))
        log_warning("sink %s: cannot keep the refused lines of %s: %s", request->settings->name, member->name,
                    error->message);
}

/* Puts the member's refused lines, `n` numbers from `refused` on, and its invalid ones into bad/. */
static void set_lines_aside(DrainRequest *request, DrainMember *member, const guint *refused, guint n)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(DrainBatch) batch = NULL;
    if (!open_member(request, member, &batch, &error))
        log_warning("sink %s: cannot keep the refused lines: %s", request->settings->name, error->message);
    if (!batch || drain_batch_lines(batch) != member->lines)
        return;
    for (guint i = 0; i < n; i++) {
        gsize begin = drain_batch_begin(batch, refused[i] - member->first);
        gsize end = drain_batch_begin(batch, refused[i] - member->first + 1);
        g_string_append_len(batch->invalid, batch->text->str + begin, (gssize)(end - begin));
    }
    keep_bad(request, member, batch->invalid);
}

DrainOutcome drain_request_settle(DrainRequest *request)
{
    DrainOutcome outcome = {0};
    guint at = 0;
    g_array_append_vals(request->refused, request->doubtful->data, request->doubtful->len);
    g_array_sort(request->refused, by_number);
    const guint *refused = (const guint *)(gpointer)request->refused->data;
    for (guint i = 0; i < request->members->len; i++) {
        DrainMember *member = member_at(request, i);
        guint begin = at;
        while (at < request->refused->len && refused[at] < member->first + member->lines)
            at++;
        guint n = at - begin;
        if (!member->gone && n + member->n_invalid > 0)
            set_lines_aside(request, member, refused + begin, n);
        if (member->gone)
            continue;
        outcome.rejected += n + member->n_invalid;
        outcome.lines += member->lines - n;
        outcome.batches += member->lines > n;
        outcome.bytes += member->lines > n ? member->bytes : 0;
    }
    guint64 unnamed = MIN(request->unnamed, outcome.lines);
    outcome.lines -= unnamed;
    outcome.rejected += unnamed;
    return outcome;
}

bool drain_request_remove(DrainRequest *request, SpoolCount *ret_removed, GError **error)
{
    bool all = true;
    *ret_removed = (SpoolCount){0};
    for (guint i = 0; i < request->members->len; i++) {
        const DrainMember *member = member_at(request, i);
        g_autoptr(GError) reason = NULL;
        ret_removed->batches++;
        ret_removed->bytes += member->bytes;
        if (member->gone || spool_remove(request->spool, request->settings->name, member->name, &reason))
            continue;
        if (all)
            g_propagate_error(error, g_steal_pointer(&reason));
        all = false;
    }
    return all;
}
