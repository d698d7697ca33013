/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/spool_name.h"
#include "deliver/spool_dir.h"

#include <string.h>

#define SUFFIX ".lp.gz"
#define TIME_DIGITS 19   /* of G_MAXINT64 */
#define NUMBER_DIGITS 10 /* of G_MAXUINT */
#define HOST_CHARACTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_."
#define SINK_CHARACTERS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_"
#define SINK_MAX 64

G_STATIC_ASSERT(TIME_DIGITS + SPOOL_HOST_MAX + 2 * NUMBER_DIGITS + sizeof "---" SUFFIX <= SPOOL_NAME_MAX);

bool spool_is_sink_name(const char *name)
{
    static const char *const own[] = {SPOOL_TMP, SPOOL_BAD, SPOOL_LOCK, SPOOL_LEDGER, NULL};
    gsize length = strlen(name);
    return length >= 1 && length <= SINK_MAX && strspn(name, SINK_CHARACTERS) == length && !g_strv_contains(own, name);
}

char *spool_name_make(const SpoolName *name)
{
    g_autofree char *host = g_strndup(name->host, SPOOL_HOST_MAX);
    g_strcanon(host, HOST_CHARACTERS, '_');
    return g_strdup_printf("%0*" G_GINT64_FORMAT "-%s-%u-%04u" SUFFIX, TIME_DIGITS, MAX(name->time_ns, 0),
                           *host ? host : "_", name->pid, name->n);
}

/* Takes "-<digits>" off the end of `text`, `*length` bytes long. */
static bool take_number(const char *text, gsize *length)
{
    gsize at = *length;
    while (at > 0 && g_ascii_isdigit(text[at - 1]))
        at--;
    gsize digits = *length - at;
    if (digits < 1 || digits > NUMBER_DIGITS || at == 0 || text[at - 1] != '-')
        return false;
    *length = at - 1;
    return true;
}

bool spool_name_parse(const char *name, gint64 *ret_time_ns)
{
    gsize length = strlen(name);
    if (length > SPOOL_NAME_MAX || !g_str_has_suffix(name, SUFFIX))
        return false;
    length -= strlen(SUFFIX);
    for (guint numbers = 0; numbers < 2; numbers++) /* n, pid */
        if (!take_number(name, &length))
            return false;
    if (length < TIME_DIGITS + 2 || length > TIME_DIGITS + 1 + SPOOL_HOST_MAX || name[TIME_DIGITS] != '-' ||
        strspn(name + TIME_DIGITS, HOST_CHARACTERS) < length - TIME_DIGITS)
        return false;
    char digits[TIME_DIGITS + 1] = {0};
    memcpy(digits, name, TIME_DIGITS);
    guint64 time_ns;
    if (strspn(digits, G_CSET_DIGITS) < TIME_DIGITS || /* GLib would skip a vertical tab */
        !g_ascii_string_to_unsigned(digits, 10, 0, G_MAXINT64, &time_ns, NULL))
        return false;
    *ret_time_ns = (gint64)time_ns;
    return true;
}
