/* SPDX-License-Identifier: Apache-2.0
 * OpenNebula's monitoring records, written, fitted into its message, and read back.
 *
 *   VM = [ ID="83", DEPLOY_ID="<uuid>", MONITOR="<base64 of KEY="VALUE" lines>" ]
 *
 * What goes wrong here costs the whole host its monitoring (a junk line: host ERROR; a message over the limit: nothing
 * is sent at all, silently), so the text is read back by one_records_check before anyone sees it. Pure. */
#pragma once

#include "model/sample.h"

/* A UDP datagram's payload over IPv4; OpenNebula sends one datagram per probe directory. */
#define ONE_MESSAGE_MAX 65507
/* Bytes of that message which are not payload: "MONITOR_VM SUCCESS <host id> <epoch> ". */
#define ONE_MESSAGE_HEADER 64
/* What OpenNebula 7.4's own probes of that directory take of the compressed message, bytes per VM, measured: poll.rb
 * with its Python forecast (65,507 / 210), without it, and monitor_ds_vm's disk sizes. */
#define ONE_RESERVE_FORECAST 312
#define ONE_RESERVE_POLL 145
#define ONE_RESERVE_DISK_SIZE 48
/* How many messages carry the deletion of a key that became unknown: a datagram can get lost. */
#define ONE_DELETE_REPEATS 3

typedef struct {
    guint
        stock_tiers; /* that OpenNebula's poll.rb sends in the same message, so that they are never ours to delete: 0
                      * none, 1 its eight keys, 2 also their rates, with its forecast. Flags (LOCKED) are always ours */
    guint detail;    /* highest tier wanted, 0..ONE_TIER_MAX */
    bool leave;      /* send no figure; delete every key that is ours, whether OpenNebula is known to hold it or not */
    gsize limit;     /* bytes of the whole message, compressed; at most ONE_MESSAGE_MAX */
    gsize reserve_per_vm; /* of those, what other probes may need at most. When that is more than there is … */
    gsize reserve_least;  /* … they can't be at their most, and have this, bytes per VM */
    guint64 cycle;        /* turns the window of VMs when not even tier 0 of all of them fits */
} OneOptions;

typedef struct {
    gsize message_bytes; /* our records as OpenNebula compresses them; while they fit by far, what a quicker compression
                          * makes of them, which is 10 to 60 % more */
    gsize budget;        /* what they may have been */
    guint tier;          /* highest tier sent, up to `detail` */
    guint dropped_keys;  /* keys wanted and known that did not fit, over all VMs */
    guint vms_left_out;  /* VMs of which nothing fits in this cycle */
    guint rejected;      /* records that our own check refused; logged by the caller with `reason` */
    char *reason;        /* first such reason, or NULL; owned by the report */
} OneReport;

void one_report_clear(OneReport *report);

/* The records of all VMs of the sample, one a line, sorted as the sample is. `previous` (may be NULL) tells by its
 * sent_keys which keys OpenNebula holds; those that are not sent now, unknown or dropped, are deleted (KEY=[]) in
 * ONE_DELETE_REPEATS messages. Sets sent_keys of every VM of `now` for the next cycle. Never fails: what does not fit
 * is dropped by tier, highest first, and reported. Text owned by the caller. */
GString *one_records_write(Sample *now, const Sample *previous, const OneOptions *options, OneReport *ret_report);

/* VmSample.extras: keys of a tier of their own, that of the rates; those that are a metric's, no key, or there twice
 * are passed over. They are held, and deleted when they are gone, as the others are. */
#define ONE_EXTRAS_TIER 1
#define ONE_EXTRAS_MAX 64 /* of a VM */
/* VmSample.forecasts: likewise, where `detail` is at least ONE_EXTRAS_TIER; but they are the first that are dropped, as
 * if they had a tier of their own above `detail`. Where poll.rb sends its forecast they are not ours to delete. */

/* VmSample.sent_keys: KEY where OpenNebula holds a value from us, KEY-n where n messages have carried its deletion,
 * with spaces between. Keys that are no longer in metrics.def are deleted likewise, at most ONE_RETIRED_MAX of a VM. */
#define ONE_RETIRED_MAX 96

/* One record as its reader sees it. */
typedef struct {
    guint64 vm_id;
    char *deploy_id;
    GPtrArray *keys;   /* of char*, in order */
    GPtrArray *values; /* of char*, unescaped; NULL for KEY=[] (delete) */
} OneRecord;

void one_record_free(OneRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OneRecord, one_record_free)

#define ONE_RECORD_ERROR one_record_error_quark()
GQuark one_record_error_quark(void);
typedef enum { ONE_RECORD_ERROR_SYNTAX } OneRecordErrorCode;

/* A strict reader of what one_records_write may write, so of less than OpenNebula's parser takes: one record a line,
 * each line ended; ids unique, up to 2^31 - 1; DEPLOY_ID of letters, digits and -; base64 canonical; 1 to ONE_KEYS_MAX
 * keys, [A-Z0-9_]+, unique in their record; VALUE in double quotes with \" and \\ as the only escapes, no control
 * characters, valid UTF-8, at most ONE_VALUE_MAX bytes. Array of OneRecord, or NULL; the message begins "line N: ". */
#define ONE_KEYS_MAX 320
#define ONE_KEY_MAX 63 /* bytes */
GPtrArray *one_records_read(const char *text, gsize length, GError **error);

/* The same, keeping nothing. */
bool one_records_check(const char *text, gsize length, GError **error);

/* The value as it stands between the quotes: " and \ escaped, control characters (newline among them) made spaces,
 * invalid UTF-8 made U+FFFD, cut to ONE_VALUE_MAX bytes on a character boundary. Owned by the caller. */
#define ONE_VALUE_MAX 1024
char *one_value_escape(const char *text);
