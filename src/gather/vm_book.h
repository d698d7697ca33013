/* SPDX-License-Identifier: Apache-2.0
 * What is known of the VMs from one cycle to the next of what takes too long to be asked for in a cycle: guests'
 * agents, OpenNebula's forecaster. Of each VM the last answers, as keys of OpenNebula's record, and when it is to be
 * asked again; one that does not answer is asked ever more seldom, so that it costs nothing. Kept as text. Pure. */
#pragma once

#include "model/sample.h"

#define VM_BOOK_FILE_MAX (64 * 1024 * 1024) /* bytes */
#define VM_BOOK_ANSWERS_MAX 256             /* of a VM */
#define VM_BOOK_BACKOFF_S 30                /* after a failure; twice that after the next, and so on … */
#define VM_BOOK_WAIT_MAX_S 3600             /* … up to this; nothing waits longer */

typedef struct {
    char *key, *value;
    gint64 until_s; /* it counts up to then, seconds since 1970; VM_ANSWER_STAYS: to the next question */
} VmAnswer;
#define VM_ANSWER_STAYS G_MAXINT64

typedef struct {
    guint64 vm_id;
    gint64 domain_id;   /* libvirt's, of this run of the domain */
    guint failures;     /* in a row */
    gint64 due_s;       /* seconds since 1970 */
    guint note;         /* what who asks wants to know of it the next time, up to VM_BOOK_NOTE_MAX; 0: nothing */
    GPtrArray *answers; /* of VmAnswer; never NULL */
} VmEntry;
#define VM_BOOK_NOTE_MAX 1000

typedef struct VmBook VmBook;

VmBook *vm_book_new(void);
void vm_book_free(VmBook *book);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmBook, vm_book_free)

/* What vm_book_write has written, NULL for everything else. */
VmBook *vm_book_read(const char *text, gsize length);
void vm_book_write(const VmBook *book, GString *out);

/* Of that run of that VM; NULL: nothing is known of it. Owned by the book. */
VmEntry *vm_book_find(const VmBook *book, guint64 vm_id, gint64 domain_id);

/* The same, made anew where it is missing or another run's. */
VmEntry *vm_book_entry(VmBook *book, guint64 vm_id, gint64 domain_id);

/* Forgets the VMs that the sample does not have. */
void vm_book_prune(VmBook *book, const Sample *sample);

/* NULL is due: it has not been asked yet. Of a time that can't be, as after a jump of the clock, likewise. */
bool vm_entry_is_due(const VmEntry *entry, gint64 now_s);

/* For an order in which those that wait longest come first: what is due earlier is less, and what has not been asked
 * yet, or has a time that can't be, least. */
gint64 vm_entry_rank(const VmEntry *entry, gint64 now_s);

/* It has answered: it is asked again after `interval_s`, but for a tenth, so that a cycle that comes a little early
 * finds it due. */
void vm_entry_succeed(VmEntry *entry, gint64 now_s, gint64 interval_s);

/* VM_BOOK_BACKOFF_S, doubled so many times. */
gint64 vm_book_backoff_s(guint times);

/* It has not: it is asked again after VM_BOOK_BACKOFF_S, twice that, …, but at least `least_s` and at most
 * `most_s`. */
void vm_entry_fail(VmEntry *entry, gint64 now_s, gint64 least_s, gint64 most_s);

/* In place of an earlier one of that key. */
void vm_entry_set(VmEntry *entry, const char *key, const char *value, gint64 until_s);

/* The last answer of that key; NULL: there is none. Owned by the book. */
const char *vm_entry_get(const VmEntry *entry, const char *key);

/* Takes out the answers for which `which` is true; NULL: all. */
void vm_entry_clear(VmEntry *entry, bool (*which)(const char *key));

/* The answers that count now: keys and values by turns, NULL-terminated, owned by the caller; NULL: none. One that
 * counts longer than `longest_s` has its time from a clock that was wrong. */
char **vm_entry_answers(const VmEntry *entry, gint64 now_s, gint64 longest_s);
