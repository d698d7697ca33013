/* SPDX-License-Identifier: Apache-2.0
 * Addresses to listen on: what they are, and whether a URL leads to ours. */
#pragma once

#include <glib.h>
#include <stdbool.h>

bool own_address_is_one(const char *text); /* IPv4 or IPv6, without brackets */
/* One that nobody but this machine reaches; names are none. */
bool own_address_is_loopback(const char *text);

/* Whether `host` (a name, or an address without brackets) is where a server is found that listens on `address`: that
 * address itself, and of one that stands for all (0.0.0.0, ::) every address of this machine, and its name. No name
 * server is asked. */
bool own_address_is(const char *host, const char *address);

/* NULL: none of the sinks (of SinkSettings) leads to that address and port. Else the name of the first that does, which
 * stays the sink's. */
const char *own_address_sink(const GPtrArray *sinks, const char *address, guint port);
