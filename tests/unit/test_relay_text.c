/* SPDX-License-Identifier: Apache-2.0 */
#include "gather_helpers.h"
#include "serve/relay_text.h"

#include <string.h>

static bool is_83(guint64 vm_id, gpointer data)
{
    (void)data;
    return vm_id == 83;
}

static const struct {
    const char *text;
    gint64 unit_ns;
    const char *want;
} rows[] = {
    {"m f=1 5\n", 1, "m f=1 5\n"},
    {"m f=1 5", 1, "m f=1 5\n"},
    {"m f=1 5\r\n", 1, "m f=1 5\n"},
    {"m f=1 5  \n", 1, "m f=1 5\n"},
    {"m f=1\n", 1, "m f=1 999\n"},
    {"m f=1 5\n", 1000, "m f=1 5000\n"},
    {"m f=1  5\n", 1000, "m f=1 5000\n"},
    {"m f=\"a b\" 5\n", 1000, "m f=\"a b\" 5000\n"},
    {"m f=\"a 7\"\n", 1000, "m f=\"a 7\" 999\n"},
    {"m,t=a\\ b f=1 5\n", 1000000000, "m,t=a\\ b f=1 5000000000\n"},
    {"m f=1 1700000000\n", 0, "m f=1 1700000000000000000\n"},
    {"bad\nm f=1 5\nworse x\n", 1, "m f=1 5\n"},
    {"# c\n\nm f=1 5\n", 1, "m f=1 5\n"},
    {"m f=1 9223372036854775807\n", 1000, ""},
    {"m f=1 -5\n", 1, ""},
    {"vm_totals,VMID=83 cputime=1i 5\nvm_totals,VMID=84 cputime=1i 5\n", 1, "vm_totals,VMID=84 cputime=1i 5\n"},
    {"vm_devices,VMID=83,devtype=nic,device=t rxbytes=1i 5\nvm_vcpus,name=one-83,vcpu=0 cputime=1i 5\n", 1, ""},
    {"vm_info,VMID=83 vm_name=\"x\" 5\nvm_events,VMID=83,state=DONE name=\"x\" 5\nhost_totals,host=h domains=1i 5\n", 1,
     "vm_info,VMID=83 vm_name=\"x\" 5\nvm_events,VMID=83,state=DONE name=\"x\" 5\nhost_totals,host=h domains=1i 5\n"},
    {"cpu,host=h usage=1 5\n", 1, "cpu,host=h usage=1 5\n"},
    {"m f=\"two\nlines\" 5\n", 1000, "m f=\"two\nlines\" 5000\n"},
    {"", 1, ""},
};

static void lines_are_passed_on(void **state)
{
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        guint64 lines;
        g_autoptr(GString) got =
            relay_text(rows[i].text, strlen(rows[i].text), rows[i].unit_ns, 999, is_83, NULL, &lines);
        CHECK_TEXT(got->str, rows[i].want, rows[i].text);
        g_autoptr(LineSamples) read = line_samples_read(got->str, got->len, 1, 0);
        CHECK(read->points == lines && read->refused == 0, "%s: %u lines", rows[i].text, (guint)lines);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_are_passed_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
