/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/server_internal.h"

#include <netinet/in.h>
#include <string.h>
#include <time.h>

#define ARRIVAL_MS 1000

/* --- phases --- */

gint64 server_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (gint64)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void client_set_phase(Client *client, Phase phase)
{
    __atomic_store_n(&client->since_ms, server_now_ms(), __ATOMIC_RELAXED);
    g_atomic_int_set(&client->phase, (gint)phase);
}

/* --- how many of one address (under clients_lock) --- */

typedef struct {
    guint8 address[16]; /* IPv4 as IPv6 has it */
    guint n;
} AddressCount;

static void read_address(const struct sockaddr *from, guint8 *ret_address)
{
    memset(ret_address, 0, 16);
    if (from->sa_family == AF_INET6) {
        memcpy(ret_address, &((const struct sockaddr_in6 *)(gconstpointer)from)->sin6_addr, 16);
    } else if (from->sa_family == AF_INET) {
        ret_address[10] = ret_address[11] = 0xFF;
        memcpy(ret_address + 12, &((const struct sockaddr_in *)(gconstpointer)from)->sin_addr, 4);
    }
}

static guint address_hash(gconstpointer key)
{
    guint32 words[4];
    memcpy(words, key, sizeof words);
    return (words[0] * 31 + words[1]) * 31 + (words[2] * 31 + words[3]) * 2654435761U;
}

static gboolean address_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, 16) == 0;
}

GHashTable *server_addresses_new(void)
{
    return g_hash_table_new_full(address_hash, address_equal, NULL, g_free);
}

static AddressCount *count_of(Server *server, const struct sockaddr *from)
{
    guint8 address[16];
    read_address(from, address);
    return g_hash_table_lookup(server->addresses, address);
}

static void count_in(Server *server, const struct sockaddr *from)
{
    AddressCount *count = count_of(server, from);
    if (!count) {
        count = g_new0(AddressCount, 1);
        read_address(from, count->address);
        g_hash_table_add(server->addresses, count);
    }
    count->n++;
}

static void count_out(Server *server, const struct sockaddr *from)
{
    AddressCount *count = count_of(server, from);
    if (count && --count->n == 0)
        g_hash_table_remove(server->addresses, count);
}

/* --- who may connect --- */

/* The one that has waited the longest for its next request goes. false: none waits. */
static bool make_room(Server *server)
{
    Client *longest = NULL;
    gint64 since_ms = G_MAXINT64;
    for (GList *at = server->clients.head; at; at = at->next) {
        Client *client = at->data;
        gint64 its_ms = __atomic_load_n(&client->since_ms, __ATOMIC_RELAXED);
        if (!client->is_shut && g_atomic_int_get(&client->phase) == PHASE_WAITING && its_ms < since_ms) {
            longest = client;
            since_ms = its_ms;
        }
    }
    if (longest)
        server_shut(longest);
    return longest != NULL;
}

/* Admitted, and not yet with the thread that is to serve them. Whoever is not there after a while will not come: it
 * went before, or there was no memory. With the lock held. */
static guint arriving(Server *server)
{
    if (server_now_ms() - server->admitted_ms > ARRIVAL_MS)
        server->arriving = 0;
    return server->arriving;
}

guint server_n_arriving(Server *server)
{
    g_mutex_lock(&server->clients_lock);
    const guint n = arriving(server);
    g_mutex_unlock(&server->clients_lock);
    return n;
}

bool server_admits(Server *server, const struct sockaddr *address)
{
    const ServerOptions *options = &server->options;
    bool admitted = !server_is_stopping(server);
    g_mutex_lock(&server->clients_lock);
    if (admitted && options->connections_per_address > 0) {
        const AddressCount *count = count_of(server, address);
        admitted = !count || count->n < options->connections_per_address;
    }
    if (admitted && server->clients.length - server->n_shut + arriving(server) >= options->connections)
        admitted = make_room(server);
    if (admitted) {
        server->arriving++;
        server->admitted_ms = server_now_ms();
    }
    g_mutex_unlock(&server->clients_lock);
    if (!admitted)
        COUNT(server, refused_connections);
    return admitted;
}

Client *server_client_new(Server *server, struct MHD_Connection *connection, int fd, const struct sockaddr *address)
{
    Client *client = g_new0(Client, 1);
    client->server = server;
    client->connection = connection;
    client->fd = fd;
    client->link.data = client;
    client->exchange.client = client;
    memcpy(&client->address, address,
           address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    client_set_phase(client, PHASE_READING);
    g_mutex_lock(&server->clients_lock);
    g_queue_push_tail_link(&server->clients, &client->link);
    server->arriving -= server->arriving > 0;
    count_in(server, (const struct sockaddr *)&client->address);
    g_mutex_unlock(&server->clients_lock);
    return client;
}

void server_client_free(Client *client)
{
    Server *server = client->server;
    g_mutex_lock(&server->clients_lock);
    g_queue_unlink(&server->clients, &client->link);
    count_out(server, (const struct sockaddr *)&client->address);
    server->n_shut -= client->is_shut;
    g_mutex_unlock(&server->clients_lock);
    exchange_clear(&client->exchange);
    g_free(client);
}

guint server_n_clients(Server *server)
{
    g_mutex_lock(&server->clients_lock);
    guint n = server->clients.length;
    g_mutex_unlock(&server->clients_lock);
    return n;
}
