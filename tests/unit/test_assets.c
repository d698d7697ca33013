/* SPDX-License-Identifier: Apache-2.0
 * The dashboard's files: what is built in is what lies in the folders, and how it is answered. */
#include "gather_helpers.h"
#include "serve/assets.h"
#include "serve/routes.h"

#include <string.h>

static const char *const folders[] = {"dashboard", "third_party/uplot"};

static const Asset *find(const char *name)
{
    const Asset *found = NULL;
    for (guint i = 0; i < n_assets; i++) {
        if (strcmp(assets[i].name, name) != 0)
            continue;
        CHECK(!found, "%s is there twice", name);
        found = &assets[i];
    }
    return found;
}

static guint check_folder(const char *folder)
{
    guint n = 0;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    CHECK(dir != NULL, "%s: run the test in the repository's folder", folder);
    for (const char *name = g_dir_read_name(dir); name; name = g_dir_read_name(dir)) {
        if (*name == '.' || g_str_has_suffix(name, "~"))
            continue;
        g_autofree char *path = g_build_filename(folder, name, NULL), *content = NULL;
        gsize length;
        CHECK(g_file_get_contents(path, &content, &length, NULL), "%s", path);
        const Asset *asset = find(name);
        CHECK(asset && asset->length == length && memcmp(asset->data, content, length) == 0, "%s", path);
        n++;
    }
    return n;
}

/* All that lies there, byte for byte, and nothing else. */
static void test_built_in(void **state)
{
    (void)state;
    guint n = 0;
    for (guint i = 0; i < G_N_ELEMENTS(folders); i++)
        n += check_folder(folders[i]);
    assert_int_equal(n, n_assets);
}

static const char *type_of(const char *name)
{
    static const char *const types[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".svg", "image/svg+xml; charset=utf-8"}};
    for (guint i = 0; i < G_N_ELEMENTS(types); i++)
        if (g_str_has_suffix(name, types[i][0]))
            return types[i][1];
    return "text/plain; charset=utf-8";
}

static Reply *ask_file(const char *name)
{
    const Request request = {.method = "GET", .id = name, .body = ""};
    return route_dashboard_file(NULL, &request);
}

static void check_file(const Asset *asset)
{
    g_autoptr(Reply) reply = ask_file(asset->name);
    if (strcmp(asset->name, "index.html") == 0) {
        assert_int_equal(reply->status, 404); /* from there its references would lead nowhere */
        return;
    }
    CHECK(reply->status == 200 && reply->cacheable && !reply->policy, "%s", asset->name);
    CHECK_TEXT(reply->type, type_of(asset->name), asset->name);
    CHECK(g_bytes_get_size(reply->body) == asset->length, "%s", asset->name);
    CHECK(reply->etag && *reply->etag == '"', "%s", asset->name);
    CHECK(!reply->packed || g_bytes_get_size(reply->packed) < asset->length, "%s", asset->name);
    g_autoptr(Reply) again = ask_file(asset->name);
    CHECK_TEXT(again->etag, reply->etag, asset->name);
    CHECK(again->packed == reply->packed, "%s was packed twice", asset->name);
}

static void test_files(void **state)
{
    (void)state;
    for (guint i = 0; i < n_assets; i++)
        check_file(&assets[i]);
    g_autoptr(Reply) chart = ask_file("uPlot.iife.min.js");
    assert_non_null(chart->packed);
    static const char *const none[] = {"",        "x", "uPlot", "UPLOT.MIN.CSS", "uPlot.min.css ", "../uPlot.min.css",
                                       "assets.h"};
    for (guint i = 0; i < G_N_ELEMENTS(none); i++) {
        g_autoptr(Reply) reply = ask_file(none[i]);
        CHECK(reply->status == 404 && !reply->cacheable, "\"%s\"", none[i]);
    }
}

static void test_page(void **state)
{
    (void)state;
    const Request request = {.method = "GET", .body = ""};
    g_autoptr(Reply) reply = route_dashboard(NULL, &request);
    assert_int_equal(reply->status, 200);
    CHECK_TEXT(reply->type, "text/html; charset=utf-8", "type");
    assert_true(reply->cacheable && reply->etag);
    static const char *const wanted[] = {
        "default-src 'none'", "script-src 'self'",    "frame-ancestors 'none'", "base-uri 'none'",
        "form-action 'none'", "trusted-types 'none'", "style-src 'self'",       "require-trusted-types-for 'script'"};
    for (guint i = 0; i < G_N_ELEMENTS(wanted); i++)
        CHECK(reply->policy && strstr(reply->policy, wanted[i]), "%s", wanted[i]);
    assert_null(strstr(reply->policy, "unsafe"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
