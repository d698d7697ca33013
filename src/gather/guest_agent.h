/* SPDX-License-Identifier: Apache-2.0
 * A guest's QEMU agent, through libvirt: one JSON command to one domain. A seam like HypervisorApi: guest_agent.c is
 * the real one, and tests have calls that hang or fail at will. Every call may block without limit; guest_ask.h runs
 * them in threads, side by side, under a deadline. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define GUEST_AGENT_ERROR guest_agent_error_quark()
GQuark guest_agent_error_quark(void);
typedef enum {
    GUEST_AGENT_ERROR_LIBVIRT,   /* not there, or no connection to be had: holds for every guest */
    GUEST_AGENT_ERROR_NO_DOMAIN, /* no domain of that name, or it does not run */
    GUEST_AGENT_ERROR_NO_AGENT,  /* the domain has no channel for one */
    GUEST_AGENT_ERROR_SILENT,    /* it is not connected, or did not answer in time */
    GUEST_AGENT_ERROR_NOT_ASKED, /* there was no time left to ask it: nothing is known of it */
    GUEST_AGENT_ERROR_LOST,    /* its answer does not get through libvirt, as it is too long; the connection is well */
    GUEST_AGENT_ERROR_REFUSED, /* everything else, above all an error that the agent itself answered */
} GuestAgentErrorCode;

typedef struct GuestAgents GuestAgents; /* a connection */

typedef struct {
    /* A read-write connection, which agents need. NULL: GUEST_AGENT_ERROR_LIBVIRT. */
    GuestAgents *(*open)(const char *uri, GError **error);
    void (*close)(GuestAgents *agents);
    /* Has the agent of `domain` ("one-83") run `command`, JSON; returns its answer, JSON with a member "return", owned
     * by the caller. The agent has `timeout_s` (above 0) for it; before that, libvirt takes up to 5 s to find out
     * whether it answers at all, and up to 30 s more where another of its commands is under way. One call of a
     * connection at a time. */
    char *(*command)(GuestAgents *agents, const char *domain, const char *command, int timeout_s, GError **error);
} GuestAgentApi;

/* What libvirt's error of that number says of an agent. */
GuestAgentErrorCode guest_agent_error_of(int libvirts);

/* libvirt's client library is loaded by the first open, not when the program starts: that takes 10 ms of CPU, which is
 * all that a program costs that mostly finds that it has no guest to ask. */
extern const GuestAgentApi guest_agent_api;
