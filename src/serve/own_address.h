/* SPDX-License-Identifier: Apache-2.0
 * Whether a URL leads to ourselves. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Whether `host` (a name, or an address without brackets) is where a server is found that listens on `address`: that
 * address itself, and of one that stands for all (0.0.0.0, ::) every address of this machine, and its name. No name
 * server is asked. */
bool own_address_is(const char *host, const char *address);

/* NULL: none of the sinks (of SinkSettings) leads to that address and port. Else the name of the first that does, which
 * stays the sink's. */
const char *own_address_sink(const GPtrArray *sinks, const char *address, guint port);
