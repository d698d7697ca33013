/* SPDX-License-Identifier: Apache-2.0
 * The strict reader of OpenNebula's records: see one_record.h. It goes through a whole message at each cycle, so it
 * allocates nothing but what it is asked to keep. */
#include "encode/one_record.h"

#include "base/text.h"

#include <string.h>

#define ID_MAX G_MAXINT32
#define DEPLOY_ID_MAX 64

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

static OneRecord *record_new(void)
{
    OneRecord *record = g_new0(OneRecord, 1);
    record->keys = g_ptr_array_new_with_free_func(g_free);
    record->values = g_ptr_array_new_with_free_func(g_free);
    return record;
}

static bool refuse(GError **error, const char *reason)
{
    g_set_error_literal(error, ONE_RECORD_ERROR, ONE_RECORD_ERROR_SYNTAX, reason);
    return false;
}

/* --- pieces --- */

/* What is still to be read, or a piece of it. */
typedef struct {
    const char *at, *end;
} Span;

static gsize span_length(Span span)
{
    return (gsize)(span.end - span.at);
}

static bool skip(Span *rest, const char *literal)
{
    gsize length = strlen(literal);
    if (span_length(*rest) < length || memcmp(rest->at, literal, length) != 0)
        return false;
    rest->at += length;
    return true;
}

/* Up to the next `stop`, which is passed over; it has to be there. */
static bool take_until(Span *rest, char stop, Span *ret_taken)
{
    const char *found = memchr(rest->at, stop, span_length(*rest));
    if (!found)
        return false;
    *ret_taken = (Span){rest->at, found};
    rest->at = found + 1;
    return true;
}

static bool is_id(Span text, guint64 *ret_id)
{
    guint64 id = 0;
    if (span_length(text) == 0 || (span_length(text) > 1 && *text.at == '0'))
        return false;
    for (; text.at < text.end; text.at++) {
        if (!g_ascii_isdigit(*text.at))
            return false;
        id = id * 10 + (guint64)(*text.at - '0');
        if (id > ID_MAX)
            return false;
    }
    *ret_id = id;
    return true;
}

static bool is_deploy_id(Span text)
{
    if (span_length(text) > DEPLOY_ID_MAX)
        return false;
    for (; text.at < text.end; text.at++)
        if (!g_ascii_isalnum(*text.at) && *text.at != '-')
            return false;
    return true;
}

static bool is_key(Span text)
{
    if (span_length(text) == 0 || span_length(text) > ONE_KEY_MAX)
        return false;
    for (; text.at < text.end; text.at++)
        if (!g_ascii_isupper(*text.at) && !g_ascii_isdigit(*text.at) && *text.at != '_')
            return false;
    return true;
}

/* NUL counts as a control character, so the text has none where this says true. */
static bool is_printable(Span text)
{
    while (text.at < text.end && *text.at >= 0x20 && *text.at < 0x7F)
        text.at++; /* nearly all of it */
    if (text.at < text.end && !g_utf8_validate(text.at, (gssize)span_length(text), NULL))
        return false;
    while (text.at < text.end) {
        const char *next = text.at;
        if (text_next_printable(&next) != g_utf8_get_char(text.at) || next == text.at)
            return false;
        text.at = next;
    }
    return true;
}

/* --- base64 --- */

/* The six bits of a character; of one that is none of base64's, what is above them. */
static guint32 sextet(char c)
{
    static const guint8 table[128] = {
        ['+'] = 63, ['/'] = 64, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59,
        ['7'] = 60, ['8'] = 61, ['9'] = 62, ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,
        ['G'] = 7,  ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15,
        ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
        ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33,
        ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
        ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51,
        ['z'] = 52, /* each one higher than it is worth: 0 is everything else */
    };
    guchar byte = (guchar)c;
    return byte < 128 ? (guint32)table[byte] - 1 : G_MAXUINT32;
}

/* false where it is not base64, or not the one form of it that an encoder writes. GLib's decoder takes anything. */
static bool decode_base64(Span text, GString *out)
{
    if (span_length(text) % 4 != 0)
        return false;
    gsize padding = 0;
    if (span_length(text) > 0 && text.end[-1] == '=')
        padding = text.end[-2] == '=' ? 2 : 1;
    g_string_set_size(out, span_length(text) / 4 * 3);
    char *to = out->str;
    for (; text.at < text.end; text.at += 4) {
        gsize missing = text.at + 4 == text.end ? padding : 0;
        guint32 third = missing < 2 ? sextet(text.at[2]) : 0, fourth = missing < 1 ? sextet(text.at[3]) : 0;
        guint32 first = sextet(text.at[0]), second = sextet(text.at[1]);
        guint32 bits = first << 18 | second << 12 | third << 6 | fourth;
        if ((first | second | third | fourth) > 63 || (bits & ((1U << 8 * missing) - 1)) != 0)
            return false;
        *to++ = (char)(bits >> 16);
        *to++ = (char)(bits >> 8);
        *to++ = (char)bits;
    }
    g_string_truncate(out, out->len - padding);
    return true;
}

/* --- KEY="VALUE" --- */

/* What stands between the quotes, still escaped. The closing quote is passed over. */
static bool take_value(Span *rest, Span *ret_value)
{
    Span value = {rest->at, rest->at};
    while (value.end < rest->end && *value.end != '"') {
        if (*value.end == '\\') {
            value.end++;
            if (value.end == rest->end || (*value.end != '"' && *value.end != '\\'))
                return false;
        }
        value.end++;
    }
    if (value.end == rest->end || span_length(value) > ONE_VALUE_MAX || !is_printable(value))
        return false;
    rest->at = value.end + 1;
    *ret_value = value;
    return true;
}

static char *unescape(Span value)
{
    char *text = g_malloc(span_length(value) + 1), *to = text;
    for (; value.at < value.end; value.at++) {
        value.at += *value.at == '\\';
        *to++ = *value.at;
    }
    *to = '\0';
    return text;
}

static bool is_among(Span key, const Span *keys, guint n)
{
    for (guint i = 0; i < n; i++)
        if (span_length(keys[i]) == span_length(key) && memcmp(keys[i].at, key.at, span_length(key)) == 0)
            return true;
    return false;
}

static bool read_assignment(Span *rest, Span *ret_key, OneRecord *record, GError **error)
{
    Span value = {NULL, NULL};
    if (!take_until(rest, '=', ret_key) || !is_key(*ret_key))
        return refuse(error, "MONITOR: a key that is none");
    if (skip(rest, "\"")) {
        if (!take_value(rest, &value))
            return refuse(error, "MONITOR: a value that is none");
    } else if (!skip(rest, "[]")) {
        return refuse(error, "MONITOR: a key without value");
    }
    if (!skip(rest, "\n"))
        return refuse(error, "MONITOR: more than a value on a line");
    if (record) {
        g_ptr_array_add(record->keys, g_strndup(ret_key->at, span_length(*ret_key)));
        g_ptr_array_add(record->values, value.at ? unescape(value) : NULL);
    }
    return true;
}

static bool read_monitor(Span rest, OneRecord *record, GError **error)
{
    Span keys[ONE_KEYS_MAX];
    guint n = 0;
    if (rest.at == rest.end)
        return refuse(error, "MONITOR: no key");
    while (rest.at < rest.end) {
        if (n == ONE_KEYS_MAX)
            return refuse(error, "MONITOR: too many keys");
        if (!read_assignment(&rest, &keys[n], record, error))
            return false;
        if (is_among(keys[n], keys, n))
            return refuse(error, "MONITOR: a key stands twice");
        n++;
    }
    return true;
}

/* --- records --- */

/* `record` may be NULL. `scratch` takes the decoded MONITOR. */
static bool read_record(Span line, GHashTable *ids, GString *scratch, OneRecord *record, GError **error)
{
    Span id, deploy_id, monitor;
    guint64 vm_id;
    if (!skip(&line, "VM = [ ID=\"") || !take_until(&line, '"', &id) || !skip(&line, ", DEPLOY_ID=\"") ||
        !take_until(&line, '"', &deploy_id) || !skip(&line, ", MONITOR=\"") || !take_until(&line, '"', &monitor) ||
        !skip(&line, " ]") || line.at != line.end)
        return refuse(error, "not of the form VM = [ ID=\"…\", DEPLOY_ID=\"…\", MONITOR=\"…\" ]");
    if (!is_id(id, &vm_id))
        return refuse(error, "ID is no number of a VM");
    if (!g_hash_table_add(ids, GUINT_TO_POINTER((guint)vm_id + 1)))
        return refuse(error, "its ID stands twice");
    if (!is_deploy_id(deploy_id))
        return refuse(error, "DEPLOY_ID holds what no UUID has");
    if (!decode_base64(monitor, scratch))
        return refuse(error, "MONITOR is no canonical base64");
    if (record) {
        record->vm_id = vm_id;
        record->deploy_id = g_strndup(deploy_id.at, span_length(deploy_id));
    }
    return read_monitor((Span){scratch->str, scratch->str + scratch->len}, record, error);
}

/* `records` may be NULL: nothing is kept. */
static bool read_records(const char *text, gsize length, GPtrArray *records, GError **error)
{
    g_autoptr(GHashTable) ids = g_hash_table_new(NULL, NULL);
    g_autoptr(GString) scratch = g_string_new(NULL);
    Span rest = {text, text + length}, line;
    for (guint number = 1; rest.at < rest.end; number++) {
        g_autoptr(OneRecord) record = records ? record_new() : NULL;
        bool good = take_until(&rest, '\n', &line) ? read_record(line, ids, scratch, record, error)
                                                   : refuse(error, "the last line does not end");
        if (!good) {
            g_prefix_error(error, "line %u: ", number);
            return false;
        }
        if (records)
            g_ptr_array_add(records, g_steal_pointer(&record));
    }
    return true;
}

bool one_records_check(const char *text, gsize length, GError **error)
{
    return read_records(text, length, NULL, error);
}

GPtrArray *one_records_read(const char *text, gsize length, GError **error)
{
    g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func((GDestroyNotify)one_record_free);
    return read_records(text, length, records, error) ? g_steal_pointer(&records) : NULL;
}
