/* SPDX-License-Identifier: Apache-2.0
 * The strict reader of OpenNebula's records: see one_record.h. */
#include "encode/one_record.h"

#include "encode/text.h"

#include <string.h>

#define ID_MAX G_MAXINT32
#define DEPLOY_ID_MAX 64

#define KEY_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
#define DEPLOY_ID_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"

G_DEFINE_QUARK(one - record - error, one_record_error)

void one_record_free(OneRecord *record)
{
    if (!record)
        return;
    g_free(record->deploy_id);
    g_ptr_array_unref(record->keys);
    g_ptr_array_unref(record->values);
    g_free(record);
}

static bool refuse(GError **error, const char *reason)
{
    g_set_error_literal(error, ONE_RECORD_ERROR, ONE_RECORD_ERROR_SYNTAX, reason);
    return false;
}

/* --- pieces --- */

typedef struct {
    const char *at, *end;
} Cursor;

static bool skip(Cursor *c, const char *literal)
{
    gsize length = strlen(literal);
    if ((gsize)(c->end - c->at) < length || memcmp(c->at, literal, length) != 0)
        return false;
    c->at += length;
    return true;
}

/* Up to the next `stop`, which is passed over; it has to be there. */
static bool take_until(Cursor *c, char stop, Cursor *ret_taken)
{
    const char *found = memchr(c->at, stop, (gsize)(c->end - c->at));
    if (!found)
        return false;
    *ret_taken = (Cursor){c->at, found};
    c->at = found + 1;
    return true;
}

static gsize length_of(Cursor text)
{
    return (gsize)(text.end - text.at);
}

static bool consists_of(Cursor text, const char *chars)
{
    for (; text.at < text.end; text.at++)
        if (*text.at == '\0' || !strchr(chars, *text.at))
            return false;
    return true;
}

static bool parse_id(Cursor text, guint64 *ret_id)
{
    gsize length = length_of(text);
    if (length == 0 || length > 10 || !consists_of(text, "0123456789") || (length > 1 && *text.at == '0'))
        return false;
    guint64 id = 0;
    for (; text.at < text.end; text.at++)
        id = id * 10 + (guint64)(*text.at - '0');
    if (id > ID_MAX)
        return false;
    *ret_id = id;
    return true;
}

/* NULL where `text` is no base64, or not the one form of it that an encoder writes. */
static char *decode_base64(Cursor text, gsize *ret_length)
{
    g_autofree char *encoded = g_strndup(text.at, length_of(text));
    gsize length;
    g_autofree guchar *decoded = g_base64_decode(encoded, &length);
    g_autofree char *again = g_base64_encode(decoded, length);
    if (strlen(again) != length_of(text) || strcmp(again, encoded) != 0)
        return NULL;
    *ret_length = length;
    return (char *)g_steal_pointer(&decoded);
}

/* --- KEY="VALUE" --- */

/* NUL counts as a control character, so the text has none where this says true. */
static bool is_printable(Cursor text)
{
    if (!g_utf8_validate(text.at, (gssize)length_of(text), NULL))
        return false;
    while (text.at < text.end) {
        const char *next = text.at;
        if (text_next_printable(&next) != g_utf8_get_char(text.at) || next == text.at)
            return false;
        text.at = next;
    }
    return true;
}

/* What stands between the quotes, unescaped; NULL where that is not allowed there. The closing quote is passed over. */
static char *take_value(Cursor *c)
{
    g_autoptr(GString) value = g_string_new(NULL);
    const char *start = c->at;
    for (; c->at < c->end && *c->at != '"'; c->at++) {
        if (*c->at == '\\') {
            c->at++;
            if (c->at == c->end || (*c->at != '"' && *c->at != '\\'))
                return NULL;
        }
        g_string_append_c(value, *c->at);
    }
    if (c->at == c->end || c->at - start > ONE_VALUE_MAX || !is_printable((Cursor){start, c->at}))
        return NULL;
    c->at++;
    return g_string_free(g_steal_pointer(&value), FALSE);
}

static bool read_assignment(Cursor *c, OneRecord *record, GHashTable *seen, GError **error)
{
    Cursor name;
    if (!take_until(c, '=', &name) || length_of(name) == 0 || length_of(name) > ONE_KEY_MAX ||
        !consists_of(name, KEY_CHARS))
        return refuse(error, "MONITOR: a key that is none");
    char *key = g_strndup(name.at, length_of(name));
    g_ptr_array_add(record->keys, key);
    if (!g_hash_table_add(seen, key))
        return refuse(error, "MONITOR: a key stands twice");

    char *value = NULL;
    if (skip(c, "\"")) {
        value = take_value(c);
        if (!value)
            return refuse(error, "MONITOR: a value that is none");
    } else if (!skip(c, "[]")) {
        return refuse(error, "MONITOR: a key without value");
    }
    g_ptr_array_add(record->values, value);
    return skip(c, "\n") || refuse(error, "MONITOR: more than a value on a line");
}

static bool read_monitor(Cursor text, OneRecord *record, GError **error)
{
    if (text.at == text.end)
        return refuse(error, "MONITOR: no key");
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    while (text.at < text.end)
        if (!read_assignment(&text, record, seen, error))
            return false;
    return true;
}

/* --- records --- */

static OneRecord *read_record(Cursor line, GError **error)
{
    g_autoptr(OneRecord) record = g_new0(OneRecord, 1);
    record->keys = g_ptr_array_new_with_free_func(g_free);
    record->values = g_ptr_array_new_with_free_func(g_free);

    Cursor id, deploy_id, monitor;
    if (!skip(&line, "VM = [ ID=\"") || !take_until(&line, '"', &id) || !skip(&line, ", DEPLOY_ID=\"") ||
        !take_until(&line, '"', &deploy_id) || !skip(&line, ", MONITOR=\"") || !take_until(&line, '"', &monitor) ||
        !skip(&line, " ]") || line.at != line.end) {
        refuse(error, "not of the form VM = [ ID=\"…\", DEPLOY_ID=\"…\", MONITOR=\"…\" ]");
        return NULL;
    }
    if (!parse_id(id, &record->vm_id)) {
        refuse(error, "ID is no number of a VM");
        return NULL;
    }
    if (length_of(deploy_id) > DEPLOY_ID_MAX || !consists_of(deploy_id, DEPLOY_ID_CHARS)) {
        refuse(error, "DEPLOY_ID holds what no UUID has");
        return NULL;
    }
    record->deploy_id = g_strndup(deploy_id.at, length_of(deploy_id));

    gsize length = 0;
    g_autofree char *text = decode_base64(monitor, &length);
    if (!text) {
        refuse(error, "MONITOR is no canonical base64");
        return NULL;
    }
    if (!read_monitor((Cursor){text, text + length}, record, error))
        return NULL;
    return g_steal_pointer(&record);
}

GPtrArray *one_records_read(const char *text, gsize length, GError **error)
{
    g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify)one_record_free);
    g_autoptr(GHashTable) ids = g_hash_table_new(g_int64_hash, g_int64_equal);
    Cursor rest = {text, text + length}, line;
    for (guint number = 1; rest.at < rest.end; number++) {
        OneRecord *record = NULL;
        if (!take_until(&rest, '\n', &line))
            refuse(error, "the last line does not end");
        else
            record = read_record(line, error);
        if (record) {
            g_ptr_array_add(records, record);
            if (!g_hash_table_add(ids, &record->vm_id)) {
                refuse(error, "its ID stands twice");
                record = NULL;
            }
        }
        if (!record) {
            g_prefix_error(error, "line %u: ", number);
            return NULL;
        }
    }
    return g_steal_pointer(&records);
}
