/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a probe_db.conf. Values are in their ranges, complaints are one line each; lines of ours at its end are
 * what counts. */
#include "gather/probe_db_conf.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char last[] = "\n:times_missing: 7 # ours\n:obsolete: \"11\"\n:base_path: '/it''s'\n";
    g_autoptr(GPtrArray) complaints = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(ProbeDbConf) conf = probe_db_conf_read((const char *)data, size, complaints);
    g_assert_cmpuint(conf->times_missing, <=, 1000000);
    g_assert_true(conf->obsolete_s >= 60 && conf->obsolete_s % 60 == 0 && conf->obsolete_s <= G_MAXUINT32 * 2ull);
    g_assert_true(!conf->base_path || (*conf->base_path && strlen(conf->base_path) <= size));
    for (guint i = 0; i < complaints->len; i++)
        g_assert_true(g_str_has_prefix(complaints->pdata[i], "line ") && !strchr(complaints->pdata[i], '\n'));

    g_autoptr(GString) text = g_string_new_len((const char *)data, (gssize)size);
    g_string_append_len(text, last, sizeof last - 1);
    const guint before = complaints->len;
    g_autoptr(ProbeDbConf) ours = probe_db_conf_read(text->str, text->len, complaints);
    g_assert_cmpuint(ours->times_missing, ==, 7);
    g_assert_cmpuint(ours->obsolete_s, ==, 660);
    g_assert_cmpstr(ours->base_path, ==, "/it's");
    g_assert_cmpuint(complaints->len, ==, 2 * before);
    return 0;
}
