/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/body.h"

#include "base/file.h"

#include <sys/mman.h>
#include <unistd.h>

#define PART_BYTES ((gsize)4 * BODY_FILE_WORTH) /* of text that is moved to the file at once */

static gsize file_bytes;

typedef struct {
    gpointer data; /* mapped */
    gsize length;
    int fd;
} BodyFile;

static void count(gsize more)
{
    g_atomic_pointer_add(&file_bytes, (gssize)more);
}

static void discount(gsize less)
{
    g_atomic_pointer_add(&file_bytes, -(gssize)less);
}

static void body_file_free(gpointer data)
{
    BodyFile *file = data;
    munmap(file->data, file->length);
    close(file->fd);
    discount(file->length);
    g_free(file);
}

/* NULL: it can't be mapped. */
static gpointer map(int fd, gsize length)
{
    gpointer data = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    return data == MAP_FAILED ? NULL : data;
}

/* Takes the file over. */
static Body body_of_file(int fd, gpointer data, gsize length)
{
    BodyFile *file = g_new(BodyFile, 1);
    *file = (BodyFile){data, length, fd};
    return (Body){g_bytes_new_with_free_func(data, length, body_file_free, file), fd};
}

Body body_of_bytes(GBytes *bytes)
{
    gsize length = bytes ? g_bytes_get_size(bytes) : 0;
    int fd = length >= BODY_FILE_WORTH ? memfd_create("answer", MFD_CLOEXEC) : -1;
    if (fd < 0)
        return (Body){bytes, -1};
    gpointer data = file_write_all(fd, g_bytes_get_data(bytes, NULL), length) ? map(fd, length) : NULL;
    if (!data) {
        close(fd);
        return (Body){bytes, -1};
    }
    g_bytes_unref(bytes);
    count(length);
    return body_of_file(fd, data, length);
}

/* --- part by part --- */

void body_begin(BodyWriter *writer)
{
    *writer = (BodyWriter){.text = g_string_new(NULL), .fd = -1};
}

void body_begin_in_heap(BodyWriter *writer)
{
    *writer = (BodyWriter){.text = g_string_new(NULL), .fd = -1, .no_file = true};
}

/* Gets back what is in the file already. */
static void give_up_file(BodyWriter *writer)
{
    writer->no_file = true;
    if (writer->fd >= 0 && writer->written > 0) {
        gpointer data = map(writer->fd, writer->written);
        if (!data)
            g_error("no memory for %" G_GSIZE_FORMAT " bytes", writer->written); /* ends the program, as GLib does */
        g_string_prepend_len(writer->text, data, (gssize)writer->written);
        munmap(data, writer->written);
    }
    if (writer->fd >= 0)
        close(writer->fd);
    discount(writer->written);
    writer->fd = -1;
    writer->written = 0;
}

/* It fails where memory is used up, or by a limit on the sizes of files. */
static void move_to_file(BodyWriter *writer)
{
    if (writer->fd < 0)
        writer->fd = memfd_create("answer", MFD_CLOEXEC);
    if (writer->fd < 0 || !file_write_all(writer->fd, writer->text->str, writer->text->len)) {
        give_up_file(writer);
        return;
    }
    writer->written += writer->text->len;
    count(writer->text->len);
    g_string_truncate(writer->text, 0);
}

void body_relieve(BodyWriter *writer)
{
    if (writer->text->len >= PART_BYTES && !writer->no_file)
        move_to_file(writer);
}

Body body_end(BodyWriter *writer)
{
    if (writer->fd >= 0 && writer->text->len > 0)
        move_to_file(writer);
    gpointer data = writer->fd >= 0 ? map(writer->fd, writer->written) : NULL;
    if (data) {
        g_string_free(g_steal_pointer(&writer->text), TRUE);
        return body_of_file(writer->fd, data, writer->written);
    }
    bool was_tried = writer->no_file || writer->fd >= 0;
    give_up_file(writer);
    GBytes *bytes = g_string_free_to_bytes(g_steal_pointer(&writer->text));
    return was_tried ? (Body){bytes, -1} : body_of_bytes(bytes);
}

gsize body_file_bytes(void)
{
    return (gsize)g_atomic_pointer_get(&file_bytes);
}
