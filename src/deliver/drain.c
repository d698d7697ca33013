/* SPDX-License-Identifier: Apache-2.0 */
#include "deliver/drain.h"
#include "base/log.h"
#include "deliver/drain_request.h"
#include "deliver/drain_trouble.h"

#include <string.h>

#define NS_PER_MS G_GINT64_CONSTANT(1000000)
#define SAVE_EVERY_NS (1000 * NS_PER_MS) /* while all goes well */
#define BODY_MAX (4 * 1024 * 1024)       /* bytes; one batch may be larger */
#define MEMBERS_MAX 4096
#define LIST_MAX 16384 /* names kept of a queue: for more of them it is looked at again */
#define LOOKS_MAX 16   /* of one drain_next; a second one that finds nothing to send is rare already */
/* Lines refused in a row for no reason that would be theirs, while none was stored: then it is the sink. */
#define UNSURE_MAX 8
#define GROWTH 8 /* a request's limit, after it was halved, grows by this part after so many requests */

struct Drain {
    Spool *spool;
    const SinkSettings *settings;

    Ledger ledger;
    bool unsaved, save_failed;
    gint64 saved_ns;

    GPtrArray *list; /* of SpoolBatch, oldest first; NULL: nobody has looked yet */
    guint at;        /* in the list: what is in no request yet */
    SpoolCount waiting;

    DrainRequest *request; /* NULL: none has begun */
    DrainRequest *ahead;   /* the one behind it; NULL: not prepared */
    guint cap;             /* lines of a request that the sink took or may take; G_MAXUINT: no limit is known */
    guint cap_before;      /* as it was when the request began */
    guint at_cap;          /* requests stored that came near it */
    guint failed_tries;    /* of the top range */
    guint unsure;          /* lines, see UNSURE_MAX */
    char *refusal;         /* why a line of the request was refused: the sink's last words */
    bool hurried;          /* a person waits, see drain_hurry */
    guint hurried_tries;   /* failed in a row since */
    GError *broken;        /* a batch can't be removed: to go on would send it for ever */
};

/* --- the ledger --- */

static void save(Drain *drain, gint64 now_ns)
{
    g_autoptr(GError) error = NULL;
    bool saved = ledger_save(drain->spool, drain->settings->name, &drain->ledger, &error);
    if (!saved && !drain->save_failed)
        log_warning("sink %s: cannot save its counts: %s", drain->settings->name, error->message);
    drain->save_failed = !saved;
    drain->unsaved = false;
    drain->saved_ns = now_ns;
}

/* It costs syncing, so not after each request. */
static void save_now_and_then(Drain *drain, gint64 now_ns)
{
    if (now_ns < drain->saved_ns || now_ns - drain->saved_ns >= SAVE_EVERY_NS)
        save(drain, now_ns);
    else
        drain->unsaved = true;
}

static void note_error(Drain *drain, const char *message, gint64 now_ns)
{
    g_autofree char *text = log_quote(message, strlen(message), LEDGER_ERROR_MAX);
    g_strlcpy(drain->ledger.last_error, text, sizeof drain->ledger.last_error);
    drain->ledger.last_error_ns = now_ns;
}

/* --- the queue --- */

static guint64 less(guint64 from, guint64 amount)
{
    return from - MIN(from, amount);
}

static bool look(Drain *drain, GError **error)
{
    SpoolWaiting waiting;
    GPtrArray *list = spool_list_oldest(drain->spool, drain->settings->name, LIST_MAX, &waiting, error);
    if (!list)
        return false;
    drain->waiting = waiting.count;
    g_clear_pointer(&drain->list, g_ptr_array_unref);
    drain->list = list;
    drain->at = 0;
    return true;
}

static const SpoolBatch *next_batch(const Drain *drain)
{
    return drain->list && drain->at < drain->list->len ? g_ptr_array_index(drain->list, drain->at) : NULL;
}

/* --- requests --- */

static bool has_room(const Drain *drain, const DrainRequest *request, const SpoolBatch *batch)
{
    if (request->members->len == 0)
        return true;
    const DrainMember *last = &g_array_index(request->members, DrainMember, request->members->len - 1);
    gsize more = drain->settings->gzip ? batch->bytes : request->last_length;
    return request->members->len < MEMBERS_MAX && drain_request_fits(request, batch) &&
           request->body->len + more <= BODY_MAX && request->lines + last->lines / 2 < drain->settings->lines &&
           request->lines + last->lines <= drain->cap;
}

/* Damaged batches, that were set aside meanwhile. */
static void count_spoilt(Drain *drain, DrainRequest *request)
{
    if (request->spoilt.batches == 0)
        return;
    drain->ledger.bad_batches += request->spoilt.batches;
    request->spoilt = (SpoolCount){0};
    save(drain, drain->saved_ns);
}

/* The next batches of the list, of which there is at least one. */
static DrainRequest *take_request(Drain *drain, GError **error)
{
    g_autoptr(DrainRequest) request = drain_request_new(drain->spool, drain->settings);
    const SpoolBatch *batch;
    bool added = true;
    while (added && (batch = next_batch(drain)) && has_room(drain, request, batch)) {
        added = drain_request_add(request, batch, error);
        drain->at++;
    }
    drain_request_close(request);
    count_spoilt(drain, request);
    if (added)
        return g_steal_pointer(&request);
    g_clear_pointer(&drain->list, g_ptr_array_unref); /* those of the request are to be found again */
    return NULL;
}

static bool begin_request(Drain *drain, GError **error)
{
    drain->cap_before = drain->cap;
    drain->request = drain->ahead ? g_steal_pointer(&drain->ahead) : take_request(drain, error);
    return drain->request;
}

void drain_prepare(Drain *drain)
{
    if (drain->request && !drain->ahead && next_batch(drain))
        drain->ahead = take_request(drain, NULL);
}

/* All of its lines are stored or refused. What is in bad/ has to be counted before the batches are gone. */
static void end_request(Drain *drain, gint64 now_ns)
{
    DrainOutcome outcome = drain_request_settle(drain->request);
    SpoolCount removed;
    count_spoilt(drain, drain->request);
    drain->ledger.sent_batches += outcome.batches;
    drain->ledger.sent_lines += outcome.lines;
    drain->ledger.sent_bytes += outcome.bytes;
    drain->ledger.rejected_lines += outcome.rejected;
    if (outcome.rejected > 0) {
        drain_trouble_rejected(&drain->ledger, drain->settings, outcome.rejected,
                               drain->refusal ? drain->refusal : drain->request->invalid_reason, now_ns);
        save(drain, now_ns);
    }
    drain_request_remove(drain->request, &removed, drain->broken ? NULL : &drain->broken);
    drain->waiting.batches = less(drain->waiting.batches, removed.batches);
    drain->waiting.bytes = less(drain->waiting.bytes, removed.bytes);
    g_clear_pointer(&drain->request, drain_request_free);
    g_clear_pointer(&drain->refusal, g_free);
    save_now_and_then(drain, now_ns);
}

/* The body of the request's next lines. *ret_ready false: there are none, the request has ended. */
static bool make_body(Drain *drain, gint64 now_ns, bool *ret_ready, GError **error)
{
    DrainRequest *request = drain->request;
    const DrainRange *range;
    *ret_ready = false;
    while ((range = drain_ranges_top(request->ranges))) {
        if (range->count > drain->cap) {
            drain_request_drop_body(request);
            drain_ranges_split(request->ranges, drain_request_cut(request, drain->cap));
            continue;
        }
        bool made = drain_request_make_body(request, error);
        count_spoilt(drain, request);
        *ret_ready = made && request->body_lines > 0;
        if (!made || *ret_ready)
            return made;
        drain_request_drop_body(request);
        drain_ranges_pop(request->ranges);
    }
    end_request(drain, now_ns);
    return true;
}

/* --- the next step --- */

gint64 drain_due_ns(const Ledger *ledger, gint64 now_ns)
{
    gint64 retry_at_ns = ledger->retry_at_ns;
    return retry_at_ns <= now_ns || retry_at_ns - now_ns > DRAIN_ASKED_MAX_MS * NS_PER_MS ? 0 : retry_at_ns;
}

static DrainStep step(Drain *drain, gint64 now_ns, GError **error)
{
    for (guint looks = 0;;) {
        bool ready;
        if (drain->broken) {
            g_propagate_error(error, g_error_copy(drain->broken));
            return DRAIN_STOP;
        }
        if (!drain->request && !drain->ahead && !next_batch(drain)) {
            if (++looks > LOOKS_MAX)
                return DRAIN_WAIT; /* for nothing: others have their turn */
            if (!look(drain, error))
                return DRAIN_STOP;
            if (!next_batch(drain))
                return DRAIN_DONE;
        }
        drain->ledger.retry_at_ns = drain_due_ns(&drain->ledger, now_ns);
        if (drain->ledger.retry_at_ns > 0)
            return DRAIN_WAIT;
        if (!drain->request && !begin_request(drain, error))
            return DRAIN_STOP;
        if (!make_body(drain, now_ns, &ready, error))
            return DRAIN_STOP;
        if (ready)
            return DRAIN_SEND;
    }
}

DrainStep drain_next(Drain *drain, gint64 now_ns, DrainBody *ret_body, GError **error)
{
    DrainStep next = step(drain, now_ns, error);
    if (next == DRAIN_SEND) {
        const DrainRequest *request = drain->request;
        *ret_body = (DrainBody){.data = request->body->str,
                                .length = request->body->len,
                                .lines = request->body_lines,
                                .via = request->via};
    } else if (next == DRAIN_DONE && drain->unsaved) {
        save(drain, now_ns);
    }
    return next;
}

/* --- answers --- */

gint64 drain_backoff_ms(AnswerKind kind, guint failures, gint64 asked_ms, double random)
{
    gint64 wait = kind == ANSWER_DENIED ? DRAIN_DENIED_MS : DRAIN_BACKOFF_MS;
    for (guint i = 1; i < failures && wait < DRAIN_BACKOFF_MAX_MS; i++)
        wait *= 2;
    wait = MIN(wait, DRAIN_BACKOFF_MAX_MS);
    gint64 half = wait / 2;
    wait = half + (gint64)((double)(wait - half) * (random > 0 ? MIN(random, 1.0) : 0.0));
    return MAX(wait, MIN(asked_ms, DRAIN_ASKED_MAX_MS));
}

/* Whoever waits for it is not made to wait long, whatever came before; a sink that needs a person, or that asks for
 * more, is left in peace for as long as ever. */
static gint64 wait_of(Drain *drain, AnswerKind kind, guint tries, gint64 asked_ms, double random)
{
    if (!drain->hurried || kind == ANSWER_DENIED)
        return drain_backoff_ms(kind, tries > 0 ? tries : drain->ledger.failures, asked_ms, random);
    drain->hurried_tries++;
    gint64 wait_ms = drain_backoff_ms(kind, tries > 0 ? tries : drain->hurried_tries, -1, random);
    return MAX(MIN(wait_ms, DRAIN_HURRIED_MAX_MS), MIN(asked_ms, DRAIN_ASKED_MAX_MS));
}

/* The same lines again, later, as after that many failures; 0: as many as there were. */
static void postpone_after(Drain *drain, AnswerKind kind, guint tries, const Answer *answer, gint64 now_ns,
                           double random)
{
    Ledger *ledger = &drain->ledger;
    if (ledger->failures < G_MAXUINT)
        ledger->failures++;
    ledger->retried++;
    gint64 wait_ms = wait_of(drain, kind, tries, answer->wait_ms, random);
    ledger->retry_at_ns = now_ns + wait_ms * NS_PER_MS;
    note_error(drain, answer->message, now_ns);
    Answer told = *answer;
    told.kind = kind;
    if (drain->ahead)
        drain_request_drop_body(drain->ahead); /* not kept over a wait, as its own is not */
    drain_trouble_goes_on(ledger, drain->settings, &told, wait_ms, drain->waiting.batches, now_ns);
    save(drain, now_ns);
}

static void postpone(Drain *drain, AnswerKind kind, const Answer *answer, gint64 now_ns, double random)
{
    postpone_after(drain, kind, 0, answer, now_ns, random);
}

/* Lines that were refused while the sink perhaps refused everything get a second chance now. */
static void retry_doubtful(DrainRequest *request)
{
    for (guint i = request->doubtful->len; i-- > 0;)
        drain_ranges_push_line(request->ranges, g_array_index(request->doubtful, guint, i), true);
    g_array_set_size(request->doubtful, 0);
}

/* Something of the body was stored: the sink works. */
static void accept(Drain *drain, gint64 now_ns)
{
    guint lines = drain->request->body_lines;
    drain->ledger.last_success_ns = now_ns;
    drain->unsure = 0;
    drain->request->probed = false;
    if (drain->cap < G_MAXUINT / 2 && lines >= drain->cap / 2 && ++drain->at_cap % GROWTH == 0)
        drain->cap += drain->cap / GROWTH + 1;
    retry_doubtful(drain->request);
    if (drain->ledger.failures > 0) {
        drain->ledger.failures = 0;
        drain->hurried_tries = 0;
        drain_trouble_is_over(&drain->ledger, drain->settings, drain->waiting.batches, now_ns);
        save(drain, now_ns);
    }
}

static void note_refusal(Drain *drain, const Answer *answer, gint64 now_ns)
{
    g_free(drain->refusal);
    drain->refusal = g_strdup(answer->message);
    note_error(drain, answer->message, now_ns);
}

/* The good lines are stored. One that is blamed by a number which is none of the body's counts as refused too. */
static void take_partial(Drain *drain, const Answer *answer, gint64 now_ns)
{
    DrainRequest *request = drain->request;
    g_autoptr(GArray) named = drain_request_named(request, answer);
    guint64 told = MAX(answer->dropped, (guint64)answer->lines->len + answer->texts->len);
    guint64 dropped = MIN(told, request->body_lines);
    g_array_append_vals(request->refused, named->data, named->len);
    request->unnamed += less(dropped, named->len);
    drain_ranges_pop(request->ranges);
    note_refusal(drain, answer, now_ns);
    accept(drain, now_ns);
}

/* One line was refused. false: so many were, for no reason of their own, that it must be the sink. Before that is said
 * a line is tried that the sink has stored already; or the very last one, which is likely of another kind. */
static bool refuse_line(Drain *drain, bool of_lines)
{
    DrainRequest *request = drain->request;
    drain->unsure = of_lines ? 0 : drain->unsure + 1;
    bool suspicious = drain->unsure >= UNSURE_MAX, has_stored = request->accepted != G_MAXUINT;
    if (suspicious && (request->probed || (!has_stored && request->ranges->len == 1)))
        return false;
    const DrainRange *range = drain_ranges_top(request->ranges);
    g_array_append_val(of_lines || range->again ? request->refused : request->doubtful, range->first);
    drain_ranges_pop(request->ranges);
    if (suspicious) {
        guint line = has_stored ? request->accepted : drain_ranges_take_last(request->ranges);
        drain_ranges_push_line(request->ranges, line, false);
        request->probed = true;
    }
    return true;
}

/* Some line of the body is refused, or all are: smaller pieces will tell. */
static void isolate(Drain *drain, const Answer *answer, gint64 now_ns, double random)
{
    DrainRequest *request = drain->request;
    const DrainRange *range = drain_ranges_top(request->ranges);
    note_refusal(drain, answer, now_ns);
    if (range->count == 1) {
        if (refuse_line(drain, answer->of_lines && answer->kind != ANSWER_TOO_LARGE))
            return;
        drain_request_restart(request);
        postpone(drain, ANSWER_DENIED, answer, now_ns, random);
        return;
    }
    g_autoptr(GArray) named = drain_request_named(request, answer);
    if (named->len > 0 && !request->misled)
        drain_ranges_isolate(request->ranges, named);
    else
        drain_ranges_split(request->ranges, drain_request_cut(request, range->count / 2));
}

/* Where it comes down to one line, that line was the reason and not their number. */
static void shrink(Drain *drain, const Answer *answer, gint64 now_ns, double random)
{
    guint lines = drain_ranges_top(drain->request->ranges)->count;
    drain->cap = lines == 1 ? drain->cap_before : MIN(drain->cap, lines / 2);
    isolate(drain, answer, now_ns, random);
}

/* A part of lines that failed often enough is tried once; a single line, before it is given up, as often again. The
 * waits between are short even after a long outage: only a process that lives to see the last try can tell. */
static void take_failure(Drain *drain, const Answer *answer, gint64 now_ns, double random)
{
    DrainRange *range = drain_ranges_top(drain->request->ranges);
    drain->failed_tries++;
    if (drain->failed_tries < ANSWER_FAILED_TRIES && !(range->failed && range->count > 1)) {
        postpone_after(drain, ANSWER_BUSY, drain->failed_tries, answer, now_ns, random);
        return;
    }
    drain->failed_tries = 0;
    range->failed = true;
    isolate(drain, answer, now_ns, random);
}

static void take_answer(Drain *drain, const Answer *answer, gint64 now_ns, double random)
{
    DrainRequest *request = drain->request;
    if (answer->kind != ANSWER_FAILED)
        drain->failed_tries = 0;
    drain->ledger.retry_at_ns = 0;
    switch (answer->kind) {
    case ANSWER_STORED:
        request->misled = request->misled || drain_ranges_top(request->ranges)->named;
        request->accepted = drain_ranges_top(request->ranges)->first;
        drain_ranges_pop(request->ranges);
        accept(drain, now_ns);
        return;
    case ANSWER_PARTIAL:
        take_partial(drain, answer, now_ns);
        return;
    case ANSWER_REFUSED:
        isolate(drain, answer, now_ns, random);
        return;
    case ANSWER_TOO_LARGE:
        shrink(drain, answer, now_ns, random);
        return;
    case ANSWER_FAILED:
        take_failure(drain, answer, now_ns, random);
        return;
    case ANSWER_DENIED:
    case ANSWER_BUSY:
        postpone(drain, answer->kind, answer, now_ns, random);
        return;
    }
}

void drain_answered(Drain *drain, const Answer *answer, gint64 now_ns, double random)
{
    DrainRequest *request = drain->request;
    g_return_if_fail(request && request->body && request->ranges->len > 0);
    take_answer(drain, answer, now_ns, random);
    drain_request_drop_body(request);
    if (request->ranges->len == 0)
        end_request(drain, now_ns);
}

/* --- the drain --- */

Drain *drain_new(Spool *spool, const SinkSettings *settings)
{
    bool damaged;
    Drain *drain = g_new(Drain, 1);
    *drain = (Drain){.spool = spool, .settings = settings, .cap = G_MAXUINT};
    ledger_load(spool, settings->name, &drain->ledger, &damaged);
    if (damaged)
        log_warning("sink %s: its counts are damaged and begin anew", settings->name);
    /* The lines that failed in an earlier process are the first of this one. */
    drain->failed_tries = MIN(drain->ledger.failures, ANSWER_FAILED_TRIES - 1);
    return drain;
}

void drain_save(Drain *drain)
{
    if (drain->unsaved)
        save(drain, drain->saved_ns);
}

void drain_free(Drain *drain)
{
    if (!drain)
        return;
    drain_save(drain);
    g_clear_pointer(&drain->request, drain_request_free);
    g_clear_pointer(&drain->ahead, drain_request_free);
    g_clear_pointer(&drain->list, g_ptr_array_unref);
    g_clear_error(&drain->broken);
    g_free(drain->refusal);
    g_free(drain);
}

gint64 drain_retry_at(const Drain *drain)
{
    return drain->ledger.retry_at_ns;
}

bool drain_needs_help(const Drain *drain)
{
    return drain->ledger.trouble == LEDGER_TROUBLE_DENIED;
}

void drain_hurry(Drain *drain)
{
    drain->ledger.retry_at_ns = 0;
    drain->hurried = true;
}

bool drain_is_in_parts(const Drain *drain)
{
    const DrainRange *range = drain->request ? drain_ranges_top(drain->request->ranges) : NULL;
    return range && range->count < drain->request->lines;
}

const Ledger *drain_ledger(const Drain *drain)
{
    return &drain->ledger;
}

SpoolCount drain_waiting(Drain *drain)
{
    if (!drain->list)
        look(drain, NULL);
    return drain->waiting;
}
