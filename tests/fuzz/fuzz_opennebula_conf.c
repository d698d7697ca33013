/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as one of OpenNebula's configuration files. A value is no longer than the file; a vector of ours at its
 * end, behind the line that it ends in, is what counts, unless a quote is open there. */
#include "doctor/opennebula_conf.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char last[] = "\nPROBES_PERIOD = [ MONITOR_VM = 17 ]\n";
    const char *text = (const char *)data;
    guint64 number = 0;
    g_autofree char *value = opennebula_conf_text(text, size, "COMMAND");
    if (value)
        g_assert_cmpuint(strlen(value), <=, size);
    if (opennebula_conf_number(text, size, "PROBES_PERIOD", "MONITOR_VM", &number))
        g_assert_cmpuint(number, >, 0);

    bool has_quote = memchr(data, '"', size) != NULL;
    g_autoptr(GString) longer = g_string_new_len(text, (gssize)size);
    g_string_append(longer, last);
    if (!has_quote)
        g_assert(opennebula_conf_number(longer->str, longer->len, "PROBES_PERIOD", "MONITOR_VM", &number) &&
                 number == 17);
    return 0;
}
