/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/netdev.h"
#include "fake_proc.h"
#include "gather_helpers.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* As Linux 6 writes it: a wide number takes the blank behind the colon. */
#define HEAD                                                                                                           \
    "Inter-|   Receive                                                |  Transmit\n"                                   \
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls "         \
    "carrier compressed\n"
#define LO                                                                                                             \
    "    lo: 9999    99    0    0    0     0          0         0     9999    99    0    0    0     0       0  0\n"
#define FIRST                                                                                                          \
    "one-83-0:18446744073709551615 2    3    4    5     6          7         8     11    12   13   14   15 16 17 18\n"
#define SECOND                                                                                                         \
    "one-83-1:   21      22   23   24   25     26         27        28    31    32   33   34   35    36  37  38\n"

/* What is filed of these NICs (names by blanks, numbered from 4) of the process with that pid, as words; "" nothing.
 * Owned by the caller. */
static char *filed(Netdevs *netdevs, guint pid, const char *names)
{
    g_auto(GStrv) words = g_strsplit(names, " ", -1);
    g_autoptr(GArray) nics = g_array_new(FALSE, TRUE, sizeof(NetdevNic));
    for (guint i = 0; words[i]; i++) {
        NetdevNic nic = {.index = 4 + i};
        g_strlcpy(nic.name, words[i], sizeof nic.name);
        g_array_append_val(nics, nic);
    }
    g_autoptr(VmSample) vm = vm_sample_new("one-83");
    const bool found = netdevs_file(netdevs, pid, nics, vm);
    CHECK(vm->nics->len == (found ? nics->len : 0), "%s", names);
    CHECK(vm->served[GROUP_NET] == (found ? SERVED_PROC : SERVED_NOT), "%s", names);
    CHECK((vm->group_ns[GROUP_NET] != 0) == found, "%s", names);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < vm->nics->len; i++) {
        const MetricRow *row = g_ptr_array_index(vm->nics, i);
        g_string_append_printf(text, "%s%u=%s", i ? " " : "", row->index, row_text(row, METRIC_NIC_NAME));
        for (Metric m = METRIC_NIC_RX_BYTES; m <= METRIC_NIC_TX_DROPS; m++)
            g_string_append_printf(text, " %" G_GUINT64_FORMAT, row_u64(row, m));
    }
    return g_string_free(text, FALSE);
}

static void check_filed(const char *root, const char *file, const char *names, const char *want)
{
    fake_process_file(root, 100, "net/dev", "%s", file);
    g_autoptr(Netdevs) netdevs = netdevs_new(root);
    g_autofree char *got = filed(netdevs, 100, names);
    CHECK_TEXT(got, want, file);
}

static void what_the_host_receives_the_guest_has_sent(void **state)
{
    check_filed(*state, HEAD LO FIRST SECOND, "one-83-0", "4=one-83-0 11 12 13 14 18446744073709551615 2 3 4");
    check_filed(*state, HEAD LO FIRST SECOND, "one-83-1 one-83-0",
                "4=one-83-1 31 32 33 34 21 22 23 24 5=one-83-0 11 12 13 14 18446744073709551615 2 3 4");
}

static void all_of_them_or_none(void **state)
{
    check_filed(*state, HEAD LO FIRST, "one-83-0 one-83-1", "");
    check_filed(*state, HEAD LO, "one-83-0", "");
    check_filed(*state, HEAD FIRST, "one-83", "");
    check_filed(*state, "", "one-83-0", "");
    g_autoptr(Netdevs) netdevs = netdevs_new(*state);
    g_autofree char *other = filed(netdevs, 101, "one-83-0");
    assert_string_equal(other, "");
}

static void a_line_that_is_not_whole_is_no_device(void **state)
{
    static const char *const lines[] = {
        "nic: 1 2 3 4 0 0 0 0 5 6 7 8",          "nic: 1 2 3 4 0 0 0 0 5 6 7",
        "nic: 1 2 3 4 0 0 0 0 5 6 7 x 0 0 0 0",  "nic: 1 2 -3 4 0 0 0 0 5 6 7 8 0 0 0 0",
        "nic: 1 2 3\n4 0 0 0 0 5 6 7 8 0 0 0 0", "nic 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0",
    };
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++)
        check_filed(*state, lines[i], "nic", "");
    check_filed(*state, "nic: 1 2 3 4 0 0 0 0 5 6 7 8 ", "nic", "4=nic 5 6 7 8 1 2 3 4");
}

/* Two processes of one namespace see one file; another's has devices of the same names. */
static void each_namespace_is_read_once(void **state)
{
    const char *root = *state;
    fake_process_file(root, 100, "net/dev", "%s", "nic: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
    fake_process_file(root, 101, "net/x", "%s", "");
    fake_process_file(root, 102, "net/dev", "%s", "nic: 11 2 3 4 0 0 0 0 15 6 7 8 0 0 0 0\n");
    g_autofree char *file = g_build_filename(root, "100/net/dev", NULL),
                    *same = g_build_filename(root, "101/net/dev", NULL);
    assert_int_equal(link(file, same), 0);
    g_autoptr(Netdevs) netdevs = netdevs_new(root);
    g_autofree char *first = filed(netdevs, 100, "nic"), *other = filed(netdevs, 102, "nic");
    assert_string_equal(first, "4=nic 5 6 7 8 1 2 3 4");
    assert_string_equal(other, "4=nic 15 6 7 8 11 2 3 4");
    FILE *again = g_fopen(file, "we"); /* the same inode */
    assert_non_null(again);
    fputs("nic: 21 2 3 4 0 0 0 0 25 6 7 8 0 0 0 0\n", again);
    fclose(again);
    g_autofree char *second = filed(netdevs, 101, "nic");
    assert_string_equal(second, first);
    g_autoptr(Netdevs) next = netdevs_new(root);
    g_autofree char *later = filed(next, 101, "nic");
    assert_string_equal(later, "4=nic 25 6 7 8 21 2 3 4");
}

static void without_nics_there_is_nothing_to_file(void **state)
{
    fake_process_file(*state, 100, "net/dev", "%s", HEAD LO);
    g_autoptr(Netdevs) netdevs = netdevs_new(*state);
    g_autoptr(GArray) none = g_array_new(FALSE, TRUE, sizeof(NetdevNic));
    g_autoptr(VmSample) vm = vm_sample_new("one-83");
    assert_true(netdevs_file(netdevs, 100, none, vm));
    assert_int_equal(vm->nics->len, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_directory, tear_down_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_the_host_receives_the_guest_has_sent), TEST(all_of_them_or_none),
        TEST(a_line_that_is_not_whole_is_no_device),     TEST(each_namespace_is_read_once),
        TEST(without_nics_there_is_nothing_to_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
