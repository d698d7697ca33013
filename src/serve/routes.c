/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/routes.h"

#include <string.h>

const Route routes[N_ROUTES] = {
#define ROUTE(n, m, p, a, w, q, h)                                                                                     \
    [ROUTE_##n] = {.name = #n,                                                                                         \
                   .method = (m),                                                                                      \
                   .path = (p),                                                                                        \
                   .access = ACCESS_##a,                                                                               \
                   .where = WHERE_##w,                                                                                 \
                   .parameters = (q),                                                                                  \
                   .help = (h)},
#include "serve/routes.def"
};

const char *route_variable(const Route *route)
{
    return strchr(route->path, '{');
}

/* true: *ret_id is what stands for the variable, NULL where the route has none. */
static bool is_path_of(const Route *route, const char *path, const char **ret_id)
{
    const char *variable = route_variable(route);
    gsize fixed = variable ? (gsize)(variable - route->path) : strlen(route->path);
    if (strncmp(path, route->path, fixed) != 0)
        return false;
    *ret_id = variable ? path + fixed : NULL;
    return variable ? path[fixed] && !strchr(path + fixed, '/') : path[fixed] == '\0';
}

static bool is_method_of(const Route *route, const char *method)
{
    return strcmp(method, route->method) == 0 || (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

RouteResult route_find(const char *method, const char *path, const Route **ret_route, char **ret_id,
                       const char **ret_allow)
{
    RouteResult result = ROUTE_NO_PATH;
    for (guint i = 0; i < N_ROUTES; i++) {
        const char *id;
        if (!is_path_of(&routes[i], path, &id))
            continue;
        if (is_method_of(&routes[i], method)) {
            *ret_route = &routes[i];
            *ret_id = g_strdup(id);
            return ROUTE_FOUND;
        }
        *ret_allow = strcmp(routes[i].method, "GET") == 0 ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
        result = ROUTE_NO_METHOD;
    }
    return result;
}

static bool is_word_of(const char *list, const char *word)
{
    g_auto(GStrv) words = g_strsplit(list, " ", -1);
    return g_strv_contains((const char *const *)words, word);
}

bool route_check_parameters(const Route *route, const Target *target, Reply **ret_reply)
{
    for (guint i = 0; i < target->n_parameters; i++) {
        const char *name = target->parameters[i].name;
        if (is_word_of(route->parameters, name))
            continue;
        *ret_reply = *route->parameters
                         ? reply_error(400, "unknown parameter \"%.80s\"; there are: %s", name, route->parameters)
                         : reply_error(400, "unknown parameter \"%.80s\"; there are none here", name);
        return false;
    }
    return true;
}

bool route_vm_id(const char *text, guint64 *ret_vm_id)
{
    g_autofree char *name = g_str_has_prefix(text, "one-") ? g_strdup(text) : g_strconcat("one-", text, NULL);
    return vm_id_from_name(name, ret_vm_id);
}
