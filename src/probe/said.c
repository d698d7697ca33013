/* SPDX-License-Identifier: Apache-2.0
 * The file: lines "<epoch seconds when it was logged> <what>". */
#include "probe/said.h"
#include "base/file.h"
#include "base/text.h"

#include <string.h>
#include <unistd.h>

#define FILE_MAX (256 * 1024) /* bytes */

struct Said {
    char *name;
    int dir_fd; /* -1: there is none to be had */
    gint64 now_s;
    bool was_there;
    GHashTable *before, *now; /* line: epoch seconds, as a gint64* */
};

static void add(GHashTable *table, const char *line, gint64 when)
{
    gint64 *copy = g_new(gint64, 1);
    *copy = when;
    g_hash_table_replace(table, g_strdup(line), copy);
}

static void read_line(Said *said, char *line)
{
    char *blank = strchr(line, ' ');
    if (!blank)
        return;
    *blank = '\0';
    guint64 when;
    if (text_read_u64(line, &when) && when <= G_MAXINT64)
        add(said->before, blank + 1, (gint64)when);
}

Said *said_open(const char *directory, const char *name, gint64 now_s)
{
    Said *said = g_new0(Said, 1);
    said->name = g_strdup(name);
    said->now_s = now_s;
    said->before = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    said->now = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    said->dir_fd = file_open_private_dir(directory, NULL);
    g_autofree char *text = NULL;
    gsize length;
    said->was_there = said->dir_fd >= 0 && file_read_private(said->dir_fd, name, FILE_MAX, &text, &length, NULL);
    if (said->was_there) {
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++)
            read_line(said, *line);
    }
    return said;
}

bool said_before(const Said *said, const char *prefix)
{
    GHashTableIter all;
    gpointer line;
    g_hash_table_iter_init(&all, said->before);
    while (g_hash_table_iter_next(&all, &line, NULL))
        if (g_str_has_prefix(line, prefix))
            return true;
    return false;
}

bool said_is_due(Said *said, const char *line)
{
    const gint64 *when = g_hash_table_lookup(said->before, line);
    /* a clock that was set back makes it due */
    bool is_due = !when || said->now_s < *when || said->now_s - *when >= SAID_AGAIN_S;
    if (!g_hash_table_contains(said->now, line))
        add(said->now, line, is_due ? said->now_s : *when);
    return is_due;
}

static bool is_unchanged(const Said *said)
{
    if (g_hash_table_size(said->now) != g_hash_table_size(said->before))
        return false;
    GHashTableIter all;
    gpointer line, when;
    g_hash_table_iter_init(&all, said->now);
    while (g_hash_table_iter_next(&all, &line, &when)) {
        const gint64 *old = g_hash_table_lookup(said->before, line);
        if (!old || *old != *(gint64 *)when)
            return false;
    }
    return true;
}

static void keep(const Said *said)
{
    if (g_hash_table_size(said->now) == 0) {
        if (said->was_there)
            unlinkat(said->dir_fd, said->name, 0);
        return;
    }
    g_autoptr(GString) text = g_string_new(NULL);
    GHashTableIter all;
    gpointer line, when;
    g_hash_table_iter_init(&all, said->now);
    while (g_hash_table_iter_next(&all, &line, &when))
        g_string_append_printf(text, "%" G_GINT64_FORMAT " %s\n", *(gint64 *)when, (const char *)line);
    file_write_private(said->dir_fd, said->name, text->str, text->len, NULL);
}

void said_close(Said *said)
{
    if (said->dir_fd >= 0 && !is_unchanged(said))
        keep(said);
    file_close_at_end(&said->dir_fd);
    g_hash_table_unref(said->before);
    g_hash_table_unref(said->now);
    g_free(said->name);
    g_free(said);
}
