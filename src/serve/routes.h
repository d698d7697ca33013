/* SPDX-License-Identifier: Apache-2.0
 * The table of routes (routes.def) as C sees it, and the handlers. */
#pragma once

#include "serve/service.h"

typedef enum { ACCESS_OPEN, ACCESS_READ, ACCESS_WRITE } RouteAccess;
typedef enum { WHERE_SNAPSHOT, WHERE_INLINE, WHERE_WORKER, WHERE_REMOTE, WHERE_STREAM } RouteWhere;

/* Never NULL but of route_stream, which the server does itself. Called from any thread. */
typedef Reply *(*RouteHandler)(Service *service, const Request *request);

typedef struct {
    const char *name, *method, *path;
    RouteAccess access;
    RouteWhere where;
    const char *parameters, *help;
} Route;

typedef enum {
#define ROUTE(name, ...) ROUTE_##name,
#include "serve/routes.def"
    N_ROUTES
} RouteId;

extern const Route routes[N_ROUTES];
extern const RouteHandler route_handlers[N_ROUTES]; /* handlers.c */

/* ROUTE_FOUND: *ret_route, *ret_id (what stands for {vm_id} or {file}, owned by the caller, or NULL). ROUTE_NO_METHOD:
 * the path is one, *ret_allow lists its methods ("GET, HEAD, OPTIONS"; static). */
typedef enum { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD } RouteResult;
RouteResult route_find(const char *method, const char *path, const Route **ret_route, char **ret_id,
                       const char **ret_allow);

/* false: a parameter that the route does not take; *ret_reply says so (400). */
bool route_check_parameters(const Route *route, const Target *target, Reply **ret_reply);

/* The braces at the end of the route's path, which stand for anything without a /: "{vm_id}". NULL: it has none. */
const char *route_variable(const Route *route);

/* "83" or "one-83". */
bool route_vm_id(const char *text, guint64 *ret_vm_id);

#define ROUTE(name, ...) Reply *route_##name(Service *service, const Request *request);
#include "serve/routes.def"

/* OpenAPI 3.0 description of all of it, from the tables of routes and metrics. Owned by the caller. */
GString *openapi_write(void);
