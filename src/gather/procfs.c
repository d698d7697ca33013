/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/procfs.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

gssize procfs_read(const char *path, char *buffer, gsize size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    gsize length = 0;
    gssize n;
    while (length < size - 1 && (n = read(fd, buffer + length, size - 1 - length)) > 0)
        length += (gsize)n;
    close(fd);
    buffer[length] = '\0';
    return (gssize)length;
}

/* What follows the label at the beginning of a line; NULL: there is none. */
static const char *find_after(const char *text, const char *label, char separator)
{
    const gsize length = strlen(label);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, label, length) == 0 && line[length] == separator)
            return line + length + 1;
    }
    return NULL;
}

bool procfs_find_kib(const char *text, const char *label, guint64 *ret_kib)
{
    const char *found = find_after(text, label, ':');
    if (found)
        *ret_kib = g_ascii_strtoull(found, NULL, 10);
    return found != NULL;
}

bool procfs_find_number(const char *text, const char *label, guint64 *ret_number)
{
    const char *found = find_after(text, label, ' ');
    if (found)
        *ret_number = g_ascii_strtoull(found, NULL, 10);
    return found != NULL;
}

bool procfs_number_at(const char *text, guint place, guint64 *ret_number)
{
    const char *const blanks = " \t\n";
    text += strspn(text, blanks);
    for (; place > 0; place--) {
        text += strcspn(text, blanks);
        text += strspn(text, blanks);
    }
    g_autofree char *word = g_strndup(text, strcspn(text, blanks));
    return g_ascii_string_to_unsigned(word, 10, 0, G_MAXUINT64, ret_number, NULL);
}

/* Arguments in /proc/PID/cmdline are separated by NULs. NULL where there is no -uuid. */
static const char *uuid_argument(const char *arguments, gssize length)
{
    const char *end = arguments + length;
    for (const char *argument = arguments; argument < end; argument += strlen(argument) + 1) {
        const char *next = argument + strlen(argument) + 1;
        if (strcmp(argument, "-uuid") == 0 && next < end)
            return next;
    }
    return NULL;
}

/* What its -uuid argument says, in `buffer` of PROCFS_FILE_MAX bytes; NULL where there is none. */
static const char *uuid_of_process(const char *proc, const char *pid, char *buffer)
{
    g_autofree char *path = g_build_filename(proc, pid, "cmdline", NULL);
    const gssize length = procfs_read(path, buffer, PROCFS_FILE_MAX);
    return length > 0 ? uuid_argument(buffer, length) : NULL;
}

bool procfs_has_uuid(const char *proc, guint64 pid, const char *uuid)
{
    g_autofree char *buffer = g_malloc(PROCFS_FILE_MAX), *text = g_strdup_printf("%" G_GUINT64_FORMAT, pid);
    return g_strcmp0(uuid_of_process(proc, text, buffer), uuid) == 0;
}

GHashTable *procfs_find_by_uuid(const char *proc)
{
    GHashTable *pids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autofree char *buffer = g_malloc(PROCFS_FILE_MAX);
    g_autoptr(GDir) directory = g_dir_open(proc, 0, NULL);
    for (const char *name; directory && (name = g_dir_read_name(directory));) {
        if (!g_ascii_isdigit(name[0]))
            continue;
        const char *uuid = uuid_of_process(proc, name, buffer);
        if (uuid)
            g_hash_table_insert(pids, g_strdup(uuid), g_hash_table_contains(pids, uuid) ? NULL : g_strdup(name));
    }
    return pids;
}
