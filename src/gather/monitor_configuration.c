/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/monitor_configuration.h"
#include "base/log.h"
#include "base/text.h"
#include "gather/xml.h"
#include "model/status.h"

#include <string.h>

#define SYNC_MAX_S 1000000000
#define DAY_S 86400
#define QUOTED_BYTES 40

/* false: *ret_reason. */
static bool read_sync(const char *text, gsize length, guint64 *ret_sync_s, char **ret_reason)
{
    g_autoptr(GError) error = NULL;
    if (length == 0) {
        *ret_reason = g_strdup("OpenNebula's configuration is missing on standard input");
        return false;
    }
    g_autoptr(XmlTree) tree = xml_tree_read(text, length, MONITOR_CONFIGURATION_MAX, &error);
    if (!tree) {
        *ret_reason = g_strdup_printf("OpenNebula's configuration on standard input can't be read: %s", error->message);
        return false;
    }
    g_autofree char *value = xml_text(xml_child(xml_child(xml_root(tree), "PROBES_PERIOD"), "SYNC_STATE_VM"));
    if (!value) {
        *ret_reason = g_strdup("OpenNebula's configuration on standard input has no PROBES_PERIOD/SYNC_STATE_VM");
        return false;
    }
    g_strstrip(value);
    if (text_read_u64(value, ret_sync_s) && *ret_sync_s > 0 && *ret_sync_s <= SYNC_MAX_S)
        return true;
    g_autofree char *shown = log_quote(value, strlen(value), QUOTED_BYTES);
    *ret_reason =
        g_strdup_printf("PROBES_PERIOD/SYNC_STATE_VM is \"%s\": expected a whole number of seconds from 1 on", shown);
    return false;
}

guint64 monitor_configuration_sync_s(const char *text, gsize length, char **ret_complaint)
{
    guint64 sync_s = STATUS_SYNC_S;
    g_autofree char *reason = NULL;
    *ret_complaint = NULL;
    if (read_sync(text, length, &sync_s, &reason))
        return sync_s;
    *ret_complaint = g_strdup_printf("%s; a full report is made every %d s", reason, STATUS_SYNC_S);
    return STATUS_SYNC_S;
}

guint64 monitor_configuration_vm_s(const char *text, gsize length)
{
    g_autoptr(XmlTree) tree = xml_tree_read(text, length, MONITOR_CONFIGURATION_MAX, NULL);
    g_autofree char *value =
        tree ? xml_text(xml_child(xml_child(xml_root(tree), "PROBES_PERIOD"), "MONITOR_VM")) : NULL;
    guint64 seconds;
    if (value && text_read_u64(g_strstrip(value), &seconds) && seconds >= 1 && seconds <= DAY_S)
        return seconds;
    return MONITOR_VM_S;
}
