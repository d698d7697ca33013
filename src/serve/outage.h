/* SPDX-License-Identifier: Apache-2.0
 * Whether the endpoint is blind: then an empty list would be taken for "no VMs". */
#pragma once

#include "serve/service.h"

/* Why nothing is known of any VM: the collector runs, none of its connections answers, no VM is listed as one that runs
 * (what `live`, of VmView, says), and no host's probes feed us. NULL: something is known. Owned by the caller. */
char *outage_cause(Service *service, const GArray *live, StoreClock now);

/* A 503 that says so. */
Reply *outage_reply(const char *cause);
