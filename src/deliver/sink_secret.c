/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/sink_secret.h"
#include "base/file.h"
#include "deliver/sink.h"

#include <string.h>

#define KEY_MAX (256 * 1024) /* bytes of a key file, with certificates in it */

/* Bytes, so that one that is no text is caught as well. */
static bool check_text(const char *path, const char *secret, gsize length, GError **error)
{
    if (length == 0) {
        g_set_error(error, SINK_ERROR, SINK_ERROR_SECRET, "%s: is empty", path);
        return false;
    }
    for (gsize i = 0; i < length; i++) {
        if (!g_ascii_iscntrl(secret[i]))
            continue;
        g_set_error(error, SINK_ERROR, SINK_ERROR_SECRET,
                    "%s: byte %" G_GSIZE_FORMAT " is a control character: it must hold the secret alone, in one line",
                    path, i + 1);
        return false;
    }
    return true;
}

static char *read_file(const char *path, gsize limit, gsize *ret_length, GError **error)
{
    g_autoptr(GError) reason = NULL;
    char *content = NULL;
    if (!file_read_secret(path, limit, &content, ret_length, &reason))
        g_set_error_literal(error, SINK_ERROR, SINK_ERROR_SECRET, reason->message);
    return content;
}

char *sink_secret_read(const char *path, GError **error)
{
    gsize length;
    char *secret = read_file(path, SINK_SECRET_MAX + 1, &length, error);
    if (!secret)
        return NULL;
    if (length > 0 && secret[length - 1] == '\n')
        secret[--length] = '\0';
    if (check_text(path, secret, length, error))
        return secret;
    sink_secret_free(secret);
    return NULL;
}

bool sink_secret_check_key(const char *path, GError **error)
{
    gsize length;
    char *key = read_file(path, KEY_MAX, &length, error);
    sink_secret_free(key);
    return key != NULL;
}

void sink_secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    g_free(secret);
}

void sink_secret_mask(char *text, gsize length, const char *secret)
{
    gsize size = text && secret ? strlen(secret) : 0;
    if (size < SINK_MASK_MIN)
        return;
    for (char *at = text; (at = memmem(at, length - (gsize)(at - text), secret, size)); at += size)
        memset(at, '*', size);
}
