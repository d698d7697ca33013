/* SPDX-License-Identifier: Apache-2.0
 * The tree that OpenNebula distributes: configuration, secrets, the probe and what is executed beside it. */
#include "base/file.h"
#include "deliver/sink_secret.h"
#include "deliver/sinks.h"
#include "doctor/checks.h"
#include "doctor/doctor.h"
#include "doctor/judges.h"

#include <string.h>
#include <sys/stat.h>

#define PROGRAM_MAX (256 * 1024 * 1024) /* bytes */

static const char *const kinds[] = {"kvm", "qemu"};
static const char *const places[] = {"monitor", "status", "execution"}; /* where probes of ours can stand */

/* --- configuration --- */

static void report_access(const Facts *facts, const char *path, Report *to)
{
    struct stat status;
    const char *user = facts->options->user;
    Finding *finding = stat(path, &status) == 0
                           ? judge_file_access(path, status.st_uid, status.st_mode, doctor_user_id(user), user)
                           : NULL;
    if (finding)
        report(to, finding);
}

static void check_file(const Facts *facts, const ConfigFile *file, Report *to)
{
    g_autofree char *word = finding_shell_word(file->path);
    g_autofree char *edit = g_strdup_printf("sudoedit %s    # man 5 one-telemetry.conf", word);
    if (file->error)
        report(to, finding_new(VERDICT_ERROR, edit, "%s", file->error->message));
    else if (!file->exists)
        report(to, finding_ok("there is no %s: each option has its default", file->path));
    else
        report(to,
               finding_ok("%s is right, %u sink%s", file->path, file->sinks->len, file->sinks->len == 1 ? "" : "s"));
    if (file->exists)
        report_access(facts, file->path, to);
}

/* NULL: there is none. Owned by the caller. */
static char *read_if_any(const char *path, gsize *ret_length)
{
    char *content = NULL;
    *ret_length = 0;
    file_read(path, CONFIG_FILE_MAX, &content, ret_length, NULL);
    return content;
}

/* The copy of the probe for the other tree has a configuration of its own. */
static void compare_files(const Facts *facts, Report *to)
{
    gsize kvm_length, qemu_length;
    g_autofree char *kvm = facts_in_tree(facts, "etc/im/kvm-probes.d/telemetry.conf");
    g_autofree char *qemu = facts_in_tree(facts, "etc/im/qemu-probes.d/telemetry.conf");
    g_autofree char *kvm_text = read_if_any(kvm, &kvm_length), *qemu_text = read_if_any(qemu, &qemu_length);
    if (g_strcmp0(kvm_text, qemu_text) == 0)
        return;
    g_autofree char *from = finding_shell_word(kvm), *into = finding_shell_word(qemu);
    g_autofree char *copy = g_strdup_printf("sudo cp -p %s %s", from, into);
    report(to, finding_new(VERDICT_WARNING, copy, "%s and %s differ: the probes of the two trees behave otherwise", kvm,
                           qemu));
}

void examine_config(const Facts *facts, Report *to)
{
    ConfigFiles files = facts_files(facts);
    for (const ConfigFile *const *file = files.file; *file; file++)
        check_file(facts, *file, to);
    if (!facts->options->config && facts_has_kind(facts, "qemu"))
        compare_files(facts, to);
}

/* --- secrets --- */

typedef struct {
    const Facts *facts;
    Report *to;
    guint checked, wrong;
} Secrets;

static void check_secret(Secrets *secrets, const char *what, const char *path, bool key)
{
    g_autoptr(GError) error = NULL;
    if (!*path)
        return;
    secrets->checked++;
    char *secret = key ? NULL : sink_secret_read(path, &error);
    sink_secret_free(secret);
    if (secret || (key && sink_secret_check_key(path, &error)))
        return;
    secrets->wrong++;
    const char *user = secrets->facts->options->user;
    g_autofree char *word = finding_shell_word(path);
    bool there = g_file_test(path, G_FILE_TEST_EXISTS);
    g_autofree char *mend =
        there ? g_strdup_printf("sudo chown %s: %s && sudo chmod 600 %s", user, word, word)
              : g_strdup_printf("sudo -u %s sh -c 'umask 077 && cat > %s'    # type it, then Ctrl-D", user, word);
    report(secrets->to, finding_new(VERDICT_ERROR, mend, "%s: %s", what, error->message));
}

static void check_sink_secrets(Secrets *secrets, const GPtrArray *sinks)
{
    for (guint i = 0; sinks && i < sinks->len; i++) {
        const SinkSettings *sink = g_ptr_array_index(sinks, i);
        g_autofree char *what = g_strdup_printf("[sink %s]", sink->name);
        check_secret(secrets, what, sink->token_file, false);
        check_secret(secrets, what, sink->password_file, false);
        check_secret(secrets, what, sink->key_file, true);
    }
}

void examine_secrets(const Facts *facts, Report *to)
{
    Secrets secrets = {facts, to, 0, 0};
    ConfigFiles files = facts_files(facts);
    for (const ConfigFile *const *file = files.file; *file; file++)
        check_sink_secrets(&secrets, (*file)->sinks);
    if (facts->server.path && facts->server.exists) {
        const Config *config = facts->server.config;
        check_secret(&secrets, "[server]", config_text(config, CONFIG_server_read_token_file), false);
        check_secret(&secrets, "[server]", config_text(config, CONFIG_server_write_token_file), false);
        check_secret(&secrets, "[server]", config_text(config, CONFIG_server_key_file), true);
    }
    if (secrets.wrong == 0)
        report(to, secrets.checked ? finding_ok("%u secrets can be read by %s, and by nobody else", secrets.checked,
                                                facts->options->user)
                                   : finding_ok("no file with a secret is configured"));
}

/* --- the probes --- */

static FileFact look(const char *path)
{
    struct stat status;
    bool is_file = stat(path, &status) == 0 && S_ISREG(status.st_mode);
    return (FileFact){is_file, is_file && status.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)};
}

static bool same_content(const char *a, const char *b)
{
    g_autofree char *first = NULL, *second = NULL;
    gsize first_length = 0, second_length = 0;
    return file_read(a, PROGRAM_MAX, &first, &first_length, NULL) &&
           file_read(b, PROGRAM_MAX, &second, &second_length, NULL) && first_length == second_length &&
           memcmp(first, second, first_length) == 0;
}

static void check_neighbour(const Facts *facts, const char *directory, const char *name, Report *to)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);
    struct stat status;
    if (stat(path, &status) != 0 || !look(path).executable)
        return;
    g_autofree char *mend = judge_mend_file(facts->place, facts->tree, facts->options->user, "rm", path);
    if (judge_is_leftover(name))
        report(to, finding_new(VERDICT_ERROR, mend, "%s is executed by OpenNebula like a probe", path));
    report_access(facts, path, to);
}

static void check_directory(const Facts *facts, const char *kind, const char *place, Report *to)
{
    g_autofree char *directory = g_strdup_printf("%s/im/%s-probes.d/vm/%s", facts->tree, kind, place);
    report_access(facts, directory, to);
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        check_neighbour(facts, directory, name, to);
}

/* What runs as the user too: forwarder, hooks. */
static void check_programs(const Facts *facts, Report *to)
{
    g_autofree char *directory = facts_in_tree(facts, "hooks/telemetry");
    report_access(facts, directory, to);
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        report_access(facts, path, to);
    }
}

void examine_installed(const Facts *facts, Report *to)
{
    g_autofree char *kvm = facts_probe(facts, "kvm"), *qemu = facts_probe(facts, "qemu");
    const InstalledFacts installed = {.tree = facts->tree,
                                      .place = facts->place,
                                      .user = facts->options->user,
                                      .has_qemu = facts_has_kind(facts, "qemu"),
                                      .kvm = look(kvm),
                                      .qemu = look(qemu),
                                      .same = same_content(kvm, qemu)};
    report(to, judge_installed(&installed));
    for (guint i = 0; i < G_N_ELEMENTS(kinds) * G_N_ELEMENTS(places); i++)
        check_directory(facts, kinds[i / G_N_ELEMENTS(places)], places[i % G_N_ELEMENTS(places)], to);
    check_programs(facts, to);
}

void examine_mode(const Facts *facts, Report *to)
{
    const gint64 mode = config_integer(facts->probe.config, CONFIG_probe_mode);
    bool replace = mode == MODE_REPLACE;
    if (mode == MODE_LEAVE) {
        g_autofree char *mend = g_strdup_printf(
            "# in %s, section [probe]: mode = beside\n# or take it out: install.sh --uninstall", facts->probe.path);
        report(to, finding_new(VERDICT_WARNING, mend,
                               "mode is leave: the probe deletes its keys in OpenNebula, and sends no figures"));
    }
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (i > 0 && !facts_has_kind(facts, kinds[i]))
            continue;
        g_autofree char *directory = g_strdup_printf("%s/im/%s-probes.d/vm/monitor", facts->tree, kinds[i]);
        g_autofree char *poll = g_build_filename(directory, "poll.rb", NULL);
        Finding *finding = judge_mode(facts->tree, directory, replace, look(poll), facts->options->user, facts->place);
        if (i == 0 || finding->verdict != VERDICT_OK)
            report(to, finding);
        else
            finding_free(finding);
    }
}
