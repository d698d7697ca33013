/* SPDX-License-Identifier: Apache-2.0
 * The functions that answer, apart from the table of routes: that is pure, these bring everything along. */
#include "serve/routes.h"

/* The server does the stream by itself. */
#define route_stream NULL

const RouteHandler route_handlers[N_ROUTES] = {
#define ROUTE(name, ...) [ROUTE_##name] = route_##name,
#include "serve/routes.def"
};
