/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/vm_book.h"

#include "base/text.h"

#include <string.h>

#define HEADER "one-telemetry VMs 1"
#define FAILURES_MAX 1000

struct VmBook {
    GHashTable *entries; /* of VmEntry, by &vm_id */
};

static void free_answer(gpointer data)
{
    VmAnswer *answer = data;
    g_free(answer->key);
    g_free(answer->value);
    g_free(answer);
}

static void free_entry(gpointer data)
{
    VmEntry *entry = data;
    g_ptr_array_unref(entry->answers);
    g_free(entry);
}

VmBook *vm_book_new(void)
{
    VmBook *book = g_new0(VmBook, 1);
    book->entries = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_entry);
    return book;
}

void vm_book_free(VmBook *book)
{
    if (!book)
        return;
    g_hash_table_unref(book->entries);
    g_free(book);
}

VmEntry *vm_book_find(const VmBook *book, guint64 vm_id, gint64 domain_id)
{
    VmEntry *entry = g_hash_table_lookup(book->entries, &vm_id);
    return entry && entry->domain_id == domain_id ? entry : NULL;
}

VmEntry *vm_book_entry(VmBook *book, guint64 vm_id, gint64 domain_id)
{
    VmEntry *entry = vm_book_find(book, vm_id, domain_id);
    if (entry)
        return entry;
    entry = g_new0(VmEntry, 1);
    entry->vm_id = vm_id;
    entry->domain_id = domain_id;
    entry->answers = g_ptr_array_new_with_free_func(free_answer);
    g_hash_table_replace(book->entries, &entry->vm_id, entry);
    return entry;
}

void vm_book_prune(VmBook *book, const Sample *sample)
{
    g_autoptr(GHashTable) ids = g_hash_table_new(g_int64_hash, g_int64_equal);
    for (guint i = 0; i < sample->vms->len; i++)
        g_hash_table_add(ids, &((VmSample *)g_ptr_array_index(sample->vms, i))->vm_id);
    GHashTableIter iter;
    gpointer id;
    g_hash_table_iter_init(&iter, book->entries);
    while (g_hash_table_iter_next(&iter, &id, NULL))
        if (!g_hash_table_contains(ids, id))
            g_hash_table_iter_remove(&iter);
}

/* --- when --- */

bool vm_entry_is_due(const VmEntry *entry, gint64 now_s)
{
    return vm_entry_rank(entry, now_s) <= now_s;
}

gint64 vm_entry_rank(const VmEntry *entry, gint64 now_s)
{
    return !entry || entry->due_s > now_s + VM_BOOK_WAIT_MAX_S ? 0 : entry->due_s;
}

void vm_entry_succeed(VmEntry *entry, gint64 now_s, gint64 interval_s)
{
    entry->failures = 0;
    entry->due_s = now_s + MIN(interval_s - MAX(interval_s / 10, 1), VM_BOOK_WAIT_MAX_S);
}

gint64 vm_book_backoff_s(guint times)
{
    return (gint64)VM_BOOK_BACKOFF_S << MIN(times, 10);
}

void vm_entry_fail(VmEntry *entry, gint64 now_s, gint64 least_s, gint64 most_s)
{
    const gint64 wait_s = vm_book_backoff_s(entry->failures);
    entry->failures = MIN(entry->failures + 1, FAILURES_MAX);
    entry->due_s = now_s + MIN(CLAMP(wait_s, least_s, MAX(least_s, most_s)), VM_BOOK_WAIT_MAX_S);
}

/* --- answers --- */

static void add_answer(VmEntry *entry, const char *key, const char *value, gint64 until_s)
{
    VmAnswer *answer = g_new(VmAnswer, 1);
    *answer = (VmAnswer){.key = g_strdup(key), .value = g_strdup(value), .until_s = until_s};
    g_ptr_array_add(entry->answers, answer);
}

void vm_entry_set(VmEntry *entry, const char *key, const char *value, gint64 until_s)
{
    for (guint i = 0; i < entry->answers->len; i++) {
        VmAnswer *answer = g_ptr_array_index(entry->answers, i);
        if (strcmp(answer->key, key) != 0)
            continue;
        g_free(answer->value);
        answer->value = g_strdup(value);
        answer->until_s = until_s;
        return;
    }
    if (entry->answers->len < VM_BOOK_ANSWERS_MAX)
        add_answer(entry, key, value, until_s);
}

const char *vm_entry_get(const VmEntry *entry, const char *key)
{
    for (guint i = 0; i < entry->answers->len; i++) {
        const VmAnswer *answer = g_ptr_array_index(entry->answers, i);
        if (strcmp(answer->key, key) == 0)
            return answer->value;
    }
    return NULL;
}

void vm_entry_clear(VmEntry *entry, bool (*which)(const char *key))
{
    for (guint i = entry->answers->len; i-- > 0;)
        if (!which || which(((const VmAnswer *)g_ptr_array_index(entry->answers, i))->key))
            g_ptr_array_remove_index(entry->answers, i);
}

char **vm_entry_answers(const VmEntry *entry, gint64 now_s, gint64 longest_s)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    for (guint i = 0; entry && i < entry->answers->len; i++) {
        const VmAnswer *answer = g_ptr_array_index(entry->answers, i);
        bool stays = answer->until_s == VM_ANSWER_STAYS;
        if (!stays && (answer->until_s <= now_s || answer->until_s > now_s + longest_s))
            continue;
        g_ptr_array_add(words, g_strdup(answer->key));
        g_ptr_array_add(words, g_strdup(answer->value));
    }
    if (words->len == 0)
        return NULL;
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&words), FALSE);
}

/* --- as text --- */

static gint by_id(gconstpointer a, gconstpointer b)
{
    guint64 one = ((const VmEntry *)a)->vm_id, other = ((const VmEntry *)b)->vm_id;
    return one < other ? -1 : one > other;
}

static void write_entry(const VmEntry *entry, GString *out)
{
    g_string_append_printf(out, "vm %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %u %" G_GINT64_FORMAT " %u\n",
                           entry->vm_id, entry->domain_id, entry->failures, entry->due_s, entry->note);
    for (guint i = 0; i < entry->answers->len; i++) {
        const VmAnswer *answer = g_ptr_array_index(entry->answers, i);
        g_autofree char *value = g_strescape(answer->value, NULL);
        g_string_append_printf(out, "key %" G_GINT64_FORMAT " %s %s\n", answer->until_s, answer->key, value);
    }
}

void vm_book_write(const VmBook *book, GString *out)
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

static VmEntry *read_vm(VmBook *book, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    guint64 vm_id, failures, note;
    gint64 domain_id, due_s;
    if (g_strv_length(words) != 5 || !text_read_u64(words[0], &vm_id) || vm_id > G_MAXINT32 ||
        !read_signed(words[1], &domain_id) || !text_read_u64(words[2], &failures) || failures > FAILURES_MAX ||
        !read_signed(words[3], &due_s) || !text_read_u64(words[4], &note) || note > VM_BOOK_NOTE_MAX ||
        g_hash_table_contains(book->entries, &vm_id))
        return NULL;
    VmEntry *entry = vm_book_entry(book, vm_id, domain_id);
    entry->failures = (guint)failures;
    entry->due_s = due_s;
    entry->note = (guint)note;
    return entry;
}

static bool read_key(VmEntry *entry, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 3);
    gint64 until_s;
    if (!entry || g_strv_length(words) != 3 || !read_signed(words[0], &until_s) || !*words[1] ||
        entry->answers->len >= VM_BOOK_ANSWERS_MAX)
        return false;
    g_autofree char *value = g_strcompress(words[2]);
    add_answer(entry, words[1], value, until_s);
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

VmBook *vm_book_read(const char *text, gsize length)
{
    g_autofree char *copy = g_strndup(text, length);
    if (strlen(copy) != length)
        return NULL;
    g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
    g_autoptr(VmBook) book = vm_book_new();
    VmEntry *entry = NULL;
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
