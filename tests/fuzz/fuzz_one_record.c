/* SPDX-License-Identifier: Apache-2.0
 * one_records_read: whatever comes, it does not crash; and what it takes, written again, is the same text. Input is a
 * message, or else what stands in MONITOR, around which a record is put: base64 would hide it from the fuzzer. */
#include "encode/one_record.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void append_record(GString *out, guint64 vm_id, const char *deploy_id, const char *monitor, gsize length)
{
    g_autofree char *encoded = g_base64_encode((const guchar *)monitor, length);
    g_string_append_printf(out, "VM = [ ID=\"%" G_GUINT64_FORMAT "\", DEPLOY_ID=\"%s\", MONITOR=\"%s\" ]\n", vm_id,
                           deploy_id, encoded);
}

static GString *write_again(const GPtrArray *records)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < records->len; i++) {
        const OneRecord *record = g_ptr_array_index(records, i);
        g_autoptr(GString) monitor = g_string_new(NULL);
        for (guint k = 0; k < record->keys->len; k++) {
            const char *value = g_ptr_array_index(record->values, k);
            g_autofree char *escaped = value ? one_value_escape(value) : NULL;
            g_string_append(monitor, g_ptr_array_index(record->keys, k));
            if (escaped)
                g_string_append_printf(monitor, "=\"%s\"\n", escaped);
            else
                g_string_append(monitor, "=[]\n");
        }
        append_record(text, record->vm_id, record->deploy_id, monitor->str, monitor->len);
    }
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GString) text = g_string_new(NULL);
    if (size >= 2 && memcmp(data, "VM", 2) == 0)
        g_string_append_len(text, (const char *)data, (gssize)size);
    else if (size > 0)
        append_record(text, 83, "6ba7b810-9dad-41d1-80b4-000000000053", (const char *)data, size);

    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) records = one_records_read(text->str, text->len, &error);
    g_assert((records == NULL) == (error != NULL));
    if (!records)
        return 0;
    g_autoptr(GString) again = write_again(records);
    g_assert(g_string_equal(text, again));
    return 0;
}
