/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "model/event.h"

static const struct {
    const char *state, *lcm_state;
    EventMeaning meaning;
} meanings[] = {
    {"3", "3", EVENT_RUNS},           {"ACTIVE", "RUNNING", EVENT_RUNS},
    {"ACTIVE", "3", EVENT_RUNS},      {"3", "4", EVENT_SAYS_NOTHING},
    {"3", NULL, EVENT_SAYS_NOTHING},  {"ACTIVE", "UNKNOWN", EVENT_SAYS_NOTHING},
    {"1", "0", EVENT_SAYS_NOTHING},   {"4", "0", EVENT_ENDS},
    {"5", "0", EVENT_ENDS},           {"6", "0", EVENT_ENDS},
    {"8", NULL, EVENT_ENDS},          {"9", "0", EVENT_ENDS},
    {"11", "0", EVENT_ENDS},          {"POWEROFF", "LCM_INIT", EVENT_ENDS},
    {"DONE", "LCM_INIT", EVENT_ENDS}, {"7", "0", EVENT_SAYS_NOTHING},
    {"99", "3", EVENT_SAYS_NOTHING},  {"", "", EVENT_SAYS_NOTHING},
    {NULL, NULL, EVENT_SAYS_NOTHING},
};

static void what_states_mean(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(meanings); i++) {
        g_autoptr(VmEvent) event = vm_event_new(EVENT_OPENNEBULA, 7, 1);
        event->state = g_strdup(meanings[i].state);
        event->lcm_state = g_strdup(meanings[i].lcm_state);
        CHECK(vm_event_meaning(event) == meanings[i].meaning, "row %u", i);
        event->source = EVENT_SEEN;
        CHECK(vm_event_meaning(event) == EVENT_SAYS_NOTHING, "row %u, seen", i);
    }
}

static void words(void **state)
{
    (void)state;
    CHECK_TEXT(vm_event_state_word("3"), "ACTIVE", "3");
    CHECK_TEXT(vm_event_state_word("7"), "7", "a gap");
    CHECK_TEXT(vm_event_state_word("4294967299"), "4294967299", "3 + 2^32");
    CHECK_TEXT(vm_event_state_word("-1"), "-1", "-1");
    CHECK_TEXT(vm_event_state_word("POWEROFF"), "POWEROFF", "a word");
    CHECK_TEXT(vm_event_lcm_state_word("18"), "SHUTDOWN_POWEROFF", "18");
    CHECK_TEXT(vm_event_lcm_state_word("36"), "BOOT_FAILURE", "36");
    CHECK_TEXT(vm_event_lcm_state_word("40"), "EPILOG_FAILURE", "40");
    CHECK_TEXT(vm_event_lcm_state_word("999"), "999", "above");
    assert_null(vm_event_state_word(NULL));
}

static void a_copy_is_whole(void **state)
{
    (void)state;
    g_autoptr(VmEvent) event = vm_event_new(EVENT_OPENNEBULA, 7, 5);
    char **texts[] = {&event->host,  &event->state,          &event->lcm_state,          &event->vm_name,
                      &event->owner, &event->previous_state, &event->previous_lcm_state, &event->reason};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        *texts[i] = g_strdup_printf("text %u", i);
    g_autoptr(VmEvent) copy = vm_event_copy(event);
    char **copies[] = {&copy->host,  &copy->state,          &copy->lcm_state,          &copy->vm_name,
                       &copy->owner, &copy->previous_state, &copy->previous_lcm_state, &copy->reason};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        CHECK_TEXT(*copies[i], *texts[i], "text");
    assert_true(copy->vm_id == 7 && copy->time_ns == 5 && copy->source == EVENT_OPENNEBULA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_states_mean),
        cmocka_unit_test(words),
        cmocka_unit_test(a_copy_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
