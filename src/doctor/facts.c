/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/facts.h"
#include "base/file.h"
#include "base/remotes.h"
#include "deliver/sinks.h"
#include "deliver/spool_place.h"
#include "doctor/opennebula_conf.h"
#include "probe/probe_settings.h"

#include <string.h>

#define REMOTES "/var/lib/one/remotes"
#define HOST_TREE "/var/tmp/one"
#define ETC "/etc/one"
#define TREE_CONFIG "etc/im/kvm-probes.d/telemetry.conf"
#define SERVER_CONFIG "telemetry.conf"

const char *place_name(Place place)
{
    return place == PLACE_FRONT_END ? "front-end" : "host";
}

/* A self-contained installation of OpenNebula has all its directories below ONE_LOCATION. */
static const char *location(void)
{
    const char *location = g_getenv("ONE_LOCATION");
    return location && *location ? location : NULL;
}

static char *front_end_tree(const char *root)
{
    return location() ? g_strconcat(root, location(), "/var/remotes", NULL) : g_strconcat(root, REMOTES, NULL);
}

/* OpenNebula may have been told to put it elsewhere than where it does by itself. NULL: this program is in none. */
static char *own_tree(void)
{
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL), *remotes = front_end_tree("");
    g_autofree char *tree = program ? remotes_hook_config_file(program) : NULL;
    if (!tree || !g_str_has_suffix(tree, "/" TREE_CONFIG))
        return NULL;
    tree[strlen(tree) - strlen("/" TREE_CONFIG)] = '\0';
    return strcmp(tree, remotes) != 0 ? g_steal_pointer(&tree) : NULL;
}

char *facts_tree(const char *root, Place place)
{
    if (place == PLACE_FRONT_END)
        return front_end_tree(root);
    char *own = *root ? NULL : own_tree();
    return own ? own : g_strconcat(root, HOST_TREE, NULL);
}

static char *etc_dir(const char *root)
{
    return location() ? g_strconcat(root, location(), "/etc", NULL) : g_strconcat(root, ETC, NULL);
}

static bool has_probes(const char *tree)
{
    g_autofree char *probes = g_build_filename(tree, "im", NULL);
    return g_file_test(probes, G_FILE_TEST_IS_DIR);
}

guint facts_find_places(const char *root)
{
    g_autofree char *remotes = facts_tree(root, PLACE_FRONT_END), *tree = facts_tree(root, PLACE_HOST);
    g_autofree char *onehook = g_find_program_in_path("onehook");
    return (onehook && has_probes(remotes) ? PLACE_FRONT_END : 0) | (has_probes(tree) ? PLACE_HOST : 0);
}

/* Goes on with what is right after an error, as every check has to. */
static void load(ConfigFile *file, char *path)
{
    *file = (ConfigFile){.path = path, .config = config_new()};
    file->exists = path && g_file_test(path, G_FILE_TEST_EXISTS);
    if (file->exists && !config_load(file->config, path, &file->error))
        return;
    file->sinks = sinks_from_config(file->config, &file->error);
}

static void clear(ConfigFile *file)
{
    g_free(file->path);
    config_free(file->config);
    g_clear_error(&file->error);
    if (file->sinks)
        g_ptr_array_unref(file->sinks);
}

Facts *facts_new(const DoctorOptions *options, Place place)
{
    Facts *facts = g_new0(Facts, 1);
    facts->options = options;
    facts->place = place;
    facts->tree = facts_tree(options->root, place);
    facts->etc = etc_dir(options->root);
    load(&facts->probe, options->config ? g_strdup(options->config) : facts_in_tree(facts, TREE_CONFIG));
    bool has_server = place == PLACE_FRONT_END && !options->config;
    load(&facts->server, has_server ? g_build_filename(facts->etc, SERVER_CONFIG, NULL) : NULL);
    return facts;
}

void facts_free(Facts *facts)
{
    if (!facts)
        return;
    clear(&facts->probe);
    clear(&facts->server);
    g_free(facts->tree);
    g_free(facts->etc);
    g_free(facts);
}

char *facts_in_tree(const Facts *facts, const char *path)
{
    return g_build_filename(facts->tree, path, NULL);
}

char *facts_probe(const Facts *facts, const char *kind)
{
    return g_strdup_printf("%s/im/%s-probes.d/vm/monitor/telemetry", facts->tree, kind);
}

char *facts_as_user(const Facts *facts, const char *command)
{
    return g_strdup_printf("sudo -u %s %s", facts->options->user, command);
}

char *facts_libvirt_uri(const Facts *facts)
{
    g_autofree char *probe = facts_probe(facts, "kvm");
    return probe_settings_uri(facts->probe.config, probe);
}

#define PART_PERCENT 80 /* of a check's time */

gint64 facts_limit_ms(const Facts *facts, gint64 standard_ms)
{
    gint64 most_ms = (gint64)facts->options->timeout_s * 10 * PART_PERCENT;
    return most_ms ? MIN(most_ms, standard_ms) : standard_ms;
}

char *facts_remote_dir(const Facts *facts)
{
    gsize length;
    g_autofree char *path = g_build_filename(facts->etc, "oned.conf", NULL), *content = NULL;
    char *set = file_read(path, OPENNEBULA_CONF_MAX, &content, &length, NULL)
                    ? opennebula_conf_text(content, length, "SCRIPTS_REMOTE_DIR")
                    : NULL;
    if (set && g_path_is_absolute(set))
        return set;
    g_free(set);
    return g_strdup(HOST_TREE);
}

bool facts_has_kind(const Facts *facts, const char *kind)
{
    g_autofree char *probes = g_strdup_printf("%s/im/%s-probes.d", facts->tree, kind);
    return g_file_test(probes, G_FILE_TEST_IS_DIR);
}

char *facts_sync(const Facts *facts)
{
    return g_strdup_printf("sudo -u %s onehost sync --force%s", facts->options->user,
                           facts->place == PLACE_HOST ? "    # on the front-end" : "");
}

ConfigFiles facts_files(const Facts *facts)
{
    ConfigFiles files = {{&facts->probe, NULL, NULL}};
    if (facts->server.path && facts->server.exists)
        files.file[1] = &facts->server;
    return files;
}

char *facts_spool_dir(const ConfigFile *file)
{
    const char *set = config_text(file->config, CONFIG_spool_dir);
    return *set ? g_strdup(set) : spool_default_path();
}
