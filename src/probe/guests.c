/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/guests.h"

#include "base/file.h"
#include "deliver/start.h"
#include "probe/aside.h"
#include "probe/guest_asking.h"

#include <unistd.h>

#define LOCK_FILE "guests.lock"
#define BOOK "guests"
#define SUBJECT "guests' agents" /* in the log */

G_DEFINE_QUARK(one_telemetry_guests, guests_error)

Guests *guests_load(const GuestsPlace *place)
{
    if (!config_integer(place->config, CONFIG_guests_ask))
        return NULL;
    g_autoptr(GError) error = NULL;
    Guests *guests = g_new0(Guests, 1);
    guests->commands = guest_commands_read(place->program, &error);
    guests->unreadable = error ? g_strdup(error->message) : NULL;
    guests->book = aside_load_book(place->state_dir, BOOK, place->state_name);
    return guests;
}

void guests_free(Guests *guests)
{
    if (!guests)
        return;
    guest_commands_free(guests->commands);
    g_free(guests->unreadable);
    vm_book_free(guests->book);
    g_free(guests);
}

static void tell_of_unreadable(const Guests *guests, const GuestsPlace *place)
{
    FILE_AUTO_CLOSE int lock = aside_lock(place->state_dir, LOCK_FILE);
    if (lock >= 0)
        aside_report(lock, SUBJECT, guests->unreadable);
}

bool guests_start_asking(const Guests *guests, const GuestsPlace *place, const Sample *sample, GError **error)
{
    const char *const words[] = {"--ask-guests",
                                 "--uri",
                                 place->uri,
                                 "--state-dir",
                                 place->state_dir,
                                 "kvm",
                                 place->host_id,
                                 place->host,
                                 place->config_file ? "--config" : NULL,
                                 place->config_file,
                                 NULL};
    const gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    if (guests->unreadable)
        tell_of_unreadable(guests, place);
    if (!place->program || !guest_asking_is_due(sample, guests->book, guests->commands, now_s))
        return true;
    return start_detached(place->program, words, error);
}

/* What is wrong with guestagent.conf; NULL: nothing. Owned by the caller. */
static char *trouble_of(const Guests *guests)
{
    if (guests->commands && guests->commands->problems->len > 0)
        return g_strconcat("guestagent.conf: ", g_ptr_array_index(guests->commands->problems, 0), NULL);
    return g_strdup(guests->unreadable);
}

bool guests_ask(Guests *guests, const GuestsPlace *place, const Sample *sample, bool *ret_stuck, GError **error)
{
    g_autoptr(GError) reason = NULL;
    FILE_AUTO_CLOSE int lock = aside_lock(place->state_dir, LOCK_FILE);
    if (lock < 0) {
        g_set_error(error, GUESTS_ERROR, GUESTS_ERROR_BUSY, "%s: another process asks the guests, or it is not ours",
                    place->state_dir);
        return false;
    }
    const GuestAskingOptions options = {.api = &guest_agent_api,
                                        .uri = place->uri,
                                        .commands = guests->commands,
                                        .interval_s = config_integer(place->config, CONFIG_guests_interval),
                                        .limit_ms = GUESTS_LIMIT_MS};
    const gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    bool asked = guest_asking_run(sample, guests->book, &options, now_s, ret_stuck, &reason);
    bool done = asked && aside_save_book(guests->book, place->state_dir, BOOK, place->state_name, &reason);
    g_autofree char *trouble = done ? trouble_of(guests) : g_strdup(reason->message);
    aside_report(lock, SUBJECT, trouble);
    if (!done)
        g_set_error_literal(error, GUESTS_ERROR, asked ? GUESTS_ERROR_STATE : GUESTS_ERROR_LIBVIRT, reason->message);
    return done;
}
