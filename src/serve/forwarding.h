/* SPDX-License-Identifier: Apache-2.0
 * Our own sinks, the spool and the forwarder, as parts of JSON answers. */
#pragma once

#include "deliver/status.h"
#include "serve/service.h"

typedef struct {
    bool configured;       /* there are sinks; else all that follows is nothing */
    char *json;            /* status_json's object; NULL: the spool can't be read */
    char *spool_error;     /* it can't be read, or nothing can be queued; NULL none */
    char *forwarder_error; /* it can't be started; NULL none */
    StatusSum sum;
} ForwardingStatus;

/* Reads it from the disk, and asks the feed. */
void forwarding_read(Feed *feed, ForwardingStatus *ret_status);
void forwarding_clear(ForwardingStatus *status);

/* "forwarding", "spool" and "forwarder". */
void forwarding_members(JsonWriter *json, const ForwardingStatus *status);
/* All of it in a word, as the endpoint of old had it: "influx". */
void forwarding_influx_member(JsonWriter *json, const ForwardingStatus *status);
