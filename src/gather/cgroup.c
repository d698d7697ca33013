/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/cgroup.h"
#include "gather/procfs.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 16384

/* Directories that libvirt makes for domains, with systemd and without. */
static bool is_of_domain(const char *path)
{
    return strstr(path, "/machine-qemu") || strstr(path, ".libvirt-qemu");
}

/* QEMU's own threads are in "emulator" below the domain's. */
static char *domain_path(const char *path)
{
    const char *last = strrchr(path, '/');
    if (!is_of_domain(path) || strchr(path, ' ') || !last)
        return NULL;
    return strcmp(last, "/emulator") == 0 || g_str_has_prefix(last, "/vcpu") ? g_strndup(path, (gsize)(last - path))
                                                                             : g_strdup(path);
}

static bool has_word(const char *list, const char *word)
{
    g_auto(GStrv) words = g_strsplit(list, ",", -1);
    return g_strv_contains((const char *const *)words, word);
}

/* "4:cpu,cpuacct:/machine.slice/…", "0::/machine.slice/…" of version 2. NULL: neither, or not a domain's. */
static char *from_line(const char *line, const char *root)
{
    g_auto(GStrv) fields = g_strsplit(line, ":", 3);
    if (g_strv_length(fields) != 3)
        return NULL;
    const char *controllers = fields[1];
    g_autofree char *path = domain_path(fields[2]);
    if (!path)
        return NULL;
    if (has_word(controllers, "cpuacct"))
        return g_strconcat("1:", controllers, path, NULL);
    if (*controllers)
        return NULL;
    g_autofree char *unified = g_build_filename(root, "unified", NULL); /* beside version 1 */
    return g_strconcat("2:", g_file_test(unified, G_FILE_TEST_IS_DIR) ? "unified" : ".", path, NULL);
}

char *cgroup_of_domain(const char *proc, guint64 pid, const char *root)
{
    char path[PATH_MAX], text[FILE_MAX];
    g_snprintf(path, sizeof path, "%s/%" G_GUINT64_FORMAT "/cgroup", proc, pid);
    if (procfs_read(path, text, sizeof text) <= 0)
        return NULL;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *second = NULL;
    for (char **line = lines; *line; line++) {
        char *found = from_line(*line, root);
        if (found && found[0] == '1') /* where cpuacct is version 1's, version 2 has no CPU time of the domain */
            return found;
        if (found) {
            g_free(second);
            second = found;
        }
    }
    return g_steal_pointer(&second);
}

static bool read_file(const char *root, const char *cgroup, const char *name, char *buffer)
{
    char path[PATH_MAX];
    g_snprintf(path, sizeof path, "%s/%s/%s", root, cgroup + strlen("1:"), name);
    return procfs_read(path, buffer, FILE_MAX) > 0;
}

static bool read_second(const char *root, const char *cgroup, guint64 numbers[3])
{
    char text[FILE_MAX];
    if (!read_file(root, cgroup, "cpu.stat", text) || !procfs_find_number(text, "usage_usec", &numbers[0]) ||
        !procfs_find_number(text, "user_usec", &numbers[1]) || !procfs_find_number(text, "system_usec", &numbers[2]))
        return false;
    for (guint i = 0; i < 3; i++)
        numbers[i] *= 1000;
    return true;
}

static bool read_first(const char *root, const char *cgroup, guint64 numbers[3])
{
    const guint64 tick_ns = G_GUINT64_CONSTANT(1000000000) / (guint64)sysconf(_SC_CLK_TCK);
    char text[FILE_MAX];
    if (!read_file(root, cgroup, "cpuacct.usage", text) || !g_ascii_isdigit(text[0]))
        return false;
    numbers[0] = g_ascii_strtoull(text, NULL, 10);
    if (!read_file(root, cgroup, "cpuacct.stat", text) || !procfs_find_number(text, "user", &numbers[1]) ||
        !procfs_find_number(text, "system", &numbers[2]))
        return false;
    numbers[1] *= tick_ns;
    numbers[2] *= tick_ns;
    return true;
}

bool cgroup_cpu(const char *root, const char *cgroup, guint64 *ret_time_ns, guint64 *ret_user_ns,
                guint64 *ret_system_ns)
{
    guint64 numbers[3];
    if (!(cgroup[0] == '2' ? read_second(root, cgroup, numbers) : read_first(root, cgroup, numbers)))
        return false;
    *ret_time_ns = numbers[0];
    *ret_user_ns = numbers[1];
    *ret_system_ns = numbers[2];
    return true;
}
