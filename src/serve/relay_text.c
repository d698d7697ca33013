/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/relay_text.h"

#include <string.h>

/* --- whose line it is --- */

static bool is_of_figures(const char *measurement)
{
    return strcmp(measurement, "vm_totals") == 0 || strcmp(measurement, "vm_devices") == 0 ||
           strcmp(measurement, "vm_vcpus") == 0;
}

static bool is_left_out(const LinePoint *point, RelayLeaveOut leave_out, gpointer data)
{
    guint64 vm_id;
    return leave_out && is_of_figures(point->measurement) && line_point_vm_id(point, &vm_id) && leave_out(vm_id, data);
}

/* --- time stamps --- */

/* Length of the line without its time stamp and the spaces around it: a point has one behind its last space that is not
 * within a string, so it is found from the end, where no string can be. */
static gsize length_without_time(const char *raw, gsize length)
{
    while (length > 0 && strchr(" \r", raw[length - 1]))
        length--;
    while (length > 0 && raw[length - 1] != ' ')
        length--;
    while (length > 0 && raw[length - 1] == ' ')
        length--;
    return length;
}

static void append_line(GString *out, const LineReader *reader, const LinePoint *point, gint64 unit_ns, gint64 now_ns)
{
    gsize length;
    const char *raw = line_reader_raw(reader, &length);
    gint64 time_ns = now_ns;
    if (point->has_time && !line_time_ns(point->time, unit_ns, &time_ns))
        return;
    while (length > 0 && strchr(" \r", raw[length - 1]))
        length--;
    if (!point->has_time || unit_ns != 1) {
        g_string_append_len(out, raw, (gssize)(point->has_time ? length_without_time(raw, length) : length));
        g_string_append_printf(out, " %" G_GINT64_FORMAT, time_ns);
    } else {
        g_string_append_len(out, raw, (gssize)length);
    }
    g_string_append_c(out, '\n');
}

GString *relay_text(const char *text, gsize length, gint64 unit_ns, gint64 now_ns, RelayLeaveOut leave_out,
                    gpointer data, guint64 *ret_lines)
{
    GString *out = g_string_sized_new(length + 1);
    g_autoptr(LineReader) reader = line_reader_new(text, length);
    LineResult result;
    guint64 lines = 0;
    do {
        LinePoint point;
        result = line_reader_next(reader, &point, NULL);
        if (result != LINE_POINT || is_left_out(&point, leave_out, data))
            continue;
        const gsize before = out->len;
        append_line(out, reader, &point, unit_ns, now_ns);
        lines += out->len > before;
    } while (result != LINE_END);
    *ret_lines = lines;
    return out;
}
