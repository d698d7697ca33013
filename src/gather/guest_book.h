/* SPDX-License-Identifier: Apache-2.0
 * What is known of the guests' agents from one cycle to the next: what they answered last, and when each is to be asked
 * again. A guest whose agent does not answer is asked ever more seldom, so that it costs nothing. Kept as text. Pure.
 */
#pragma once

#include "gather/guest_commands.h"

#define GUEST_BOOK_FILE_MAX (64 * 1024 * 1024) /* bytes */
#define GUEST_BOOK_BACKOFF_S 30                /* after a failure; twice that after the next, and so on … */
#define GUEST_BOOK_BACKOFF_MAX_S 3600 /* … up to this, which a guest that has no agent at all waits at once */

typedef struct {
    guint64 vm_id;
    gint64 domain_id; /* libvirt's, of this run of the domain */
    guint failures;   /* in a row */
    gint64 due_s;     /* seconds since 1970 */
    GuestOs os;
    GPtrArray *keys; /* of char*, keys of the record and values by turns; never NULL */
} GuestEntry;

typedef struct GuestBook GuestBook;

GuestBook *guest_book_new(void);
void guest_book_free(GuestBook *book);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestBook, guest_book_free)

/* What guest_book_write has written, NULL for everything else. */
GuestBook *guest_book_read(const char *text, gsize length);
void guest_book_write(const GuestBook *book, GString *out);

/* Of that run of that VM; NULL: nothing is known of it. Owned by the book. */
GuestEntry *guest_book_find(const GuestBook *book, guint64 vm_id, gint64 domain_id);

/* The same, made anew where it is missing or another run's. */
GuestEntry *guest_book_entry(GuestBook *book, guint64 vm_id, gint64 domain_id);

/* Forgets all VMs but those for which `keep` is true. */
void guest_book_prune(GuestBook *book, bool (*keep)(const GuestEntry *entry, gconstpointer data), gconstpointer data);

/* NULL is due: it has not been asked yet. Of a time that can't be, as after a jump of the clock, likewise. */
bool guest_entry_is_due(const GuestEntry *entry, gint64 now_s);

/* Its agent has answered: it is asked again in `interval_s`. Its keys go. */
void guest_entry_succeed(GuestEntry *entry, gint64 now_s, gint64 interval_s);

/* It has not; `hopeless`: it has no agent. Its keys go. */
void guest_entry_fail(GuestEntry *entry, gint64 now_s, bool hopeless);

void guest_entry_set(GuestEntry *entry, const char *key, const char *value);
