/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/vm_document.h"

#include "base/log.h"
#include "base/text.h"

#include <string.h>

#define VM_ID_MAX G_MAXINT32
#define QUOTE_BYTES 40                          /* of a value or name in a message */
#define STAMP_MAX G_GINT64_CONSTANT(7258118400) /* the year 2200, where line protocol's times end here */

G_DEFINE_QUARK(one_telemetry_vm_document, vm_document_error)

/* --- decoding --- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* g_base64_decode passes over whatever is none. Returns how many bytes of `input`, which are no blanks, there are; 0:
 * it is no base64. */
static gsize count_base64(const char *input, gsize length, gsize *ret_bad_at)
{
    gsize digits = 0, padding = 0;
    for (gsize i = 0; i < length; i++) {
        const char c = input[i];
        if (is_blank(c))
            continue;
        *ret_bad_at = i;
        if (c == '=' ? ++padding > 2 : padding > 0 || !(g_ascii_isalnum(c) || c == '+' || c == '/'))
            return 0;
        digits++;
    }
    *ret_bad_at = length;
    return digits % 4 == 0 ? digits : 0;
}

static char *decode_base64(const char *input, gsize length, gsize *ret_length, GError **error)
{
    gsize bad_at;
    if (count_base64(input, length, &bad_at) == 0) {
        g_set_error(error, VM_DOCUMENT_ERROR, VM_DOCUMENT_ERROR_ENCODING,
                    "the document is neither XML nor base64: %s at byte %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT,
                    bad_at == length ? "it is cut off" : "what can't be in it stands", bad_at, length);
        return NULL;
    }
    g_autofree char *text = g_strndup(input, length);
    return (char *)g_base64_decode(text, ret_length);
}

/* libxml2 would refuse the whole document for one of them. */
static void replace_controls(char *xml, gsize length)
{
    for (gsize i = 0; i < length; i++)
        if ((guchar)xml[i] < ' ' && !is_blank(xml[i]))
            xml[i] = ' ';
}

char *vm_document_decode(const char *input, gsize length, gsize *ret_length, GError **error)
{
    while (length > 0 && is_blank(*input)) {
        input++;
        length--;
    }
    if (length == 0) {
        g_set_error(
            error, VM_DOCUMENT_ERROR, VM_DOCUMENT_ERROR_EMPTY,
            "no document came: the hook's template needs ARGUMENTS = \"$TEMPLATE\" and ARGUMENTS_STDIN = \"YES\"");
        return NULL;
    }
    if (length > VM_DOCUMENT_INPUT_MAX) {
        g_set_error(error, VM_DOCUMENT_ERROR, VM_DOCUMENT_ERROR_TOO_LARGE,
                    "the document is too large: more than %d bytes come", VM_DOCUMENT_INPUT_MAX);
        return NULL;
    }
    g_autofree char *xml = NULL;
    if (*input == '<') {
        xml = g_malloc(length + 1);
        memcpy(xml, input, length);
        *ret_length = length;
    } else {
        xml = decode_base64(input, length, ret_length, error);
    }
    if (!xml)
        return NULL;
    replace_controls(xml, *ret_length);
    if (g_utf8_validate(xml, (gssize)*ret_length, NULL))
        return g_steal_pointer(&xml);
    char *valid = g_utf8_make_valid(xml, (gssize)*ret_length);
    *ret_length = strlen(valid);
    return valid;
}

/* --- numbers --- */

static bool fail_value(GError **error, const char *name, const char *text, const char *expected)
{
    g_autofree char *printable = text ? log_quote(text, strlen(text), QUOTE_BYTES) : NULL;
    if (text)
        g_set_error(error, VM_DOCUMENT_ERROR, VM_DOCUMENT_ERROR_VALUE, "the document's <%s> is \"%s\": expected %s",
                    name, printable, expected);
    else
        g_set_error(error, VM_DOCUMENT_ERROR, VM_DOCUMENT_ERROR_VALUE, "the document has no <%s>", name);
    return false;
}

/* With blanks around it, as who writes XML by hand may have them. */
static char *stripped(const XmlElement *element)
{
    char *text = xml_text(element);
    return text ? g_strstrip(text) : NULL;
}

static bool read_u64(const XmlElement *parent, const char *name, guint64 most, guint64 *ret_value)
{
    guint64 value;
    g_autofree char *text = stripped(xml_child(parent, name));
    if (!text || !text_read_u64(text, &value) || value > most)
        return false;
    *ret_value = value;
    return true;
}

static bool need_u64(const XmlElement *vm, const char *name, guint64 most, guint64 *ret_value, GError **error)
{
    if (read_u64(vm, name, most, ret_value))
        return true;
    g_autofree char *text = stripped(xml_child(vm, name));
    g_autofree char *expected = g_strdup_printf("a number from 0 to %" G_GUINT64_FORMAT, most);
    return fail_value(error, name, text, expected);
}

static gint64 stamp(const XmlElement *parent, const char *name)
{
    guint64 value = 0;
    read_u64(parent, name, STAMP_MAX, &value);
    return (gint64)value;
}

/* --- states --- */

static char *state_text(guint number, const char *(*word)(const char *number))
{
    g_autofree char *digits = g_strdup_printf("%u", number);
    return g_strdup(word(digits));
}

static bool read_states(VmDocument *document, const XmlElement *vm, GError **error)
{
    guint64 state, lcm_state, previous;
    VmEvent *event = document->event;
    if (!need_u64(vm, "STATE", VM_DOCUMENT_STATE_MAX, &state, error) ||
        !need_u64(vm, "LCM_STATE", VM_DOCUMENT_STATE_MAX, &lcm_state, error))
        return false;
    document->state = (guint)state;
    document->lcm_state = (guint)lcm_state;
    event->state = state_text(document->state, vm_event_state_word);
    event->lcm_state = state_text(document->lcm_state, vm_event_lcm_state_word);
    if (read_u64(vm, "PREV_STATE", VM_DOCUMENT_STATE_MAX, &previous))
        event->previous_state = state_text((guint)previous, vm_event_state_word);
    document->previous_lcm_state = -1;
    if (read_u64(vm, "PREV_LCM_STATE", VM_DOCUMENT_STATE_MAX, &previous)) {
        document->previous_lcm_state = (gint)previous;
        event->previous_lcm_state = state_text((guint)previous, vm_event_lcm_state_word);
    }
    return true;
}

bool vm_document_knows_states(const VmDocument *document)
{
    return !g_ascii_isdigit(*document->event->state) && !g_ascii_isdigit(*document->event->lcm_state);
}

/* --- history --- */

static const XmlElement *last_of(const XmlElement *records)
{
    const XmlElement *last = NULL;
    for (const XmlElement *each = xml_child(records, "HISTORY"); each; each = xml_next(each, "HISTORY"))
        last = each;
    return last;
}

static void append_time(GString *out, gint64 seconds)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(seconds);
    g_autofree char *text = time ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : NULL;
    g_string_append(out, text ? text : "");
}

/* "0 kvm1 2026-11-22T13:16:04Z..2026-11-22T13:36:37Z" */
static char *describe_record(const XmlElement *record)
{
    GString *out = g_string_new(NULL);
    guint64 seq;
    g_autofree char *host = stripped(xml_child(record, "HOSTNAME"));
    const gint64 from = stamp(record, "STIME"), to = stamp(record, "ETIME");
    if (read_u64(record, "SEQ", G_MAXINT32, &seq))
        g_string_append_printf(out, "%" G_GUINT64_FORMAT " ", seq);
    g_string_append_printf(out, "%s ", host && *host ? host : "?");
    if (from)
        append_time(out, from);
    g_string_append(out, "..");
    if (to)
        append_time(out, to);
    return g_string_free(out, FALSE);
}

/* The newest as far as there is room, oldest of them first. */
static char *describe_history(const XmlElement *records)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    for (const XmlElement *each = xml_child(records, "HISTORY"); each; each = xml_next(each, "HISTORY"))
        g_ptr_array_add(texts, describe_record(each));
    gsize room = XML_TEXT_MAX - strlen("…; ");
    guint first = texts->len;
    while (first > 0 && strlen(g_ptr_array_index(texts, first - 1)) + 2 <= room)
        room -= strlen(g_ptr_array_index(texts, --first)) + 2;
    GString *out = g_string_new(first > 0 ? "…" : NULL);
    for (guint i = first; i < texts->len; i++)
        g_string_append_printf(out, "%s%s", out->len ? "; " : "", (const char *)g_ptr_array_index(texts, i));
    return g_string_free(out, FALSE);
}

/* VMActions::Action, by number. */
static const char *const action_words[] = {
    [1] = "migrate",
    [2] = "live-migrate",
    [3] = "shutdown",
    [4] = "shutdown-hard",
    [5] = "undeploy",
    [6] = "undeploy-hard",
    [7] = "hold",
    [8] = "release",
    [9] = "stop",
    [10] = "suspend",
    [11] = "resume",
    [12] = "boot",
    [13] = "delete",
    [14] = "delete-recreate",
    [15] = "reboot",
    [16] = "reboot-hard",
    [17] = "resched",
    [18] = "unresched",
    [19] = "poweroff",
    [20] = "poweroff-hard",
    [21] = "disk-attach",
    [22] = "disk-detach",
    [23] = "nic-attach",
    [24] = "nic-detach",
    [25] = "disk-snapshot-create",
    [26] = "disk-snapshot-delete",
    [27] = "terminate",
    [28] = "terminate-hard",
    [29] = "disk-resize",
    [30] = "deploy",
    [31] = "chown",
    [32] = "chmod",
    [33] = "updateconf",
    [34] = "rename",
    [35] = "resize",
    [36] = "update",
    [37] = "snapshot-create",
    [38] = "snapshot-delete",
    [39] = "snapshot-revert",
    [40] = "disk-saveas",
    [41] = "disk-snapshot-revert",
    [42] = "recover",
    [43] = "retry",
    [44] = "monitor",
    [45] = "disk-snapshot-rename",
    [46] = "alias-attach",
    [47] = "alias-detach",
    [48] = "poweroff-migrate",
    [49] = "poweroff-hard-migrate",
    [50] = "backup",
    [51] = "nic-update",
    [52] = "backup-cancel",
    [53] = "sched-add",
    [54] = "sched-update",
    [55] = "sched-delete",
    [56] = "sg-attach",
    [57] = "sg-detach",
};

/* The action that the record was left by: OpenNebula's word for it, "action 99" where it has none here. */
static char *reason_of(const XmlElement *record)
{
    guint64 action = 0;
    if (!read_u64(record, "ACTION", G_MAXINT32, &action) || action == 0)
        return NULL;
    if (action < G_N_ELEMENTS(action_words) && action_words[action])
        return g_strdup(action_words[action]);
    return g_strdup_printf("action %" G_GUINT64_FORMAT, action);
}

static void read_history(VmDocument *document, const XmlElement *vm)
{
    const XmlElement *records = xml_child(vm, "HISTORY_RECORDS"), *last = last_of(records);
    guint64 seq;
    document->stamps = (VmStamps){
        .stime = stamp(last, "STIME"),
        .pstime = stamp(last, "PSTIME"),
        .rstime = stamp(last, "RSTIME"),
        .retime = stamp(last, "RETIME"),
        .estime = stamp(last, "ESTIME"),
        .eetime = stamp(last, "EETIME"),
        .etime = stamp(last, "ETIME"),
        .vm_etime = stamp(vm, "ETIME"),
    };
    document->event->host = stripped(xml_child(last, "HOSTNAME"));
    document->event->reason = reason_of(last);
    if (read_u64(last, "SEQ", G_MAXINT32, &seq))
        document->event->seq = (gint64)seq;
    g_autofree char *history = describe_history(records);
    row_set_text(document->vm->row, METRIC_VM_HOST_HISTORY, history);
}

/* --- what is told of the VM --- */

/* Where a text stands below <VM>. */
static const struct {
    Metric metric;
    const char *parent, *name; /* parent NULL: <VM> itself */
} texts[] = {
    {METRIC_VM_VM_NAME, NULL, "NAME"},
    {METRIC_VM_UNAME, NULL, "UNAME"},
    {METRIC_VM_UID, NULL, "UID"},
    {METRIC_VM_GNAME, NULL, "GNAME"},
    {METRIC_VM_GID, NULL, "GID"},
    {METRIC_VM_STIME, NULL, "STIME"},
    {METRIC_VM_TEMPLATE_ID, "TEMPLATE", "TEMPLATE_ID"},
    {METRIC_VM_CPU_REQUESTED, "TEMPLATE", "CPU"},
    {METRIC_VM_VCPU_REQUESTED, "TEMPLATE", "VCPU"},
    {METRIC_VM_MEMORY_REQUESTED, "TEMPLATE", "MEMORY"},
    {METRIC_VM_LABELS, "USER_TEMPLATE", "LABELS"},
};

/* PoolObjectSQL::LockStates: what the lock keeps others from. */
static const char *lock_of(const XmlElement *vm)
{
    static const char *const words[] = {"", "use", "manage", "admin"};
    guint64 level;
    const XmlElement *lock = xml_child(vm, "LOCK");
    if (!lock)
        return "";
    return read_u64(lock, "LOCKED", G_N_ELEMENTS(words) - 1, &level) ? words[level] : "unknown";
}

static void read_texts(VmDocument *document, const XmlElement *vm)
{
    MetricRow *row = document->vm->row;
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        const XmlElement *parent = texts[i].parent ? xml_child(vm, texts[i].parent) : vm;
        g_autofree char *text = xml_text(xml_child(parent, texts[i].name));
        row_set_text(row, texts[i].metric, text ? text : "");
    }
    row_set_text(row, METRIC_VM_LOCK, lock_of(vm));
    row_set_text(row, METRIC_VM_INFO_SOURCE, INFO_SOURCE_OPENNEBULA);
    document->event->vm_name = g_strdup(row_text(row, METRIC_VM_VM_NAME));
    document->event->owner = g_strdup(row_text(row, METRIC_VM_UNAME));
    document->event->gname = g_strdup(row_text(row, METRIC_VM_GNAME));
}

/* The domain's, as libvirt has it. The deployment id is that too, or, of older versions, the domain's name. */
static void read_uuid(VmDocument *document, const XmlElement *vm)
{
    g_autofree char *uuid = stripped(xml_child(xml_child(xml_child(vm, "TEMPLATE"), "OS"), "UUID"));
    g_autofree char *deployed = stripped(xml_child(vm, "DEPLOY_ID"));
    if (uuid && g_uuid_string_is_valid(uuid))
        document->vm->uuid = g_steal_pointer(&uuid);
    else if (deployed && g_uuid_string_is_valid(deployed))
        document->vm->uuid = g_steal_pointer(&deployed);
}

/* --- all of it --- */

static bool check_root(const XmlElement *root, GError **error)
{
    g_autofree char *name = log_quote(xml_name(root), strlen(xml_name(root)), QUOTE_BYTES);
    if (xml_is(root, "VM"))
        return true;
    if (xml_is(root, "CALL_INFO"))
        g_set_error(error, VM_DOCUMENT_ERROR, VM_DOCUMENT_ERROR_NO_VM,
                    "this is the document of an API hook (<CALL_INFO>): vm_event is a state hook, TYPE = state, "
                    "RESOURCE = VM");
    else
        g_set_error(error, VM_DOCUMENT_ERROR, VM_DOCUMENT_ERROR_NO_VM,
                    "the document is a <%s>, not a <VM>: vm_event is for hooks with TYPE = state, RESOURCE = VM", name);
    return false;
}

static VmDocument *read_root(const XmlElement *root, GError **error)
{
    guint64 id;
    if (!check_root(root, error) || !need_u64(root, "ID", VM_ID_MAX, &id, error))
        return NULL;
    g_autofree char *name = g_strdup_printf("one-%" G_GUINT64_FORMAT, id);
    g_autoptr(VmDocument) document = g_new0(VmDocument, 1);
    document->event = vm_event_new(EVENT_OPENNEBULA, id, 0);
    document->vm = vm_sample_new(name);
    if (!read_states(document, root, error))
        return NULL;
    read_history(document, root);
    read_texts(document, root);
    read_uuid(document, root);
    return g_steal_pointer(&document);
}

VmDocument *vm_document_read(const char *xml, gsize length, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autoptr(XmlTree) tree = xml_tree_read(xml, length, VM_DOCUMENT_MAX, &reason);
    if (tree)
        return read_root(xml_root(tree), error);
    if (g_error_matches(reason, XML_READ_ERROR, XML_READ_ERROR_TOO_LARGE))
        g_set_error(error, VM_DOCUMENT_ERROR, VM_DOCUMENT_ERROR_TOO_LARGE, "the document is too large: it has %s",
                    reason->message);
    else
        g_set_error(error, VM_DOCUMENT_ERROR, VM_DOCUMENT_ERROR_XML, "the document is no XML that is taken: %s",
                    reason->message);
    return NULL;
}

void vm_document_free(VmDocument *document)
{
    if (!document)
        return;
    vm_event_free(document->event);
    vm_sample_free(document->vm);
    g_free(document);
}
