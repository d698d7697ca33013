/* SPDX-License-Identifier: Apache-2.0
 * The floor to measure against: a program that links libvirt and does nothing else.
 *   libvirt_only connect URI   opens a read-only connection and closes it
 *   libvirt_only stats URI     makes the probe's bulk call in between, and throws the answer away */
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: libvirt_only connect|stats URI\n");
        return 2;
    }
    virConnectPtr connection = virConnectOpenReadOnly(argv[2]);
    if (!connection)
        return 1;
    int found = 0;
    if (strcmp(argv[1], "stats") == 0) {
        const unsigned groups = VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON |
                                VIR_DOMAIN_STATS_VCPU | VIR_DOMAIN_STATS_INTERFACE | VIR_DOMAIN_STATS_BLOCK;
        virDomainStatsRecordPtr *records = NULL;
        found = virConnectGetAllDomainStats(connection, groups, &records,
                                            VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE |
                                                VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
        if (found >= 0)
            virDomainStatsRecordListFree(records);
    }
    virConnectClose(connection);
    return found < 0;
}
