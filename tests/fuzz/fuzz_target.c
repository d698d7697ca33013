/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as the target of a request, and as the value of headers that the server reads itself. What is taken is in
 * order: an absolute path without dot segments and control characters, names that differ. */
#include "serve/accept.h"
#include "serve/head.h"
#include "serve/routes.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    g_assert_true(g_utf8_validate(text, -1, NULL));
    for (const char *c = text; *c; c++)
        g_assert_true((guchar)*c >= 0x20 && *c != 0x7F);
}

static void check_path(const char *path)
{
    check_text(path);
    g_assert_true(path[0] == '/' && !strchr(path, '\\') && !strstr(path, "//"));
    g_auto(GStrv) segments = g_strsplit(path, "/", -1);
    for (char **segment = segments; *segment; segment++)
        g_assert_true(strcmp(*segment, ".") != 0 && strcmp(*segment, "..") != 0);
}

static void check_target(const Target *target)
{
    check_path(target->path);
    for (guint i = 0; i < target->n_parameters; i++) {
        check_text(target->parameters[i].name);
        check_text(target->parameters[i].value);
        g_assert_true(target_parameter(target, target->parameters[i].name) == target->parameters[i].value);
    }
}

static void find(const Target *target)
{
    const Route *route = NULL;
    const char *allow = NULL;
    g_autofree char *id = NULL;
    Reply *refusal = NULL;
    guint64 vm_id;
    if (route_find("GET", target->path, &route, &id, &allow) != ROUTE_FOUND)
        return;
    if (!route_check_parameters(route, target, &refusal))
        reply_free(refusal);
    if (id) {
        g_assert_null(strchr(id, '/'));
        route_vm_id(id, &vm_id);
    }
}

static void read_head(const char *text)
{
    Head head = {.host = "x"};
    Reply *refusal = NULL;
    head_take(&head, text, text);
    head_take(&head, "Content-Length", text);
    head_take(&head, "If-None-Match", text);
    if (head_check(&head, "HTTP/1.1", &refusal))
        g_assert_cmpuint(head_body_length(&head), <, G_MAXINT64);
    reply_free(refusal);
    accept_gzip(text);
    accept_has_tag(text, "W/\"a\"");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(Target) target = target_parse(text, &error);
    g_assert_true((target == NULL) == (error != NULL));
    if (target) {
        check_target(target);
        find(target);
    }
    read_head(text);
    return 0;
}
