/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/access.h"

/* 0: allowed. */
static guint status_of(bool allowed, Reply *refusal)
{
    guint status = refusal ? refusal->status : 0;
    assert_true(allowed == !refusal);
    reply_free(refusal);
    return status;
}

static void test_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *read, *write; /* configured */
        RouteAccess wanted;
        const char *authorization, *parameter;
        guint status;
    } cases[] = {
        {NULL, NULL, ACCESS_READ, NULL, NULL, 0},
        {NULL, NULL, ACCESS_WRITE, NULL, NULL, 0},
        {"r", "w", ACCESS_OPEN, NULL, NULL, 0},
        {"r", "w", ACCESS_OPEN, "Bearer x", NULL, 0},
        {"r", "w", ACCESS_READ, NULL, NULL, 401},
        {"r", "w", ACCESS_READ, "Bearer r", NULL, 0},
        {"r", "w", ACCESS_READ, "bearer   r", NULL, 0},
        {"r", "w", ACCESS_READ, "Bearer w", NULL, 0},
        {"r", "w", ACCESS_READ, "Bearer rr", NULL, 401},
        {"rr", "w", ACCESS_READ, "Bearer r", NULL, 401},
        {"r", "w", ACCESS_READ, "Bearer ", NULL, 401},
        {"r", "w", ACCESS_READ, "Bearer", NULL, 401},
        {"r", "w", ACCESS_READ, "r", NULL, 401},
        {"r", "w", ACCESS_READ, "Digest r", NULL, 401},
        {"r", "w", ACCESS_READ, "Token r", NULL, 0},
        {"r", "w", ACCESS_READ, "Basic dTpy", NULL, 0},   /* u:r */
        {"r", "w", ACCESS_READ, "Basic cg==", NULL, 401}, /* r */
        {"r", "w", ACCESS_READ, "Basic !!", NULL, 401},
        {"r", "w", ACCESS_READ, "Basic dTpyAHI=", NULL, 401}, /* with a NUL */
        {"a:b", "w", ACCESS_READ, "Basic dTphOmI=", NULL, 0}, /* u:a:b */
        {"r", "w", ACCESS_WRITE, NULL, NULL, 401},
        {"r", "w", ACCESS_WRITE, "Bearer r", NULL, 403},
        {"r", "w", ACCESS_WRITE, "Bearer w", NULL, 0},
        {"r", "w", ACCESS_WRITE, "Bearer x", NULL, 401},
        {"r", "w", ACCESS_WRITE, NULL, "w", 0},
        {"r", "w", ACCESS_WRITE, NULL, "r", 403},
        {"r", "w", ACCESS_WRITE, "Bearer x", "w", 401}, /* the header goes before the parameter */
        {"r", NULL, ACCESS_WRITE, NULL, NULL, 0},
        {NULL, "w", ACCESS_READ, NULL, NULL, 0},
        {NULL, "w", ACCESS_WRITE, "Bearer r", NULL, 401},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Reply *refusal = NULL;
        g_autoptr(Access) access =
            access_new(&(AccessOptions){.read_token = cases[i].read, .write_token = cases[i].write});
        bool allowed =
            access_check_token(access, cases[i].wanted, cases[i].authorization, cases[i].parameter, &refusal);
        guint status = status_of(allowed, refusal);
        CHECK(status == cases[i].status, "%u: %s: %u", i, cases[i].authorization, status);
    }
}

static const char *const origins[] = {"https://Sunstone.example:8443", "http://b.example", NULL};

static void test_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        guint status;
    } hosts[] = {
        {NULL, 0},
        {"127.0.0.1", 0},
        {"127.0.0.1:4126", 0},
        {"10.0.0.1:4126", 0},
        {"[::1]:4126", 0},
        {"[::1]", 0},
        {"localhost", 0},
        {"LocalHost:1", 0},
        {"localhost.:1", 0},
        {"front-end", 0},
        {"sunstone.example", 0},
        {"sunstone.example:1", 0},
        {"b.example", 0},
        {"evil.example", 421},
        {"evil.example:4126", 421},
        {"127.0.0.1.evil.example", 421},
        {"localhost.evil.example", 421},
        {"127.0.0.1:4126@evil.example", 421},
        {"localhost:x", 421},
        {"[::1", 421},
        {"[::1]x", 421},
        {"", 421},
        {":4126", 421},
    };
    g_autoptr(Access) guarded =
        access_new(&(AccessOptions){.origins = origins, .guard_hosts = true, .machine = "Front-End"});
    g_autoptr(Access) open = access_new(&(AccessOptions){.origins = origins});
    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++) {
        Reply *refusal = NULL;
        bool allowed = access_check_host(guarded, hosts[i].host, &refusal);
        CHECK(status_of(allowed, refusal) == hosts[i].status, "%s", hosts[i].host);
        CHECK(access_check_host(open, hosts[i].host, &refusal), "%s", hosts[i].host);
    }
}

static void test_origins(void **state)
{
    (void)state;
    static const char *const any[] = {"https://a.example", "*", NULL};
    g_autoptr(Access) listed = access_new(&(AccessOptions){.origins = origins});
    g_autoptr(Access) all = access_new(&(AccessOptions){.origins = any});
    g_autoptr(Access) none = access_new(&(AccessOptions){0});
    assert_int_equal(access_origin(listed, "https://sunstone.example:8443"), 0);
    assert_int_equal(access_origin(listed, "http://b.example"), 1);
    assert_int_equal(access_origin(listed, "https://b.example"), ACCESS_NO_ORIGIN);
    assert_int_equal(access_origin(listed, "null"), ACCESS_NO_ORIGIN);
    assert_int_equal(access_origin(listed, NULL), ACCESS_NO_ORIGIN);
    assert_int_equal(access_origin(all, "https://a.example"), 0);
    assert_int_equal(access_origin(all, "https://x.example"), ACCESS_ANY_ORIGIN);
    assert_int_equal(access_origin(all, NULL), ACCESS_ANY_ORIGIN);
    assert_int_equal(access_origin(none, "http://b.example"), ACCESS_NO_ORIGIN);
}

static void test_pages(void **state)
{
    (void)state;
    static const char *const any[] = {"*", NULL};
    static const struct {
        const char *const *origins;
        const char *origin, *host, *fetch_site;
        guint status;
    } pages[] = {
        {origins, NULL, "x:1", NULL, 0},
        {origins, NULL, "x:1", "none", 0},
        {origins, NULL, "x:1", "same-origin", 0},
        {origins, NULL, "x:1", "cross-site", 403},
        {origins, "http://x:1", "x:1", "same-origin", 0},
        {origins, "http://X:1", "x:1", NULL, 0},
        {origins, "http://x:2", "x:1", NULL, 403},
        {origins, "http://x", "x:1", NULL, 403},
        {origins, "http://evil.example", "x:1", NULL, 403},
        {origins, "null", "x:1", NULL, 403},
        {origins, "", "x:1", NULL, 403},
        {origins, "http://x:1", NULL, NULL, 403},
        {origins, "http://b.example", "x:1", "cross-site", 0},
        {any, "http://b.example", "x:1", NULL, 403},
        {NULL, "http://b.example", "x:1", NULL, 403},
    };
    for (guint i = 0; i < G_N_ELEMENTS(pages); i++) {
        Reply *refusal = NULL;
        g_autoptr(Access) access = access_new(&(AccessOptions){.origins = pages[i].origins});
        bool allowed = access_check_page(access, pages[i].origin, pages[i].host, pages[i].fetch_site, &refusal);
        CHECK(status_of(allowed, refusal) == pages[i].status, "%u: %s", i, pages[i].origin);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
