/* SPDX-License-Identifier: Apache-2.0
 * Guests' agents in poll.rb's place: guestagent.conf, answers, what is kept from one cycle to the next, a round of
 * questions to agents that answer, refuse and are silent, and the keys in OpenNebula's records. */
#include "gather_helpers.h"

#include "encode/one_record.h"
#include "encode/one_size.h"
#include "gather/guest_answer.h"
#include "gather/vm_book.h"
#include "probe/guest_asking.h"
#include "probe/guest_filter.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* --- guestagent.conf --- */

static GuestCommands *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    GuestCommands *commands = guest_commands_parse(text, strlen(text), &error);
    CHECK(commands, "%s: %s", text, error ? error->message : "");
    return commands;
}

#define COMMANDS ":enabled: true\n:commands:\n"

static void test_commands(void **state)
{
    (void)state;
    static const struct {
        const char *text, *key, *command, *filter;
        GuestOs os;
    } cases[] = {
        {"  :vm_qemu_ping: \"one-$vm_id '{\\\"execute\\\":\\\"guest-ping\\\"}' --timeout 5\"\n", "VM_QEMU_PING",
         "{\"execute\":\"guest-ping\"}", NULL, GUEST_OS_UNKNOWN},
        {"  :ip-address: >\n      one-$vm_id '{\"execute\":\"x\"}' --timeout=5 |\n      jq '.a | .b' | tr a b\n",
         "IP_ADDRESS", "{\"execute\":\"x\"}", "jq '.a | .b' | tr a b", GUEST_OS_UNKNOWN},
        {"  :windows:\n    :memory: one-$vm_id '{\"a\":\"|$vm_id\"}'\n", "MEMORY", "{\"a\":\"|$vm_id\"}", NULL,
         GUEST_OS_WINDOWS},
        {"  :linux:\n    :a: one-$vm_id '{}'\n", "A", "{}", NULL, GUEST_OS_LINUX},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strconcat(COMMANDS, cases[i].text, NULL);
        g_autoptr(GuestCommands) commands = parse(text);
        CHECK(commands->enabled && commands->commands->len == 1, "%s: %s", text,
              commands->problems->len ? (char *)g_ptr_array_index(commands->problems, 0) : "none");
        const GuestCommand *command = g_ptr_array_index(commands->commands, 0);
        CHECK_TEXT(command->key, cases[i].key, text);
        CHECK_TEXT(command->command, cases[i].command, text);
        CHECK_TEXT(command->filter, cases[i].filter, text);
        CHECK(command->os == cases[i].os, "%s", text);
        for (GuestAttribute a = 0; a < N_GUEST_ATTRIBUTES; a++)
            CHECK(!command->only[a], "%s", text);
    }
    g_autofree char *made = guest_command_for("{\"a\":\"|$vm_id\"}", 83);
    assert_string_equal(made, "{\"a\":\"|83\"}");
}

static void check_words(char *const *words, const char *want, const char *text)
{
    g_autofree char *got = words ? g_strjoinv(" ", (char **)(guintptr)words) : NULL;
    CHECK_TEXT(got, want, text);
}

static void test_filters(void **state)
{
    (void)state;
    static const char text[] = COMMANDS "  :a:\n    :command: 'one-$vm_id ''{\"a\":1}'' --timeout 5 | cat'\n"
                                        "    :os_ids: ['ubuntu']\n    :os_versions: ['24.04', 22.04]\n"
                                        "  :b:\n    :os_types:\n    - posix\n    :os_machines: [x86_64, amd64]\n"
                                        "    :command: one-$vm_id '{}'\n"
                                        "  :c:\n    :command: one-$vm_id '{}'\n"
                                        "  :windows:\n    :d:\n      :command: one-$vm_id '{}'\n"
                                        "      :os_versions: ['10']\n";
    static const char *const want[][N_GUEST_ATTRIBUTES] = {
        {NULL, "ubuntu", "24.04 22.04", NULL},
        {"posix", NULL, NULL, "x86_64 amd64"},
        {NULL, NULL, NULL, NULL},
        {NULL, NULL, "10", NULL},
    };
    g_autoptr(GuestCommands) commands = parse(text);
    assert_int_equal(commands->problems->len, 0);
    assert_int_equal(commands->commands->len, G_N_ELEMENTS(want));
    for (guint i = 0; i < G_N_ELEMENTS(want); i++) {
        const GuestCommand *command = g_ptr_array_index(commands->commands, i);
        const char key[] = {(char)('A' + i), '\0'};
        CHECK_TEXT(command->key, key, key);
        CHECK_TEXT(command->command, i == 0 ? "{\"a\":1}" : "{}", key);
        CHECK_TEXT(command->filter, i == 0 ? "cat" : NULL, key);
        CHECK(command->os == (i == 3 ? GUEST_OS_WINDOWS : GUEST_OS_UNKNOWN), "%s", key);
        for (GuestAttribute a = 0; a < N_GUEST_ATTRIBUTES; a++)
            check_words(command->only[a], want[i][a], key);
    }
}

/* One that is wrong is left out, the others count. */
static void test_wrong_commands(void **state)
{
    (void)state;
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"  :a: two-$vm_id '{}'\n", "line 3: a: it does not begin with one-$vm_id"},
        {"  :a: ''\n", "line 3: a: "},
        {"  :a: one-$vm_id\n", "line 3: a: it has no {"},
        {"  :a: one-$vm_id '{}' --async\n", "line 3: a: behind one-$vm_id"},
        {"  :a: one-$vm_id '{}' '{}'\n", "line 3: a: behind one-$vm_id"},
        {"  :a: one-$vm_id '{}' |\n", "line 3: a: nothing stands behind"},
        {"  :a: \"one-$vm_id '{}\"\n", "line 3: a: "},
        {"  :bsd:\n    :a: one-$vm_id '{}'\n", "line 3: bsd: expected a command, or command and filters below it;"},
        {"  :linux:\n    :linux:\n      :a: one-$vm_id '{}'\n", "line 4: linux: expected a command"},
        {"  :a: [\"one-$vm_id '{}'\"]\n", "line 3: a: expected a command"},
        {"  :linux: [1]\n", "line 3: linux: expected a command"},
        {"  :a:\n    :os_ids: ['debian']\n", "line 3: a: expected a command"},
        {"  :a:\n    :command: ['x']\n", "line 3: a: expected a command"},
        {"  :a:\n    :command: two-$vm_id '{}'\n", "line 4: a: it does not begin with one-$vm_id"},
        {"  :a:\n    :command: one-$vm_id '{}'\n    :os_id: ['debian']\n", "line 5: a: os_id: there is no such filter"},
        {"  :a:\n    :command: one-$vm_id '{}'\n    :os_ids: []\n", "line 5: a: os_ids: expected a list"},
        {"  :a:\n    :command: one-$vm_id '{}'\n    :os_ids: debian\n", "line 5: a: os_ids: expected a list"},
        {"  :os-type: one-$vm_id '{}'\n", "line 3: os-type: that key is sent without being listed"},
        {"  :guest_ip_addresses: one-$vm_id '{}'\n", "line 3: guest_ip_addresses: that key is sent"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strconcat(COMMANDS, cases[i].text, "  :good: one-$vm_id '{}'\n", NULL);
        g_autoptr(GuestCommands) commands = parse(text);
        CHECK(commands->commands->len == 1 && commands->problems->len == 1, "%s", text);
        CHECK(g_str_has_prefix(g_ptr_array_index(commands->problems, 0), cases[i].problem), "%s: %s", text,
              (char *)g_ptr_array_index(commands->problems, 0));
    }
    g_autoptr(GuestCommands) off = parse(":enabled: false\n"), none = parse("");
    assert_false(off->enabled || none->enabled);
    g_autoptr(GError) error = NULL;
    assert_null(guest_commands_parse(":commands: [\n", 13, &error));
    assert_true(g_str_has_prefix(error->message, "line 1: "));
    static const char *const lists[] = {":enabled: [true]\n", ":commands: ['a']\n"};
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++) {
        g_autoptr(GError) list = NULL;
        CHECK(!guest_commands_parse(lists[i], strlen(lists[i]), &list) && strstr(list->message, " is a list: expected"),
              "%s", lists[i]);
    }
}

/* --- answers --- */

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *value;
    } cases[] = {
        {"{\"return\":{}}", "{}"},         {"{\"return\": [ \"10.0.0.1\", \"::1\", 3 ]}", "10.0.0.1, ::1, 3"},
        {"{\"return\":[]}", ""},           {"{\"return\":{\"a\": {\"b\" : 1}}}", "{\"a\":{\"b\":1}}"},
        {"{\"return\":\"text\"}", "text"}, {"{\"return\":42}", "42"},
        {"{\"return\":true}", "true"},     {"{\"return\":null}", NULL},
        {"{\"error\":{}}", NULL},          {"[1]", NULL},
        {"{\"return\":1} x", NULL},        {"", NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *value = guest_answer_value(cases[i].text, strlen(cases[i].text));
        CHECK_TEXT(value, cases[i].value, cases[i].text);
    }
#define OS(text) guest_answer_os(text, strlen(text))
    assert_int_equal(OS("{\"return\":{\"id\":\"mswindows\"}}"), GUEST_OS_WINDOWS);
    assert_int_equal(OS("{\"return\":{\"id\":\"debian\"}}"), GUEST_OS_LINUX);
    assert_int_equal(OS("{\"return\":{\"kernel-release\":\"6.1\",\"machine\":\"x86_64\"}}"), GUEST_OS_LINUX);
    assert_int_equal(OS("{\"return\":{}}"), GUEST_OS_UNKNOWN);
#define PID(text) guest_answer_pid(text, strlen(text))
    assert_int_equal(PID("{\"return\":{\"pid\":123}}"), 123);
    assert_int_equal(PID("{\"return\":{\"pid\":0}}"), -1);
    assert_int_equal(PID("{\"return\":{\"pid\":-1}}"), -1);
    assert_int_equal(PID("{\"return\":{\"pid\":1.5}}"), -1);
    assert_int_equal(PID("{\"return\":{\"pid\":\"1\"}}"), -1);
}

static void test_attributes(void **state)
{
    (void)state;
    g_autofree char *too_long = g_strnfill(256, 'x'), *most = g_strnfill(255, 'x');
    g_autofree char *longer = g_strdup_printf("{\"return\":{\"id\":\"a\",\"machine\":\"%s\"}}", too_long);
    g_autofree char *longest = g_strdup_printf("{\"return\":{\"id\":\"a\",\"machine\":\"%s\"}}", most);
    const struct {
        const char *text, *want[N_GUEST_ATTRIBUTES];
    } cases[] = {
        {"{\"return\":{\"name\":\"Ubuntu\",\"id\":\"ubuntu\",\"version\":\"24.04.1 LTS\",\"version-id\":\"24.04\","
         "\"machine\":\"x86_64\",\"kernel-release\":\"6.8\"}}",
         {"posix", "ubuntu", "24.04", "x86_64"}},
        {"{\"return\":{\"id\":\"mswindows\",\"version-id\":\"10\",\"machine\":\"x86_64\"}}",
         {"mswindows", "mswindows", "10", "x86_64"}},
        {"{\"return\":{\"kernel-release\":\"6.1\",\"machine\":\"aarch64\"}}", {"posix", NULL, NULL, "aarch64"}},
        {"{\"return\":{\"id\":\"a\",\"version-id\":7,\"machine\":\"\"}}", {"posix", "a", NULL, NULL}},
        {"{\"return\":{\"version-id\":\"7\"}}", {NULL, NULL, NULL, NULL}},
        {"{\"return\":[]}", {NULL, NULL, NULL, NULL}},
        {"{\"error\":{}}", {NULL, NULL, NULL, NULL}},
        {"", {NULL, NULL, NULL, NULL}},
        {longer, {"posix", "a", NULL, NULL}},
        {longest, {"posix", "a", NULL, most}},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        char *values[N_GUEST_ATTRIBUTES];
        guest_answer_attributes(cases[i].text, strlen(cases[i].text), values);
        for (GuestAttribute a = 0; a < N_GUEST_ATTRIBUTES; a++) {
            CHECK_TEXT(values[a], cases[i].want[a], cases[i].text);
            g_free(values[a]);
        }
    }
}

/* guest-network-get-interfaces' answer of one interface with these addresses. Owned by the caller. */
static char *interface_with(const char *const *texts)
{
    g_autoptr(GString) out = g_string_new("{\"return\":[{\"name\":\"none\"},{\"name\":\"eth0\",\"ip-addresses\":[");
    for (guint i = 0; texts[i]; i++)
        g_string_append_printf(out, "%s{\"ip-address\":\"%s\",\"prefix\":8}", i ? "," : "", texts[i]);
    g_string_append(out, "]}]}");
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *texts[8], *want;
    } cases[] = {
        {{"127.0.0.1", "::1", "192.0.2.2", "fe80::1", "2001:db8::2", NULL}, "192.0.2.2,2001:db8::2"},
        {{"10.0.0.2", "2001:DB8:0::2", "10.0.0.2", "2001:db8::2", NULL}, "10.0.0.2,2001:db8::2"},
        {{"127.255.0.1", "169.254.1.1", "febf::1", NULL}, NULL},
        {{"126.255.255.255", "128.0.0.1", "169.253.1.1", "169.255.1.1", "fec0::1", "::2", NULL},
         "126.255.255.255,128.0.0.1,169.253.1.1,169.255.1.1,fec0::1,::2"},
        {{"10.0.0.300", "10.0.0", "x", "", "10.0.0.1,10.0.0.2", "fe80::1%eth0", "10.0.0.3", NULL}, "10.0.0.3"},
        {{NULL}, NULL},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = interface_with(cases[i].texts), *got = guest_answer_addresses(text, strlen(text));
        CHECK_TEXT(got, cases[i].want, text);
    }
    static const char *const odd[] = {"", "{\"return\":{}}",
                                      "{\"return\":[1,{\"ip-addresses\":7},{\"ip-addresses\":[1,{},"
                                      "{\"ip-address\":1},[\"10.0.0.1\"]]}]}"};
    for (guint i = 0; i < G_N_ELEMENTS(odd); i++)
        CHECK(!guest_answer_addresses(odd[i], strlen(odd[i])), "%s", odd[i]);

    char *many[GUEST_ADDRESSES_MAX + 2] = {NULL};
    for (guint i = 0; i <= GUEST_ADDRESSES_MAX; i++)
        many[i] = g_strdup_printf("10.0.0.%u", i);
    g_autofree char *text = interface_with((const char *const *)many),
                    *got = guest_answer_addresses(text, strlen(text));
    g_auto(GStrv) split = g_strsplit(got, ",", -1);
    assert_int_equal(g_strv_length(split), GUEST_ADDRESSES_MAX);
    for (guint i = 0; i <= GUEST_ADDRESSES_MAX; i++)
        g_free(many[i]);
}

static void test_gpus(void **state)
{
    (void)state;
    static const char two[] = "40, 10, 70.50, 1000\r\n61, 20, [N/A], 500.5\n\n";
    GpuFigures figures;
    assert_true(gpu_figures_read(two, strlen(two), &figures));
    assert_int_equal(figures.count, 2);
    assert_true(figures.utilization == 50.5 && figures.memory_utilization == 15);
    assert_true(figures.power_usage == 70.5 && figures.memory_free == 1500.5);
    static const char none[] = "NVIDIA-SMI has failed because it couldn't\nNo devices were found\n";
    assert_false(gpu_figures_read(none, strlen(none), &figures));
    assert_true(gpu_is_among("8086:1572:0200, 10DE:2204:0300"));
    assert_false(gpu_is_among("8086:10de:0200"));
    assert_false(gpu_is_among("10de:2204"));
    assert_false(gpu_is_among(NULL));
}

/* --- the book --- */

/* "KEY=value;" of the answers that count at that time, of which none may count longer than 1100 s. */
static void check_answers(const VmEntry *entry, gint64 now_s, const char *want)
{
    g_auto(GStrv) answers = vm_entry_answers(entry, now_s, 1100);
    g_autofree char *got = pairs_text(answers);
    assert_string_equal(got, want);
}

static void test_book(void **state)
{
    (void)state;
    g_autoptr(VmBook) book = vm_book_new();
    VmEntry *entry = vm_book_entry(book, 83, 7);
    vm_entry_succeed(entry, 1000, 30);
    vm_entry_set(entry, "A", "old", VM_ANSWER_STAYS);
    vm_entry_set(entry, "B", "", 1234);
    vm_entry_set(entry, "A", "a \"b\" \\ \n c\303\251", VM_ANSWER_STAYS);
    vm_entry_fail(vm_book_entry(book, 5, -1), 1000, 3600, 3600);
    g_autoptr(GString) text = g_string_new(NULL), again = g_string_new(NULL);
    vm_book_write(book, text);
    g_autoptr(VmBook) copy = vm_book_read(text->str, text->len);
    assert_non_null(copy);
    vm_book_write(copy, again);
    assert_string_equal(again->str, text->str);
    check_answers(vm_book_find(copy, 83, 7), 1000, "A=a \"b\" \\ \n c\303\251;B=;");
    check_answers(vm_book_find(copy, 83, 7), 1234, "A=a \"b\" \\ \n c\303\251;"); /* B's time is over … */
    check_answers(vm_book_find(copy, 83, 7), 133, "A=a \"b\" \\ \n c\303\251;");  /* … or the clock was wrong */
    check_answers(vm_book_find(copy, 83, 7), 134, "A=a \"b\" \\ \n c\303\251;B=;");
    assert_null(vm_book_find(copy, 83, 8)); /* started anew */
    assert_int_equal(vm_book_entry(copy, 83, 8)->answers->len, 0);
#define HEAD "one-telemetry VMs 1\n"
    static const char *const damaged[] = {"",
                                          "one-telemetry VMs 2\n",
                                          HEAD "key 1 A b\n",
                                          HEAD "vm 1 2 3\n",
                                          HEAD "vm 1 2 3 4 1001\n",
                                          HEAD "vm 1 2 3 4 0\nkey A b\n",
                                          HEAD "vm 1 2 3 4 0\nkey x A b\n",
                                          HEAD "vm 1 2 3 4 0\nkey 1 A b\\\n",
                                          HEAD "vm 1 2 3 4 0\nvm 1 2 3 4 0\n"};
    for (guint i = 0; i < G_N_ELEMENTS(damaged); i++)
        CHECK(!vm_book_read(damaged[i], strlen(damaged[i])), "%s", damaged[i]);
}

static void test_breaker(void **state)
{
    (void)state;
    g_autoptr(VmBook) book = vm_book_new();
    VmEntry *entry = vm_book_entry(book, 83, 7);
    static const gint64 waits[] = {30, 60, 120, 240, 480, 960, 1920, 3600, 3600};
    gint64 now = 100000;
    assert_true(vm_entry_is_due(NULL, now) && vm_entry_is_due(entry, now));
    for (guint i = 0; i < G_N_ELEMENTS(waits); i++) {
        vm_entry_fail(entry, now, 0, 3600);
        assert_false(vm_entry_is_due(entry, now + waits[i] - 1));
        assert_true(vm_entry_is_due(entry, now + waits[i]));
        now += waits[i];
    }
    assert_true(vm_entry_is_due(entry, now - 100000)); /* the clock was set back */
    vm_entry_succeed(entry, now, 30);
    assert_false(vm_entry_is_due(entry, now + 26));
    assert_true(vm_entry_is_due(entry, now + 27));
    vm_entry_fail(entry, now, 0, 3600);
    assert_true(vm_entry_is_due(entry, now + 30));
    vm_entry_fail(entry, now, 0, 50);
    assert_true(vm_entry_is_due(entry, now + 50));
    vm_entry_succeed(entry, now, 30);
    vm_entry_fail(entry, now, 3600, 3600);
    assert_false(vm_entry_is_due(entry, now + 3599));
}

/* Those that wait longest are least. */
static void test_rank(void **state)
{
    (void)state;
    g_autoptr(VmBook) book = vm_book_new();
    VmEntry *one = vm_book_entry(book, 1, 1), *other = vm_book_entry(book, 2, 2);
    vm_entry_succeed(one, 1000, 30);
    vm_entry_succeed(other, 1001, 30);
    assert_true(vm_entry_rank(one, 1100) < vm_entry_rank(other, 1100));
    assert_true(vm_entry_rank(NULL, 1100) < vm_entry_rank(one, 1100));
    vm_entry_succeed(one, 100000, 30); /* then the clock was set back */
    assert_true(vm_entry_rank(one, 1100) < vm_entry_rank(other, 1100));
}

/* --- asking --- */

/* By the guest's number: 1 Linux, 2 Windows, 3 silent, 4 without an agent, 5 with GPUs, 6 refuses, 7 answers too much
 * for libvirt, 8 hangs on commands that have `hangs_on` in them. */
static GMutex calls_lock;
static GCond calls_changed;
static GString *calls;
static const char *hangs_on; /* NULL: on none */
static guint hanging;        /* calls */
static bool released;
static const char *addresses; /* what all answer; NULL: 1 refuses, the others have none */
static const char *debian = "{\"return\":{\"id\":\"debian\",\"version-id\":\"12\",\"machine\":\"x86_64\"}}";
#define DEBIAN "OS_TYPE=posix;OS_ID=debian;OS_VERSION=12;OS_MACHINE=x86_64;" /* in the book */
#define WINDOWS "OS_TYPE=mswindows;OS_ID=mswindows;OS_VERSION=10;"

/* With the lock held. */
static void hang(void)
{
    const gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    hanging++;
    while (!released && g_cond_wait_until(&calls_changed, &calls_lock, end))
        ;
    hanging--;
    g_cond_broadcast(&calls_changed);
}

/* Ends calls that hang, and waits for the threads that are in them. */
static void release(void)
{
    g_mutex_lock(&calls_lock);
    released = true;
    g_cond_broadcast(&calls_changed);
    const gint64 end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    while (hanging)
        assert_true(g_cond_wait_until(&calls_changed, &calls_lock, end));
    released = false;
    g_mutex_unlock(&calls_lock);
    g_usleep(20000); /* and they are gone */
}

static GuestAgents *fake_open(const char *uri, GError **error)
{
    if (strcmp(uri, "down") != 0)
        return g_malloc0(1);
    g_set_error(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT, "cannot connect: no");
    return NULL;
}

static void fake_close(GuestAgents *agents)
{
    g_free(agents);
}

static char *fail_with(GError **error, GuestAgentErrorCode code, const char *message)
{
    g_set_error_literal(error, GUEST_AGENT_ERROR, code, message);
    return NULL;
}

static char *fake_command(GuestAgents *agents, const char *domain, const char *command, int timeout_s, GError **error)
{
    (void)agents;
    (void)timeout_s;
    const char guest = domain[strlen("one-")];
    g_mutex_lock(&calls_lock);
    g_string_append_printf(calls, "%c", guest);
    if (guest == '8' && hangs_on && strstr(command, hangs_on))
        hang();
    g_mutex_unlock(&calls_lock);
    if (guest == '3')
        return fail_with(error, GUEST_AGENT_ERROR_SILENT, "not connected");
    if (guest == '4')
        return fail_with(error, GUEST_AGENT_ERROR_NO_AGENT, "not configured");
    if (strstr(command, "guest-sync"))
        return g_strdup("{\"return\":83}");
    if (guest == '6')
        return fail_with(error, GUEST_AGENT_ERROR_REFUSED, "has been disabled");
    if (guest == '7')
        return fail_with(error, GUEST_AGENT_ERROR_LOST, "too long");
    if (strstr(command, "osinfo"))
        return g_strdup(guest == '2' ? "{\"return\":{\"id\":\"mswindows\",\"version-id\":\"10\"}}" : debian);
    if (strstr(command, "interfaces") && addresses)
        return g_strdup(addresses);
    if (strstr(command, "interfaces") && guest == '1')
        return fail_with(error, GUEST_AGENT_ERROR_REFUSED, "has been disabled");
    if (strstr(command, "guest-exec-status"))
        return g_strdup("{\"return\":{\"exited\":true,\"exitcode\":0,\"out-data\":\"MTAsIDIwLCAzMC41LCA0MAo=\"}}");
    if (strstr(command, "guest-exec"))
        return g_strdup("{\"return\":{\"pid\":9}}");
    return strstr(command, "list") ? g_strdup("{\"return\":[1,2]}") : g_strdup("{\"return\":{}}");
}

static const GuestAgentApi fake = {.open = fake_open, .close = fake_close, .command = fake_command};

#define LISTED                                                                                                         \
    COMMANDS "  :ping: one-$vm_id '{\"execute\":\"guest-ping\"}'\n"                                                    \
             "  :linux:\n    :list: one-$vm_id '{\"execute\":\"list\"}'\n"                                             \
             "  :windows:\n    :win: one-$vm_id '{\"execute\":\"win\"}'\n"                                             \
             "  :piped: one-$vm_id '{\"execute\":\"list\"}' | sed 's/1/'$vm_id'00/'\n"

static Sample *make_guests(guint n)
{
    Sample *sample = sample_new();
    for (guint i = 1; i <= n; i++) {
        g_autofree char *name = g_strdup_printf("one-%u", i), *uuid = g_strdup_printf("u-%u", i);
        VmSample *vm = add_vm(sample, name, uuid, i);
        row_set_u64(vm->row, METRIC_VM_STATE, 1);
        if (i == 5)
            row_set_text(vm->row, METRIC_VM_PCI_DEVICES, "10de:2204:0300");
    }
    return sample;
}

#define LIMIT_MS 60000
G_STATIC_ASSERT(GUEST_COMMANDS_MAX + N_GUEST_ATTRIBUTES + 1 + 5 <= ONE_EXTRAS_MAX); /* its addresses, GPUs */

static bool ask_within(const Sample *sample, VmBook *book, const char *conf, const char *uri, gint64 now_s,
                       gint64 limit_ms, bool *ret_stuck)
{
    g_autoptr(GuestCommands) commands = parse(conf);
    const GuestAskingOptions options = {
        .api = &fake, .uri = uri, .commands = commands, .interval_s = 30, .limit_ms = limit_ms};
    if (calls)
        g_string_free(calls, TRUE);
    calls = g_string_new(NULL);
    return guest_asking_run(sample, book, &options, now_s, ret_stuck, NULL);
}

static bool ask(const Sample *sample, VmBook *book, const char *conf, const char *uri, gint64 now_s)
{
    bool stuck;
    bool done = ask_within(sample, book, conf, uri, now_s, LIMIT_MS, &stuck);
    assert_false(stuck);
    return done;
}

static void check_keys(const VmBook *book, guint64 vm_id, const char *want)
{
    check_answers(vm_book_find(book, vm_id, (gint64)vm_id), 0, want);
}

static char *joined_extras(const Sample *sample, guint i)
{
    const VmSample *vm = g_ptr_array_index(sample->vms, i);
    return vm->extras ? g_strjoinv(" ", vm->extras) : NULL;
}

/* What guestagent.conf lists is not sent any more once it is disabled, or gone; of a guest with a GPU that goes on. */
static void test_disabling(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = make_guests(5);
    g_autoptr(VmBook) book = vm_book_new();
    g_autoptr(GuestCommands) on = guest_commands_parse(LISTED, strlen(LISTED), NULL);
    g_autoptr(GuestCommands) off = guest_commands_parse(":enabled: false\n", strlen(":enabled: false\n"), NULL);
    assert_true(ask(sample, book, LISTED, "up", 1000));
    guest_asking_attach(sample, book, on);
    g_autofree char *one = joined_extras(sample, 0);
    assert_non_null(strstr(one, "PING {}"));
    const GuestCommands *others[] = {off, NULL};
    for (guint i = 0; i < G_N_ELEMENTS(others); i++) {
        guest_asking_attach(sample, book, others[i]);
        assert_null(((const VmSample *)g_ptr_array_index(sample->vms, 0))->extras);
        assert_non_null(((const VmSample *)g_ptr_array_index(sample->vms, 4))->extras);
    }
    assert_true(ask(sample, book, ":enabled: false\n", "up", 1030));
    guest_asking_attach(sample, book, off);
    g_autofree char *gpu = joined_extras(sample, 4);
    assert_string_equal(gpu, "GPU_COUNT 1 GPU_UTILIZATION 10.00 GPU_MEMORY_UTILIZATION 20.00 GPU_MEMORY_FREE 40.00 "
                             "GPU_POWER_USAGE 30.50");
}

static void test_asking(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = make_guests(7);
    g_autoptr(VmBook) book = vm_book_new();
    assert_true(ask(sample, book, LISTED, "up", 1000));
    check_keys(book, 1, DEBIAN "PING={};LIST=1, 2;PIPED=100, 2;");
    check_keys(book, 2, WINDOWS "PING={};WIN={};PIPED=200, 2;");
    check_keys(book, 3, "PING=error: not connected;PIPED=error: not connected;");
    check_keys(book, 4, "PING=error: not configured;PIPED=error: not configured;");
    check_keys(book, 5,
               DEBIAN "PING={};LIST=1, 2;PIPED=500, 2;GPU_COUNT=1;GPU_UTILIZATION=10.00;GPU_MEMORY_UTILIZATION=20.00;"
                      "GPU_MEMORY_FREE=40.00;GPU_POWER_USAGE=30.50;");
    check_keys(book, 6, "PING=error: has been disabled;PIPED=error: has been disabled;");
    check_keys(book, 7, "PING=error: too long;PIPED=error: too long;");

    /* 30 s later: those without agent cost nothing; at 60 s the silent one has its second chance */
    assert_true(ask(sample, book, LISTED, "up", 1029));
    assert_null(strpbrk(calls->str, "34"));
    assert_non_null(strchr(calls->str, '1'));
    assert_true(ask(sample, book, LISTED, "up", 1030));
    assert_string_equal(calls->str, "3");
    check_keys(book, 3, "PING=error: not connected;PIPED=error: not connected;");

    /* a VM that has gone is forgotten, one that was started anew is asked at once */
    g_ptr_array_remove_index(sample->vms, 0);
    ((VmSample *)g_ptr_array_index(sample->vms, 2))->domain_id = 44;
    assert_true(ask(sample, book, LISTED, "up", 1031));
    assert_string_equal(calls->str, "4");
    assert_null(vm_book_find(book, 1, 1));
    g_string_free(g_steal_pointer(&calls), TRUE);
}

static void test_who_is_asked(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = make_guests(5);
    g_autoptr(VmBook) book = vm_book_new();
    row_set_u64(((VmSample *)g_ptr_array_index(sample->vms, 0))->row, METRIC_VM_STATE, 3);
    assert_true(ask(sample, book, ":enabled: false\n:commands:\n  :ping: one-$vm_id '{}'\n", "up", 1000));
    assert_null(strpbrk(calls->str, "1234")); /* a GPU is asked about all the same */
    check_keys(book, 5,
               "GPU_COUNT=1;GPU_UTILIZATION=10.00;GPU_MEMORY_UTILIZATION=20.00;GPU_MEMORY_FREE=40.00;"
               "GPU_POWER_USAGE=30.50;");
    assert_true(ask(sample, book, LISTED, "up", 2000));
    assert_null(strchr(calls->str, '1')); /* paused */

    g_autoptr(GuestCommands) listed = parse(LISTED), off = parse(":enabled: false\n");
    g_autoptr(VmBook) fresh = vm_book_new();
    assert_true(guest_asking_is_due(sample, fresh, listed, 2000));
    assert_true(guest_asking_is_due(sample, fresh, off, 2000));
    g_ptr_array_remove_index(sample->vms, 4);
    assert_false(guest_asking_is_due(sample, fresh, off, 2000));
    assert_false(guest_asking_is_due(sample, fresh, NULL, 2000));

    assert_false(ask(sample, fresh, LISTED, "down", 3000));
    assert_true(guest_asking_is_due(sample, fresh, listed, 3000)); /* no guest's fault */
    g_string_free(g_steal_pointer(&calls), TRUE);
}

#define FILTERED                                                                                                       \
    COMMANDS "  :all: one-$vm_id '{\"execute\":\"list\"}'\n"                                                           \
             "  :some:\n    :command: one-$vm_id '{\"execute\":\"list\"}'\n    :os_ids: ['ubuntu', 'debian']\n"        \
             "    :os_versions: ['11', '12']\n"                                                                        \
             "  :none:\n    :command: one-$vm_id '{\"execute\":\"list\"}'\n    :os_ids: ['debian']\n"                  \
             "    :os_versions: ['1']\n"                                                                               \
             "  :win:\n    :command: one-$vm_id '{\"execute\":\"list\"}'\n    :os_types: ['mswindows']\n"              \
             "  :case:\n    :command: one-$vm_id '{\"execute\":\"list\"}'\n    :os_types: ['Posix']\n"

/* A command with filters is for guests that match each of them; what the guest is, and its addresses, are in the record
 * without being listed. */
static void test_asking_with_filters(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = make_guests(7);
    g_autoptr(VmBook) book = vm_book_new();
    addresses = "{\"return\":[{\"ip-addresses\":[{\"ip-address\":\"192.0.2.1\"},{\"ip-address\":\"::1\"}]}]}";
    assert_true(ask(sample, book, FILTERED, "up", 1000));
    check_keys(book, 1, DEBIAN "GUEST_IP_ADDRESSES=192.0.2.1;ALL=1, 2;SOME=1, 2;");
    check_keys(book, 2, WINDOWS "GUEST_IP_ADDRESSES=192.0.2.1;ALL=1, 2;WIN=1, 2;");
    check_keys(book, 3, "ALL=error: not connected;");
    check_keys(book, 6, "ALL=error: has been disabled;"); /* which its addresses are, too */

    /* what it is is asked once in its life; one that has no addresses any more, or will not tell, has not failed */
    addresses = NULL;
    debian = "{\"return\":{\"id\":\"ubuntu\"}}";
    assert_true(ask(sample, book, FILTERED, "up", 1027));
    check_keys(book, 1, DEBIAN "ALL=1, 2;SOME=1, 2;");
    check_keys(book, 2, WINDOWS "ALL=1, 2;WIN=1, 2;");
    assert_int_equal(vm_book_find(book, 1, 1)->failures, 0);

    /* one that has failed keeps it, and is asked anew: it may have been installed anew */
    vm_entry_fail(vm_book_find(book, 1, 1), 1030, 0, 3600);
    ((VmSample *)g_ptr_array_index(sample->vms, 1))->domain_id = 44;
    assert_true(ask(sample, book, FILTERED, "up", 1100));
    check_keys(book, 1, "OS_TYPE=posix;OS_ID=ubuntu;ALL=1, 2;");

    /* with nothing listed that much is asked all the same */
    g_autoptr(VmBook) fresh = vm_book_new();
    debian = "{\"return\":{\"id\":\"debian\",\"version-id\":\"12\",\"machine\":\"x86_64\"}}";
    addresses = "{\"return\":[{\"ip-addresses\":[{\"ip-address\":\"192.0.2.1\"}]}]}";
    assert_true(ask(sample, fresh, ":enabled: true\n", "up", 1000));
    check_keys(fresh, 1, DEBIAN "GUEST_IP_ADDRESSES=192.0.2.1;");
    check_keys(fresh, 3, "");
    addresses = NULL;
    g_string_free(g_steal_pointer(&calls), TRUE);
}

/* Where the time is over before the rest was asked, addresses that have gone go, and others stay. */
static void test_addresses_and_no_time(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = make_guests(8);
    g_autoptr(VmBook) book = vm_book_new();
    bool stuck;
    addresses = "{\"return\":[{\"ip-addresses\":[{\"ip-address\":\"192.0.2.1\"}]}]}";
    assert_true(ask(sample, book, LISTED, "up", 1000));
    check_keys(book, 1, DEBIAN "GUEST_IP_ADDRESSES=192.0.2.1;PING={};LIST=1, 2;PIPED=100, 2;");
    hangs_on = "interfaces";
    assert_true(ask_within(sample, book, LISTED, "up", 1027, 5500, &stuck));
    check_keys(book, 8,
               DEBIAN "PING=error: its agent has not answered in time;LIST=error: its agent has not answered in time;"
                      "PIPED=error: its agent has not answered in time;");
    release();
    hangs_on = "ping";
    addresses = NULL;
    vm_entry_succeed(vm_book_find(book, 8, 8), 1000, 30);
    vm_entry_fail(vm_book_find(book, 5, 5), 1000, 0, 3600);
    const char *before = debian;
    debian = "{\"return\":{\"id\":\"ubuntu\"}}";
    assert_true(ask_within(sample, book, LISTED, "up", 1060, 5500, &stuck));
    check_keys(book, 1, DEBIAN "PING={};LIST=1, 2;PIPED=100, 2;");
    assert_string_equal(vm_entry_get(vm_book_find(book, 5, 5), "OS_ID"), "ubuntu");
    assert_null(vm_entry_get(vm_book_find(book, 5, 5), "OS_VERSION")); /* of what it was before */
    release();
    debian = before;
    hangs_on = NULL;
    g_string_free(g_steal_pointer(&calls), TRUE);
}

/* A guest whose agent hangs on one command has that error, is asked nothing more, and is asked again ever more seldom;
 * the others have all their answers. */
static void test_hangs_on_a_command(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = make_guests(8);
    g_autoptr(VmBook) book = vm_book_new();
    const gint64 begin = g_get_monotonic_time();
    bool stuck;
    hangs_on = "list";
    assert_true(ask_within(sample, book, LISTED, "up", 1000, LIMIT_MS, &stuck));
    assert_true(stuck && g_get_monotonic_time() - begin < LIMIT_MS / 2 * 1000);
    check_keys(book, 1, DEBIAN "PING={};LIST=1, 2;PIPED=100, 2;");
    check_keys(book, 2, WINDOWS "PING={};WIN={};PIPED=200, 2;");
    check_keys(
        book, 8,
        DEBIAN
        "PING={};LIST=error: its agent has not answered in time;PIPED=error: its agent has not answered in time;");
    release();
    assert_true(ask_within(sample, book, LISTED, "up", 1029, LIMIT_MS, &stuck));
    assert_null(strchr(calls->str, '8'));
    assert_true(ask_within(sample, book, LISTED, "up", 1030, LIMIT_MS, &stuck));
    assert_non_null(strchr(calls->str, '8'));
    release();
    assert_false(vm_entry_is_due(vm_book_find(book, 8, 8), 1089)); /* a minute */
    hangs_on = NULL;
    assert_true(ask(sample, book, LISTED, "up", 1090));
    check_keys(book, 8, DEBIAN "PING={};LIST=1, 2;PIPED=800, 2;");
    g_string_free(g_steal_pointer(&calls), TRUE);
}

/* Where one has used up the time, the others keep what they had under the keys that they were not asked for, and are
 * due at once; those that were not asked at all are as they were. */
static void test_no_time_left(void **state)
{
    (void)state;
    g_autoptr(Sample) sample = make_guests(8);
    g_autoptr(VmBook) book = vm_book_new();
    bool stuck;
    assert_true(ask(sample, book, LISTED, "up", 1000));
    vm_entry_set(vm_book_find(book, 1, 1), "STAYS", "so", VM_ANSWER_STAYS);
    hangs_on = "ping";
    assert_true(ask_within(sample, book, LISTED, "up", 1027, 5500, &stuck)); /* 3 s of it, and 2.5 s is no time */
    assert_true(stuck);
    check_keys(book, 1, DEBIAN "PING={};LIST=1, 2;PIPED=100, 2;STAYS=so;");
    check_keys(book, 8,
               DEBIAN "PING=error: its agent has not answered in time;LIST=error: its agent has not answered in time;"
                      "PIPED=error: its agent has not answered in time;");
    assert_true(vm_entry_is_due(vm_book_find(book, 1, 1), 1027));
    release();
    assert_true(ask_within(sample, book, LISTED, "up", 1100, 100, &stuck)); /* less than one of them may take */
    assert_string_equal(calls->str, "");
    for (guint i = 1; i <= 8; i++)
        assert_true(vm_entry_is_due(vm_book_find(book, i, (gint64)i), 1100) == (i != 4));
    check_keys(book, 1, DEBIAN "PING={};LIST=1, 2;PIPED=100, 2;STAYS=so;");
    hangs_on = NULL;
    assert_true(ask(sample, book, LISTED, "up", 1100));
    check_keys(book, 1, DEBIAN "PING={};LIST=1, 2;PIPED=100, 2;");
    g_string_free(g_steal_pointer(&calls), TRUE);
}

/* Domains that were called, and hang. */
static GPtrArray *held;

static char *held_command(GuestAgents *agents, const char *domain, const char *command, int timeout_s, GError **error)
{
    (void)agents;
    (void)command;
    (void)timeout_s;
    g_mutex_lock(&calls_lock);
    g_ptr_array_add(held, g_strdup(domain));
    hang();
    g_mutex_unlock(&calls_lock);
    return fail_with(error, GUEST_AGENT_ERROR_SILENT, "not connected");
}

static bool was_called(guint vm_id)
{
    g_autofree char *domain = g_strdup_printf("one-%u", vm_id);
    return g_ptr_array_find_with_equal_func(held, domain, g_str_equal, NULL);
}

/* More silent guests than can be asked at once: the others stay as they were, and come first the next time. */
static void test_whose_turn(void **state)
{
    (void)state;
    static const GuestAgentApi api = {.open = fake_open, .close = fake_close, .command = held_command};
    g_autoptr(GuestCommands) commands = parse(LISTED);
    const GuestAskingOptions options = {
        .api = &api, .uri = "up", .commands = commands, .interval_s = 30, .limit_ms = 5000};
    g_autoptr(Sample) sample = make_guests(12);
    g_autoptr(VmBook) book = vm_book_new();
    bool stuck;
    vm_entry_set(vm_book_entry(book, 12, 12), "PING", "{}", VM_ANSWER_STAYS);
    for (guint round = 0; round < 2; round++) {
        held = g_ptr_array_new_with_free_func(g_free);
        assert_true(guest_asking_run(sample, book, &options, 1000 + 30 * round, &stuck, NULL));
        for (guint i = 1; i <= 12; i++)
            CHECK(was_called(i) == (round == 0 ? i <= 8 : i <= 4 || i > 8), "round %u: one-%u", round, i);
        if (round == 0)
            check_keys(book, 12, "PING={};");
        release();
        g_ptr_array_unref(held);
    }
    check_keys(book, 12, "PING=error: its agent does not answer;PIPED=error: its agent does not answer;");
}

static void test_filter(void **state)
{
    (void)state;
    g_autoptr(GError) failed = NULL, large = NULL, stays = NULL, missing = NULL;
    g_autofree char *made = guest_filter_run("tr a-z A-Z; echo", "abc", GUEST_FILTER_MS, NULL);
    assert_string_equal(made, "ABC\n");
    g_autofree char *unread = guest_filter_run("echo x", "abc", GUEST_FILTER_MS, NULL);
    assert_string_equal(unread, "x\n");
    g_autofree char *lingers = guest_filter_run("echo x; exec >&-; sleep 0.1", "abc", LIMIT_MS, NULL);
    assert_string_equal(lingers, "x\n");
    assert_null(guest_filter_run("exit 3", "abc", GUEST_FILTER_MS, &failed));
    assert_true(g_error_matches(failed, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_FAILED));
    assert_string_equal(failed->message, "what stands behind the | has failed: exit status 3");
    assert_null(guest_filter_run("no-such-program", "abc", GUEST_FILTER_MS, &missing));
    assert_true(g_str_has_prefix(missing->message, "what stands behind the | has failed: exit status 127; it said \""));
    assert_non_null(strstr(missing->message, "not found\""));
    assert_null(guest_filter_run("yes | head -c 100000; sleep 1000", "", LIMIT_MS, &large));
    assert_true(g_error_matches(large, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_TIME));
    assert_null(guest_filter_run("echo x; exec >&-; sleep 20 & wait", "", 200, &stays)); /* nothing more to be read */
    assert_true(g_error_matches(stays, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_TIME));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

/* A guest whose answer the shell can't do with in time costs that once, not for each of its commands. */
static void test_filter_takes_too_long(void **state)
{
    (void)state;
    static const char conf[] =
        COMMANDS "  :a: one-$vm_id '{\"execute\":\"list\"}' | [ $vm_id = 2 ] && sleep 20 || cat\n"
                 "  :b: one-$vm_id '{\"execute\":\"list\"}' | cat\n";
    g_autoptr(Sample) sample = make_guests(2);
    g_autoptr(VmBook) book = vm_book_new();
    assert_true(ask(sample, book, conf, "up", 1000));
    check_keys(book, 1, DEBIAN "A=1, 2;B=1, 2;");
    check_keys(book, 2,
               WINDOWS "A=error: what stands behind the | takes too long, or says too much;"
                       "B=error: what stands behind the | takes too long, or says too much;");
    assert_false(vm_entry_is_due(vm_book_find(book, 2, 2), 1029));
    g_string_free(g_steal_pointer(&calls), TRUE);
}

/* --- in the records --- */

static const OneOptions roomy = {.detail = ONE_TIER_MAX, .limit = ONE_MESSAGE_MAX};

/* Decoded lines of the only VM's record. Owned by the caller. */
static char *record_of(Sample *sample, const Sample *previous, const OneOptions *options)
{
    OneReport report;
    g_autoptr(GString) text = one_records_write(sample, previous, options, &report);
    g_autofree char *reason = g_strdup(report.reason);
    one_report_clear(&report);
    CHECK(!reason, "%s", reason);
    const char *begin = strstr(text->str, "MONITOR=\"");
    if (!begin)
        return g_strdup("");
    begin += strlen("MONITOR=\"");
    gsize length;
    g_autofree char *base64 = g_strndup(begin, strcspn(begin, "\""));
    guchar *decoded = g_base64_decode(base64, &length);
    char *copy = g_strndup((char *)decoded, length);
    g_free(decoded);
    return copy;
}

static Sample *with_keys(const char *const *keys)
{
    Sample *sample = sample_new();
    add_vm(sample, "one-83", "u-83", 1)->extras = g_strdupv((char **)(guintptr)keys);
    return sample;
}

static void test_records(void **state)
{
    (void)state;
    const char *const odd[] = {"PING", "a \"b\"\n", "CPU", "1",        "bad key", "2",
                               "PING", "again",     "IP",  "10.0.0.1", NULL};
    g_autoptr(Sample) first = with_keys(odd), second = with_keys((const char *const[]){"IP", "10.0.0.2", NULL});
    g_autofree char *one = record_of(first, NULL, &roomy), *two = record_of(second, first, &roomy);
    assert_string_equal(one, "PING=\"a \\\"b\\\" \"\nIP=\"10.0.0.1\"\n");
    assert_string_equal(two, "IP=\"10.0.0.2\"\nPING=[]\n"); /* sticky: deleted in three messages */
    assert_string_equal(((VmSample *)g_ptr_array_index(second->vms, 0))->sent_keys, "IP PING-1");
    g_autoptr(Sample) third = with_keys((const char *const[]){"PING", "{}", NULL});
    g_autofree char *three = record_of(third, second, &roomy);
    assert_string_equal(three, "PING=\"{}\"\nIP=[]\n");

    for (Metric m = 0; m < N_METRICS; m++)
        for (GuestAttribute a = 0; a < N_GUEST_ATTRIBUTES && metric_info[m].one_key; a++)
            CHECK(strcmp(metric_info[m].one_key, guest_attribute_keys[a]) != 0 &&
                      strcmp(metric_info[m].one_key, GUEST_ADDRESSES_KEY) != 0,
                  "%s", metric_info[m].one_key);

    const OneOptions few = {.detail = 0, .limit = ONE_MESSAGE_MAX};
    g_autoptr(Sample) fourth = with_keys((const char *const[]){"PING", "{}", NULL});
    g_autofree char *four = record_of(fourth, NULL, &few);
    assert_string_equal(four, "");
}

static Sample *with_forecasts(const char *const *keys, const char *const *forecasts)
{
    Sample *sample = with_keys(keys);
    VmSample *vm = g_ptr_array_index(sample->vms, 0);
    row_set_u64(vm->row, METRIC_VM_MEMORY_HOST, 7);
    vm->forecasts = g_strdupv((char **)(guintptr)forecasts);
    return sample;
}

/* They are sent with everything, whatever `detail`, but for stock keys alone; dropped first; and deleted when they are
 * gone, but not beside a poll.rb that sends them. */
static void test_forecasts(void **state)
{
    (void)state;
    static const char *const forecasts[] = {"CPU_FORECAST",     "7.48", "IP", "no", "MEMORY", "8",
                                            "CPU_FORECAST_FAR", "1",    NULL},
                             *const keys[] = {"IP", "10.0.0.1", NULL}, *const none[] = {NULL};
    g_autoptr(Sample) first = with_forecasts(keys, forecasts);
    for (guint detail = 0; detail <= ONE_TIER_MAX; detail++) {
        const OneOptions options = {.detail = detail, .limit = ONE_MESSAGE_MAX};
        g_autoptr(Sample) sample = with_forecasts(keys, forecasts);
        g_autofree char *text = record_of(sample, NULL, &options);
        CHECK_TEXT(text,
                   detail == 0 ? "MEMORY=\"7\"\n"
                               : "MEMORY=\"7\"\nIP=\"10.0.0.1\"\nCPU_FORECAST=\"7.48\"\nCPU_FORECAST_FAR=\"1\"\n",
                   "detail");
    }
    g_autofree char *all = record_of(first, NULL, &roomy);
    assert_string_equal(((VmSample *)g_ptr_array_index(first->vms, 0))->sent_keys,
                        "MEMORY IP CPU_FORECAST CPU_FORECAST_FAR");

    g_autoptr(Sample) gone = with_forecasts(keys, none), beside = with_forecasts(none, none);
    g_autofree char *deleted = record_of(gone, first, &roomy);
    assert_string_equal(deleted, "MEMORY=\"7\"\nIP=\"10.0.0.1\"\nCPU_FORECAST=[]\nCPU_FORECAST_FAR=[]\n");
    const OneOptions with_poll = {.detail = ONE_TIER_MAX, .limit = ONE_MESSAGE_MAX, .stock_tiers = 2};
    g_autofree char *left = record_of(beside, first, &with_poll);
    assert_string_equal(left, "MEMORY=\"7\"\nIP=[]\n");

    OneReport report;
    g_autoptr(Sample) tight = with_forecasts(keys, forecasts);
    g_autoptr(GString) whole = one_records_write(tight, NULL, &roomy, &report);
    OneOptions less = roomy;
    less.limit = ONE_MESSAGE_HEADER + one_message_size(whole->str, whole->len) - 1;
    g_autoptr(GString) rest = one_records_write(tight, NULL, &less, &report);
    assert_int_equal(report.tier, ONE_TIER_MAX);
    assert_int_equal(report.dropped_keys, 2);
    assert_int_equal(report.vms_left_out, 0);
    assert_true(rest->len < whole->len && rest->len > 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the probe does: a filter need not read its input */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_wrong_commands),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_gpus),
        cmocka_unit_test(test_book),
        cmocka_unit_test(test_breaker),
        cmocka_unit_test(test_asking),
        cmocka_unit_test(test_disabling),
        cmocka_unit_test(test_asking_with_filters),
        cmocka_unit_test(test_addresses_and_no_time),
        cmocka_unit_test(test_who_is_asked),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_rank),
        cmocka_unit_test(test_forecasts),
        cmocka_unit_test(test_hangs_on_a_command),
        cmocka_unit_test(test_no_time_left),
        cmocka_unit_test(test_whose_turn),
        cmocka_unit_test(test_filter_takes_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
