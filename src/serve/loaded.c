/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/loaded.h"

#include "base/log.h"
#include "base/program.h"
#include "serve/own_address.h"

#include <stdio.h>
#include <stdlib.h>

#define STANDARD_CONFIG "/etc/one/telemetry.conf"
#define STANDARD_FORWARDER "/var/lib/one/remotes/hooks/telemetry/forward"

/* --- arguments --- */

bool arguments_parse(Arguments *arguments, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &arguments->config_path,
         "configuration file (default: " STANDARD_CONFIG ")", "FILE"},
        {"listen", 'l', 0, G_OPTION_ARG_STRING, &arguments->listen, "address to listen on (default: 127.0.0.1)",
         "ADDRESS"},
        {"port", 'p', 0, G_OPTION_ARG_STRING, &arguments->port, "TCP port (default: 4126)", "PORT"},
        {"state-dir", 's', 0, G_OPTION_ARG_FILENAME, &arguments->state_dir,
         "where the history is kept (default: systemd's, else /var/tmp/one-telemetry-UID/telemetryd)", "DIR"},
        {"check-config", 't', 0, G_OPTION_ARG_NONE, &arguments->check_config,
         "read configuration, tokens, certificate and sinks, say whether they are right, and end", NULL},
        {"dump-config", 0, 0, G_OPTION_ARG_NONE, &arguments->dump_config,
         "print the options in effect and where they come from", NULL},
        {.long_name = NULL},
    };
    const ProgramOptions options = {
        .name = "telemetryd",
        .summary = "Serves the telemetry of the VMs of an OpenNebula cloud as JSON over HTTP.",
        .description =
            "Runs in the foreground. SIGHUP: the configuration is read again; SIGTERM: ends when requests under way "
            "are answered.\n"
            "Exit status: 0 done, 1 it failed, 2 wrong usage or configuration. More: man 8 telemetryd\n",
        .entries = entries,
    };
    return program_parse(&options, argc, argv, error);
}

static bool apply_arguments(const Arguments *arguments, Config *config, GError **error)
{
    return (!arguments->listen || config_set(config, CONFIG_server_listen, arguments->listen, "--listen", error)) &&
           (!arguments->port || config_set(config, CONFIG_server_port, arguments->port, "--port", error)) &&
           (!arguments->state_dir ||
            config_set(config, CONFIG_server_state_dir, arguments->state_dir, "--state-dir", error));
}

/* --- configuration --- */

void loaded_clear(Loaded *loaded)
{
    settings_free(loaded->settings);
    if (loaded->spooling)
        spooling_free(loaded->spooling);
    config_free(loaded->config);
    g_free(loaded->config_file);
    *loaded = (Loaded){0};
}

static bool load_config(const Arguments *arguments, Loaded *loaded, GError **error)
{
    g_autofree char *path = config_find(arguments->config_path, (const char *const[]){STANDARD_CONFIG, NULL});
    loaded->config = config_new();
    if (path && !config_load(loaded->config, path, error))
        return false;
    loaded->config_file = path ? realpath(path, NULL) : NULL;
    return apply_arguments(arguments, loaded->config, error);
}

static bool load_spooling(const Arguments *arguments, Loaded *loaded, GError **error)
{
    g_autoptr(GError) reason = NULL;
    loaded->spooling = spooling_new(loaded->config, loaded->config_file, arguments->program, &reason);
    if (loaded->spooling && !loaded->spooling->forwarder)
        loaded->spooling->forwarder = g_strdup(STANDARD_FORWARDER);
    if (reason)
        g_propagate_error(error, g_steal_pointer(&reason));
    return loaded->spooling || !*error;
}

/* What is sent there would come in, and be sent there. */
static bool check_loop(const Loaded *loaded, GError **error)
{
    const Settings *settings = loaded->settings;
    const char *sink =
        loaded->spooling ? own_address_sink(loaded->spooling->sinks, settings->address, settings->server.port) : NULL;
    if (!sink)
        return true;
    g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE,
                "[sink %s] url = %s: this telemetryd itself listens there (on %s port %u); expected the address of "
                "another server. Where the section is meant for the probes, write it into their telemetry.conf alone",
                sink, config_text(config_named(loaded->config, "sink", sink), CONFIG_sink_url), settings->address,
                settings->server.port);
    return false;
}

bool loaded_read(const Arguments *arguments, Loaded *loaded, GError **error)
{
    g_autoptr(GError) reason = NULL;
    if (load_config(arguments, loaded, &reason) && load_spooling(arguments, loaded, &reason) &&
        (loaded->settings = settings_new(loaded->config, &reason)) && check_loop(loaded, &reason))
        return true;
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

static void say_fine(const Loaded *loaded)
{
    const Settings *settings = loaded->settings;
    guint sinks = loaded->spooling ? loaded->spooling->sinks->len : 0;
    printf("%s: fine. Listens on %s port %u%s, %s; state in %s; collector %s; %u sink%s to relay to\n",
           loaded->config_file ? loaded->config_file : "no configuration file, all defaults", settings->address,
           settings->server.port, settings->cert ? " with TLS" : "",
           settings->read_token && settings->write_token ? "both tokens needed"
           : settings->write_token                       ? "everybody may read"
           : settings->read_token                        ? "everybody may write"
                                                         : "no token needed",
           settings->state_dir, settings->collector_enabled ? "on at first start" : "off until it is started", sinks,
           sinks == 1 ? "" : "s");
}

void loaded_warn(const Loaded *loaded)
{
    g_autoptr(GError) error = NULL;
    if (loaded->spooling && !spooling_has_forwarder(loaded->spooling, &error))
        log_warning("%s; make install puts one at " STANDARD_FORWARDER ", another is named by program in [forward]",
                    error->message);
}

/* Sinks and the rest are looked at each for itself: what is wrong with one does not hide what is with the other. */
int loaded_check(const Arguments *arguments)
{
    Loaded loaded = {0};
    g_autoptr(GError) of_config = NULL, of_sinks = NULL, of_rest = NULL, of_loop = NULL;
    const bool read = load_config(arguments, &loaded, &of_config);
    const bool right_sinks = read && load_spooling(arguments, &loaded, &of_sinks);
    const bool right_rest = read && (loaded.settings = settings_new(loaded.config, &of_rest)) != NULL;
    const bool fine = right_sinks && right_rest && check_loop(&loaded, &of_loop);
    const GError *problems[] = {of_config, of_sinks, of_rest, of_loop};
    for (guint i = 0; i < G_N_ELEMENTS(problems); i++)
        if (problems[i])
            log_error("%s", problems[i]->message);
    if (fine) {
        say_fine(&loaded);
        loaded_warn(&loaded);
    }
    loaded_clear(&loaded);
    return fine ? EXIT_DONE : EXIT_USAGE;
}
