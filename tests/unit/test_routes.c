/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/routes.h"

#include <string.h>

static const struct {
    const char *method, *path;
    RouteResult result;
    const char *name, *id, *allow; /* NULL: none */
} cases[] = {
    {"GET", "/api/telemetry/vm-telemetry", ROUTE_FOUND, "vm_telemetry", NULL, NULL},
    {"HEAD", "/api/telemetry/vm-telemetry", ROUTE_FOUND, "vm_telemetry", NULL, NULL},
    {"GET", "/api/telemetry/vms", ROUTE_FOUND, "vms", NULL, NULL},
    {"GET", "/api/telemetry/vm-stats/one-83", ROUTE_FOUND, "vm_stats", "one-83", NULL},
    {"GET", "/api/telemetry/history/../x", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/api/telemetry/history/", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/api/telemetry/history", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/api/telemetry/history/83/x", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/api/telemetry/vm", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/API/telemetry/vms", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/api/telemetry/vm-telemetry/", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/", ROUTE_FOUND, "dashboard", NULL, NULL},
    {"POST", "/", ROUTE_NO_METHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
    {"GET", "", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"HEAD", "/dashboard/style.css", ROUTE_FOUND, "dashboard_file", "style.css", NULL},
    {"GET", "/dashboard", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/dashboard/", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"GET", "/dashboard/../metrics", ROUTE_NO_PATH, NULL, NULL, NULL},
    {"DELETE", "/dashboard/style.css", ROUTE_NO_METHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
    {"POST", "/write", ROUTE_FOUND, "write_v1", NULL, NULL},
    {"GET", "/write", ROUTE_NO_METHOD, NULL, NULL, "POST, OPTIONS"},
    {"HEAD", "/write", ROUTE_NO_METHOD, NULL, NULL, "POST, OPTIONS"},
    {"POST", "/healthz", ROUTE_NO_METHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
    {"OPTIONS", "/healthz", ROUTE_NO_METHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
    {"get", "/healthz", ROUTE_NO_METHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
};

static void test_find(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Route *route = NULL;
        const char *allow = NULL;
        g_autofree char *id = NULL;
        RouteResult result = route_find(cases[i].method, cases[i].path, &route, &id, &allow);
        CHECK(result == cases[i].result, "%s %s: %d", cases[i].method, cases[i].path, result);
        CHECK_TEXT(route ? route->name : NULL, cases[i].name, cases[i].path);
        CHECK_TEXT(id, cases[i].id, cases[i].path);
        CHECK_TEXT(allow, cases[i].allow, cases[i].path);
    }
}

static void test_variable(void **state)
{
    (void)state;
    CHECK_TEXT(route_variable(&routes[ROUTE_history]), "{vm_id}", "history");
    CHECK_TEXT(route_variable(&routes[ROUTE_dashboard_file]), "{file}", "dashboard_file");
    CHECK_TEXT(route_variable(&routes[ROUTE_metrics]), NULL, "metrics");
}

/* Each route is found by its own path. */
static void test_all_are_found(void **state)
{
    (void)state;
    for (guint i = 0; i < N_ROUTES; i++) {
        const Route *route = NULL;
        const char *allow = NULL;
        g_autofree char *id = NULL;
        assert_int_equal(route_find(routes[i].method, routes[i].path, &route, &id, &allow), ROUTE_FOUND);
        CHECK(route == &routes[i], "%s", routes[i].path);
    }
}

static void test_parameters(void **state)
{
    (void)state;
    static const struct {
        RouteId route;
        const char *target;
        const char *unknown; /* NULL: all are known */
    } queries[] = {
        {ROUTE_history, "/x?metric=a&from=b&to=c&step=d&source=e", NULL},
        {ROUTE_history, "/x?metri=a", "metri"},
        {ROUTE_history, "/x?metric%20from=a", "metric from"},
        {ROUTE_healthz, "/x", NULL},
        {ROUTE_healthz, "/x?a", "a"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(queries); i++) {
        Reply *refusal = NULL;
        g_autoptr(Target) target = target_parse(queries[i].target, NULL);
        bool known = route_check_parameters(&routes[queries[i].route], target, &refusal);
        CHECK(known == !queries[i].unknown && known == !refusal, "%s", queries[i].target);
        if (refusal) {
            CHECK(refusal->status == 400 && strstr(g_bytes_get_data(refusal->body, NULL), queries[i].unknown), "%s",
                  queries[i].target);
            reply_free(refusal);
        }
    }
}

static void test_vm_id(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        guint64 id;
    } ids[] = {{"83", true, 83},
               {"one-83", true, 83},
               {"0", true, 0},
               {"", false, 0},
               {"one-", false, 0},
               {"one-one-8", false, 0},
               {"83x", false, 0},
               {"-1", false, 0},
               {" 83", false, 0},
               {"two-83", false, 0},
               {"99999999999999999999", false, 0}};
    for (guint i = 0; i < G_N_ELEMENTS(ids); i++) {
        guint64 id = 0;
        CHECK(route_vm_id(ids[i].text, &id) == ids[i].good && id == ids[i].id, "%s", ids[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),       cmocka_unit_test(test_all_are_found), cmocka_unit_test(test_variable),
        cmocka_unit_test(test_parameters), cmocka_unit_test(test_vm_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
