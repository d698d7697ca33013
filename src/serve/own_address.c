/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/own_address.h"

#include "deliver/sink_request.h"
#include "deliver/sinks.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <string.h>

#define HTTP_PORT 80

/* As IPv6, where those of IPv4 have a place too. */
typedef struct in6_addr Address;

static void map_v4(struct in_addr v4, Address *ret_address)
{
    *ret_address = (Address){.s6_addr = {[10] = 0xFF, [11] = 0xFF}};
    memcpy(ret_address->s6_addr + 12, &v4, sizeof v4);
}

static bool read_address(const char *text, Address *ret_address)
{
    struct in_addr v4;
    if (inet_pton(AF_INET6, text, ret_address) == 1)
        return true;
    if (inet_pton(AF_INET, text, &v4) != 1)
        return false;
    map_v4(v4, ret_address);
    return true;
}

static bool is_loopback(const Address *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) || (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == IN_LOOPBACKNET);
}

/* It stands for all; who connects to it comes to this machine. */
static bool is_any(const Address *address)
{
    return IN6_IS_ADDR_UNSPECIFIED(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && memcmp(address->s6_addr + 12, "\0\0\0", 4) == 0);
}

static bool is_of_interface(const struct ifaddrs *interface, const Address *address)
{
    Address own;
    const struct sockaddr *at = interface->ifa_addr;
    if (!at || (at->sa_family != AF_INET && at->sa_family != AF_INET6))
        return false;
    if (at->sa_family == AF_INET)
        map_v4(((const struct sockaddr_in *)(const void *)at)->sin_addr, &own);
    else
        own = ((const struct sockaddr_in6 *)(const void *)at)->sin6_addr;
    return memcmp(&own, address, sizeof own) == 0;
}

static bool is_of_machine(const Address *address)
{
    struct ifaddrs *interfaces = NULL;
    bool found = is_loopback(address) || is_any(address);
    if (found || getifaddrs(&interfaces) != 0)
        return found;
    for (const struct ifaddrs *each = interfaces; each && !found; each = each->ifa_next)
        found = is_of_interface(each, address);
    freeifaddrs(interfaces);
    return found;
}

static bool is_named(const char *host, const Address *listen)
{
    if (g_ascii_strcasecmp(host, "localhost") == 0)
        return is_any(listen) || is_loopback(listen);
    return is_any(listen) && g_ascii_strcasecmp(host, g_get_host_name()) == 0;
}

bool own_address_is_one(const char *text)
{
    Address address;
    return read_address(text, &address);
}

bool own_address_is_loopback(const char *text)
{
    Address address;
    return read_address(text, &address) && is_loopback(&address);
}

bool own_address_is(const char *host, const char *address)
{
    Address listen, asked;
    if (!read_address(address, &listen))
        return false;
    if (!read_address(host, &asked))
        return is_named(host, &listen);
    if (is_any(&listen))
        return is_of_machine(&asked);
    return memcmp(&listen, &asked, sizeof asked) == 0 || (is_any(&asked) && is_loopback(&listen));
}

const char *own_address_sink(const GPtrArray *sinks, const char *address, guint port)
{
    for (guint i = 0; i < sinks->len; i++) {
        guint sink_port;
        const SinkSettings *sink = g_ptr_array_index(sinks, i);
        g_autofree char *host = sink_url_host(sink->url, HTTP_PORT, &sink_port);
        if (*sink->proxy == '\0' && sink_port == port && own_address_is(host, address))
            return sink->name;
    }
    return NULL;
}
