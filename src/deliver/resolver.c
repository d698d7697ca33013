/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES (512 * 1024) /* the system's modules for names are loaded and run on it */

/* One look-up: of its thread and, until it is taken or given up, of the resolver. */
typedef struct {
    gint owners;
    gint ended; /* set after the results; from then on they are the resolver's */
    int event;
    ResolverLookup lookup;
    char *host;
    char *addresses, *problem;
} Job;

struct Resolver {
    char *host;
    guint port;
    ResolverLookup lookup;
    Job *job;         /* NULL: none is under way */
    char *addresses;  /* NULL: none are known */
    gint64 looked_us; /* when a look-up last ended */
    char *problem;
};

static gint threads; /* of this process */

/* --- the system's --- */

static char *address_text(const struct addrinfo *info)
{
    char text[INET6_ADDRSTRLEN];
    if (info->ai_family == AF_INET6)
        return g_strdup_printf(
            "[%s]", inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(gconstpointer)info->ai_addr)->sin6_addr, text,
                              sizeof text));
    if (info->ai_family == AF_INET)
        return g_strdup(inet_ntop(AF_INET, &((const struct sockaddr_in *)(gconstpointer)info->ai_addr)->sin_addr, text,
                                  sizeof text));
    return NULL;
}

char *resolver_system(const char *host, char **ret_problem)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *first = NULL;
    int code = getaddrinfo(host, NULL, &hints, &first);
    if (code != 0) {
        *ret_problem = g_strdup(code == EAI_SYSTEM ? g_strerror(errno) : gai_strerror(code));
        return NULL;
    }
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    for (const struct addrinfo *info = first; info && texts->len < RESOLVER_ADDRESSES_MAX; info = info->ai_next) {
        char *text = address_text(info);
        if (text)
            g_ptr_array_add(texts, text);
    }
    freeaddrinfo(first);
    if (texts->len == 0)
        *ret_problem = g_strdup("it has neither an IPv4 nor an IPv6 address");
    g_ptr_array_add(texts, NULL);
    return texts->len > 1 ? g_strjoinv(",", (char **)texts->pdata) : NULL;
}

bool resolver_is_address(const char *host)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *first = NULL;
    if (getaddrinfo(host, NULL, &hints, &first) != 0)
        return false;
    freeaddrinfo(first);
    return true;
}

/* --- one look-up --- */

static void release(Job *job)
{
    if (!job || !g_atomic_int_dec_and_test(&job->owners))
        return;
    close(job->event);
    g_free(job->host);
    g_free(job->addresses);
    g_free(job->problem);
    g_free(job);
}

static void *run(void *data)
{
    Job *job = data;
    job->addresses = job->lookup(job->host, &job->problem);
    g_atomic_int_set(&job->ended, 1);
    (void)eventfd_write(job->event, 1); /* can't fail: nothing was written before */
    release(job);
    g_atomic_int_add(&threads, -1);
    return NULL;
}

/* 0, or what errno would be. The program's signals are for its own threads. */
static int start_thread(Job *job)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int number = pthread_attr_init(&attributes);
    if (number != 0)
        return number;
    sigfillset(&all);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    number = pthread_create(&thread, &attributes, run, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return number;
}

/* NULL: it could not be started; *ret_problem (owned by the caller) says why. */
static Job *start(const Resolver *resolver, char **ret_problem)
{
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0) {
        *ret_problem = g_strdup(g_strerror(errno));
        return NULL;
    }
    Job *job = g_new(Job, 1);
    *job = (Job){.owners = 2, .event = event, .lookup = resolver->lookup, .host = g_strdup(resolver->host)};
    bool too_many = g_atomic_int_add(&threads, 1) >= RESOLVER_THREADS_MAX;
    int number = too_many ? EAGAIN : start_thread(job);
    if (number == 0)
        return job;
    g_atomic_int_add(&threads, -1);
    job->owners = 1;
    release(job);
    *ret_problem = g_strdup(too_many ? "too many look-ups hang already" : g_strerror(number));
    return NULL;
}

/* --- the resolver --- */

Resolver *resolver_new(const char *host, guint port, ResolverLookup lookup)
{
    Resolver *resolver = g_new(Resolver, 1);
    *resolver = (Resolver){.host = g_strdup(host), .port = port, .lookup = lookup};
    return resolver;
}

void resolver_free(Resolver *resolver)
{
    if (!resolver)
        return;
    release(resolver->job);
    g_free(resolver->host);
    g_free(resolver->addresses);
    g_free(resolver->problem);
    g_free(resolver);
}

/* The results of a look-up that has ended. One that failed leaves the addresses that are known. */
static void take_results(Resolver *resolver, gint64 now_us)
{
    Job *job = resolver->job;
    if (!job || !g_atomic_int_get(&job->ended))
        return;
    if (job->addresses) {
        g_free(resolver->addresses);
        resolver->addresses = g_steal_pointer(&job->addresses);
    }
    g_free(resolver->problem);
    resolver->problem = g_steal_pointer(&job->problem);
    resolver->looked_us = now_us;
    release(g_steal_pointer(&resolver->job));
}

static ResolverState state_of(const Resolver *resolver)
{
    if (resolver->addresses)
        return RESOLVER_READY;
    return resolver->job ? RESOLVER_WAITS : RESOLVER_FAILED;
}

ResolverState resolver_begin(Resolver *resolver, gint64 now_us)
{
    take_results(resolver, now_us);
    if (!resolver->job && (!resolver->addresses || now_us - resolver->looked_us >= RESOLVER_FRESH_US)) {
        g_clear_pointer(&resolver->problem, g_free);
        resolver->job = start(resolver, &resolver->problem);
    }
    return state_of(resolver);
}

ResolverState resolver_check(Resolver *resolver, gint64 now_us)
{
    take_results(resolver, now_us);
    return state_of(resolver);
}

int resolver_fd(const Resolver *resolver)
{
    return resolver->job ? resolver->job->event : -1;
}

const char *resolver_problem(const Resolver *resolver)
{
    return resolver->problem;
}

static void add_entry(GPtrArray *entries, const Resolver *resolver, const char *host)
{
    g_ptr_array_add(entries, g_strdup_printf("-%s:%u", host, resolver->port));
    g_ptr_array_add(entries, g_strdup_printf("%s:%u:%s", host, resolver->port, resolver->addresses));
}

/* Some versions of libcurl look for a name without the dot at its end, others with it. */
char **resolver_entries(const Resolver *resolver)
{
    GPtrArray *entries = g_ptr_array_new();
    add_entry(entries, resolver, resolver->host);
    if (g_str_has_suffix(resolver->host, ".")) {
        g_autofree char *dotless = g_strndup(resolver->host, strlen(resolver->host) - 1);
        add_entry(entries, resolver, dotless);
    }
    g_ptr_array_add(entries, NULL);
    return (char **)g_ptr_array_free(entries, FALSE);
}

void resolver_forget(Resolver *resolver)
{
    g_clear_pointer(&resolver->addresses, g_free);
}
