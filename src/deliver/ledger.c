/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/ledger.h"
#include "base/file.h"
#include "base/log.h"
#include "deliver/spool_dir.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>

#define LOCK_NAME SPOOL_LEDGER ".lock"
#define LOCK_PAUSE_US 5000
#define FILE_MAX 4096 /* bytes; a ledger of largest numbers and longest text has less */
#define END "end"

typedef enum { FIELD_TIME, FIELD_COUNT32, FIELD_COUNT64, FIELD_TEXT } FieldKind;

static const struct {
    const char *key;
    FieldKind kind;
    gsize offset; /* in Ledger */
} fields[] = {
    {"last_success_ns", FIELD_TIME, offsetof(Ledger, last_success_ns)},
    {"last_error_ns", FIELD_TIME, offsetof(Ledger, last_error_ns)},
    {"retry_at_ns", FIELD_TIME, offsetof(Ledger, retry_at_ns)},
    {"failures", FIELD_COUNT32, offsetof(Ledger, failures)},
    {"sent_batches", FIELD_COUNT64, offsetof(Ledger, sent_batches)},
    {"sent_lines", FIELD_COUNT64, offsetof(Ledger, sent_lines)},
    {"sent_bytes", FIELD_COUNT64, offsetof(Ledger, sent_bytes)},
    {"retried", FIELD_COUNT64, offsetof(Ledger, retried)},
    {"rejected_lines", FIELD_COUNT64, offsetof(Ledger, rejected_lines)},
    {"dropped_batches", FIELD_COUNT64, offsetof(Ledger, dropped_batches)},
    {"dropped_bytes", FIELD_COUNT64, offsetof(Ledger, dropped_bytes)},
    {"bad_batches", FIELD_COUNT64, offsetof(Ledger, bad_batches)},
    {"queued_batches", FIELD_COUNT64, offsetof(Ledger, queued_batches)},
    {"queued_bytes", FIELD_COUNT64, offsetof(Ledger, queued_bytes)},
    {"oldest_ns", FIELD_TIME, offsetof(Ledger, oldest_ns)},
    {"counted_ns", FIELD_TIME, offsetof(Ledger, counted_ns)},
    {"trouble", FIELD_COUNT32, offsetof(Ledger, trouble)},
    {"trouble_since_ns", FIELD_TIME, offsetof(Ledger, trouble_since_ns)},
    {"trouble_told_ns", FIELD_TIME, offsetof(Ledger, trouble_told_ns)},
    {"rejected_told_ns", FIELD_TIME, offsetof(Ledger, rejected_told_ns)},
    {"rejected_untold", FIELD_COUNT64, offsetof(Ledger, rejected_untold)},
    {"last_error", FIELD_TEXT, offsetof(Ledger, last_error)},
};

/* --- the file's form --- */

/* One line of printable text that fits: what log_quote leaves as it is. */
static char *one_line(const char *text)
{
    return log_quote(text, strnlen(text, LEDGER_ERROR_MAX + 1), LEDGER_ERROR_MAX);
}

char *ledger_format(const Ledger *ledger)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        const void *field = (const char *)ledger + fields[i].offset;
        g_string_append_printf(text, "%s=", fields[i].key);
        if (fields[i].kind == FIELD_TIME) {
            g_string_append_printf(text, "%" G_GINT64_FORMAT, MAX(*(const gint64 *)field, 0));
        } else if (fields[i].kind == FIELD_COUNT32) {
            g_string_append_printf(text, "%u", *(const guint *)field);
        } else if (fields[i].kind == FIELD_COUNT64) {
            g_string_append_printf(text, "%" G_GUINT64_FORMAT, *(const guint64 *)field);
        } else {
            g_autofree char *line = one_line(field);
            g_string_append(text, line);
        }
        g_string_append_c(text, '\n');
    }
    g_string_append(text, END "\n");
    return g_string_free(text, FALSE);
}

static bool parse_value(FieldKind kind, const char *value, void *field)
{
    static const guint64 largest[] = {
        [FIELD_TIME] = G_MAXINT64, [FIELD_COUNT32] = G_MAXUINT, [FIELD_COUNT64] = G_MAXUINT64};
    if (kind == FIELD_TEXT) {
        g_autofree char *line = one_line(value);
        g_strlcpy(field, line, LEDGER_ERROR_MAX + 1);
        return strcmp(line, value) == 0;
    }
    guint64 number;
    if (!g_ascii_string_to_unsigned(value, 10, 0, largest[kind], &number, NULL))
        return false;
    if (kind == FIELD_COUNT32)
        *(guint *)field = (guint)number;
    else if (kind == FIELD_TIME)
        *(gint64 *)field = (gint64)number;
    else
        *(guint64 *)field = number;
    return true;
}

static bool parse_line(char *line, Ledger *ledger, guint *seen)
{
    char *value = strchr(line, '=');
    if (!value)
        return false;
    *value++ = '\0';
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (strcmp(line, fields[i].key) != 0)
            continue;
        bool twice = *seen & 1u << i;
        *seen |= 1u << i;
        return !twice && parse_value(fields[i].kind, value, (char *)ledger + fields[i].offset);
    }
    return false;
}

bool ledger_parse(const char *text, gsize length, Ledger *ret_ledger)
{
    if (length > FILE_MAX || memchr(text, '\0', length))
        return false;
    g_autofree char *copy = g_strndup(text, length);
    g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
    guint n = g_strv_length(lines), seen = 0;
    if (n < 2 || *lines[n - 1] != '\0' || strcmp(lines[n - 2], END) != 0)
        return false;
    Ledger ledger = {0};
    for (guint i = 0; i < n - 2; i++)
        if (!parse_line(lines[i], &ledger, &seen))
            return false;
    *ret_ledger = ledger;
    return true;
}

/* --- the file --- */

/* false: damaged. */
static bool load(int fd, Ledger *ret_ledger)
{
    g_autoptr(GError) reason = NULL;
    g_autofree char *text = NULL;
    gsize length;
    *ret_ledger = (Ledger){0};
    if (!file_read_private(fd, SPOOL_LEDGER, FILE_MAX, &text, &length, &reason))
        return g_error_matches(reason, FILE_ERROR, FILE_ERROR_MISSING);
    return ledger_parse(text, length, ret_ledger);
}

void ledger_load(Spool *spool, const char *sink, Ledger *ret_ledger, bool *ret_damaged)
{
    g_autoptr(GError) reason = NULL;
    FILE_AUTO_CLOSE int fd = spool_open_sink(spool, sink, SPOOL_DIR_EXISTING, &reason);
    bool whole = !reason;
    *ret_ledger = (Ledger){0};
    if (fd >= 0)
        whole = load(fd, ret_ledger);
    if (ret_damaged)
        *ret_damaged = !whole;
}

static bool save(int fd, const Ledger *ledger, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autofree char *text = ledger_format(ledger);
    return file_write_private(fd, SPOOL_LEDGER, text, strlen(text), &reason) ||
           spool_fail_file(g_steal_pointer(&reason), error);
}

/* The sink's directory, and a descriptor that holds the ledger's lock. false: neither is open. */
static bool open_locked(const Spool *spool, const char *sink, int *ret_dir, int *ret_lock, GError **error)
{
    int fd = spool_open_sink(spool, sink, SPOOL_DIR_MAKE, error);
    int lock = fd >= 0 ? spool_open_lock(spool, fd, sink, LOCK_NAME, error) : -1;
    const gint64 deadline = g_get_monotonic_time() + LEDGER_LOCK_WAIT_MS * 1000;
    while (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK && g_get_monotonic_time() < deadline) {
            g_usleep(LOCK_PAUSE_US);
            continue;
        }
        spool_fail(spool, sink, LOCK_NAME, errno == EWOULDBLOCK ? EBUSY : errno, error);
        file_close_at_end(&lock);
        lock = -1;
    }
    if (lock < 0) {
        file_close_at_end(&fd);
        return false;
    }
    *ret_dir = fd;
    *ret_lock = lock;
    return true;
}

static gint64 now_ns(void)
{
    return g_get_real_time() * 1000;
}

static void set_queue(Ledger *ledger, const Ledger *counted)
{
    ledger->queued_batches = counted->queued_batches;
    ledger->queued_bytes = counted->queued_bytes;
    ledger->oldest_ns = counted->oldest_ns;
    ledger->counted_ns = counted->counted_ns;
}

bool ledger_save(Spool *spool, const char *sink, const Ledger *ledger, GError **error)
{
    FILE_AUTO_CLOSE int fd = -1;
    FILE_AUTO_CLOSE int lock = -1;
    Ledger stored, merged = *ledger;
    if (!open_locked(spool, sink, &fd, &lock, error))
        return false;
    load(fd, &stored); /* a damaged one has nothing that we could keep */
    merged.dropped_batches = MAX(merged.dropped_batches, stored.dropped_batches);
    merged.dropped_bytes = MAX(merged.dropped_bytes, stored.dropped_bytes);
    if (stored.counted_ns > merged.counted_ns && stored.counted_ns <= now_ns())
        set_queue(&merged, &stored);
    return save(fd, &merged, error);
}

/* Adds to dropped_*, and notes what waits where that was counted (else NULL). */
static bool add(Spool *spool, const char *sink, const SpoolCount *dropped, const SpoolWaiting *waiting, GError **error)
{
    FILE_AUTO_CLOSE int fd = -1;
    FILE_AUTO_CLOSE int lock = -1;
    Ledger ledger;
    if (!open_locked(spool, sink, &fd, &lock, error))
        return false;
    if (!load(fd, &ledger))
        log_warning("%s/%s/" SPOOL_LEDGER " is damaged: it begins anew", spool->path, sink);
    ledger.dropped_batches += dropped->batches;
    ledger.dropped_bytes += dropped->bytes;
    if (waiting)
        set_queue(&ledger, &(Ledger){.queued_batches = waiting->count.batches,
                                     .queued_bytes = waiting->count.bytes,
                                     .oldest_ns = waiting->oldest_ns,
                                     .counted_ns = now_ns()});
    return save(fd, &ledger, error);
}

bool ledger_add_dropped(Spool *spool, const char *sink, SpoolCount dropped, GError **error)
{
    return (dropped.batches == 0 && dropped.bytes == 0) || add(spool, sink, &dropped, NULL, error);
}

static bool has_queue(const Spool *spool, const char *sink)
{
    FILE_AUTO_CLOSE int fd = spool_open_sink(spool, sink, SPOOL_DIR_EXISTING, NULL);
    return fd >= 0;
}

bool ledger_trim(Spool *spool, const SpoolTarget *target, SpoolCount *ret_dropped, GError **error)
{
    SpoolCount dropped;
    SpoolWaiting waiting;
    if (!spool_trim_and_count(spool, target, &dropped, &waiting, error))
        return false;
    if (ret_dropped)
        *ret_dropped = dropped; /* they are gone, whatever becomes of the ledger */
    return !has_queue(spool, target->sink) || add(spool, target->sink, &dropped, &waiting, error);
}
