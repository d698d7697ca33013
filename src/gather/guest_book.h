/* SPDX-License-Identifier: Apache-2.0
 * What is known of the guests' agents from one cycle to the next: what they answered last, and when each is to be asked
 * again. A guest whose agent does not answer is asked ever more seldom, so that it costs nothing. Kept as text. Pure.
 */
#pragma once

#include "gather/guest_commands.h"

#define GUEST_BOOK_FILE_MAX (64 * 1024 * 1024)       /* bytes */
#define GUEST_BOOK_KEYS_MAX (GUEST_COMMANDS_MAX + 8) /* of a guest; it has five of its GPUs */
#define GUEST_BOOK_BACKOFF_S 30                      /* after a failure; twice that after the next, and so on … */
#define GUEST_BOOK_BACKOFF_MAX_S 3600 /* … up to this, which a guest that has no agent at all waits at once */

/* Keys of the record and their values by turns, of char*. */
typedef GPtrArray GuestKeys;
GuestKeys *guest_keys_new(void);
bool guest_keys_have(const GuestKeys *keys, const char *key);
/* The first of a name counts; of more than GUEST_BOOK_KEYS_MAX the others are left out. */
void guest_keys_add(GuestKeys *keys, const char *key, const char *value);

typedef struct {
    guint64 vm_id;
    gint64 domain_id; /* libvirt's, of this run of the domain */
    guint failures;   /* in a row */
    gint64 due_s;     /* seconds since 1970 */
    GuestOs os;
    GuestKeys *keys; /* never NULL */
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

/* For an order in which those that wait longest come first: what is due earlier is less, and what has not been asked
 * yet, or has an impossible time, least. */
gint64 guest_entry_rank(const GuestEntry *entry, gint64 now_s);

/* Its agent has answered: it is asked again in `interval_s`. */
void guest_entry_succeed(GuestEntry *entry, gint64 now_s, gint64 interval_s);

/* It has not; `hopeless`: it has no agent. */
void guest_entry_fail(GuestEntry *entry, gint64 now_s, bool hopeless);

/* `keys` in the place of its keys; with `keep_others` those stay that are not among them. */
void guest_entry_set_keys(GuestEntry *entry, const GuestKeys *keys, bool keep_others);
