/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor/judges.h"

#include <string.h>
#include <sys/stat.h>

#define SYNC "sudo -u %s onehost sync --force"
#define ON_FRONT_END "    # on the front-end"
#define REMOTES "/var/lib/one/remotes"

char *judge_mend_file(Place place, const char *tree, const char *user, const char *command, const char *path)
{
    bool in_tree = g_str_has_prefix(path, tree) && path[strlen(tree)] == '/';
    bool elsewhere = in_tree && place == PLACE_HOST;
    g_autofree char *there = elsewhere ? g_strconcat(REMOTES, path + strlen(tree), NULL) : g_strdup(path);
    g_autofree char *word = finding_shell_word(there), *sync = g_strdup_printf("\n" SYNC, user);
    return g_strdup_printf("%ssudo %s %s%s", elsewhere ? "# on the front-end, in its own tree:\n" : "", command, word,
                           in_tree ? sync : "");
}

Finding *judge_file_access(const char *path, uid_t owner, mode_t mode, uid_t user_id, const char *user)
{
    g_autofree char *word = finding_shell_word(path);
    if (owner != 0 && owner != user_id && user_id != NO_USER) {
        g_autofree char *mend = g_strdup_printf("sudo chown %s: %s", user, word);
        return finding_new(VERDICT_ERROR, mend, "%s belongs to user %u, who can change what %s runs", path,
                           (guint)owner, user);
    }
    if (mode & (S_IWGRP | S_IWOTH)) {
        g_autofree char *mend = g_strdup_printf("sudo chmod go-w %s", word);
        return finding_new(VERDICT_ERROR, mend, "%s may be written by %s (mode %04o)", path,
                           mode & S_IWOTH ? "everybody" : "its group", (guint)(mode & 07777));
    }
    return NULL;
}

/* What brings a file of ours into the tree. */
static char *how_to_install(const InstalledFacts *facts)
{
    return facts->place == PLACE_HOST
               ? g_strdup_printf(SYNC ON_FRONT_END, facts->user)
               : g_strdup("# install one-telemetry again: install.sh, which a package calls one-telemetry-install");
}

Finding *judge_installed(const InstalledFacts *facts)
{
    g_autofree char *install = how_to_install(facts);
    const struct {
        const char *name;
        const FileFact *fact;
    } rows[] = {{"kvm", &facts->kvm}, {"qemu", &facts->qemu}};
    for (guint i = 0; i < (facts->has_qemu ? G_N_ELEMENTS(rows) : 1); i++) {
        g_autofree char *path = g_strdup_printf("%s/im/%s-probes.d/vm/monitor/telemetry", facts->tree, rows[i].name);
        g_autofree char *mode = judge_mend_file(facts->place, facts->tree, facts->user, "chmod 755", path);
        if (!rows[i].fact->exists)
            return finding_new(VERDICT_ERROR, install, "there is no probe %s", path);
        if (!rows[i].fact->executable)
            return finding_new(VERDICT_ERROR, mode, "%s may not be executed: OpenNebula passes over it", path);
    }
    if (facts->has_qemu && !facts->same)
        return finding_new(VERDICT_WARNING, install, "the probes of %s/im/kvm-probes.d and qemu-probes.d differ",
                           facts->tree);
    return facts->has_qemu ? finding_ok("the probe is in both trees of %s, the same in both", facts->tree)
                           : finding_ok("the probe is in the tree of %s", facts->tree);
}

bool judge_is_leftover(const char *name)
{
    static const char *const endings[] = {"~", ".bak", ".orig", ".old", ".save", ".swp", ".tmp", ".new", ".rej"};
    static const char *const parts[] = {".dpkg-", ".rpm", ".ucf-"};
    if (name[0] == '.' || (g_str_has_prefix(name, "telemetry") && strcmp(name, "telemetry") != 0))
        return true;
    for (guint i = 0; i < G_N_ELEMENTS(endings); i++)
        if (g_str_has_suffix(name, endings[i]))
            return true;
    for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
        if (strstr(name, parts[i]))
            return true;
    return false;
}

Finding *judge_mode(const char *tree, const char *directory, bool replace, FileFact poll, const char *user, Place place)
{
    g_autofree char *path = g_build_filename(directory, "poll.rb", NULL);
    g_autofree char *take = judge_mend_file(place, tree, user, "chmod a-x", path);
    g_autofree char *chmod = judge_mend_file(place, tree, user, "chmod 755", path);
    g_autofree char *give = g_strconcat(chmod, "\n# or set mode = replace in [probe]", NULL);
    if (replace && poll.executable)
        return finding_new(VERDICT_WARNING, take,
                           "mode is replace, and %s is executed all the same: all its work is done, and overwritten",
                           path);
    if (!replace && !poll.executable)
        return finding_new(VERDICT_WARNING, give,
                           "mode is beside, but %s %s: when our probe fails it is silent, and OpenNebula hears nothing",
                           path, poll.exists ? "may not be executed" : "is not there");
    return finding_ok("mode %s", replace ? "replace: poll.rb is not executed" : "beside: poll.rb is executed too");
}
