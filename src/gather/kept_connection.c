/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/kept_connection.h"

struct KeptConnection {
    gint references;
    const HypervisorApi *api;
    Hypervisor *left; /* NULL: none, or it is in use */
};

KeptConnection *kept_connection_new(const HypervisorApi *api)
{
    KeptConnection *kept = g_new0(KeptConnection, 1);
    kept->references = 1;
    kept->api = api;
    return kept;
}

KeptConnection *kept_connection_ref(KeptConnection *kept)
{
    if (kept)
        g_atomic_int_inc(&kept->references);
    return kept;
}

void kept_connection_unref(KeptConnection *kept)
{
    if (!kept || !g_atomic_int_dec_and_test(&kept->references))
        return;
    if (kept->left)
        kept->api->close(kept->left);
    g_free(kept);
}

/* Puts `hypervisor` in its place. */
static Hypervisor *exchange(KeptConnection *kept, Hypervisor *hypervisor)
{
    Hypervisor *before;
    do
        before = g_atomic_pointer_get(&kept->left);
    while (!g_atomic_pointer_compare_and_exchange(&kept->left, before, hypervisor));
    return before;
}

Hypervisor *kept_connection_take(KeptConnection *kept)
{
    Hypervisor *hypervisor = exchange(kept, NULL);
    if (!hypervisor || kept->api->list_again(hypervisor, NULL))
        return hypervisor;
    kept->api->close(hypervisor);
    return NULL;
}

void kept_connection_leave(KeptConnection *kept, Hypervisor *hypervisor)
{
    Hypervisor *before = exchange(kept, hypervisor);
    if (before)
        kept->api->close(before);
}
