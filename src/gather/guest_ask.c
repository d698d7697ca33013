/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/guest_ask.h"

/* Any number will do: libvirt has found the place in the agent's answers with one of its own. */
#define SIGN_OF_LIFE "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":83}}"

typedef enum {
    ITEM_WAITING, /* for its turn */
    ITEM_CALLED,  /* for a sign of life */
    ITEM_ASKED,   /* the command */
    ITEM_DONE,    /* answered, failed or given up */
} ItemState;

typedef struct {
    ItemState state;
    char *domain, *command;
    gint64 until; /* monotonic us; when it is given up, of one that is called or asked */
    char *answer;
    GError *error;
} Item;

/* Shared by all threads. It lives until the last of them is back, even if that is long after the asking was over; a
 * thread touches nothing else. */
typedef struct {
    gint references;
    const GuestAgentApi *api;
    char *uri;
    gint64 deadline;               /* monotonic us */
    gint64 patience_us, answer_us; /* how long a sign of life and an answer are waited for; */
    gint64 reserve_us;             /* what has to be left for a command */
    GMutex lock;                   /* for all that follows */
    GCond changed;
    GArray *items;
    guint next;    /* whose turn is next */
    guint threads; /* running */
    GError *error; /* of connecting, the first */
    bool over;     /* answers are no longer wanted */
    bool stuck;    /* a call was given up that is still out */
} Asking;

void guest_question_clear(GuestQuestion *question)
{
    g_clear_pointer(&question->answer, g_free);
    g_clear_error(&question->error);
}

/* --- what threads share --- */

static void clear_item(gpointer data)
{
    Item *item = data;
    g_free(item->domain);
    g_free(item->command);
    g_free(item->answer);
    g_clear_error(&item->error);
}

/* When a wait that begins now is over, monotonic us. */
static gint64 end_of_wait(const Asking *asking, gint64 wait_us)
{
    return MIN(g_get_monotonic_time() + wait_us, asking->deadline);
}

/* What is left until then, as libvirt takes it. */
static int seconds_until(gint64 until)
{
    gint64 left = (until - g_get_monotonic_time() + G_USEC_PER_SEC / 2) / G_USEC_PER_SEC;
    return (int)MAX(left, 1);
}

static Asking *asking_new(const GuestAskOptions *options, const GuestQuestion *questions, guint count)
{
    Asking *asking = g_new0(Asking, 1);
    asking->references = 1;
    asking->api = options->api;
    asking->uri = g_strdup(options->uri);
    asking->deadline = g_get_monotonic_time() + options->deadline_ms * 1000;
    asking->patience_us = options->patience_ms * 1000;
    asking->answer_us = (options->answer_ms ? options->answer_ms : options->deadline_ms) * 1000;
    asking->reserve_us = MAX(options->answer_ms, GUEST_ASK_RESERVE_MS) * 1000;
    g_mutex_init(&asking->lock);
    g_cond_init(&asking->changed);
    asking->items = g_array_sized_new(FALSE, TRUE, sizeof(Item), count);
    g_array_set_clear_func(asking->items, clear_item);
    for (guint i = 0; i < count; i++) {
        Item item = {.domain = g_strdup(questions[i].domain), .command = g_strdup(questions[i].command)};
        g_array_append_val(asking->items, item);
    }
    return asking;
}

static void asking_unref(Asking *asking)
{
    if (!g_atomic_int_dec_and_test(&asking->references))
        return;
    g_array_unref(asking->items);
    g_clear_error(&asking->error);
    g_free(asking->uri);
    g_mutex_clear(&asking->lock);
    g_cond_clear(&asking->changed);
    g_free(asking);
}

static Item *item_at(Asking *asking, guint i)
{
    return &g_array_index(asking->items, Item, i);
}

/* --- a worker --- */

/* With the lock held on entry and return; `state` is what the item is in meanwhile. NULL: *ret_error, owned by the
 * caller. */
static char *call(Asking *asking, GuestAgents *agents, Item *item, ItemState state, GError **ret_error)
{
    const bool sign = state == ITEM_CALLED;
    const char *domain = item->domain; /* these never change, and live as long as the asking */
    const char *command = sign ? SIGN_OF_LIFE : item->command;
    const gint64 until = end_of_wait(asking, sign ? asking->patience_us : asking->answer_us);
    item->state = state;
    item->until = until;
    g_cond_broadcast(&asking->changed); /* a wait has begun that has an end */
    g_mutex_unlock(&asking->lock);
    char *answer = asking->api->command(agents, domain, command, seconds_until(until), ret_error);
    g_mutex_lock(&asking->lock);
    return answer;
}

/* With the lock held. Nothing, where it was given up meanwhile. */
static void settle(Asking *asking, Item *item, ItemState expected, char *answer, GError *error)
{
    if (item->state != expected) {
        g_free(answer);
        g_clear_error(&error);
        return;
    }
    item->state = ITEM_DONE;
    item->answer = answer;
    item->error = error;
    g_cond_broadcast(&asking->changed);
}

static GError *not_asked(void)
{
    return g_error_new(GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_NOT_ASKED, "there was no time left to ask its agent");
}

static bool is_left(const Asking *asking, gint64 wait_us)
{
    return asking->deadline - g_get_monotonic_time() >= wait_us;
}

/* With the lock held. */
static void ask_item(Asking *asking, GuestAgents *agents, Item *item)
{
    GError *error = NULL;
    if (!is_left(asking, asking->patience_us)) {
        settle(asking, item, ITEM_WAITING, NULL, not_asked());
        return;
    }
    g_autofree char *sign = call(asking, agents, item, ITEM_CALLED, &error);
    if (!sign || !item->command) {
        settle(asking, item, ITEM_CALLED, sign ? g_strdup("") : NULL, error);
        return;
    }
    if (item->state == ITEM_CALLED && !is_left(asking, asking->reserve_us))
        settle(asking, item, ITEM_CALLED, NULL, not_asked());
    if (item->state != ITEM_CALLED)
        return;
    char *answer = call(asking, agents, item, ITEM_ASKED, &error);
    settle(asking, item, ITEM_ASKED, answer, error);
}

static gpointer work(gpointer data)
{
    Asking *asking = data;
    GError *error = NULL;
    GuestAgents *agents = asking->api->open(asking->uri, &error);
    g_mutex_lock(&asking->lock);
    while (agents && !asking->over && asking->next < asking->items->len)
        ask_item(asking, agents, item_at(asking, asking->next++));
    if (!agents && asking->error)
        g_error_free(error);
    else if (!agents)
        asking->error = error;
    g_mutex_unlock(&asking->lock);
    if (agents)
        asking->api->close(agents);
    g_mutex_lock(&asking->lock);
    asking->threads--;
    g_cond_broadcast(&asking->changed);
    g_mutex_unlock(&asking->lock);
    asking_unref(asking);
    return NULL;
}

/* With the lock held. */
static void start_workers(Asking *asking, guint wanted)
{
    while (asking->threads < MIN(wanted, asking->items->len)) {
        g_atomic_int_inc(&asking->references);
        GThread *thread = g_thread_try_new("guest-agent", work, asking, NULL);
        if (!thread) {
            asking_unref(asking);
            break;
        }
        asking->threads++;
        g_thread_unref(thread);
    }
    if (!asking->threads)
        g_set_error(&asking->error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT, "cannot start a thread");
}

/* --- waiting for them --- */

/* With the lock held. The error of a question that nobody has answered. */
static GError *reason(const Asking *asking, const Item *item)
{
    if (item->state == ITEM_CALLED)
        return g_error_new(GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_SILENT, "its agent does not answer");
    if (item->state == ITEM_ASKED)
        return g_error_new(GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_SILENT, "its agent has not answered in time");
    if (asking->error)
        return g_error_copy(asking->error);
    if (asking->next == 0)
        return g_error_new(GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT, "cannot connect: no answer in time");
    return not_asked();
}

/* With the lock held. */
static void give_up(Asking *asking, Item *item)
{
    asking->stuck |= item->state == ITEM_CALLED || item->state == ITEM_ASKED;
    settle(asking, item, item->state, NULL, reason(asking, item));
}

/* With the lock held. Gives up guests that have been waited for too long. Returns when that will be so of the next of
 * them, monotonic us, or the deadline. *ret_open: questions that are still under way or to come. */
static gint64 give_up_the_late(Asking *asking, guint *ret_open)
{
    gint64 now = g_get_monotonic_time(), next = asking->deadline;
    *ret_open = 0;
    for (guint i = 0; i < asking->items->len; i++) {
        Item *item = item_at(asking, i);
        bool waits = item->state == ITEM_CALLED || item->state == ITEM_ASKED;
        if (waits && now >= item->until)
            give_up(asking, item);
        else if (waits)
            next = MIN(next, item->until);
        *ret_open += item->state != ITEM_DONE;
    }
    return next;
}

/* With the lock held. */
static void hand_over(Asking *asking, GuestQuestion *questions)
{
    for (guint i = 0; i < asking->items->len; i++) {
        Item *item = item_at(asking, i);
        if (item->state != ITEM_DONE)
            give_up(asking, item);
        questions[i].answer = g_steal_pointer(&item->answer);
        questions[i].error = g_steal_pointer(&item->error);
    }
}

bool guest_ask(const GuestAskOptions *options, GuestQuestion *questions, guint count)
{
    Asking *asking = asking_new(options, questions, count);
    g_mutex_lock(&asking->lock);
    start_workers(asking, options->workers);
    for (;;) {
        guint open;
        gint64 until = give_up_the_late(asking, &open);
        if (!open || !asking->threads || g_get_monotonic_time() >= asking->deadline)
            break;
        g_cond_wait_until(&asking->changed, &asking->lock, until);
    }
    asking->over = true;
    hand_over(asking, questions);
    /* Where none is stuck they are back at once, having closed their connections. */
    while (asking->threads && !asking->stuck && g_cond_wait_until(&asking->changed, &asking->lock, asking->deadline))
        ;
    bool clean = asking->threads == 0;
    g_mutex_unlock(&asking->lock);
    asking_unref(asking);
    return clean;
}
