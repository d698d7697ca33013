/* SPDX-License-Identifier: Apache-2.0
 * Bodies of answers, of which a large one is there once: in a file in memory (memfd), whose pages the kernel sends as
 * they are, and that is mapped for those who have to read them. It can be written part by part, so that not even its
 * maker ever has all of it in the heap. Where no such file is to be had it stays in the heap. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define BODY_FILE_WORTH 65536 /* bytes of a body that is worth a file */

typedef struct {
    GBytes *bytes; /* NULL: none */
    int fd;        /* of the file, which the bytes close when they go; -1: they are in the heap */
} Body;

/* The bytes, which it takes over (NULL too), moved into a file where they are worth one. */
Body body_of_bytes(GBytes *bytes);

/* Append to `text`; call body_relieve between two parts. */
typedef struct {
    GString *text; /* what is not yet in the file */
    int fd;
    gsize written;
    bool no_file; /* it was tried */
} BodyWriter;

void body_begin(BodyWriter *writer);
void body_begin_in_heap(BodyWriter *writer); /* all of it stays in `text`, which is the caller's then; no body_end */
void body_relieve(BodyWriter *writer);       /* moves the text to the file where it is much, and leaves it empty then */
Body body_end(BodyWriter *writer);

gsize body_file_bytes(void); /* in all files that live */
