/* SPDX-License-Identifier: Apache-2.0 */
#include "base/remotes.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX "-probes.d"

/* <remotes>, im, kvm-probes.d, vm, monitor: the directory cut at its last four slashes. */
enum { PART_ROOT, PART_IM, PART_PROBES, PART_KIND, PART_PERIOD, N_PARTS };

static bool split(const char *program, char *parts[N_PARTS])
{
    g_autofree char *named = g_path_get_dirname(program);
    g_autofree char *resolved = realpath(named, NULL);
    g_autofree char *rest = g_strdup(resolved ? resolved : named);
    for (int i = N_PARTS - 1; i > PART_ROOT; i--) {
        char *slash = strrchr(rest, '/');
        parts[i] = g_strdup(slash ? slash + 1 : "");
        if (slash)
            *slash = '\0';
    }
    parts[PART_ROOT] = g_strdup(*rest ? rest : "/");
    return strcmp(parts[PART_IM], "im") == 0 && g_str_has_suffix(parts[PART_PROBES], SUFFIX);
}

static void free_parts(char *parts[N_PARTS])
{
    for (int i = 0; i < N_PARTS; i++)
        g_free(parts[i]);
}

char *remotes_root(const char *program)
{
    char *parts[N_PARTS];
    char *root = split(program, parts) ? g_strdup(parts[PART_ROOT]) : NULL;
    free_parts(parts);
    return root;
}

char *remotes_config_file(const char *program)
{
    char *parts[N_PARTS];
    char *file = NULL;
    if (split(program, parts))
        file = g_build_filename(parts[PART_ROOT], "etc", parts[PART_IM], parts[PART_PROBES], "telemetry.conf", NULL);
    free_parts(parts);
    return file;
}

char *remotes_hook_config_file(const char *program)
{
    g_autofree char *named = g_path_get_dirname(program);
    g_autofree char *resolved = realpath(named, NULL);
    g_autofree char *root = g_strdup(resolved ? resolved : named);
    if (!g_str_has_suffix(root, "/hooks/telemetry"))
        return NULL;
    root[strlen(root) - strlen("/hooks/telemetry")] = '\0';
    return g_build_filename(*root ? root : "/", "etc", "im", "kvm-probes.d", "telemetry.conf", NULL);
}

char *remotes_forwarder(const char *program)
{
    g_autofree char *root = remotes_root(program), *directory = g_path_get_dirname(program);
    if (root)
        return g_build_filename(root, "hooks", "telemetry", "forward", NULL);
    return remotes_has_probe(program, "forward") ? g_build_filename(directory, "forward", NULL) : NULL;
}

bool remotes_has_probe(const char *program, const char *name)
{
    g_autofree char *directory = g_path_get_dirname(program);
    g_autofree char *path = g_build_filename(directory, name, NULL);
    return g_file_test(path, G_FILE_TEST_IS_REGULAR) && g_file_test(path, G_FILE_TEST_IS_EXECUTABLE);
}

static bool exists(const char *root, const char *pattern)
{
    g_autofree char *full = g_strconcat(root, pattern, NULL);
    glob_t found;
    bool any = glob(full, GLOB_NOSORT, NULL, &found) == 0;
    globfree(&found);
    return any;
}

bool remotes_can_forecast(const char *root)
{
    static const char *const places[] = {
        "/usr/lib/python3*/dist-packages",      "/usr/lib/python3*/site-packages",
        "/usr/lib64/python3*/site-packages",    "/usr/local/lib/python3*/*-packages",
        "/usr/local/lib64/python3*/*-packages", "/var/lib/one/.local/lib/python3*/site-packages",
    };
    bool numpy = false, scipy = false;
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *numpy_pattern = g_strconcat(places[i], "/numpy", NULL);
        g_autofree char *scipy_pattern = g_strconcat(places[i], "/scipy", NULL);
        numpy |= exists(root, numpy_pattern);
        scipy |= exists(root, scipy_pattern);
    }
    return numpy && scipy;
}
