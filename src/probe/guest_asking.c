/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/guest_asking.h"

#include "base/text.h"
#include "gather/guest_answer.h"
#include "gather/guest_ask.h"
#include "gather/guest_exec.h"
#include "probe/guest_filter.h"

#include <string.h>

#define PATIENCE_MS 3000    /* for an agent's first sign of life */
#define GPU_ROUNDS 10       /* looks at nvidia-smi's end … */
#define GPU_PAUSE_US 250000 /* … and between them */
#define OS_COMMAND "{\"execute\":\"guest-get-osinfo\"}"
#define GPU_COMMAND                                                                                                    \
    "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":\"nvidia-smi\",\"arg\":[\"--query-gpu=" GPU_QUERY             \
    "\",\"--format=csv,noheader,nounits\"],\"capture-output\":true}}"

enum { STATE_RUNNING = 1, STATE_BLOCKED = 2 }; /* as libvirt numbers them */

typedef struct {
    const VmSample *vm;
    VmEntry *entry;
    bool alive;
    gint64 pid; /* nvidia-smi's in the guest; -1: none, or it has ended */
} Guest;

typedef struct {
    const GuestAskingOptions *options;
    GArray *guests;
    gint64 now_s, until; /* monotonic us */
    bool stuck;
    GError *error; /* libvirt can't be asked */
} Asking;

/* --- who --- */

static bool has_gpu(const VmSample *vm)
{
    return gpu_is_among(row_text(vm->row, METRIC_VM_PCI_DEVICES));
}

static bool is_asked(const VmSample *vm, const GuestCommands *commands)
{
    guint64 state = row_u64(vm->row, METRIC_VM_STATE);
    bool wanted = (commands && commands->enabled && commands->commands->len > 0) || has_gpu(vm);
    return wanted && (state == STATE_RUNNING || state == STATE_BLOCKED);
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

/* --- a round: one question to each of some guests --- */

/* The question, JSON, owned by the caller; *ret_skip: this guest is not asked. NULL: only whether it is there. */
typedef char *(*QuestionOf)(const Asking *asking, const Guest *guest, const void *data, bool *ret_skip);
/* `question` has an answer or an error. */
typedef void (*TakeAnswer)(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question);

static void ask_round(Asking *asking, QuestionOf question_of, TakeAnswer take, const void *data)
{
    const gint64 left_ms = (asking->until - g_get_monotonic_time()) / 1000;
    g_autofree GuestQuestion *questions = g_new0(GuestQuestion, asking->guests->len);
    g_autofree Guest **asked = g_new0(Guest *, asking->guests->len);
    g_autoptr(GPtrArray) commands = g_ptr_array_new_with_free_func(g_free);
    guint count = 0;
    for (guint i = 0; i < asking->guests->len && !asking->error && left_ms > 0; i++) {
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
                                     .deadline_ms = left_ms,
                                     .patience_ms = PATIENCE_MS,
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
    const GuestCommands *commands = asking->options->commands;
    bool os = commands && commands->enabled && guest_commands_need_os(commands);
    return os && guest->entry->note == GUEST_OS_UNKNOWN ? g_strdup(OS_COMMAND) : NULL;
}

static bool is_for(const GuestCommand *command, const VmEntry *entry)
{
    return command->os == GUEST_OS_UNKNOWN || command->os == entry->note;
}

static void set_error_text(VmEntry *entry, const char *key, const GError *error)
{
    g_autofree char *text = g_strconcat("error: ", error->message, NULL);
    vm_entry_set(entry, key, text, VM_ANSWER_STAYS);
}

static void take_first(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question)
{
    (void)data;
    const GuestCommands *commands = asking->options->commands;
    const int code = question->error ? question->error->code : 0;
    if (question->error && (code == GUEST_AGENT_ERROR_LIBVIRT || code == GUEST_AGENT_ERROR_NO_DOMAIN))
        return; /* nothing is known of its agent */
    guest->alive = !question->error || code == GUEST_AGENT_ERROR_REFUSED || code == GUEST_AGENT_ERROR_LOST;
    if (question->answer && *question->answer)
        guest->entry->note = guest_answer_os(question->answer, strlen(question->answer));
    vm_entry_clear(guest->entry, NULL);
    if (guest->alive) {
        vm_entry_succeed(guest->entry, asking->now_s, asking->options->interval_s);
        return;
    }
    const bool hopeless = code == GUEST_AGENT_ERROR_NO_AGENT;
    vm_entry_fail(guest->entry, asking->now_s, hopeless ? VM_BOOK_WAIT_MAX_S : 0, VM_BOOK_WAIT_MAX_S);
    for (guint i = 0; commands && commands->enabled && i < commands->commands->len; i++) {
        const GuestCommand *command = g_ptr_array_index(commands->commands, i);
        if (is_for(command, guest->entry))
            set_error_text(guest->entry, command->key, question->error);
    }
}

/* --- guestagent.conf's --- */

static char *listed_question(const Asking *asking, const Guest *guest, const void *data, bool *ret_skip)
{
    (void)asking;
    const GuestCommand *command = data;
    *ret_skip = !guest->alive || !is_for(command, guest->entry);
    return *ret_skip ? NULL : guest_command_for(command->command, guest->vm->vm_id);
}

/* NULL: it says nothing, or *error. */
static char *value_of(const GuestCommand *command, const Guest *guest, const char *answer, GError **error)
{
    if (!command->filter)
        return guest_answer_value(answer, strlen(answer));
    g_autofree char *filter = guest_command_for(command->filter, guest->vm->vm_id);
    g_autofree char *made = guest_filter_run(filter, answer, error);
    return made ? guest_answer_value(made, strlen(made)) : NULL;
}

static void take_listed(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question)
{
    (void)asking;
    const GuestCommand *command = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *value = question->answer ? value_of(command, guest, question->answer, &error) : NULL;
    if (value)
        vm_entry_set(guest->entry, command->key, value, VM_ANSWER_STAYS);
    else if (question->error || error)
        set_error_text(guest->entry, command->key, error ? error : question->error);
    guest->alive = !g_error_matches(question->error, GUEST_AGENT_ERROR, GUEST_AGENT_ERROR_SILENT);
}

/* --- GPUs --- */

static char *gpu_question(const Asking *asking, const Guest *guest, const void *data, bool *ret_skip)
{
    (void)asking;
    (void)data;
    *ret_skip = !guest->alive || !has_gpu(guest->vm);
    return *ret_skip ? NULL : g_strdup(GPU_COMMAND);
}

static void take_pid(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question)
{
    (void)asking;
    (void)data;
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

static void set_figure(VmEntry *entry, const char *key, double value)
{
    g_autoptr(GString) text = g_string_new(NULL);
    text_append_dec2(text, value);
    vm_entry_set(entry, key, text->str, VM_ANSWER_STAYS);
}

static void set_figures(VmEntry *entry, const GpuFigures *figures)
{
    g_autofree char *count = g_strdup_printf("%u", figures->count);
    vm_entry_set(entry, "GPU_COUNT", count, VM_ANSWER_STAYS);
    set_figure(entry, "GPU_UTILIZATION", figures->utilization);
    set_figure(entry, "GPU_MEMORY_UTILIZATION", figures->memory_utilization);
    set_figure(entry, "GPU_MEMORY_FREE", figures->memory_free);
    set_figure(entry, "GPU_POWER_USAGE", figures->power_usage);
}

static void take_status(Asking *asking, Guest *guest, const void *data, const GuestQuestion *question)
{
    (void)asking;
    (void)data;
    Execution *ended = NULL;
    bool good = question->answer && guest_exec_status_read(question->answer, strlen(question->answer), guest->vm->vm_id,
                                                           guest->pid, &ended, NULL);
    if (good && !ended)
        return; /* it still runs */
    guest->pid = -1;
    gsize length = 0;
    g_autofree guchar *text = ended ? g_base64_decode(ended->output, &length) : NULL;
    GpuFigures figures;
    if (text && gpu_figures_read((const char *)text, length, &figures))
        set_figures(guest->entry, &figures);
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

static GArray *find_due(const Sample *sample, VmBook *book, const GuestCommands *commands, gint64 now_s)
{
    GArray *guests = g_array_new(FALSE, TRUE, sizeof(Guest));
    for (guint i = 0; i < sample->vms->len; i++) {
        const VmSample *vm = g_ptr_array_index(sample->vms, i);
        if (!is_asked(vm, commands) || !vm_entry_is_due(vm_book_find(book, vm->vm_id, vm->domain_id), now_s))
            continue;
        Guest guest = {.vm = vm, .entry = vm_book_entry(book, vm->vm_id, vm->domain_id), .pid = -1};
        g_array_append_val(guests, guest);
    }
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
    for (guint i = 0; commands && commands->enabled && i < commands->commands->len; i++)
        ask_round(&asking, listed_question, take_listed, g_ptr_array_index(commands->commands, i));
    ask_gpus(&asking);
    *ret_stuck = asking.stuck;
    if (asking.error)
        g_propagate_error(error, asking.error);
    return !asking.error;
}

void guest_asking_attach(Sample *sample, const VmBook *book)
{
    for (guint i = 0; i < sample->vms->len; i++) {
        VmSample *vm = g_ptr_array_index(sample->vms, i);
        g_strfreev(vm->extras);
        vm->extras = vm_entry_answers(vm_book_find(book, vm->vm_id, vm->domain_id), 0, 0);
    }
}
