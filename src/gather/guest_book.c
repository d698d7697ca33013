/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/guest_book.h"

#include "base/text.h"

#include <string.h>

#define HEADER "one-telemetry guests 1"
#define FAILURES_MAX 1000

struct GuestBook {
    GHashTable *entries; /* of GuestEntry, by &vm_id */
};

static void free_entry(gpointer data)
{
    GuestEntry *entry = data;
    g_ptr_array_unref(entry->keys);
    g_free(entry);
}

GuestBook *guest_book_new(void)
{
    GuestBook *book = g_new0(GuestBook, 1);
    book->entries = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_entry);
    return book;
}

void guest_book_free(GuestBook *book)
{
    if (!book)
        return;
    g_hash_table_unref(book->entries);
    g_free(book);
}

GuestEntry *guest_book_find(const GuestBook *book, guint64 vm_id, gint64 domain_id)
{
    GuestEntry *entry = g_hash_table_lookup(book->entries, &vm_id);
    return entry && entry->domain_id == domain_id ? entry : NULL;
}

GuestEntry *guest_book_entry(GuestBook *book, guint64 vm_id, gint64 domain_id)
{
    GuestEntry *entry = guest_book_find(book, vm_id, domain_id);
    if (entry)
        return entry;
    entry = g_new0(GuestEntry, 1);
    entry->vm_id = vm_id;
    entry->domain_id = domain_id;
    entry->keys = guest_keys_new();
    g_hash_table_replace(book->entries, &entry->vm_id, entry);
    return entry;
}

void guest_book_prune(GuestBook *book, bool (*keep)(const GuestEntry *entry, gconstpointer data), gconstpointer data)
{
    GHashTableIter iter;
    gpointer entry;
    g_hash_table_iter_init(&iter, book->entries);
    while (g_hash_table_iter_next(&iter, NULL, &entry))
        if (!keep(entry, data))
            g_hash_table_iter_remove(&iter);
}

/* --- when --- */

bool guest_entry_is_due(const GuestEntry *entry, gint64 now_s)
{
    return guest_entry_rank(entry, now_s) <= now_s;
}

gint64 guest_entry_rank(const GuestEntry *entry, gint64 now_s)
{
    return !entry || entry->due_s > now_s + GUEST_BOOK_BACKOFF_MAX_S ? 0 : entry->due_s;
}

void guest_entry_succeed(GuestEntry *entry, gint64 now_s, gint64 interval_s)
{
    entry->failures = 0;
    entry->due_s = now_s + MIN(interval_s, GUEST_BOOK_BACKOFF_MAX_S);
}

void guest_entry_fail(GuestEntry *entry, gint64 now_s, bool hopeless)
{
    gint64 wait_s = GUEST_BOOK_BACKOFF_MAX_S;
    if (!hopeless && entry->failures < 10)
        wait_s = MIN((gint64)GUEST_BOOK_BACKOFF_S << entry->failures, GUEST_BOOK_BACKOFF_MAX_S);
    entry->failures = MIN(entry->failures + 1, FAILURES_MAX);
    entry->due_s = now_s + wait_s;
}

/* --- its keys --- */

GuestKeys *guest_keys_new(void)
{
    return g_ptr_array_new_with_free_func(g_free);
}

bool guest_keys_have(const GuestKeys *keys, const char *key)
{
    for (guint i = 0; i < keys->len; i += 2)
        if (strcmp(g_ptr_array_index(keys, i), key) == 0)
            return true;
    return false;
}

void guest_keys_add(GuestKeys *keys, const char *key, const char *value)
{
    if (keys->len >= 2 * GUEST_BOOK_KEYS_MAX || guest_keys_have(keys, key))
        return;
    g_ptr_array_add(keys, g_strdup(key));
    g_ptr_array_add(keys, g_strdup(value));
}

void guest_entry_set_keys(GuestEntry *entry, const GuestKeys *keys, bool keep_others)
{
    g_autoptr(GPtrArray) old = entry->keys;
    entry->keys = guest_keys_new();
    for (guint i = 0; i < keys->len; i += 2)
        guest_keys_add(entry->keys, g_ptr_array_index(keys, i), g_ptr_array_index(keys, i + 1));
    for (guint i = 0; i < old->len && keep_others; i += 2)
        guest_keys_add(entry->keys, g_ptr_array_index(old, i), g_ptr_array_index(old, i + 1));
}

/* --- as text --- */

static gint by_id(gconstpointer a, gconstpointer b)
{
    guint64 one = ((const GuestEntry *)a)->vm_id, other = ((const GuestEntry *)b)->vm_id;
    return one < other ? -1 : one > other;
}

static void write_entry(const GuestEntry *entry, GString *out)
{
    g_string_append_printf(out, "vm %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %u %" G_GINT64_FORMAT " %s\n",
                           entry->vm_id, entry->domain_id, entry->failures, entry->due_s, guest_os_names[entry->os]);
    for (guint i = 0; i + 1 < entry->keys->len; i += 2) {
        g_autofree char *value = g_strescape(g_ptr_array_index(entry->keys, i + 1), NULL);
        g_string_append_printf(out, "key %s %s\n", (const char *)g_ptr_array_index(entry->keys, i), value);
    }
}

void guest_book_write(const GuestBook *book, GString *out)
{
    g_autoptr(GList) entries = g_list_sort(g_hash_table_get_values(book->entries), by_id);
    g_string_append(out, HEADER "\n");
    for (const GList *each = entries; each; each = each->next)
        write_entry(each->data, out);
}

static bool read_signed(const char *text, gint64 *ret_value)
{
    guint64 value;
    const bool negative = *text == '-';
    if (!text_read_u64(text + negative, &value) || value > G_MAXINT64)
        return false;
    *ret_value = negative ? -(gint64)value : (gint64)value;
    return true;
}

static GuestEntry *read_vm(GuestBook *book, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    guint64 vm_id, failures;
    gint64 domain_id, due_s;
    GuestOs os = GUEST_OS_UNKNOWN;
    if (g_strv_length(words) != 5 || !text_read_u64(words[0], &vm_id) || vm_id > G_MAXINT32 ||
        !read_signed(words[1], &domain_id) || !text_read_u64(words[2], &failures) || failures > FAILURES_MAX ||
        !read_signed(words[3], &due_s))
        return NULL;
    while (os < N_GUEST_OS && strcmp(words[4], guest_os_names[os]) != 0)
        os++;
    if (os == N_GUEST_OS || g_hash_table_contains(book->entries, &vm_id))
        return NULL;
    GuestEntry *entry = guest_book_entry(book, vm_id, domain_id);
    entry->failures = (guint)failures;
    entry->due_s = due_s;
    entry->os = os;
    return entry;
}

static bool read_key(GuestEntry *entry, const char *line)
{
    const char *blank = strchr(line, ' ');
    if (!entry || !blank || blank == line || entry->keys->len >= 2 * GUEST_BOOK_KEYS_MAX)
        return false;
    g_autofree char *key = g_strndup(line, (gsize)(blank - line));
    g_autofree char *value = g_strcompress(blank + 1);
    guest_keys_add(entry->keys, key, value);
    return true;
}

/* g_strcompress wants no backslash at the end. */
static bool is_whole(const char *line)
{
    gsize length = strlen(line), backslashes = 0;
    while (backslashes < length && line[length - 1 - backslashes] == '\\')
        backslashes++;
    return backslashes % 2 == 0;
}

GuestBook *guest_book_read(const char *text, gsize length)
{
    g_autofree char *copy = g_strndup(text, length);
    if (strlen(copy) != length)
        return NULL;
    g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
    g_autoptr(GuestBook) book = guest_book_new();
    GuestEntry *entry = NULL;
    if (g_strcmp0(lines[0], HEADER) != 0)
        return NULL;
    for (guint i = 1; lines[i] && (*lines[i] || lines[i + 1]); i++) {
        bool good = is_whole(lines[i]);
        if (good && g_str_has_prefix(lines[i], "vm "))
            good = (entry = read_vm(book, lines[i] + strlen("vm "))) != NULL;
        else
            good = good && g_str_has_prefix(lines[i], "key ") && read_key(entry, lines[i] + strlen("key "));
        if (!good)
            return NULL;
    }
    return g_steal_pointer(&book);
}
