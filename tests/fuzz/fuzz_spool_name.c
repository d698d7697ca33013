/* SPDX-License-Identifier: Apache-2.0
 * Any file name: one that is taken is of the form and order that the queue relies on, and no way out of its directory.
 * And any text as a host: the name that is made of it is taken, with its time. */
#include "deliver/spool_name.h"

#include <stdint.h>
#include <string.h>

#define TIME_DIGITS 19

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name)
{
    gint64 time_ns = -1;
    if (!spool_name_parse(name, &time_ns))
        return;
    g_assert_cmpint(time_ns, >=, 0);
    g_assert_cmpuint(strlen(name), <=, SPOOL_NAME_MAX);
    g_autofree char *time = g_strdup_printf("%0*" G_GINT64_FORMAT "-", TIME_DIGITS, time_ns);
    g_assert_true(g_str_has_prefix(name, time));
    g_assert_true(g_str_has_suffix(name, ".lp.gz"));
    g_assert_cmpuint(strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_."), ==, strlen(name));
}

static void check_host(const char *host, gint64 time_ns, guint pid, guint n)
{
    const SpoolName name = {.time_ns = time_ns, .host = host, .pid = pid, .n = n};
    g_autofree char *made = spool_name_make(&name);
    gint64 parsed_ns = -1;
    g_assert_true(spool_name_parse(made, &parsed_ns));
    g_assert_cmpint(parsed_ns, ==, MAX(time_ns, 0));
    check_name(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    struct {
        gint64 time_ns;
        guint pid, n;
    } numbers = {0};
    memcpy(&numbers, data, MIN(size, sizeof numbers));
    check_name(text);
    check_host(text, numbers.time_ns, numbers.pid, numbers.n);
    return 0;
}
