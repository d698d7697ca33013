/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/probe_settings.h"

#include "base/remotes.h"
#include "gather/kvmrc.h"
#include "gather/state.h"

#include <stdlib.h>

#define STANDARD_URI "qemu:///system"

bool probe_settings_load(Config *config, const char *named, const char *program, char **ret_file, GError **error)
{
    g_autofree char *standard = program ? remotes_config_file(program) : NULL;
    g_autofree char *path = config_find(named, (const char *const[]){standard, NULL});
    if (path && !config_load(config, path, error))
        return false;
    if (ret_file)
        *ret_file = path ? realpath(path, NULL) : NULL;
    return true;
}

bool probe_settings_set(Config *config, ConfigOption option, const char *value, const char *flag, GError **error)
{
    return !value || config_set(config, option, value, flag, error);
}

char *probe_settings_uri_or_fail(const Config *config, const char *program, GError **error)
{
    g_autoptr(GError) reason = NULL;
    const char *set = config_text(config, CONFIG_probe_uri);
    if (*set)
        return g_strdup(set);
    char *found = program ? kvmrc_libvirt_uri(program, &reason) : NULL;
    if (!reason)
        return found ? found : g_strdup(STANDARD_URI);
    g_propagate_error(error, g_steal_pointer(&reason));
    return NULL;
}

char *probe_settings_uri(const Config *config, const char *program)
{
    char *uri = probe_settings_uri_or_fail(config, program, NULL);
    return uri ? uri : g_strdup(STANDARD_URI);
}

char *probe_settings_state_dir(const Config *config)
{
    const char *set = config_text(config, CONFIG_probe_state_dir);
    return *set ? g_strdup(set) : state_default_dir();
}
