/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <zlib.h>

gsize agent_size(const GString *text)
{
    uLongf length = compressBound(text->len);
    g_autofree Bytef *compressed = g_malloc(length);
    assert_int_equal(compress2(compressed, &length, (const Bytef *)text->str, text->len, Z_BEST_COMPRESSION), Z_OK);
    g_autofree char *encoded = g_base64_encode(compressed, length);
    return strlen(encoded);
}
