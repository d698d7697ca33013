/* SPDX-License-Identifier: Apache-2.0
 * Who may do what: tokens, pages of other sites, names that lead to us. Pure. */
#pragma once

#include "serve/routes.h"

typedef struct {
    char *read_token, *write_token; /* NULL: none is needed */
    char **origins;                 /* NULL-terminated, without "*" */
    bool any_origin;                /* "*": pages of any site may read */
    char **hosts; /* NULL: any name will do; else these, localhost and addresses: a page of a site whose name was made
                     to lead to our loopback address (DNS rebinding) is stopped by it */
} Access;

typedef struct {
    const char *read_token, *write_token; /* NULL: none is needed */
    const char *const *origins;           /* NULL-terminated; NULL: none */
    bool guard_hosts;                     /* see above */
    const char *machine;                  /* its name, besides those of the origins; NULL: unknown */
} AccessOptions;

Access *access_new(const AccessOptions *options); /* copies */
void access_free(Access *access);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Access, access_free)

/* `authorization`: "Bearer X", "Token X", or "Basic base64(user:X)", as clients of InfluxDB 1 have it; NULL: none.
 * `parameter`: their parameter p, used where there is none; NULL: none. The write token reads too. false: *ret_reply
 * is 401, or 403 where a read token wants to write. */
bool access_check_token(const Access *access, RouteAccess wanted, const char *authorization, const char *parameter,
                        Reply **ret_reply);

/* false: a name that is not ours; *ret_reply (421) says so. `host`: NULL where it was not sent. */
bool access_check_host(const Access *access, const char *host, Reply **ret_reply);

#define ACCESS_NO_ORIGIN (-1)
#define ACCESS_ANY_ORIGIN (-2)
/* Whether a page of `origin` (NULL: none was named) may read answers: its place in origins, or one of the above. */
int access_origin(const Access *access, const char *origin);

/* For a request that changes something: false for one from a page of another site that is not listed; * lists none.
 * *ret_reply is 403. `host`, `fetch_site` (Sec-Fetch-Site): NULL where they were not sent. */
bool access_check_page(const Access *access, const char *origin, const char *host, const char *fetch_site,
                       Reply **ret_reply);
