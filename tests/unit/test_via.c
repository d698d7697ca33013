/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"

#include "deliver/spool_name.h"
#include "deliver/via.h"

#include <string.h>

#define SIX "00000001.00000002.00000003.00000004.00000005.00000006"

static void test_is_list(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool want;
    } rows[] = {
        {"0a1b2c3d", true},
        {"0a1b2c3d.4e5f6071", true},
        {SIX, true},
        {SIX ".00000007", false},
        {"", false},
        {"0a1b2c3", false},
        {"0a1b2c3d.", false},
        {".0a1b2c3d", false},
        {"0A1B2C3D", false},
        {"0a1b2c3d 4e5f6071", false},
        {"0a1b2c3d..4e5f607", false},
        {"0a1b2c3d-4e5f6071", false},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        CHECK(via_is_list(rows[i].text) == rows[i].want, "%s", rows[i].text);
}

/* Endpoint after endpoint, in the names of batches, until there is no room. */
static void test_travels(void **state)
{
    (void)state;
    g_autofree char *via = NULL, *first = via_new_id();
    for (guint n = 1; n <= VIA_MAX + 1; n++) {
        g_autofree char *id = n == 1 ? g_strdup(first) : via_new_id();
        assert_true(via_is_list(id));
        assert_false(n > 1 && strcmp(id, first) == 0);
        assert_false(via_has(via, id));
        g_autofree char *next = via_add(via, id);
        if (n > VIA_MAX) {
            assert_null(next);
            break;
        }
        assert_true(via_has(next, id) && via_has(next, first));
        g_autofree char *host = via_host(next);
        const SpoolName parts = {.time_ns = 1, .host = host, .pid = G_MAXUINT, .n = 0};
        g_autofree char *name = spool_name_make(&parts), *read = via_of_batch(name);
        gint64 time_ns;
        assert_true(spool_name_parse(name, &time_ns));
        CHECK_TEXT(read, next, name);
        g_free(via);
        via = g_steal_pointer(&next);
    }
}

static void test_other_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "0000000000000000001-kvm1-7-0000.lp.gz",
        "0000000000000000001-_via.kvm1-7-0000.lp.gz",
        "0000000000000000001-_via.-7-0000.lp.gz",
        "0000000000000000001-_via.0a1b2c3d.-7-0000.lp.gz",
        "0000000000000000001-via.0a1b2c3d-7-0000.lp.gz",
        "state",
        "",
    };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *via = via_of_batch(names[i]);
        CHECK(via == NULL, "%s", names[i]);
    }
    assert_false(via_has(NULL, "0a1b2c3d"));
    assert_false(via_has("10a1b2c3.d0000000", "0a1b2c3d")); /* not across two */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_list),
        cmocka_unit_test(test_travels),
        cmocka_unit_test(test_other_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
