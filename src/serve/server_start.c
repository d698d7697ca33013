/* SPDX-License-Identifier: Apache-2.0
 * The server with the handlers of the table; apart, as they bring everything along. */
#include "serve/server.h"

static guint64 version_of(Service *service)
{
    return store_version(service->store);
}

Server *server_start(Service *service, const ServerOptions *options, GError **error)
{
    static const ServerParts parts = {.handlers = route_handlers, .version = version_of};
    return server_start_with(service, options, &parts, error);
}
