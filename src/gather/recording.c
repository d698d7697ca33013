/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/recording.h"
#include "base/file.h"
#include "gather/domstats.h"
#include "model/rates.h"

bool recording_append(const char *path, const Sample *sample, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    domstats_write(sample, text);
    bool done = file_append(path, text->str, text->len, error);
    if (!done)
        g_prefix_error(error, "cannot record to ");
    return done;
}

static bool read_into(GPtrArray *all, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;
    if (!file_read(path, DOMSTATS_FILE_MAX, &text, &length, error)) {
        g_prefix_error(error, "cannot replay ");
        return false;
    }
    g_autoptr(GPtrArray) samples = domstats_read_up(text, length, error);
    if (!samples) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    g_ptr_array_set_free_func(samples, NULL); /* they move into `all` */
    for (guint i = 0; i < samples->len; i++)
        g_ptr_array_add(all, g_ptr_array_index(samples, i));
    return true;
}

GPtrArray *recording_replay(char *const *paths, GError **error)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)sample_free);
    for (char *const *path = paths; *path; path++)
        if (!read_into(all, *path, error))
            return NULL;
    for (guint i = 0; i < all->len; i++) {
        const Sample *before = i ? g_ptr_array_index(all, i - 1) : NULL;
        sample_finish(g_ptr_array_index(all, i), before);
        rates_derive(g_ptr_array_index(all, i), before);
    }
    return g_steal_pointer(&all);
}
