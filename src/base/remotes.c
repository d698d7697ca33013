/* SPDX-License-Identifier: Apache-2.0 */
#include "base/remotes.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#define SUFFIX "-probes.d"

#define HOOKS "/hooks/telemetry"
#define BUILDS HOOKS "/builds"

/* The program's directory, links resolved where it is there. */
static char *directory_of(const char *program)
{
    g_autofree char *named = g_path_get_dirname(program);
    char *resolved = realpath(named, NULL);
    return resolved ? resolved : g_steal_pointer(&named);
}

static char *cut(const char *directory, const char *suffix)
{
    if (!g_str_has_suffix(directory, suffix))
        return NULL;
    gsize length = strlen(directory) - strlen(suffix);
    return length > 0 ? g_strndup(directory, length) : g_strdup("/");
}

/* <remotes> of <remotes>/hooks/telemetry/builds/NAME/PROGRAM, or NULL. */
static char *builds_root(const char *program)
{
    g_autofree char *directory = directory_of(program);
    g_autofree char *builds = g_path_get_dirname(directory);
    return cut(builds, BUILDS);
}

/* <remotes>, im, kvm-probes.d, vm, monitor: the directory cut at its last four slashes. */
enum { PART_ROOT, PART_IM, PART_PROBES, PART_KIND, PART_PERIOD, N_PARTS };

static bool split(const char *program, char *parts[N_PARTS])
{
    g_autofree char *rest = directory_of(program);
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
    return root ? root : builds_root(program);
}

static char *config_below(const char *root, const char *probes)
{
    return g_build_filename(root, "etc", "im", probes, "telemetry.conf", NULL);
}

char *remotes_config_file(const char *program)
{
    char *parts[N_PARTS];
    char *file = split(program, parts) ? config_below(parts[PART_ROOT], parts[PART_PROBES]) : NULL;
    free_parts(parts);
    g_autofree char *root = file ? NULL : builds_root(program);
    return root ? config_below(root, "kvm" SUFFIX) : file;
}

char *remotes_hook_config_file(const char *program)
{
    g_autofree char *directory = directory_of(program);
    g_autofree char *hooks = cut(directory, HOOKS);
    g_autofree char *root = hooks ? g_steal_pointer(&hooks) : builds_root(program);
    return root ? config_below(root, "kvm" SUFFIX) : NULL;
}

char *remotes_forwarder(const char *program)
{
    g_autofree char *build = builds_root(program), *directory = directory_of(program);
    g_autofree char *root = build ? NULL : remotes_root(program);
    if (root)
        return g_build_filename(root, "hooks", "telemetry", "forward", NULL);
    g_autofree char *beside = g_build_filename(directory, "forward", NULL);
    return build || g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE) ? g_steal_pointer(&beside) : NULL;
}

/* Where OpenNebula runs it from: of one in builds/ that is where the chooser stands which has started it. */
static char *probe_directory(const char *program, const char *period)
{
    g_autofree char *root = builds_root(program);
    return root ? g_build_filename(root, "im", "kvm" SUFFIX, "vm", period, NULL) : g_path_get_dirname(program);
}

static bool has_probe(const char *program, const char *period, const char *name)
{
    g_autofree char *directory = probe_directory(program, period);
    g_autofree char *path = g_build_filename(directory, name, NULL);
    return g_file_test(path, G_FILE_TEST_IS_REGULAR) && g_file_test(path, G_FILE_TEST_IS_EXECUTABLE);
}

bool remotes_has_probe(const char *program, const char *name)
{
    return has_probe(program, "monitor", name);
}

bool remotes_has_status_probe(const char *program, const char *name)
{
    return has_probe(program, "status", name);
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

char *remotes_forecaster(const char *program)
{
    g_autofree char *root = remotes_root(program);
    g_autofree char *path = root ? g_build_filename(root, "im", "lib", "python", "prediction.sh", NULL) : NULL;
    return path && g_file_test(path, G_FILE_TEST_IS_REGULAR) ? g_steal_pointer(&path) : NULL;
}

bool remotes_has_forecaster(const char *program)
{
    g_autofree char *path = remotes_forecaster(program);
    return path;
}
