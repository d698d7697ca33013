/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/hypervisor.h"

void hypervisor_state_free(HypervisorState *state)
{
    g_free(state->name);
    g_free(state->uuid);
    g_free(state);
}

VmSample *hypervisor_vm_new(const HypervisorDomain *domain)
{
    VmSample *vm = vm_sample_new(domain->name);
    vm->uuid = g_strdup(domain->uuid);
    vm->domain_id = domain->id;
    return vm;
}
