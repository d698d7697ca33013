/* SPDX-License-Identifier: Apache-2.0
 * Asks a sink's database for a VM's history: over the network, with the sink's own credentials, TLS and time-outs. */
#pragma once

#include "serve/influx_query.h"

#define HISTORY_SOURCE_ERROR history_source_error_quark()
GQuark history_source_error_quark(void);
typedef enum {
    HISTORY_SOURCE_ERROR_TIMEOUT,
    HISTORY_SOURCE_ERROR_FAILED, /* no connection, or an answer that is none; the message says which */
} HistorySourceErrorCode;

#define HISTORY_SOURCE_MS 10000 /* an answer has to be there by then */

HistoryAnswer *history_source_ask(const SinkSettings *settings, const HistoryQuery *query, GError **error);
