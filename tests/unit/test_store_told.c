/* SPDX-License-Identifier: Apache-2.0
 * What OpenNebula's state hook says of a VM beside what its host says, as line protocol brings it. */
#include "encode/line_samples.h"
#include "gather_helpers.h"
#include "store/store.h"

#include <string.h>

#define S G_GINT64_CONSTANT(1000000000)
#define BEGIN G_GINT64_CONSTANT(1700000000)

static const StoreOptions standard = {
    .stale_after_ms = 90000, .gone_after_ms = 3600000, .forget_after_ms = 7200000, .max_vms = 100};

static int set_up(void **state)
{
    *state = store_new(&standard);
    return 0;
}

static int tear_down(void **state)
{
    store_free(*state);
    return 0;
}

/* --- lines --- */

static void feed(Store *store, const char *text, gint64 now_ms)
{
    const StoreClock now = {.real_ns = BEGIN * S + now_ms * 1000000, .mono_ns = (1000000 + now_ms) * 1000000};
    g_autoptr(LineSamples) read = line_samples_read(text, strlen(text), 1, now.real_ns);
    assert_int_equal(read->refused + read->foreign, 0);
    for (guint i = 0; i < read->samples->len; i++) {
        Sample *sample = g_steal_pointer(&read->samples->pdata[i]);
        const bool whole = line_samples_is_whole(sample);
        store_change_free(store_take(store, sample, SOURCE_PROBES, NULL, whole, now));
    }
    g_ptr_array_set_size(read->samples, 0);
    for (guint i = 0; i < read->events->len; i++)
        store_change_free(store_take_event(store, g_ptr_array_index(read->events, i), now));
}

/* Times in milliseconds from BEGIN. A collection of the host, with the names of the deployment. */
static void probe(Store *store, gint64 ms)
{
    const gint64 time_ns = BEGIN * S + ms * 1000000;
    g_autofree char *text = g_strdup_printf(
        "vm_totals,VMID=9,host=kvm1,name=one-9,uuid=u state=1i,cputime=%" G_GINT64_FORMAT "i %" G_GINT64_FORMAT "\n"
        "vm_info,VMID=9,host=kvm1,uuid=u vm_name=\"old\",uname=\"bob\",deployment_time=\"%" G_GINT64_FORMAT
        "\" %" G_GINT64_FORMAT "\nhost_totals,host=kvm1 domains=1i %" G_GINT64_FORMAT "\n",
        (ms + 10000) * 1000000, time_ns, ms, time_ns, time_ns);
    feed(store, text, ms);
}

static void tell_info(Store *store, const char *name, const char *lock, gint64 ms, gint64 now_ms)
{
    g_autofree char *text =
        g_strdup_printf("vm_info,VMID=9,host=kvm1,uuid=u "
                        "vm_name=\"%s\",uname=\"alice\",lock=\"%s\",info_source=\"opennebula\" %" G_GINT64_FORMAT "\n",
                        name, lock, BEGIN * S + ms * 1000000);
    feed(store, text, now_ms);
}

static void tell_event(Store *store, const char *state, const char *lcm_state, const char *previous, gint64 ms,
                       gint64 now_ms)
{
    g_autofree char *text = g_strdup_printf(
        "vm_events,VMID=9,host=kvm1,lcm_state=%s,state=%s seq=0i,previous_state=\"%s\" %" G_GINT64_FORMAT "\n",
        lcm_state, state, previous, BEGIN * S + ms * 1000000);
    feed(store, text, now_ms);
}

/* --- what is known then --- */

static VmView look(Store *store, gint64 now_ms)
{
    VmView view = {0};
    const StoreClock now = {.real_ns = BEGIN * S + now_ms * 1000000, .mono_ns = (1000000 + now_ms) * 1000000};
    if (!store_find(store, 9, now, &view))
        fail_msg("VM 9 is not known");
    vm_record_unref(view.record);
    return view;
}

static const char *text_of(Store *store, Metric m)
{
    return row_text(look(store, 0).record->sample->row, m);
}

static bool is_live(Store *store)
{
    return look(store, 0).record->ended_ns == 0;
}

/* --- names --- */

static void a_renamed_vm_does_not_flip_back(void **state)
{
    Store *store = *state;
    probe(store, 0);
    CHECK_TEXT(text_of(store, METRIC_VM_VM_NAME), "old", "before");
    tell_info(store, "new", "use", 10000, 10500);
    CHECK_TEXT(text_of(store, METRIC_VM_VM_NAME), "new", "told");
    probe(store, 30000); /* a new sample with the names in it */
    CHECK_TEXT(text_of(store, METRIC_VM_VM_NAME), "new", "after a sample");
    CHECK_TEXT(text_of(store, METRIC_VM_UNAME), "alice", "after a sample");
    probe(store, 30000); /* a piece of the same collection */
    CHECK_TEXT(text_of(store, METRIC_VM_VM_NAME), "new", "after a piece");
    feed(store, "vm_info,VMID=9,host=kvm1,uuid=u vm_name=\"old\" 1700000040000000000\n", 40000); /* names alone */
    CHECK_TEXT(text_of(store, METRIC_VM_VM_NAME), "new", "after names alone");
    CHECK_TEXT(text_of(store, METRIC_VM_LOCK), "use", "what only the hook knows");
    CHECK_TEXT(text_of(store, METRIC_VM_DEPLOYMENT_TIME), "30000", "what is of the deployment");
    assert_true(look(store, 40000).record->time_ns == (BEGIN + 30) * S); /* nothing of it was a figure */
}

static void the_later_word_is_believed(void **state)
{
    Store *store = *state;
    probe(store, 0);
    tell_info(store, "new", "use", 10000, 10000);
    tell_event(store, "ACTIVE", "RUNNING", "ACTIVE", 10400, 10500);
    tell_info(store, "newest", "", 10000, 11000); /* of the same second */
    CHECK_TEXT(text_of(store, METRIC_VM_VM_NAME), "newest", "renamed again");
    CHECK_TEXT(text_of(store, METRIC_VM_LOCK), "", "the lock is gone");
    tell_info(store, "ancient", "admin", 5000, 20000); /* told again, after a failure */
    CHECK_TEXT(text_of(store, METRIC_VM_VM_NAME), "newest", "an old document");
    tell_event(store, "ACTIVE", "PROLOG", "PENDING", 5000, 20000);
    CHECK_TEXT(look(store, 0).record->one_lcm_state, "RUNNING", "an old event");
}

/* A sample of another machine behind the same number has names of its own. */
static void names_go_with_the_machine(void **state)
{
    Store *store = *state;
    tell_info(store, "new", "", 0, 0);
    feed(store, "vm_totals,VMID=9,host=kvm1,name=one-9,uuid=v state=1i 1700000030000000000\n", 30000);
    CHECK_TEXT(look(store, 0).record->uuid, "v", "uuid");
    assert_null(text_of(store, METRIC_VM_VM_NAME));
    tell_info(store, "new", "", 40000, 40000);
    CHECK_TEXT(text_of(store, METRIC_VM_VM_NAME), "new", "the hook goes by the number");
    CHECK_TEXT(look(store, 0).record->uuid, "v", "its uuid is of the domain that runs");
}

/* --- who is listed --- */

static void a_word_alone_lists_nobody(void **state)
{
    Store *store = *state;
    tell_info(store, "new", "", 0, 500);
    assert_false(is_live(store));
    CHECK_TEXT(look(store, 0).record->uuid, "u", "uuid");
    const StoreClock now = {.real_ns = BEGIN * S, .mono_ns = 1000000};
    g_autoptr(GPtrArray) hosts = store_hosts(store, now);
    assert_int_equal(hosts->len, 0); /* kvm1 has said nothing */
    tell_event(store, "ACTIVE", "PROLOG", "PENDING", 0, 500);
    assert_false(is_live(store));
    tell_event(store, "ACTIVE", "RUNNING", "ACTIVE", 5000, 9000);
    assert_true(is_live(store));
    assert_true(look(store, 9000).telemetry == TELEMETRY_MISSING);
    g_autoptr(GPtrArray) events = store_events(store, 9, 10);
    assert_int_equal(events->len, 2); /* nobody saw it appear yet */
}

static void an_end_in_the_second_of_the_last_figures(void **state)
{
    Store *store = *state;
    probe(store, 30400);
    tell_event(store, "POWEROFF", "LCM_INIT", "ACTIVE", 29000, 30900); /* that of before */
    assert_true(is_live(store));
    tell_event(store, "POWEROFF", "LCM_INIT", "ACTIVE", 30000, 31000);
    assert_false(is_live(store));
    probe(store, 30900); /* was on its way */
    assert_false(is_live(store));
    probe(store, 31000); /* it runs again */
    assert_true(is_live(store));
}

static void what_led_to_the_end_may_come_behind_it(void **state)
{
    Store *store = *state;
    probe(store, 20000);
    tell_event(store, "POWEROFF", "LCM_INIT", "ACTIVE", 30000, 30800);
    tell_event(store, "ACTIVE", "SHUTDOWN_POWEROFF", "ACTIVE", 30300, 30900);
    CHECK_TEXT(look(store, 0).record->one_state, "POWEROFF", "state");
    assert_false(is_live(store));
    tell_event(store, "ACTIVE", "BOOT_POWEROFF", "POWEROFF", 30400, 31000); /* what comes of it is later */
    CHECK_TEXT(look(store, 0).record->one_lcm_state, "BOOT_POWEROFF", "state");
    tell_event(store, "ACTIVE", "RUNNING", "ACTIVE", 31000, 32000);
    assert_true(is_live(store));
}

static void shutdown_and_end_within_a_second(void **state)
{
    Store *store = *state;
    probe(store, 20000);
    tell_event(store, "ACTIVE", "SHUTDOWN_POWEROFF", "ACTIVE", 30300, 30400);
    tell_event(store, "POWEROFF", "LCM_INIT", "ACTIVE", 30000, 30800); /* the stamp is of the second */
    assert_false(is_live(store));
}

static void who_comes_back_is_where_it_is_told(void **state)
{
    Store *store = *state;
    probe(store, 0);
    tell_event(store, "UNDEPLOYED", "LCM_INIT", "ACTIVE", 10000, 10000);
    feed(store, "vm_events,VMID=9,host=kvm2,lcm_state=RUNNING,state=ACTIVE seq=1i 1700000020000000000\n", 20000);
    assert_true(is_live(store));
    CHECK_TEXT(look(store, 0).record->host, "kvm2", "host");
    for (gint64 ms = 30000; ms < 200000; ms += 30000) { /* kvm1 no longer has it, which is no news */
        g_autofree char *text =
            g_strdup_printf("host_totals,host=kvm1 domains=0i %" G_GINT64_FORMAT "\n", BEGIN * S + ms * 1000000);
        feed(store, text, ms);
    }
    assert_true(is_live(store));
}

/* --- over a restart --- */

static void an_old_word_is_old_after_a_restart(void **state)
{
    Store *store = *state;
    const StoreClock now = {.real_ns = (BEGIN + 100) * S, .mono_ns = 1000000};
    VmRecord *record = vm_record_new(9, vm_sample_new("one-9"));
    row_set_text(record->sample->row, METRIC_VM_VM_NAME, "new");
    row_set_text(record->sample->row, METRIC_VM_INFO_SOURCE, INFO_SOURCE_OPENNEBULA);
    record->one_state = g_strdup("ACTIVE");
    store_restore(store, record, now);
    g_autoptr(VmEvent) event = vm_event_new(EVENT_OPENNEBULA, 9, (BEGIN + 50) * S);
    event->state = g_strdup("ACTIVE");
    store_restore_event(store, event);
    tell_info(store, "ancient", "", 20000, 100000);
    tell_event(store, "POWEROFF", "LCM_INIT", "ACTIVE", 20000, 100000);
    CHECK_TEXT(text_of(store, METRIC_VM_VM_NAME), "new", "name");
    assert_true(is_live(store));
    probe(store, 110000);
    CHECK_TEXT(text_of(store, METRIC_VM_VM_NAME), "new", "after a sample");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_renamed_vm_does_not_flip_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_later_word_is_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_go_with_the_machine, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_word_alone_lists_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_end_in_the_second_of_the_last_figures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_led_to_the_end_may_come_behind_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shutdown_and_end_within_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_comes_back_is_where_it_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_old_word_is_old_after_a_restart, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
