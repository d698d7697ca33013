/* SPDX-License-Identifier: Apache-2.0
 * Talks to agents through libvirt, which it loads when it is first needed. */
#include "gather/guest_agent.h"

#include <dlfcn.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <stdlib.h>

#define LIBRARY "libvirt-qemu.so.0" /* brings libvirt.so.0 along */

/* VIR_ERR_AGENT_COMMAND_TIMEOUT: the agent has answered guest-sync, but not the command. By its number, as the headers
 * that we are built with may be older than the libvirt that we load. */
#define AGENT_COMMAND_TIMEOUT 112

G_DEFINE_QUARK(one_telemetry_guest_agent, guest_agent_error)

struct GuestAgents {
    virConnectPtr connection;
};

static struct {
    __typeof__(virSetErrorFunc) *set_error_func;
    __typeof__(virGetLastError) *get_last_error;
    __typeof__(virConnectOpen) *connect_open;
    __typeof__(virConnectClose) *connect_close;
    __typeof__(virConnectIsAlive) *is_alive;
    __typeof__(virDomainLookupByName) *lookup;
    __typeof__(virDomainFree) *domain_free;
    __typeof__(virDomainQemuAgentCommand) *agent_command;
} libvirt;

/* libvirt's default handler writes to standard error, which OpenNebula takes for a probe's error text. */
static void keep_quiet(void *data, virErrorPtr error)
{
    (void)data;
    (void)error;
}

/* What hindered it; NULL: nothing did. */
static char *load_libvirt(void)
{
    const struct {
        const char *name;
        void **to;
    } functions[] = {
        {"virSetErrorFunc", (void **)&libvirt.set_error_func},
        {"virGetLastError", (void **)&libvirt.get_last_error},
        {"virConnectOpen", (void **)&libvirt.connect_open},
        {"virConnectClose", (void **)&libvirt.connect_close},
        {"virConnectIsAlive", (void **)&libvirt.is_alive},
        {"virDomainLookupByName", (void **)&libvirt.lookup},
        {"virDomainFree", (void **)&libvirt.domain_free},
        {"virDomainQemuAgentCommand", (void **)&libvirt.agent_command},
    };
    void *library = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);
    for (guint i = 0; library && i < G_N_ELEMENTS(functions); i++)
        if (!(*functions[i].to = dlsym(library, functions[i].name)))
            library = NULL;
    if (!library)
        return g_strdup(dlerror());
    libvirt.set_error_func(NULL, keep_quiet);
    return NULL;
}

static bool ensure_libvirt(GError **error)
{
    static gsize loaded;
    static char *hindrance;
    if (g_once_init_enter(&loaded)) {
        hindrance = load_libvirt();
        g_once_init_leave(&loaded, 1);
    }
    if (hindrance)
        g_set_error(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT, "cannot load libvirt: %s", hindrance);
    return !hindrance;
}

GuestAgentErrorCode guest_agent_error_of(int libvirts)
{
    switch (libvirts) {
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_OPERATION_INVALID: /* it does not run */
        return GUEST_AGENT_ERROR_NO_DOMAIN;
    case VIR_ERR_ARGUMENT_UNSUPPORTED: /* "QEMU guest agent is not configured" */
        return GUEST_AGENT_ERROR_NO_AGENT;
    case VIR_ERR_AGENT_UNRESPONSIVE:
    case VIR_ERR_AGENT_UNSYNCED:
    case AGENT_COMMAND_TIMEOUT:
    case VIR_ERR_OPERATION_TIMEOUT: /* another command is under way */
        return GUEST_AGENT_ERROR_SILENT;
    case VIR_ERR_RPC:
    case VIR_ERR_SYSTEM_ERROR: /* the connection broke */
        return GUEST_AGENT_ERROR_LIBVIRT;
    default:
        return GUEST_AGENT_ERROR_REFUSED;
    }
}

static void set_error(GError **error)
{
    virErrorPtr last = libvirt.get_last_error();
    g_set_error_literal(error, GUEST_AGENT_ERROR, (gint)guest_agent_error_of(last ? last->code : VIR_ERR_OK),
                        last && last->message ? last->message : "unknown error");
}

/* libvirtd says by the code of a broken connection, too, that an agent's answer is longer than it takes (10 MiB) or
 * than its message to us can be (4 MiB), and goes on: a guest's doing, for which the others are not to be given up. */
static void set_error_of_command(const GuestAgents *agents, GError **error)
{
    g_autoptr(GError) reason = NULL;
    set_error(&reason);
    if (g_error_matches(reason, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT) &&
        libvirt.is_alive(agents->connection) == 1)
        g_set_error(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LOST, "its answer does not get through libvirt: %s",
                    reason->message);
    else
        g_propagate_error(error, g_steal_pointer(&reason));
}

static void libvirt_close(GuestAgents *agents)
{
    if (!agents)
        return;
    libvirt.connect_close(agents->connection);
    g_free(agents);
}

static GuestAgents *libvirt_open(const char *uri, GError **error)
{
    if (!ensure_libvirt(error))
        return NULL;
    virConnectPtr connection = libvirt.connect_open(uri);
    if (!connection) {
        virErrorPtr last = libvirt.get_last_error();
        g_set_error(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT, "cannot connect: %s",
                    last && last->message ? last->message : "unknown error");
        return NULL;
    }
    GuestAgents *agents = g_new0(GuestAgents, 1);
    agents->connection = connection;
    return agents;
}

static char *libvirt_command(GuestAgents *agents, const char *domain, const char *command, int timeout_s,
                             GError **error)
{
    virDomainPtr handle = libvirt.lookup(agents->connection, domain);
    if (!handle) {
        set_error(error);
        return NULL;
    }
    char *answer = libvirt.agent_command(handle, command, timeout_s, 0);
    if (!answer)
        set_error_of_command(agents, error);
    libvirt.domain_free(handle);
    char *copy = g_strdup(answer);
    free(answer);
    return copy;
}

const GuestAgentApi guest_agent_api = {.open = libvirt_open, .close = libvirt_close, .command = libvirt_command};
