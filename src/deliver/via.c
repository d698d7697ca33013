/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/via.h"
#include "deliver/spool_name.h"

#include <string.h>

#define HOST_BEGIN "_via." /* no host's name begins so */
#define DIGITS "0123456789abcdef"
#define SEPARATOR '.'
#define STRIDE (VIA_ID_LENGTH + 1)
#define LIST_MAX (VIA_MAX * STRIDE - 1)

G_STATIC_ASSERT(sizeof HOST_BEGIN - 1 + LIST_MAX <= SPOOL_HOST_MAX);

char *via_new_id(void)
{
    return g_strdup_printf("%0*x", VIA_ID_LENGTH, g_random_int());
}

bool via_is_list(const char *text)
{
    const gsize length = strlen(text);
    if (length > LIST_MAX || (length + 1) % STRIDE != 0)
        return false;
    for (gsize i = 0; i < length; i++)
        if (i % STRIDE == VIA_ID_LENGTH ? text[i] != SEPARATOR : !strchr(DIGITS, text[i]))
            return false;
    return length > 0;
}

bool via_has(const char *via, const char *id)
{
    for (const char *at = via; at; at = at[VIA_ID_LENGTH] ? at + STRIDE : NULL)
        if (strncmp(at, id, VIA_ID_LENGTH) == 0)
            return true;
    return false;
}

char *via_add(const char *via, const char *id)
{
    if (!via)
        return g_strdup(id);
    return strlen(via) + STRIDE <= LIST_MAX ? g_strdup_printf("%s%c%s", via, SEPARATOR, id) : NULL;
}

char *via_host(const char *via)
{
    return g_strconcat(HOST_BEGIN, via, NULL);
}

char *via_of_batch(const char *name)
{
    const char *host = strchr(name, '-');
    if (!host || !g_str_has_prefix(host + 1, HOST_BEGIN))
        return NULL;
    const char *list = host + strlen("-" HOST_BEGIN);
    g_autofree char *via = g_strndup(list, strcspn(list, "-"));
    return via_is_list(via) ? g_steal_pointer(&via) : NULL;
}
