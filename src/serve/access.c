/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/access.h"

#include <arpa/inet.h>
#include <string.h>

/* --- host names --- */

/* The host of "host", "host:port", "[::1]:port"; owned by the caller. NULL: it is none of these. */
static char *host_of(const char *authority)
{
    const char *end = *authority == '[' ? strchr(authority, ']') : authority + strcspn(authority, ":");
    if (!end)
        return NULL;
    const char *begin = *authority == '[' ? authority + 1 : authority;
    const char *rest = *authority == '[' ? end + 1 : end;
    if (*rest && (*rest != ':' || rest[1 + strspn(rest + 1, "0123456789")] != '\0'))
        return NULL;
    g_autofree char *host = g_ascii_strdown(begin, end - begin);
    gsize length = strlen(host);
    if (length > 0 && host[length - 1] == '.')
        host[length - 1] = '\0';
    return g_steal_pointer(&host);
}

static bool is_address(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    return inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1;
}

/* "https://host:port" -> "host:port"; NULL: no origin ("null"). */
static const char *authority_of(const char *origin)
{
    const char *at = strstr(origin, "://");
    return at ? at + strlen("://") : NULL;
}

/* --- beginning and end --- */

static void add_host(GPtrArray *hosts, char *host)
{
    if (host && *host)
        g_ptr_array_add(hosts, host);
    else
        g_free(host);
}

static char **collect_hosts(const AccessOptions *options)
{
    GPtrArray *hosts = g_ptr_array_new();
    add_host(hosts, g_strdup("localhost"));
    if (options->machine)
        add_host(hosts, host_of(options->machine));
    for (const char *const *origin = options->origins; origin && *origin; origin++)
        if (authority_of(*origin))
            add_host(hosts, host_of(authority_of(*origin)));
    g_ptr_array_add(hosts, NULL);
    return (char **)g_ptr_array_free(hosts, FALSE);
}

Access *access_new(const AccessOptions *options)
{
    Access *access = g_new0(Access, 1);
    GPtrArray *origins = g_ptr_array_new();
    for (const char *const *origin = options->origins; origin && *origin; origin++) {
        if (strcmp(*origin, "*") == 0)
            access->any_origin = true;
        else
            g_ptr_array_add(origins, g_strdup(*origin));
    }
    g_ptr_array_add(origins, NULL);
    access->origins = (char **)g_ptr_array_free(origins, FALSE);
    access->read_token = g_strdup(options->read_token);
    access->write_token = g_strdup(options->write_token);
    access->hosts = options->guard_hosts ? collect_hosts(options) : NULL;
    return access;
}

void access_free(Access *access)
{
    if (!access)
        return;
    g_free(access->read_token);
    g_free(access->write_token);
    g_strfreev(access->origins);
    g_strfreev(access->hosts);
    g_free(access);
}

/* --- tokens --- */

/* Takes as long whatever it finds, for what it is given. */
static bool is_same_secret(const char *given, const char *secret)
{
    gsize length = strlen(given), n = strlen(secret);
    guint differences = length != n || n == 0;
    for (gsize i = 0; i < length; i++)
        differences |= (guint)(guchar)given[i] ^ (guint)(guchar)secret[n ? i % n : 0];
    return differences == 0;
}

/* Of "user:password". Owned by the caller; NULL: it is none. */
static char *password_of(const char *base64)
{
    gsize length;
    g_autofree guchar *pair = g_base64_decode(base64, &length);
    const guchar *colon = length ? memchr(pair, ':', length) : NULL;
    if (!colon || memchr(pair, '\0', length))
        return NULL;
    return g_strndup((const char *)colon + 1, length - (gsize)(colon + 1 - pair));
}

/* Owned by the caller; NULL: there is none. */
static char *token_of(const char *authorization)
{
    gsize scheme = strcspn(authorization, " ");
    const char *rest = authorization + scheme + strspn(authorization + scheme, " ");
    if (scheme == 6 && g_ascii_strncasecmp(authorization, "Bearer", 6) == 0)
        return g_strdup(rest);
    if (scheme == 5 && g_ascii_strncasecmp(authorization, "Token", 5) == 0)
        return g_strdup(rest);
    if (scheme == 5 && g_ascii_strncasecmp(authorization, "Basic", 5) == 0)
        return password_of(rest);
    return NULL;
}

bool access_check_token(const Access *access, RouteAccess wanted, const char *authorization, const char *parameter,
                        Reply **ret_reply)
{
    const char *needed = wanted == ACCESS_READ ? access->read_token : access->write_token;
    if (wanted == ACCESS_OPEN || !needed)
        return true;
    g_autofree char *token = authorization ? token_of(authorization) : g_strdup(parameter);
    if (!token) {
        *ret_reply = authorization ? reply_error(401, "expected Authorization: Bearer TOKEN")
                                   : reply_error(401, "a token is needed: Authorization: Bearer TOKEN");
        return false;
    }
    bool writes = access->write_token && is_same_secret(token, access->write_token);
    bool reads = access->read_token && is_same_secret(token, access->read_token);
    if (writes || (reads && wanted == ACCESS_READ))
        return true;
    *ret_reply =
        reads ? reply_error(403, "this token is for reading alone") : reply_error(401, "the token is not known here");
    return false;
}

/* --- names and pages --- */

bool access_check_host(const Access *access, const char *host, Reply **ret_reply)
{
    if (!access->hosts || !host)
        return true;
    g_autofree char *name = host_of(host);
    if (name && (is_address(name) || g_strv_contains((const char *const *)access->hosts, name)))
        return true;
    *ret_reply = reply_error(421,
                             "\"%.80s\" is no name of this server: without tokens it answers to addresses, localhost, "
                             "the machine's name and those in origins",
                             host);
    return false;
}

int access_origin(const Access *access, const char *origin)
{
    if (!origin)
        return access->any_origin ? ACCESS_ANY_ORIGIN : ACCESS_NO_ORIGIN;
    for (int i = 0; access->origins[i]; i++)
        if (g_ascii_strcasecmp(access->origins[i], origin) == 0)
            return i;
    return access->any_origin ? ACCESS_ANY_ORIGIN : ACCESS_NO_ORIGIN;
}

static bool is_own(const char *origin, const char *host)
{
    const char *authority = authority_of(origin);
    return authority && host && g_ascii_strcasecmp(authority, host) == 0;
}

bool access_check_page(const Access *access, const char *origin, const char *host, const char *fetch_site,
                       Reply **ret_reply)
{
    bool listed = origin && access_origin(access, origin) >= 0;
    bool foreign = origin ? !is_own(origin, host) : fetch_site && g_ascii_strcasecmp(fetch_site, "cross-site") == 0;
    if (listed || !foreign)
        return true;
    *ret_reply = reply_error(403, "a page of another site (%.200s) may change nothing here",
                             origin ? origin : "as Sec-Fetch-Site says");
    return false;
}
