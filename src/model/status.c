/* SPDX-License-Identifier: Apache-2.0 */
#include "model/status.h"
#include "base/text.h"

#include <string.h>

#define UNKNOWN "UNKNOWN"
#define STATE_MAX 32            /* bytes of a state's word */
#define TEXT_MAX 256            /* bytes of a deploy id that is told */
#define MISSING_MAX 1000000000  /* counted no further */
#define REFRESHES_IN_OBSOLETE 4 /* a row is written anew so often before it would be too old */

/* --- words --- */

const char *status_word(int state, int reason)
{
    static const char *const words[] = {
        [1] = "RUNNING", [2] = "RUNNING",   /* running, blocked on a resource */
        [4] = "RUNNING",                    /* shutting down */
        [6] = "FAILURE", [7] = "SUSPENDED", /* crashed, suspended by the guest's power management */
    };
    static const char *const paused[] = {
        [0] = "FAILURE",  [1] = "SUSPENDED", /* unknown, by a user */
        [2] = "RUNNING",  [3] = "RUNNING",   /* for migration, for saving */
        [5] = "FAILURE",  [6] = "FAILURE",   /* I/O error, watchdog */
        [10] = "FAILURE",                    /* crashed */
        [11] = "RUNNING",                    /* starting up */
        [13] = "FAILURE",                    /* post-copy failed */
    };
    const char *word = NULL;
    if (state == 3)
        word = reason >= 0 && reason < (int)G_N_ELEMENTS(paused) ? paused[reason] : NULL;
    else if (state >= 0 && state < (int)G_N_ELEMENTS(words))
        word = words[state];
    return word ? word : UNKNOWN;
}

/* What stands in the table may be anything. */
static const char *known_word(const char *state)
{
    gsize length = state ? strlen(state) : 0;
    bool good = length > 0 && length <= STATE_MAX && strspn(state, G_CSET_A_2_Z "_") == length;
    return good ? state : UNKNOWN;
}

/* --- VMs and rows --- */

StatusVm *status_vm_new(gint64 id, const char *name, const char *uuid, const char *state)
{
    StatusVm *vm = g_new0(StatusVm, 1);
    vm->id = id;
    vm->name = g_strdup(name);
    vm->uuid = g_strdup(uuid);
    vm->state = state;
    return vm;
}

void status_vm_free(StatusVm *vm)
{
    g_free(vm->name);
    g_free(vm->uuid);
    g_free(vm);
}

StatusRow *status_row_new(gint64 id, const char *name, const char *uuid, const char *state)
{
    StatusRow *row = g_new0(StatusRow, 1);
    row->id = id;
    row->name = g_strdup(name);
    row->uuid = g_strdup(uuid);
    row->deploy_id = g_strdup(uuid);
    row->state = g_strdup(state);
    return row;
}

void status_row_free(StatusRow *row)
{
    g_free(row->uuid);
    g_free(row->name);
    g_free(row->deploy_id);
    g_free(row->state);
    g_free(row);
}

/* --- one report --- */

typedef struct {
    const StatusOptions *options;
    StatusReport *report;
    GHashTable *rows;  /* of StatusRow: those that are believed, one of each VM; VMs that are seen are taken out */
    GHashTable *uuids; /* of the VMs of now */
} Work;

static bool is_full_due(const StatusOptions *options)
{
    const gint64 last = options->last_full_s, now = options->now_s;
    return last <= 0 || last > now || (guint64)(now - last) > options->sync_s;
}

static gint64 age_s(const StatusRow *row, gint64 now_s)
{
    const gint64 written = MAX(row->written_s, 0);
    return written < now_s ? now_s - written : 0;
}

static gint64 missing_of(const StatusRow *row)
{
    return CLAMP(row->missing, 0, MISSING_MAX);
}

static void tell(Work *work, gint64 id, const char *deploy_id, const char *state)
{
    GString *text = work->report->text;
    g_string_append(text, "VM = [ ID=\"");
    g_string_append_printf(text, "%" G_GINT64_FORMAT, id);
    g_string_append(text, "\", DEPLOY_ID=\"");
    text_append_escaped(text, deploy_id ? deploy_id : "", TEXT_MAX);
    g_string_append_printf(text, "\", STATE=\"%s\" ]\n", state);
}

static void drop(Work *work, const StatusRow *row)
{
    if (row->row)
        g_array_append_val(work->report->dropped, row->row);
}

/* Takes the row over. */
static void put(Work *work, StatusRow *row)
{
    row->written_s = work->options->now_s;
    g_ptr_array_add(work->report->put, row);
}

/* Which VM a row is of says its id, or the uuid of a domain of another name. */
static bool is_other_name(gint64 id)
{
    return id < 0;
}

static guint hash_row(gconstpointer data)
{
    const StatusRow *row = data;
    return is_other_name(row->id) ? g_str_hash(row->uuid) : g_int64_hash(&row->id);
}

static gboolean is_of_same_vm(gconstpointer a, gconstpointer b)
{
    const StatusRow *row = a, *other = b;
    if (is_other_name(row->id) && is_other_name(other->id))
        return strcmp(row->uuid, other->uuid) == 0;
    return row->id == other->id;
}

/* Rows that are of no use are dropped: too old, without a uuid, and of several of one VM all but the last that was
 * written. */
static void take_row(Work *work, StatusRow *row)
{
    if (!row->uuid || (guint64)age_s(row, work->options->now_s) > work->options->obsolete_s) {
        drop(work, row);
        return;
    }
    StatusRow *other = g_hash_table_lookup(work->rows, row);
    if (other && other->written_s >= row->written_s) {
        drop(work, row);
        return;
    }
    if (other)
        drop(work, other);
    g_hash_table_add(work->rows, row);
}

/* So that a row of a VM that stays as it is never gets too old; and one from the future would never do. */
static bool needs_refresh(const Work *work, const StatusRow *row)
{
    const StatusOptions *options = work->options;
    return row->written_s > options->now_s ||
           (guint64)age_s(row, options->now_s) >= options->obsolete_s / REFRESHES_IN_OBSOLETE;
}

/* Of a domain of another name it is told between full reports that it is there, for it may have been told gone, but not
 * what becomes of it. */
static void see_vm(Work *work, const StatusVm *vm)
{
    const StatusRow key = {.id = vm->id, .uuid = vm->uuid}, *row = g_hash_table_lookup(work->rows, &key);
    const bool full = work->report->full;
    bool news = !row || g_strcmp0(row->state, vm->state) != 0 || g_strcmp0(row->deploy_id, vm->uuid) != 0;
    if (full || (news && (!row || !is_other_name(vm->id))))
        tell(work, vm->id, vm->uuid, vm->state);
    if (news || full || row->missing != 0 || g_strcmp0(row->uuid, vm->uuid) != 0 ||
        g_strcmp0(row->name, vm->name) != 0 || needs_refresh(work, row)) {
        StatusRow *after = status_row_new(vm->id, vm->name, vm->uuid, vm->state);
        after->row = row ? row->row : 0;
        put(work, after);
    }
    g_hash_table_remove(work->rows, &key);
}

/* A full report names a VM that was not missing for long enough by its last state: what it does not name is powered
 * off. */
static void miss_row(Work *work, const StatusRow *row)
{
    if (g_hash_table_contains(work->uuids, row->uuid)) { /* its domain has become another VM's */
        drop(work, row);
        return;
    }
    const gint64 missing = missing_of(row);
    if ((guint64)missing >= work->options->times_missing) {
        tell(work, row->id, row->deploy_id, STATUS_MISSING_STATE);
        drop(work, row);
        return;
    }
    const char *state = known_word(row->state);
    if (work->report->full)
        tell(work, row->id, row->deploy_id, state);
    StatusRow *after = status_row_new(row->id, row->name, row->uuid, state);
    g_free(after->deploy_id);
    after->deploy_id = g_strdup(row->deploy_id);
    after->row = row->row;
    after->missing = missing + 1;
    put(work, after);
}

StatusReport *status_report(const GPtrArray *vms, const GPtrArray *rows, const StatusOptions *options)
{
    StatusReport *report = g_new0(StatusReport, 1);
    g_autoptr(GHashTable) believed = g_hash_table_new(hash_row, is_of_same_vm);
    g_autoptr(GHashTable) uuids = g_hash_table_new(g_str_hash, g_str_equal);
    Work work = {options, report, believed, uuids};
    report->text = g_string_new(NULL);
    report->put = g_ptr_array_new_with_free_func((GDestroyNotify)status_row_free);
    report->dropped = g_array_new(FALSE, FALSE, sizeof(gint64));
    report->full = is_full_due(options);
    if (report->full)
        g_string_append(report->text, "SYNC_STATE=yes\nMISSING_STATE=" STATUS_MISSING_STATE "\n");
    for (guint i = 0; i < rows->len; i++)
        take_row(&work, g_ptr_array_index(rows, i));
    for (guint i = 0; i < vms->len; i++)
        g_hash_table_add(uuids, ((StatusVm *)g_ptr_array_index(vms, i))->uuid);
    for (guint i = 0; i < vms->len; i++)
        see_vm(&work, g_ptr_array_index(vms, i));
    for (guint i = 0; i < rows->len; i++) { /* in their order, so that a report is the same each time */
        const StatusRow *row = g_ptr_array_index(rows, i);
        if (row->uuid && g_hash_table_lookup(believed, row) == row)
            miss_row(&work, row);
    }
    return report;
}

void status_report_free(StatusReport *report)
{
    g_string_free(report->text, TRUE);
    g_ptr_array_unref(report->put);
    g_array_unref(report->dropped);
    g_free(report);
}
