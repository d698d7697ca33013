/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/judges.h"
#include "base/text.h"
#include "gather/vm_xml.h"
#include "gather/xml.h"
#include "model/rates.h"

#include <string.h>

#define NAMED_MAX 5 /* guests that a line names */
#define SLOW_MS 2000
#define FOR_GOOD                                                                                                       \
    "# for good, in the VM's template: RAW = [ TYPE = \"kvm\", DATA = \"<devices><memballoon model='virtio'><stats "   \
    "period='10'/></memballoon></devices>\" ]"
#define LOOK_INSIDE "# in the guest: is its virtio balloon driver (Windows: the BLNSVR service) there, and running?"

static const char mend_group[] = "sudo usermod -aG libvirt %s    # then log in anew: onehost sync, monitoring do so by "
                                 "themselves\n# or a polkit rule that gives %s org.libvirt.unix.monitor";
static const char mend_daemon[] = "sudo systemctl enable --now libvirtd    # or virtqemud.socket where that is in use\n"
                                  "systemctl status libvirtd virtqemud";

static bool says_any(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strstr(text, *words))
            return true;
    return false;
}

Finding *judge_libvirt_failure(const char *uri, const char *problem, const char *user)
{
    static const char *const denied[] = {
        "Permission denied", "permission denied", "authentication", "access denied", "polkit", "authorization", NULL};
    static const char *const absent[] = {"No such file", "Connection refused", "not running",
                                         "Failed to connect socket", NULL};
    g_autofree char *uri_word = finding_shell_word(uri);
    g_autofree char *group = g_strdup_printf(mend_group, user, user);
    g_autofree char *look = g_strdup_printf("sudo -u %s virsh -r -c %s list", user, uri_word);
    g_autofree char *shown = text_without_users(uri);
    if (says_any(problem, denied))
        return finding_new(VERDICT_ERROR, group, "%s may not use libvirt at %s: %s", user, shown, problem);
    if (says_any(problem, absent))
        return finding_new(VERDICT_ERROR, mend_daemon, "libvirt at %s: %s", shown, problem);
    return finding_new(VERDICT_ERROR, look, "libvirt at %s: %s", shown, problem);
}

Finding *judge_libvirt(const char *uri, double ms, guint domains, guint others)
{
    g_autofree char *shown = text_without_users(uri);
    g_autofree char *vms = text_count(domains, "domain", "domains");
    g_autofree char *rest = others ? g_strdup_printf(", %u other", others) : g_strdup("");
    if (ms > SLOW_MS)
        return finding_new(VERDICT_WARNING,
                           "systemctl status libvirtd virtqemud\nsudo journalctl -u libvirtd -u virtqemud -n 50",
                           "libvirt at %s took %.1f s to answer: %s named one-*%s", shown, ms / 1000, vms, rest);
    return finding_ok("libvirt at %s answers in %.0f ms: %s named one-*%s", shown, ms, vms, rest);
}

/* --- guest memory --- */

typedef enum { GUEST_TELLS, GUEST_NO_PERIOD, GUEST_NO_DEVICE, GUEST_SILENT, GUEST_OLD, GUEST_LOCKED } Guest;

gint64 judge_balloon_period(const char *xml, gsize length)
{
    g_autoptr(XmlTree) tree = xml_tree_read(xml, length, VM_XML_MAX, NULL);
    const XmlElement *devices = tree ? xml_child(xml_root(tree), "devices") : NULL;
    const XmlElement *balloon = xml_child(devices, "memballoon");
    g_autofree char *model = xml_attribute(balloon, "model");
    g_autofree char *period = xml_attribute(xml_child(balloon, "stats"), "period");
    guint64 seconds = 0;
    if (!devices)
        return BALLOON_UNKNOWN;
    if (!balloon || g_strcmp0(model, "none") == 0)
        return BALLOON_NO_DEVICE;
    return period && text_read_u64(period, &seconds) ? (gint64)MIN(seconds, (guint64)G_MAXINT32) : 0;
}

static Guest why_silent(const VmSample *vm, GHashTable *periods)
{
    const gint64 *period = g_hash_table_lookup(periods, &vm->vm_id);
    if (period && *period == BALLOON_NO_DEVICE)
        return GUEST_NO_DEVICE;
    return period && *period > 0 ? GUEST_SILENT : GUEST_NO_PERIOD;
}

static Guest guest_of(const VmSample *vm, gint64 realtime_ns, GHashTable *periods)
{
    const gint64 *period = g_hash_table_lookup(periods, &vm->vm_id);
    gint64 age_s;
    if (row_u64(vm->row, METRIC_VM_LOCKED))
        return GUEST_LOCKED;
    if (!rates_balloon_age(vm->row, realtime_ns, &age_s))
        return why_silent(vm, periods);
    if (rates_balloon_is_fresh(vm->row, realtime_ns))
        return GUEST_TELLS;
    return period && *period == 0 ? GUEST_NO_PERIOD : GUEST_OLD; /* Linux reports once, as it starts, unasked */
}

/* Of VmSample, borrowed. */
static GPtrArray *guests_of(const Sample *sample, Guest kind, GHashTable *periods)
{
    GPtrArray *guests = g_ptr_array_new();
    for (guint i = 0; i < sample->vms->len; i++) {
        VmSample *vm = g_ptr_array_index(sample->vms, i);
        if (guest_of(vm, sample->realtime_ns, periods) == kind)
            g_ptr_array_add(guests, vm);
    }
    return guests;
}

static char *name_some(const GPtrArray *guests)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < MIN(guests->len, NAMED_MAX); i++)
        g_string_append_printf(text, "%s%s", i ? ", " : "", ((const VmSample *)g_ptr_array_index(guests, i))->name);
    if (guests->len > NAMED_MAX)
        g_string_append_printf(text, " and %u more", guests->len - NAMED_MAX);
    return g_strdup(text->str);
}

/* For what runs, a command each, and for what starts from now on OpenNebula's own way. */
static char *mend_period(const char *uri, const GPtrArray *guests)
{
    g_autofree char *word = finding_shell_word(uri);
    g_autoptr(GString) text = g_string_new(NULL);
    if (guests->len <= NAMED_MAX)
        for (guint i = 0; i < guests->len; i++)
            g_string_append_printf(text, "virsh -c %s dommemstat %s --period 10 --live\n", word,
                                   ((const VmSample *)g_ptr_array_index(guests, i))->name);
    else
        g_string_append_printf(text,
                               "for vm in $(virsh -c %s list --name | grep '^one-'); do virsh -c %s dommemstat $vm "
                               "--period 10 --live; done\n",
                               word, word);
    g_string_append(text, FOR_GOOD);
    return g_strdup(text->str);
}

GPtrArray *judge_balloon(const char *uri, const Sample *sample, GHashTable *periods)
{
    static const struct {
        Guest kind;
        const char *what, *mend; /* NULL: by mend_period */
    } rows[] = {
        {GUEST_NO_PERIOD, "have no period for balloon statistics, so nothing is known of their own memory", NULL},
        {GUEST_NO_DEVICE, "have no memory balloon, so nothing is known of their own memory", FOR_GOOD},
        {GUEST_SILENT, "have never told their memory, though they are asked to", LOOK_INSIDE},
        {GUEST_OLD, "have not told their memory for more than " G_STRINGIFY(RATES_BALLOON_FRESH_S) " s", LOOK_INSIDE},
        {GUEST_LOCKED, "are held by a job, or their QEMU does not answer",
         "# virsh domjobinfo VM says what holds it, virsh qemu-monitor-command VM --hmp 'info status' whether its QEMU "
         "answers"},
    };
    GPtrArray *findings = findings_new();
    const guint all = sample->vms->len;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GPtrArray) guests = guests_of(sample, rows[i].kind, periods);
        g_autofree char *names = name_some(guests), *mend = rows[i].mend ? NULL : mend_period(uri, guests);
        if (guests->len)
            g_ptr_array_add(findings, finding_new(VERDICT_WARNING, mend ? mend : rows[i].mend, "%u of %u guests %s: %s",
                                                  guests->len, all, rows[i].what, names));
    }
    if (findings->len == 0)
        g_ptr_array_add(findings, all ? finding_ok("all guests tell of their memory: %u", all)
                                      : finding_ok("no guest runs here"));
    return findings;
}
