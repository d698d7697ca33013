/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/guest_asking.h"

#include "base/text.h"
#include "gather/guest_answer.h"
#include "gather/guest_ask.h"
#include "gather/guest_exec.h"
#include "probe/guest_filter.h"

#include <string.h>

#define PATIENCE_MS 3000    /* for an agent's first sign of life */
#define ANSWER_MS 3000      /* for its answer to a command */
#define GPU_ROUNDS 10       /* looks at nvidia-smi's end … */
#define GPU_PAUSE_US 250000 /* … and between them */
#define OS_COMMAND "{\"execute\":\"guest-get-osinfo\"}"
#define ADDRESSES_COMMAND "{\"execute\":\"guest-network-get-interfaces\"}"
#define GPU_COMMAND                                                                                                    \
    "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"nvidia-smi\",\"arg\":[\"--query-gpu=" GPU_QUERY             \
    "\",\"--format=csv,noheader,nounits\"],\"capture-output\":true}}"

enum { STATE_RUNNING = 1, STATE_BLOCKED = 2 }; /* as libvirt numbers them */

typedef enum {
    AGENT_UNKNOWN, /* it was not asked, or nothing came of that which is its fault */
    AGENT_ANSWERS,
    AGENT_SILENT,  /* not at all, or it, or what stands behind a |, has taken too long */
    AGENT_MISSING, /* the guest has none */
} AgentState;

typedef struct {
    const VmSample *vm;
    VmEntry *entry;
    AgentState agent;
    GError *error;   /* of its silence */
    bool cut_short;  /* there was no time to ask it everything */
    bool addressed;  /* it was asked for its addresses; it need not have any */
    GPtrArray *keys; /* that came of it, of char*, and their values by turns */
    gint64 pid;      /* nvidia-smi's in the guest; -1: none, or it has ended */
} Guest;

typedef struct {
    const GuestAskingOptions *options;
    GArray *guests;      /* of Guest, those first that have waited longest */
    gint64 now_s, until; /* monotonic us */
    bool stuck;
    GError *error; /* libvirt can't be asked */
} Asking;

/* --- who --- */

static bool has_gpu(const VmSample *vm)
{
    return gpu_is_among(row_text(vm->row, METRIC_VM_PCI_DEVICES));
}

static bool is_wanted(const VmSample *vm, const GuestCommands *commands)
{
    return (commands && commands->enabled) || has_gpu(vm);
}

static bool is_asked(const VmSample *vm, const GuestCommands *commands)
{
    guint64 state = row_u64(vm->row, METRIC_VM_STATE);
    return is_wanted(vm, commands) && (state == STATE_RUNNING || state == STATE_BLOCKED);
}

bool guest_asking_is_due(const Sample *sample, const VmBook *book, const GuestCommands *commands, gint64 now_s)
{
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        if (is_asked(vm, commands) && vm_entry_is_due(vm_book_find(book, vm->vm_id, vm->domain_id), now_s))
            return true;
    }
    return false;
}

/* --- what comes of asking --- */

static bool is_enabled(const Asking *asking)
{
    return asking->options->commands && asking->options->commands->enabled;
}

static gint64 ms_left(const Asking *asking)
{
    return MAX((asking->until - g_get_monotonic_time()) / 1000, 0);
}

static void fall_silent(Guest *guest, const GError *error)
{
    guest->agent = AGENT_SILENT;
    g_clear_error(&guest->error);
    guest->error = g_error_copy(error);
}

/* What an error of a command, or NULL, says of the guest: a silent one is asked nothing more. */
static void judge(Guest *guest, const GError *error)
{
    if (g_error_matches(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_SILENT))
        fall_silent(guest, error);
    else if (g_error_matches(error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_NOT_ASKED))
        guest->cut_short = true;
}

static bool was_asked(const GuestQuestion *question)
{
    return !g_error_matches(question->error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_NOT_ASKED);
}

static void add_key(Guest *guest, const char *key, const char *value)
{
    g_ptr_array_add(guest->keys, g_strdup(key));
    g_ptr_array_add(guest->keys, g_strdup(value));
}

/* NULL: it has none. */
static const char *find_key(const Guest *guest, const char *key)
{
    for (guint i = 0; i < guest->keys->len; i += 2)
        if (strcmp(g_ptr_array_index(guest->keys, i), key) == 0)
            return g_ptr_array_index(guest->keys, i + 1);
    return NULL;
}

static void add_error(Guest *guest, const char *key, const GError *error)
{
    g_autofree char *text = g_strconcat("error: ", error->message, NULL);
    add_key(guest, key, text);
}

static bool is_for(const GuestCommand *command, const Guest *guest)
{
    for (GuestAttribute a = 0; a < N_GUEST_ATTRIBUTES; a++) {
        const char *value = command->only[a] ? find_key(guest, guest_attribute_keys[a]) : NULL;
        if (command->only[a] && (!value || !g_strv_contains((const char *const *)command->only[a], value)))
            return false;
    }
    return command->os == GUEST_OS_UNKNOWN ||
           command->os == guest_os_of_type(find_key(guest, guest_attribute_keys[GUEST_TYPE]));
}

static bool is_addresses(const char *key)
{
    return strcmp(key, GUEST_ADDRESSES_KEY) == 0;
}

/* Into the book. One of which nothing is known stays as it was, and due; one that was cut short has the answers that
 * came, and is due, too. */
static void conclude(const Asking *asking, Guest *guest)
{
    const GuestCommands *commands = asking->options->commands;
    const bool missing = guest->agent == AGENT_MISSING, failed = missing || guest->agent == AGENT_SILENT;
    if (guest->agent == AGENT_UNKNOWN)
        return;
    for (guint i = 0; failed && is_enabled(asking) && i < commands->commands->len; i++) {
        const GuestCommand *command = g_ptr_array_index(commands->commands, i);
        if (is_for(command, guest) && !find_key(guest, command->key))
            add_error(guest, command->key, guest->error);
    }
    if (failed || !guest->cut_short)
        vm_entry_clear(guest->entry, NULL);
    else if (guest->addressed)
        vm_entry_clear(guest->entry, is_addresses);
    for (guint i = 0; i < guest->keys->len; i += 2)
        vm_entry_set(guest->entry, g_ptr_array_index(guest->keys, i), g_ptr_array_index(guest->keys, i + 1),
                     VM_ANSWER_STAYS);
    if (failed)
        vm_entry_fail(guest->entry, asking->now_s, missing ? VM_BOOK_WAIT_MAX_S : 0, VM_BOOK_WAIT_MAX_S);
    else if (!guest->cut_short)
        vm_entry_succeed(guest->entry, asking->now_s, asking->options->interval_s);
}

/* --- a round: one question to each of some guests --- */

/* The question, JSON, owned by the caller; *ret_skip: this guest is not asked. NULL: only whether it is there. */
typedef char *(*QuestionOf)(const Asking *asking, const Guest *guest, const void *data, bool *ret_skip);
/* `question` has an answer or an error. */
typedef void (*TakeAnswer)(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question);

static void ask_round(Asking *asking, QuestionOf question_of, TakeAnswer take, const void *data)
{
    g_autofree GuestQuestion *questions = g_new0(GuestQuestion, asking->guests->len);
    g_autofree Guest **asked = g_new0(Guest *, asking->guests->len);
    g_autoptr(GPtrArray) commands = g_ptr_array_new_with_free_func(g_free);
    guint count = 0;
    for (guint i = 0; i < asking->guests->len && !asking->error; i++) {
        Guest *guest = &g_array_index(asking->guests, Guest, i);
        bool skip = false;
        char *command = question_of(asking, guest, data, &skip);
        if (skip)
            continue;
        g_ptr_array_add(commands, command);
        questions[count] = (GuestQuestion){.domain = guest->vm->name, .command = command};
        asked[count++] = guest;
    }
    if (!count)
        return;
    const GuestAskOptions options = {.api = asking->options->api,
                                     .uri = asking->options->uri,
                                     .deadline_ms = ms_left(asking),
                                     .patience_ms = PATIENCE_MS,
                                     .answer_ms = ANSWER_MS,
                                     .workers = GUEST_ASK_WORKERS};
    asking->stuck |= !guest_ask(&options, questions, count);
    for (guint i = 0; i < count; i++) {
        if (g_error_matches(questions[i].error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LIBVIRT) && !asking->error)
            asking->error = g_error_copy(questions[i].error);
        take(asking, asked[i], data, &questions[i]);
        guest_question_clear(&questions[i]);
    }
}

/* --- whether it is there, and what it runs --- */

static char *first_question(const Asking *asking, const Guest *guest, const void *data, bool *ret_skip)
{
    (void)data;
    (void)ret_skip;
    bool known = guest->entry->failures == 0 && vm_entry_get(guest->entry, guest_attribute_keys[GUEST_TYPE]);
    return is_enabled(asking) && !known ? g_strdup(OS_COMMAND) : NULL;
}

static void take_os(Guest *guest, const char *answer)
{
    char *values[N_GUEST_ATTRIBUTES];
    guest_answer_attributes(answer, strlen(answer), values);
    if (values[GUEST_TYPE])
        vm_entry_clear(guest->entry, guest_key_is_attribute); /* what was so before need not have a successor */
    for (GuestAttribute a = 0; a < N_GUEST_ATTRIBUTES; a++) {
        if (values[a])
            add_key(guest, guest_attribute_keys[a], values[a]);
        g_free(values[a]);
    }
}

static void take_first(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question)
{
    (void)asking;
    (void)data;
    if (question->answer && *question->answer)
        take_os(guest, question->answer);
    if (!question->error || g_error_matches(question->error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_REFUSED) ||
        g_error_matches(question->error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_LOST))
        guest->agent = AGENT_ANSWERS;
    judge(guest, question->error);
    if (g_error_matches(question->error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_NO_AGENT)) {
        fall_silent(guest, question->error);
        guest->agent = AGENT_MISSING;
    }
}

/* Of a guest that was not asked now, or did not answer that, what it runs as it said before. */
static void recall_os(Guest *guest)
{
    if (find_key(guest, guest_attribute_keys[GUEST_TYPE]))
        return;
    for (GuestAttribute a = 0; a < N_GUEST_ATTRIBUTES; a++) {
        const char *value = vm_entry_get(guest->entry, guest_attribute_keys[a]);
        if (value)
            add_key(guest, guest_attribute_keys[a], value);
    }
}

/* --- its addresses --- */

static char *addresses_question(const Asking *asking, const Guest *guest, const void *data, bool *ret_skip)
{
    (void)data;
    *ret_skip = guest->agent != AGENT_ANSWERS || !is_enabled(asking);
    return *ret_skip ? NULL : g_strdup(ADDRESSES_COMMAND);
}

/* One that refuses to tell has no such key. */
static void take_addresses(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question)
{
    (void)asking;
    (void)data;
    judge(guest, question->error);
    guest->addressed = was_asked(question);
    g_autofree char *value =
        question->answer ? guest_answer_addresses(question->answer, strlen(question->answer)) : NULL;
    if (value)
        add_key(guest, GUEST_ADDRESSES_KEY, value);
}

/* --- guestagent.conf's --- */

static char *listed_question(const Asking *asking, const Guest *guest, const void *data, bool *ret_skip)
{
    (void)asking;
    const GuestCommand *command = data;
    *ret_skip = guest->agent != AGENT_ANSWERS || !is_for(command, guest);
    return *ret_skip ? NULL : guest_command_for(command->command, guest->vm->vm_id);
}

/* What the shell makes of the answer; NULL: *error, and where it took too long the guest is as one that is silent. What
 * it takes is lost for all guests, and depends on the answer. */
static char *filtered(const GuestCommand *command, Guest *guest, const char *answer, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autofree char *filter = guest_command_for(command->filter, guest->vm->vm_id);
    char *made = guest_filter_run(filter, answer, GUEST_FILTER_MS, &reason);
    if (g_error_matches(reason, GUEST_FILTER_ERROR, GUEST_FILTER_ERROR_TIME))
        fall_silent(guest, reason);
    if (reason)
        g_propagate_error(error, g_steal_pointer(&reason));
    return made;
}

static void take_answer(const GuestCommand *command, Guest *guest, const char *answer)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *made = command->filter ? filtered(command, guest, answer, &error) : g_strdup(answer);
    g_autofree char *value = made ? guest_answer_value(made, strlen(made)) : NULL;
    if (value)
        add_key(guest, command->key, value);
    else if (error)
        add_error(guest, command->key, error);
}

static void take_listed(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question)
{
    const GuestCommand *command = data;
    judge(guest, question->error);
    if (question->answer && command->filter && ms_left(asking) < GUEST_FILTER_MS)
        guest->cut_short = true;
    else if (question->answer)
        take_answer(command, guest, question->answer);
    else if (was_asked(question))
        add_error(guest, command->key, question->error);
}

/* --- GPUs --- */

static char *gpu_question(const Asking *asking, const Guest *guest, const void *data, bool *ret_skip)
{
    (void)asking;
    (void)data;
    *ret_skip = guest->agent != AGENT_ANSWERS || !has_gpu(guest->vm);
    return *ret_skip ? NULL : g_strdup(GPU_COMMAND);
}

static void take_pid(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question)
{
    (void)asking;
    (void)data;
    judge(guest, question->error);
    if (question->answer)
        guest->pid = guest_answer_pid(question->answer, strlen(question->answer));
}

static char *status_question(const Asking *asking, const Guest *guest, const void *data, bool *ret_skip)
{
    (void)asking;
    (void)data;
    *ret_skip = guest->pid < 0;
    return *ret_skip ? NULL : guest_exec_status_command(guest->pid);
}

static void add_figure(Guest *guest, const char *key, double value)
{
    g_autoptr(GString) text = g_string_new(NULL);
    text_append_dec2(text, value);
    add_key(guest, key, text->str);
}

static void add_figures(Guest *guest, const GpuFigures *figures)
{
    g_autofree char *count = g_strdup_printf("%u", figures->count);
    add_key(guest, "GPU_COUNT", count);
    add_figure(guest, "GPU_UTILIZATION", figures->utilization);
    add_figure(guest, "GPU_MEMORY_UTILIZATION", figures->memory_utilization);
    add_figure(guest, "GPU_MEMORY_FREE", figures->memory_free);
    add_figure(guest, "GPU_POWER_USAGE", figures->power_usage);
}

static void take_status(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question)
{
    (void)asking;
    (void)data;
    Execution *ended = NULL;
    judge(guest, question->error);
    bool good = question->answer && guest_exec_status_read(question->answer, strlen(question->answer), guest->vm->vm_id,
                                                           guest->pid, &ended, NULL);
    if (good && !ended)
        return; /* it still runs */
    guest->pid = -1;
    gsize length = 0;
    g_autofree guchar *text = ended ? g_base64_decode(ended->output, &length) : NULL;
    GpuFigures figures;
    if (text && gpu_figures_read((const char *)text, length, &figures))
        add_figures(guest, &figures);
    execution_free(ended);
}

static bool any_runs(const Asking *asking)
{
    for (guint i = 0; i < asking->guests->len; i++)
        if (g_array_index(asking->guests, Guest, i).pid >= 0)
            return true;
    return false;
}

static void ask_gpus(Asking *asking)
{
    ask_round(asking, gpu_question, take_pid, NULL);
    for (guint round = 0; round < GPU_ROUNDS && any_runs(asking); round++) {
        g_usleep(GPU_PAUSE_US);
        ask_round(asking, status_question, take_status, NULL);
    }
}

/* --- all of it --- */

static void clear_guest(gpointer data)
{
    Guest *guest = data;
    g_clear_error(&guest->error);
    g_ptr_array_unref(guest->keys);
}

static gint by_rank(gconstpointer a, gconstpointer b, gpointer now_s)
{
    gint64 one = vm_entry_rank(((const Guest *)a)->entry, *(const gint64 *)now_s);
    gint64 other = vm_entry_rank(((const Guest *)b)->entry, *(const gint64 *)now_s);
    return one < other ? -1 : one > other;
}

/* Those first that have waited longest: where there was no time for some the last time, it is their turn. */
static GArray *find_due(const Sample *sample, VmBook *book, const GuestCommands *commands, gint64 now_s)
{
    GArray *guests = g_array_new(FALSE, TRUE, sizeof(Guest));
    g_array_set_clear_func(guests, clear_guest);
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        if (!is_asked(vm, commands) || !vm_entry_is_due(vm_book_find(book, vm->vm_id, vm->domain_id), now_s))
            continue;
        Guest guest = {.vm = vm,
                       .entry = vm_book_entry(book, vm->vm_id, vm->domain_id),
                       .keys = g_ptr_array_new_with_free_func(g_free),
                       .pid = -1};
        g_array_append_val(guests, guest);
    }
    g_array_sort_with_data(guests, by_rank, &now_s);
    return guests;
}

bool guest_asking_run(const Sample *sample, VmBook *book, const GuestAskingOptions *options, gint64 now_s,
                      bool *ret_stuck, GError **error)
{
    const GuestCommands *commands = options->commands;
    vm_book_prune(book, sample);
    g_autoptr(GArray) guests = find_due(sample, book, commands, now_s);
    Asking asking = {.options = options,
                     .guests = guests,
                     .now_s = now_s,
                     .until = g_get_monotonic_time() + options->limit_ms * 1000};
    ask_round(&asking, first_question, take_first, NULL);
    for (guint i = 0; is_enabled(&asking) && i < guests->len; i++)
        recall_os(&g_array_index(guests, Guest, i));
    ask_round(&asking, addresses_question, take_addresses, NULL);
    for (guint i = 0; is_enabled(&asking) && i < commands->commands->len; i++)
        ask_round(&asking, listed_question, take_listed, g_ptr_array_index(commands->commands, i));
    ask_gpus(&asking);
    for (guint i = 0; i < guests->len && !asking.error; i++)
        conclude(&asking, &g_array_index(guests, Guest, i));
    *ret_stuck = asking.stuck;
    if (asking.error)
        g_propagate_error(error, asking.error);
    return !asking.error;
}

void guest_asking_attach(Sample *sample, const VmBook *book, const GuestCommands *commands)
{
    for (guint i = 0; i < sample->vms->len; i++) {
        VmSample *vm = g_ptr_array_index(sample->vms, i);
        g_strfreev(vm->extras);
        vm->extras =
            is_wanted(vm, commands) ? vm_entry_answers(vm_book_find(book, vm->vm_id, vm->domain_id), 0, 0) : NULL;
    }
}
