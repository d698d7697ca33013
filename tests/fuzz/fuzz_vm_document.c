/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as what OpenNebula gives its state hook: they become an event and a vm_info point that read back, or are
 * refused with a line of text. */
#include "encode/line_protocol.h"
#include "encode/line_samples.h"
#include "gather/vm_document.h"

#include <stdint.h>
#include <string.h>

#define NOW G_GINT64_CONSTANT(1795400000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_read_back(const VmEvent *event, const GString *lines)
{
    g_autoptr(LineSamples) read = line_samples_read(lines->str, lines->len, 1, 5);
    g_assert_true(read->refused == 0 && read->foreign == 0 && read->points == 2 && read->events->len == 1);
    const VmEvent *again = g_ptr_array_index(read->events, 0);
    g_assert_true(again->vm_id == event->vm_id && again->time_ns == event->time_ns);
    g_assert_cmpstr(again->state, ==, event->state);
    g_assert_cmpstr(again->lcm_state, ==, event->lcm_state);
    const Sample *sample = g_ptr_array_index(read->samples, 0);
    const VmSample *vm = g_ptr_array_index(sample->vms, 0);
    g_assert_cmpstr(row_text(vm->row, METRIC_VM_INFO_SOURCE), ==, INFO_SOURCE_OPENNEBULA);
}

static void check_lines(VmDocument *document)
{
    g_autoptr(Sample) sample = sample_new();
    const gint64 time_s = vm_document_time(document, NOW);
    g_assert_true(time_s >= 0 && time_s <= NOW + VM_DOCUMENT_AHEAD_S);
    document->event->time_ns = time_s ? time_s * 1000000000 : 1;
    sample->host = g_strdup(document->event->host);
    sample->realtime_ns = document->event->time_ns;
    g_ptr_array_add(sample->vms, g_steal_pointer(&document->vm));
    g_autoptr(GString) lines = line_protocol_write(sample, SERIES_INFO);
    line_protocol_append_event(lines, document->event);
    check_read_back(document->event, lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gsize length = 0;
    g_autoptr(GError) error = NULL;
    g_autofree char *xml = vm_document_decode((const char *)data, size, &length, &error);
    g_assert_true((xml == NULL) == (error != NULL));
    g_autoptr(VmDocument) document = xml ? vm_document_read(xml, length, &error) : NULL;
    g_assert_true((document == NULL) == (error != NULL));
    if (document)
        check_lines(document);
    else
        g_assert_true(g_utf8_validate(error->message, -1, NULL) && !strchr(error->message, '\n'));
    return 0;
}
