/* SPDX-License-Identifier: Apache-2.0
 * How a program that has figures gets them to the configured sinks: its lines onto the spool, and a forwarder started
 * that sends them. What probes and hooks share. */
#pragma once

#include "base/config.h"
#include "model/sample.h"

#define SPOOLING_ERROR spooling_error_quark()
GQuark spooling_error_quark(void);
typedef enum {
    SPOOLING_ERROR_NO_FORWARDER, /* none is known, or the one that is known is no program */
} SpoolingErrorCode;

typedef struct {
    GPtrArray *sinks;  /* of SinkSettings; at least one */
    char *path;        /* of the spool */
    char *forwarder;   /* the program; NULL: none is known */
    char *host;        /* what batches are named by; NULL: by the host of their sample */
    char *config_file; /* that the forwarder is to read too; NULL: it finds its own */
} Spooling;

/* NULL and no error: no sink is configured, so nothing is to be done and nothing is made. NULL and an error: the
 * settings of a sink are wrong. `program`: this one's own file, `config_file`: absolute; NULL unknown. */
Spooling *spooling_new(const Config *config, const char *config_file, const char *program, GError **error);
void spooling_free(Spooling *spooling);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Spooling, spooling_free)

/* The sinks' figures and the host's sums of them, from their ledgers as they stand. Makes nothing. `now_ns`: realtime.
 */
void spooling_add_figures(const Spooling *spooling, Sample *sample, gint64 now_ns);

/* Adds these figures to the sample and queues its lines for every sink; `previous` (NULL: none) decides whose vm_info
 * is among them. Returns whether spooling_start_forwarder should follow: also on a full disk, as a forwarder
 * makes room. The error says what is not queued, or that nothing is sent as there is no forwarder. */
bool spooling_queue(const Spooling *spooling, Sample *sample, const Sample *previous, GError **error);

/* Tells the log of an error of the above (NULL: none) when it begins, when it changes, now and then while it lasts, and
 * when it is over. Kept in sample->spool_trouble. */
void spooling_report(Sample *sample, const Sample *previous, const GError *error);

/* Whether the forwarder that is known is a program. Errors: SPOOLING_ERROR. */
bool spooling_has_forwarder(const Spooling *spooling, GError **error);

/* Starts it, detached, unless one is at work. */
bool spooling_start_forwarder(const Spooling *spooling, GError **error);
