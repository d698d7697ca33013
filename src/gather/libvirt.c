/* SPDX-License-Identifier: Apache-2.0
 * The one file that talks to libvirt, but for guests' agents (guest_agent.c). */
#include "gather/domstats.h"
#include "gather/host.h"
#include "gather/hypervisor.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <string.h>

#define DISK_PARAMETERS_MAX 16 /* libvirt's protocol carries no more of a disk; it has 9 */

struct Hypervisor {
    virConnectPtr connection;
    virDomainStatsRecordPtr *records; /* which the list was made of; NULL: none */
    GPtrArray *domains;               /* of Known */
    GHashTable *by_uuid, *by_name;    /* Known; all owned by domains */
    guint left_out;
};

typedef struct {
    HypervisorDomain domain; /* first: what others see of it */
    virDomainPtr handle;     /* owned by records */
} Known;

static GQuark libvirt_error_quark(void)
{
    return g_quark_from_static_string("one_telemetry_libvirt-quark");
}

/* libvirt's default handler writes to standard error, which OpenNebula takes for a probe's error text. */
static void keep_quiet(void *data, virErrorPtr error)
{
    (void)data;
    (void)error;
}

static void set_error(GError **error, const char *what)
{
    virErrorPtr last = virGetLastError();
    g_set_error(error, libvirt_error_quark(), last ? last->code : 0, "%s: %s", what,
                last && last->message ? last->message : "unknown error");
}

static int number_of(const virDomainStatsRecord *record, const char *field)
{
    for (int i = 0; i < record->nparams; i++)
        if (strcmp(record->params[i].field, field) == 0 && record->params[i].type == VIR_TYPED_PARAM_INT)
            return record->params[i].value.i;
    return -1;
}

/* virDomainGetUUIDString costs 16 conversions of printf a call, which is most of what a domain costs here. */
static char *uuid_of(virDomainPtr handle)
{
    unsigned char raw[VIR_UUID_BUFLEN];
    if (virDomainGetUUID(handle, raw) < 0)
        return NULL;
    static const char digits[] = "0123456789abcdef";
    char text[VIR_UUID_STRING_BUFLEN], *at = text;
    for (guint i = 0; i < VIR_UUID_BUFLEN; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        *at++ = digits[raw[i] >> 4];
        *at++ = digits[raw[i] & 15];
    }
    *at = '\0';
    return g_strdup(text);
}

static void free_domain(gpointer data)
{
    Known *known = data;
    g_free(known->domain.name);
    g_free(known->domain.uuid);
    g_free(known);
}

static void forget_domains(Hypervisor *hypervisor)
{
    g_hash_table_remove_all(hypervisor->by_uuid);
    g_hash_table_remove_all(hypervisor->by_name);
    g_ptr_array_set_size(hypervisor->domains, 0);
    hypervisor->left_out = 0;
    if (hypervisor->records)
        virDomainStatsRecordListFree(hypervisor->records);
    hypervisor->records = NULL;
}

static void libvirt_close(Hypervisor *hypervisor)
{
    if (!hypervisor)
        return;
    forget_domains(hypervisor);
    g_hash_table_unref(hypervisor->by_uuid);
    g_hash_table_unref(hypervisor->by_name);
    g_ptr_array_unref(hypervisor->domains);
    if (hypervisor->connection)
        virConnectClose(hypervisor->connection);
    g_free(hypervisor);
}

/* `record` is of the one call that has the list and the states, and asks no QEMU; the handle stays the record's. */
static void add_domain(Hypervisor *hypervisor, const virDomainStatsRecord *record, gint64 boottime_ns)
{
    guint64 vm_id;
    const char *name = virDomainGetName(record->dom);
    const bool is_one = name && vm_id_from_name(name, &vm_id);
    const int state = number_of(record, "state.state");
    if (state == VIR_DOMAIN_SHUTOFF) /* it has ended between the list and its turn */
        return;
    char *uuid = is_one ? uuid_of(record->dom) : NULL;
    hypervisor->left_out += name && !is_one;
    if (!uuid)
        return;
    Known *known = g_new0(Known, 1);
    known->domain = (HypervisorDomain){
        .name = g_strdup(name),
        .uuid = uuid,
        .id = (int)virDomainGetID(record->dom), /* (unsigned)-1 for one that has just ended */
        .state = state,
        .reason = number_of(record, "state.reason"),
        .boottime_ns = boottime_ns,
    };
    known->handle = record->dom;
    g_ptr_array_add(hypervisor->domains, known);
    g_hash_table_insert(hypervisor->by_uuid, uuid, known);
    g_hash_table_insert(hypervisor->by_name, known->domain.name, known);
}

static bool list_domains(Hypervisor *hypervisor, GError **error)
{
    const gint64 begin_ns = host_boottime_ns();
    int count = virConnectGetAllDomainStats(hypervisor->connection, VIR_DOMAIN_STATS_STATE, &hypervisor->records,
                                            VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE);
    if (count < 0) {
        set_error(error, "cannot list the domains");
        return false;
    }
    const gint64 boottime_ns = begin_ns + (host_boottime_ns() - begin_ns) / 2;
    for (int i = 0; i < count; i++)
        add_domain(hypervisor, hypervisor->records[i], boottime_ns);
    return true;
}

static bool libvirt_list_again(Hypervisor *hypervisor, GError **error)
{
    forget_domains(hypervisor);
    return list_domains(hypervisor, error);
}

static Hypervisor *libvirt_open(const char *uri, GError **error)
{
    virSetErrorFunc(NULL, keep_quiet);
    Hypervisor *hypervisor = g_new0(Hypervisor, 1);
    hypervisor->domains = g_ptr_array_new_with_free_func(free_domain);
    hypervisor->by_uuid = g_hash_table_new(g_str_hash, g_str_equal);
    hypervisor->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    hypervisor->connection = virConnectOpenReadOnly(uri);
    if (!hypervisor->connection)
        set_error(error, "cannot connect");
    if (!hypervisor->connection || !list_domains(hypervisor, error)) {
        libvirt_close(hypervisor);
        return NULL;
    }
    return hypervisor;
}

static const GPtrArray *libvirt_domains(const Hypervisor *hypervisor)
{
    return hypervisor->domains;
}

static guint libvirt_left_out(const Hypervisor *hypervisor)
{
    return hypervisor->left_out;
}

static void set_parameter(VmSample *vm, const virTypedParameter *parameter)
{
    switch (parameter->type) {
    case VIR_TYPED_PARAM_INT:
        if (parameter->value.i >= 0)
            domstats_set_u64(vm, parameter->field, (guint64)parameter->value.i);
        break;
    case VIR_TYPED_PARAM_UINT:
        domstats_set_u64(vm, parameter->field, parameter->value.ui);
        break;
    case VIR_TYPED_PARAM_LLONG:
        if (parameter->value.l >= 0)
            domstats_set_u64(vm, parameter->field, (guint64)parameter->value.l);
        break;
    case VIR_TYPED_PARAM_ULLONG:
        domstats_set_u64(vm, parameter->field, parameter->value.ul);
        break;
    case VIR_TYPED_PARAM_BOOLEAN:
        domstats_set_u64(vm, parameter->field, parameter->value.b != 0);
        break;
    case VIR_TYPED_PARAM_STRING:
        domstats_set_text(vm, parameter->field, parameter->value.s);
        break;
    default: /* double: none of our metrics */
        break;
    }
}

/* NULL: not one of those listed. It is found by its name, which an active domain keeps, and its uuid is the list's:
 * most of libvirt's calls about a handle format that for a debug message that nobody wants. */
static VmSample *vm_from_record(const Hypervisor *hypervisor, const virDomainStatsRecord *record)
{
    const char *name = virDomainGetName(record->dom);
    const Known *known = name ? g_hash_table_lookup(hypervisor->by_name, name) : NULL;
    if (!known)
        return NULL;
    VmSample *vm = hypervisor_vm_new(&known->domain);
    vm->domain_id = (int)virDomainGetID(record->dom); /* another than the list's: it has ended since, or another run */
    for (int i = 0; i < record->nparams; i++)
        set_parameter(vm, &record->params[i]);
    return vm;
}

static unsigned libvirt_groups(HypervisorGroups groups)
{
    static const struct {
        HypervisorGroups ours;
        unsigned libvirts;
    } table[] = {
        {HYPERVISOR_STATE, VIR_DOMAIN_STATS_STATE},     {HYPERVISOR_INTERFACE, VIR_DOMAIN_STATS_INTERFACE},
        {HYPERVISOR_CPU, VIR_DOMAIN_STATS_CPU_TOTAL},   {HYPERVISOR_VCPU, VIR_DOMAIN_STATS_VCPU},
        {HYPERVISOR_BALLOON, VIR_DOMAIN_STATS_BALLOON}, {HYPERVISOR_BLOCK, VIR_DOMAIN_STATS_BLOCK},
    };
    unsigned found = 0;
    for (guint i = 0; i < G_N_ELEMENTS(table); i++)
        if (groups & table[i].ours)
            found |= table[i].libvirts;
    return found;
}

static GPtrArray *libvirt_stats(Hypervisor *hypervisor, const char *const *uuids, guint count, HypervisorGroups groups,
                                GError **error)
{
    g_autofree virDomainPtr *handles = g_new0(virDomainPtr, count + 1); /* NULL at its end */
    guint wanted = 0;
    for (guint i = 0; i < count; i++) {
        const Known *known = g_hash_table_lookup(hypervisor->by_uuid, uuids[i]);
        if (known)
            handles[wanted++] = known->handle;
    }
    GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_sample_free);
    if (!wanted)
        return vms;

    virDomainStatsRecordPtr *records = NULL;
    gint64 begin = host_boottime_ns();
    int found =
        virDomainListGetStats(handles, libvirt_groups(groups), &records, VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
    gint64 end = host_boottime_ns();
    if (found < 0) {
        set_error(error, "cannot get the statistics");
        g_ptr_array_unref(vms);
        return NULL;
    }
    for (int i = 0; i < found; i++) {
        VmSample *vm = vm_from_record(hypervisor, records[i]);
        if (!vm)
            continue;
        /* libvirt asks one domain after another: the middle of its share of the call is when it was this one's turn. */
        vm->boottime_ns = begin + (end - begin) * (2 * i + 1) / (2 * found);
        g_ptr_array_add(vms, vm);
    }
    virDomainStatsRecordListFree(records);
    return vms;
}

/* libvirt's names of a disk's counters, and ours. */
static const struct {
    const char *name;
    Metric metric;
} disk_counters[] = {
    {VIR_DOMAIN_BLOCK_STATS_READ_REQ, METRIC_DISK_RD_REQS},
    {VIR_DOMAIN_BLOCK_STATS_READ_BYTES, METRIC_DISK_RD_BYTES},
    {VIR_DOMAIN_BLOCK_STATS_READ_TOTAL_TIMES, METRIC_DISK_RD_NS},
    {VIR_DOMAIN_BLOCK_STATS_WRITE_REQ, METRIC_DISK_WR_REQS},
    {VIR_DOMAIN_BLOCK_STATS_WRITE_BYTES, METRIC_DISK_WR_BYTES},
    {VIR_DOMAIN_BLOCK_STATS_WRITE_TOTAL_TIMES, METRIC_DISK_WR_NS},
    {VIR_DOMAIN_BLOCK_STATS_FLUSH_REQ, METRIC_DISK_FL_REQS},
    {VIR_DOMAIN_BLOCK_STATS_FLUSH_TOTAL_TIMES, METRIC_DISK_FL_NS},
};

static void set_disk_counter(MetricRow *row, const virTypedParameter *parameter)
{
    for (guint i = 0; i < G_N_ELEMENTS(disk_counters); i++)
        if (strcmp(parameter->field, disk_counters[i].name) == 0 && parameter->type == VIR_TYPED_PARAM_LLONG &&
            parameter->value.l >= 0)
            row_set_u64(row, disk_counters[i].metric, (guint64)parameter->value.l);
}

/* With room for all there may be from the start: to ask first how many there are would cost the round trips twice. */
static bool libvirt_disk(Hypervisor *hypervisor, const char *uuid, const char *target, MetricRow *row, GError **error)
{
    const Known *known = g_hash_table_lookup(hypervisor->by_uuid, uuid);
    virTypedParameter parameters[DISK_PARAMETERS_MAX];
    int count = DISK_PARAMETERS_MAX;
    memset(parameters, 0, sizeof parameters);
    if (!known || virDomainBlockStatsFlags(known->handle, target, parameters, &count, 0) < 0) {
        set_error(error, "cannot get the statistics of a disk");
        return false;
    }
    for (int i = 0; i < count; i++)
        set_disk_counter(row, &parameters[i]);
    return true;
}

static char *libvirt_xml(Hypervisor *hypervisor, const char *uuid)
{
    const Known *known = g_hash_table_lookup(hypervisor->by_uuid, uuid);
    char *xml = known ? virDomainGetXMLDesc(known->handle, 0) : NULL;
    char *copy = g_strdup(xml);
    free(xml);
    return copy;
}

/* --- states alone --- */

/* NULL: it can't be told who it is. */
static HypervisorState *state_from(const virDomainStatsRecord *record)
{
    HypervisorState *state = g_new0(HypervisorState, 1);
    state->name = g_strdup(virDomainGetName(record->dom));
    state->uuid = uuid_of(record->dom);
    state->state = number_of(record, "state.state");
    state->reason = number_of(record, "state.reason");
    if (state->name && state->uuid)
        return state;
    hypervisor_state_free(state);
    return NULL;
}

/* One that has ended between the list and its turn is not active any more. */
static GPtrArray *states_of(virConnectPtr connection, GError **error)
{
    virDomainStatsRecordPtr *records = NULL;
    int found = virConnectGetAllDomainStats(connection, VIR_DOMAIN_STATS_STATE, &records,
                                            VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE);
    g_autoptr(GPtrArray) states = g_ptr_array_new_with_free_func((GDestroyNotify)hypervisor_state_free);
    bool good = found >= 0;
    for (int i = 0; i < found && good; i++) {
        HypervisorState *state = state_from(records[i]);
        good = state != NULL;
        if (good && state->state != VIR_DOMAIN_SHUTOFF)
            g_ptr_array_add(states, state);
        else if (good)
            hypervisor_state_free(state);
    }
    if (!good)
        set_error(error, "cannot get the domains' states");
    if (found >= 0)
        virDomainStatsRecordListFree(records);
    return good ? g_steal_pointer(&states) : NULL;
}

static GPtrArray *libvirt_states(const char *uri, GError **error)
{
    virSetErrorFunc(NULL, keep_quiet);
    virConnectPtr connection = virConnectOpenReadOnly(uri);
    if (!connection) {
        set_error(error, "cannot connect");
        return NULL;
    }
    GPtrArray *states = states_of(connection, error);
    virConnectClose(connection);
    return states;
}

const HypervisorApi libvirt_api = {
    .open = libvirt_open,
    .close = libvirt_close,
    .list_again = libvirt_list_again,
    .domains = libvirt_domains,
    .stats = libvirt_stats,
    .disk = libvirt_disk,
    .xml = libvirt_xml,
    .left_out = libvirt_left_out,
    .states = libvirt_states,
};
