/* SPDX-License-Identifier: Apache-2.0
 * Asks the agents of several guests side by side, under one deadline: a guest that does not answer costs the others
 * nothing, as long as fewer are silent than there are workers. */
#pragma once

#include "gather/guest_agent.h"

/* A question, and what came of it. The caller makes and frees it; the fields below `command` are ours to set. */
typedef struct {
    const char *domain;
    const char *command; /* JSON; NULL: only whether the agent is there */
    char *answer;        /* JSON, "" where there was no command; NULL: none came, `error` says why */
    GError *error;       /* GUEST_AGENT_ERROR */
} GuestQuestion;

void guest_question_clear(GuestQuestion *question);

typedef struct {
    const GuestAgentApi *api;
    const char *uri;
    gint64 deadline_ms; /* of everything */
    gint64 patience_ms; /* for a guest's first sign of life, from when it is its turn */
    gint64 answer_ms;   /* for its answer to the command, from when it is asked that; 0: until the deadline */
    guint workers;      /* threads, each with a connection of its own: libvirtd serves but five calls of one at once */
} GuestAskOptions;

#define GUEST_ASK_WORKERS 8 /* libvirtd has 20 threads for all its clients */

/* No command is sent with less than this left until the deadline, or less than `answer_ms`: an answer that comes behind
 * it is thrown away, and QEMU's agent tells but once that a process has ended. An agent that is alive but busy needs
 * that much. Nor is a guest's turn begun with less than `patience_ms` left: it would not get what others get. */
#define GUEST_ASK_RESERVE_MS 2000

/* Returns when all questions have an answer or an error, by the deadline at the latest. An agent is first asked for a
 * sign of life (guest-sync): to give up waiting for that loses nothing, while an answer to the command that comes
 * too late is lost, and some commands answer but once. So the command goes only to those that have shown one in time,
 * and its answer is then waited for, `answer_ms` long. Those that were not asked, because the deadline was too near,
 * have GUEST_AGENT_ERROR_NOT_ASKED. true: no thread is left; false: some are blocked in libvirt, so the process should
 * leave by _exit. */
bool guest_ask(const GuestAskOptions *options, GuestQuestion *questions, guint count);
