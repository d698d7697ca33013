/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/guest_commands.h"

#include "base/file.h"
#include "base/remotes.h"
#include "base/yaml.h"

#include <string.h>

#define DOMAIN "one-$vm_id"
#define NUMBER "$vm_id"
#define KEY_MAX 63

static const char *const sections[N_GUEST_OS] = {NULL, "linux", "windows"}; /* that hold commands for that kind */
const char *const guest_attribute_keys[N_GUEST_ATTRIBUTES] = {"OS_TYPE", "OS_ID", "OS_VERSION", "OS_MACHINE"};
static const char *const filter_names[N_GUEST_ATTRIBUTES] = {"os_types", "os_ids", "os_versions", "os_machines"};

/* --- life --- */

static void free_command(gpointer data)
{
    GuestCommand *command = data;
    g_free(command->key);
    g_free(command->command);
    g_free(command->filter);
    for (GuestAttribute a = 0; a < N_GUEST_ATTRIBUTES; a++)
        g_strfreev(command->only[a]);
    g_free(command);
}

void guest_commands_free(GuestCommands *commands)
{
    if (!commands)
        return;
    g_ptr_array_unref(commands->commands);
    g_ptr_array_unref(commands->problems);
    g_free(commands);
}

/* --- one command --- */

/* The first | that is not in quotes; NULL: none. */
static const char *find_pipe(const char *text)
{
    char quote = '\0';
    for (const char *c = text; *c; c++) {
        if (*c == '\\' && quote != '\'' && c[1])
            c++;
        else if (quote)
            quote = (char)(*c == quote ? '\0' : quote);
        else if (*c == '\'' || *c == '"')
            quote = *c;
        else if (*c == '|')
            return c;
    }
    return NULL;
}

/* What is wrong with the words; NULL: nothing. *ret_json is one of them. The agent's own time-out is ours to choose. */
static const char *check_words(char *const *words, const char **ret_json)
{
    *ret_json = NULL;
    if (!*words || strcmp(*words, DOMAIN) != 0)
        return "it does not begin with " DOMAIN;
    for (words++; *words; words++) {
        if (strcmp(*words, "--timeout") == 0 && words[1])
            words++;
        else if (g_str_has_prefix(*words, "--timeout="))
            continue;
        else if (**words == '{' && !*ret_json)
            *ret_json = *words;
        else
            return "behind " DOMAIN " expected one {…} in quotes, and --timeout N perhaps";
    }
    return *ret_json ? NULL : "it has no {…} for the agent";
}

/* NULL: *ret_problem, owned by the caller. */
static GuestCommand *read_command(const char *written, char **ret_problem)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) words = NULL;
    g_autofree char *text = g_strstrip(g_strdup(written));
    const char *pipe = find_pipe(text), *json;
    g_autofree char *filter = pipe ? g_strstrip(g_strdup(pipe + 1)) : NULL;
    g_autofree char *first = g_strndup(text, pipe ? (gsize)(pipe - text) : strlen(text));
    if (!g_shell_parse_argv(first, NULL, &words, &error)) {
        *ret_problem = g_strdup(error->message);
        return NULL;
    }
    const char *problem = check_words(words, &json);
    if (!problem && filter && !*filter)
        problem = "nothing stands behind the |";
    if (problem) {
        *ret_problem = g_strdup(problem);
        return NULL;
    }
    GuestCommand *command = g_new0(GuestCommand, 1);
    command->command = g_strdup(json);
    command->filter = g_steal_pointer(&filter);
    return command;
}

/* A name that OpenNebula does not take would cost the VM's whole record. Owned by the caller. */
static char *key_of(const char *name)
{
    char *key = g_ascii_strup(name, -1);
    return g_strcanon(key, G_CSET_A_2_Z G_CSET_DIGITS "_", '_');
}

static GuestAttribute find_attribute(const char *const names[N_GUEST_ATTRIBUTES], const char *name)
{
    GuestAttribute a = 0;
    while (a < N_GUEST_ATTRIBUTES && strcmp(name, names[a]) != 0)
        a++;
    return a;
}

bool guest_key_is_attribute(const char *key)
{
    return find_attribute(guest_attribute_keys, key) < N_GUEST_ATTRIBUTES;
}

/* The probe asks for that without being told to. */
static bool is_asked_anyway(const char *key)
{
    return strcmp(key, GUEST_ADDRESSES_KEY) == 0 || guest_key_is_attribute(key);
}

/* Of a command that is written with filters, the first that is wrong, and why; NULL: none. */
static const YamlNode *check_filters(const YamlNode *node, const char **ret_problem)
{
    for (guint i = 0; node->children && i < node->children->len; i++) {
        const YamlNode *child = g_ptr_array_index(node->children, i);
        if (strcmp(child->key, "command") == 0)
            continue;
        if (find_attribute(filter_names, child->key) == N_GUEST_ATTRIBUTES)
            *ret_problem = "there is no such filter; there are os_types, os_ids, os_versions and os_machines";
        else if (!child->items || child->items->len == 0)
            *ret_problem = "expected a list that is not empty, such as ['a', 'b']";
        else
            continue;
        return child;
    }
    return NULL;
}

static void take_filters(GuestCommand *command, const YamlNode *node)
{
    for (GuestAttribute a = 0; a < N_GUEST_ATTRIBUTES; a++) {
        const YamlNode *filter = yaml_child(node, filter_names[a]);
        command->only[a] = filter ? g_new0(char *, filter->items->len + 1) : NULL;
        for (guint i = 0; filter && i < filter->items->len; i++)
            command->only[a][i] = g_strdup(g_ptr_array_index(filter->items, i));
    }
}

/* `written` has the command's text, and is `node` or below it. */
static void take(GuestCommands *commands, const YamlNode *node, const YamlNode *written, GuestOs os)
{
    const char *reason = NULL;
    const YamlNode *wrong = check_filters(node, &reason);
    g_autofree char *key = key_of(node->key), *problem = g_strdup(reason);
    if (!wrong && (commands->commands->len >= GUEST_COMMANDS_MAX || strlen(key) > KEY_MAX))
        problem = g_strdup("there are too many, or its name is too long");
    else if (!wrong && is_asked_anyway(key))
        problem = g_strdup("that key is sent without being listed");
    GuestCommand *command = problem ? NULL : read_command(written->value, &problem);
    if (command) {
        command->key = g_steal_pointer(&key);
        command->os = os;
        take_filters(command, node);
        g_ptr_array_add(commands->commands, command);
        return;
    }
    g_ptr_array_add(commands->problems,
                    g_strdup_printf("line %u: %s: %s%s%s", wrong ? wrong->line : written->line, node->key,
                                    wrong ? wrong->key : "", wrong ? ": " : "", problem));
}

static void take_all(GuestCommands *commands, const YamlNode *mapping, GuestOs os)
{
    for (guint i = 0; mapping && mapping->children && i < mapping->children->len; i++) {
        const YamlNode *node = g_ptr_array_index(mapping->children, i);
        GuestOs kind = GUEST_OS_UNKNOWN;
        for (GuestOs known = GUEST_OS_LINUX; known < N_GUEST_OS && os == GUEST_OS_UNKNOWN; known++)
            if (strcmp(node->key, sections[known]) == 0)
                kind = known;
        const YamlNode *written = node->value ? node : yaml_child(node, "command");
        if (kind != GUEST_OS_UNKNOWN && node->children)
            take_all(commands, node, kind);
        else if (written && written->value)
            take(commands, node, written, os);
        else
            g_ptr_array_add(commands->problems,
                            g_strdup_printf("line %u: %s: expected a command, or command and filters below it; "
                                            "commands stand below linux and windows alone",
                                            node->line, node->key));
    }
}

/* --- the file --- */

/* false: it is one. */
static bool check_list(const YamlNode *root, const char *key, const char *expected, GError **error)
{
    const YamlNode *node = yaml_child(root, key);
    if (node && node->items)
        g_set_error(error, YAML_ERROR, YAML_ERROR_SYNTAX, "line %u: %s is a list: expected %s", node->line, key,
                    expected);
    return !node || !node->items;
}

GuestCommands *guest_commands_parse(const char *text, gsize length, GError **error)
{
    g_autoptr(YamlNode) root = yaml_read(text, length, error);
    if (!root)
        return NULL;
    if (!check_list(root, "enabled", "true or false", error) ||
        !check_list(root, "commands", "names and commands below it", error))
        return NULL;
    const char *enabled = yaml_value(root, "enabled");
    GuestCommands *commands = g_new0(GuestCommands, 1);
    commands->commands = g_ptr_array_new_with_free_func(free_command);
    commands->problems = g_ptr_array_new_with_free_func(g_free);
    commands->enabled = enabled && (g_ascii_strcasecmp(enabled, "true") == 0 ||
                                    g_ascii_strcasecmp(enabled, "yes") == 0 || g_ascii_strcasecmp(enabled, "on") == 0);
    take_all(commands, yaml_child(root, "commands"), GUEST_OS_UNKNOWN);
    return commands;
}

char *guest_command_for(const char *text, guint64 vm_id)
{
    g_auto(GStrv) parts = g_strsplit(text, NUMBER, -1);
    g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, vm_id);
    return g_strjoinv(number, parts);
}

GuestCommands *guest_commands_read(const char *program, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autofree char *root = program ? remotes_root(program) : NULL, *content = NULL;
    g_autofree char *path = root ? g_build_filename(root, "etc", "im", "kvm-probes.d", "guestagent.conf", NULL) : NULL;
    gsize length;
    GuestCommands *commands = NULL;
    if (path && file_read(path, YAML_MAX, &content, &length, &reason))
        commands = guest_commands_parse(content, length, &reason);
    if (reason && !g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING)) {
        if (reason->domain != FILE_ERROR)
            g_prefix_error(&reason, "%s: ", path);
        g_propagate_error(error, g_steal_pointer(&reason));
    }
    return commands;
}
