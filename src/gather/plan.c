/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/plan.h"
#include "gather/vm_xml.h"

#include "model/rates.h"

#include <string.h>

/* In the XML of a domain whose balloon device has a stats period, without which no guest reports. */
#define STATS_PERIOD "<stats period="
#define REPORTS_MARK "+stats" /* behind the shape of such a domain; then, */
#define TAPS_MARK "+taps="    /* of one whose NICs are all taps, how many; */
#define DISK_MARK "+disk="    /* of one with but one disk that is no CD-ROM or floppy, that disk's target */

/* --- what is known --- */

static bool has_counters(const MetricRow *disk)
{
    return row_has(disk, METRIC_DISK_RD_REQS);
}

static bool may_report(const char *shape)
{
    return shape && strstr(shape, REPORTS_MARK);
}

/* The target of its only disk that is not removable; NULL: there are several, or none, or it is not known. */
static const char *fixed_disk(const char *shape)
{
    const char *mark = shape ? strstr(shape, DISK_MARK) : NULL;
    return mark ? mark + strlen(DISK_MARK) : NULL;
}

static bool is_removable(const MetricRow *disk, const char *shape)
{
    const char *fixed = fixed_disk(shape), *name = row_device_name(disk);
    return fixed && name && strcmp(name, fixed) != 0;
}

/* NULL: not all of them are taps, or it is not known. */
static GArray *find_taps(const VmSample *vm)
{
    const char *mark = vm->shape ? strstr(vm->shape, TAPS_MARK) : NULL;
    if (!mark || !g_ascii_isdigit(mark[strlen(TAPS_MARK)]) ||
        g_ascii_strtoull(mark + strlen(TAPS_MARK), NULL, 10) != vm->nics->len)
        return NULL;
    g_autoptr(GArray) taps = g_array_sized_new(FALSE, TRUE, sizeof(NetdevNic), vm->nics->len);
    for (guint i = 0; i < vm->nics->len; i++) {
        const MetricRow *row = g_ptr_array_index(vm->nics, i);
        const char *name = row_device_name(row);
        NetdevNic nic = {.index = row->index};
        if (!name || g_strlcpy(nic.name, name, sizeof nic.name) >= sizeof nic.name)
            return NULL;
        g_array_append_val(taps, nic);
    }
    return g_steal_pointer(&taps);
}

static bool has_reported(const MetricRow *row, gint64 realtime_ns)
{
    gint64 age_s;
    return rates_balloon_age(row, realtime_ns, &age_s) && ABS(age_s) <= RATES_BALLOON_OLD_S;
}

void vm_known_set(VmKnown *known, const VmSample *before, gint64 realtime_ns)
{
    *known = (VmKnown){.seen = false};
    if (!before)
        return;
    known->locked = row_u64(before->row, METRIC_VM_LOCKED) != 0;
    known->process = g_strdup(before->process);
    known->shape = g_strdup(before->shape);
    known->mark = g_strdup(before->mark);
    known->slow_ns = before->group_ns[GROUP_SLOW];
    known->seen = true;
    known->domain_id = before->domain_id;
    known->complete = !known->locked && before->shape && known->slow_ns != 0;
    known->nics = find_taps(before);
    known->reports = may_report(before->shape) && has_reported(before->row, realtime_ns);
    for (guint i = 0; i < before->disks->len; i++) {
        const MetricRow *disk = g_ptr_array_index(before->disks, i);
        if (!has_counters(disk) || (disk->idle_ns != 0 && is_removable(disk, before->shape)))
            continue;
        known->disks++;
        g_free(known->disk);
        known->disk = known->disks == 1 ? g_strdup(row_device_name(disk)) : NULL;
        known->row = disk->index;
    }
}

void vm_known_clear(VmKnown *known)
{
    g_clear_pointer(&known->disk, g_free);
    g_clear_pointer(&known->nics, g_array_unref);
    g_clear_pointer(&known->shape, g_free);
    g_clear_pointer(&known->mark, g_free);
    g_clear_pointer(&known->process, g_free);
}

static bool is_removable_kind(const XmlElement *disk)
{
    g_autofree char *device = xml_attribute(disk, "device");
    return g_strcmp0(device, "cdrom") == 0 || g_strcmp0(device, "floppy") == 0;
}

/* NULL: there are several, or none. Owned by the caller. */
static char *find_fixed_disk(const XmlElement *devices)
{
    const XmlElement *fixed = NULL;
    for (const XmlElement *disk = xml_child(devices, "disk"); disk; disk = xml_next(disk, "disk")) {
        if (is_removable_kind(disk))
            continue;
        if (fixed)
            return NULL;
        fixed = disk;
    }
    return xml_attribute(xml_child(fixed, "target"), "dev");
}

/* libvirt writes of a running domain what each NIC is now, as of a network's: a macvtap, "direct", counts the other way
 * round, others have no device of the host's, or have OVS count. */
static bool is_tap(const XmlElement *interface)
{
    g_autofree char *type = xml_attribute(interface, "type");
    g_autofree char *device = xml_attribute(xml_child(interface, "target"), "dev");
    g_autofree char *managed = xml_attribute(xml_child(interface, "target"), "managed");
    return device && g_strcmp0(managed, "no") != 0 && /* else somebody made it, as a macvtap maybe */
           (g_strcmp0(type, "bridge") == 0 || g_strcmp0(type, "ethernet") == 0 || g_strcmp0(type, "network") == 0);
}

/* "+taps=2"; "+taps=-": not all of its NICs are. Owned by the caller. */
static char *taps_mark(const XmlElement *devices)
{
    guint taps = 0;
    for (const XmlElement *nic = xml_child(devices, "interface"); nic; nic = xml_next(nic, "interface"), taps++)
        if (!is_tap(nic))
            return g_strdup(TAPS_MARK "-");
    return devices ? g_strdup_printf(TAPS_MARK "%u", taps) : g_strdup(TAPS_MARK "-");
}

char *plan_shape(const char *xml, const char *known)
{
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_MD5, xml, -1);
    if (known && g_str_has_prefix(known, sum) && strstr(known, TAPS_MARK)) /* not one of an older version */
        return g_strdup(known);
    g_autoptr(XmlTree) tree = xml_tree_read(xml, strlen(xml), VM_XML_MAX, NULL);
    const XmlElement *devices = tree ? xml_child(xml_root(tree), "devices") : NULL;
    g_autofree char *taps = taps_mark(devices), *fixed = find_fixed_disk(devices);
    return g_strconcat(sum, strstr(xml, STATS_PERIOD) ? REPORTS_MARK : "", taps, fixed ? DISK_MARK : "", fixed, NULL);
}

/* The value of a parameter behind the URI's "?"; NULL: it has none such. Owned by the caller. */
static char *uri_parameter(const char *query, const char *name)
{
    g_auto(GStrv) words = g_strsplit(query, "&", -1);
    for (char **word = words; *word; word++) {
        const char *value = strchr(*word, '=');
        if (value && strncmp(*word, name, strlen(name)) == 0 && (gsize)(value - *word) == strlen(name))
            return g_uri_unescape_string(value + 1, NULL);
    }
    return NULL;
}

char *plan_status_dir(const char *uri)
{
    const char *path = strstr(uri, ":///"), *query = strchr(uri, '?');
    if (!g_str_has_prefix(uri, "qemu") || !path || !g_str_has_prefix(path, ":///system"))
        return NULL;
    g_autofree char *socket = query ? uri_parameter(query + 1, "socket") : NULL;
    if (!socket)
        return query && strstr(query, "socket=") ? NULL : g_strdup("/run/libvirt/qemu");
    if (*socket != '/')
        return NULL;
    g_autofree char *directory = g_path_get_dirname(socket);
    return g_build_filename(directory, "qemu", NULL);
}

/* --- what is needed --- */

const PlanNeeds plan_all = {.groups = HYPERVISOR_ALL_GROUPS, .slow = true};

bool plan_slow_due(guint64 vm_id, gint64 before_ns, gint64 now_ns, gint64 period_ns)
{
    return before_ns == 0 || now_ns < before_ns || period_ns <= 0 ||
           vm_period(vm_id, before_ns, period_ns) != vm_period(vm_id, now_ns, period_ns);
}

PlanNeeds plan_needs(const VmKnown *known, const PlanNow *now)
{
    if (!known->seen)
        return plan_all;
    PlanNeeds needs = {.groups = now->nics ? 0 : HYPERVISOR_INTERFACE, .slow = now->slow && !now->fast};
    if (now->fast) {
        needs.groups |= now->kernel ? 0 : HYPERVISOR_CPU | HYPERVISOR_VCPU;
        return needs;
    }
    if (!known->complete || !now->kernel || /* by NOWAIT, which passes over a domain that is still held */
        g_strcmp0(now->shape, known->shape) != 0)
        return plan_all;
    if (known->reports || (now->slow && may_report(now->shape)))
        needs.groups |= HYPERVISOR_BALLOON;
    if (now->slow)
        needs.groups |= HYPERVISOR_BLOCK | HYPERVISOR_VCPU;
    else if (known->disks > 1)
        needs.groups |= HYPERVISOR_BLOCK;
    else
        needs.disk = known->disks == 1 && known->disk;
    return needs;
}

/* --- what is carried over --- */

/* Of a row that was like that in the sample before. */
static bool is_carried(const VmSample *vm, const MetricRow *before, Metric m)
{
    const Group group = metric_group(m);
    const bool is_read = metric_info[m].origin == ORIGIN_KEY || metric_info[m].origin == ORIGIN_OWN;
    if (m == METRIC_VM_MEMORY_RSS && vm->held)
        return true; /* libvirt has it with the balloon's figures, so in a fast sample without /proc nobody serves it */
    if (group == GROUP_DISK && before->idle_ns != 0 && vm->served[group] == SERVED_DISK)
        return is_read; /* the other disk's were asked for, not this one's */
    return is_read && group != GROUP_STATE && group != GROUP_START && vm->served[group] == SERVED_EARLIER;
}

static bool carries_any(const VmSample *vm, const MetricRow *before)
{
    for (guint i = 0; i < metric_count(before->scope); i++)
        if (is_carried(vm, before, metric_first(before->scope) + i) && row_has(before, metric_first(before->scope) + i))
            return true;
    return false;
}

static void carry_row(const VmSample *vm, MetricRow *row, const MetricRow *before)
{
    for (guint i = 0; i < metric_count(before->scope); i++) {
        const Metric m = metric_first(before->scope) + i;
        if (!is_carried(vm, before, m) || row_has(row, m) || !row_has(before, m))
            continue;
        if (metric_info[m].kind == KIND_TEXT)
            row_set_text(row, m, row_text(before, m));
        else
            row_set_u64(row, m, row_u64(before, m));
    }
}

/* Where all was read anew, what is not there any more was unplugged, and leaves no row. */
static void carry_rows(VmSample *vm, const VmSample *before, Scope scope)
{
    const GPtrArray *rows = vm_sample_rows(before, scope);
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *old = g_ptr_array_index(rows, i);
        MetricRow *row = carries_any(vm, old) ? vm_sample_row(vm, scope, old->index) : NULL;
        if (row)
            carry_row(vm, row, old);
    }
}

static bool has_same_counters(const MetricRow *row, const MetricRow *before)
{
    for (guint i = 0; i < metric_count(SCOPE_DISK); i++) {
        const Metric m = metric_first(SCOPE_DISK) + i;
        if (metric_info[m].kind == KIND_COUNTER &&
            (row_has(row, m) != row_has(before, m) || row_u64(row, m) != row_u64(before, m)))
            return false;
    }
    return has_counters(row);
}

/* Removable disks that nobody uses, which is nearly always, are asked about when the slow figures are. */
static void note_idle_disks(VmSample *vm, const VmSample *before)
{
    const bool all_read = vm->served[GROUP_DISK] == SERVED_BULK;
    for (guint i = 0; i < vm->disks->len; i++) {
        MetricRow *row = g_ptr_array_index(vm->disks, i);
        const MetricRow *old = is_removable(row, vm->shape) ? metric_rows_find_same(before->disks, i, row) : NULL;
        if (old && !all_read)
            row->idle_ns = old->idle_ns;
        else if (old && has_same_counters(row, old))
            row->idle_ns = vm_sample_group_ns(vm, GROUP_DISK);
    }
}

void plan_carry(VmSample *vm, const VmSample *before, bool fast)
{
    if (!before)
        return;
    const bool is_locked = row_u64(vm->row, METRIC_VM_LOCKED) != 0;
    vm->held = fast && !is_locked;
    for (Group group = GROUP_SHAPE; group < GROUP_START; group++) {
        if (vm->served[group] != SERVED_NOT || group == GROUP_KERNEL || (is_locked && group != GROUP_SHAPE))
            continue;
        vm->served[group] = SERVED_EARLIER;
        if (group != GROUP_SHAPE)
            vm->group_ns[group] = vm_sample_group_ns(before, group);
    }
    carry_row(vm, vm->row, before->row);
    carry_rows(vm, before, SCOPE_VCPU);
    carry_rows(vm, before, SCOPE_DISK);
    note_idle_disks(vm, before);
}
