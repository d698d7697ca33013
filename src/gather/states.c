/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/states.h"
#include "base/text.h"

G_DEFINE_QUARK(one_telemetry_states, states_error)

/* Shared with the thread that asks, which may come back long after nobody waits any more. */
typedef struct {
    gint references;
    const HypervisorApi *api;
    char *uri;
    GMutex lock; /* for all that follows */
    GCond changed;
    bool done;
    GPtrArray *states; /* of HypervisorState */
    GError *error;
} Question;

static void question_unref(Question *question)
{
    if (!g_atomic_int_dec_and_test(&question->references))
        return;
    g_clear_pointer(&question->states, g_ptr_array_unref);
    g_clear_error(&question->error);
    g_mutex_clear(&question->lock);
    g_cond_clear(&question->changed);
    g_free(question->uri);
    g_free(question);
}

static gpointer ask(gpointer data)
{
    Question *question = data;
    GError *error = NULL;
    GPtrArray *states = question->api->states(question->uri, &error);
    g_mutex_lock(&question->lock);
    question->states = states;
    question->error = error;
    question->done = true;
    g_cond_signal(&question->changed);
    g_mutex_unlock(&question->lock);
    question_unref(question);
    return NULL;
}

static Question *question_new(const HypervisorApi *api, const char *uri)
{
    Question *question = g_new0(Question, 1);
    question->references = 2;
    question->api = api;
    question->uri = g_strdup(uri);
    g_mutex_init(&question->lock);
    g_cond_init(&question->changed);
    return question;
}

static GPtrArray *vms_from(const GPtrArray *states)
{
    GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)status_vm_free);
    for (guint i = 0; i < states->len; i++) {
        const HypervisorState *state = g_ptr_array_index(states, i);
        guint64 id;
        const bool is_vm = vm_id_from_name(state->name, &id);
        g_ptr_array_add(vms, status_vm_new(is_vm ? (gint64)id : -1, state->name, state->uuid,
                                           status_word(state->state, state->reason)));
    }
    return vms;
}

static void set_failure(const Question *question, gint64 deadline_ms, GError **error)
{
    g_autofree char *uri = text_without_users(question->uri);
    if (question->error)
        g_set_error(error, STATES_ERROR, STATES_ERROR_LIBVIRT, "libvirt at %s: %s", uri, question->error->message);
    else
        g_set_error(error, STATES_ERROR, STATES_ERROR_DEADLINE, "libvirt at %s gave no states within %.1f s", uri,
                    (double)deadline_ms / 1000);
}

GPtrArray *states_collect(const HypervisorApi *api, const char *uri, gint64 deadline_ms, bool *ret_abandoned,
                          GError **error)
{
    const gint64 deadline = g_get_monotonic_time() + deadline_ms * 1000;
    Question *question = question_new(api, uri);
    GThread *thread = g_thread_try_new("libvirt-states", ask, question, error);
    *ret_abandoned = false;
    if (!thread) {
        question->references = 1;
        question_unref(question);
        return NULL;
    }
    g_mutex_lock(&question->lock);
    while (!question->done)
        if (!g_cond_wait_until(&question->changed, &question->lock, deadline))
            break;
    const bool done = question->done;
    GPtrArray *vms = done && question->states ? vms_from(question->states) : NULL;
    if (!vms)
        set_failure(question, deadline_ms, error);
    g_mutex_unlock(&question->lock);
    if (done)
        g_thread_join(thread);
    else
        g_thread_unref(thread);
    *ret_abandoned = !done;
    question_unref(question);
    return vms;
}
