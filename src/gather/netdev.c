/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/netdev.h"
#include "gather/host.h"

#include <string.h>
#include <sys/stat.h>

/* Of a line of /proc/net/dev, proc(5): bytes, packets, errors and drops received, four more of these, then the same of
 * what was sent. */
#define COUNTERS 12

typedef struct {
    guint64 at[COUNTERS];
} Device;

typedef struct {
    dev_t device; /* of the file, which has an inode of its own in each namespace */
    ino_t inode;
    gint64 read_ns;      /* CLOCK_BOOTTIME */
    GHashTable *devices; /* name → Device */
} Namespace;

struct Netdevs {
    char *proc;
    GMutex lock;           /* for the next; what is in there never changes */
    GPtrArray *namespaces; /* of Namespace */
};

static void free_namespace(gpointer data)
{
    Namespace *namespace = data;
    g_hash_table_unref(namespace->devices);
    g_free(namespace);
}

Netdevs *netdevs_new(const char *proc)
{
    Netdevs *netdevs = g_new0(Netdevs, 1);
    netdevs->proc = g_strdup(proc);
    netdevs->namespaces = g_ptr_array_new_with_free_func(free_namespace);
    g_mutex_init(&netdevs->lock);
    return netdevs;
}

void netdevs_free(Netdevs *netdevs)
{
    if (!netdevs)
        return;
    g_ptr_array_unref(netdevs->namespaces);
    g_mutex_clear(&netdevs->lock);
    g_free(netdevs->proc);
    g_free(netdevs);
}

/* --- reading --- */

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " ");
}

/* "  one-83-0: 656 8 0 0 …". NULL: it is none, or not whole; `ret_name` is set else. Owned by the caller. */
static Device *read_line(const char *line, char **ret_name)
{
    const char *colon = strchr(line, ':');
    if (!colon)
        return NULL;
    g_autofree Device *device = g_new0(Device, 1);
    const char *at = colon + 1;
    for (guint i = 0; i < COUNTERS; i++) {
        char *end;
        at = skip_blanks(at);
        if (!g_ascii_isdigit(*at)) /* a sign would be one for the next function */
            return NULL;
        device->at[i] = g_ascii_strtoull(at, &end, 10);
        if (*end != ' ')
            return NULL; /* four more follow */
        at = end;
    }
    const char *name = skip_blanks(line);
    *ret_name = g_strndup(name, (gsize)(colon - name));
    return g_steal_pointer(&device);
}

static GHashTable *read_devices(char *text)
{
    GHashTable *devices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *name;
        Device *device = read_line(line, &name);
        if (device)
            g_hash_table_insert(devices, name, device);
    }
    return devices;
}

/* NULL: not readable. */
static Namespace *read_namespace(const char *path, const struct stat *file)
{
    g_autofree char *text = NULL;
    const gint64 begin_ns = host_boottime_ns();
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return NULL;
    Namespace *namespace = g_new0(Namespace, 1);
    namespace->device = file->st_dev;
    namespace->inode = file->st_ino;
    namespace->read_ns = begin_ns + (host_boottime_ns() - begin_ns) / 2;
    namespace->devices = read_devices(text);
    return namespace;
}

/* With the lock held. */
static const Namespace *find_namespace(const Netdevs *netdevs, const struct stat *file)
{
    for (guint i = 0; i < netdevs->namespaces->len; i++) {
        const Namespace *namespace = g_ptr_array_index(netdevs->namespaces, i);
        if (namespace->inode == file->st_ino && namespace->device == file->st_dev)
            return namespace;
    }
    return NULL;
}

static const Namespace *namespace_of(Netdevs *netdevs, guint64 pid)
{
    struct stat file;
    g_autofree char *path = g_strdup_printf("%s/%" G_GUINT64_FORMAT "/net/dev", netdevs->proc, pid);
    if (stat(path, &file) < 0)
        return NULL;
    g_mutex_lock(&netdevs->lock);
    const Namespace *found = find_namespace(netdevs, &file);
    Namespace *made = found ? NULL : read_namespace(path, &file);
    if (made)
        g_ptr_array_add(netdevs->namespaces, made);
    g_mutex_unlock(&netdevs->lock);
    return found ? found : made;
}

/* --- filing --- */

/* As the guest sees it. */
static const struct {
    Metric metric;
    guint at;
} counters[] = {
    {METRIC_NIC_TX_BYTES, 0}, {METRIC_NIC_TX_PACKETS, 1}, {METRIC_NIC_TX_ERRORS, 2},  {METRIC_NIC_TX_DROPS, 3},
    {METRIC_NIC_RX_BYTES, 8}, {METRIC_NIC_RX_PACKETS, 9}, {METRIC_NIC_RX_ERRORS, 10}, {METRIC_NIC_RX_DROPS, 11},
};

static void file_device(MetricRow *row, const char *name, const Device *device)
{
    row_set_text(row, METRIC_NIC_NAME, name);
    for (guint i = 0; i < G_N_ELEMENTS(counters); i++)
        row_set_u64(row, counters[i].metric, device->at[counters[i].at]);
}

bool netdevs_file(Netdevs *netdevs, guint64 pid, const GArray *nics, VmSample *vm)
{
    const Namespace *namespace = namespace_of(netdevs, pid);
    for (guint i = 0; namespace && i < nics->len; i++)
        if (!g_hash_table_contains(namespace->devices, g_array_index(nics, NetdevNic, i).name))
            return false;
    for (guint i = 0; namespace && i < nics->len; i++) {
        const NetdevNic *nic = &g_array_index(nics, NetdevNic, i);
        file_device(vm_sample_row(vm, SCOPE_NIC, nic->index), nic->name,
                    g_hash_table_lookup(namespace->devices, nic->name));
    }
    if (namespace) {
        vm->served[GROUP_NET] = SERVED_PROC;
        vm->group_ns[GROUP_NET] = namespace->read_ns;
    }
    return namespace != NULL;
}
