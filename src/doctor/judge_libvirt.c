/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/judges.h"
#include "base/text.h"
#include "model/rates.h"

#include <string.h>

#define NAMED_MAX 5 /* guests that a line names */
#define SLOW_MS 2000
#define NS_PER_SECOND G_GINT64_CONSTANT(1000000000)

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

typedef enum { GUEST_TELLS, GUEST_NEVER, GUEST_OLD, GUEST_LOCKED, N_GUESTS } Guest;

static Guest guest_of(const VmSample *vm, gint64 realtime_ns)
{
    guint64 updated = 0;
    if (row_u64(vm->row, METRIC_VM_LOCKED))
        return GUEST_LOCKED;
    if (!row_get_u64(vm->row, METRIC_VM_BALLOON_LAST_UPDATE, &updated) || updated == 0)
        return GUEST_NEVER;
    gint64 age_s = realtime_ns / NS_PER_SECOND - (gint64)MIN(updated, (guint64)G_MAXINT32 * 4);
    return ABS(age_s) <= RATES_BALLOON_FRESH_S ? GUEST_TELLS : GUEST_OLD;
}

/* Of VmSample, borrowed. */
static GPtrArray *guests_of(const Sample *sample, Guest kind)
{
    GPtrArray *guests = g_ptr_array_new();
    for (guint i = 0; i < sample->vms->len; i++) {
        VmSample *vm = g_ptr_array_index(sample->vms, i);
        if (guest_of(vm, sample->realtime_ns) == kind)
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
    g_string_append(text, "# for good, in the VM's template: RAW = [ TYPE = \"kvm\", DATA = \"<devices><memballoon "
                          "model='virtio'><stats period='10'/></memballoon></devices>\" ]");
    return g_strdup(text->str);
}

GPtrArray *judge_balloon(const char *uri, const Sample *sample)
{
    GPtrArray *findings = findings_new();
    g_autoptr(GPtrArray) never = guests_of(sample, GUEST_NEVER), old = guests_of(sample, GUEST_OLD);
    g_autoptr(GPtrArray) locked = guests_of(sample, GUEST_LOCKED), told = guests_of(sample, GUEST_TELLS);
    g_autofree char *never_names = name_some(never), *old_names = name_some(old), *locked_names = name_some(locked);
    g_autofree char *mend = mend_period(uri, never);
    const guint all = sample->vms->len;
    if (never->len)
        g_ptr_array_add(findings,
                        finding_new(VERDICT_WARNING, mend,
                                    "%u of %u guests say nothing of their memory (no balloon stats period, or "
                                    "no driver): %s",
                                    never->len, all, never_names));
    if (old->len)
        g_ptr_array_add(findings, finding_new(VERDICT_WARNING,
                                              "# in the guest: is its virtio balloon driver (Windows: the "
                                              "BLNSVR service) running?",
                                              "%u of %u guests have not told their memory for more than %d s: %s",
                                              old->len, all, RATES_BALLOON_FRESH_S, old_names));
    if (locked->len)
        g_ptr_array_add(findings, finding_new(VERDICT_WARNING,
                                              "# virsh domjobinfo VM says what holds it; virsh qemu-monitor-command "
                                              "VM --hmp 'info status' whether its QEMU answers",
                                              "%u of %u guests are held by a job, or their QEMU does not answer: %s",
                                              locked->len, all, locked_names));
    if (findings->len == 0)
        g_ptr_array_add(findings, all ? finding_ok("%u of %u guests tell of their memory", told->len, all)
                                      : finding_ok("no guest runs here"));
    return findings;
}
