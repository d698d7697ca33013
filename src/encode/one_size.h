/* SPDX-License-Identifier: Apache-2.0
 * What text takes in OpenNebula's message: compressed by zlib, then base64, in bytes. */
#pragma once

#include <glib.h>

/* What OpenNebula's agent makes of it, with the best compression; the message's header not counted. */
gsize one_message_size(const char *text, gsize length);

/* A text that is compressed as it grows. Its tables are larger than most texts, so one is used again and again. */
typedef struct OneSize OneSize;

/* `level` as zlib's. It has begun, without a cap. */
OneSize *one_size_new(int level);
void one_size_free(OneSize *size);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OneSize, one_size_free)

/* Begins with no text; of what takes more than `cap` bytes no more is compressed. Or begins with the text and the cap
 * of another. */
void one_size_begin(OneSize *size, gsize cap);
void one_size_begin_with(OneSize *size, const OneSize *from);

void one_size_add(OneSize *size, const char *text, gsize length);

/* What all of it takes; G_MAXSIZE where that is above the cap, or there was no memory to compress it. To be begun anew
 * before more is added. */
gsize one_size_end(OneSize *size);
