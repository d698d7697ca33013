/* SPDX-License-Identifier: Apache-2.0 */
#include "model/rates.h"

#include <math.h>
#include <string.h>

#define NS_PER_S 1e9
#define NS_PER_MS 1e6

/* --- sums over devices --- */

static bool has_any_counter(const MetricRow *row)
{
    for (guint i = 0; i < metric_count(row->scope); i++) {
        Metric m = metric_first(row->scope) + i;
        if (metric_info[m].kind == KIND_COUNTER && row_has(row, m))
            return true;
    }
    return false;
}

static bool any_device_reports(const GPtrArray *rows)
{
    for (guint i = 0; i < rows->len; i++)
        if (has_any_counter(g_ptr_array_index(rows, i)))
            return true;
    return false;
}

/* A sum is known when a device has the figure, or when libvirt said how many devices there are and none of them reports
 * anything, which is then no device at all or an empty CD-ROM drive. Of a locked VM silence says nothing. */
static void derive_sum(VmSample *vm, Metric m)
{
    Metric of = metric_info[m].of;
    Scope scope = metric_info[of].scope;
    const GPtrArray *rows = vm_sample_rows(vm, scope);
    guint64 sum = 0;
    bool known = false;

    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *row = g_ptr_array_index(rows, i);
        known |= row_has(row, of);
        sum += row_u64(row, of);
    }
    if (!known && of != METRIC_DISK_ERRORS) { /* which KVM never reports: no word is not zero */
        Metric count = scope == SCOPE_NIC ? METRIC_VM_NIC_COUNT : METRIC_VM_DISK_COUNT;
        guint64 devices;
        if (row_get_u64(vm->row, count, &devices))
            known = devices == 0 || (!row_u64(vm->row, METRIC_VM_LOCKED) && !any_device_reports(rows));
    }
    if (known)
        row_set_u64(vm->row, m, sum);
}

static void derive_sums(VmSample *vm)
{
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        Metric m = metric_first(SCOPE_VM) + i;
        if (metric_info[m].origin == ORIGIN_SUM)
            derive_sum(vm, m);
    }
}

/* Three decimals are more than any of these is exact to, and a seventh of the digits that a quotient would have. */
static void set_figure(MetricRow *row, Metric m, double value)
{
    row_set_real(row, m, round(value * 1000) / 1000);
}

/* --- a VM's rows against their predecessors --- */

typedef struct {
    const MetricRow *before; /* NULL: a new device */
    bool reset;              /* a counter fell: it was plugged anew behind the same name */
} DevicePair;

typedef struct {
    double seconds[N_GROUPS]; /* between the two readings of each group; 0: no rate of it */
    const VmSample *before;
    VmSample *now;
    DevicePair *devices[N_SCOPES]; /* NICs and disks, as they stand in `now` */
} Pair;

static bool any_counter_fell(const MetricRow *now, const MetricRow *before)
{
    for (guint i = 0; i < metric_count(now->scope); i++) {
        Metric m = metric_first(now->scope) + i;
        guint64 a, b;
        if (metric_info[m].kind == KIND_COUNTER && row_get_u64(before, m, &a) && row_get_u64(now, m, &b) && b < a)
            return true;
    }
    return false;
}

static DevicePair *pair_devices(const GPtrArray *now, const GPtrArray *before)
{
    DevicePair *pairs = g_new0(DevicePair, now->len);
    for (guint i = 0; i < now->len; i++) {
        const MetricRow *row = g_ptr_array_index(now, i);
        pairs[i].before = metric_rows_find_same(before, i, row);
        pairs[i].reset = pairs[i].before && any_counter_fell(row, pairs[i].before);
    }
    return pairs;
}

/* false where the counter is absent on either side or fell. */
static bool counter_change(const MetricRow *now, const MetricRow *before, Metric m, guint64 *ret_change)
{
    guint64 a, b;
    if (!row_get_u64(before, m, &a) || !row_get_u64(now, m, &b) || b < a)
        return false;
    *ret_change = b - a;
    return true;
}

/* 0: no rate. */
static double rate_seconds(gint64 elapsed_ns)
{
    return elapsed_ns < RATES_MIN_INTERVAL_NS || elapsed_ns > RATES_MAX_INTERVAL_NS ? 0 : (double)elapsed_ns / NS_PER_S;
}

/* Between the two readings of a row; an idle CD-ROM's are further apart than the other disks'. 0: no rate. */
static double seconds_of(const Pair *pair, const MetricRow *now, const MetricRow *before, Group group)
{
    if (now->idle_ns == 0 && before->idle_ns == 0) /* nearly always */
        return pair->seconds[group];
    return rate_seconds(vm_sample_row_ns(pair->now, now, group) - vm_sample_row_ns(pair->before, before, group));
}

/* Of a sum over devices: the changes of those that are in both samples, and their rates. (A previous sample read from a
 * file has no sums.) */
static bool sum_change(const Pair *pair, Metric of, guint64 *ret_change, double *ret_rate)
{
    Scope scope = metric_info[of].scope;
    const GPtrArray *rows = vm_sample_rows(pair->now, scope);
    const double usual = pair->seconds[metric_group(of)];
    guint64 sum = 0, sum_usual = 0;
    double others = 0;
    guint paired = 0, with_figure = 0;
    for (guint i = 0; i < rows->len; i++) {
        const MetricRow *row = g_ptr_array_index(rows, i);
        const DevicePair *device = &pair->devices[scope][i];
        guint64 change;
        with_figure += row_has(row, of);
        if (!device->before || !row_has(row, of) || !row_has(device->before, of))
            continue;
        if (device->reset || !counter_change(row, device->before, of, &change))
            return false;
        paired++;
        if (change == 0) /* also of an idle CD-ROM that was not read, which so counts as unused until it is */
            continue;
        const double seconds = seconds_of(pair, row, device->before, metric_group(of));
        if (seconds <= 0)
            return false;
        const bool is_usual = seconds >= usual && seconds <= usual;
        sum += change;
        sum_usual += is_usual ? change : 0;
        others += is_usual ? 0 : (double)change / seconds;
    }
    if (with_figure && !paired)
        return false; /* all of them are new */
    *ret_change = sum;
    *ret_rate = (double)sum_usual / usual + others;
    return true;
}

static bool change_of(const Pair *pair, const MetricRow *now, const MetricRow *before, Metric m, guint64 *ret_change)
{
    double rate;
    if (metric_info[m].origin == ORIGIN_SUM)
        return row_has(now, m) && sum_change(pair, metric_info[m].of, ret_change, &rate);
    return counter_change(now, before, m, ret_change);
}

static bool rate_of(const Pair *pair, const MetricRow *now, const MetricRow *before, Metric m, double seconds,
                    double *ret_rate)
{
    guint64 change;
    if (metric_info[m].origin == ORIGIN_SUM)
        return row_has(now, m) && sum_change(pair, metric_info[m].of, &change, ret_rate);
    if (!counter_change(now, before, m, &change))
        return false;
    *ret_rate = (double)change / seconds;
    return true;
}

/* A row of which nothing new was read. */
static void keep_rate(const Pair *pair, MetricRow *now, const MetricRow *before, Metric m)
{
    if (vm_sample_holds(pair->now, m) && row_has(before, m))
        row_set_real(now, m, row_real(before, m)); /* of the same two readings as there */
}

static void derive_row(const Pair *pair, MetricRow *now, const MetricRow *before)
{
    for (guint i = 0; i < metric_count(now->scope); i++) {
        Metric m = metric_first(now->scope) + i;
        const MetricInfo *info = &metric_info[m];
        guint64 change, requests;
        double rate;
        if (info->origin != ORIGIN_RATE && info->origin != ORIGIN_MEAN_MS)
            continue;
        const double seconds = seconds_of(pair, now, before, metric_group(m));
        if (seconds <= 0)
            keep_rate(pair, now, before, m);
        else if (info->origin == ORIGIN_RATE && rate_of(pair, now, before, info->of, seconds, &rate))
            set_figure(now, m, rate);
        else if (info->origin == ORIGIN_MEAN_MS && change_of(pair, now, before, info->of, &change) &&
                 change_of(pair, now, before, info->per, &requests) && requests > 0)
            set_figure(now, m, (double)change / (double)requests / NS_PER_MS);
    }
}

/* --- percentages --- */

static double percent(double part, double whole)
{
    return MIN(100.0, 100.0 * part / whole);
}

static void derive_vcpus(const Pair *pair)
{
    guint64 vcpus = row_u64(pair->now->row, METRIC_VM_VCPUS), change;
    double ns = pair->seconds[GROUP_KERNEL] * NS_PER_S, delay = 0;
    guint with_delay = 0;

    for (guint i = 0; i < pair->now->vcpus->len; i++) {
        MetricRow *row = g_ptr_array_index(pair->now->vcpus, i);
        const MetricRow *before = metric_rows_find_same(pair->before->vcpus, i, row);
        if (!before)
            continue;
        if (counter_change(row, before, METRIC_VCPU_TIME, &change))
            set_figure(row, METRIC_VCPU_USAGE_PERCENT, percent((double)change, ns));
        if (counter_change(row, before, METRIC_VCPU_DELAY, &change)) {
            set_figure(row, METRIC_VCPU_STEAL_PERCENT, percent((double)change, ns));
            delay += (double)change;
            with_delay++;
        }
    }
    if (with_delay && vcpus)
        set_figure(pair->now->row, METRIC_VM_CPU_STEAL_PERCENT, percent(delay, ns * (double)vcpus));
}

static void derive_cpu(const Pair *pair)
{
    MetricRow *row = pair->now->row;
    guint64 vcpus = row_u64(row, METRIC_VM_VCPUS), change;
    if (!counter_change(row, pair->before->row, METRIC_VM_CPU_TIME, &change))
        return;
    double cores = (double)change / (pair->seconds[GROUP_KERNEL] * NS_PER_S);
    set_figure(row, METRIC_VM_CPU_CORE_PERCENT, 100.0 * cores);
    if (vcpus)
        set_figure(row, METRIC_VM_CPU_USAGE_PERCENT, percent(cores, (double)vcpus));
}

bool rates_balloon_age(const MetricRow *row, gint64 realtime_ns, gint64 *ret_age_s)
{
    const guint64 updated = row_u64(row, METRIC_VM_BALLOON_LAST_UPDATE);
    if (updated == 0)
        return false;
    *ret_age_s = realtime_ns / G_GINT64_CONSTANT(1000000000) - (gint64)MIN(updated, (guint64)G_MAXINT64);
    return true;
}

bool rates_balloon_is_fresh(const MetricRow *row, gint64 realtime_ns)
{
    gint64 age_s;
    return rates_balloon_age(row, realtime_ns, &age_s) && ABS(age_s) <= RATES_BALLOON_FRESH_S;
}

/* All that the guest itself has told, but when. */
static void drop_report(MetricRow *row)
{
    for (guint i = 0; i < metric_count(SCOPE_VM); i++) {
        const Metric m = metric_first(SCOPE_VM) + i;
        if (metric_group(m) == GROUP_GUEST && m != METRIC_VM_BALLOON_LAST_UPDATE)
            row_unset(row, m);
    }
}

static void derive_memory(VmSample *vm, gint64 realtime_ns)
{
    MetricRow *row = vm->row;
    guint64 current, maximum, rss, available, usable;
    gint64 age_s;

    if (row_get_u64(row, METRIC_VM_BALLOON_CURRENT, &current))
        row_set_u64(row, METRIC_VM_MEMORY_USED, current);
    if (row_get_u64(row, METRIC_VM_MEMORY_RSS, &rss))
        row_set_u64(row, METRIC_VM_MEMORY_HOST, rss + row_u64(row, METRIC_VM_MEMORY_SWAPPED));

    if (rates_balloon_age(row, realtime_ns, &age_s) && age_s > RATES_BALLOON_OLD_S)
        drop_report(row);
    if (rates_balloon_is_fresh(row, realtime_ns) && row_get_u64(row, METRIC_VM_MEMORY_AVAILABLE, &available) &&
        row_get_u64(row, METRIC_VM_MEMORY_USABLE, &usable) && available > 0 && usable <= available) {
        set_figure(row, METRIC_VM_MEMORY_USAGE_PERCENT, percent((double)(available - usable), (double)available));
        row_set_text(row, METRIC_VM_MEMORY_SOURCE, "guest");
    } else if (row_get_u64(row, METRIC_VM_BALLOON_CURRENT, &current) &&
               row_get_u64(row, METRIC_VM_MEMORY_MAX, &maximum) && maximum > 0) {
        set_figure(row, METRIC_VM_MEMORY_USAGE_PERCENT, percent((double)current, (double)maximum));
        row_set_text(row, METRIC_VM_MEMORY_SOURCE, "balloon");
    }
}

/* --- pairing --- */

static bool comparable(const Sample *now, const Sample *previous)
{
    return previous && g_strcmp0(now->boot_id, previous->boot_id) == 0 && g_strcmp0(now->host, previous->host) == 0;
}

/* 0: no pair. */
static double seconds_between(const VmSample *now, const VmSample *before, Group group)
{
    return rate_seconds(vm_sample_group_ns(now, group) - vm_sample_group_ns(before, group));
}

static bool make_pair(VmSample *vm, const Sample *previous, Pair *ret_pair)
{
    const VmSample *before = sample_find_run(previous, vm);
    if (!before || !before->boottime_ns || !vm->boottime_ns)
        return false;
    if (seconds_between(vm, before, GROUP_STATE) <= 0)
        return false;
    guint64 a, b;
    if (row_get_u64(before->row, METRIC_VM_CPU_TIME, &a) && row_get_u64(vm->row, METRIC_VM_CPU_TIME, &b) && b < a)
        return false; /* restarted behind the same id */
    *ret_pair = (Pair){.before = before, .now = vm};
    for (Group group = GROUP_STATE; group < N_GROUPS; group++)
        ret_pair->seconds[group] = seconds_between(vm, before, group);
    return true;
}

static void derive_devices(const Pair *pair, Scope scope)
{
    GPtrArray *rows = vm_sample_rows(pair->now, scope);
    for (guint i = 0; i < rows->len; i++) {
        const DevicePair *device = &pair->devices[scope][i];
        if (device->before && !device->reset)
            derive_row(pair, g_ptr_array_index(rows, i), device->before);
    }
}

static void derive_pair(Pair *pair)
{
    const Scope scopes[] = {SCOPE_NIC, SCOPE_DISK};
    for (guint i = 0; i < G_N_ELEMENTS(scopes); i++)
        pair->devices[scopes[i]] =
            pair_devices(vm_sample_rows(pair->now, scopes[i]), vm_sample_rows(pair->before, scopes[i]));
    if (pair->seconds[GROUP_KERNEL] > 0) {
        derive_cpu(pair);
        derive_vcpus(pair);
    }
    for (guint i = 0; i < G_N_ELEMENTS(scopes); i++)
        derive_devices(pair, scopes[i]);
    derive_row(pair, pair->now->row, pair->before->row);
    for (guint i = 0; i < G_N_ELEMENTS(scopes); i++)
        g_free(pair->devices[scopes[i]]);
}

void rates_derive(Sample *now, const Sample *previous)
{
    bool same_host = comparable(now, previous);
    for (guint i = 0; i < now->vms->len; i++) {
        VmSample *vm = g_ptr_array_index(now->vms, i);
        Pair pair;
        derive_sums(vm);
        derive_memory(vm, now->realtime_ns);
        if (same_host && make_pair(vm, previous, &pair))
            derive_pair(&pair);
    }
}
