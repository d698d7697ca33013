/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/guests.h"

#include "base/file.h"
#include "deliver/start.h"
#include "probe/aside.h"
#include "probe/guest_asking.h"

#include <fcntl.h>
#include <unistd.h>

#define LOCK_FILE "guests.lock"

G_DEFINE_QUARK(one_telemetry_guests, guests_error)

/* Beside the state file. Owned by the caller. */
static char *book_name(const char *state_name)
{
    return g_strconcat("guests-", state_name, NULL);
}

/* An empty one where there is none, or it is damaged: all guests are asked anew then. */
static GuestBook *load_book(const GuestsPlace *place)
{
    g_autofree char *name = book_name(place->state_name), *text = NULL;
    gsize length;
    FILE_AUTO_CLOSE int dir = file_open_private_dir_at(AT_FDCWD, place->state_dir, NULL);
    GuestBook *book = NULL;
    if (dir >= 0 && file_read_private(dir, name, GUEST_BOOK_FILE_MAX, &text, &length, NULL))
        book = guest_book_read(text, length);
    return book ? book : guest_book_new();
}

static bool save_book(const GuestBook *book, const GuestsPlace *place, GError **error)
{
    g_autofree char *name = book_name(place->state_name);
    g_autoptr(GString) text = g_string_new(NULL);
    FILE_AUTO_CLOSE int dir = file_open_private_dir(place->state_dir, error);
    if (dir < 0)
        return false;
    guest_book_write(book, text);
    return file_write_private(dir, name, text->str, text->len, error);
}

Guests *guests_load(const GuestsPlace *place)
{
    if (!config_integer(place->config, CONFIG_guests_ask))
        return NULL;
    g_autoptr(GError) error = NULL;
    Guests *guests = g_new0(Guests, 1);
    guests->commands = guest_commands_read(place->program, &error);
    guests->unreadable = error ? g_strdup(error->message) : NULL; /* who asks tells the log of it */
    guests->book = load_book(place);
    return guests;
}

void guests_free(Guests *guests)
{
    if (!guests)
        return;
    guest_commands_free(guests->commands);
    g_free(guests->unreadable);
    guest_book_free(guests->book);
    g_free(guests);
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
    bool wanted = guests->unreadable || guest_asking_is_due(sample, guests->book, guests->commands, now_s);
    if (!place->program || !wanted)
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
    /* A tenth less, so that a cycle that comes a little early finds them due. */
    const gint64 interval_s = config_integer(place->config, CONFIG_guests_interval);
    const GuestAskingOptions options = {.api = &guest_agent_api,
                                        .uri = place->uri,
                                        .commands = guests->commands,
                                        .interval_s = interval_s - MAX(interval_s / 10, 1),
                                        .limit_ms = GUESTS_LIMIT_MS};
    const gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    bool asked = guest_asking_run(sample, guests->book, &options, now_s, ret_stuck, &reason);
    bool done = asked && save_book(guests->book, place, &reason);
    g_autofree char *trouble = done ? trouble_of(guests) : g_strdup(reason->message);
    aside_report(lock, "guests' agents", trouble);
    if (!done)
        g_set_error_literal(error, GUESTS_ERROR, asked ? GUESTS_ERROR_STATE : GUESTS_ERROR_LIBVIRT, reason->message);
    return done;
}
