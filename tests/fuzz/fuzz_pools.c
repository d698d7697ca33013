/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as what OpenNebula's commands print with -x: read or refused with a reason; what is read can be judged. */
#include "doctor/judge_cloud.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const GPtrArray *hooks)
{
    g_autoptr(GPtrArray) templates = g_ptr_array_new();
    g_autoptr(GPtrArray) findings = judge_hooks(templates, hooks, "sudo");
    g_assert_cmpuint(findings->len, >, 0);
    for (guint i = 0; i < findings->len; i++) {
        const Finding *finding = g_ptr_array_index(findings, i);
        g_assert_null(strchr(finding->text, '\n'));
        g_assert_cmpuint(strlen(finding->text), <=, FINDING_TEXT_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) hooks_error = NULL, runs_error = NULL, hosts_error = NULL;
    g_autoptr(GPtrArray) hooks = pool_hooks((const char *)data, size, &hooks_error);
    g_autoptr(GPtrArray) runs = pool_hook_runs((const char *)data, size, &runs_error);
    g_autoptr(GPtrArray) hosts = pool_hosts((const char *)data, size, &hosts_error);
    g_assert(!hooks == (hooks_error != NULL) && !runs == (runs_error != NULL) && !hosts == (hosts_error != NULL));
    if (hooks)
        judge(hooks);
    const Hook hook = {.name = (char *)(guintptr) "hook"};
    finding_free(runs ? judge_hook_runs(&hook, runs, 1700000000, "sudo") : NULL);
    for (guint i = 0; hosts && i < hosts->len; i++) {
        const CloudHost *host = g_ptr_array_index(hosts, i);
        const HostFacts facts = {.name = host->name,
                                 .state = host->state,
                                 .asked = host_is_to_be_asked(host),
                                 .answer = host->im_mad,
                                 .version = "0.1.0",
                                 .sudo = "sudo",
                                 .tree = "/var/tmp/one"};
        g_autoptr(GPtrArray) findings = judge_host(&facts);
        g_assert_cmpuint(findings->len, >, 0);
    }
    return 0;
}
