/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/state.h"
#include "base/file.h"
#include "gather/domstats.h"

#include <fcntl.h>
#include <unistd.h>

G_DEFINE_QUARK(one_telemetry_state, state_error)

char *state_default_dir(void)
{
    return g_strdup_printf("/var/tmp/one-telemetry-%u", (unsigned)geteuid());
}

char *state_file_name(const char *host_id)
{
    g_autofree char *clean = g_strdup(host_id);
    g_strcanon(clean, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-_", '_');
    return g_strdup_printf("state-%s.domstats", clean);
}

static bool is_ours(const Sample *sample, const StateContext *context, GError **error)
{
    if (g_strcmp0(sample->host, context->host) != 0) {
        g_set_error(error, STATE_ERROR, STATE_ERROR_UNUSABLE, "it is of host \"%s\", this is \"%s\"",
                    sample->host ? sample->host : "", context->host);
        return false;
    }
    if (g_strcmp0(sample->boot_id, context->boot_id) == 0 && sample->boottime_ns > context->boottime_ns) {
        g_set_error(error, STATE_ERROR, STATE_ERROR_UNUSABLE,
                    "it is from the future: %.0f s ahead of this boot's clock",
                    (double)(sample->boottime_ns - context->boottime_ns) / 1e9);
        return false;
    }
    return true;
}

static Sample *parse(char *text, gsize length, const StateContext *context, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(GPtrArray) samples = domstats_read_up(text, length, &reason);
    if (!samples || samples->len != 1) {
        g_set_error(error, STATE_ERROR, STATE_ERROR_UNUSABLE, "%s",
                    reason ? reason->message : "it holds more than one collection");
        return NULL;
    }
    Sample *sample = g_ptr_array_index(samples, 0);
    if (!is_ours(sample, context, error))
        return NULL;
    g_ptr_array_set_free_func(samples, NULL);
    bool rebooted = g_strcmp0(sample->boot_id, context->boot_id) != 0;
    for (guint i = 0; rebooted && i < sample->vms->len; i++)
        ((VmSample *)g_ptr_array_index(sample->vms, i))->domain_id = -1;
    sample_sort(sample);
    return sample;
}

Sample *state_load(const char *dir, const char *name, const StateContext *context, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autofree char *text = NULL;
    gsize length;
    Sample *sample = NULL;
    int fd = file_open_private_dir_at(AT_FDCWD, dir, &reason);
    if (fd >= 0 && file_read_private(fd, name, STATE_FILE_MAX, &text, &length, &reason))
        sample = parse(text, length, context, &reason);
    if (fd >= 0)
        close(fd);
    if (!sample && g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING))
        g_set_error(error, STATE_ERROR, STATE_ERROR_MISSING, "%s/%s: no previous sample", dir, name);
    else if (!sample)
        g_set_error(error, STATE_ERROR, STATE_ERROR_UNUSABLE, "previous sample %s/%s not used: %s", dir, name,
                    reason->message);
    return sample;
}

bool state_save(const char *dir, const char *name, const Sample *sample, GError **error)
{
    int fd = file_open_private_dir(dir, error);
    if (fd < 0)
        return false;
    GString *text = g_string_sized_new(4096);
    domstats_write(sample, text);
    bool saved = file_write_private(fd, name, text->str, text->len, error);
    g_string_free(text, TRUE);
    close(fd);
    return saved;
}
