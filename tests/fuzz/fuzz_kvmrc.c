/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a kvmrc. A value is one line and no longer than the file; a line of ours added at its end is what
 * counts. */
#include "gather/kvmrc.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char last[] = "\nexport LIBVIRT_URI=\"test:///default\" # ours\n";
    g_autofree char *value = kvmrc_value((const char *)data, size, "LIBVIRT_URI");
    if (value) {
        g_assert_null(strchr(value, '\n'));
        g_assert_cmpuint(strlen(value), <=, size);
    }

    g_autoptr(GString) text = g_string_new_len((const char *)data, (gssize)size);
    g_string_append(text, last);
    g_autofree char *ours = kvmrc_value(text->str, text->len, "LIBVIRT_URI");
    g_assert_cmpstr(ours, ==, "test:///default");
    return 0;
}
