/* SPDX-License-Identifier: Apache-2.0
 * The states by a deadline: a hypervisor that answers, fails or hangs, and libvirt's own test driver. */
#include "gather/states.h"
#include "gather_helpers.h"

#include <string.h>

static struct {
    GMutex lock;
    GCond changed;
    bool hangs, fails;
    guint under_way;
} fake;

static void add(GPtrArray *states, const char *name, int state, int reason)
{
    HypervisorState *made = g_new0(HypervisorState, 1);
    made->name = g_strdup(name);
    made->uuid = g_strdup_printf("uuid of %s", name);
    made->state = state;
    made->reason = reason;
    g_ptr_array_add(states, made);
}

static GPtrArray *fake_states(const char *uri, GError **error)
{
    g_mutex_lock(&fake.lock);
    fake.under_way++;
    while (fake.hangs)
        g_cond_wait(&fake.changed, &fake.lock);
    fake.under_way--;
    g_cond_broadcast(&fake.changed);
    bool fails = fake.fails;
    g_mutex_unlock(&fake.lock);
    if (fails) {
        g_set_error(error, g_quark_from_static_string("fake"), 38, "cannot connect to %s", uri);
        return NULL;
    }
    GPtrArray *states = g_ptr_array_new_with_free_func((GDestroyNotify)hypervisor_state_free);
    if (strcmp(uri, "empty") == 0)
        return states;
    add(states, "one-83", 1, 1);
    add(states, "web", 3, 1);
    add(states, "one-84", 3, 11);
    add(states, "one-085", 6, 0);
    add(states, "one-86", -1, -1);
    return states;
}

static const HypervisorApi api = {.states = fake_states};

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        gint64 id;
        const char *name, *uuid, *state;
    } want[] = {{83, "one-83", "uuid of one-83", "RUNNING"},
                {-1, "web", "uuid of web", "SUSPENDED"},
                {84, "one-84", "uuid of one-84", "RUNNING"},
                {-1, "one-085", "uuid of one-085", "FAILURE"},
                {86, "one-86", "uuid of one-86", "UNKNOWN"}};
    bool abandoned = true;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) vms = states_collect(&api, "some", 20000, &abandoned, &error);
    CHECK(vms, "%s", error->message);
    assert_false(abandoned);
    assert_int_equal(vms->len, G_N_ELEMENTS(want));
    for (guint i = 0; i < vms->len; i++) {
        const StatusVm *vm = g_ptr_array_index(vms, i);
        CHECK(vm->id == want[i].id, "%s", want[i].name);
        CHECK_TEXT(vm->name, want[i].name, "name");
        CHECK_TEXT(vm->uuid, want[i].uuid, want[i].name);
        CHECK_TEXT(vm->state, want[i].state, want[i].name);
    }
    g_autoptr(GPtrArray) none = states_collect(&api, "empty", 20000, &abandoned, &error);
    assert_int_equal(none->len, 0);
}

static void test_fails(void **state)
{
    (void)state;
    bool abandoned = true;
    g_autoptr(GError) error = NULL;
    fake.fails = true;
    assert_null(states_collect(&api, "qemu+tcp://me:secret@host/system", 20000, &abandoned, &error));
    fake.fails = false;
    assert_false(abandoned);
    assert_int_equal(error->code, STATES_ERROR_LIBVIRT);
    CHECK(g_str_has_prefix(error->message, "libvirt at qemu+tcp://***@host/system: cannot connect"), "%s",
          error->message);
}

static void test_hangs(void **state)
{
    (void)state;
    bool abandoned = false;
    g_autoptr(GError) error = NULL;
    fake.hangs = true;
    assert_null(states_collect(&api, "some", 50, &abandoned, &error));
    assert_true(abandoned);
    assert_int_equal(error->code, STATES_ERROR_DEADLINE);
    CHECK_TEXT(error->message, "libvirt at some gave no states within 0.1 s", "message");
    g_mutex_lock(&fake.lock); /* it may not have begun yet */
    while (!fake.under_way)
        g_cond_wait_until(&fake.changed, &fake.lock, g_get_monotonic_time() + 10000);
    fake.hangs = false;
    g_cond_broadcast(&fake.changed);
    while (fake.under_way)
        g_cond_wait(&fake.changed, &fake.lock);
    g_mutex_unlock(&fake.lock);
    g_usleep(100000); /* and frees what it holds */
}

static void test_libvirt(void **state)
{
    (void)state;
    bool abandoned;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) vms = states_collect(&libvirt_api, "test:///default", 20000, &abandoned, &error);
    CHECK(vms, "%s", error->message);
    assert_int_equal(vms->len, 1);
    const StatusVm *vm = g_ptr_array_index(vms, 0);
    CHECK_TEXT(vm->name, "test", "name");
    assert_int_equal(vm->id, -1);
    CHECK_TEXT(vm->state, "RUNNING", "state");
    assert_int_equal(strlen(vm->uuid), 36);
    assert_null(states_collect(&libvirt_api, "qemu+unix:///system?socket=/nonexistent", 20000, &abandoned, &error));
    CHECK(strstr(error->message, ": cannot connect: "), "%s", error->message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_fails),
        cmocka_unit_test(test_hangs),
        cmocka_unit_test(test_libvirt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
