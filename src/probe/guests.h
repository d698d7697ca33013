/* SPDX-License-Identifier: Apache-2.0
 * What the probe does about guests' agents in poll.rb's place: the records have what they answered last, and where some
 * are to be asked, another process of the probe does so, which nobody waits for. */
#pragma once

#include "base/config.h"
#include "gather/guest_commands.h"
#include "gather/vm_book.h"
#include "model/sample.h"

#define GUESTS_ERROR guests_error_quark()
GQuark guests_error_quark(void);
typedef enum {
    GUESTS_ERROR_BUSY,  /* another process is asking them */
    GUESTS_ERROR_STATE, /* there is no sample yet that tells which guests there are, or the book can't be kept */
    GUESTS_ERROR_LIBVIRT
} GuestsErrorCode;

/* Where it is done. */
typedef struct {
    const Config *config;
    const char *program;                /* this one's own file; NULL unknown */
    const char *uri;                    /* of libvirt */
    const char *state_dir, *state_name; /* the probe's state file */
    const char *config_file;            /* absolute; NULL: none was read */
    const char *host_id, *host;         /* OpenNebula's last two arguments */
} GuestsPlace;

typedef struct {
    GuestCommands *commands; /* NULL: there is no guestagent.conf, or it can't be read … */
    char *unreadable;        /* … for this reason */
    VmBook *book;
} Guests;

/* NULL: nobody is to be asked ([guests] ask). */
Guests *guests_load(const GuestsPlace *place);
void guests_free(Guests *guests);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Guests, guests_free)

/* Starts the other process where some of the sample's guests are to be asked now, or guestagent.conf can't be read,
 * which it tells the log. false: it can't be started. */
bool guests_start_asking(const Guests *guests, const GuestsPlace *place, const Sample *sample, GError **error);

/* The other process's work: asks those that are due of the sample, keeps what came of it, and tells the log of trouble,
 * once an hour. By then it is over, whatever guests and libvirt do. *ret_stuck: leave by _exit. */
#define GUESTS_LIMIT_MS 25000
bool guests_ask(Guests *guests, const GuestsPlace *place, const Sample *sample, bool *ret_stuck, GError **error);
