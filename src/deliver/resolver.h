/* SPDX-License-Identifier: Apache-2.0
 * Addresses of one host, looked up in a thread that nobody ever waits for: while no name server answers, the system's
 * resolver hangs for tens of seconds and can't be stopped, and libcurl joins the threads it has for it. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define RESOLVER_FRESH_US                                                                                              \
    (60 * G_USEC_PER_SEC)       /* addresses are looked up anew after it; until then the old ones do                   \
                                 */
#define RESOLVER_THREADS_MAX 64 /* of the whole process, those that hang and nobody needs among them */
#define RESOLVER_ADDRESSES_MAX 16

/* The addresses of a host, "192.0.2.1,[2001:db8::1]"; NULL: there are none, and *ret_problem says why in one line. Both
 * owned by the caller. Called in a thread of its own, where it may take as long as it likes. */
typedef char *(*ResolverLookup)(const char *host, char **ret_problem);

/* The system's. */
char *resolver_system(const char *host, char **ret_problem);

typedef enum {
    RESOLVER_READY, /* addresses are known */
    RESOLVER_WAITS, /* a look-up is under way */
    RESOLVER_FAILED,
} ResolverState;

typedef struct Resolver Resolver;
Resolver *resolver_new(const char *host, guint port, ResolverLookup lookup);
void resolver_free(Resolver *resolver); /* at once, whatever is under way */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Resolver, resolver_free)

/* Begins a look-up where one is needed and none is under way. Known addresses stay in use while, a minute old, they are
 * looked up anew, and when that fails. */
ResolverState resolver_begin(Resolver *resolver, gint64 now_us);
/* What has become of it. */
ResolverState resolver_check(Resolver *resolver, gint64 now_us);
/* Readable when the look-up that is under way has ended; -1: none is. */
int resolver_fd(const Resolver *resolver);

/* After FAILED. Owned by resolver, until the next call. */
const char *resolver_problem(const Resolver *resolver);
/* After READY: what to hand to libcurl as CURLOPT_RESOLVE, each entry with what takes the former one away in front.
 * NULL-terminated, owned by the caller. */
char **resolver_entries(const Resolver *resolver);
/* They did not lead to the server. */
void resolver_forget(Resolver *resolver);

/* It is an address and no name: nothing has to be looked up. */
bool resolver_is_address(const char *host);
